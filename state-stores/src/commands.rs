//! Accepted commands: written in batches together with their outbox rows, looked up by idempotency key, and
//! what became of them. The gateway's side of `cpq.command`; the processors' side is `decisions`.

use crate::outbox::OutboxRow;
use crate::{Db, StoreError, Tx};
use cpq_domain::command::Applied;
use cpq_domain::ids::{ActorId, CommandId, CorrelationId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::Rejection;
use sqlx::postgres::PgRow;
use sqlx::{Row, types::Json};
use std::collections::HashMap;
use time::OffsetDateTime;

/// Within which an idempotency key names one command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    pub tenant_id: TenantId,
    pub actor_id: ActorId,
    /// The OpenAPI operation id.
    pub operation: &'static str,
    pub key: String,
}

/// A command to be accepted, with its message.
#[derive(Clone, Debug)]
pub struct NewCommand {
    pub scope: Scope,
    pub command_id: CommandId,
    /// SHA-256 of method, path and canonical body.
    pub fingerprint: [u8; 32],
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
    pub correlation_id: CorrelationId,
    pub received_at: Moment,
    pub message: OutboxRow,
}

/// A command row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommand {
    pub command_id: CommandId,
    pub operation: String,
    pub actor_id: ActorId,
    pub idempotency_key: String,
    pub fingerprint: Vec<u8>,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub correlation_id: CorrelationId,
    pub received_at: Moment,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub command_id: CommandId,
    pub aggregate_id: String,
    /// Where the aggregate stood after the decision; `None` where there is no such aggregate.
    pub revision: Option<u32>,
    pub sequence: Option<u64>,
    pub result: Result<Applied, Rejection>,
    pub decided_at: Moment,
}

/// Whether a command of a batch is new, or a repeat of one that was accepted before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    New,
    Before(Box<StoredCommand>),
}

/// Commands and outbox rows in one statement. Only new commands get an outbox row, in the batch's order, and
/// only after their own rows have given the transaction its id, on which the relay's cursor rests. The command
/// rows go in by key, so that two batches with the same keys cannot block each other. The statement names its own
/// tenants, before its first row is checked against them, and so is a whole transaction in one round trip.
const ACCEPT: &str = "with tenants as materialized (select set_config('cpq.tenants', $16::text[]::text, true)), \
   input as materialized ( \
     select r.* from tenants, unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::text[], \
       $10::timestamptz[], $11::smallint[], $12::text[], $13::text[], $14::text[], $15::bytea[]) with ordinality \
     as r(tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, aggregate_type, aggregate_id, correlation_id, \
       received_at, shard, topic, message_key, headers, value, n)), \
   accepted as ( \
     insert into cpq.command (tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, aggregate_type, aggregate_id, \
       correlation_id, received_at) \
     select tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, aggregate_type, aggregate_id, correlation_id, received_at \
     from input order by tenant_id, actor_id, operation, idempotency_key, n \
     on conflict on constraint command_idempotency do nothing returning tenant_id, command_id), \
   sent as ( \
     insert into cpq.outbox_event (tenant_id, shard, topic, message_key, message_id, aggregate_type, headers, value) \
     select i.tenant_id, i.shard, i.topic, i.message_key, i.command_id, i.aggregate_type, i.headers::jsonb, i.value \
     from accepted join input i using (tenant_id, command_id) order by i.n) \
   select command_id from accepted";

const COLUMNS: &str = "c.command_id, c.operation, c.actor_id, c.idempotency_key, c.fingerprint, c.aggregate_type, c.aggregate_id, \
   c.correlation_id, c.received_at";

/// Accepts a batch of commands of exactly these tenants, in a transaction of its own. The answers stand in the
/// batch's order.
pub async fn accept(db: &Db, tenants: &[TenantId], batch: &[NewCommand]) -> Result<Vec<Accepted>, StoreError> {
    let headers: Vec<String> = batch
        .iter()
        .map(|c| serde_json::to_string(&c.message.headers).map_err(|e| StoreError::corrupt("outbox headers", e)))
        .collect::<Result<_, _>>()?;
    let accepted = sqlx::query(ACCEPT)
        .bind(batch.iter().map(|c| c.scope.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.command_id.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.scope.operation).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.scope.actor_id.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.scope.key.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.fingerprint.as_slice()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.aggregate_type).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.correlation_id.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.received_at.into_inner()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.message.shard).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.message.topic.as_str()).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.message.message_key.as_str()).collect::<Vec<_>>())
        .bind(headers)
        .bind(batch.iter().map(|c| c.message.value.as_slice()).collect::<Vec<_>>())
        .bind(tenants.iter().map(TenantId::as_str).collect::<Vec<_>>())
        .fetch_all(db.pool())
        .await?;
    let accepted: Vec<String> = accepted.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let is_new = |command: &NewCommand| accepted.iter().any(|id| id == command.command_id.as_str());
    let repeats: Vec<&Scope> = batch.iter().filter(|c| !is_new(c)).map(|c| &c.scope).collect();
    let before = known(db, tenants, &repeats).await?;
    batch
        .iter()
        .map(|command| {
            if is_new(command) {
                return Ok(Accepted::New);
            }
            // Two of one batch may share a key, so the row is not taken out.
            let stored = before.get(&command.scope).cloned();
            stored.map(|stored| Accepted::Before(Box::new(stored))).ok_or_else(|| {
                StoreError::Corrupt(format!("command {} is neither new nor known by its key", command.command_id))
            })
        })
        .collect()
}

/// [`by_scope`] in a transaction of its own.
pub async fn known(
    db: &Db,
    tenants: &[TenantId],
    scopes: &[&Scope],
) -> Result<HashMap<Scope, StoredCommand>, StoreError> {
    if scopes.is_empty() {
        return Ok(HashMap::new());
    }
    let mut tx = db.begin(tenants).await?;
    let known = by_scope(&mut tx, scopes).await?;
    tx.commit().await?;
    Ok(known)
}

/// The commands that these idempotency keys name, as far as they exist.
pub async fn by_scope(tx: &mut Tx, scopes: &[&Scope]) -> Result<HashMap<Scope, StoredCommand>, StoreError> {
    if scopes.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select {COLUMNS}, k.n from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality as k(t, a, o, i, n) \
         join cpq.command c on c.tenant_id = k.t and c.actor_id = k.a and c.operation = k.o and c.idempotency_key = k.i"
    )))
    .bind(scopes.iter().map(|s| s.tenant_id.as_str()).collect::<Vec<_>>())
    .bind(scopes.iter().map(|s| s.actor_id.as_str()).collect::<Vec<_>>())
    .bind(scopes.iter().map(|s| s.operation).collect::<Vec<_>>())
    .bind(scopes.iter().map(|s| s.key.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            let n = row.try_get::<i64, _>("n")?;
            let scope = usize::try_from(n - 1).ok().and_then(|index| scopes.get(index));
            let scope = scope.ok_or_else(|| StoreError::Corrupt(format!("no scope has number {n}")))?;
            Ok(((*scope).clone(), stored(row)?))
        })
        .collect()
}

/// A command of the transaction's tenant, with its outcome if it is decided.
pub async fn load(
    tx: &mut Tx,
    tenant: &TenantId,
    command: &CommandId,
) -> Result<Option<(StoredCommand, Option<Outcome>)>, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select {COLUMNS}, o.aggregate_revision, o.aggregate_sequence, o.applied, o.rejection, o.decided_at \
         from cpq.command c left join cpq.command_outcome o using (tenant_id, command_id) \
         where c.tenant_id = $1 and c.command_id = $2"
    )))
    .bind(tenant.as_str())
    .bind(command.as_str())
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let decided: Option<OffsetDateTime> = row.try_get("decided_at")?;
    let outcome = decided.map(|_| outcome(&row)).transpose()?;
    Ok(Some((stored(&row)?, outcome)))
}

/// The outcomes of those of these commands that are decided, in one query over all their tenants.
pub async fn outcomes(db: &Db, commands: &[(TenantId, CommandId)]) -> Result<Vec<Outcome>, StoreError> {
    let mut tenants: Vec<TenantId> = commands.iter().map(|(tenant, _)| tenant.clone()).collect();
    tenants.sort();
    tenants.dedup();
    let mut tx = db.begin(&tenants).await?;
    let rows = sqlx::query(
        "select command_id, aggregate_id, aggregate_revision, aggregate_sequence, applied, rejection, decided_at \
         from cpq.command_outcome where (tenant_id, command_id) in (select * from unnest($1::text[], $2::text[]))",
    )
    .bind(commands.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
    .bind(commands.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    tx.commit().await?;
    rows.iter().map(outcome).collect()
}

/// The next `count` quote numbers, nobody else's. Gaps are normal.
pub async fn reserve_quote_numbers(db: &Db, count: u32) -> Result<Vec<i64>, StoreError> {
    let mut tx = db.begin(&[]).await?;
    let rows = sqlx::query("select nextval('cpq.quote_number') from generate_series(1, $1)")
        .bind(i64::from(count))
        .fetch_all(tx.connection())
        .await?;
    tx.commit().await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Whether the server rolled the transaction back because of another one, and said so (SQLSTATE class 40).
pub fn was_rolled_back(error: &StoreError) -> bool {
    let StoreError::Transient(sqlx::Error::Database(database)) = error else { return false };
    database.code().is_some_and(|state| state.starts_with("40"))
}

/// Whether the statement may have been committed all the same: the connection was lost, or the server ended it
/// (SQLSTATE 57P01, 57P02), before its answer came.
pub fn is_unknown(error: &StoreError) -> bool {
    let StoreError::Transient(cause) = error else { return false };
    match cause {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => matches!(database.code().as_deref(), Some("57P01" | "57P02")),
        _ => false,
    }
}

fn stored(row: &PgRow) -> Result<StoredCommand, StoreError> {
    Ok(StoredCommand {
        command_id: CommandId::new(row.try_get::<String, _>("command_id")?),
        operation: row.try_get("operation")?,
        actor_id: ActorId::new(row.try_get::<String, _>("actor_id")?),
        idempotency_key: row.try_get("idempotency_key")?,
        fingerprint: row.try_get("fingerprint")?,
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        correlation_id: CorrelationId::new(row.try_get::<String, _>("correlation_id")?),
        received_at: Moment::new(row.try_get("received_at")?),
    })
}

fn outcome(row: &PgRow) -> Result<Outcome, StoreError> {
    let applied: Option<Json<Applied>> = row.try_get("applied")?;
    let rejection: Option<Json<Rejection>> = row.try_get("rejection")?;
    Ok(Outcome {
        command_id: CommandId::new(row.try_get::<String, _>("command_id")?),
        aggregate_id: row.try_get("aggregate_id")?,
        revision: row.try_get::<Option<i32>, _>("aggregate_revision")?.map(i32::unsigned_abs),
        sequence: row.try_get::<Option<i64>, _>("aggregate_sequence")?.map(i64::unsigned_abs),
        result: rejection.map_or_else(|| Ok(applied.map(|a| a.0).unwrap_or_default()), |Json(r)| Err(r)),
        decided_at: Moment::new(row.try_get("decided_at")?),
    })
}
