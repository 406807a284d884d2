//! What the commands ask of Kafka: where partitions begin and end, and their records between two offsets, read
//! as an outsider would, in no consumer group.

use crate::Failure;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a broker may take to answer one question.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a read waits for its next record before it is given up: the records are known to be there.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(200);

/// Settings of every client of the command line.
pub fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "cpq")
        .set("socket.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string())
        // Failures are answered once, by the command; librdkafka's own log would only repeat them.
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    config
}

/// Offsets of a partition: the oldest record still kept, and the one after the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub low: i64,
    pub high: i64,
}

/// A piece of a partition: from `start` to before `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub topic: String,
    pub partition: i32,
    pub start: i64,
    pub end: i64,
}

/// Reads topics as nobody in particular: no group, no commits. Calls block; run them off the async threads.
pub struct Reader {
    consumer: BaseConsumer,
}

fn failed(what: String) -> impl FnOnce(rdkafka::error::KafkaError) -> Failure {
    move |cause| Failure::failed(format!("Kafka: {what}: {cause}"))
}

impl Reader {
    pub fn connect(brokers: &str) -> Result<Self, Failure> {
        let consumer = client(brokers)
            // librdkafka wants a name; nothing joins or commits to it.
            .set("group.id", "cpq-outsider")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false")
            .create()
            .map_err(failed("cannot make a consumer".to_owned()))?;
        Ok(Self { consumer })
    }

    /// The topics of the cluster with their numbers of partitions.
    pub fn topics(&self) -> Result<HashMap<String, i32>, Failure> {
        let metadata = self
            .consumer
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(failed("cannot list the topics; is CPQ_KAFKA_BROKERS right?".to_owned()))?;
        Ok(metadata.topics().iter().map(|t| (t.name().to_owned(), t.partitions().len() as i32)).collect())
    }

    /// Where a partition begins and ends now.
    pub fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, Failure> {
        let (low, high) = self
            .consumer
            .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
            .map_err(failed(format!("cannot ask for the offsets of {topic}[{partition}]")))?;
        Ok(Bounds { low, high })
    }

    /// Everything that the topics hold now, or from the first record at or after `since` (milliseconds).
    pub fn stretches(&self, topics: &[(String, i32)], since: Option<i64>) -> Result<Vec<Stretch>, Failure> {
        let starts = since.map(|since| self.offsets_at(topics, since)).transpose()?;
        let mut stretches = Vec::new();
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                let Bounds { low, high } = self.bounds(topic, partition)?;
                let key = (topic.clone(), partition);
                // A partition without a record that new has nothing to read.
                let start = starts.as_ref().map_or(low, |starts| starts.get(&key).copied().unwrap_or(high));
                stretches.push(Stretch { topic: topic.clone(), partition, start: start.max(low), end: high });
            }
        }
        Ok(stretches)
    }

    fn offsets_at(&self, topics: &[(String, i32)], since: i64) -> Result<HashMap<(String, i32), i64>, Failure> {
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in topics.iter().flat_map(|(topic, count)| (0..*count).map(move |p| (topic, p))) {
            asked
                .add_partition_offset(topic, partition, Offset::Offset(since))
                .map_err(failed(format!("cannot ask for {topic}[{partition}] by time")))?;
        }
        if asked.count() == 0 {
            return Ok(HashMap::new());
        }
        let found = self
            .consumer
            .offsets_for_times(asked, REQUEST_TIMEOUT)
            .map_err(failed("cannot ask for offsets by time".to_owned()))?;
        let found = found.elements();
        Ok(found
            .iter()
            .filter_map(|e| match e.offset() {
                Offset::Offset(offset) => Some(((e.topic().to_owned(), e.partition()), offset)),
                _ => None,
            })
            .collect())
    }

    /// Hands every record of the stretches to `each`, those of one partition in order.
    pub fn read(
        &self,
        stretches: &[Stretch],
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // The next offset wanted, and where to stop.
        let mut left: HashMap<(String, i32), i64> = HashMap::new();
        let mut assignment = TopicPartitionList::new();
        for Stretch { topic, partition, start, end } in stretches.iter().filter(|s| s.start < s.end) {
            assignment
                .add_partition_offset(topic, *partition, Offset::Offset(*start))
                .map_err(failed(format!("cannot read {topic}[{partition}]")))?;
            left.insert((topic.clone(), *partition), *end);
        }
        if left.is_empty() {
            return Ok(());
        }
        self.consumer.assign(&assignment).map_err(failed("cannot read the topics".to_owned()))?;
        let mut moved = Instant::now();
        while !left.is_empty() {
            if let Some(polled) = self.consumer.poll(POLL) {
                let message = polled.map_err(failed("cannot read the topics".to_owned()))?;
                moved = Instant::now();
                let key = (message.topic().to_owned(), message.partition());
                let Some(end) = left.get(&key).copied() else { continue };
                if message.offset() < end {
                    each(&message)?;
                }
                if message.offset() + 1 >= end {
                    left.remove(&key);
                }
            } else if moved.elapsed() > STALL_TIMEOUT {
                let partitions = left.len();
                return Err(Failure::failed(format!(
                    "Kafka: no record came for {STALL_TIMEOUT:?}, though {partitions} partitions should have more; try again"
                )));
            }
        }
        self.consumer.unassign().map_err(failed("cannot end the read".to_owned()))
    }
}
