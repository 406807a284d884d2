//! Records on their way from the topics to a replay: read and decoded on a thread of its own, in batches of one
//! partition each, of bounded number and size.

use crate::Failure;
use crate::kafka::Stretch;
use crate::settings::Stack;
use crate::verify::events::Events;
use cpq_avro::Record;
use cpq_runtime::processor::Delivery;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Records that are handed over together.
const BATCH_RECORDS: usize = 500;
/// Bytes of the records of one batch, as they stand on the topic. A batch waits for each partition.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Batches that are read ahead.
const AHEAD: usize = 4;

/// Records of one partition, in order.
#[derive(Default)]
pub struct Batch {
    /// How many it stands for, those that are not wanted included.
    pub records: i64,
    pub deliveries: Vec<Delivery>,
    /// The records that are not of the kind.
    pub unreadable: Vec<Unreadable>,
    bytes: usize,
}

/// A record that cannot be read, or is not of the kind.
pub struct Unreadable {
    pub key: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    fault: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]@{}: {}", self.topic, self.partition, self.offset, self.fault)
    }
}

/// What a topic holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Events,
    Commands,
}

/// Which records are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub kind: Kind,
    /// Only this tenant's.
    pub tenant: Option<String>,
    /// Only this quote's or order's.
    pub key: Option<String>,
}

/// Where records come from.
#[derive(Clone)]
pub struct Source {
    events: Arc<Events>,
    wanted: Wanted,
}

/// Batches as they come.
pub struct Incoming {
    batches: mpsc::Receiver<Batch>,
    reading: JoinHandle<Result<(), Failure>>,
}

impl Incoming {
    /// The next batch; `None` at the end of what was to be read.
    pub async fn next(&mut self) -> Result<Option<Batch>, Failure> {
        match self.batches.recv().await {
            Some(batch) => Ok(Some(batch)),
            None => match (&mut self.reading).await {
                Ok(read) => read.map(|()| None),
                Err(cause) => Err(Failure::because("the reading was cut off")(cause)),
            },
        }
    }

    /// Ends the reading before its end; what it would have said is not wanted any more.
    pub async fn stop(mut self) {
        self.batches.close();
        let _ = self.reading.await;
    }
}

impl Source {
    /// Must be called on an async thread.
    pub fn connect(stack: &Stack, wanted: Wanted) -> Result<Self, Failure> {
        Ok(Self { events: Arc::new(Events::connect(stack)?), wanted })
    }

    /// What the topic holds, or from the first record at or after `since` (milliseconds).
    pub async fn stretches(&self, topic: &'static str, since: Option<i64>) -> Result<Vec<Stretch>, Failure> {
        let events = self.events.clone();
        let asked = tokio::task::spawn_blocking(move || events.stretches_since(topic, since));
        asked.await.map_err(Failure::because("the question to Kafka was cut off"))?
    }

    /// Reads these stretches, each in its order.
    pub fn read(&self, stretches: Vec<Stretch>) -> Incoming {
        let (sender, batches) = mpsc::channel(AHEAD);
        let source = self.clone();
        Incoming { batches, reading: tokio::task::spawn_blocking(move || source.send(&stretches, &sender)) }
    }

    fn send(&self, stretches: &[Stretch], sender: &mpsc::Sender<Batch>) -> Result<(), Failure> {
        let gone = |_| Failure::failed("the replay has ended");
        let mut open: HashMap<(String, i32), Batch> = HashMap::new();
        self.events.read_raw(stretches, |message| {
            let batch = open.entry((message.topic().to_owned(), message.partition())).or_default();
            batch.records += 1;
            batch.bytes += message.payload_len();
            if self.wants_key(message.key()) {
                self.take(message, batch)?;
            }
            if batch.records as usize >= BATCH_RECORDS || batch.bytes >= BATCH_BYTES {
                sender.blocking_send(std::mem::take(batch)).map_err(gone)?;
            }
            Ok(())
        })?;
        for batch in open.into_values().filter(|batch| batch.records > 0) {
            sender.blocking_send(batch).map_err(gone)?;
        }
        Ok(())
    }

    fn take(&self, message: &BorrowedMessage<'_>, batch: &mut Batch) -> Result<(), Failure> {
        let (topic, partition, offset) = (message.topic().to_owned(), message.partition(), message.offset());
        let read = self.events.decode(message)?.and_then(|record| self.wanted.kind.of(record));
        match read {
            Ok((tenant, key, record)) if self.wants_tenant(&tenant) => {
                batch.deliveries.push(Delivery { topic, partition, offset, key, record });
            }
            Ok(_) => {}
            Err(fault) => {
                let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                batch.unreadable.push(Unreadable { key, topic, partition, offset, fault });
            }
        }
        Ok(())
    }

    fn wants_key(&self, key: Option<&[u8]>) -> bool {
        self.wanted.key.as_deref().is_none_or(|wanted| key == Some(wanted.as_bytes()))
    }

    fn wants_tenant(&self, tenant: &str) -> bool {
        self.wanted.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
    }
}

impl Kind {
    /// The record's tenant and key, if it is of this kind.
    fn of(self, record: Record) -> Result<(String, String, Record), String> {
        let (tenant, key) = match (self, &record) {
            (Self::Events, Record::Event(envelope, _)) => (&envelope.tenant_id, &envelope.aggregate_id),
            (Self::Commands, Record::Command(meta, _, aggregate_id, _)) => (&meta.tenant_id, aggregate_id),
            (Self::Events, _) => return Err("this is no event".to_owned()),
            (Self::Commands, _) => return Err("this is no command".to_owned()),
        };
        Ok((tenant.to_string(), key.clone(), record))
    }
}
