//! What a decision leaves besides the aggregate itself: the outcome of the command, the transitions, the
//! audit entries, deferred commands, and the commands that follow. All written as sets.

use crate::aggregates::{AggregateKey, Heads};
use crate::{StoreError, Tx};
use cpq_domain::ids::{CommandId, TenantId};
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{Row, types::Json};
use std::collections::{HashMap, HashSet};
use time::OffsetDateTime;

/// A command that one of our processors sends; those from outside are written by the gateway.
pub struct InternalCommand {
    pub tenant_id: String,
    pub command_id: String,
    pub operation: &'static str,
    pub actor_id: String,
    /// Derived from its cause, so that one cause sends one command.
    pub idempotency_key: String,
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
    pub correlation_id: String,
    pub causation_id: String,
    pub received_at: OffsetDateTime,
}

/// What became of a command.
pub struct OutcomeRow {
    pub tenant_id: String,
    pub command_id: String,
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
    pub aggregate_revision: Option<u32>,
    pub aggregate_sequence: Option<u64>,
    /// JSON of `Applied`, or
    pub applied: Option<String>,
    /// JSON of `Rejection`.
    pub rejection: Option<String>,
    pub decided_at: OffsetDateTime,
}

/// One transition: an event with the statuses around it.
pub struct TransitionRow {
    pub tenant_id: String,
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
    pub aggregate_sequence: u64,
    pub aggregate_revision: u32,
    pub event_id: String,
    pub event_type: &'static str,
    pub from_status: Option<&'static str>,
    pub to_status: &'static str,
    pub actor_id: String,
    pub actor_type: &'static str,
    pub correlation_id: String,
    pub causation_id: String,
    pub payload: String,
    pub occurred_at: OffsetDateTime,
}

/// One audit entry before it is chained; `S` is how its words are held: fixed ones where it is written, owned
/// ones where it is read again.
#[derive(Clone)]
pub struct AuditEntry<S = &'static str> {
    pub tenant_id: String,
    pub aggregate_id: String,
    pub action: S,
    pub outcome: S,
    pub error_code: Option<S>,
    pub actor_id: String,
    pub actor_type: S,
    /// JSON of the claims that were judged.
    pub claims: String,
    pub command_id: String,
    pub correlation_id: String,
    pub detail: Option<String>,
    pub recorded_at: OffsetDateTime,
}

/// A command that waits for the one that settles `subject`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Deferred {
    pub tenant_id: TenantId,
    pub aggregate_id: String,
    pub subject: String,
    pub command_id: String,
}

/// What is known before a batch is decided.
pub struct Recalled<S> {
    /// Commands of the batch that have an outcome, or are deferred, already: a repeat of them changes nothing.
    pub decided: HashSet<String>,
    /// The states of those aggregates that exist.
    pub states: HashMap<AggregateKey, S>,
    /// The heads of their audit chains.
    pub audit_heads: AuditHeads,
}

/// What is known of these commands and of the aggregates that they are sent to, in one statement.
pub async fn recall<S: DeserializeOwned>(
    tx: &mut Tx,
    heads: Heads,
    commands: &[(&TenantId, &CommandId)],
    keys: &[AggregateKey],
) -> Result<Recalled<S>, StoreError> {
    let rows = sqlx::query(match heads {
        Heads::Quotes => RECALL_QUOTES,
        Heads::Orders => RECALL_ORDERS,
    })
    .bind(commands.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
    .bind(commands.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    let mut recalled = Recalled { decided: HashSet::new(), states: HashMap::new(), audit_heads: AuditHeads::default() };
    for row in rows {
        let (what, tenant, id): (i32, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        match what {
            DECIDED => {
                recalled.decided.insert(id);
            }
            STATE => {
                let Json(state): Json<S> =
                    row.try_get(3).map_err(|e| StoreError::corrupt(&format!("state of {id}"), e))?;
                recalled.states.insert((TenantId::new(tenant), id), state);
            }
            _ => {
                recalled.audit_heads.0.insert((tenant, id), (row.try_get(4)?, row.try_get(5)?));
            }
        }
    }
    Ok(recalled)
}

/// What a recalled row is; any other is the head of an audit chain.
const DECIDED: i32 = 1;
const STATE: i32 = 2;

// Each key is looked up by itself, whatever the planner believes of the tables' sizes.
macro_rules! recall {
    ($table:literal, $id:literal) => {
        concat!(
            "select 1, c.t, c.id, null::jsonb, null::bigint, null::text from unnest($1::text[], $2::text[]) as c(t, id), \
               lateral (select from cpq.command_outcome where tenant_id = c.t and command_id = c.id limit 1) decided \
             union all select 1, tenant_id, command_id, null, null, null from cpq.deferred_command \
               where command_id = any($2) and tenant_id = any($1) \
             union all select 2, k.t, k.a, head.state, null, null from unnest($3::text[], $4::text[]) as k(t, a), \
               lateral (select state from ",
            $table,
            " where tenant_id = k.t and ",
            $id,
            " = k.a limit 1) head \
             union all select 3, k.t, k.a, null, last.entry, last.entry_hash from unnest($3::text[], $4::text[]) as k(t, a), \
               lateral (select entry, entry_hash from cpq.audit where tenant_id = k.t and aggregate_id = k.a \
                 order by entry desc limit 1) last"
        )
    };
}
const RECALL_QUOTES: &str = recall!("cpq.quote", "quote_id");
const RECALL_ORDERS: &str = recall!("cpq.orders", "order_id");

/// The commands that wait for these subjects.
pub async fn load_deferred(tx: &mut Tx, subjects: &[(AggregateKey, String)]) -> Result<Vec<Deferred>, StoreError> {
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "select tenant_id, aggregate_id, subject, command_id from cpq.deferred_command \
         where (tenant_id, aggregate_id, subject) in (select * from unnest($1::text[], $2::text[], $3::text[])) \
         order by deferred_at, command_id",
    )
    .bind(subjects.iter().map(|((t, _), _)| t.as_str()).collect::<Vec<_>>())
    .bind(subjects.iter().map(|((_, a), _)| a.as_str()).collect::<Vec<_>>())
    .bind(subjects.iter().map(|(_, s)| s.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Deferred {
                tenant_id: TenantId::new(row.try_get::<String, _>(0)?),
                aggregate_id: row.try_get(1)?,
                subject: row.try_get(2)?,
                command_id: row.try_get(3)?,
            })
        })
        .collect()
}

pub async fn insert_deferred(tx: &mut Tx, rows: &[Deferred], at: OffsetDateTime) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into cpq.deferred_command (tenant_id, aggregate_id, subject, command_id, deferred_at) \
         select t, a, s, c, $5 from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as u(t, a, s, c)",
    )
    .bind(rows.iter().map(|r| r.tenant_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.aggregate_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.subject.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.command_id.as_str()).collect::<Vec<_>>())
    .bind(at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub async fn delete_deferred(tx: &mut Tx, rows: &[Deferred]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from cpq.deferred_command where (tenant_id, aggregate_id, subject, command_id) in \
         (select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]))",
    )
    .bind(rows.iter().map(|r| r.tenant_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.aggregate_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.subject.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.command_id.as_str()).collect::<Vec<_>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes command rows; one whose idempotency key is there already is left out, and its id returned among
/// the refused.
pub async fn insert_commands(tx: &mut Tx, rows: &[InternalCommand]) -> Result<HashSet<String>, StoreError> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let inserted = sqlx::query(
        "insert into cpq.command (tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, aggregate_type, \
           aggregate_id, correlation_id, causation_id, received_at) \
         select t, c, o, a, k, ''::bytea, at, ai, co, ca, r from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], \
           $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[]) as u(t, c, o, a, k, at, ai, co, ca, r) \
         on conflict on constraint command_idempotency do nothing returning command_id",
    )
    .bind(rows.iter().map(|r| r.tenant_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.command_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.operation).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.actor_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.idempotency_key.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.aggregate_type).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.aggregate_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.correlation_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.causation_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.received_at).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    let inserted: HashSet<String> = inserted.into_iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(rows.iter().filter(|r| !inserted.contains(&r.command_id)).map(|r| r.command_id.clone()).collect())
}

/// What decisions leave behind, written together.
#[derive(Default)]
pub struct Records {
    pub outcomes: Vec<OutcomeRow>,
    pub transitions: Vec<TransitionRow>,
    /// Appended to their aggregates' chains, in this order.
    pub audit: Vec<AuditEntry>,
}

/// The hash before an aggregate's first audit entry.
pub const AUDIT_GENESIS: &str = "genesis";

/// Number and hash of the newest audit entry, by tenant and aggregate.
#[derive(Default)]
pub struct AuditHeads(HashMap<(String, String), (i64, String)>);

/// An entry's place in its chain.
struct Link {
    number: i64,
    previous: String,
    hash: String,
}

impl AuditHeads {
    fn append(&mut self, entry: &AuditEntry) -> Link {
        let head = self
            .0
            .entry((entry.tenant_id.clone(), entry.aggregate_id.clone()))
            .or_insert_with(|| (0, AUDIT_GENESIS.to_owned()));
        let number = head.0 + 1;
        let hash = audit_hash(entry, number, &head.1);
        let previous = std::mem::replace(&mut head.1, hash.clone());
        head.0 = number;
        Link { number, previous, hash }
    }
}

const RECORD: &str = "with outcomes as ( \
    insert into cpq.command_outcome (tenant_id, command_id, status, aggregate_type, aggregate_id, aggregate_revision, \
      aggregate_sequence, applied, rejection, decided_at) \
    select t, c, case when r is null then 'APPLIED' else 'REJECTED' end, at, ai, rev, seq, a::jsonb, r::jsonb, d \
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int4[], $6::int8[], $7::text[], $8::text[], $9::timestamptz[]) \
      as u(t, c, at, ai, rev, seq, a, r, d)), \
  transitions as ( \
    insert into cpq.transition_log (tenant_id, aggregate_type, aggregate_id, aggregate_sequence, aggregate_revision, event_id, \
      event_type, from_status, to_status, actor_id, actor_type, correlation_id, causation_id, payload, occurred_at) \
    select t, at, ai, s, r, e, et, fs, ts, ac, act, co, ca, p::jsonb, o from unnest($10::text[], $11::text[], $12::text[], \
      $13::int8[], $14::int4[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], \
      $22::text[], $23::text[], $24::timestamptz[]) as u(t, at, ai, s, r, e, et, fs, ts, ac, act, co, ca, p, o)) \
  insert into cpq.audit (tenant_id, aggregate_id, entry, action, outcome, error_code, actor_id, actor_type, claims, command_id, \
    correlation_id, detail, recorded_at, previous_hash, entry_hash) \
  select t, a, n, ac, o, ec, ai, at, cl::jsonb, c, co, d, r, p, h from unnest($25::text[], $26::text[], $27::int8[], $28::text[], \
    $29::text[], $30::text[], $31::text[], $32::text[], $33::text[], $34::text[], $35::text[], $36::text[], $37::timestamptz[], \
    $38::text[], $39::text[]) as u(t, a, n, ac, o, ec, ai, at, cl, c, co, d, r, p, h)";

/// Writes the records in one statement. The heads must be those of the chains as they are.
pub async fn record(tx: &mut Tx, records: &Records, mut heads: AuditHeads) -> Result<(), StoreError> {
    let Records { outcomes, transitions, audit } = records;
    if outcomes.is_empty() && transitions.is_empty() && audit.is_empty() {
        return Ok(());
    }
    let links: Vec<Link> = audit.iter().map(|entry| heads.append(entry)).collect();
    sqlx::query(RECORD)
        .bind(outcomes.iter().map(|r| r.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|r| r.command_id.as_str()).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|r| r.aggregate_type).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|r| r.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|r| r.aggregate_revision.map(|v| v as i32)).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|r| r.aggregate_sequence.map(|v| v as i64)).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|r| r.applied.as_deref()).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|r| r.rejection.as_deref()).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|r| r.decided_at).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.aggregate_type).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.aggregate_sequence as i64).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.aggregate_revision as i32).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.event_id.as_str()).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.event_type).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.from_status).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.to_status).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.actor_id.as_str()).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.actor_type).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.correlation_id.as_str()).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.causation_id.as_str()).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.payload.as_str()).collect::<Vec<_>>())
        .bind(transitions.iter().map(|r| r.occurred_at).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind(links.iter().map(|l| l.number).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.action).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.outcome).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.error_code).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.actor_id.as_str()).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.actor_type).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.claims.as_str()).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.command_id.as_str()).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.correlation_id.as_str()).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.detail.as_deref()).collect::<Vec<_>>())
        .bind(audit.iter().map(|e| e.recorded_at).collect::<Vec<_>>())
        .bind(links.iter().map(|l| l.previous.as_str()).collect::<Vec<_>>())
        .bind(links.iter().map(|l| l.hash.as_str()).collect::<Vec<_>>())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// As [`record`], for whoever has not recalled the chains' heads.
pub async fn append(tx: &mut Tx, records: &Records) -> Result<(), StoreError> {
    let heads = audit_heads(tx, &records.audit).await?;
    record(tx, records, heads).await
}

async fn audit_heads(tx: &mut Tx, entries: &[AuditEntry]) -> Result<AuditHeads, StoreError> {
    if entries.is_empty() {
        return Ok(AuditHeads::default());
    }
    let keys: HashSet<(&str, &str)> = entries.iter().map(|e| (e.tenant_id.as_str(), e.aggregate_id.as_str())).collect();
    let rows = sqlx::query(
        "select k.t, k.a, last.entry, last.entry_hash from unnest($1::text[], $2::text[]) as k(t, a), \
         lateral (select entry, entry_hash from cpq.audit where tenant_id = k.t and aggregate_id = k.a order by entry desc limit 1) last",
    )
    .bind(keys.iter().map(|k| k.0).collect::<Vec<_>>())
    .bind(keys.iter().map(|k| k.1).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    let heads =
        rows.into_iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), (row.try_get(2)?, row.try_get(3)?))));
    Ok(AuditHeads(heads.collect::<Result<_, StoreError>>()?))
}

/// SHA-256 over the previous hash and every column of the entry, as JSON with the keys in a fixed order.
pub fn audit_hash<S: AsRef<str>>(entry: &AuditEntry<S>, number: i64, previous: &str) -> String {
    let claims: serde_json::Value = serde_json::from_str(&entry.claims).unwrap_or_default();
    let fields = json!([
        previous,
        number,
        entry.tenant_id,
        entry.aggregate_id,
        entry.action.as_ref(),
        entry.outcome.as_ref(),
        entry.error_code.as_ref().map(AsRef::as_ref),
        entry.actor_id,
        entry.actor_type.as_ref(),
        cpq_domain::canonical::to_string(&claims),
        entry.command_id,
        entry.correlation_id,
        entry.detail,
        (entry.recorded_at.unix_timestamp_nanos() / 1_000) as i64,
    ]);
    format!("sha256:{}", hex::encode(Sha256::digest(fields.to_string())))
}
