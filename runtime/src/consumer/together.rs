//! Small batches of several partitions in one transaction: statements and a commit cost about the same for one
//! record as for many. While one such transaction runs, what comes waits, and then goes together. What cannot go
//! together goes alone, where a failure finds its culprit; and so does what is large enough by itself, beside others.

use super::partition::Partition;
use super::step::{Decoded, Outcome, Step, measure, panic_text};
use super::store::{Store, StoreTx as _};
use super::{Host, LARGE_BATCH, MAX_BATCH, MAX_BATCH_BYTES, ProcessorOf};
use crate::processor::{AfterCommit, Delivery, StepError};
use cpq_domain::ids::TenantId;
use cpq_state_stores::positions::{Advance, Fence, Move};
use futures::FutureExt as _;
use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::oneshot;
use tracing::{Instrument as _, debug};

/// A partition's part of a transaction.
struct Share {
    partition: Arc<Partition>,
    fence: Fence,
    records: Arc<Decoded>,
    /// Told once it is applied; dropped where it is not.
    applied: oneshot::Sender<()>,
}

impl Share {
    fn range(&self) -> Range<usize> {
        0..self.records.raw.len()
    }
    fn moves(&self) -> Option<Move<'_>> {
        self.records.moves(self.range(), &self.partition, &self.fence)
    }
}

/// What the workers of one consumer have in common.
pub struct Together<S: Store> {
    host: Host<S>,
    processor: Arc<ProcessorOf<S>>,
    waiting: Mutex<VecDeque<Share>>,
    turn: tokio::sync::Mutex<()>,
}

impl<S: Store> Together<S> {
    pub fn new(host: Host<S>, processor: Arc<ProcessorOf<S>>) -> Self {
        Self { host, processor, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Applies the records, with those of other partitions that wait by then; `None`: they are to be applied alone.
    pub async fn apply(&self, step: &Step<S>, records: &Arc<Decoded>) -> Option<Outcome> {
        if records.raw.len() >= LARGE_BATCH {
            return None;
        }
        let (applied, mut mine) = oneshot::channel();
        let share =
            Share { partition: step.partition.clone(), fence: step.fence().clone(), records: records.clone(), applied };
        self.waiting().push_back(share);
        let turn = tokio::select! {
            biased;
            answer = &mut mine => return answer.ok().map(|()| Outcome::Done),
            turn = self.turn.lock() => turn,
        };
        let shares = self.next();
        match shares.as_slice() {
            [only] if Arc::ptr_eq(&only.partition, &step.partition) => {
                return Some(step.apply(records, 0..records.raw.len()).await);
            }
            // Another took it along.
            [] => {}
            _ => self.apply_all(shares).await,
        }
        drop(turn);
        mine.await.ok().map(|()| Outcome::Done)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Share>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, up to the bounds of a batch.
    fn next(&self) -> Vec<Share> {
        let (mut shares, mut records, mut bytes) = (Vec::new(), 0, 0);
        let mut waiting = self.waiting();
        while let Some(next) = waiting.front() {
            records += next.records.raw.len();
            bytes += next.records.bytes();
            if !shares.is_empty() && (records > MAX_BATCH || bytes > MAX_BATCH_BYTES) {
                break;
            }
            shares.extend(waiting.pop_front());
        }
        shares
    }

    /// One attempt. Whose share is dropped tries alone.
    async fn apply_all(&self, shares: Vec<Share>) {
        let began = Instant::now();
        let consumer = self.processor.consumer();
        let spans: Vec<_> = shares.iter().map(|s| s.records.spans(s.range(), consumer, &s.partition)).collect();
        let records = shares.iter().map(|share| share.records.raw.len()).sum();
        let span = tracing::debug_span!("batch", consumer, partitions = shares.len(), records);
        let attempt = AssertUnwindSafe(self.transaction(&shares)).catch_unwind().instrument(span).await;
        match attempt {
            Ok(Ok(Some(after))) => {
                for (share, spans) in shares.into_iter().zip(spans) {
                    share.records.applied(share.range(), &share.partition, &spans);
                    // Its worker is gone with its partition.
                    let _ = share.applied.send(());
                }
                measure(consumer, records, began);
                self.host.hint(after);
            }
            Ok(Ok(None)) => debug!(consumer, records, "a batch cannot go together"),
            Ok(Err(error)) => debug!(consumer, records, %error, "a batch does not go together"),
            Err(panic) => debug!(consumer, records, panic = panic_text(panic.as_ref()), "a batch does not go together"),
        }
    }

    /// `None` where a share was applied before, or one of its keys is parked.
    async fn transaction(&self, shares: &[Share]) -> Result<Option<AfterCommit>, StepError> {
        let mut after = AfterCommit::default();
        let tenants: BTreeSet<&TenantId> = shares.iter().flat_map(|share| &share.records.tenants).collect();
        let tenants: Vec<TenantId> = tenants.into_iter().cloned().collect();
        let moves: Vec<Move<'_>> = shares.iter().filter_map(Share::moves).collect();
        let mut tx = self.host.db.begin(&tenants).await?;
        let free = |advance: &Advance| matches!(advance, Advance::Moved { parked } if parked.is_empty());
        if !tx.advance(&moves).await?.iter().all(free) {
            return Ok(None);
        }
        let deliveries: Vec<&Delivery> = shares.iter().flat_map(|share| &share.records.deliveries).collect();
        self.processor.apply(&mut tx, &deliveries, &mut after).await?;
        tx.commit().await?;
        Ok(Some(after))
    }
}
