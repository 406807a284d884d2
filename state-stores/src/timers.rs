//! The timers of quotes that end by themselves: set and cleared in the transaction of what changes the quote,
//! taken when they are due by whoever turns them into commands. What a timer means is the quote's to say.

use crate::aggregates::AggregateKey;
use crate::{StoreError, Tx};
use cpq_domain::ids::{CorrelationId, QuoteId, TenantId};
use cpq_domain::moment::Moment;
use sqlx::Row;
use std::time::Duration;

/// The end of a quote's validity, and the command that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub tenant_id: TenantId,
    pub quote_id: QuoteId,
    pub due_at: Moment,
    /// What the expiry belongs to.
    pub correlation_id: CorrelationId,
    pub causation_id: String,
}

/// A timer that was due, taken off the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    pub timer: Timer,
    /// The database's time when it was taken, which is past `due_at`.
    pub at: Moment,
}

/// Sets each quote's timer, in place of the one it had.
pub async fn set(tx: &mut Tx, timers: &[&Timer]) -> Result<(), StoreError> {
    if timers.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into cpq.quote_timer (tenant_id, quote_id, due_at, correlation_id, causation_id) \
         select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[]) \
         on conflict (tenant_id, quote_id) do update set due_at = excluded.due_at, \
           correlation_id = excluded.correlation_id, causation_id = excluded.causation_id",
    )
    .bind(timers.iter().map(|t| t.tenant_id.as_str()).collect::<Vec<_>>())
    .bind(timers.iter().map(|t| t.quote_id.as_str()).collect::<Vec<_>>())
    .bind(timers.iter().map(|t| t.due_at.into_inner()).collect::<Vec<_>>())
    .bind(timers.iter().map(|t| t.correlation_id.as_str()).collect::<Vec<_>>())
    .bind(timers.iter().map(|t| t.causation_id.as_str()).collect::<Vec<_>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes away the timers of these quotes, as far as they have not fired.
pub async fn clear(tx: &mut Tx, quotes: &[&AggregateKey]) -> Result<(), StoreError> {
    if quotes.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from cpq.quote_timer where (tenant_id, quote_id) in (select * from unnest($1::text[], $2::text[]))",
    )
    .bind(quotes.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
    .bind(quotes.iter().map(|(_, quote)| quote.as_str()).collect::<Vec<_>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes up to `limit` timers that are due, the oldest first, passing over those that somebody else is taking.
/// They are gone when the transaction commits, so what they lead to must be written in it. Over all tenants.
pub async fn take_due(tx: &mut Tx, limit: i64) -> Result<Vec<Fired>, StoreError> {
    let rows = sqlx::query(
        "with due as materialized (select tenant_id, quote_id from cpq.quote_timer where due_at <= clock_timestamp() \
           order by due_at limit $1 for update skip locked) \
         delete from cpq.quote_timer t using due d where t.tenant_id = d.tenant_id and t.quote_id = d.quote_id \
         returning t.tenant_id, t.quote_id, t.due_at, t.correlation_id, t.causation_id, clock_timestamp()",
    )
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            let timer = Timer {
                tenant_id: TenantId::new(row.try_get::<String, _>(0)?),
                quote_id: QuoteId::new(row.try_get::<String, _>(1)?),
                due_at: Moment::new(row.try_get(2)?),
                correlation_id: CorrelationId::new(row.try_get::<String, _>(3)?),
                causation_id: row.try_get(4)?,
            };
            Ok(Fired { timer, at: Moment::new(row.try_get(5)?) })
        })
        .collect()
}

/// How long it is until the next timer is due, but no longer than `at_most`. Over all tenants.
pub async fn until_next(tx: &mut Tx, at_most: Duration) -> Result<Duration, StoreError> {
    let seconds: Option<f64> =
        sqlx::query_scalar("select extract(epoch from min(due_at) - clock_timestamp())::float8 from cpq.quote_timer")
            .fetch_one(tx.connection())
            .await?;
    let next = seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(at_most));
    Ok(next.map_or(at_most, |next| next.min(at_most)))
}
