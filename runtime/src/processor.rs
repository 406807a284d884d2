//! What a stream processor is to the runtime: a name, topics, and one function that applies a micro-batch
//! inside the runtime's transaction.

use async_trait::async_trait;
use cpq_avro::Record;
use cpq_domain::ids::CommandId;
use cpq_state_stores::{StoreError, Tx};

/// One decoded record of the micro-batch.
#[derive(Debug)]
pub struct Delivery {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// The aggregate's id.
    pub key: String,
    pub record: Record,
}

/// What is to be hinted once the transaction has committed. Hints may get lost; sweeps are the guarantee.
#[derive(Debug, Default)]
pub struct AfterCommit {
    /// Commands that have an outcome now; waiting gateways are woken.
    pub decided: Vec<CommandId>,
    /// Whether the outbox has new rows; relays are woken.
    pub outbox: bool,
    /// Names of local workers (a role's own loops) to wake, e.g. "notification".
    pub wake: Vec<&'static str>,
}

/// Why a step failed, by kind: strings are not errors.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The whole step is tried again, bounded and jittered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This record can never be applied: its key is parked with everything behind it.
    #[error("record at offset {offset} cannot be applied: {cause}")]
    Poison { offset: i64, cause: String },
}

/// A consumer of topics whose effects are rows, written in transactions of type `T`.
#[async_trait]
pub trait Processor<T: Send + 'static = Tx>: Send + Sync + 'static {
    /// The consumer's name: Kafka group `cpq-<name>`, key of its positions and parked keys.
    fn consumer(&self) -> &'static str;
    /// The topics it reads.
    fn topics(&self) -> &'static [&'static str];
    /// Whether the record has any effect here. A batch in which none has is passed over without a transaction.
    fn concerns(&self, _record: &Record) -> bool {
        true
    }
    /// Whether all that it does is rows made from the topics alone, which nobody acts upon outside: where the database
    /// is older than what Kafka was told, they are made again.
    fn can_be_redone(&self) -> bool {
        false
    }
    /// Applies records in `tx`: of one partition or of several, those of each in order. The runtime has claimed the
    /// positions, taken out parked keys, and set the transaction's tenants to those of the batch; it commits.
    /// Must be free of effects outside `tx`: it is run again after a failure.
    async fn apply(&self, tx: &mut T, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError>;
}
