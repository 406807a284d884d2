//! The thread that polls Kafka for one processor. It never waits for a worker, except, bounded, for the
//! transaction in hand of a partition that is taken away.

use super::assignment::Assignment;
use super::partition::{Partition, RawRecord};
use super::partitions::Partitions;
use super::{ConsumerStatus, Ended, Host, SESSION_TIMEOUT, Standing};
use crate::processor::Processor;
use rdkafka::{
    ClientConfig, Message as _, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Longest wait for a record before the thread looks after its partitions.
const POLL: Duration = Duration::from_millis(100);
/// The same while a partition is paused, so that it is resumed at once when there is room.
const POLL_WHILE_PAUSED: Duration = Duration::from_millis(5);
/// Records handed on before the thread looks after its partitions.
const RECORDS_BETWEEN_CARE: usize = 256;
/// How soon a topic made after the start is seen.
const METADATA_REFRESH: Duration = Duration::from_secs(10);
/// How often lag is measured.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(2);
/// How often Kafka is told the positions (lag tools only; the truth is in the database).
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

type KafkaConsumer = BaseConsumer<Assignment>;

/// Polls until shutdown or until the consumer must be thrown away.
pub fn run(
    host: &Host,
    max_poll_interval: Duration,
    processor: &Arc<dyn Processor>,
    status: &ConsumerStatus,
    runtime: &tokio::runtime::Handle,
    shutdown: &CancellationToken,
    redrive: &Arc<Notify>,
) -> Result<(), Ended> {
    let partitions =
        Partitions::new(host.clone(), processor.clone(), status.clone(), runtime.clone(), shutdown.clone());
    partitions.watch_redrives(redrive.clone());
    let assignment = Assignment::new(partitions, runtime.clone());
    let rebuild = |error: KafkaError| Ended::Rebuild(error.to_string());
    let consumer: KafkaConsumer = configuration(host, processor.consumer(), max_poll_interval)
        .create_with_context(assignment)
        .map_err(|e| Ended::Rebuild(e.to_string()))?;
    consumer.subscribe(processor.topics()).map_err(rebuild)?;
    info!(consumer = processor.consumer(), topics = ?processor.topics(), "joining the group");
    let result = poll(&consumer, status, shutdown);
    consumer.context().drain_all();
    tell_kafka(&consumer);
    if let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) {
        debug!(%error, "kafka was not told the last positions");
    }
    result
}

fn configuration(host: &Host, consumer: &str, max_poll_interval: Duration) -> ClientConfig {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &host.kafka_brokers)
        .set("client.id", &host.owner)
        .set("group.id", group(consumer))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(SESSION_TIMEOUT))
        .set("heartbeat.interval.ms", millis(SESSION_TIMEOUT / 4))
        .set("max.poll.interval.ms", millis(max_poll_interval))
        // Positions are given at assignment; a fetch that misses its offset is an error, never a jump.
        .set("auto.offset.reset", "error")
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", millis(COMMIT_INTERVAL))
        .set("statistics.interval.ms", millis(STATISTICS_INTERVAL))
        .set("topic.metadata.refresh.interval.ms", millis(METADATA_REFRESH))
        .set("fetch.wait.max.ms", "100")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "50");
    config
}

/// The Kafka group of a consumer.
pub fn group(consumer: &str) -> String {
    format!("cpq-{consumer}")
}

fn poll(consumer: &KafkaConsumer, status: &ConsumerStatus, shutdown: &CancellationToken) -> Result<(), Ended> {
    let assignment = consumer.context();
    while !shutdown.is_cancelled() {
        let mut timeout = if assignment.any_paused() { POLL_WHILE_PAUSED } else { POLL };
        for _ in 0..RECORDS_BETWEEN_CARE {
            match consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => hand_on(consumer, &message)?,
                Some(Err(error)) => judge(error, status)?,
            }
            timeout = Duration::ZERO;
        }
        assignment.ended()?;
        tell_kafka(consumer);
        for partition in assignment.all().iter().filter(|partition| partition.resume_now()) {
            consumer.resume(&list_of(partition)).map_err(|e| Ended::Rebuild(e.to_string()))?;
        }
    }
    Ok(())
}

/// Gives a record to its partition's worker, and pauses the partition if that has enough to do.
fn hand_on(consumer: &KafkaConsumer, message: &BorrowedMessage<'_>) -> Result<(), Ended> {
    // A partition without a worker is being given up; its next owner reads the record again.
    let Some(partition) = consumer.context().get(message.topic(), message.partition()) else { return Ok(()) };
    if partition.push(RawRecord::copy_of(message)) {
        consumer.pause(&list_of(&partition)).map_err(|e| Ended::Rebuild(e.to_string()))?;
    }
    Ok(())
}

/// What an error of the client means for the consumer.
fn judge(error: KafkaError, status: &ConsumerStatus) -> Result<(), Ended> {
    match error {
        KafkaError::MessageConsumptionFatal(_)
        | KafkaError::MessageConsumption(RDKafkaErrorCode::PollExceeded | RDKafkaErrorCode::Fatal) => {
            Err(Ended::Rebuild(error.to_string()))
        }
        KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            Err(Ended::Halt(format!(
                "a stored position is no longer in its topic ({error}): records were deleted before they were applied, \
                 or the topic was made anew; see `cpq verify restore`"
            )))
        }
        KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            warn!("a topic does not exist (yet); run `cpq topics apply`");
            status.set(Standing::Failing("a topic does not exist (yet)".to_owned()));
            Ok(())
        }
        other => {
            warn!(error = %other, "kafka cannot be read now");
            Ok(())
        }
    }
}

/// Stores the applied positions for the next commit to Kafka.
fn tell_kafka(consumer: &KafkaConsumer) {
    for partition in consumer.context().all() {
        if let Some(offset) = partition.to_store()
            && let Err(error) = consumer.store_offset(&partition.topic, partition.partition, offset - 1)
        {
            debug!(%error, topic = partition.topic, partition = partition.partition, "position not stored for kafka");
        }
    }
}

fn list_of(partition: &Partition) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(&partition.topic, partition.partition);
    list
}
