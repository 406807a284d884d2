//! Three brokers, each in a network namespace of its own: the one that leads most partitions is killed under load and
//! comes back later. Nothing may be lost, no key overtaken. Runs on a stack of its own, which it starts and removes.

use super::{Extent, say, under_load};
use crate::history::History;
use crate::services::{Verb, stack};
use crate::settings::{repository, variable};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const BROKERS: usize = 3;
/// Deals that are accepted with one broker gone, before it comes back.
const WITHOUT: usize = 10;
/// Longest wait until other brokers lead, and until the one that came back has all again.
const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for one answer of Kafka.
const REQUEST: Duration = Duration::from_secs(5);
/// The product's topics.
const PREFIX: &str = "cpq.";

/// Whether the running stack is the drill's own.
pub fn here() -> bool {
    variable("CPQ_STACK_BROKERS").is_ok_and(|brokers| brokers == BROKERS.to_string())
}

/// Runs the drill on a stack of its own, which says what it does.
pub async fn elsewhere(extent: Extent) -> Result<String, String> {
    let mut command = tokio::process::Command::new("deploy/three-brokers.sh");
    command.args(["--deals", &extent.deals.to_string()]).current_dir(repository());
    let status = command.status().await.map_err(|e| format!("deploy/three-brokers.sh: {e}"))?;
    status.success().then(String::new).ok_or_else(|| format!("deploy/three-brokers.sh: {status}"))
}

/// A partition as the cluster's metadata shows it.
struct Partition {
    topic: String,
    number: i32,
    leader: i32,
    replicas: usize,
    in_sync: usize,
}

struct Cluster {
    client: BaseConsumer,
}

impl Cluster {
    fn connect() -> Result<Self, String> {
        let client = ClientConfig::new().set("bootstrap.servers", variable("CPQ_KAFKA_BROKERS")?).create();
        Ok(Self { client: client.map_err(|e| e.to_string())? })
    }

    fn partitions(&self) -> Result<Vec<Partition>, String> {
        let metadata = tokio::task::block_in_place(|| self.client.fetch_metadata(None, REQUEST));
        let metadata = metadata.map_err(|e| e.to_string())?;
        let topics = metadata.topics().iter().filter(|topic| topic.name().starts_with(PREFIX));
        Ok(topics
            .flat_map(|topic| {
                topic.partitions().iter().map(|partition| Partition {
                    topic: topic.name().to_owned(),
                    number: partition.id(),
                    leader: partition.leader(),
                    replicas: partition.replicas().len(),
                    in_sync: partition.isr().len(),
                })
            })
            .collect())
    }

    /// The end of a partition; `None` where its leader does not answer.
    fn end(&self, topic: &str, number: i32) -> Option<i64> {
        let bounds = tokio::task::block_in_place(|| self.client.fetch_watermarks(topic, number, REQUEST));
        bounds.ok().map(|(_, high)| high)
    }
}

pub async fn run(history: &History, deals: usize) -> Result<Vec<String>, String> {
    let cluster = Cluster::connect()?;
    let mut load = under_load(history, deals).await?;
    let (victim, led) = busiest(&cluster)?;
    let name = format!("kafka{victim}");
    let ends: BTreeMap<(String, i32), Option<i64>> =
        led.iter().map(|(topic, number)| ((topic.clone(), *number), cluster.end(topic, *number))).collect();
    if !load.in_flight() {
        return Err("all deals were done before the broker was killed: run with more deals".to_owned());
    }
    let on_their_way = history.in_flight();
    stack(Verb::Kill, &[&name]).await?;
    let killed = Instant::now();
    say(&format!("killed {name}, the leader of {} partitions, on {on_their_way} commands unanswered", led.len()));
    goes_on(&cluster, victim, &ends, killed).await?;
    let done = load.finished();
    load.reaches(done + WITHOUT).await?;
    say(&format!("{} more deals were accepted without {name}", load.finished() - done));
    stack(Verb::Start, &[&name]).await?;
    in_sync(&cluster, &name).await?;
    if !load.in_flight() {
        return Err(format!("all deals were done before {name} was back: run with more deals"));
    }
    load.end().await
}

/// The broker that leads most partitions, and those.
fn busiest(cluster: &Cluster) -> Result<(i32, Vec<(String, i32)>), String> {
    let mut led: BTreeMap<i32, Vec<(String, i32)>> = BTreeMap::new();
    for Partition { topic, number, leader, replicas, in_sync } in cluster.partitions()? {
        if (replicas, in_sync) != (BROKERS, BROKERS) {
            return Err(format!("{topic}[{number}] has {in_sync} of {replicas} replicas in sync; expected {BROKERS}"));
        }
        led.entry(leader).or_default().push((topic, number));
    }
    let counts: Vec<String> = led.iter().map(|(broker, led)| format!("kafka{broker} {}", led.len())).collect();
    say(&format!("every partition has {BROKERS} replicas in sync; leaders: {}", counts.join(", ")));
    led.into_iter().max_by_key(|(_, led)| led.len()).ok_or_else(|| "there are no topics".to_owned())
}

/// Waits until others lead what the killed broker led, and the relay puts records there again.
async fn goes_on(
    cluster: &Cluster,
    victim: i32,
    ends: &BTreeMap<(String, i32), Option<i64>>,
    killed: Instant,
) -> Result<(), String> {
    let (mut led, mut relayed) = (None, None);
    while led.is_none() || relayed.is_none() {
        let elapsed = killed.elapsed();
        if elapsed > LIMIT {
            return Err(format!(
                "{} s after the kill: leaders again {led:?}, relay goes on {relayed:?}",
                LIMIT.as_secs()
            ));
        }
        // What does not answer just now is asked again.
        if led.is_none()
            && cluster.partitions().is_ok_and(|all| all.iter().all(|p| p.leader >= 0 && p.leader != victim))
        {
            led = Some(killed.elapsed());
            say(&format!("after {:.1} s every partition has a leader again", killed.elapsed().as_secs_f64()));
        }
        if led.is_some() {
            let grown = |((topic, number), before): (&(String, i32), &Option<i64>)| {
                cluster.end(topic, *number).zip(*before).is_some_and(|(now, before)| now > before)
            };
            let grown = ends.iter().filter(|entry| grown(*entry)).count();
            if grown > 0 {
                relayed = Some(killed.elapsed());
                say(&format!(
                    "after {:.1} s the relay put records on {grown} of those partitions",
                    killed.elapsed().as_secs_f64()
                ));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Waits until the broker that came back has every record again.
async fn in_sync(cluster: &Cluster, name: &str) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let behind = cluster.partitions().map(|all| all.iter().filter(|p| p.in_sync < BROKERS).count());
        if behind == Ok(0) {
            say(&format!(
                "{name} is back, and {:.1} s later in sync in every partition",
                began.elapsed().as_secs_f64()
            ));
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            return Err(format!("{name} is not in sync after {} s: {behind:?} partitions", LIMIT.as_secs()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
