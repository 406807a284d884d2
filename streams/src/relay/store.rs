//! What the relay asks of the database, and nothing else: it runs over PostgreSQL in production and over memory in
//! simulations. What a statement means stands in `state-stores`.

use cpq_state_stores::lease::{self, HeldShard};
use cpq_state_stores::outbox::{self, Backlog, Claim, Claimed};
use cpq_state_stores::{Db, StoreError, SystemDb, Tx, parked};
use std::{future::Future, time::Duration};

type Answer<T> = Result<T, StoreError>;

/// One for claims, one for marks.
const CONNECTIONS: u32 = 2;

/// Where the outbox, its leases and its parked keys are kept; each method is the function of the same name in
/// `state-stores`.
pub trait Store: Clone + Send + Sync + 'static {
    /// Rolled back when dropped.
    type Tx: StoreTx;
    /// A transaction over all tenants.
    fn begin_system(&self) -> impl Future<Output = Answer<Self::Tx>> + Send;
    fn claim(&self, claim: &Claim<'_>) -> impl Future<Output = Answer<Claimed>> + Send;
    fn mark(&self, owner: &str, held: &[HeldShard], ids: &[i64]) -> impl Future<Output = Answer<u64>> + Send;
}

/// A transaction of the relay.
pub trait StoreTx: Send + 'static {
    fn announce(&mut self, owner: &str, lease: Duration) -> impl Future<Output = Answer<usize>> + Send;
    fn renew(
        &mut self,
        owner: &str,
        held: &[HeldShard],
        lease: Duration,
    ) -> impl Future<Output = Answer<Vec<HeldShard>>> + Send;
    fn take(
        &mut self,
        owner: &str,
        count: usize,
        lease: Duration,
    ) -> impl Future<Output = Answer<Vec<HeldShard>>> + Send;
    fn release(&mut self, owner: &str, held: &[HeldShard]) -> impl Future<Output = Answer<()>> + Send;
    fn leave(&mut self, owner: &str) -> impl Future<Output = Answer<()>> + Send;
    fn holds(&mut self, owner: &str, held: HeldShard) -> impl Future<Output = Answer<bool>> + Send;
    fn park_key(
        &mut self,
        topic: &str,
        message_key: &str,
        tenant_id: &str,
        cause: &str,
    ) -> impl Future<Output = Answer<bool>> + Send;
    fn backlog(&mut self) -> impl Future<Output = Answer<Backlog>> + Send;
    fn commit(self) -> impl Future<Output = Answer<()>> + Send;
}

/// The relay's store in production: transactions for leases and parked keys, single statements for rows.
#[derive(Clone)]
pub struct Postgres {
    db: Db,
    rows: SystemDb,
}

impl Postgres {
    pub fn new(db: Db) -> Self {
        Self { rows: db.system(CONNECTIONS), db }
    }
}

impl Store for Postgres {
    type Tx = Tx;
    async fn begin_system(&self) -> Answer<Tx> {
        self.db.begin_system().await
    }
    async fn claim(&self, claim: &Claim<'_>) -> Answer<Claimed> {
        outbox::claim(&self.rows, claim).await
    }
    async fn mark(&self, owner: &str, held: &[HeldShard], ids: &[i64]) -> Answer<u64> {
        outbox::mark(&self.rows, owner, held, ids).await
    }
}

impl StoreTx for Tx {
    async fn announce(&mut self, owner: &str, lease: Duration) -> Answer<usize> {
        lease::announce(self, owner, lease).await
    }
    async fn renew(&mut self, owner: &str, held: &[HeldShard], lease: Duration) -> Answer<Vec<HeldShard>> {
        lease::renew(self, owner, held, lease).await
    }
    async fn take(&mut self, owner: &str, count: usize, lease: Duration) -> Answer<Vec<HeldShard>> {
        lease::take(self, owner, count, lease).await
    }
    async fn release(&mut self, owner: &str, held: &[HeldShard]) -> Answer<()> {
        lease::release(self, owner, held).await
    }
    async fn leave(&mut self, owner: &str) -> Answer<()> {
        lease::leave(self, owner).await
    }
    async fn holds(&mut self, owner: &str, held: HeldShard) -> Answer<bool> {
        lease::holds(self, owner, held).await
    }
    async fn park_key(&mut self, topic: &str, message_key: &str, tenant_id: &str, cause: &str) -> Answer<bool> {
        parked::park_key(self, outbox::RELAY, topic, message_key, Some(tenant_id), cause).await
    }
    async fn backlog(&mut self) -> Answer<Backlog> {
        outbox::backlog(self).await
    }
    async fn commit(self) -> Answer<()> {
        Tx::commit(self).await
    }
}
