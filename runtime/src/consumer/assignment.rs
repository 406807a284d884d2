//! Partitions that come and go. A partition that comes is taken over in the database under a new epoch and
//! read from the position stored there; one that goes gets a bounded time for the transaction in hand.

use super::partition::Partition;
use super::worker::Worker;
use super::{ConsumerStatus, Ended, Host, REVOKE_DRAIN, Standing, TAKE_OVER_LIMIT, lag, redrive};
use crate::{backoff::Backoff, processor::Processor};
use cpq_state_stores::StoreError;
use cpq_state_stores::positions::{self, Assigned, Position};
use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Longest wait for one answer of Kafka while partitions are taken over.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

struct Owned {
    partition: Arc<Partition>,
    worker: JoinHandle<()>,
}

type Partitions = HashMap<(String, i32), Owned>;

/// The partitions that this consumer owns. Its callbacks run on the polling thread, inside `poll`.
pub struct Assignment {
    host: Host,
    processor: Arc<dyn Processor>,
    status: ConsumerStatus,
    runtime: Handle,
    shutdown: CancellationToken,
    owned: Arc<Mutex<Partitions>>,
    ended: Mutex<Option<Ended>>,
}

impl Assignment {
    pub fn new(
        host: Host,
        processor: Arc<dyn Processor>,
        status: ConsumerStatus,
        runtime: Handle,
        shutdown: CancellationToken,
    ) -> Self {
        Self { host, processor, status, runtime, shutdown, owned: Arc::default(), ended: Mutex::new(None) }
    }

    /// Tells the workers of keys that were let go, as long as this assignment lives.
    pub fn watch_redrives(&self, hinted: Arc<Notify>) {
        let owned = Arc::downgrade(&self.owned);
        let wake = move |due: &[(String, i32)]| {
            let Some(owned) = owned.upgrade() else { return false };
            let owned = owned.lock().unwrap_or_else(PoisonError::into_inner);
            for here in due.iter().filter_map(|partition| owned.get(partition)) {
                here.partition.redrive.notify_one();
            }
            true
        };
        self.runtime.spawn(redrive::watch(self.host.clone(), self.processor.consumer(), hinted, wake));
    }

    fn owned(&self) -> MutexGuard<'_, Partitions> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.owned().get(&(topic.to_owned(), partition)).map(|owned| owned.partition.clone())
    }

    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.owned().values().map(|owned| owned.partition.clone()).collect()
    }

    pub fn any_paused(&self) -> bool {
        self.owned().values().any(|owned| owned.partition.is_paused())
    }

    /// Whether a callback or a worker has found that this consumer must end.
    pub fn ended(&self) -> Result<(), Ended> {
        if let Some(ended) = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(ended);
        }
        match self.owned().values().find(|owned| owned.partition.is_fenced()) {
            Some(Owned { partition, .. }) => Err(Ended::Rebuild(format!(
                "another instance has taken over {}[{}]; leaving and joining again",
                partition.topic, partition.partition
            ))),
            None => Ok(()),
        }
    }

    /// Ends all workers after the transactions in hand, together and bounded.
    pub fn drain_all(&self) {
        let keys: Vec<(String, i32)> = self.owned().keys().cloned().collect();
        self.drain(&keys, REVOKE_DRAIN);
    }

    /// Ends the workers of these partitions. Workers never wait for the polling thread, so that waiting for
    /// them here cannot lock up; one that is still in a transaction afterwards fails on its epoch as soon as
    /// the next owner has begun.
    fn drain(&self, keys: &[(String, i32)], limit: Duration) -> Vec<Arc<Partition>> {
        let leaving: Vec<Owned> = {
            let mut owned = self.owned();
            keys.iter().filter_map(|key| owned.remove(key)).collect()
        };
        for owned in &leaving {
            owned.partition.stop.cancel();
        }
        let (partitions, workers): (Vec<_>, Vec<_>) = leaving.into_iter().map(|o| (o.partition, o.worker)).unzip();
        let all = futures::future::join_all(workers);
        if self.runtime.block_on(async { tokio::time::timeout(limit, all).await }).is_err() {
            warn!(consumer = self.processor.consumer(), "a transaction was still open when its partition went");
        }
        for partition in &partitions {
            lag::forget(self.processor.consumer(), partition);
        }
        partitions
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let taken = if list.count() == 0 { Ok(Vec::new()) } else { self.take_over(consumer, list) };
        let result = taken.and_then(|positions| {
            let mut from = TopicPartitionList::with_capacity(positions.len());
            for position in &positions {
                from.add_partition_offset(&position.topic, position.partition, Offset::Offset(position.next_offset))
                    .map_err(|e| Ended::Rebuild(e.to_string()))?;
            }
            consumer.incremental_assign(&from).map_err(|e| Ended::Rebuild(e.to_string()))?;
            Ok(positions)
        });
        match result {
            Ok(positions) => self.begin(positions),
            Err(ended) => {
                // The rebalance must be answered, or the client could not even close.
                if let Err(error) = consumer.incremental_assign(list) {
                    debug!(%error, "assignment not answered");
                }
                *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            }
        }
    }

    /// Starts a worker for each partition.
    fn begin(&self, positions: Vec<Position>) {
        let consumer = self.processor.consumer();
        let mut owned = self.owned();
        for position in positions {
            let Position { topic, partition, next_offset, epoch } = position;
            info!(consumer, topic, partition, next_offset, epoch, "partition taken over");
            let (shared, records) = Partition::new(topic.clone(), partition, epoch, next_offset);
            let shared = Arc::new(shared);
            let worker = Worker::new(self.host.clone(), self.processor.clone(), shared.clone(), records);
            let worker = self.runtime.spawn(worker.run());
            owned.insert((topic, partition), Owned { partition: shared, worker });
        }
        self.status.set(Standing::Assigned(owned.len()));
    }

    /// New epochs in the database, and the positions found there, checked against the topics.
    fn take_over(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<Vec<Position>, Ended> {
        let kafka = |error: KafkaError| Ended::Rebuild(format!("kafka does not say where partitions stand: {error}"));
        let mut bounds = HashMap::new();
        let mut assigned = Vec::with_capacity(list.count());
        for element in list.elements() {
            let (topic, partition) = (element.topic().to_owned(), element.partition());
            let (low, high) = consumer.fetch_watermarks(&topic, partition, KAFKA_TIMEOUT).map_err(kafka)?;
            bounds.insert((topic.clone(), partition), Bounds { low, high, committed: None });
            assigned.push(Assigned { topic, partition, first_offset: low });
        }
        let mut asked = TopicPartitionList::with_capacity(list.count());
        for element in list.elements() {
            asked.add_partition(element.topic(), element.partition());
        }
        for element in consumer.committed_offsets(asked, KAFKA_TIMEOUT).map_err(kafka)?.elements() {
            if let (Some(bounds), Offset::Offset(offset)) =
                (bounds.get_mut(&(element.topic().to_owned(), element.partition())), element.offset())
            {
                // What can be redone is committed without waiting for the disk: after a crash of the server Kafka may
                // know of more, which is simply read again.
                bounds.committed = Some(offset).filter(|_| !self.processor.can_be_redone());
            }
        }
        let positions = self.runtime.block_on(self.take_over_in_database(&assigned))?;
        for position in &positions {
            let key = (position.topic.clone(), position.partition);
            if let Some(contradiction) = bounds.get(&key).and_then(|bounds| bounds.contradicts(position)) {
                return Err(Ended::Halt(contradiction));
            }
        }
        Ok(positions)
    }

    async fn take_over_in_database(&self, assigned: &[Assigned]) -> Result<Vec<Position>, Ended> {
        let (mut backoff, begun) = (Backoff::default(), Instant::now());
        loop {
            let attempt = async {
                let mut tx = self.host.db.begin(&[]).await?;
                let positions =
                    positions::take_over(&mut tx, self.processor.consumer(), &self.host.owner, assigned).await?;
                tx.commit().await?;
                Ok::<_, StoreError>(positions)
            };
            match attempt.await {
                Ok(positions) => return Ok(positions),
                Err(error) if error.is_transient() && begun.elapsed() < TAKE_OVER_LIMIT => {
                    warn!(consumer = self.processor.consumer(), %error, "partitions wait for the database");
                    self.status.set(Standing::Failing(format!("partitions wait for the database: {error}")));
                }
                Err(error) => return Err(Ended::Rebuild(format!("partitions cannot be taken over: {error}"))),
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(Ended::Rebuild("shutting down".to_owned())),
                () = tokio::time::sleep(backoff.pause()) => {}
            }
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        // What is lost already belongs to another: its transactions can only fail, so nobody waits for them.
        let lost = consumer.assignment_lost();
        let keys: Vec<_> = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        for partition in self.drain(&keys, if lost { Duration::ZERO } else { REVOKE_DRAIN }) {
            info!(
                consumer = self.processor.consumer(),
                topic = partition.topic,
                partition = partition.partition,
                next_offset = partition.applied(),
                lost,
                "partition given up"
            );
            if let (false, Some(offset)) = (lost, partition.to_store())
                && let Err(error) = consumer.store_offset(&partition.topic, partition.partition, offset - 1)
            {
                debug!(%error, "kafka was not told the last position");
            }
        }
        if let Err(error) = consumer.incremental_unassign(list) {
            *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ended::Rebuild(error.to_string()));
        }
        self.status.set(Standing::Assigned(self.owned().len()));
    }
}

/// Where a partition begins and ends, and what its group has told Kafka.
struct Bounds {
    low: i64,
    high: i64,
    committed: Option<i64>,
}

impl Bounds {
    /// Why the position cannot be true, if it cannot.
    fn contradicts(&self, position: &Position) -> Option<String> {
        let Position { topic, partition, next_offset, .. } = position;
        let Bounds { low, high, committed } = self;
        let found = if next_offset > high {
            format!("beyond the topic's end {high}: the topic is older than the database, or was made anew")
        } else if next_offset < low {
            format!("before the topic's first record {low}: records were deleted before they were applied")
        } else if let Some(committed) = committed.filter(|committed| committed > next_offset) {
            format!(
                "behind {committed}, which this consumer has told Kafka before: the database is older than the topic, \
                 as after a restore"
            )
        } else {
            return None;
        };
        Some(format!("the stored position {next_offset} of {topic}[{partition}] is {found}; see `cpq verify restore`"))
    }
}

impl ClientContext for Assignment {
    fn stats(&self, statistics: Statistics) {
        lag::measure(self.processor.consumer(), &self.partitions(), &statistics);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        // `poll` returns the same error, where it is judged.
        debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Assignment {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, list);
        } else {
            self.revoke(consumer, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::at_the_end(10, None, None)]
    #[case::at_the_beginning(5, Some(5), None)]
    #[case::told_less_than_done(10, Some(8), None)]
    #[case::topic_made_anew(11, None, Some("beyond the topic's end 10"))]
    #[case::records_deleted(4, None, Some("before the topic's first record 5"))]
    #[case::database_restored(7, Some(9), Some("behind 9"))]
    fn a_position_that_does_not_fit_its_topic_is_found(
        #[case] next_offset: i64,
        #[case] committed: Option<i64>,
        #[case] found: Option<&str>,
    ) {
        let position = Position { topic: "t".to_owned(), partition: 3, next_offset, epoch: 1 };
        let text = Bounds { low: 5, high: 10, committed }.contradicts(&position);
        assert_eq!(text.is_some(), found.is_some());
        assert!(text.unwrap_or_default().contains(found.unwrap_or_default()));
    }
}
