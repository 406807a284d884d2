//! What was decided of commands: outcomes and events, asked in the same words of the live database and the shadow.

use crate::{StoreError, Tx};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, Row, types::Json};
use std::collections::HashMap;
use time::OffsetDateTime;

/// Entries of a page.
const PAGE: i64 = 200;

/// A command as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub tenant_id: String,
    pub command_id: String,
    pub aggregate_id: String,
    pub correlation_id: String,
    /// The command's name: an operator who gives it up leaves an entry of another name.
    pub action: String,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub status: String,
    pub aggregate_revision: Option<i32>,
    pub aggregate_sequence: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Value>,
    #[serde(skip)]
    pub decided_at: OffsetDateTime,
}

/// An event that followed, without the id that each run gives anew.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecidedEvent {
    pub aggregate_sequence: i64,
    pub aggregate_revision: i32,
    pub event_type: String,
    pub to_status: String,
    pub payload: Value,
}

/// What became of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When it was judged; `None`: it was not.
    #[serde(skip)]
    pub at: Option<OffsetDateTime>,
    /// `None`: it waits for another command, or was not judged.
    pub outcome: Option<Outcome>,
    pub events: Vec<DecidedEvent>,
}

/// What became of these commands, in their order.
pub async fn decisions(tx: &mut Tx, asked: &[Asked]) -> Result<Vec<Decision>, StoreError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let mut found: HashMap<(String, String), Decision> = HashMap::with_capacity(asked.len());
    let judged = query(
        "select a.tenant_id, a.command_id, a.recorded_at from cpq.audit a \
         join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as k(t, c, a, co, ac) \
           on a.tenant_id = k.t and a.correlation_id = k.co and a.command_id = k.c and a.action = k.ac",
        asked,
    );
    for row in judged.fetch_all(tx.connection()).await? {
        found.entry((row.try_get(0)?, row.try_get(1)?)).or_default().at = Some(row.try_get(2)?);
    }
    let outcomes = query(
        "select o.tenant_id, o.command_id, o.status, o.aggregate_revision, o.aggregate_sequence, o.applied, o.rejection, \
           o.decided_at from cpq.command_outcome o \
         join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as k(t, c, a, co, ac) \
           on o.tenant_id = k.t and o.command_id = k.c",
        asked,
    );
    for row in outcomes.fetch_all(tx.connection()).await? {
        let outcome = Outcome {
            status: row.try_get(2)?,
            aggregate_revision: row.try_get(3)?,
            aggregate_sequence: row.try_get(4)?,
            applied: row.try_get::<Option<Json<Value>>, _>(5)?.map(|json| json.0),
            rejection: row.try_get::<Option<Json<Value>>, _>(6)?.map(|json| json.0),
            decided_at: row.try_get(7)?,
        };
        found.entry((row.try_get(0)?, row.try_get(1)?)).or_default().outcome = Some(outcome);
    }
    let events = query(
        "select l.tenant_id, l.causation_id, l.aggregate_sequence, l.aggregate_revision, l.event_type, l.to_status, l.payload \
         from cpq.transition_log l join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as k(t, c, a, co, ac) \
           on l.tenant_id = k.t and l.correlation_id = k.co and l.causation_id = k.c and l.aggregate_id = k.a \
         order by l.aggregate_sequence",
        asked,
    );
    for row in events.fetch_all(tx.connection()).await? {
        let event = DecidedEvent {
            aggregate_sequence: row.try_get(2)?,
            aggregate_revision: row.try_get(3)?,
            event_type: row.try_get(4)?,
            to_status: row.try_get(5)?,
            payload: row.try_get::<Json<Value>, _>(6)?.0,
        };
        found.entry((row.try_get(0)?, row.try_get(1)?)).or_default().events.push(event);
    }
    // A repeat of a command asks twice for the same.
    let of = |asked: &Asked| found.get(&(asked.tenant_id.clone(), asked.command_id.clone())).cloned();
    Ok(asked.iter().map(|asked| of(asked).unwrap_or_default()).collect())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The statement over the distinct commands that are asked for.
fn query<'q>(statement: &'static str, asked: &'q [Asked]) -> Query<'q> {
    let mut seen = std::collections::HashSet::new();
    let asked: Vec<&Asked> = asked.iter().filter(|a| seen.insert((&a.tenant_id, &a.command_id))).collect();
    sqlx::query(statement)
        .bind(asked.iter().map(|a| a.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(asked.iter().map(|a| a.command_id.as_str()).collect::<Vec<_>>())
        .bind(asked.iter().map(|a| a.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind(asked.iter().map(|a| a.correlation_id.as_str()).collect::<Vec<_>>())
        .bind(asked.iter().map(|a| a.action.as_str()).collect::<Vec<_>>())
}

/// When each of these (tenant, quote or order) began, as far as it did.
pub async fn began(
    tx: &mut Tx,
    keys: &[(String, String)],
) -> Result<HashMap<(String, String), OffsetDateTime>, StoreError> {
    let statement = "select tenant_id, aggregate_id, occurred_at from cpq.transition_log where aggregate_sequence = 1 \
        and (tenant_id, aggregate_id) in (select * from unnest($1::text[], $2::text[]))";
    let (tenants, ids): (Vec<&str>, Vec<&str>) = keys.iter().map(|(t, id)| (t.as_str(), id.as_str())).unzip();
    let rows = sqlx::query(statement).bind(tenants).bind(ids).fetch_all(tx.connection()).await?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
}

/// Whether the record was parked by the consumer, or is one that was given up.
pub async fn is_dead(
    tx: &mut Tx,
    consumer: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<bool, StoreError> {
    let statement = "select exists (select from cpq.parked_record \
          where consumer = $1 and topic = $2 and partition = $3 and record_offset = $4) \
        or exists (select from cpq.dead_letter_action \
          where consumer = $1 and topic = $2 and partition = $3 and record_offset = $4)";
    let query = sqlx::query_scalar(statement).bind(consumer).bind(topic).bind(partition).bind(offset);
    Ok(query.fetch_one(tx.connection()).await?)
}

/// A judged command, at its place in the audit chain of its quote or order.
#[derive(Clone, Debug, FromRow)]
pub struct Entry {
    pub tenant_id: String,
    pub aggregate_id: String,
    pub entry: i64,
    pub action: String,
    pub command_id: String,
    pub correlation_id: String,
    pub recorded_at: OffsetDateTime,
}

/// The next page of judged commands: by quote and order, each in its order. Empty at the end.
pub async fn entries(tx: &mut Tx, after: Option<&Entry>) -> Result<Vec<Entry>, StoreError> {
    let statement = "select tenant_id, aggregate_id, entry, action, command_id, correlation_id, recorded_at from cpq.audit \
        where (tenant_id, aggregate_id, entry) > ($1, $2, $3) order by tenant_id, aggregate_id, entry limit $4";
    let (tenant, aggregate, entry) =
        after.map_or(("", "", 0), |e| (e.tenant_id.as_str(), e.aggregate_id.as_str(), e.entry));
    let query = sqlx::query_as(statement).bind(tenant).bind(aggregate).bind(entry).bind(PAGE);
    Ok(query.fetch_all(tx.connection()).await?)
}

/// When the last command of this quote or order was judged.
pub async fn decided_until(tx: &mut Tx, tenant: &str, aggregate: &str) -> Result<Option<OffsetDateTime>, StoreError> {
    let statement = "select max(recorded_at) from cpq.audit where tenant_id = $1 and aggregate_id = $2";
    Ok(sqlx::query_scalar(statement).bind(tenant).bind(aggregate).fetch_one(tx.connection()).await?)
}
