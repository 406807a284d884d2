//! What the polling thread and a partition's worker share: the queue between them with its bounds, and how far
//! the worker has come.

use super::{PAUSE_AT_BYTES, PAUSE_AT_RECORDS};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// A record as Kafka gave it.
#[derive(Debug)]
pub struct RawRecord {
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
}

impl RawRecord {
    pub fn copy_of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
        Self {
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message
                .headers()
                .map(|headers| headers.iter().map(|h| (text(h.key.as_bytes()), text(h.value.unwrap_or_default()))))
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len) + self.key.as_ref().map_or(0, Vec::len)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The key as text. One that is no plain text is written in hexadecimal, so that it can be stored and shown.
    pub fn key_text(&self) -> String {
        let bytes = self.key.as_deref().unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
            _ => bytes.iter().fold("hex:".to_owned(), |text, byte| format!("{text}{byte:02x}")),
        }
    }
}

/// Shared between thread and worker.
#[derive(Debug)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
    pub epoch: i64,
    queue: mpsc::UnboundedSender<RawRecord>,
    waiting_records: AtomicUsize,
    waiting_bytes: AtomicUsize,
    paused: AtomicBool,
    /// The next offset to apply: `committed`, or beyond it over records without effect.
    applied: AtomicI64,
    /// The position that is committed in the database.
    committed: AtomicI64,
    /// What Kafka has been told of `committed`.
    stored: AtomicI64,
    /// Timestamp of the record in hand, else of the last applied one; 0 before the first.
    record_time: AtomicI64,
    /// Told when a parked key of this partition is to be released.
    pub redrive: Notify,
    /// Ends the worker after the transaction in hand.
    pub stop: CancellationToken,
    /// Set by the worker when its epoch is over.
    fenced: AtomicBool,
}

impl Partition {
    pub fn new(
        topic: String,
        partition: i32,
        epoch: i64,
        next_offset: i64,
    ) -> (Self, mpsc::UnboundedReceiver<RawRecord>) {
        // Unbounded in type, bounded by pausing: `crowded`.
        let (queue, records) = mpsc::unbounded_channel();
        let shared = Self {
            topic,
            partition,
            epoch,
            queue,
            waiting_records: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            applied: AtomicI64::new(next_offset),
            committed: AtomicI64::new(next_offset),
            stored: AtomicI64::new(next_offset),
            record_time: AtomicI64::new(0),
            redrive: Notify::new(),
            stop: CancellationToken::new(),
            fenced: AtomicBool::new(false),
        };
        (shared, records)
    }

    /// Hands a record to the worker; says whether the partition is to be paused now.
    pub fn push(&self, record: RawRecord) -> bool {
        let bytes = self.waiting_bytes.fetch_add(record.bytes(), Ordering::Relaxed) + record.bytes();
        let records = self.waiting_records.fetch_add(1, Ordering::Relaxed) + 1;
        // A worker that is gone is being revoked; the next owner reads the record again.
        let _ = self.queue.send(record);
        (records >= PAUSE_AT_RECORDS || bytes >= PAUSE_AT_BYTES) && !self.paused.swap(true, Ordering::Relaxed)
    }

    /// The worker has taken a record out of the queue.
    pub fn took(&self, record: &RawRecord) {
        self.waiting_records.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(record.bytes(), Ordering::Relaxed);
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Whether a paused partition has room again; it counts as resumed from then on.
    pub fn resume_now(&self) -> bool {
        self.is_paused()
            && self.waiting_records.load(Ordering::Relaxed) <= PAUSE_AT_RECORDS / 2
            && self.waiting_bytes.load(Ordering::Relaxed) <= PAUSE_AT_BYTES / 2
            && self.paused.swap(false, Ordering::Relaxed)
    }

    /// The worker's transaction up to `next_offset` is committed.
    pub fn set_applied(&self, next_offset: i64) {
        self.applied.store(next_offset, Ordering::Release);
        self.committed.store(next_offset, Ordering::Release);
    }
    /// The records up to `next_offset` have no effect, and are passed over without a transaction.
    pub fn pass(&self, next_offset: i64) {
        self.applied.store(next_offset, Ordering::Release);
    }
    /// Whether the database is to hear of records that were passed over.
    pub fn has_passed(&self) -> bool {
        self.applied() != self.committed()
    }
    /// The position that is committed.
    pub fn committed(&self) -> i64 {
        self.committed.load(Ordering::Acquire)
    }
    pub fn applied(&self) -> i64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The offset to tell Kafka, if it has not been told: never ahead of the database.
    pub fn to_store(&self) -> Option<i64> {
        let committed = self.committed();
        (self.stored.swap(committed, Ordering::Relaxed) != committed).then_some(committed)
    }

    pub fn set_record_time(&self, timestamp: Option<i64>) {
        self.record_time.store(timestamp.unwrap_or(0), Ordering::Relaxed);
    }
    pub fn record_time(&self) -> Option<i64> {
        Some(self.record_time.load(Ordering::Relaxed)).filter(|time| *time > 0)
    }

    pub fn set_fenced(&self) {
        self.fenced.store(true, Ordering::Release);
    }
    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn record(offset: i64, bytes: usize) -> RawRecord {
        RawRecord { offset, timestamp: None, key: None, value: Some(vec![0; bytes]), headers: Vec::new() }
    }

    #[test]
    fn a_crowded_partition_is_paused_once_and_resumed_at_half() {
        let (partition, mut records) = Partition::new("t".to_owned(), 0, 1, 0);
        let paused: Vec<bool> = (0..PAUSE_AT_RECORDS + 5).map(|n| partition.push(record(n as i64, 1))).collect();
        assert_eq!(paused.iter().filter(|p| **p).count(), 1);
        assert!(!partition.resume_now());
        for _ in 0..PAUSE_AT_RECORDS / 2 + 5 {
            partition.took(&records.try_recv().unwrap());
        }
        assert!(partition.resume_now());
        assert!(!partition.resume_now());
    }

    #[test]
    fn few_but_large_records_crowd_a_partition_too() {
        let (partition, _records) = Partition::new("t".to_owned(), 0, 1, 0);
        assert!(!partition.push(record(0, PAUSE_AT_BYTES - 1)));
        assert!(partition.push(record(1, 1)));
    }

    #[test]
    fn kafka_is_told_each_position_once() {
        let (partition, _records) = Partition::new("t".to_owned(), 0, 1, 7);
        assert_eq!(partition.to_store(), None);
        partition.set_applied(9);
        assert_eq!((partition.to_store(), partition.to_store()), (Some(9), None));
    }

    #[test]
    fn kafka_is_told_of_records_without_effect_only_when_the_database_knows_of_them() {
        let (partition, _records) = Partition::new("t".to_owned(), 0, 1, 7);
        partition.pass(9);
        assert_eq!((partition.applied(), partition.has_passed(), partition.to_store()), (9, true, None));
        partition.set_applied(9);
        assert_eq!((partition.has_passed(), partition.to_store()), (false, Some(9)));
    }

    #[rstest]
    #[case(Some(b"Q-1".as_slice()), "Q-1")]
    #[case(None, "")]
    #[case(Some(b"\xff\x00".as_slice()), "hex:ff00")]
    #[case(Some(b"a\nb".as_slice()), "hex:610a62")]
    fn a_key_is_shown_as_text_or_in_hexadecimal(#[case] key: Option<&[u8]>, #[case] text: &str) {
        let record = RawRecord { key: key.map(<[u8]>::to_vec), ..record(0, 0) };
        assert_eq!(record.key_text(), text);
    }
}
