//! The `streams` process: starts the roles it is told to, serves its admin port, and ends them in order.

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
use cpq_state_stores::reference::ReferenceCache;
use std::{collections::BTreeSet, error::Error, process::ExitCode, sync::Arc};
use streams::config::{Config, VARIABLES};
use streams::relay::{Relay, RelaySettings, RelayStatus, guard};
use streams::topology::{Parts, Role, Services, parts};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// The outbox relay and the stream processors.
#[derive(Parser)]
#[command(version, after_help = settings::help(VARIABLES))]
struct Args {
    /// Roles to run, comma-separated: relay, quote, order, document, projection, notification.
    #[arg(long, value_delimiter = ',', default_values_t = Role::ALL)]
    role: Vec<Role>,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let config = match Settings::load().and_then(|settings| Config::read(&settings)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("streams does not start: {error}");
            return ExitCode::from(2);
        }
    };
    let telemetry = match Telemetry::start("streams", &config.common) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("streams does not start: {error}");
            return ExitCode::from(2);
        }
    };
    let result = run(args.role.into_iter().collect(), config, &telemetry).await;
    if let Err(error) = &result {
        error!(%error, "streams has failed");
    }
    telemetry.shutdown().await;
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(roles: BTreeSet<Role>, config: Config, telemetry: &Telemetry) -> Result<(), Failure> {
    let shutdown = shutdown::on_signal()?;
    let Config { common, admin_addr, database_connections, artifacts, mail, relay_holds_back } = config;
    let owner = instance::name("streams");
    let db = Db::connect_lazy(&common.database_url, &owner, database_connections)?;
    let (wake, hints) = (Wake::default(), Hints::start(&common.redis_url)?);
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    let asked = db.clone();
    let mut readiness = Readiness::default().with("database", move || {
        let db = asked.clone();
        async move { db.ping().await.map(|()| "answers".to_owned()).map_err(|e| e.to_string()) }
    });
    info!(owner, roles = %roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(","), "streams starts");

    if roles.contains(&Role::Relay) {
        let status = RelayStatus::default();
        let relay = Relay {
            db: db.clone(),
            kafka_brokers: common.kafka_brokers.clone(),
            owner: owner.clone(),
            settings: RelaySettings::default(),
            status: status.clone(),
        };
        let (wake, hints, shutdown) = (wake.clone(), hints.clone(), shutdown.clone());
        let facts: &[&str] = if relay_holds_back { guard::FACTS } else { &[] };
        tasks.spawn(async move {
            if relay.await_agreement(facts, &shutdown).await? {
                relay.run(&wake, &hints, shutdown).await;
            }
            Ok(())
        });
        readiness = readiness.with("relay", move || std::future::ready(status.check()));
    }

    let processing: Vec<Role> = roles.into_iter().filter(|role| *role != Role::Relay).collect();
    if !processing.is_empty() {
        let schemas = Schemas::load()?;
        let Some(ids) = schema_ids::await_ids(&db, &schemas, &shutdown).await? else { return Ok(()) };
        let encoder = Arc::new(Encoder::new(schemas.clone(), &ids)?);
        let source = Arc::new(RegistrySource::new(&common.schema_registry_url)?);
        let decoder = Arc::new(Decoder::new(schemas, &ids, source));
        let cache = ReferenceCache::new()?;
        tokio::spawn(cache.clone().follow(db.clone(), hints.catalogs()));
        let services = Services { db: db.clone(), encoder, wake: wake.clone(), cache, artifacts, mail };
        let Parts { processors, workers, checks } = parts(&processing, services);
        let host = Host {
            db: db.clone(),
            kafka_brokers: common.kafka_brokers,
            decoder,
            wake: wake.clone(),
            hints: hints.clone(),
            owner,
        };
        for processor in processors {
            let status = ConsumerStatus::default();
            let of_check = status.clone();
            readiness = readiness
                .with(format!("consumer {}", processor.consumer()), move || std::future::ready(of_check.check()));
            let (host, shutdown) = (host.clone(), shutdown.clone());
            tasks.spawn(async move { Ok(consumer::run(host, processor, status, shutdown).await?) });
        }
        for (name, check) in checks {
            readiness = readiness.with(name, move || std::future::ready(check()));
        }
        for (name, worker) in workers {
            let stop = shutdown.clone();
            tasks.spawn(async move {
                worker(stop).await;
                info!(worker = name, "worker has stopped");
                Ok(())
            });
        }
    }
    let admin = Admin { readiness, metrics: telemetry.metrics.clone() };
    admin::serve(admin_addr, admin, shutdown.clone()).await?;
    let result = supervise(&mut tasks, &shutdown).await;
    db.close().await;
    result
}

/// Waits for all tasks. The first that fails ends the others, and the process.
async fn supervise(tasks: &mut JoinSet<Result<(), Failure>>, shutdown: &CancellationToken) -> Result<(), Failure> {
    let all = async {
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.map_err(Failure::from).and_then(|result| result);
            if let Err(error) = ended {
                error!(%error, "a part of streams has failed; ending the others");
                result = Err(error);
                shutdown.cancel();
            }
        }
        result
    };
    shutdown::drain(shutdown, all).await.unwrap_or(Ok(()))
}
