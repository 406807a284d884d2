//! What the consumer loop asks of the database, and nothing else: the loop runs over PostgreSQL in production and
//! over memory in simulations. What a statement means stands in `state-stores`.

use cpq_domain::ids::TenantId;
use cpq_state_stores::outbox::{self, OutboxRow};
use cpq_state_stores::parked::release::{self, Due};
use cpq_state_stores::parked::{self, ParkedRecord};
use cpq_state_stores::positions::{self, Advance, Assigned, Fence, Move, Position};
use cpq_state_stores::{Db, StoreError, Tx};
use std::future::Future;

type Answer<T> = Result<T, StoreError>;

/// Where positions, parked keys and effects are kept.
pub trait Store: Clone + Send + Sync + 'static {
    /// Rolled back when dropped.
    type Tx: StoreTx;
    /// A transaction of these tenants.
    fn begin(&self, tenants: &[TenantId]) -> impl Future<Output = Answer<Self::Tx>> + Send;
    /// A transaction over all tenants.
    fn begin_system(&self) -> impl Future<Output = Answer<Self::Tx>> + Send;
}

/// A transaction of the loop; each method is the function of the same name in `state-stores`.
pub trait StoreTx: Send + 'static {
    fn take_over(
        &mut self,
        consumer: &str,
        owner: &str,
        partitions: &[Assigned],
    ) -> impl Future<Output = Answer<Vec<Position>>> + Send;
    fn advance(&mut self, moves: &[Move<'_>]) -> impl Future<Output = Answer<Vec<Advance>>> + Send;
    fn park_key(
        &mut self,
        consumer: &str,
        topic: &str,
        message_key: &str,
        tenant_id: Option<&str>,
        cause: &str,
    ) -> impl Future<Output = Answer<bool>> + Send;
    fn append_parked(&mut self, records: &[ParkedRecord]) -> impl Future<Output = Answer<()>> + Send;
    fn insert_outbox(&mut self, rows: &[OutboxRow]) -> impl Future<Output = Answer<()>> + Send;
    fn due_partitions(&mut self, consumer: &str) -> impl Future<Output = Answer<Vec<(String, i32)>>> + Send;
    fn due(
        &mut self,
        fence: &Fence,
        max_records: i64,
        max_bytes: i64,
    ) -> impl Future<Output = Answer<Option<Due>>> + Send;
    fn hold(&mut self, fence: &Fence, dead_letter_id: &str) -> impl Future<Output = Answer<bool>> + Send;
    fn released(&mut self, fence: &Fence, due: &Due, offsets: &[i64]) -> impl Future<Output = Answer<bool>> + Send;
    fn failed(&mut self, fence: &Fence, due: &Due, offset: i64, cause: &str)
    -> impl Future<Output = Answer<()>> + Send;
    fn commit(self) -> impl Future<Output = Answer<()>> + Send;
}

impl Store for Db {
    type Tx = Tx;
    async fn begin(&self, tenants: &[TenantId]) -> Answer<Tx> {
        Db::begin(self, tenants).await
    }
    async fn begin_system(&self) -> Answer<Tx> {
        Db::begin_system(self).await
    }
}

impl StoreTx for Tx {
    async fn take_over(&mut self, consumer: &str, owner: &str, partitions: &[Assigned]) -> Answer<Vec<Position>> {
        positions::take_over(self, consumer, owner, partitions).await
    }
    async fn advance(&mut self, moves: &[Move<'_>]) -> Answer<Vec<Advance>> {
        positions::advance(self, moves).await
    }
    async fn park_key(
        &mut self,
        consumer: &str,
        topic: &str,
        message_key: &str,
        tenant_id: Option<&str>,
        cause: &str,
    ) -> Answer<bool> {
        parked::park_key(self, consumer, topic, message_key, tenant_id, cause).await
    }
    async fn append_parked(&mut self, records: &[ParkedRecord]) -> Answer<()> {
        parked::append(self, records).await
    }
    async fn insert_outbox(&mut self, rows: &[OutboxRow]) -> Answer<()> {
        outbox::insert(self, rows).await
    }
    async fn due_partitions(&mut self, consumer: &str) -> Answer<Vec<(String, i32)>> {
        release::due_partitions(self, consumer).await
    }
    async fn due(&mut self, fence: &Fence, max_records: i64, max_bytes: i64) -> Answer<Option<Due>> {
        release::due(self, fence, max_records, max_bytes).await
    }
    async fn hold(&mut self, fence: &Fence, dead_letter_id: &str) -> Answer<bool> {
        release::hold(self, fence, dead_letter_id).await
    }
    async fn released(&mut self, fence: &Fence, due: &Due, offsets: &[i64]) -> Answer<bool> {
        release::released(self, fence, due, offsets).await
    }
    async fn failed(&mut self, fence: &Fence, due: &Due, offset: i64, cause: &str) -> Answer<()> {
        release::failed(self, fence, due, offset, cause).await
    }
    async fn commit(self) -> Answer<()> {
        Tx::commit(self).await
    }
}
