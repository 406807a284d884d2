//! Kafka's callbacks when partitions come and go: what the topics say of them is asked here, the rest is done in
//! `partitions`.

use super::partitions::{Bounds, Partitions};
use super::{Ended, REVOKE_DRAIN, lag};
use cpq_state_stores::positions::Position;
use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::runtime::Handle;
use tracing::{debug, info};

/// Longest wait for one answer of Kafka while partitions are taken over.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

/// The partitions that Kafka has given this consumer. Its callbacks run on the polling thread, inside `poll`.
pub struct Assignment {
    partitions: Partitions,
    runtime: Handle,
    ended: Mutex<Option<Ended>>,
}

impl Deref for Assignment {
    type Target = Partitions;
    fn deref(&self) -> &Partitions {
        &self.partitions
    }
}

impl Assignment {
    pub fn new(partitions: Partitions, runtime: Handle) -> Self {
        Self { partitions, runtime, ended: Mutex::new(None) }
    }

    /// Whether a callback or a worker has found that this consumer must end.
    pub fn ended(&self) -> Result<(), Ended> {
        match self.ended.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(ended) => Err(ended),
            None => self.fenced(),
        }
    }

    /// Ends all workers after the transactions in hand.
    pub fn drain_all(&self) {
        self.runtime.block_on(self.partitions.drain_all(REVOKE_DRAIN));
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

    /// New epochs in the database, and the positions found there, checked against the topics.
    fn take_over(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<Vec<Position>, Ended> {
        let kafka = |error: KafkaError| Ended::Rebuild(format!("kafka does not say where partitions stand: {error}"));
        let mut asked = TopicPartitionList::with_capacity(list.count());
        for element in list.elements() {
            asked.add_partition(element.topic(), element.partition());
        }
        let mut committed = HashMap::new();
        for element in consumer.committed_offsets(asked, KAFKA_TIMEOUT).map_err(kafka)?.elements() {
            if let Offset::Offset(offset) = element.offset() {
                committed.insert((element.topic().to_owned(), element.partition()), offset);
            }
        }
        let mut found = Vec::with_capacity(list.count());
        for element in list.elements() {
            let (topic, partition) = (element.topic().to_owned(), element.partition());
            let (low, high) = consumer.fetch_watermarks(&topic, partition, KAFKA_TIMEOUT).map_err(kafka)?;
            let committed = committed.get(&(topic.clone(), partition)).copied();
            found.push(Bounds { topic, partition, low, high, committed });
        }
        self.runtime.block_on(self.partitions.take_over(&found))
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        // What is lost already belongs to another: its transactions can only fail, so nobody waits for them.
        let lost = consumer.assignment_lost();
        let keys: Vec<_> = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        let limit = if lost { Duration::ZERO } else { REVOKE_DRAIN };
        for partition in self.runtime.block_on(self.drain(&keys, limit)) {
            info!(
                consumer = self.consumer(),
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
    }
}

impl ClientContext for Assignment {
    fn stats(&self, statistics: Statistics) {
        lag::measure(self.consumer(), &self.all(), &statistics);
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
