//! The rows of an operator's action on a parked key. Whether it may be done was judged by the caller, under the lock
//! that [`lock`] takes; applying records is the consumer's ([`crate::parked::release`]).

use super::DeadLetter;
use crate::commands::Scope;
use crate::decisions::{AuditEntry, Records, append};
use crate::{StoreError, Tx};
use cpq_domain::command::Applied;
use cpq_domain::ids::{CommandId, CorrelationId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::{ErrorCode, Rejection};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, types::Json};
use time::OffsetDateTime;

/// What such an action is about, in command rows.
pub const AGGREGATE_TYPE: &str = "DEAD_LETTER";
/// In whose audit the actions on records of nobody stand.
pub const NO_TENANT: &str = "unknown";

/// An action, who does it and why.
pub struct Action<'a> {
    /// Also the command's id where it came as one.
    pub action_id: &'a str,
    /// REDRIVE, DISCARD or EDIT.
    pub action: &'static str,
    /// The same as audit says it.
    pub audit_action: &'static str,
    pub actor_id: &'a str,
    pub actor_type: &'static str,
    /// JSON of the claims that allowed it.
    pub claims: &'a str,
    pub correlation_id: &'a str,
    pub reason: &'a str,
    pub forced: bool,
    pub at: OffsetDateTime,
}

/// What an action is answered by, kept so that a retry is answered the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// What was done, in one sentence.
    pub summary: String,
    pub warnings: Vec<String>,
    /// Where the key stood then: PARKED, REDRIVING or RELEASED.
    pub status: String,
}

/// A record as it was before it was discarded or edited.
pub struct Original {
    pub record_offset: i64,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
    pub cause: String,
}

/// Holds a parked key until the transaction ends; says whether it is there.
pub async fn lock(tx: &mut Tx, dead_letter_id: &str) -> Result<bool, StoreError> {
    let held = sqlx::query("select from cpq.parked_key where dead_letter_id = $1 for update")
        .bind(dead_letter_id)
        .execute(tx.connection())
        .await?;
    Ok(held.rows_affected() > 0)
}

/// Lets the key go: to its consumer, or, where no record of it waits here, wholly. Says whether it is free now.
pub async fn let_go(tx: &mut Tx, letter: &DeadLetter) -> Result<bool, StoreError> {
    let freed = sqlx::query(
        "delete from cpq.parked_key k where k.dead_letter_id = $1 and not exists (select from cpq.parked_record r \
           where (r.consumer, r.topic, r.message_key) = (k.consumer, k.topic, k.message_key))",
    )
    .bind(&letter.dead_letter_id)
    .execute(tx.connection())
    .await?;
    if freed.rows_affected() > 0 {
        return Ok(true);
    }
    sqlx::query(
        "update cpq.parked_key set status = 'REDRIVING', redrive_at = clock_timestamp() where dead_letter_id = $1",
    )
    .bind(&letter.dead_letter_id)
    .execute(tx.connection())
    .await?;
    Ok(false)
}

/// Takes a record of the key out; `None` if it is not there.
pub async fn take(tx: &mut Tx, letter: &DeadLetter, offset: i64) -> Result<Option<Original>, StoreError> {
    let row = sqlx::query(
        "delete from cpq.parked_record where consumer = $1 and topic = $2 and message_key = $3 and record_offset = $4 \
         returning record_offset, value, headers, cause",
    )
    .bind(&letter.consumer)
    .bind(&letter.topic)
    .bind(&letter.message_key)
    .bind(offset)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(original).transpose()
}

/// Puts other content in the place of a record's, whose failures count anew. Gives it as it was; `None` if it is not
/// there.
pub async fn replace(
    tx: &mut Tx,
    letter: &DeadLetter,
    offset: i64,
    value: &[u8],
    headers: &[(String, String)],
) -> Result<Option<Original>, StoreError> {
    let row = sqlx::query(
        "with was as (select * from cpq.parked_record where consumer = $1 and topic = $2 and message_key = $3 and record_offset = $4), \
           edited as (update cpq.parked_record set value = $5, headers = $6, same_cause = 0 \
             where consumer = $1 and topic = $2 and message_key = $3 and record_offset = $4) \
         select record_offset, value, headers, cause from was",
    )
    .bind(&letter.consumer)
    .bind(&letter.topic)
    .bind(&letter.message_key)
    .bind(offset)
    .bind(value)
    .bind(Json(headers))
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(original).transpose()
}

fn original(row: &sqlx::postgres::PgRow) -> Result<Original, StoreError> {
    let Json(headers) = row.try_get(2)?;
    Ok(Original { record_offset: row.try_get(0)?, value: row.try_get(1)?, headers, cause: row.try_get(3)? })
}

/// Answers an accepted command that is never decided any more. One with an outcome keeps it. Says whether it is new.
pub async fn reject_command(
    tx: &mut Tx,
    tenant: &str,
    command_id: &str,
    rejection: &Rejection,
    at: OffsetDateTime,
) -> Result<bool, StoreError> {
    let answered = sqlx::query(
        "insert into cpq.command_outcome (tenant_id, command_id, status, aggregate_type, aggregate_id, rejection, decided_at) \
         select tenant_id, command_id, 'REJECTED', aggregate_type, aggregate_id, $3, $4 from cpq.command \
         where tenant_id = $1 and command_id = $2 on conflict do nothing",
    )
    .bind(tenant)
    .bind(command_id)
    .bind(Json(rejection))
    .bind(at)
    .execute(tx.connection())
    .await?;
    Ok(answered.rows_affected() > 0)
}

/// What an action has come to in its own transaction.
pub struct Effect<'a> {
    /// The record as it was, where it was changed.
    pub original: Option<&'a Original>,
    /// The command that was answered by giving its record up, and with which code.
    pub answered: Option<(&'a CommandId, ErrorCode)>,
    /// Where the action is at its end already.
    pub outcome: Option<&'a str>,
    pub told: &'a Told,
}

/// Writes the action down with what has come of it, and audits it.
pub async fn record(
    tx: &mut Tx,
    letter: &DeadLetter,
    action: &Action<'_>,
    effect: &Effect<'_>,
) -> Result<(), StoreError> {
    let original = effect.original;
    let offset = original.map_or(letter.record_offset, |original| Some(original.record_offset));
    let cause = original.map_or(letter.cause.as_str(), |original| original.cause.as_str());
    sqlx::query(
        "insert into cpq.dead_letter_action (action_id, dead_letter_id, consumer, topic, message_key, tenant_id, partition, \
           record_offset, action, actor_id, actor_type, reason, forced, cause, behind, value, headers, requested_at, outcome, finished_at, told) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
           case when $19::text is not null then $18 end, $20)",
    )
    .bind(action.action_id)
    .bind(&letter.dead_letter_id)
    .bind(&letter.consumer)
    .bind(&letter.topic)
    .bind(&letter.message_key)
    .bind(&letter.tenant_id)
    .bind(letter.partition)
    .bind(offset)
    .bind(action.action)
    .bind(action.actor_id)
    .bind(action.actor_type)
    .bind(action.reason)
    .bind(action.forced)
    .bind(cause)
    .bind(letter.behind())
    .bind(original.and_then(|original| original.value.as_deref()))
    .bind(original.map(|original| Json(&original.headers)))
    .bind(action.at)
    .bind(effect.outcome)
    .bind(Json(effect.told))
    .execute(tx.connection())
    .await?;
    let mut audit = vec![entry(letter, action, offset, cause)];
    audit.extend(effect.answered.map(|(command_id, code)| AuditEntry {
        outcome: "REJECTED",
        error_code: Some(code.as_str()),
        command_id: command_id.to_string(),
        ..audit[0].clone()
    }));
    append(tx, &Records { audit, ..Records::default() }).await
}

/// The audit entry stands in the chain of what the key names: the quote's, the order's.
fn entry(letter: &DeadLetter, action: &Action<'_>, offset: Option<i64>, cause: &str) -> AuditEntry {
    let DeadLetter { topic, consumer, .. } = letter;
    let place = match (letter.partition, offset) {
        (Some(partition), Some(offset)) => format!("{topic}[{partition}] offset {offset}"),
        _ => topic.clone(),
    };
    let forced = if action.forced { ", forced" } else { "" };
    let detail =
        format!("{place}, parked by {consumer} ({cause}), {} behind it{forced}: {}", letter.behind(), action.reason);
    AuditEntry {
        tenant_id: letter.tenant_id.clone().unwrap_or_else(|| NO_TENANT.to_owned()),
        aggregate_id: letter.message_key.clone(),
        action: action.audit_action,
        outcome: "APPLIED",
        error_code: None,
        actor_id: action.actor_id.to_owned(),
        actor_type: action.actor_type,
        claims: action.claims.to_owned(),
        command_id: action.action_id.to_owned(),
        correlation_id: action.correlation_id.to_owned(),
        detail: Some(detail),
        recorded_at: action.at,
    }
}

/// An action that came as a command over HTTP.
pub struct Request<'a> {
    pub scope: &'a Scope,
    pub command_id: &'a CommandId,
    /// SHA-256 of method, path and canonical body.
    pub fingerprint: [u8; 32],
    pub correlation_id: &'a CorrelationId,
    pub received_at: Moment,
    pub dead_letter_id: &'a str,
    /// In whose audit chain the action stands.
    pub message_key: &'a str,
}

/// Writes the command row and its outcome; says whether its idempotency key is new.
pub async fn accept(tx: &mut Tx, request: &Request<'_>, at: OffsetDateTime) -> Result<bool, StoreError> {
    let scope = request.scope;
    let applied = Applied { created: false, subject: Some(request.dead_letter_id.to_owned()) };
    let accepted = sqlx::query(
        "with accepted as (insert into cpq.command (tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, \
             aggregate_type, aggregate_id, correlation_id, received_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
           on conflict on constraint command_idempotency do nothing returning 1) \
         insert into cpq.command_outcome (tenant_id, command_id, status, aggregate_type, aggregate_id, applied, decided_at) \
         select $1, $2, 'APPLIED', $7, $8, $11, $12 from accepted",
    )
    .bind(scope.tenant_id.as_str())
    .bind(request.command_id.as_str())
    .bind(scope.operation)
    .bind(scope.actor_id.as_str())
    .bind(&scope.key)
    .bind(request.fingerprint.as_slice())
    .bind(AGGREGATE_TYPE)
    .bind(request.message_key)
    .bind(request.correlation_id.as_str())
    .bind(request.received_at.into_inner())
    .bind(Json(applied))
    .bind(at)
    .execute(tx.connection())
    .await?;
    Ok(accepted.rows_affected() > 0)
}

/// Aggregate and actor of an accepted command; `None` if there is none of that id under this tenant.
pub async fn accepted(
    tx: &mut Tx,
    tenant: &TenantId,
    command_id: &CommandId,
) -> Result<Option<(String, String)>, StoreError> {
    let row = sqlx::query("select aggregate_id, actor_id from cpq.command where tenant_id = $1 and command_id = $2")
        .bind(tenant.as_str())
        .bind(command_id.as_str())
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}
