//! The gateway's process: configuration, telemetry, the server, and its end.

use clap::Parser;
use command_gateway::config::{GatewayConfig, VARIABLES};
use command_gateway::{server, start};
use cpq_runtime::config::{Settings, help};
use cpq_runtime::shutdown;
use cpq_runtime::telemetry::Telemetry;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use tracing::info;

/// How long the writers get once no request is left: a transaction or two.
const WRITERS_LIMIT: Duration = Duration::from_secs(5);

/// The HTTP API: takes commands and answers with what was decided.
#[derive(Parser)]
#[command(name = "command-gateway", version, after_help = help(VARIABLES))]
struct Arguments {}

#[tokio::main]
async fn main() -> ExitCode {
    Arguments::parse();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("command-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let config = GatewayConfig::read(&Settings::load()?)?;
    let telemetry = Telemetry::start("command-gateway", &config.common)?;
    let stop = shutdown::on_signal()?;
    let listener = server::bind(config.http_addr).await?;
    let started = tokio::select! {
        started = start::start(&config, telemetry.metrics.clone()) => started?,
        () = stop.cancelled() => return Ok(()),
    };
    info!(address = %config.http_addr, "the API is open");
    server::serve(listener, started.gateway.clone(), config.max_connections, stop).await;
    // The last requests' handles go first; then the writers have nothing more to wait for.
    drop(started.gateway);
    let writers = futures::future::join_all(started.writers);
    let _ = tokio::time::timeout(WRITERS_LIMIT, writers).await;
    telemetry.shutdown().await;
    Ok(())
}
