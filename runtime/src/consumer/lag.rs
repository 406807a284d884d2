//! How far each partition's worker is behind its topic, in records and in seconds.

use super::partition::Partition;
use metrics::gauge;
use rdkafka::Statistics;
use std::{sync::Arc, time::SystemTime};

/// Publishes the lag of the partitions by the client's own statistics.
pub fn measure(consumer: &'static str, partitions: &[Arc<Partition>], statistics: &Statistics) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    for partition in partitions {
        let known = statistics.topics.get(&partition.topic).and_then(|t| t.partitions.get(&partition.partition));
        let Some(end) = known.map(|p| p.hi_offset).filter(|offset| *offset >= 0) else { continue };
        let records = (end - partition.applied()).max(0);
        let seconds = match partition.record_time() {
            Some(time) if records > 0 => (now - time).max(0) as f64 / 1000.0,
            _ => 0.0,
        };
        publish(consumer, partition, records as f64, seconds);
    }
}

/// A partition that is gone has no lag here.
pub fn forget(consumer: &'static str, partition: &Partition) {
    publish(consumer, partition, 0.0, 0.0);
}

fn publish(consumer: &'static str, partition: &Partition, records: f64, seconds: f64) {
    let labels = [
        ("consumer", consumer.to_owned()),
        ("topic", partition.topic.clone()),
        ("partition", partition.partition.to_string()),
    ];
    gauge!("cpq_consumer_lag_records", &labels).set(records);
    gauge!("cpq_consumer_lag_seconds", &labels).set(seconds);
}
