//! The distance between a consumer's stored position and the end of its partition.

use crate::Failure;
use crate::kafka::{Bounds, Reader, Stretch};
use rdkafka::Message;
use serde::Serialize;
use std::collections::HashMap;
use time::OffsetDateTime;

/// A partition that a consumer should be reading.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub consumer: String,
    pub topic: String,
    pub partition: i32,
    /// The next offset that it will process; `None` if it has never been there.
    pub next_offset: Option<i64>,
}

/// How far a consumer is behind in a partition.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionLag {
    pub consumer: String,
    pub topic: String,
    pub partition: i32,
    pub position: Option<i64>,
    pub low_watermark: i64,
    pub high_watermark: i64,
    /// Negative where the topic ends before the position: one of the two was restored to an older state.
    pub records: i64,
    /// Age of the oldest record that waits; 0 where none does.
    pub seconds: f64,
}

impl PartitionLag {
    fn of(position: &Position, bounds: Bounds) -> Self {
        Self {
            consumer: position.consumer.clone(),
            topic: position.topic.clone(),
            partition: position.partition,
            position: position.next_offset,
            low_watermark: bounds.low,
            high_watermark: bounds.high,
            // One that has never been there will begin at the oldest record.
            records: bounds.high - position.next_offset.unwrap_or(bounds.low),
            seconds: 0.0,
        }
    }

    /// What is wrong, if anything is.
    pub fn finding(&self, max_seconds: f64) -> Option<String> {
        let Self { consumer, topic, partition, low_watermark, high_watermark, .. } = self;
        let place = format!("{consumer} in {topic}[{partition}]");
        match self.position {
            Some(at) if self.records < 0 => Some(format!(
                "{place} stands at {at}, but the topic ends at {high_watermark}: one of them was restored"
            )),
            Some(at) if at < *low_watermark => Some(format!(
                "{place} stands at {at}, but the topic begins at {low_watermark}: records are gone unread"
            )),
            _ if self.seconds > max_seconds => {
                Some(format!("{place} is {} records and {:.0} s behind", self.records, self.seconds))
            }
            _ => None,
        }
    }
}

/// Asks Kafka where each partition ends, and how old the next record of each consumer is.
pub fn measure(reader: &Reader, positions: Vec<Position>) -> Result<Vec<PartitionLag>, Failure> {
    let mut bounds: HashMap<(String, i32), Bounds> = HashMap::new();
    let mut lags = Vec::new();
    for position in &positions {
        let key = (position.topic.clone(), position.partition);
        let bounds = match bounds.get(&key) {
            Some(known) => *known,
            None => *bounds.entry(key).or_insert(reader.bounds(&position.topic, position.partition)?),
        };
        lags.push(PartitionLag::of(position, bounds));
    }
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    for (key, at) in oldest_waiting(reader, &lags)? {
        for lag in lags.iter_mut().filter(|lag| next(lag) == Some(key.clone())) {
            lag.seconds = (now - i128::from(at)).max(0) as f64 / 1_000.0;
        }
    }
    Ok(lags)
}

type Place = (String, i32, i64);

/// The place of the next record that a consumer will read, if there is one.
fn next(lag: &PartitionLag) -> Option<Place> {
    let at = lag.position.unwrap_or(lag.low_watermark).max(lag.low_watermark);
    (lag.records > 0).then(|| (lag.topic.clone(), lag.partition, at))
}

/// The times of those records. Consumers of one partition that stand at different places are asked one by one.
fn oldest_waiting(reader: &Reader, lags: &[PartitionLag]) -> Result<HashMap<Place, i64>, Failure> {
    let mut times = HashMap::new();
    for place in lags.iter().filter_map(next) {
        if times.contains_key(&place) {
            continue;
        }
        let (topic, partition, at) = place.clone();
        let stretch = Stretch { topic, partition, start: at, end: at + 1 };
        reader.read(&[stretch], |message| {
            times.insert(place.clone(), message.timestamp().to_millis().unwrap_or_default());
            Ok(())
        })?;
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn lag(next_offset: Option<i64>, low: i64, high: i64, seconds: f64) -> PartitionLag {
        let position = Position { consumer: "quote".into(), topic: "t".into(), partition: 0, next_offset };
        PartitionLag { seconds, ..PartitionLag::of(&position, Bounds { low, high }) }
    }

    #[rstest]
    #[case::level(lag(Some(10), 0, 10, 0.0), 0, None)]
    #[case::a_little_behind(lag(Some(8), 0, 10, 5.0), 2, None)]
    #[case::too_late(lag(Some(8), 0, 10, 61.0), 2, Some("2 records and 61 s behind"))]
    #[case::never_there(lag(None, 3, 10, 1.0), 7, None)]
    #[case::topic_restored(lag(Some(12), 0, 10, 0.0), -2, Some("the topic ends at 10"))]
    #[case::retention_overtook(lag(Some(2), 5, 10, 1.0), 8, Some("records are gone unread"))]
    fn a_partition_is_judged(#[case] lag: PartitionLag, #[case] records: i64, #[case] finding: Option<&str>) {
        assert_eq!(lag.records, records);
        let found = lag.finding(60.0);
        assert_eq!(found.is_some(), finding.is_some(), "{found:?}");
        assert!(found.unwrap_or_default().contains(finding.unwrap_or_default()));
    }
}
