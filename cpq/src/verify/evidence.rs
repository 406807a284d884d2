//! `cpq verify evidence`: reads the events of quotes and orders from their topics, and nothing else, and proves
//! each quote's chain.

use super::chain::{Chain, order_rests};
use super::findings::Findings;
use crate::Failure;
use crate::kafka::Reader;
use crate::output::{Answer, Paint, Progress};
use crate::settings::Stack;
use cpq_avro::registry::RegistrySource;
use cpq_avro::topics::{ORDER_EVENTS, QUOTE_EVENTS};
use cpq_avro::{DecodeError, Decoder, Event, EventEnvelope, Record, Schemas};
use cpq_domain::ids::QuoteId;
use cpq_domain::order::OrderEvent;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 1_000;

/// What was proven.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    quotes: usize,
    quote_events: u64,
    accepted: usize,
    orders: u64,
}

pub async fn run(stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let brokers = stack.kafka_brokers()?;
    let source = RegistrySource::new(&stack.schema_registry_url()?).map_err(Failure::because("the schema registry"))?;
    let schemas = Schemas::load().map_err(Failure::because("this build is broken"))?;
    // Ids come from the registry alone: this proof asks nothing of Postgres.
    let decoder = Decoder::new(schemas, &HashMap::new(), Arc::new(source));
    let runtime = Handle::current();
    let proof = move || Proof::new(Reader::connect(&brokers)?, decoder, runtime).run();
    let (numbers, findings) =
        tokio::task::spawn_blocking(proof).await.map_err(Failure::because("the proof was cut off"))??;
    let Numbers { quotes, quote_events, accepted, orders } = &numbers;
    let proven = format!("{quote_events} events of {quotes} quotes, {accepted} acceptances, {orders} orders");
    findings.answer(&proven, &numbers, paint)
}

/// The proof while it runs.
struct Proof {
    reader: Reader,
    decoder: Decoder,
    runtime: Handle,
    chains: HashMap<String, Chain>,
    numbers: Numbers,
    findings: Findings,
}

impl Proof {
    fn new(reader: Reader, decoder: Decoder, runtime: Handle) -> Self {
        let (chains, numbers, findings) = (HashMap::new(), Numbers::default(), Findings::default());
        Self { reader, decoder, runtime, chains, numbers, findings }
    }

    fn run(mut self) -> Result<(Numbers, Findings), Failure> {
        let partitions = self.reader.topics()?;
        // Orders rest on quotes, so the quotes' topic is read whole before.
        for topic in [QUOTE_EVENTS, ORDER_EVENTS] {
            let count =
                partitions.get(topic).copied().ok_or_else(|| Failure::failed(format!("there is no topic {topic}")))?;
            let stretches = self.reader.stretches(&[(topic.to_owned(), count)], None)?;
            let (progress, mut read) = (Progress::start(), 0_u64);
            let Self { reader, decoder, runtime, chains, numbers, findings } = &mut self;
            reader.read(&stretches, |message| {
                read += 1;
                if read.is_multiple_of(PROGRESS_EVERY) {
                    progress.say(&format!("{topic}: {read} records"));
                }
                let judged = match decode(decoder, runtime, message)? {
                    Ok(Record::Event(envelope, event)) => judge(chains, numbers, &envelope, &event),
                    Ok(_) => Err("this is no event".to_owned()),
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = judged {
                    findings.add(format!("{topic}[{}]@{}", message.partition(), message.offset()), fault);
                }
                Ok(())
            })?;
        }
        self.numbers.quotes = self.chains.len();
        self.numbers.accepted = self.chains.values().filter(|chain| chain.sold().is_some()).count();
        Ok((self.numbers, self.findings))
    }
}

/// The record; the inner error is the record's own fault.
fn decode(
    decoder: &Decoder,
    runtime: &Handle,
    message: &BorrowedMessage<'_>,
) -> Result<Result<Record, String>, Failure> {
    match runtime.block_on(decoder.decode(message.payload().unwrap_or_default())) {
        Ok(record) => Ok(Ok(record)),
        Err(error @ DecodeError::Poison { .. }) => Ok(Err(error.to_string())),
        Err(error @ DecodeError::RegistryUnavailable { .. }) => Err(Failure::failed(error.to_string())),
    }
}

fn judge(
    chains: &mut HashMap<String, Chain>,
    numbers: &mut Numbers,
    envelope: &EventEnvelope,
    event: &Event,
) -> Result<(), String> {
    let name = || format!("{} of {}", event.name(), envelope.aggregate_id);
    match event {
        Event::Quote(quote_event) => {
            let id = &envelope.aggregate_id;
            let chain = chains
                .entry(id.clone())
                .or_insert_with(|| Chain::new(envelope.tenant_id.clone(), QuoteId::new(id.as_str())));
            // A repeat: `verify topic` proves that it is identical.
            if envelope.aggregate_sequence <= chain.sequence() {
                return Ok(());
            }
            numbers.quote_events += 1;
            chain.judge(quote_event, envelope.occurred_at).map_err(|fault| format!("{}: {fault}", name()))
        }
        Event::Order(OrderEvent::OrderCreated(created)) => {
            numbers.orders += 1;
            let sold = chains.get(created.order.quote_id.as_str()).and_then(Chain::sold);
            order_rests(sold, &created.order).map_err(|fault| format!("{}: {fault}", name()))
        }
        Event::Order(_) | Event::Workflow(_) => Ok(()),
    }
}
