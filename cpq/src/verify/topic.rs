//! `cpq verify topic`: reads events topics as an outsider and proves their order.

use super::findings::Findings;
use super::outsider::Outsider;
use super::sequence::{Facts, Sequences};
use crate::Failure;
use crate::kafka::{Reader, Stretch};
use crate::output::{Answer, Paint, Progress};
use crate::settings::Stack;
use clap::Args;
use cpq_avro::registry::RegistrySource;
use cpq_avro::topics::{ORDER_EVENTS, QUOTE_EVENTS, WORKFLOW_EVENTS};
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use serde::Serialize;
use std::time::Instant;
use tokio::runtime::Handle;

/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 5_000;

/// Read events topics as an outsider and prove that per aggregate the sequence has no gap and no inversion,
/// that repeats are identical, and that the key is the aggregate's id.
#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    /// Events topics; without any, those of quotes, orders and workflows.
    topics: Vec<String>,
    /// Demands that the topics still have their beginning, so that each aggregate must begin at 1. Without it, where
    /// retention has removed records an aggregate may begin later.
    #[arg(long)]
    from_beginning: bool,
}

/// What was read of one topic.
#[derive(Debug, Default, Serialize)]
struct Numbers {
    topic: String,
    partitions: usize,
    records: u64,
    aggregates: usize,
    repeats: u64,
}

pub async fn run(args: &TopicArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let brokers = stack.kafka_brokers()?;
    let source = RegistrySource::new(&stack.schema_registry_url()?).map_err(Failure::because("the schema registry"))?;
    let mut topics = args.topics.clone();
    if topics.is_empty() {
        topics = [QUOTE_EVENTS, ORDER_EVENTS, WORKFLOW_EVENTS].map(str::to_owned).to_vec();
    }
    let (from_beginning, runtime) = (args.from_beginning, Handle::current());
    let proof = move || prove(&brokers, &topics, Outsider::new(source, runtime), from_beginning);
    let (numbers, findings) =
        tokio::task::spawn_blocking(proof).await.map_err(Failure::because("the proof was cut off"))??;
    let records: u64 = numbers.iter().map(|n| n.records).sum();
    let aggregates: usize = numbers.iter().map(|n| n.aggregates).sum();
    let repeats: u64 = numbers.iter().map(|n| n.repeats).sum();
    let proven = format!("{records} records of {aggregates} aggregates in {} topics, {repeats} repeats", numbers.len());
    findings.answer(&proven, &numbers, paint)
}

fn prove(
    brokers: &str,
    topics: &[String],
    mut outsider: Outsider<RegistrySource>,
    from_beginning: bool,
) -> Result<(Vec<Numbers>, Findings), Failure> {
    let reader = Reader::connect(brokers)?;
    let there = reader.topics()?;
    let (mut numbers, mut findings) = (Vec::new(), Findings::default());
    for topic in topics {
        let partitions = there.get(topic).copied();
        let partitions = partitions.ok_or_else(|| {
            Failure::usage(format!("there is no topic {topic}; `cpq topics apply` makes those of topics.yaml"))
        })?;
        let stretches = reader.stretches(&[(topic.clone(), partitions)], None)?;
        if from_beginning {
            for cut in stretches.iter().filter(|stretch| stretch.start > 0) {
                findings.add(place(cut), format!("begins at offset {}: older records are gone", cut.start));
            }
        }
        numbers.push(prove_topic(&reader, topic, &stretches, &mut outsider, from_beginning, &mut findings)?);
    }
    Ok((numbers, findings))
}

fn place(stretch: &Stretch) -> String {
    format!("{}[{}]", stretch.topic, stretch.partition)
}

fn prove_topic(
    reader: &Reader,
    topic: &str,
    stretches: &[Stretch],
    outsider: &mut Outsider<RegistrySource>,
    from_beginning: bool,
    findings: &mut Findings,
) -> Result<Numbers, Failure> {
    let whole: Vec<i32> = stretches.iter().filter(|s| s.start == 0).map(|s| s.partition).collect();
    let all: i64 = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
    let (progress, began) = (Progress::start(), Instant::now());
    let mut sequences = Sequences::default();
    let mut records = 0_u64;
    reader.read(stretches, |message| {
        records += 1;
        if records.is_multiple_of(PROGRESS_EVERY) {
            let rate = records as f64 / began.elapsed().as_secs_f64();
            progress.say(&format!("{topic}: {records} of {all} records, {rate:.0}/s"));
        }
        let from_one = from_beginning || whole.contains(&message.partition());
        let judged = match outsider.facts(message.payload().unwrap_or_default())? {
            Ok(facts) => judge(message, facts, &mut sequences, from_one),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = judged {
            findings.add(format!("{topic}[{}]@{}", message.partition(), message.offset()), fault);
        }
        Ok(())
    })?;
    let (aggregates, repeats) = (sequences.aggregates(), sequences.repeats);
    Ok(Numbers { topic: topic.to_owned(), partitions: stretches.len(), records, aggregates, repeats })
}

fn judge(message: &BorrowedMessage<'_>, facts: Facts, sequences: &mut Sequences, from_one: bool) -> Result<(), String> {
    let key = message.key().unwrap_or_default();
    if key != facts.aggregate_id.as_bytes() {
        let key = String::from_utf8_lossy(key);
        return Err(format!("the key is '{key}', the aggregate {}", facts.aggregate_id));
    }
    sequences.judge(facts, message.payload().unwrap_or_default(), message.partition(), from_one)
}
