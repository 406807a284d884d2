//! The events of the views on their way from the topics to the rebuild: read and decoded on a thread of its own,
//! in batches of one partition each, of bounded number and size.

use crate::Failure;
use crate::kafka::Stretch;
use crate::settings::Stack;
use crate::verify::events::Events;
use cpq_avro::Record;
use cpq_runtime::processor::Delivery;
use rdkafka::Message;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Events that are applied together.
const BATCH_EVENTS: usize = 500;
/// Bytes of the records of one batch, as they stand on the topic. A batch waits for each partition.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Batches that are read ahead.
const AHEAD: usize = 4;

/// Records of one partition, in order.
#[derive(Default)]
pub struct Batch {
    /// How many it stands for, those of other tenants included.
    pub records: i64,
    pub deliveries: Vec<Delivery>,
    /// Key and fault of the records that are no events.
    pub unreadable: Vec<(String, String)>,
    bytes: usize,
}

/// Where events come from.
#[derive(Clone)]
pub struct Source {
    events: Arc<Events>,
    /// Only this tenant's.
    tenant: Option<String>,
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
    pub fn connect(stack: &Stack, tenant: Option<String>) -> Result<Self, Failure> {
        Ok(Self { events: Arc::new(Events::connect(stack)?), tenant })
    }

    /// What the topic holds.
    pub async fn stretches(&self, topic: &'static str) -> Result<Vec<Stretch>, Failure> {
        let events = self.events.clone();
        let asked = tokio::task::spawn_blocking(move || events.stretches(topic));
        asked.await.map_err(Failure::because("the question to Kafka was cut off"))?
    }

    /// Reads these stretches, each in its order.
    pub fn read(&self, stretches: Vec<Stretch>) -> Incoming {
        let (sender, batches) = mpsc::channel(AHEAD);
        let source = self.clone();
        Incoming { batches, reading: tokio::task::spawn_blocking(move || source.send(&stretches, &sender)) }
    }

    fn send(&self, stretches: &[Stretch], sender: &mpsc::Sender<Batch>) -> Result<(), Failure> {
        let gone = |_| Failure::failed("the rebuild has ended");
        let mut open: HashMap<(String, i32), Batch> = HashMap::new();
        self.events.read(stretches, |message, read| {
            let batch = open.entry((message.topic().to_owned(), message.partition())).or_default();
            batch.records += 1;
            batch.bytes += message.payload_len();
            match read {
                Ok((envelope, event)) if self.wants(envelope.tenant_id.as_str()) => batch.deliveries.push(Delivery {
                    topic: message.topic().to_owned(),
                    partition: message.partition(),
                    offset: message.offset(),
                    key: envelope.aggregate_id.clone(),
                    record: Record::Event(envelope, event),
                }),
                Ok(_) => {}
                Err(fault) => {
                    let place = format!("{}[{}]@{}", message.topic(), message.partition(), message.offset());
                    let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                    batch.unreadable.push((key, format!("{place}: {fault}")));
                }
            }
            if batch.records as usize >= BATCH_EVENTS || batch.bytes >= BATCH_BYTES {
                sender.blocking_send(std::mem::take(batch)).map_err(gone)?;
            }
            Ok(())
        })?;
        for batch in open.into_values().filter(|batch| batch.records > 0) {
            sender.blocking_send(batch).map_err(gone)?;
        }
        Ok(())
    }

    fn wants(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
    }
}
