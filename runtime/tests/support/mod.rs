//! What tests on the real stack share: a database of their own in the stack's server, topics of their own in
//! its broker, and waiting for what must come.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use cpq_state_stores::Db;
use cpq_state_stores::outbox::OutboxRow;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    message::{Headers as _, Message as _},
    producer::{FutureProducer, FutureRecord},
};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, postgres::PgRow};
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Whatever must come has come by then.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A variable of the stack's environment.
pub fn stack(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run through `make test` (or `source .stack/env`)"))
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{:08x}", rand_u32())
}

fn rand_u32() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish() as u32
}

/// A migrated database of its own, removed at the end.
pub struct TestDatabase {
    pub name: String,
    pub url: String,
    pub db: Db,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let (owner, app) = (stack("CPQ_OWNER_DATABASE_URL"), stack("CPQ_DATABASE_URL"));
        let name = unique("cpq_test");
        let mut connection = PgConnection::connect(&owner).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
        cpq_state_stores::db::migrate(&in_database(&owner, &name)).await.unwrap();
        let url = in_database(&app, &name);
        let db = Db::connect_lazy(&url, "test", 20).unwrap();
        Self { name, url, db }
    }

    /// A connection of its own that sees every tenant.
    pub async fn connect(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        connection.execute("set role cpq_system").await.unwrap();
        connection
    }

    pub async fn rows(&self, query: &'static str) -> Vec<PgRow> {
        sqlx::query(query).fetch_all(&mut self.connect().await).await.unwrap()
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        self.rows(query).await[0].get(0)
    }

    pub async fn execute(&self, statement: &'static str) {
        self.connect().await.execute(statement).await.unwrap();
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (owner, app, name) = (stack("CPQ_OWNER_DATABASE_URL"), self.url.clone(), self.name.clone());
        let removed = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                // Sessions may be ended by their own role only.
                let mut session = PgConnection::connect(&app).await?;
                session
                    .execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity \
                         where datname = current_database() and pid <> pg_backend_pid() and usename = current_user",
                    )
                    .await?;
                session.close().await?;
                let mut connection = PgConnection::connect(&owner).await?;
                connection.execute(sqlx::AssertSqlSafe(format!("drop database {name}"))).await
            })
        });
        if let Ok(Err(error)) = removed.join() {
            eprintln!("the test's database stays: {error}");
        }
    }
}

fn in_database(url: &str, name: &str) -> String {
    format!("{}/{name}", url.rsplit_once('/').unwrap().0)
}

/// Makes a topic.
pub async fn create_topic(name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
    let topic = settings
        .iter()
        .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), |topic, (k, v)| topic.set(k, v));
    for result in admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
}

pub fn kafka() -> ClientConfig {
    kafka_at(&stack("CPQ_KAFKA_BROKERS"))
}

fn kafka_at(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Puts records on a topic, in order, and waits for their acknowledgement.
pub async fn produce(topic: &str, records: impl IntoIterator<Item = (String, String)>) {
    let producer: FutureProducer =
        kafka().set("partitioner", "murmur2_random").set("enable.idempotence", "true").create().unwrap();
    let records: Vec<_> = records.into_iter().collect();
    let sent: Vec<_> = records
        .iter()
        .map(|(key, value)| producer.send_result(FutureRecord::to(topic).key(key).payload(value)).unwrap())
        .collect();
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }
}

/// A record as it stands on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: String,
    pub headers: Vec<(String, String)>,
}

/// Everything on a topic from offset 0, until `enough` says so; panics when it does not come.
pub async fn read_topic(topic: &str, partitions: i32, enough: impl Fn(&[Seen]) -> bool + Send + 'static) -> Vec<Seen> {
    read_from(&stack("CPQ_KAFKA_BROKERS"), topic, partitions, enough).await
}

/// As [`read_topic`], from another broker than the stack's.
pub async fn read_from(
    brokers: &str,
    topic: &str,
    partitions: i32,
    enough: impl Fn(&[Seen]) -> bool + Send + 'static,
) -> Vec<Seen> {
    let (config, topic) = (kafka_at(brokers), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer =
            config.clone().set("group.id", "test-reader").set("enable.auto.commit", "false").create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut seen, started) = (Vec::new(), Instant::now());
        while !enough(&seen) {
            assert!(started.elapsed() < PATIENCE, "{topic}: only {} records came", seen.len());
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let headers = message
                .headers()
                .map(|headers| headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect());
            seen.push(Seen {
                partition: message.partition(),
                offset: message.offset(),
                key: text(message.key()),
                value: text(message.payload()),
                headers: headers.unwrap_or_default(),
            });
        }
        seen
    })
    .await
    .unwrap()
}

/// Waits until `check` holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let started = Instant::now();
    while !check().await {
        assert!(started.elapsed() < PATIENCE, "it never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An outbox row of a test.
pub fn row(tenant: &str, topic: &str, key: &str, value: &str) -> OutboxRow {
    let headers = vec![("ce_id".to_owned(), format!("{key}-{value}")), ("tenant_id".to_owned(), tenant.to_owned())];
    let id = format!("{key}-{value}");
    OutboxRow::new(&tenant.into(), topic, key, &id, "TEST", None, headers, value.as_bytes().to_vec())
}
