//! What operators see of the outbox: how much waits, for how long, and which keys are parked.

use cpq_state_stores::outbox::{Backlog, backlog};
use cpq_state_stores::{Db, StoreError};
use metrics::gauge;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How often it is measured.
const INTERVAL: Duration = Duration::from_secs(2);

/// Measures until stopped. When parked keys have become fewer, the pump is asked to look from the first row.
pub async fn run(db: Db, rescan: Arc<AtomicBool>, woken: Arc<Notify>, stop: CancellationToken) {
    let mut parked_before = 0;
    loop {
        match measure(&db).await {
            Ok(backlog) => {
                gauge!("cpq_relay_pending_rows").set(backlog.rows as f64);
                gauge!("cpq_relay_oldest_pending_seconds").set(backlog.oldest_seconds);
                gauge!("cpq_relay_parked_keys").set(backlog.parked_keys as f64);
                if backlog.parked_keys < parked_before {
                    rescan.store(true, Ordering::Relaxed);
                    woken.notify_one();
                }
                parked_before = backlog.parked_keys;
            }
            Err(error) => debug!(%error, "the outbox cannot be measured now"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn measure(db: &Db) -> Result<Backlog, StoreError> {
    let mut tx = db.begin_system().await?;
    let measured = backlog(&mut tx).await?;
    tx.commit().await?;
    Ok(measured)
}
