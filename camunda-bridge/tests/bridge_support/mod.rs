//! A whole bridge for a test: the real engine with models of its own names, a database of its own, simulators and
//! a proxy before the engine that can be told to fail. Orders are decided by the domain itself, from the outbox.
#![allow(dead_code)]

pub mod database;
pub mod deals;
pub mod proxy;

use crate::engine_support::Stage;
use camunda_bridge::commands::WorkflowCommands;
use camunda_bridge::downstream::{Downstream, DownstreamConfig};
use camunda_bridge::engine::{EngineClient, EngineConfig};
use camunda_bridge::{Bridge, EngineNames, Timing, duties, incidents, starter, watch, workers};
use cpq_avro::{AggregateType, Command, Encoder, Event, EventEnvelope, Record, Schemas, topics};
use cpq_domain::command::{Claims, CommandMeta};
use cpq_domain::ids::{CommandId, CorrelationId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::workflow::{WorkflowCommand, WorkflowEvent};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor as _};
use cpq_runtime::wake::Wake;
use cpq_simulators::Simulators;
use cpq_state_stores::hints::Hints;
use database::TestDatabase;
use proxy::EngineProxy;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

/// Whatever must come has come by then.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The bridge's patience with downstream systems.
pub const DOWNSTREAM_TIMEOUT: Duration = Duration::from_millis(500);
/// The bridge's patience with the engine.
pub const ENGINE_TIMEOUT: Duration = Duration::from_millis(1500);

fn timing() -> Timing {
    Timing {
        sweep: Duration::from_millis(100),
        long_poll: Duration::from_secs(2),
        lock: Duration::from_secs(6),
        attempts: 3,
        retry_pause: Duration::from_millis(200),
        dependency_pause: Duration::from_millis(100),
        incident_sweep: Duration::from_millis(300),
        concurrency: 8,
    }
}

pub struct Bench {
    pub stage: Stage,
    pub database: TestDatabase,
    pub simulators: Simulators,
    pub proxy: EngineProxy,
    pub bridge: Arc<Bridge>,
    pub tenant: TenantId,
    /// Of the bridges that are run from now on.
    pub timing: Timing,
    /// Patience with downstream systems of the bridges that are run from now on.
    pub downstream_timeout: Duration,
    schemas: Arc<Schemas>,
    ids: HashMap<String, i32>,
    stop: CancellationToken,
    running: Vec<Running>,
}

/// One bridge's loops, in a runtime of their own, as in a process of its own.
struct Running {
    runtime: Runtime,
    loops: Vec<JoinHandle<()>>,
}

impl Bench {
    /// Everything, with the bridge's loops running.
    pub async fn open() -> Self {
        let mut bench = Self::still().await;
        bench.run();
        bench
    }

    /// Everything, with the bridge's loops not running yet.
    pub async fn still() -> Self {
        let stage = Stage::open().await;
        let database = TestDatabase::create().await;
        let config = cpq_simulators::Config { addr: ([127, 0, 0, 1], 0).into(), state_file: None };
        let simulators = cpq_simulators::start(config).await.unwrap();
        let proxy = EngineProxy::start(crate::engine_support::engine_url()).await;
        let schemas = Schemas::load().unwrap();
        let ids = schemas.iter().enumerate().map(|(n, schema)| (schema.subject.clone(), n as i32 + 1)).collect();
        let bridge = bridge(&stage, &database, &simulators, &proxy, &schemas, &ids, (timing(), DOWNSTREAM_TIMEOUT));
        let tenant = TenantId::new(format!("tenant-{}", Ulid::generate().to_string().to_lowercase()));
        let (stop, running) = (CancellationToken::new(), Vec::new());
        Self {
            stage,
            database,
            simulators,
            proxy,
            bridge,
            tenant,
            timing: timing(),
            downstream_timeout: DOWNSTREAM_TIMEOUT,
            schemas,
            ids,
            stop,
            running,
        }
    }

    /// Runs the bridge's loops; called again, a second bridge beside the first.
    pub fn run(&mut self) {
        let runtime = Runtime::new().unwrap();
        // Its connections belong to its runtime.
        let inside = runtime.enter();
        let Self { stage, database, simulators, proxy, schemas, ids, .. } = self;
        let bounds = (self.timing, self.downstream_timeout);
        let bridge = bridge(stage, database, simulators, proxy, schemas, ids, bounds);
        drop(inside);
        let stop = &self.stop;
        let loops = vec![
            runtime.spawn(starter::run(bridge.clone(), stop.clone())),
            runtime.spawn(workers::run(bridge.clone(), stop.clone())),
            runtime.spawn(duties::run(bridge.clone(), stop.clone())),
            runtime.spawn(watch::run(bridge.clone(), stop.clone())),
            runtime.spawn(incidents::run(bridge, stop.clone())),
        ];
        self.running.push(Running { runtime, loops });
    }

    /// Ends every bridge where it stands, as SIGKILL would.
    pub fn crash(&mut self) {
        for running in self.running.drain(..) {
            running.runtime.shutdown_background();
        }
    }

    /// Asks every bridge to end, as SIGTERM would.
    pub fn ask_to_end(&self) {
        self.stop.cancel();
    }

    /// Waits until every bridge that was asked has ended.
    pub async fn ended(&mut self) {
        for Running { runtime, loops } in self.running.drain(..) {
            for ended in loops {
                ended.await.unwrap();
            }
            runtime.shutdown_background();
        }
    }

    /// Ends the loops as SIGTERM would, and removes everything.
    pub async fn close(mut self) {
        self.ask_to_end();
        self.ended().await;
        self.bridge.db.close().await;
        self.stage.close().await;
    }

    /// The instance that the ledger has admitted for a business key.
    pub async fn admitted(&self, business_key: &str) -> String {
        eventually("an instance is admitted", || async { self.ledger(business_key).await.1 }).await
    }

    /// The ledger's status and admitted instance of a business key.
    pub async fn ledger(&self, business_key: &str) -> (String, Option<String>) {
        use sqlx::Row as _;
        let query = "select status, admitted_instance_id from cpq.workflow_instance where business_key = $1";
        let mut connection = self.database.connect().await;
        let row = sqlx::query(query).bind(business_key).fetch_one(&mut connection).await.unwrap();
        (row.get(0), row.get(1))
    }

    pub async fn until_ledger_is(&self, business_key: &str, status: &str) {
        eventually(&format!("{business_key} is {status} in the ledger"), || async {
            (self.ledger(business_key).await.0 == status).then_some(())
        })
        .await;
    }

    /// Hands the bridge a command as its consumer would, and says with which id.
    pub async fn command(&self, command: WorkflowCommand) -> CommandId {
        let id = CommandId::new(Ulid::generate().to_string());
        self.command_again(&id, command).await;
        id
    }

    /// As [`Self::command`], with an id that was used before: a producer's repeat.
    pub async fn command_again(&self, id: &CommandId, command: WorkflowCommand) {
        let meta = CommandMeta {
            command_id: id.clone(),
            tenant_id: self.tenant.clone(),
            claims: Claims::system("test"),
            correlation_id: CorrelationId::from("corr-test"),
            causation_id: None,
            received_at: now(),
            if_match: None,
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        };
        let (aggregate_type, aggregate_id) = (AggregateType::of_workflow(&command), command.aggregate_id());
        let delivery = Delivery {
            topic: topics::WORKFLOW_COMMANDS.to_owned(),
            partition: 0,
            offset: 0,
            key: aggregate_id.clone(),
            record: Record::Command(meta, aggregate_type, aggregate_id, Command::Workflow(command)),
        };
        let mut tx = self.bridge.db.begin(std::slice::from_ref(&self.tenant)).await.unwrap();
        let mut after = AfterCommit::default();
        WorkflowCommands.apply(&mut tx, &[&delivery], &mut after).await.unwrap();
        tx.commit().await.unwrap();
        for name in after.wake {
            self.bridge.wake.notify(name);
        }
    }

    /// What stands in the outbox for a topic, in order, decoded.
    pub async fn outbox(&self, topic: &str) -> Vec<Record> {
        let source = Arc::new(database::NoRegistry);
        let decoder = cpq_avro::Decoder::new(self.schemas.clone(), &self.ids, source);
        let mut records = Vec::new();
        for value in self.database.outbox(topic).await {
            records.push(decoder.decode(&value).await.unwrap());
        }
        records
    }

    /// The facts that were published of a business key.
    pub async fn facts(&self, business_key: &str) -> Vec<(EventEnvelope, WorkflowEvent)> {
        let records = self.outbox(topics::WORKFLOW_EVENTS).await;
        let facts: Vec<_> = records
            .into_iter()
            .filter_map(|record| match record {
                Record::Event(envelope, Event::Workflow(event)) if envelope.aggregate_id == business_key => {
                    Some((envelope, event))
                }
                _ => None,
            })
            .collect();
        for (n, (envelope, _)) in facts.iter().enumerate() {
            assert_eq!(envelope.aggregate_sequence, n as u64 + 1, "facts have no gap");
        }
        facts
    }

    pub async fn fact_names(&self, business_key: &str) -> Vec<&'static str> {
        self.facts(business_key).await.iter().map(|(_, event)| event.name()).collect()
    }

    /// Waits until facts of these names were published of a business key, in this order, and no others.
    pub async fn until_facts_are(&self, business_key: &str, names: &[&str]) {
        let mut seen = Vec::new();
        let started = Instant::now();
        while seen != names {
            assert!(started.elapsed() < PATIENCE, "expected {names:?}, saw {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            seen = self.fact_names(business_key).await;
        }
    }

    /// As [`Self::until_facts_are`], in any order; the names are given sorted.
    pub async fn until_facts_are_among(&self, business_key: &str, names: &[&str]) {
        let mut seen = Vec::new();
        let started = Instant::now();
        while seen != names {
            assert!(started.elapsed() < PATIENCE, "expected {names:?} in any order, saw {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            seen = self.fact_names(business_key).await;
            seen.sort_unstable();
        }
    }

    /// The commands that the bridge has sent on a topic.
    pub async fn sent(&self, topic: &str) -> Vec<Command> {
        let records = self.outbox(topic).await;
        let command = |record| match record {
            Record::Command(_, _, _, command) => Some(command),
            _ => None,
        };
        records.into_iter().filter_map(command).collect()
    }

    pub async fn until_sent(&self, topic: &str, name: &str) {
        eventually(&format!("{name} is sent"), || async {
            self.sent(topic).await.iter().any(|command| command.name() == name).then_some(())
        })
        .await;
    }
}

fn bridge(
    stage: &Stage,
    database: &TestDatabase,
    simulators: &Simulators,
    proxy: &EngineProxy,
    schemas: &Arc<Schemas>,
    ids: &HashMap<String, i32>,
    (timing, timeout): (Timing, Duration),
) -> Arc<Bridge> {
    let system = |name: &str| format!("{}/{name}", simulators.base_url()).parse().unwrap();
    let downstream = DownstreamConfig {
        inventory: system("inventory"),
        activation: system("activation"),
        billing: system("billing"),
        timeout,
    };
    let engine = EngineConfig { request_timeout: ENGINE_TIMEOUT, ..EngineConfig::new(proxy.url()) };
    Arc::new(Bridge {
        db: database.db(),
        encoder: Arc::new(Encoder::new(schemas.clone(), ids).unwrap()),
        engine: EngineClient::new(engine).unwrap(),
        names: EngineNames::prefixed(stage.process("")),
        downstream: Downstream::new(downstream).unwrap(),
        wake: Wake::default(),
        hints: Hints::disabled(),
        timing,
    })
}

pub fn now() -> Moment {
    Moment::new(OffsetDateTime::now_utc())
}

/// Waits until `look` finds something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "it never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
