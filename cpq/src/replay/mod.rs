//! `cpq replay`: history worked through again, with nothing written.

mod price;

use crate::Failure;
use crate::output::{Answer, Paint};
use crate::settings::Stack;
use clap::{Args, Subcommand};

/// Work through history again, under other rules if so asked; nothing is written.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    #[command(subcommand)]
    command: ReplayCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ReplayCommand {
    Price(price::PriceArgs),
}

pub async fn run(args: &ReplayArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    match &args.command {
        ReplayCommand::Price(args) => price::run(args, &stack.db()?, paint).await,
    }
}
