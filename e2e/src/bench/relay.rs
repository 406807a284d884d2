//! R3: how fast the relay brings committed rows to their topic, against Kafka's own producer-perf-test.

use super::{Extent, Question, Ratio, Target, Turn, floor};
use crate::services::{Own, Verb, stack};
use crate::settings::variable;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::Executor;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Records of one turn.
const RECORDS: i64 = 200_000;
/// Aggregates that they are of.
const KEYS: i64 = 2_000;
/// Bytes of a value: about a `QuotePriced` with a few lines.
const VALUE_BYTES: usize = 1_000;
const TOPIC: &str = "cpq.bench.relay.v1";
const FLOOR_TOPIC: &str = "cpq.bench.floor.v1";
const PARTITIONS: i32 = 6;
/// The rate is taken between these shares of the records, so that neither starting nor ending is in it.
const FROM: f64 = 0.1;
const TO: f64 = 0.95;
/// Longest wait for all records.
const PATIENCE: Duration = Duration::from_secs(120);
const REQUEST: Duration = Duration::from_secs(15);

const QUESTION: Question = Question {
    id: "R3",
    numerator: "relay: outbox rows to acknowledged records, in order per key, rows deleted",
    denominator: "kafka-producer-perf-test, same record size, acks=all, idempotent",
    unit: "records/s",
    target: Target::AtLeast(0.5),
};

/// Measures it.
pub async fn measure(extent: Extent) -> Result<Ratio, String> {
    stack(Verb::Stop, &["streams", "camunda-bridge"]).await?;
    let brokers = variable("CPQ_KAFKA_BROKERS")?;
    floor::make_topics(&[TOPIC, FLOOR_TOPIC], PARTITIONS).await?;
    let mut owner = floor::owner().await?;
    let mut turns = Vec::new();
    let mut record_bytes = 0;
    for _ in 0..extent.repeats {
        floor::empty(&mut owner).await?;
        record_bytes = fill().await?;
        let numerator = relayed(&brokers).await?;
        let floor =
            tokio::task::spawn_blocking(move || floor::producer_perf_test(FLOOR_TOPIC, RECORDS as usize, record_bytes));
        turns.push(Turn { numerator, denominator: floor.await.map_err(|e| e.to_string())?? });
    }
    floor::remove_topics(&[TOPIC, FLOOR_TOPIC]).await?;
    stack(Verb::Start, &["streams", "camunda-bridge"]).await?;
    let notes = vec![format!("{RECORDS} records of {KEYS} keys, {record_bytes} bytes with key and headers")];
    Ok(QUESTION.answer(turns, notes))
}

/// Fills the outbox; gives the size of a record.
async fn fill() -> Result<usize, String> {
    let mut truth = crate::truth::over_all_tenants().await?;
    // Values that no compression shortens, as the floor's are.
    let rows = format!(
        "insert into cpq.outbox_event (tenant_id, shard, topic, message_key, message_id, aggregate_type, aggregate_sequence, headers, value) \
         select 'tenant-acme', abs(hashint8(n % {KEYS})) % 64, '{TOPIC}', 'Q-bench-' || (n % {KEYS}), gen_random_uuid()::text, 'QUOTE', n / {KEYS} + 1, \
           '[[\"ce_specversion\", \"1.0\"], [\"ce_source\", \"/cpq/streams\"], [\"ce_type\", \"com.cpq.quote.QuotePriced.v1\"], [\"tenant_id\", \"tenant-acme\"]]', \
           (select decode(string_agg(md5(n::text || m::text), ''), 'hex') from generate_series(1, {VALUE_BYTES} / 16) m) \
         from generate_series(0, {RECORDS} - 1) n order by n"
    );
    truth.execute(sqlx::AssertSqlSafe(rows)).await.map_err(|e| e.to_string())?;
    let bytes: i32 = sqlx::query_scalar(
        "select length(value) + length(message_key) + (select sum(length(h ->> 0) + length(h ->> 1))::int from jsonb_array_elements(headers) h) \
         from cpq.outbox_event limit 1",
    )
    .fetch_one(&mut truth)
    .await
    .map_err(|e| e.to_string())?;
    Ok(bytes as usize)
}

/// Starts a relay on the full outbox and takes its rate from the topic's end.
async fn relayed(brokers: &str) -> Result<f64, String> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().map_err(|e| e.to_string())?;
    let log = PathBuf::from(variable("CPQ_STACK_DIR")?).join("logs/bench-relay.log");
    let before = end(&consumer)?;
    let relay =
        Own::start("streams", &["--role", "relay"], &[("CPQ_STREAMS_ADMIN_ADDR", "127.0.0.1:0".to_owned())], &log)?;
    let began = Instant::now();
    let (mut first, mut last) = (None, None);
    while last.is_none() {
        let share = (end(&consumer)? - before) as f64 / RECORDS as f64;
        let now = (Instant::now(), share);
        if share >= FROM {
            first.get_or_insert(now);
        }
        if share >= TO {
            last = Some(now);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!(
                "the relay brought {:.0} % in {} s; see {}",
                share * 100.0,
                PATIENCE.as_secs(),
                log.display()
            ));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Marks come behind; the relay is done when the table is empty.
    let mut truth = crate::truth::over_all_tenants().await?;
    while began.elapsed() < PATIENCE {
        let left: bool = sqlx::query_scalar("select exists (select from cpq.outbox_event)")
            .fetch_one(&mut truth)
            .await
            .map_err(|e| e.to_string())?;
        if !left {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    relay.kill()?;
    match (first, last) {
        (Some((t0, s0)), Some((t1, s1))) if s1 > s0 => Ok((s1 - s0) * RECORDS as f64 / (t1 - t0).as_secs_f64()),
        _ => Err("the relay was done before it could be measured".to_owned()),
    }
}

fn end(consumer: &BaseConsumer) -> Result<i64, String> {
    (0..PARTITIONS)
        .map(|partition| consumer.fetch_watermarks(TOPIC, partition, REQUEST).map(|(_, high)| high))
        .sum::<Result<i64, _>>()
        .map_err(|e| e.to_string())
}
