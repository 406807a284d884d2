//! Topics read from their beginning with the registry's schemas: for proofs that need the facts themselves, and for
//! replays. What they prove is their own matter.

use crate::Failure;
use crate::kafka::{Reader, Stretch};
use crate::output::Progress;
use crate::settings::Stack;
use cpq_avro::registry::RegistrySource;
use cpq_avro::{DecodeError, Decoder, Event, EventEnvelope, Record, Schemas};
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 1_000;

/// Where an event stands on its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// An event with its envelope, or what is wrong with the record.
pub type Read = Result<(EventEnvelope, Event), String>;

/// Reads events. Calls block; run them off the async threads.
pub struct Events {
    reader: Reader,
    decoder: Decoder,
    runtime: Handle,
}

impl Events {
    /// Must be called on an async thread. Schemas come from the registry alone: nothing is asked of Postgres.
    pub fn connect(stack: &Stack) -> Result<Self, Failure> {
        let source =
            RegistrySource::new(&stack.schema_registry_url()?).map_err(Failure::because("the schema registry"))?;
        let schemas = Schemas::load().map_err(Failure::because("this build is broken"))?;
        let decoder = Decoder::new(schemas, &HashMap::new(), Arc::new(source));
        Ok(Self { reader: Reader::connect(&stack.kafka_brokers()?)?, decoder, runtime: Handle::current() })
    }

    /// What the topic holds now.
    pub fn stretches(&self, topic: &str) -> Result<Vec<Stretch>, Failure> {
        self.stretches_since(topic, None)
    }

    /// What the topic holds now, or from the first record at or after `since` (milliseconds).
    pub fn stretches_since(&self, topic: &str, since: Option<i64>) -> Result<Vec<Stretch>, Failure> {
        let count = self.reader.topics()?.get(topic).copied();
        let count = count.ok_or_else(|| Failure::failed(format!("there is no topic {topic}")))?;
        self.reader.stretches(&[(topic.to_owned(), count)], since)
    }

    /// Hands over each record of these stretches, in the order of its partition.
    pub fn each(
        &self,
        stretches: &[Stretch],
        mut judge: impl FnMut(Place, Read) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (progress, mut read) = (Progress::start(), 0_u64);
        self.read(stretches, |message, event| {
            read += 1;
            if read.is_multiple_of(PROGRESS_EVERY) {
                progress.say(&format!("{}: {read} records", message.topic()));
            }
            let (topic, partition, offset) = (message.topic().to_owned(), message.partition(), message.offset());
            judge(Place { topic, partition, offset }, event)
        })
    }

    /// Hands over each record of these stretches, as it came and as it was read, in the order of its partition.
    pub fn read(
        &self,
        stretches: &[Stretch],
        mut take: impl FnMut(&BorrowedMessage<'_>, Read) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.reader.read(stretches, |message| {
            let read = self.decode(message)?.and_then(|record| match record {
                Record::Event(envelope, event) => Ok((envelope, event)),
                _ => Err("this is no event".to_owned()),
            });
            take(message, read)
        })
    }

    /// Hands over each record as it came, in the order of its partition, for `take` to decode what it wants of them.
    pub fn read_raw(
        &self,
        stretches: &[Stretch],
        take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.reader.read(stretches, take)
    }

    /// The record; the inner error is its own fault.
    pub fn decode(&self, message: &BorrowedMessage<'_>) -> Result<Result<Record, String>, Failure> {
        match self.runtime.block_on(self.decoder.decode(message.payload().unwrap_or_default())) {
            Ok(record) => Ok(Ok(record)),
            Err(error @ DecodeError::Poison { .. }) => Ok(Err(error.to_string())),
            Err(error @ DecodeError::RegistryUnavailable { .. }) => Err(Failure::failed(error.to_string())),
        }
    }
}
