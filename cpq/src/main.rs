//! The `cpq` binary: reads the command line, runs one command, prints its answer and exits with its code.
//! What the commands do is in the library beside it.

use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    cpq_cli::run(cpq_cli::cli::Cli::parse()).await
}
