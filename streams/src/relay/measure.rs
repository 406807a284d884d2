//! What operators see of the outbox: how much waits, for how long, and which keys are parked.

use super::{Store, StoreTx};
use cpq_state_stores::StoreError;
use cpq_state_stores::outbox::Backlog;
use metrics::gauge;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How often it is measured.
const INTERVAL: Duration = Duration::from_secs(2);

/// Measures until stopped.
pub async fn run(store: impl Store, stop: CancellationToken) {
    loop {
        match measure(&store).await {
            Ok(backlog) => {
                gauge!("cpq_relay_pending_rows").set(backlog.rows as f64);
                gauge!("cpq_relay_oldest_pending_seconds").set(backlog.oldest_seconds);
                gauge!("cpq_relay_parked_keys").set(backlog.parked_keys as f64);
            }
            Err(error) => debug!(%error, "the outbox cannot be measured now"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn measure(store: &impl Store) -> Result<Backlog, StoreError> {
    let mut tx = store.begin_system().await?;
    let measured = tx.backlog().await?;
    tx.commit().await?;
    Ok(measured)
}
