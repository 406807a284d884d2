//! The relay: puts committed outbox rows on their topics, in the order of each key, at least once.
//!
//! Shards of the outbox are held under leases in database time (`keeper`); a cursor knows which rows cannot
//! have been overlooked (`cursor`); an idempotent producer keeps the order on the wire (`producer`); the pump
//! moves rows from claim to acknowledgement to mark (`pump`). It runs on a [`Store`] and a [`Log`]: PostgreSQL and
//! Kafka, or memory in simulations.
//!
//! Order of a key: its rows have one shard, that shard one lease holder, whose claims are in order of row
//! ids, whose producer neither reorders nor skips. Whatever is uncertain (a lost lease, a fatal producer
//! error) throws everything in hand away and begins again with the first pending row: repeats, never gaps. Even
//! two relays that both believe in their lease would each send gapless runs, so that the first occurrences
//! stay in order.

mod cursor;
pub mod guard;
mod keeper;
mod measure;
mod producer;
mod pump;
mod store;

pub use producer::{Log, Producer, Refused, Report, Reporter};
pub use store::{Store, StoreTx};

use cpq_runtime::wake::{self, Wake};
use cpq_state_stores::{Db, hints::Hints};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Rows given to the producer and not yet marked, at most.
pub const MAX_IN_HAND_ROWS: usize = 20_000;
/// Bytes of their values, at most (a single claim may exceed it by [`MAX_CLAIM_BYTES`]).
pub const MAX_IN_HAND_BYTES: usize = 64 * 1024 * 1024;
/// Rows of one claim.
pub const MAX_CLAIM_ROWS: usize = 2_000;
/// Bytes of one claim's values (one row may exceed it).
pub const MAX_CLAIM_BYTES: usize = 16 * 1024 * 1024;
/// Largest message, as the topics allow it.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// Rows of one mark.
pub const MAX_MARK_ROWS: usize = 5_000;
/// At shutdown, acknowledgements are awaited for so long.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What may be set differently, for tests and odd machines.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// How long a shard stays with a relay that no longer says anything.
    pub lease: Duration,
    /// The relay looks at the outbox this often, hinted or not.
    pub sweep: Duration,
    /// It looks from the very first row this often (a safety net).
    pub full_sweep: Duration,
    /// librdkafka's own queue, in messages.
    pub producer_queue: usize,
    /// See [`MAX_CLAIM_ROWS`].
    pub claim_rows: usize,
    /// See [`MAX_IN_HAND_ROWS`].
    pub in_hand_rows: usize,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            sweep: Duration::from_millis(200),
            full_sweep: Duration::from_secs(30),
            producer_queue: 2 * MAX_IN_HAND_ROWS,
            claim_rows: MAX_CLAIM_ROWS,
            in_hand_rows: MAX_IN_HAND_ROWS,
        }
    }
}

/// How the relay stands, for readiness.
#[derive(Clone, Debug, Default)]
pub struct RelayStatus {
    state: Arc<Mutex<Option<Result<String, String>>>>,
}

impl RelayStatus {
    pub fn check(&self) -> Result<String, String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone().unwrap_or_else(|| Err("starting".to_owned()))
    }
    fn set(&self, state: Result<String, String>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }
}

/// A relay instance.
pub struct Relay {
    pub db: Db,
    pub kafka_brokers: String,
    /// Names this instance in leases; differs between any two.
    pub owner: String,
    pub settings: RelaySettings,
    pub status: RelayStatus,
}

impl Relay {
    /// Relays until shutdown; then finishes what is in hand, bounded, and gives its shards back.
    pub async fn run(self, wake: &Wake, hints: &Hints, shutdown: CancellationToken) {
        let woken = wake.handle(wake::OUTBOX);
        hints.wake_on_outbox(&woken);
        let Self { db, kafka_brokers, owner, settings, status } = self;
        let log = producer::Kafka { brokers: kafka_brokers };
        Host { store: store::Postgres::new(db), log, owner, settings, status }.run(woken, shutdown).await;
    }
}

/// A relay and what it runs on.
pub struct Host<S, L> {
    pub store: S,
    pub log: L,
    /// As in [`Relay`].
    pub owner: String,
    pub settings: RelaySettings,
    pub status: RelayStatus,
}

impl<S: Store, L: Log> Host<S, L> {
    /// As [`Relay::run`]; looks at the outbox whenever it is `woken`.
    pub async fn run(self, woken: Arc<Notify>, shutdown: CancellationToken) {
        let (view, leases) = watch::channel(keeper::View::default());
        let (drained, releases) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keeper::Keeper::new(&self, view).run(releases, stop.clone()));
        let measuring = tokio::spawn(measure::run(self.store.clone(), stop.clone()));
        // Whatever ends this future ends its tasks; only a pump that ended well lets the keeper give back.
        let _tasks = stop.clone().drop_guard();
        pump::Pump::new(self, leases, drained.clone(), woken).run(shutdown).await;
        stop.cancel();
        for task in [keeper, measuring] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the relay has failed; its leases expire");
            }
        }
        drop(drained);
    }
}
