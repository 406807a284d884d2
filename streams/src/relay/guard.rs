//! Before the relay sends anything: whether the events topics know of facts that the database does not. They get
//! none but from it, so then it was restored to an older point, and whatever it sent now would contradict what was
//! said before.

use super::Relay;
use cpq_avro::topics::{ORDER_EVENTS, QUOTE_EVENTS, WORKFLOW_EVENTS};
use cpq_runtime::backoff::Backoff;
use cpq_state_stores::StoreError;
use cpq_state_stores::outbox::{self, Published};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Topics that hold facts alone, each of which is a recorded transition.
pub const FACTS: &[&str] = &[QUOTE_EVENTS, ORDER_EVENTS, WORKFLOW_EVENTS];
/// Longest wait for one answer of Kafka.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the newest record of every partition.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// Why the relay must not begin.
#[derive(Debug, thiserror::Error)]
#[error(
    "the relay does not start: the newest fact of {place}, {event_id} of {aggregate_id}, is not in the database: it was \
     restored to an older point, or is another topic's; see `cpq verify restore`"
)]
pub struct TopicAhead {
    place: String,
    event_id: String,
    aggregate_id: String,
}

#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("kafka: no record came from {0}")]
    NoRecord(String),
    #[error("{0}")]
    Database(#[from] StoreError),
    #[error("the question was cut off: {0}")]
    CutOff(#[from] tokio::task::JoinError),
}

impl Relay {
    /// Compares the newest record of each partition of these topics with the recorded transitions. Waits for Kafka
    /// and the database; `false` if shutdown came first.
    pub async fn await_agreement(
        &self,
        topics: &'static [&'static str],
        shutdown: &CancellationToken,
    ) -> Result<bool, TopicAhead> {
        let mut backoff = Backoff::default();
        loop {
            match self.ahead(topics).await {
                Ok(None) => {
                    info!("the events topics and the database agree");
                    return Ok(true);
                }
                Ok(Some(ahead)) => {
                    self.status.set(Err(ahead.to_string()));
                    return Err(ahead);
                }
                Err(error) => {
                    warn!(%error, "the relay cannot compare the topics with the database now");
                    self.status.set(Err(error.to_string()));
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(false),
                () = tokio::time::sleep(backoff.pause()) => {}
            }
        }
    }

    async fn ahead(&self, topics: &'static [&'static str]) -> Result<Option<TopicAhead>, Unanswered> {
        let brokers = self.kafka_brokers.clone();
        // Topics first: what another relay publishes from now on was committed before.
        let newest = tokio::task::spawn_blocking(move || newest(&brokers, topics)).await??;
        let (places, facts): (Vec<String>, Vec<Published>) = newest.into_iter().unzip();
        let mut tx = self.db.begin_system().await?;
        let unrecorded = outbox::unrecorded(&mut tx, &facts).await?;
        tx.commit().await?;
        let found = unrecorded.first().and_then(|index| Some((places.get(*index)?, facts.get(*index)?)));
        Ok(found.map(|(place, fact)| TopicAhead {
            place: place.clone(),
            event_id: fact.event_id.clone(),
            aggregate_id: fact.aggregate_id.clone(),
        }))
    }
}

/// The newest record of each partition that has one, with its place.
fn newest(brokers: &str, topics: &[&str]) -> Result<Vec<(String, Published)>, Unanswered> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        // librdkafka wants a name; nothing joins or commits to it.
        .set("group.id", "cpq-relay-guard")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()?;
    let mut wanted = TopicPartitionList::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), KAFKA_TIMEOUT)?;
        // A topic that is not there yet has no partitions here.
        let partitions = metadata.topics().iter().flat_map(|found| found.partitions().iter().map(|p| p.id()));
        for partition in partitions {
            let (low, high) = consumer.fetch_watermarks(topic, partition, KAFKA_TIMEOUT)?;
            if high > low {
                wanted.add_partition_offset(topic, partition, Offset::Offset(high - 1))?;
            }
        }
    }
    read(&consumer, &wanted)
}

/// The first record of each of these, all at once: one after the other would take half a second each.
fn read(consumer: &BaseConsumer, wanted: &TopicPartitionList) -> Result<Vec<(String, Published)>, Unanswered> {
    consumer.assign(wanted)?;
    let mut found = BTreeMap::new();
    let begun = Instant::now();
    while found.len() < wanted.count() {
        if begun.elapsed() > READ_TIMEOUT {
            let silent = wanted.elements().into_iter().map(|e| (e.topic().to_owned(), e.partition()));
            let silent = silent.filter(|place| !found.contains_key(place));
            let silent: Vec<String> = silent.map(|(topic, partition)| format!("{topic}[{partition}]")).collect();
            return Err(Unanswered::NoRecord(silent.join(", ")));
        }
        if let Some(message) = consumer.poll(POLL) {
            let message = message?;
            // What was written since comes, too, and is newer than what is asked for.
            found.entry((message.topic().to_owned(), message.partition())).or_insert_with(|| {
                let place = format!("{}[{}]@{}", message.topic(), message.partition(), message.offset());
                (place, published(&message))
            });
        }
    }
    Ok(found.into_values().collect())
}

/// What a record's key and headers say of it; one that is none of ours says nothing, and is found in no table.
pub fn published(message: &BorrowedMessage<'_>) -> Published {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let header = |name: &str| {
        let found = message.headers().and_then(|headers| headers.iter().find(|header| header.key == name));
        text(found.and_then(|header| header.value))
    };
    Published { tenant_id: header("tenant_id"), aggregate_id: text(message.key()), event_id: header("ce_id") }
}
