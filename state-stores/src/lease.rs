//! Which relay may work on which shard. All times are the database's, so that a relay's own clock never
//! decides; an epoch rises with each new owner and fences the former one.

use crate::{StoreError, Tx};
use sqlx::Row;
use std::time::Duration;

/// A shard held under an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeldShard {
    pub shard: i16,
    pub epoch: i64,
}

/// Says that this relay lives, forgets those that no longer do, and returns how many live.
pub async fn announce(tx: &mut Tx, owner: &str, lease: Duration) -> Result<usize, StoreError> {
    sqlx::query(
        "insert into cpq.relay_instance (owner, expires_at) values ($1, clock_timestamp() + make_interval(secs => $2)) \
         on conflict (owner) do update set expires_at = excluded.expires_at",
    )
    .bind(owner)
    .bind(lease.as_secs_f64())
    .execute(tx.connection())
    .await?;
    // Rows that another relay is just renewing are left alone, so that two relays never wait for each other.
    sqlx::query(
        "delete from cpq.relay_instance where owner in (select owner from cpq.relay_instance \
         where expires_at <= clock_timestamp() for update skip locked)",
    )
    .execute(tx.connection())
    .await?;
    let row = sqlx::query("select count(*) from cpq.relay_instance where expires_at > clock_timestamp()")
        .fetch_one(tx.connection())
        .await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(1).max(1))
}

/// Extends the leases that are still this relay's; returns those. An expired one that nobody took is extended
/// too: nothing has happened in between.
pub async fn renew(
    tx: &mut Tx,
    owner: &str,
    held: &[HeldShard],
    lease: Duration,
) -> Result<Vec<HeldShard>, StoreError> {
    let rows = sqlx::query(
        "update cpq.relay_lease l set expires_at = clock_timestamp() + make_interval(secs => $4) \
         from unnest($2::smallint[], $3::bigint[]) as mine(shard, epoch) \
         where l.shard = mine.shard and l.epoch = mine.epoch and l.owner = $1 returning l.shard, l.epoch",
    )
    .bind(owner)
    .bind(held.iter().map(|h| h.shard).collect::<Vec<_>>())
    .bind(held.iter().map(|h| h.epoch).collect::<Vec<_>>())
    .bind(lease.as_secs_f64())
    .fetch_all(tx.connection())
    .await?;
    held_shards(rows)
}

/// Takes up to `count` shards that nobody holds, each under a new epoch.
pub async fn take(tx: &mut Tx, owner: &str, count: usize, lease: Duration) -> Result<Vec<HeldShard>, StoreError> {
    let rows = sqlx::query(
        "update cpq.relay_lease set owner = $1, epoch = epoch + 1, \
           expires_at = clock_timestamp() + make_interval(secs => $3) \
         where shard in (select shard from cpq.relay_lease where expires_at <= clock_timestamp() \
           order by shard limit $2 for update skip locked) returning shard, epoch",
    )
    .bind(owner)
    .bind(i64::try_from(count).unwrap_or(i64::MAX))
    .bind(lease.as_secs_f64())
    .fetch_all(tx.connection())
    .await?;
    held_shards(rows)
}

/// Gives shards back, for others to take at once.
pub async fn release(tx: &mut Tx, owner: &str, held: &[HeldShard]) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.relay_lease l set owner = null, expires_at = '-infinity' \
         from unnest($2::smallint[], $3::bigint[]) as mine(shard, epoch) \
         where l.shard = mine.shard and l.epoch = mine.epoch and l.owner = $1",
    )
    .bind(owner)
    .bind(held.iter().map(|h| h.shard).collect::<Vec<_>>())
    .bind(held.iter().map(|h| h.epoch).collect::<Vec<_>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Says that this relay is going.
pub async fn leave(tx: &mut Tx, owner: &str) -> Result<(), StoreError> {
    sqlx::query("delete from cpq.relay_instance where owner = $1").bind(owner).execute(tx.connection()).await?;
    Ok(())
}

/// Whether this relay still holds the shard in that epoch; keeps it so until the transaction ends.
pub async fn holds(tx: &mut Tx, owner: &str, held: HeldShard) -> Result<bool, StoreError> {
    let row = sqlx::query("select from cpq.relay_lease where shard = $1 and epoch = $2 and owner = $3 for share")
        .bind(held.shard)
        .bind(held.epoch)
        .bind(owner)
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.is_some())
}

fn held_shards(rows: Vec<sqlx::postgres::PgRow>) -> Result<Vec<HeldShard>, StoreError> {
    rows.into_iter().map(|row| Ok(HeldShard { shard: row.try_get(0)?, epoch: row.try_get(1)? })).collect()
}
