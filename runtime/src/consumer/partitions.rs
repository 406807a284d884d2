//! The partitions that a consumer owns, whatever client reads them: taken over in the database under a new epoch,
//! each worked on by its own task, and given up with a bounded time for the transaction in hand.

use super::partition::Partition;
use super::store::{Store, StoreTx as _};
use super::together::Together;
use super::worker::Worker;
use super::{ConsumerStatus, Ended, Host, ProcessorOf, Standing, TAKE_OVER_LIMIT, lag, redrive};
use crate::backoff::Backoff;
use cpq_state_stores::positions::{Assigned, Position};
use cpq_state_stores::{Db, StoreError};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{runtime::Handle, sync::Notify, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

struct Owned {
    partition: Arc<Partition>,
    worker: JoinHandle<()>,
}

type ByName = BTreeMap<(String, i32), Owned>;

/// See the module.
pub struct Partitions<S: Store = Db> {
    host: Host<S>,
    processor: Arc<ProcessorOf<S>>,
    together: Arc<Together<S>>,
    status: ConsumerStatus,
    runtime: Handle,
    shutdown: CancellationToken,
    owned: Arc<Mutex<ByName>>,
}

impl<S: Store> Partitions<S> {
    /// None yet; their workers are to run on this runtime.
    pub fn new(
        host: Host<S>,
        processor: Arc<ProcessorOf<S>>,
        status: ConsumerStatus,
        runtime: Handle,
        shutdown: CancellationToken,
    ) -> Self {
        let together = Arc::new(Together::new(host.clone(), processor.clone()));
        Self { host, processor, together, status, runtime, shutdown, owned: Arc::default() }
    }

    pub fn consumer(&self) -> &'static str {
        self.processor.consumer()
    }

    /// Tells the workers of keys that were let go, as long as this lives.
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
        self.runtime.spawn(redrive::watch(self.host.clone(), self.consumer(), hinted, wake));
    }

    fn owned(&self) -> MutexGuard<'_, ByName> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition of this name, if it is owned.
    pub fn get(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.owned().get(&(topic.to_owned(), partition)).map(|owned| owned.partition.clone())
    }

    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.owned().values().map(|owned| owned.partition.clone()).collect()
    }

    pub fn any_paused(&self) -> bool {
        self.owned().values().any(|owned| owned.partition.is_paused())
    }

    /// Whether a worker has found that another instance owns its partition: this consumer must end.
    pub fn fenced(&self) -> Result<(), Ended> {
        match self.owned().values().find(|owned| owned.partition.is_fenced()) {
            Some(Owned { partition, .. }) => Err(Ended::Rebuild(format!(
                "another instance has taken over {}[{}]; leaving and joining again",
                partition.topic, partition.partition
            ))),
            None => Ok(()),
        }
    }

    /// Ends all workers after the transactions in hand, together and bounded.
    pub async fn drain_all(&self, limit: Duration) {
        let keys: Vec<(String, i32)> = self.owned().keys().cloned().collect();
        self.drain(&keys, limit).await;
    }

    /// Ends the workers of these partitions. Workers never wait for who reads, so that waiting for them here
    /// cannot lock up; one that is still in a transaction afterwards fails on its epoch as soon as the next owner
    /// has begun.
    pub async fn drain(&self, keys: &[(String, i32)], limit: Duration) -> Vec<Arc<Partition>> {
        let leaving: Vec<Owned> = {
            let mut owned = self.owned();
            keys.iter().filter_map(|key| owned.remove(key)).collect()
        };
        for owned in &leaving {
            owned.partition.stop.cancel();
        }
        let (partitions, workers): (Vec<_>, Vec<_>) = leaving.into_iter().map(|o| (o.partition, o.worker)).unzip();
        if tokio::time::timeout(limit, futures::future::join_all(workers)).await.is_err() {
            warn!(consumer = self.consumer(), "a transaction was still open when its partition went");
        }
        for partition in &partitions {
            lag::forget(self.consumer(), partition);
        }
        self.status.set(Standing::Assigned(self.owned().len()));
        partitions
    }

    /// Starts a worker for each partition.
    pub fn begin(&self, positions: Vec<Position>) {
        let consumer = self.consumer();
        let mut owned = self.owned();
        for position in positions {
            let Position { topic, partition, next_offset, epoch } = position;
            info!(consumer, topic, partition, next_offset, epoch, "partition taken over");
            let (shared, records) = Partition::new(topic.clone(), partition, epoch, next_offset);
            let shared = Arc::new(shared);
            let (host, processor, together) = (self.host.clone(), self.processor.clone(), self.together.clone());
            let worker = Worker::new(host, processor, shared.clone(), records, together);
            let worker = self.runtime.spawn(worker.run());
            owned.insert((topic, partition), Owned { partition: shared, worker });
        }
        self.status.set(Standing::Assigned(owned.len()));
    }

    /// New epochs in the database, and the positions found there, checked against the topics.
    pub async fn take_over(&self, found: &[Bounds]) -> Result<Vec<Position>, Ended> {
        let assigned: Vec<Assigned> = found
            .iter()
            .map(|b| Assigned { topic: b.topic.clone(), partition: b.partition, first_offset: b.low })
            .collect();
        let positions = self.take_over_in_database(&assigned).await?;
        for position in &positions {
            let of_it = found.iter().find(|b| (&b.topic, b.partition) == (&position.topic, position.partition));
            // What can be redone is committed without waiting for the disk: after a crash of the server Kafka may
            // know of more, which is simply read again.
            let redoable = self.processor.can_be_redone();
            if let Some(contradiction) = of_it.and_then(|bounds| bounds.contradicts(position, redoable)) {
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
                let positions = tx.take_over(self.consumer(), &self.host.owner, assigned).await?;
                tx.commit().await?;
                Ok::<_, StoreError>(positions)
            };
            match attempt.await {
                Ok(positions) => return Ok(positions),
                Err(error) if error.is_transient() && begun.elapsed() < TAKE_OVER_LIMIT => {
                    warn!(consumer = self.consumer(), %error, "partitions wait for the database");
                    self.status.set(Standing::Failing(format!("partitions wait for the database: {error}")));
                }
                Err(error) => return Err(Ended::Rebuild(format!("partitions cannot be taken over: {error}"))),
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(Ended::Rebuild("shutting down".to_owned())),
                () = tokio::time::sleep(backoff.pause()) => {}
            }
        }
    }
}

/// Where a partition begins and ends, and what its group has told Kafka.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub topic: String,
    pub partition: i32,
    pub low: i64,
    pub high: i64,
    pub committed: Option<i64>,
}

impl Bounds {
    /// Why the position cannot be true, if it cannot.
    fn contradicts(&self, position: &Position, redoable: bool) -> Option<String> {
        let Position { topic, partition, next_offset, .. } = position;
        let Bounds { low, high, committed, .. } = self;
        let found = if next_offset > high {
            format!("beyond the topic's end {high}: the topic is older than the database, or was made anew")
        } else if next_offset < low {
            format!("before the topic's first record {low}: records were deleted before they were applied")
        } else if let Some(committed) = committed.filter(|committed| !redoable && committed > next_offset) {
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
        let bounds = Bounds { topic: "t".to_owned(), partition: 3, low: 5, high: 10, committed };
        let text = bounds.contradicts(&position, false);
        assert_eq!(text.is_some(), found.is_some());
        assert!(text.unwrap_or_default().contains(found.unwrap_or_default()));
    }
}
