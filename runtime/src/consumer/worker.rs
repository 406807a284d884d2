//! One task per owned partition: takes what waits, in micro-batches, and brings each to its end: applied,
//! parked, or left to the next owner.

use super::partition::{Partition, RawRecord};
use super::step::{Decoded, Outcome, Step};
use super::store::Store;
use super::together::Together;
use super::{Host, MAX_BATCH, MAX_BATCH_BYTES, ProcessorOf, decode, park, redrive};
use crate::backoff::Backoff;
use cpq_avro::DecodeError;
use futures::FutureExt as _;
use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, warn};

/// A single record that the database refuses is tried so often before it is parked: a refusal may come from
/// a race that does not repeat.
pub const ATTEMPTS_BEFORE_PARKING: u32 = 3;

/// The stored position follows so long after the first record without effect, if no transaction takes it along.
const POSITION_DELAY: Duration = Duration::from_secs(1);

/// Why there is no batch.
enum Idle {
    Stopped,
    PositionDue,
    RedriveDue,
}

/// Why a worker ends.
enum End {
    /// The partition is taken away, or the process ends.
    Stopped,
    /// Another instance owns the partition.
    Fenced,
}

/// The worker of one partition.
pub struct Worker<S: Store> {
    step: Step<S>,
    together: Arc<Together<S>>,
    partition: Arc<Partition>,
    records: mpsc::UnboundedReceiver<RawRecord>,
    /// When the database is to hear of records that were passed over.
    position_due: Instant,
}

impl<S: Store> Worker<S> {
    pub fn new(
        host: Host<S>,
        processor: Arc<ProcessorOf<S>>,
        partition: Arc<Partition>,
        records: mpsc::UnboundedReceiver<RawRecord>,
        together: Arc<Together<S>>,
    ) -> Self {
        let step = Step::new(host, processor, partition.clone());
        Self { step, together, partition, records, position_due: Instant::now() }
    }

    /// Works until the partition is taken away. Under load, batches and redriving take turns.
    pub async fn run(mut self) {
        loop {
            let mut done = match self.next_batch().await {
                Ok(batch) => self.bring_to_end(batch).await,
                Err(Idle::PositionDue) => self.store_position().await,
                Err(Idle::RedriveDue) => self.redrive().await,
                Err(Idle::Stopped) => return,
            };
            if done.is_ok() && self.partition.redrive.notified().now_or_never().is_some() {
                done = self.redrive().await;
            }
            if let Err(end) = done {
                if matches!(end, End::Fenced) {
                    self.partition.set_fenced();
                }
                return;
            }
        }
    }

    /// Whatever waits, up to the bounds of a batch; waits for a first record.
    async fn next_batch(&mut self) -> Result<VecDeque<RawRecord>, Idle> {
        if !self.partition.has_passed() {
            self.position_due = Instant::now() + POSITION_DELAY;
        }
        let first = tokio::select! {
            biased;
            () = self.partition.stop.cancelled() => return Err(Idle::Stopped),
            () = tokio::time::sleep_until(self.position_due), if self.partition.has_passed() => {
                return Err(Idle::PositionDue);
            }
            record = self.records.recv() => record.ok_or(Idle::Stopped)?,
            () = self.partition.redrive.notified() => return Err(Idle::RedriveDue),
        };
        let mut batch = VecDeque::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(record) = next {
            self.partition.took(&record);
            bytes += record.bytes();
            // What was read before a rebalance may come again.
            if record.offset >= self.partition.applied() {
                batch.push_back(record);
            }
            let full = batch.len() >= MAX_BATCH || bytes >= MAX_BATCH_BYTES;
            next = if full { None } else { self.records.try_recv().ok() };
        }
        Ok(batch)
    }

    /// Tells the database how far the records without effect go. What fails for a moment is due again soon.
    async fn store_position(&self) -> Result<(), End> {
        match self.step.store_position().await {
            Outcome::Fenced(what) => {
                warn!(consumer = self.step.consumer(), what, "fenced");
                Err(End::Fenced)
            }
            Outcome::Done => Ok(()),
            failed => {
                warn!(
                    consumer = self.step.consumer(),
                    topic = self.partition.topic,
                    ?failed,
                    "a position is not stored"
                );
                Ok(())
            }
        }
    }

    /// Brings one key that was let go forward. What fails for a moment is due again at the next sweep.
    async fn redrive(&self) -> Result<(), End> {
        match redrive::forward(&self.step).await {
            Ok(redrive::Progress::Nothing) => Ok(()),
            Ok(redrive::Progress::Moved) => {
                self.partition.redrive.notify_one();
                Ok(())
            }
            Err(Outcome::Fenced(what)) => {
                warn!(consumer = self.step.consumer(), what, "fenced");
                Err(End::Fenced)
            }
            Err(failed) => {
                warn!(
                    consumer = self.step.consumer(),
                    topic = self.partition.topic,
                    ?failed,
                    "a redrive is tried again"
                );
                Ok(())
            }
        }
    }

    async fn bring_to_end(&self, mut batch: VecDeque<RawRecord>) -> Result<(), End> {
        let mut backoff = Backoff::default();
        while let Some(first) = batch.front() {
            self.partition.set_record_time(first.timestamp);
            let Prefix { records, then } = self.decode(&mut batch).await;
            if !records.raw.is_empty() {
                backoff.reset();
                if self.step.concerns(&records) {
                    self.apply(records).await?;
                } else {
                    self.step.pass_over(&records);
                }
            }
            match then {
                Then::Nothing => {}
                Then::Park(raw, cause) => self.park(&raw, None, &cause).await?,
                Then::Wait(cause) => {
                    warn!(consumer = self.step.consumer(), topic = self.partition.topic, cause, "a schema is awaited");
                    metrics::counter!("cpq_consumer_retries_total", "consumer" => self.step.consumer(), "cause" => "registry")
                        .increment(1);
                    self.pause(&mut backoff).await?;
                }
            }
        }
        Ok(())
    }

    /// Decodes as far as it goes, taking those records out of the batch.
    async fn decode(&self, batch: &mut VecDeque<RawRecord>) -> Prefix {
        let mut records = Decoded::default();
        while let Some(raw) = batch.pop_front() {
            let then = match decode::read(self.step.decoder(), raw.value.as_deref()).await {
                Ok((record, tenant)) => {
                    records.push(&self.partition, raw, record, tenant);
                    continue;
                }
                Err(DecodeError::Poison { cause }) => Then::Park(raw, cause),
                Err(DecodeError::RegistryUnavailable { cause }) => {
                    batch.push_front(raw);
                    Then::Wait(cause)
                }
            };
            return Prefix { records, then };
        }
        Prefix { records, then: Then::Nothing }
    }

    /// Applies all records, halving what fails until the culprit stands alone.
    async fn apply(&self, records: Decoded) -> Result<(), End> {
        let records = Arc::new(records);
        let mut todo = vec![Work::Apply(0..records.raw.len(), 0)];
        let mut backoff = Backoff::default();
        let mut first = self.together.apply(&self.step, &records).await;
        while let Some(work) = todo.pop() {
            // The stop comes between transactions, never inside one.
            if self.partition.stop.is_cancelled() {
                return Err(End::Stopped);
            }
            let (range, attempts) = match work {
                Work::Park(index, cause) => {
                    self.park(&records.raw[index], Some(&records), &cause).await?;
                    continue;
                }
                Work::Apply(range, _) if range.is_empty() => continue,
                Work::Apply(range, attempts) => (range, attempts),
            };
            let outcome = match first.take() {
                Some(outcome) => outcome,
                None => self.step.apply(&records, range.clone()).await,
            };
            match outcome {
                Outcome::Done => backoff.reset(),
                Outcome::Fenced(what) => {
                    warn!(consumer = self.step.consumer(), what, "fenced");
                    return Err(End::Fenced);
                }
                Outcome::Transient(cause) => {
                    self.log_retry(&records, &range, &cause);
                    todo.push(Work::Apply(range, attempts));
                    self.pause(&mut backoff).await?;
                }
                Outcome::Poison { index, cause } => {
                    // In reverse, since the last one pushed is the first to go.
                    todo.push(Work::Apply(index + 1..range.end, 0));
                    todo.push(Work::Park(index, cause));
                    todo.push(Work::Apply(range.start..index, 0));
                }
                Outcome::Refused(cause) if range.len() == 1 && attempts + 1 >= ATTEMPTS_BEFORE_PARKING => {
                    todo.push(Work::Park(range.start, cause));
                }
                Outcome::Refused(cause) if range.len() == 1 => {
                    self.log_retry(&records, &range, &cause);
                    todo.push(Work::Apply(range, attempts + 1));
                    self.pause(&mut backoff).await?;
                }
                Outcome::Refused(cause) => {
                    warn!(
                        consumer = self.step.consumer(),
                        topic = self.partition.topic,
                        records = range.len(),
                        cause,
                        "a batch is refused: halving it"
                    );
                    let middle = range.start + range.len() / 2;
                    todo.push(Work::Apply(middle..range.end, 0));
                    todo.push(Work::Apply(range.start..middle, 0));
                }
            }
        }
        Ok(())
    }

    fn log_retry(&self, records: &Decoded, range: &Range<usize>, cause: &str) {
        metrics::counter!("cpq_consumer_retries_total", "consumer" => self.step.consumer(), "cause" => "store")
            .increment(1);
        warn!(
            consumer = self.step.consumer(),
            topic = self.partition.topic,
            partition = self.partition.partition,
            offset = records.raw[range.start].offset,
            records = range.len(),
            cause,
            "the step is tried again"
        );
    }

    /// Parks the record's key with it, until that has succeeded or the partition is gone.
    async fn park(&self, raw: &RawRecord, decoded: Option<&Decoded>, cause: &str) -> Result<(), End> {
        let mut backoff = Backoff::default();
        let tenant = decoded.and_then(|records| records.tenant_of(raw.offset));
        loop {
            match park::park(&self.step, raw, tenant, cause).await {
                Outcome::Done => return Ok(()),
                Outcome::Fenced(_) => return Err(End::Fenced),
                Outcome::Transient(why) | Outcome::Refused(why) | Outcome::Poison { cause: why, .. } => {
                    error!(consumer = self.step.consumer(), cause = why, "a record cannot be parked now");
                    self.pause(&mut backoff).await?;
                }
            }
        }
    }

    async fn pause(&self, backoff: &mut Backoff) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.partition.stop.cancelled() => Err(End::Stopped),
            () = tokio::time::sleep(backoff.pause()) => Ok(()),
        }
    }
}

/// Decoded records from the front of a batch, and what stands behind them.
struct Prefix {
    records: Decoded,
    then: Then,
}

enum Then {
    Nothing,
    Park(RawRecord, String),
    Wait(String),
}

/// What is still to be done with decoded records, named by their indices.
enum Work {
    /// Apply these; so often has a single one been refused.
    Apply(Range<usize>, u32),
    Park(usize, String),
}
