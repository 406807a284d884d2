//! R2: from sending a command to seeing its event on the topic, at half of the load that the machine carries,
//! against the commits, produces and the fetch that cannot be left out, one after the other.

use super::http::{Client, Wait};
use super::{Extent, Question, Ratio, Target, Turn, floor, percentile};
use crate::settings::variable;
use cpq_avro::topics::QUOTE_EVENTS;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Headers;
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::{Connection, Executor, PgConnection};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Clients that find out what the machine carries, each waiting for its outcome.
const CLIENTS: usize = 48;
/// Connections of the even load.
const CONNECTIONS: usize = 64;
/// Commands per second of a load that leaves nearly everything idle: what is left is the way itself.
const LOW_RATE: f64 = 20.0;
/// Rounds of the floor in one turn.
const ROUNDS: usize = 200;
/// What the floor writes and sends: about what a command takes.
const VALUE: [u8; 600] = [7; 600];
const FLOOR_TOPIC: &str = "cpq.bench.latency.v1";
/// Longest wait for the last events of a turn.
const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(15);

const FLOOR: &str = "p50 of two commits, two acks=all produces and one fetch, one after the other";
const P50: Question = Question {
    id: "R2.p50",
    numerator: "command to event on topic at half load, p50",
    denominator: FLOOR,
    unit: "ms",
    target: Target::AtMost(1.5),
};
const P99: Question = Question {
    id: "R2.p99",
    numerator: "command to event on topic at half load, p99",
    target: Target::AtMost(6.0),
    ..P50
};

/// Measures both percentiles.
pub async fn measure(extent: Extent) -> Result<Vec<Ratio>, String> {
    let mut clients = Vec::new();
    for n in 0..CONNECTIONS {
        clients.push(Client::connect(n).await?);
    }
    let most;
    // The first ones find their way: connections, plans, code that the broker compiles.
    (clients, _) = carried(clients, extent.seconds).await?;
    (clients, most) = carried(clients, extent.seconds).await?;
    let mut floor = Floor::new().await?;
    let (mut p50, mut p99, mut single, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..extent.repeats {
        let unhurried;
        (clients, unhurried) = at_rate(clients, LOW_RATE, extent.seconds).await?;
        alone.extend(unhurried);
        let latencies;
        (clients, latencies) = at_rate(clients, most / 2.0, extent.seconds).await?;
        let (whole, one) = floor.turn().await?;
        let (middle, tail) = (percentile(latencies.clone(), 50.0), percentile(latencies, 99.0));
        p50.push(Turn { numerator: middle, denominator: whole });
        p99.push(Turn { numerator: tail, denominator: whole });
        single.push((middle / one, tail / one));
    }
    floor.drop().await?;
    let against = |part: fn(&(f64, f64)) -> f64| super::median(single.iter().map(part).collect());
    let notes = vec![
        format!(
            "at {LOW_RATE} commands/s: p50 {:.1} ms, p99 {:.1} ms",
            percentile(alone.clone(), 50.0),
            percentile(alone, 99.0)
        ),
        format!(
            "the machine carries {most:.0} quotes/s created to their outcome ({CLIENTS} clients); half of it is the load"
        ),
        format!(
            "against one commit and one acks=all produce: p50 {:.2}, p99 {:.2}",
            against(|s| s.0),
            against(|s| s.1)
        ),
    ];
    Ok(vec![P50.answer(p50, notes.clone()), P99.answer(p99, notes)])
}

/// Quotes per second that the whole way carries, by clients that each wait for the outcome.
async fn carried(clients: Vec<Client>, seconds: u64) -> Result<(Vec<Client>, f64), String> {
    let (until, done) = (Instant::now() + Duration::from_secs(seconds), Arc::new(AtomicUsize::new(0)));
    let (mut running, mut idle) = (JoinSet::new(), Vec::new());
    for (n, mut client) in clients.into_iter().enumerate() {
        if n >= CLIENTS {
            idle.push(client);
            continue;
        }
        let done = done.clone();
        running.spawn(async move {
            while Instant::now() < until {
                client.create_quote("bench-load", Wait::Decided).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, String>(client)
        });
    }
    let mut clients = running.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    clients.extend(idle);
    Ok((clients, done.load(Ordering::Relaxed) as f64 / seconds as f64))
}

/// When each command was due, by its correlation id.
type Due = Arc<Mutex<HashMap<String, Instant>>>;

/// Sends at an even rate, whether or not answers come, and gives the milliseconds from when each command was due
/// to when its event was read.
async fn at_rate(clients: Vec<Client>, rate: f64, seconds: u64) -> Result<(Vec<Client>, Vec<f64>), String> {
    let due = Due::default();
    let count = (rate * seconds as f64) as usize;
    let reader = tokio::spawn(events(reader(QUOTE_EVENTS)?, due.clone(), count));
    let (began, run) = (Instant::now(), ulid::Ulid::generate());
    let mut running = JoinSet::new();
    let connections = clients.len();
    for (n, mut client) in clients.into_iter().enumerate() {
        let due = due.clone();
        running.spawn(async move {
            for i in (n..count).step_by(connections) {
                let at = began + Duration::from_secs_f64(i as f64 / rate);
                tokio::time::sleep_until(at.into()).await;
                let correlation = format!("{run}-{i}");
                due.lock().unwrap_or_else(PoisonError::into_inner).insert(correlation.clone(), at);
                client.create_quote(&correlation, Wait::Accepted).await?;
            }
            Ok::<_, String>(client)
        });
    }
    let clients = running.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let latencies = tokio::time::timeout(PATIENCE, reader).await.map_err(|_| "not every event came")?;
    Ok((clients, latencies.map_err(|e| e.to_string())??))
}

async fn events(consumer: StreamConsumer, due: Due, count: usize) -> Result<Vec<f64>, String> {
    let mut latencies = Vec::with_capacity(count);
    while latencies.len() < count {
        let message = consumer.recv().await.map_err(|e| e.to_string())?;
        let seen = Instant::now();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let correlation = headers
            .filter(|header| header.key == "correlation_id")
            .find_map(|header| std::str::from_utf8(header.value?).ok().map(str::to_owned));
        let Some(correlation) = correlation else { continue };
        if let Some(at) = due.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation) {
            latencies.push((seen - at).as_secs_f64() * 1e3);
        }
    }
    Ok(latencies)
}

/// A consumer that stands at the end of every partition.
fn reader(topic: &str) -> Result<StreamConsumer, String> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", variable("CPQ_KAFKA_BROKERS")?)
        .set("group.id", "cpq-bench")
        .set("enable.auto.commit", "false")
        .create()
        .map_err(|e| e.to_string())?;
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST).map_err(|e| e.to_string())?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32);
    let mut assignment = rdkafka::TopicPartitionList::new();
    for partition in 0..partitions {
        let (_, high) = consumer.fetch_watermarks(topic, partition, REQUEST).map_err(|e| e.to_string())?;
        assignment.add_partition_offset(topic, partition, rdkafka::Offset::Offset(high)).map_err(|e| e.to_string())?;
    }
    consumer.assign(&assignment).map_err(|e| e.to_string())?;
    Ok(consumer)
}

/// The floor: the plainest clients of the same servers.
struct Floor {
    owner: PgConnection,
    producer: FutureProducer,
    consumer: StreamConsumer,
}

impl Floor {
    async fn new() -> Result<Self, String> {
        let mut owner = floor::owner().await?;
        let table = "create table if not exists cpq.bench_floor (id bigint generated always as identity primary key, value bytea)";
        owner.execute(table).await.map_err(|e| e.to_string())?;
        floor::make_topics(&[FLOOR_TOPIC], 1).await?;
        let producer = ClientConfig::new()
            .set("bootstrap.servers", variable("CPQ_KAFKA_BROKERS")?)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .create()
            .map_err(|e| e.to_string())?;
        let mut floor = Self { owner, producer, consumer: reader(FLOOR_TOPIC)? };
        // The first ones find their way: connections, metadata, plans.
        floor.round().await?;
        Ok(floor)
    }

    /// The medians of a whole round and of one commit with one produce, in milliseconds.
    async fn turn(&mut self) -> Result<(f64, f64), String> {
        let (mut whole, mut one) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (first, all) = self.round().await?;
            one.push(first);
            whole.push(all);
        }
        Ok((percentile(whole, 50.0), percentile(one, 50.0)))
    }

    async fn round(&mut self) -> Result<(f64, f64), String> {
        let began = Instant::now();
        self.commit().await?;
        self.produce().await?;
        let first = began.elapsed();
        self.commit().await?;
        self.produce().await?;
        for _ in 0..2 {
            self.consumer.recv().await.map_err(|e| e.to_string())?;
        }
        Ok((first.as_secs_f64() * 1e3, began.elapsed().as_secs_f64() * 1e3))
    }

    async fn commit(&mut self) -> Result<(), String> {
        let insert = sqlx::query("insert into cpq.bench_floor (value) values ($1)").bind(&VALUE[..]);
        insert.execute(&mut self.owner).await.map(drop).map_err(|e| e.to_string())
    }

    async fn produce(&self) -> Result<(), String> {
        let record = FutureRecord::to(FLOOR_TOPIC).key("floor").payload(&VALUE[..]);
        self.producer.send(record, REQUEST).await.map(drop).map_err(|(e, _)| e.to_string())
    }

    async fn drop(mut self) -> Result<(), String> {
        self.owner.execute("drop table cpq.bench_floor").await.map_err(|e| e.to_string())?;
        floor::remove_topics(&[FLOOR_TOPIC]).await?;
        self.owner.close().await.map_err(|e| e.to_string())
    }
}
