//! `cpq verify restore`: whether database and topics are of one time, as they are not after one of them was restored.
//! It changes nothing; docs/runbooks/database-restored.md says what to do.

use super::findings::Findings;
use crate::Failure;
use crate::kafka::{Bounds, REQUEST_TIMEOUT, Reader, client};
use crate::output::{Answer, Paint, Progress};
use crate::settings::Stack;
use clap::Args;
use cpq_runtime::processor::Processor as _;
use cpq_state_stores::Db;
use cpq_state_stores::operations::backlog::{self, ConsumerPosition};
use cpq_state_stores::outbox::{self, Published};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde::Serialize;
use std::collections::BTreeMap;
use streams::projection::Projection;
use streams::relay::guard::{FACTS, published};
use tokio::runtime::Handle;

/// Facts that are looked up together.
const BATCH: usize = 1_000;

/// Compare the topics with the database: facts that were published and are not recorded, and consumers whose
/// position contradicts their topic or what they have told Kafka. Exits 1 where one of the two was restored.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// Topics of facts; without any, the events of quotes, orders and workflows.
    topics: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Numbers {
    facts: u64,
    unrecorded: u64,
    positions: usize,
}

pub async fn run(args: &RestoreArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let (brokers, db, runtime) = (stack.kafka_brokers()?, stack.db()?, Handle::current());
    let given = args.topics.clone();
    let topics = if given.is_empty() { FACTS.iter().map(|topic| (*topic).to_owned()).collect() } else { given };
    let proof = tokio::task::spawn_blocking(move || prove(&brokers, &db, &topics, &runtime));
    let (numbers, findings) = proof.await.map_err(Failure::because("the proof was cut off"))??;
    let Numbers { facts, unrecorded, positions } = numbers;
    let proven = format!("{facts} published facts ({unrecorded} unrecorded), {positions} positions of consumers");
    findings.answer(&proven, &numbers, paint)
}

fn prove(brokers: &str, db: &Db, topics: &[String], runtime: &Handle) -> Result<(Numbers, Findings), Failure> {
    let (reader, mut findings) = (Reader::connect(brokers)?, Findings::default());
    let positions = runtime.block_on(async {
        let mut tx = db.begin_system().await?;
        let positions = backlog::positions(&mut tx).await?;
        tx.commit().await.map(|()| positions)
    })?;
    let mut numbers = Numbers { positions: positions.len(), ..Numbers::default() };
    judge_positions(brokers, &reader, &positions, &mut findings)?;

    let counts = reader.topics()?;
    let mut here = Vec::new();
    for topic in topics {
        let partitions = counts.get(topic).ok_or_else(|| Failure::usage(format!("there is no topic {topic}")))?;
        here.push((topic.clone(), *partitions));
    }
    let (progress, mut batch) = (Progress::start(), Vec::new());
    let mut look_up = |batch: &mut Vec<(String, Published)>| -> Result<(), Failure> {
        let (places, facts): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let unrecorded = runtime.block_on(async {
            let mut tx = db.begin_system().await?;
            let unrecorded = outbox::unrecorded(&mut tx, &facts).await?;
            tx.commit().await.map(|()| unrecorded)
        })?;
        numbers.facts += facts.len() as u64;
        numbers.unrecorded += unrecorded.len() as u64;
        for (place, fact) in unrecorded.into_iter().filter_map(|index| Some((places.get(index)?, facts.get(index)?))) {
            let Published { tenant_id, aggregate_id, event_id } = fact;
            findings.add(place, format!("{event_id} of {tenant_id} {aggregate_id} was published and is not recorded"));
        }
        progress.say(&format!("{} facts", numbers.facts));
        Ok(())
    };
    reader.read(&reader.stretches(&here, None)?, |message| {
        let place = format!("{}[{}]@{}", message.topic(), message.partition(), message.offset());
        batch.push((place, published(message)));
        if batch.len() < BATCH { Ok(()) } else { look_up(&mut batch) }
    })?;
    look_up(&mut batch)?;
    drop(progress);
    Ok((numbers, findings))
}

/// Positions beyond their topic, before it, or behind what was told to Kafka.
fn judge_positions(
    brokers: &str,
    reader: &Reader,
    positions: &[ConsumerPosition],
    findings: &mut Findings,
) -> Result<(), Failure> {
    let counts = reader.topics()?;
    let mut of: BTreeMap<&str, Vec<&ConsumerPosition>> = BTreeMap::new();
    for position in positions {
        of.entry(&position.consumer).or_default().push(position);
    }
    for (consumer, positions) in of {
        let told = told(brokers, consumer, &positions)?;
        for position in positions {
            let ConsumerPosition { topic, partition, next_offset, .. } = position;
            let place = format!("{consumer} in {topic}[{partition}]");
            if counts.get(topic).is_none_or(|partitions| partition >= partitions) {
                findings.add(place, format!("stands at {next_offset}, and there is no such partition"));
                continue;
            }
            let Bounds { low, high } = reader.bounds(topic, *partition)?;
            let told = told.get(&(topic.as_str(), *partition)).copied();
            if *next_offset > high {
                findings
                    .add(place, format!("stands at {next_offset}, beyond the topic's end {high}: the topic is older"));
            } else if *next_offset < low {
                findings.add(place, format!("stands at {next_offset}, before the topic's first record {low}"));
            } else if let Some(told) = told.filter(|told| told > next_offset) {
                findings
                    .add(place, format!("stands at {next_offset}, but has told Kafka {told}: the database is older"));
            }
        }
    }
    Ok(())
}

/// What the consumer's group has told Kafka. One that can redo its work may be behind that after a crash of the
/// database's server, and is not asked.
fn told<'a>(
    brokers: &str,
    consumer: &str,
    positions: &[&'a ConsumerPosition],
) -> Result<BTreeMap<(&'a str, i32), i64>, Failure> {
    if consumer == Projection.consumer() && Projection.can_be_redone() {
        return Ok(BTreeMap::new());
    }
    let failed = || Failure::because(format!("Kafka does not say what {consumer} has told it"));
    let group = cpq_runtime::consumer::group(consumer);
    let asking: BaseConsumer = client(brokers).set("group.id", group).create().map_err(failed())?;
    let mut asked = TopicPartitionList::new();
    for position in positions {
        asked.add_partition(&position.topic, position.partition);
    }
    let committed = asking.committed_offsets(asked, REQUEST_TIMEOUT).map_err(failed())?;
    Ok(positions
        .iter()
        .filter_map(|p| match committed.find_partition(&p.topic, p.partition)?.offset() {
            Offset::Offset(offset) => Some(((p.topic.as_str(), p.partition), offset)),
            _ => None,
        })
        .collect())
}
