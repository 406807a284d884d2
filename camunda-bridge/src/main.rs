//! The `camunda-bridge` process: the consumer of workflow commands and the loops of the bridge, its admin port,
//! and their end in order.

use camunda_bridge::commands::WorkflowCommands;
use camunda_bridge::config::{Config, OWN};
use camunda_bridge::downstream::Downstream;
use camunda_bridge::engine::{EngineClient, EngineConfig};
use camunda_bridge::{Bridge, duties, incidents, starter, watch, workers};
use clap::Parser;
use cpq_avro::registry::RegistrySource;
use cpq_avro::{Decoder, Encoder, Schemas};
use cpq_runtime::admin::{self, Admin, Readiness};
use cpq_runtime::config::{self as settings, Settings};
use cpq_runtime::consumer::{self, ConsumerStatus, Host};
use cpq_runtime::telemetry::Telemetry;
use cpq_runtime::{instance, schema_ids, shutdown, wake::Wake};
use cpq_state_stores::Db;
use cpq_state_stores::hints::Hints;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How long one call to the engine may take; longer, and its outcome counts as unknown.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(8);
/// Calls to the engine at once, long polls apart.
const ENGINE_CONCURRENCY: usize = 24;

/// Starts processes, works on external tasks, completes user tasks and watches the workflow engine.
#[derive(Parser)]
#[command(version, after_help = settings::help(OWN))]
struct Args {}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    Args::parse();
    let config = match Settings::load().and_then(|settings| Config::read(&settings)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("camunda-bridge does not start: {error}");
            return ExitCode::from(2);
        }
    };
    let telemetry = match Telemetry::start("camunda-bridge", &config.common) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("camunda-bridge does not start: {error}");
            return ExitCode::from(2);
        }
    };
    let result = run(config, &telemetry).await;
    if let Err(error) = &result {
        error!(%error, "camunda-bridge has failed");
    }
    telemetry.shutdown().await;
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(config: Config, telemetry: &Telemetry) -> Result<(), Failure> {
    let shutdown = shutdown::on_signal()?;
    let Config { common, camunda_url, names, downstream, admin_addr, timing, database_connections } = config;
    let owner = instance::name("camunda-bridge");
    info!(owner, "camunda-bridge starts");
    let db = Db::connect_lazy(&common.database_url, &owner, database_connections)?;
    let (wake, hints) = (Wake::default(), Hints::start(&common.redis_url)?);
    let engine = EngineClient::new(EngineConfig {
        request_timeout: ENGINE_TIMEOUT,
        max_concurrent: ENGINE_CONCURRENCY,
        ..EngineConfig::new(camunda_url)
    })?;

    let schemas = Schemas::load()?;
    let Some(ids) = schema_ids::await_ids(&db, &schemas, &shutdown).await? else { return Ok(()) };
    let encoder = Arc::new(Encoder::new(schemas.clone(), &ids)?);
    let source = Arc::new(RegistrySource::new(&common.schema_registry_url)?);
    let decoder = Arc::new(Decoder::new(schemas, &ids, source));

    let downstream = Downstream::new(downstream)?;
    let bridge = Arc::new(Bridge { db, encoder, engine, names, downstream, wake, hints, timing });
    let host = Host {
        db: bridge.db.clone(),
        kafka_brokers: common.kafka_brokers,
        decoder,
        wake: bridge.wake.clone(),
        hints: bridge.hints.clone(),
        owner,
    };
    let status = ConsumerStatus::default();
    let readiness = readiness(&bridge, status.clone());
    let admin = Admin { readiness, metrics: telemetry.metrics.clone() };
    admin::serve(admin_addr, admin, shutdown.clone()).await?;
    let mut tasks = spawn(&bridge, host, status, &shutdown);
    let result = supervise(&mut tasks, &shutdown).await;
    bridge.db.close().await;
    result
}

fn spawn(
    bridge: &Arc<Bridge>,
    host: Host,
    status: ConsumerStatus,
    shutdown: &CancellationToken,
) -> JoinSet<Result<(), Failure>> {
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    let of_consumer = shutdown.clone();
    tasks.spawn(async move { Ok(consumer::run(host, Arc::new(WorkflowCommands), status, of_consumer).await?) });
    let (b, stop) = (bridge, shutdown);
    tasks.spawn(endless(starter::run(b.clone(), stop.clone())));
    tasks.spawn(endless(workers::run(b.clone(), stop.clone())));
    tasks.spawn(endless(duties::run(b.clone(), stop.clone())));
    tasks.spawn(endless(watch::run(b.clone(), stop.clone())));
    tasks.spawn(endless(incidents::run(b.clone(), stop.clone())));
    tasks
}

/// A loop that ends at shutdown only, and has no failure of its own.
async fn endless(work: impl Future<Output = ()>) -> Result<(), Failure> {
    work.await;
    Ok(())
}

fn readiness(bridge: &Arc<Bridge>, consumer: ConsumerStatus) -> Readiness {
    let (of_database, of_engine) = (bridge.clone(), bridge.clone());
    Readiness::default()
        .with("database", move || {
            let bridge = of_database.clone();
            async move { bridge.db.ping().await.map(|()| "answers".to_owned()).map_err(|e| e.to_string()) }
        })
        .with("consumer camunda-bridge", move || std::future::ready(consumer.check()))
        // Without the engine commands are still taken, and what they ask for happens when it is back.
        .with("engine", move || {
            let bridge = of_engine.clone();
            async move {
                // Sooner than the check's own limit, which would call the process unready.
                let version = tokio::time::timeout(Duration::from_secs(1), bridge.engine.version()).await;
                Ok(match version {
                    Ok(Ok(version)) => format!("answers, version {version}"),
                    Ok(Err(error)) => format!("DEGRADED: {error}"),
                    Err(_) => "DEGRADED: no answer in time".to_owned(),
                })
            }
        })
}

/// Waits for all tasks. The first that fails ends the others, and the process.
async fn supervise(tasks: &mut JoinSet<Result<(), Failure>>, shutdown: &CancellationToken) -> Result<(), Failure> {
    let all = async {
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.map_err(Failure::from).and_then(|result| result);
            if let Err(error) = ended {
                error!(%error, "a part of the bridge has failed; ending the others");
                result = Err(error);
                shutdown.cancel();
            }
        }
        result
    };
    shutdown::drain(shutdown, all).await.unwrap_or(Ok(()))
}
