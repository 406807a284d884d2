//! The consumer loop, written once: *dedupe → apply → outbox → position → commit*, then the offset for
//! Kafka's lag tools, then hints.
//!
//! One thread polls Kafka for each processor (`poll`), so that rebalances are always served (`assignment`); it takes
//! partitions over in the database (`partitions`) and hands records to one task per partition (`worker`),
//! which applies them in micro-batches (`step`), under load together with those of others (`together`), parks what can never be applied (`park`), and releases parked keys
//! that an operator has let go (`redrive`).
//!
//! What goes wrong: a transient failure is tried again for as long as the partition is owned; a fenced owner,
//! an exceeded poll interval or a fatal client error throws the whole consumer away, and a new one joins; a
//! stored position that does not fit its topic ends the process ([`ConsumerError::Halt`]), because going on
//! would lose or repeat work.

mod assignment;
mod decode;
mod lag;
mod park;
mod partition;
mod partitions;
mod poll;
mod redrive;
mod step;
mod store;
mod together;
mod worker;

pub use decode::RecordDecoder;
pub use partition::{Partition, RawRecord};
pub use partitions::{Bounds, Partitions};
pub use poll::group;
pub use store::{Store, StoreTx};

use crate::{backoff::Backoff, processor::Processor, wake::Wake};
use cpq_state_stores::{Db, hints::Hints};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Records of one transaction. Beyond some hundred, a batch gains little and a failed one costs more.
pub const MAX_BATCH: usize = 500;
/// A partition's batch of so many records gains little from going together with those of others, and does not wait.
pub const LARGE_BATCH: usize = 100;
/// Bytes of one transaction's records (the last record may exceed it).
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// A partition is paused when so many records wait for its worker …
pub const PAUSE_AT_RECORDS: usize = 4 * MAX_BATCH;
/// … or so many bytes, and resumed at half of both.
pub const PAUSE_AT_BYTES: usize = 16 * 1024 * 1024;
/// A partition that is taken away gets so long to finish its transaction. Later than that, the transaction
/// fails on its epoch.
pub const REVOKE_DRAIN: Duration = Duration::from_secs(10);
/// Kafka takes partitions from a process that does not poll for this long.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);
/// Longest wait for the database while partitions are being taken over; must stay under [`MAX_POLL_INTERVAL`].
pub const TAKE_OVER_LIMIT: Duration = Duration::from_secs(240);
/// Kafka takes partitions from a process that sends no heartbeat for this long.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// What all consumers of a process share. Cheap to clone.
#[derive(Clone)]
pub struct Host<S: Store = Db> {
    pub db: S,
    pub kafka_brokers: String,
    pub decoder: Arc<dyn RecordDecoder>,
    pub wake: Wake,
    pub hints: Hints,
    /// Names this process in positions and logs; differs between any two processes.
    pub owner: String,
}

/// A processor whose effects are written in transactions of this store.
pub type ProcessorOf<S> = dyn Processor<<S as Store>::Tx>;

/// Why a consumer has ended for good.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Stored positions and topic contradict each other: a person must look.
    #[error("consumer {consumer} stops: {reason}")]
    Halt { consumer: &'static str, reason: String },
}

/// How a consumer stands, for readiness.
#[derive(Clone, Debug, Default)]
pub struct ConsumerStatus {
    state: Arc<Mutex<Standing>>,
}

#[derive(Clone, Debug, Default)]
enum Standing {
    #[default]
    Joining,
    Assigned(usize),
    Failing(String),
}

impl ConsumerStatus {
    /// `Ok` once the group has given its partitions, be it none.
    pub fn check(&self) -> Result<String, String> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            Standing::Joining => Err("joining its group".to_owned()),
            Standing::Assigned(partitions) => Ok(format!("{partitions} partitions")),
            Standing::Failing(reason) => Err(reason.clone()),
        }
    }
    fn set(&self, standing: Standing) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// Why a consumer has ended before shutdown.
#[derive(Debug)]
pub enum Ended {
    /// A new one joins the group.
    Rebuild(String),
    /// A person must look.
    Halt(String),
}

/// Runs the processor until shutdown, with as many consumers, one after the other, as that takes.
pub async fn run(
    host: Host,
    processor: Arc<dyn Processor>,
    status: ConsumerStatus,
    shutdown: CancellationToken,
) -> Result<(), ConsumerError> {
    run_polling_within(MAX_POLL_INTERVAL, host, processor, status, shutdown).await
}

/// As [`run`], for tests: Kafka's patience with a process that does not poll, at least [`SESSION_TIMEOUT`].
pub async fn run_polling_within(
    max_poll_interval: Duration,
    host: Host,
    processor: Arc<dyn Processor>,
    status: ConsumerStatus,
    shutdown: CancellationToken,
) -> Result<(), ConsumerError> {
    let consumer = processor.consumer();
    let mut backoff = Backoff::default();
    let redrive = Arc::new(Notify::new());
    host.hints.wake_on_redrive(&redrive);
    loop {
        let (sender, ended) = oneshot::channel();
        let (host, processor, of_thread) = (host.clone(), processor.clone(), status.clone());
        let (runtime, stop, hinted) = (tokio::runtime::Handle::current(), shutdown.clone(), redrive.clone());
        let thread = std::thread::Builder::new().name(format!("consume-{consumer}")).spawn(move || {
            // The receiver lives as long as this process wants to know.
            let _ = sender.send(poll::run(&host, max_poll_interval, &processor, &of_thread, &runtime, &stop, &hinted));
        });
        let reason = match thread {
            Err(cause) => format!("no thread for it: {cause}"),
            Ok(_) => match ended.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Ended::Halt(reason))) => {
                    status.set(Standing::Failing(reason.clone()));
                    return Err(ConsumerError::Halt { consumer, reason });
                }
                Ok(Err(Ended::Rebuild(reason))) => reason,
                Err(_) => "its thread panicked".to_owned(),
            },
        };
        error!(consumer, reason, "consumer ended; a new one joins the group");
        metrics::counter!("cpq_consumer_rebuilds_total", "consumer" => consumer).increment(1);
        status.set(Standing::Failing(reason));
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(backoff.pause()) => info!(consumer, "joining again"),
        }
    }
}
