//! The transitions of one aggregate, read back: folding them up to a sequence gives its state there.

use crate::{StoreError, Tx};
use cpq_domain::ids::TenantId;
use cpq_domain::moment::Moment;
use serde::de::DeserializeOwned;
use sqlx::{Row, types::Json};
use time::OffsetDateTime;

/// A recorded event of an aggregate.
pub struct Transition<E> {
    pub sequence: u64,
    pub revision: u32,
    pub event: E,
    pub at: Moment,
}

/// The aggregate's events in order, up to a sequence (all, if `None`).
pub async fn load<E: DeserializeOwned + Send + Unpin + 'static>(
    tx: &mut Tx,
    tenant: &TenantId,
    aggregate_id: &str,
    up_to: Option<u64>,
) -> Result<Vec<Transition<E>>, StoreError> {
    let rows = sqlx::query(
        "select aggregate_sequence, aggregate_revision, payload, occurred_at from cpq.transition_log \
         where tenant_id = $1 and aggregate_id = $2 and ($3::bigint is null or aggregate_sequence <= $3) order by aggregate_sequence",
    )
    .bind(tenant.as_str())
    .bind(aggregate_id)
    .bind(up_to.map(|s| s as i64))
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            let Json(event): Json<E> = row.try_get(2)?;
            Ok(Transition {
                sequence: row.try_get::<i64, _>(0)?.unsigned_abs(),
                revision: row.try_get::<i32, _>(1)?.unsigned_abs(),
                event,
                at: Moment::new(row.try_get::<OffsetDateTime, _>(3)?),
            })
        })
        .collect()
}
