//! Redriving: a parked key that an operator has let go is released here, by the consumer that parked it, between two
//! batches of its partition and in its own transactions. Records are applied oldest first; one that fails parks the
//! key again with its new cause. Records that come meanwhile queue up behind, until none is left.

use super::step::{Decoded, Outcome, Step, panic_text};
use super::store::{Store, StoreTx as _};
use super::worker::ATTEMPTS_BEFORE_PARKING;
use super::{Host, MAX_BATCH, MAX_BATCH_BYTES, decode, park, partition::RawRecord};
use crate::backoff::Backoff;
use crate::processor::{AfterCommit, Delivery, StepError};
use cpq_avro::DecodeError;
use cpq_domain::ids::TenantId;
use cpq_state_stores::StoreError;
use cpq_state_stores::parked::release::{Due, Waiting};
use futures::FutureExt as _;
use std::{collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tracing::{Instrument as _, debug, error, info};

/// How often a consumer looks for keys that were let go, where no hint says so.
const SWEEP: Duration = Duration::from_secs(2);

/// Looks for keys of this consumer that were let go, at each hint and at each sweep, and tells `wake` their topics
/// and partitions, until that says that nobody is left to hear it.
pub async fn watch<S: Store>(
    host: Host<S>,
    consumer: &'static str,
    hinted: Arc<Notify>,
    wake: impl Fn(&[(String, i32)]) -> bool,
) {
    loop {
        let due = match due_partitions(&host, consumer).await {
            Ok(due) => due,
            Err(error) => {
                debug!(consumer, %error, "keys that were let go wait for the database");
                Vec::new()
            }
        };
        if !wake(&due) {
            return;
        }
        tokio::select! {
            biased;
            () = hinted.notified() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}

async fn due_partitions<S: Store>(host: &Host<S>, consumer: &str) -> Result<Vec<(String, i32)>, StoreError> {
    let mut tx = host.db.begin(&[]).await?;
    let due = tx.due_partitions(consumer).await?;
    tx.commit().await?;
    Ok(due)
}

/// What one transaction's worth of redriving has come to.
pub enum Progress {
    /// Nothing is due in this partition.
    Nothing,
    /// Records were applied, or a key was parked again; there may be more.
    Moved,
}

/// Brings one key of the partition forward by at most one batch. What is transient is left for the next time.
pub async fn forward<S: Store>(step: &Step<S>) -> Result<Progress, Outcome> {
    let Some(due) = load(step).await? else { return Ok(Progress::Nothing) };
    let (records, fault) = decode(step, &due).await?;
    let mut count = records.raw.len();
    let (mut refusals, mut backoff) = (0, Backoff::default());
    loop {
        if step.partition.stop.is_cancelled() {
            return Ok(Progress::Nothing);
        }
        if count == 0 {
            // What stands behind the decoded records is the first one, where there are none.
            return match fault {
                Some(cause) => park_again(step, &due, &cause).await,
                None => Ok(Progress::Nothing),
            };
        }
        match apply(step, &due, &records, count).await {
            Outcome::Done => return Ok(Progress::Moved),
            Outcome::Poison { index: 0, cause } => return park_again(step, &due, &cause).await,
            Outcome::Poison { index, .. } => count = index.min(count - 1),
            Outcome::Refused(cause) if count == 1 => {
                refusals += 1;
                if refusals >= ATTEMPTS_BEFORE_PARKING {
                    return park_again(step, &due, &cause).await;
                }
                tokio::time::sleep(backoff.pause()).await;
            }
            Outcome::Refused(_) => count /= 2,
            failed @ (Outcome::Transient(_) | Outcome::Fenced(_)) => return Err(failed),
        }
    }
}

async fn load<S: Store>(step: &Step<S>) -> Result<Option<Due>, Outcome> {
    let load = async {
        let mut tx = step.host.db.begin(&[]).await?;
        let due = tx.due(step.fence(), MAX_BATCH as i64, MAX_BATCH_BYTES as i64).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(due)
    };
    Ok(load.await?)
}

/// The records from the front that can be read, and why the next one cannot.
async fn decode<S: Store>(step: &Step<S>, due: &Due) -> Result<(Decoded, Option<String>), Outcome> {
    let mut records = Decoded::default();
    for record in &due.records {
        match decode::read(step.decoder(), record.value.as_deref()).await {
            Ok((read, tenant)) => records.push(&step.partition, raw(record, &due.message_key), read, tenant),
            Err(DecodeError::Poison { cause }) => return Ok((records, Some(cause))),
            Err(DecodeError::RegistryUnavailable { cause }) => return Err(Outcome::Transient(cause)),
        }
    }
    Ok((records, None))
}

/// The record as it came. A key that is no text was stored as text that says so, and stays that text.
fn raw(record: &Waiting, message_key: &str) -> RawRecord {
    RawRecord {
        offset: record.offset,
        timestamp: None,
        key: Some(message_key.as_bytes().to_vec()),
        value: record.value.clone(),
        headers: record.headers.clone(),
    }
}

/// Applies the first records in one transaction, and takes them out of the way with it.
async fn apply<S: Store>(step: &Step<S>, due: &Due, records: &Decoded, count: usize) -> Outcome {
    let attempt = transaction(step, due, records, count).instrument(step.batch_span(count));
    // A panic is a defect, caught as in a batch.
    match AssertUnwindSafe(attempt).catch_unwind().await {
        Ok(Ok(None)) => Outcome::Done,
        Ok(Ok(Some((after, free)))) => {
            let (consumer, topic) = (step.consumer(), step.partition.topic.as_str());
            metrics::counter!("cpq_consumer_redriven_total", "consumer" => consumer).increment(count as u64);
            info!(consumer, topic, business_key = due.message_key, records = count, free, "parked records applied");
            step.host.hint(after);
            Outcome::Done
        }
        Ok(Err(StepError::Store(error))) => error.into(),
        Ok(Err(StepError::Poison { offset, cause })) => {
            match records.raw[..count].iter().position(|raw| raw.offset == offset) {
                Some(index) => Outcome::Poison { index, cause },
                None => Outcome::Refused(format!("offset {offset}, not among these records: {cause}")),
            }
        }
        Err(panic) => Outcome::Refused(format!("the processor panicked: {}", panic_text(panic.as_ref()))),
    }
}

/// `None` where the key is no longer to be released. Else what to hint, and whether the key is free now.
async fn transaction<S: Store>(
    step: &Step<S>,
    due: &Due,
    records: &Decoded,
    count: usize,
) -> Result<Option<(AfterCommit, bool)>, StepError> {
    let tenants: BTreeSet<TenantId> = records.tenants[..count].iter().cloned().collect();
    let mut tx = step.host.db.begin(&tenants.into_iter().collect::<Vec<_>>()).await?;
    if !tx.hold(step.fence(), &due.dead_letter_id).await? {
        return Ok(None);
    }
    let mut after = AfterCommit::default();
    let deliveries: Vec<&Delivery> = records.deliveries[..count].iter().collect();
    step.processor.apply(&mut tx, &deliveries, &mut after).await?;
    let offsets: Vec<i64> = records.raw[..count].iter().map(|raw| raw.offset).collect();
    let free = tx.released(step.fence(), due, &offsets).await?;
    tx.commit().await?;
    Ok(Some((after, free)))
}

/// The first record has failed again: its key stays parked, with the new cause.
async fn park_again<S: Store>(step: &Step<S>, due: &Due, cause: &str) -> Result<Progress, Outcome> {
    let Some(head) = due.records.first() else { return Ok(Progress::Nothing) };
    let cause = park::storable(cause);
    let park = async {
        let mut tx = step.host.db.begin(&[]).await?;
        if tx.hold(step.fence(), &due.dead_letter_id).await? {
            tx.failed(step.fence(), due, head.offset, &cause).await?;
        }
        tx.commit().await
    };
    park.await?;
    let (consumer, topic) = (step.consumer(), step.partition.topic.as_str());
    metrics::counter!("cpq_consumer_parked_total", "consumer" => consumer).increment(1);
    error!(consumer, topic, offset = head.offset, business_key = due.message_key, cause, "record parked again");
    Ok(Progress::Moved)
}
