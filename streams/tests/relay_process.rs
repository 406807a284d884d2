//! Relays as processes of their own, frozen and killed by signals.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use cpq_state_stores::outbox;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{FutureProducer, FutureRecord},
};
use std::{
    collections::HashMap,
    process::{Child, Command, Stdio},
    time::Duration,
};
use support::{Seen, TestDatabase, create_topic, eventually, read_topic, row, unique};

const TENANT: &str = "tenant-test";
const PARTITIONS: i32 = 3;
const KEYS: usize = 40;
/// Longer than a relay's lease.
const FROZEN: Duration = Duration::from_secs(8);

struct Process(Child);

impl Process {
    fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, &[])
    }

    fn start_with(database: &TestDatabase, environment: &[(&str, &str)]) -> Self {
        Self::start_logging(database, environment, Stdio::null())
    }

    fn start_logging(database: &TestDatabase, environment: &[(&str, &str)], log: Stdio) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_streams"))
            .args(["--role", "relay"])
            .env("CPQ_DATABASE_URL", &database.url)
            // The stack's topics are not of this database.
            .env("CPQ_RELAY_TOPICS_AHEAD", "accept")
            .env("CPQ_STREAMS_ADMIN_ADDR", "127.0.0.1:0")
            .envs(environment.iter().copied())
            .stdout(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn insert(database: &TestDatabase, topic: &str, n: usize) {
    let rows: Vec<_> = (0..KEYS).map(|key| row(TENANT, topic, &format!("key-{key}"), &n.to_string())).collect();
    let mut tx = database.db.begin(&[TENANT.into()]).await.unwrap();
    outbox::insert(&mut tx, &rows).await.unwrap();
    tx.commit().await.unwrap();
}

fn first_occurrences(seen: &[Seen]) -> HashMap<String, Vec<usize>> {
    let mut by_key: HashMap<String, Vec<usize>> = HashMap::new();
    for record in seen {
        let (values, value) = (by_key.entry(record.key.clone()).or_default(), record.value.parse().unwrap());
        if !values.contains(&value) {
            values.push(value);
        }
    }
    by_key
}

async fn assert_all_in_order(topic: &str, rounds: usize) {
    let complete = move |seen: &[Seen]| {
        seen.len() >= KEYS * rounds && first_occurrences(seen).values().map(Vec::len).sum::<usize>() == KEYS * rounds
    };
    let seen = read_topic(topic, PARTITIONS, complete).await;
    for (key, values) in first_occurrences(&seen) {
        assert_eq!(values, (0..rounds).collect::<Vec<_>>(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_9_a_relay_frozen_past_its_lease_is_fenced_and_the_order_unchanged() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let frozen = Process::start(&database);
    let owners = "select count(distinct owner) from cpq.relay_lease where expires_at > now()";
    eventually("the first relay holds the shards", || async { database.count(owners).await == 1 }).await;
    let _other = Process::start(&database);
    eventually("both hold shards", || async { database.count(owners).await == 2 }).await;
    let mut n = 0;
    for (signal, seconds) in [("-STOP", FROZEN), ("-CONT", Duration::from_secs(4))] {
        for _ in 0..20 {
            insert(&database, &topic, n).await;
            n += 1;
        }
        frozen.signal(signal);
        let until = tokio::time::Instant::now() + seconds;
        while tokio::time::Instant::now() < until {
            insert(&database, &topic, n).await;
            n += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_all_in_order(&topic, n).await;
    eventually("the outbox is empty", || async { database.count("select count(*) from cpq.outbox_event").await == 0 })
        .await;
    let epochs = database.count("select max(epoch) from cpq.relay_lease").await;
    assert!(epochs >= 3, "the frozen relay's shards were taken over: {epochs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_7_a_relay_killed_under_load_is_followed_by_another_that_sends_the_rest() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let mut relay = Process::start(&database);
    let mut n = 0;
    for _ in 0..3 {
        for _ in 0..40 {
            insert(&database, &topic, n).await;
            n += 1;
        }
        relay.signal("-KILL");
        relay = Process::start(&database);
    }
    assert_all_in_order(&topic, n).await;
    relay.signal("-TERM");
    assert!(relay.0.wait().unwrap().success());
    assert_eq!(database.count("select count(*) from cpq.relay_lease where owner is not null").await, 0);
}

/// A broker of its own, whose topics hold facts of this database's transition, and after it of another.
#[tokio::test(flavor = "multi_thread")]
async fn fault_23_a_relay_whose_database_is_older_than_its_topics_does_not_start_and_says_so() {
    const FACTS: [&str; 3] = ["cpq.quote.events.v1", "cpq.order.events.v1", "cpq.workflow.events.v1"];
    let (database, broker) = (TestDatabase::create().await, MockCluster::new(1).unwrap());
    for topic in FACTS {
        broker.create_topic(topic, PARTITIONS, 1).unwrap();
    }
    let brokers = broker.bootstrap_servers();
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let publish = async |event: &str| {
        let header = |key, value| Header { key, value: Some(value) };
        let headers = OwnedHeaders::new().insert(header("ce_id", event)).insert(header("tenant_id", TENANT));
        let record = FutureRecord::to(FACTS[0]).key("Q-1").payload("x").headers(headers).partition(1);
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    };
    let guarded = [("CPQ_KAFKA_BROKERS", brokers.as_str()), ("CPQ_RELAY_TOPICS_AHEAD", "refuse")];
    let owners = "select count(distinct owner) from cpq.relay_lease where expires_at > now()";
    database
        .execute(
            "insert into cpq.transition_log (tenant_id, aggregate_type, aggregate_id, aggregate_sequence, aggregate_revision, event_id, \
               event_type, to_status, actor_id, actor_type, correlation_id, causation_id, payload, occurred_at) \
             values ('tenant-test', 'QUOTE', 'Q-1', 1, 1, 'known', 'QuoteCreated', 'DRAFT', 'alice', 'USER', 'x', 'c', '{}', now())",
        )
        .await;
    publish("known").await;
    let mut relay = Process::start_with(&database, &guarded);
    eventually("what is recorded lets it start", || async { database.count(owners).await == 1 }).await;
    relay.signal("-TERM");
    assert!(relay.0.wait().unwrap().success());

    publish("of a later time").await;
    let log = std::env::temp_dir().join(unique("relay"));
    let mut relay = Process::start_logging(&database, &guarded, std::fs::File::create(&log).unwrap().into());
    let started = std::time::Instant::now();
    let ended = loop {
        if let Some(status) = relay.0.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < support::PATIENCE, "it goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let said = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("the newest fact of cpq.quote.events.v1[1]@1, of a later time of Q-1"), "{said}");
    assert!(said.contains("cpq verify restore"), "{said}");
    assert_eq!(database.count("select count(*) from cpq.relay_lease where owner is not null").await, 0);
}
