//! The floors' side: what the same servers do for the plainest client that does the same.

use crate::settings::{repository, variable};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use std::io::Write as _;
use std::process::Command;
use url::Url;

/// A connection as the tables' owner, who may empty them.
pub async fn owner() -> Result<PgConnection, String> {
    PgConnection::connect(&variable("CPQ_OWNER_DATABASE_URL")?).await.map_err(|e| format!("PostgreSQL: {e}"))
}

/// Forgets what was accepted and not yet published, and gives both sides tables in the same state.
pub async fn empty(owner: &mut PgConnection) -> Result<(), String> {
    owner.execute("truncate cpq.command, cpq.outbox_event").await.map(drop).map_err(|e| e.to_string())
}

/// One statement that writes what the gateway wrote for a command, of the same size, under new ids.
pub async fn statement_like_the_gateways() -> Result<String, String> {
    let mut truth = crate::truth::over_all_tenants().await?;
    let row = truth
        .fetch_one(
            "select format('with c as (insert into cpq.command (tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, \
               aggregate_type, aggregate_id, correlation_id, received_at) values (%L, :a || %L, %L, %L, :b || %L, %L, %L, %L || :a, %L, now()) \
               on conflict on constraint command_idempotency do nothing returning command_id) \
               insert into cpq.outbox_event (tenant_id, shard, topic, message_key, message_id, aggregate_type, headers, value) \
               select %L, mod(:a::bigint, 64), %L, %L || :a, command_id, %L, %L, %L from c;', \
             c.tenant_id, left(c.command_id, 8), c.operation, c.actor_id, left(c.idempotency_key, 8), c.fingerprint, c.aggregate_type, \
             left(c.aggregate_id, 2), c.correlation_id, o.tenant_id, o.topic, left(o.message_key, 2), o.aggregate_type, o.headers, o.value) \
             from cpq.command c join cpq.outbox_event o on o.message_id = c.command_id limit 1",
        )
        .await
        .map_err(|e| format!("no command to imitate: {e}"))?;
    row.try_get(0).map_err(|e| e.to_string())
}

/// Transactions per second of pgbench with this script, over so many connections for so many seconds.
pub fn pgbench(script: &str, clients: usize, seconds: u64) -> Result<f64, String> {
    let url = Url::parse(&variable("CPQ_DATABASE_URL")?).map_err(|e| e.to_string())?;
    let mut file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let ids = "\\set a random(100000000000000000, 999999999999999999)\n\\set b random(100000000000000000, 999999999999999999)\n";
    writeln!(file, "{ids}{script}").map_err(|e| e.to_string())?;
    let output = Command::new("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={seconds}"))
        .arg("--file")
        .arg(file.path())
        .args(["-h", url.host_str().unwrap_or_default(), "-U", url.username()])
        .args(["-p", &url.port().unwrap_or(5432).to_string(), url.path().trim_start_matches('/')])
        .env("PGPASSWORD", url.password().unwrap_or_default())
        .env("PGOPTIONS", "-c cpq.tenants={tenant-acme}")
        .output()
        .map_err(|e| format!("pgbench (package postgresql): {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.filter(|_| output.status.success())
        .ok_or_else(|| format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Records per second of Kafka's own producer-perf-test on this topic.
pub fn producer_perf_test(topic: &str, records: usize, record_size: usize) -> Result<f64, String> {
    let output = Command::new("deploy/kafka-tool.sh")
        .args(["ProducerPerformance", "--topic", topic, "--throughput", "-1"])
        .args(["--num-records", &records.to_string(), "--record-size", &record_size.to_string()])
        .args(["--producer-props", &format!("bootstrap.servers={}", variable("CPQ_KAFKA_BROKERS")?)])
        .args(["acks=all", "enable.idempotence=true"])
        .current_dir(repository())
        .output()
        .map_err(|e| format!("deploy/kafka-tool.sh: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // The last line sums up: `100000 records sent, 123456.7 records/sec (…`.
    let rate = text.lines().rev().find_map(|line| line.split(", ").nth(1)?.split(' ').next()?.parse().ok());
    rate.ok_or_else(|| format!("producer-perf-test: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn admin() -> Result<AdminClient<DefaultClientContext>, String> {
    ClientConfig::new().set("bootstrap.servers", variable("CPQ_KAFKA_BROKERS")?).create().map_err(|e| e.to_string())
}

/// Makes topics of the benchmarks' own.
pub async fn make_topics(names: &[&str], partitions: i32) -> Result<(), String> {
    let topics: Vec<NewTopic<'_>> =
        names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1))).collect();
    let made = admin()?.create_topics(&topics, &AdminOptions::new()).await.map_err(|e| e.to_string())?;
    made.into_iter().try_for_each(|topic| topic.map(drop).map_err(|(name, code)| format!("{name}: {code}")))
}

/// Removes them.
pub async fn remove_topics(names: &[&str]) -> Result<(), String> {
    admin()?.delete_topics(names, &AdminOptions::new()).await.map(drop).map_err(|e| e.to_string())
}
