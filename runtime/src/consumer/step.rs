//! One transaction: the position moved under its epoch, the records of parked keys put behind them, the rest
//! applied, and all of it committed together; then the hints.

use super::partition::{Partition, RawRecord};
use super::store::{Store, StoreTx};
use super::{Host, ProcessorOf, RecordDecoder, decode, park};
use crate::processor::{AfterCommit, Delivery, StepError};
use crate::wake;
use cpq_avro::Record;
use cpq_domain::ids::TenantId;
use cpq_state_stores::StoreError;
use cpq_state_stores::positions::{Advance, Fence, Move};
use futures::FutureExt as _;
use std::{
    collections::{BTreeSet, HashSet},
    ops::Range,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Instant,
};
use tracing::{Instrument as _, Span, debug};

/// Records of one partition in order: as they came, and decoded. Equal indices are the same record.
#[derive(Default)]
pub struct Decoded {
    pub raw: Vec<RawRecord>,
    pub deliveries: Vec<Delivery>,
    pub tenants: Vec<TenantId>,
    bytes: usize,
}

impl Decoded {
    pub fn push(&mut self, partition: &Partition, raw: RawRecord, record: Record, tenant: TenantId) {
        self.deliveries.push(Delivery {
            topic: partition.topic.clone(),
            partition: partition.partition,
            offset: raw.offset,
            key: raw.key_text(),
            record,
        });
        self.bytes += raw.bytes();
        self.raw.push(raw);
        self.tenants.push(tenant);
    }

    /// What they take, together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How these records move their partition's position; `None` for none.
    pub fn moves<'a>(&'a self, range: Range<usize>, partition: &Partition, fence: &'a Fence) -> Option<Move<'a>> {
        let raw = &self.raw[range.clone()];
        let keys: HashSet<&str> = self.deliveries[range].iter().map(|delivery| delivery.key.as_str()).collect();
        Some(Move {
            fence,
            known: partition.committed(),
            first_offset: raw.first()?.offset,
            next_offset: raw.last()?.offset + 1,
            keys: keys.into_iter().collect(),
        })
    }

    /// One for each record: what happens to it, in its trace.
    pub fn spans(&self, range: Range<usize>, consumer: &'static str, partition: &Partition) -> Vec<Span> {
        let Partition { topic, partition, .. } = partition;
        let span =
            |index: usize| decode::span(consumer, topic, *partition, &self.raw[index], &self.deliveries[index].record);
        range.map(span).collect()
    }

    /// Notes that they are applied and committed.
    pub fn applied(&self, range: Range<usize>, partition: &Partition, spans: &[Span]) {
        let Some(last) = self.raw[range].last() else { return };
        partition.set_applied(last.offset + 1);
        partition.set_record_time(last.timestamp);
        for span in spans {
            span.in_scope(|| debug!("applied"));
        }
    }

    pub fn tenant_of(&self, offset: i64) -> Option<&TenantId> {
        let index = self.raw.iter().position(|raw| raw.offset == offset)?;
        self.tenants.get(index)
    }
}

/// How a step has ended.
#[derive(Debug)]
pub enum Outcome {
    Done,
    /// Try the same again.
    Transient(String),
    /// The database, or a defect of ours, refuses something in it.
    Refused(String),
    /// This record is refused.
    Poison {
        index: usize,
        cause: String,
    },
    Fenced(String),
}

impl From<StoreError> for Outcome {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Transient(_) => Self::Transient(error.to_string()),
            StoreError::Fenced(what) => Self::Fenced(what),
            StoreError::Constraint(_) | StoreError::Corrupt(_) | StoreError::Defect(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

/// Applies records of one partition.
pub struct Step<S: Store> {
    pub host: Host<S>,
    pub processor: Arc<ProcessorOf<S>>,
    pub partition: Arc<Partition>,
    fence: Fence,
}

impl<S: Store> Step<S> {
    pub fn new(host: Host<S>, processor: Arc<ProcessorOf<S>>, partition: Arc<Partition>) -> Self {
        let fence = Fence {
            consumer: processor.consumer().to_owned(),
            topic: partition.topic.clone(),
            partition: partition.partition,
            epoch: partition.epoch,
        };
        Self { host, processor, partition, fence }
    }

    pub fn consumer(&self) -> &'static str {
        self.processor.consumer()
    }
    pub fn decoder(&self) -> &dyn RecordDecoder {
        self.host.decoder.as_ref()
    }
    pub fn fence(&self) -> &Fence {
        &self.fence
    }
    /// Moves the position over these offsets, whatever they hold.
    pub fn to(&self, first_offset: i64, next_offset: i64) -> Move<'_> {
        Move { fence: &self.fence, known: self.partition.committed(), first_offset, next_offset, keys: Vec::new() }
    }

    /// Whether any of these records has an effect.
    pub fn concerns(&self, records: &Decoded) -> bool {
        records.deliveries.iter().any(|delivery| self.processor.concerns(&delivery.record))
    }

    /// Moves on behind records without effect. The stored position follows with the next transaction, at the
    /// latest by [`Step::store_position`]; an owner that begins before that passes them over again.
    pub fn pass_over(&self, records: &Decoded) {
        if let Some(last) = records.raw.last() {
            self.partition.pass(last.offset + 1);
            self.partition.set_record_time(last.timestamp);
            metrics::counter!("cpq_consumer_records_total", "consumer" => self.consumer())
                .increment(records.raw.len() as u64);
        }
    }

    /// Stores the position behind the records that were passed over.
    pub async fn store_position(&self) -> Outcome {
        let next_offset = self.partition.applied();
        let store = async {
            let mut tx = self.host.db.begin(&[]).await?;
            advance_one(&mut tx, self.to(next_offset, next_offset)).await?;
            tx.commit().await
        };
        match store.await {
            Ok(()) => {
                self.partition.set_applied(next_offset);
                Outcome::Done
            }
            Err(error) => error.into(),
        }
    }

    /// Applies these records in one transaction.
    pub async fn apply(&self, records: &Decoded, range: Range<usize>) -> Outcome {
        let began = Instant::now();
        let Some(asked) = records.moves(range.clone(), &self.partition, &self.fence) else { return Outcome::Done };
        // A batch of one is logged inside its record's span.
        let spans = records.spans(range.clone(), self.consumer(), &self.partition);
        let around = if let [one] = spans.as_slice() { one.clone() } else { self.batch_span(range.len()) };
        let attempt = self.transaction(records, range.clone(), asked);
        // A panic is a defect: caught, so that its record can be found and parked like any other.
        let result = AssertUnwindSafe(attempt).catch_unwind().instrument(around).await;
        match result {
            Ok(Ok(after)) => {
                records.applied(range.clone(), &self.partition, &spans);
                measure(self.consumer(), range.len(), began);
                self.host.hint(after);
                Outcome::Done
            }
            Ok(Err(StepError::Store(error))) => error.into(),
            Ok(Err(StepError::Poison { offset, cause })) => {
                match range.clone().find(|index| records.raw[*index].offset == offset) {
                    Some(index) => Outcome::Poison { index, cause },
                    None => Outcome::Refused(format!("offset {offset}, not in this batch: {cause}")),
                }
            }
            Err(panic) => Outcome::Refused(format!("the processor panicked: {}", panic_text(panic.as_ref()))),
        }
    }

    async fn transaction(
        &self,
        records: &Decoded,
        range: Range<usize>,
        asked: Move<'_>,
    ) -> Result<AfterCommit, StepError> {
        let mut after = AfterCommit::default();
        let tenants: BTreeSet<TenantId> = records.tenants[range.clone()].iter().cloned().collect();
        let mut tx = self.host.db.begin(&tenants.into_iter().collect::<Vec<_>>()).await?;
        let parked = match advance_one(&mut tx, asked).await? {
            Advance::Moved { parked } => parked,
            Advance::AlreadyApplied => {
                // The hints of that commit may not have been given.
                after.outbox = true;
                return Ok(after);
            }
        };
        if parked.is_empty() {
            let deliveries: Vec<&Delivery> = records.deliveries[range].iter().collect();
            self.processor.apply(&mut tx, &deliveries, &mut after).await?;
        } else {
            self.apply_around(&mut tx, records, range, &parked, &mut after).await?;
        }
        tx.commit().await?;
        Ok(after)
    }

    /// Applies the runs of records between those of parked keys, and puts the latter behind their keys.
    async fn apply_around(
        &self,
        tx: &mut S::Tx,
        records: &Decoded,
        range: Range<usize>,
        parked: &HashSet<String>,
        after: &mut AfterCommit,
    ) -> Result<(), StepError> {
        let is_parked = |index: &usize| parked.contains(&records.deliveries[*index].key);
        let mut start = range.start;
        while start < range.end {
            let end = (start..range.end).find(|index| is_parked(index) != is_parked(&start)).unwrap_or(range.end);
            if is_parked(&start) {
                let behind = records.raw[start..end].iter().zip(&records.tenants[start..end]);
                park::append(self, tx, behind.map(|(raw, tenant)| (raw, Some(tenant.as_str()))), park::BEHIND).await?;
                after.outbox = true;
            } else {
                let deliveries: Vec<&Delivery> = records.deliveries[start..end].iter().collect();
                self.processor.apply(tx, &deliveries, after).await?;
            }
            start = end;
        }
        Ok(())
    }

    pub fn batch_span(&self, records: usize) -> Span {
        let Partition { topic, partition, .. } = self.partition.as_ref();
        tracing::debug_span!("batch", consumer = self.consumer(), topic, partition, records)
    }
}

impl<S: Store> Host<S> {
    /// Wakes whoever waits for what was just committed.
    pub(super) fn hint(&self, after: AfterCommit) {
        if after.outbox {
            self.wake.notify(wake::OUTBOX);
            self.hints.outbox();
        }
        for worker in after.wake {
            self.wake.notify(worker);
        }
        self.hints.decided(after.decided);
    }
}

/// Moves one position.
pub async fn advance_one<T: StoreTx>(tx: &mut T, asked: Move<'_>) -> Result<Advance, StoreError> {
    let advanced = tx.advance(&[asked]).await?.pop();
    advanced.ok_or_else(|| StoreError::Corrupt("a position without an answer".to_owned()))
}

/// Counts a batch that is committed.
pub fn measure(consumer: &'static str, records: usize, began: Instant) {
    metrics::counter!("cpq_consumer_records_total", "consumer" => consumer).increment(records as u64);
    metrics::counter!("cpq_consumer_batches_total", "consumer" => consumer).increment(1);
    metrics::histogram!("cpq_consumer_batch_records", "consumer" => consumer).record(records as f64);
    metrics::histogram!("cpq_consumer_batch_seconds", "consumer" => consumer).record(began.elapsed());
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
