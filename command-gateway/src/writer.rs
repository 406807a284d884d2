//! Group commit: requests hand their commands over, and whoever is free writes all that wait in one
//! transaction. A command alone is written at once. The writers are tasks of their own, so a client that leaves
//! never leaves half a transaction behind.

use crate::problem::Problem;
use cpq_domain::ids::TenantId;
use cpq_domain::rejection::ErrorCode;
use cpq_runtime::backoff::Backoff;
use cpq_state_stores::Db;
use cpq_state_stores::commands::{self, Accepted, NewCommand, Scope, StoredCommand};
use cpq_state_stores::hints::Hints;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{error, warn};

/// Commands that wait to be written; more are answered 503.
const MAX_WAITING: usize = 4096;
/// Commands in one transaction.
const MAX_BATCH: usize = 256;
/// Transactions at once. One: while it waits for the disk the next fills, so that a group grows with the load.
const WRITERS: usize = 1;
/// How often a batch that lost against another (deadlock, serialization) is written again.
const MAX_ATTEMPTS: usize = 3;

struct Job {
    command: NewCommand,
    answer: oneshot::Sender<Result<Accepted, Failure>>,
}

/// Why a command was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// Surely not written, or nobody knows: the same request again is safe.
    Unavailable,
    Internal,
}

/// Where commands are handed in. The writers end when every handle is gone and all is written.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the writers in the current runtime.
    pub fn start(db: Db, hints: Hints) -> (Self, Vec<JoinHandle<()>>) {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let writers = (0..WRITERS).map(|_| tokio::spawn(write_all(db.clone(), hints.clone(), waiting.clone())));
        (Self { queue }, writers.collect())
    }

    /// Commits the command, or finds the one that its idempotency key named before.
    pub async fn accept(&self, command: NewCommand) -> Result<Accepted, Problem> {
        let (answer, answered) = oneshot::channel();
        if self.queue.try_send(Job { command, answer }).is_err() {
            return Err(Problem::unavailable("More commands wait to be written than can be: try again."));
        }
        match answered.await {
            Ok(Ok(accepted)) => Ok(accepted),
            Ok(Err(Failure::Internal)) => {
                Err(Problem::new(ErrorCode::Internal, "The failure is in our log under this correlation id."))
            }
            Ok(Err(Failure::Unavailable)) | Err(_) => {
                Err(Problem::unavailable("The database does not answer: try again with the same Idempotency-Key."))
            }
        }
    }
}

async fn write_all(db: Db, hints: Hints, waiting: Arc<Mutex<mpsc::Receiver<Job>>>) {
    let mut batch = Vec::new();
    loop {
        if waiting.lock().await.recv_many(&mut batch, MAX_BATCH).await == 0 {
            return;
        }
        metrics::histogram!("cpq_gateway_batch_records").record(batch.len() as f64);
        write_batch(&db, &hints, std::mem::take(&mut batch)).await;
    }
}

/// Writes a batch; where it fails for a reason of its content, one by one, so that a bad command costs only
/// itself.
async fn write_batch(db: &Db, hints: &Hints, jobs: Vec<Job>) {
    let (commands, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.command, job.answer)).unzip();
    let results = match write(db, &commands).await {
        Ok(results) => results,
        Err(Failure::Unavailable) => vec![Err(Failure::Unavailable); commands.len()],
        Err(Failure::Internal) if commands.len() == 1 => vec![Err(Failure::Internal)],
        Err(Failure::Internal) => {
            let mut results = Vec::with_capacity(commands.len());
            for command in &commands {
                results.extend(write(db, std::slice::from_ref(command)).await.unwrap_or_else(|f| vec![Err(f)]));
            }
            results
        }
    };
    if results.contains(&Ok(Accepted::New)) {
        hints.outbox();
    }
    for (answer, result) in answers.into_iter().zip(results) {
        // Who left does not hear it; a retry with the same key will.
        let _ = answer.send(result);
    }
}

type Results = Vec<Result<Accepted, Failure>>;

/// One transaction over exactly the batch's tenants.
async fn write(db: &Db, batch: &[NewCommand]) -> Result<Results, Failure> {
    let (tenants, mut backoff) = (tenants(batch), Backoff::default());
    for attempt in 1..=MAX_ATTEMPTS {
        match commands::accept(db, &tenants, batch).await {
            Ok(accepted) => return Ok(accepted.into_iter().map(Ok).collect()),
            Err(error) if commands::is_unknown(&error) => {
                warn!(%error, "the connection was lost before the commit was answered: reading back");
                return Ok(read_back(db, &tenants, batch).await);
            }
            Err(error) if commands::was_rolled_back(&error) && attempt < MAX_ATTEMPTS => {
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(error) if error.is_transient() => {
                warn!(%error, commands = batch.len(), "commands were not written");
                return Err(Failure::Unavailable);
            }
            Err(error) => {
                error!(%error, commands = batch.len(), "a batch of commands was refused");
                return Err(Failure::Internal);
            }
        }
    }
    Err(Failure::Unavailable)
}

/// What a commit of unknown end has left, by idempotency key. What is not there may still come, so it is not
/// written again: the client's retry, with the same key, finds out.
async fn read_back(db: &Db, tenants: &[TenantId], batch: &[NewCommand]) -> Results {
    let scopes: Vec<&Scope> = batch.iter().map(|command| &command.scope).collect();
    let found = commands::known(db, tenants, &scopes).await.unwrap_or_default();
    let outcome = |command: &NewCommand| match found.get(&command.scope) {
        Some(stored) if is_own(stored, command) => Ok(Accepted::New),
        Some(stored) => Ok(Accepted::Before(Box::new(stored.clone()))),
        None => Err(Failure::Unavailable),
    };
    batch.iter().map(outcome).collect()
}

fn is_own(stored: &StoredCommand, command: &NewCommand) -> bool {
    stored.command_id == command.command_id
}

fn tenants(batch: &[NewCommand]) -> Vec<TenantId> {
    let mut tenants: Vec<TenantId> = batch.iter().map(|command| command.scope.tenant_id.clone()).collect();
    tenants.sort();
    tenants.dedup();
    tenants
}
