//! Everything that Postgres knows of one correlation id, table by table; the order in time is made by whoever
//! tells the story. Tenants are named so that the indexes (tenant, correlation id) serve.

use crate::{StoreError, Tx};
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;

/// Rows read from one table at most. A correlation id with more is no single story.
pub const MAX_ROWS: i64 = 10_000;

/// A command and what became of it.
#[derive(Clone, Debug, FromRow)]
pub struct CommandStory {
    pub tenant_id: String,
    pub command_id: String,
    pub operation: String,
    pub actor_id: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub causation_id: Option<String>,
    pub received_at: OffsetDateTime,
    pub status: Option<String>,
    pub aggregate_revision: Option<i32>,
    pub error_code: Option<String>,
    pub decided_at: Option<OffsetDateTime>,
    pub deferred_at: Option<OffsetDateTime>,
    pub deferred_until: Option<String>,
}

pub async fn commands(tx: &mut Tx, tenants: &[String], correlation: &str) -> Result<Vec<CommandStory>, StoreError> {
    let rows = sqlx::query_as(
        "select c.tenant_id, c.command_id, c.operation, c.actor_id, c.aggregate_type, c.aggregate_id, c.causation_id, c.received_at, \
           o.status, o.aggregate_revision, o.rejection->>'code' as error_code, o.decided_at, d.deferred_at, d.subject as deferred_until \
         from cpq.command c left join cpq.command_outcome o using (tenant_id, command_id) \
           left join cpq.deferred_command d on d.tenant_id = c.tenant_id and d.aggregate_id = c.aggregate_id and d.command_id = c.command_id \
         where c.tenant_id = any($1) and c.correlation_id = $2 order by c.received_at limit $3",
    )
    .bind(tenants)
    .bind(correlation)
    .bind(MAX_ROWS)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// A committed transition.
#[derive(Clone, Debug, FromRow)]
pub struct TransitionStory {
    pub tenant_id: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_sequence: i64,
    pub aggregate_revision: i32,
    pub event_id: String,
    pub event_type: String,
    pub from_status: Option<String>,
    pub to_status: String,
    pub actor_id: String,
    pub causation_id: String,
    pub occurred_at: OffsetDateTime,
}

pub async fn transitions(
    tx: &mut Tx,
    tenants: &[String],
    correlation: &str,
) -> Result<Vec<TransitionStory>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, aggregate_type, aggregate_id, aggregate_sequence, aggregate_revision, event_id, event_type, from_status, \
           to_status, actor_id, causation_id, occurred_at \
         from cpq.transition_log where tenant_id = any($1) and correlation_id = $2 \
         order by occurred_at, aggregate_id, aggregate_sequence limit $3",
    )
    .bind(tenants)
    .bind(correlation)
    .bind(MAX_ROWS)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// An audit entry.
#[derive(Clone, Debug, FromRow)]
pub struct AuditStory {
    pub tenant_id: String,
    pub aggregate_id: String,
    pub entry: i64,
    pub action: String,
    pub outcome: String,
    pub error_code: Option<String>,
    pub actor_id: String,
    pub command_id: String,
    pub recorded_at: OffsetDateTime,
}

pub async fn audit(tx: &mut Tx, tenants: &[String], correlation: &str) -> Result<Vec<AuditStory>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, aggregate_id, entry, action, outcome, error_code, actor_id, command_id, recorded_at \
         from cpq.audit where tenant_id = any($1) and correlation_id = $2 order by recorded_at, aggregate_id, entry limit $3",
    )
    .bind(tenants)
    .bind(correlation)
    .bind(MAX_ROWS)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// A message that is committed and not yet known to be on its topic.
#[derive(Clone, Debug, FromRow)]
pub struct PendingStory {
    pub id: i64,
    pub tenant_id: String,
    pub topic: String,
    pub message_key: String,
    pub message_id: String,
    pub aggregate_sequence: Option<i64>,
    pub created_at: OffsetDateTime,
}

pub async fn pending(tx: &mut Tx, tenants: &[String], correlation: &str) -> Result<Vec<PendingStory>, StoreError> {
    let rows = sqlx::query_as(
        "select id, tenant_id, topic, message_key, message_id, aggregate_sequence, created_at from cpq.outbox_event \
         where tenant_id = any($1) and headers @> jsonb_build_array(jsonb_build_array('correlation_id', $2::text)) order by id limit $3",
    )
    .bind(tenants)
    .bind(correlation)
    .bind(MAX_ROWS)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// A call to an external system.
#[derive(Clone, Debug, FromRow)]
pub struct AttemptStory {
    pub tenant_id: String,
    pub system_name: String,
    pub operation_name: String,
    pub business_key: String,
    pub idempotency_key: String,
    pub outcome: String,
    pub external_reference: Option<String>,
    pub attempts: i32,
    pub attempted_at: OffsetDateTime,
    pub completed_at: Option<OffsetDateTime>,
}

/// Calls that carry the correlation id, and those for these business keys.
pub async fn attempts(
    tx: &mut Tx,
    tenants: &[String],
    correlation: &str,
    business_keys: &[String],
) -> Result<Vec<AttemptStory>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, system_name, operation_name, business_key, idempotency_key, outcome, external_reference, attempts, \
           attempted_at, completed_at \
         from cpq.external_call_attempt \
         where tenant_id = any($1) and (business_key = any($3) or correlation_id = $2) order by attempted_at limit $4",
    )
    .bind(tenants)
    .bind(correlation)
    .bind(business_keys)
    .bind(MAX_ROWS)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// A process that was asked for.
#[derive(Clone, Debug, FromRow)]
pub struct InstanceStory {
    pub tenant_id: String,
    pub process_key: String,
    pub business_key: String,
    pub status: String,
    pub started_instance_id: Option<String>,
    pub admitted_instance_id: Option<String>,
    pub attempts: i32,
    pub last_error: Option<String>,
    pub requested_at: OffsetDateTime,
    pub admitted_at: Option<OffsetDateTime>,
    pub ended_at: Option<OffsetDateTime>,
    pub end_reason: Option<String>,
}

pub async fn instances(tx: &mut Tx, tenants: &[String], correlation: &str) -> Result<Vec<InstanceStory>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, process_key, business_key, status, started_instance_id, admitted_instance_id, attempts, last_error, \
           requested_at, admitted_at, ended_at, end_reason \
         from cpq.workflow_instance where tenant_id = any($1) and correlation_id = $2 order by requested_at limit $3",
    )
    .bind(tenants)
    .bind(correlation)
    .bind(MAX_ROWS)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// A message to a person.
#[derive(Clone, Debug, FromRow)]
pub struct NotificationStory {
    pub tenant_id: String,
    pub notification_id: String,
    pub kind: String,
    pub recipient: String,
    pub aggregate_id: String,
    pub status: String,
    pub created_at: OffsetDateTime,
    pub sent_at: Option<OffsetDateTime>,
}

pub async fn notifications(
    tx: &mut Tx,
    tenants: &[String],
    correlation: &str,
) -> Result<Vec<NotificationStory>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, notification_id, kind, recipient, aggregate_id, status, created_at, sent_at from cpq.notification \
         where tenant_id = any($1) and correlation_id = $2 order by created_at limit $3",
    )
    .bind(tenants)
    .bind(correlation)
    .bind(MAX_ROWS)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// A record that a consumer could not apply.
#[derive(Clone, Debug, FromRow)]
pub struct ParkedStory {
    pub consumer: String,
    pub topic: String,
    pub partition: i32,
    pub record_offset: i64,
    pub message_key: String,
    pub tenant_id: Option<String>,
    pub headers: Json<Vec<(String, String)>>,
    pub cause: String,
    pub parked_at: OffsetDateTime,
}

pub async fn parked(tx: &mut Tx, correlation: &str) -> Result<Vec<ParkedStory>, StoreError> {
    let rows = sqlx::query_as(
        "select consumer, topic, partition, record_offset, message_key, tenant_id, headers, cause, parked_at from cpq.parked_record \
         where headers @> jsonb_build_array(jsonb_build_array('correlation_id', $1::text)) order by parked_at limit $2",
    )
    .bind(correlation)
    .bind(MAX_ROWS)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}
