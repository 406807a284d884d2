//! The outbox: what is committed and not yet known to be on its topic. Writers insert, the relay claims and
//! marks. The order in which rows may leave is the relay's matter; which rows it can see is decided here.

use crate::lease::HeldShard;
use crate::{StoreError, SystemDb, Tx};
use cpq_domain::ids::TenantId;
use sqlx::{Row, types::Json};

/// Shards of the outbox; a key always falls into the same one. The migrations hold the same number.
pub const SHARDS: i16 = 64;
/// Consumer name under which the relay parks keys.
pub const RELAY: &str = "relay";
/// Counting the backlog stops here: beyond it the exact number no longer matters, and counting would cost.
pub const MAX_COUNTED: i64 = 100_000;

/// A message to be put on a topic once its transaction has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    pub tenant_id: String,
    pub shard: i16,
    pub topic: String,
    pub message_key: String,
    /// `ce_id`: the event's or command's id.
    pub message_id: String,
    pub aggregate_type: String,
    pub aggregate_sequence: Option<u64>,
    pub headers: Vec<(String, String)>,
    /// The finished wire format.
    pub value: Vec<u8>,
}

impl OutboxRow {
    /// A row in the shard of its key.
    #[allow(clippy::too_many_arguments)] // the columns; a builder would only hide a missing one
    pub fn new(
        tenant_id: &TenantId,
        topic: &str,
        message_key: &str,
        message_id: &str,
        aggregate_type: &str,
        aggregate_sequence: Option<u64>,
        headers: Vec<(String, String)>,
        value: Vec<u8>,
    ) -> Self {
        Self {
            tenant_id: tenant_id.to_string(),
            shard: shard_of(message_key),
            topic: topic.to_owned(),
            message_key: message_key.to_owned(),
            message_id: message_id.to_owned(),
            aggregate_type: aggregate_type.to_owned(),
            aggregate_sequence,
            headers,
            value,
        }
    }
}

/// The shard of a key: FNV-1a (64 bit) modulo [`SHARDS`]. Stable for ever; a change would let two relays hold
/// rows of one key.
pub fn shard_of(key: &str) -> i16 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = key.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    (hash % SHARDS as u64) as i16
}

/// Adds rows in the given order, in one statement.
///
/// The transaction gets its id before the first row gets its number: the relay's cursor rests on "whoever
/// took a number has a transaction id by then".
pub async fn insert(tx: &mut Tx, rows: &[OutboxRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let headers: Vec<String> = rows
        .iter()
        .map(|row| serde_json::to_string(&row.headers).map_err(|e| StoreError::corrupt("outbox headers", e)))
        .collect::<Result<_, _>>()?;
    sqlx::query(
        "with transaction_id as materialized (select pg_current_xact_id()) \
         insert into cpq.outbox_event \
           (tenant_id, shard, topic, message_key, message_id, aggregate_type, aggregate_sequence, headers, value) \
         select r.tenant_id, r.shard, r.topic, r.message_key, r.message_id, r.aggregate_type, r.aggregate_sequence, \
           r.headers::jsonb, r.value \
         from transaction_id, unnest($1::text[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], \
           $7::bigint[], $8::text[], $9::bytea[]) with ordinality \
           as r(tenant_id, shard, topic, message_key, message_id, aggregate_type, aggregate_sequence, headers, value, n) \
         order by r.n",
    )
    .bind(rows.iter().map(|r| r.tenant_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.shard).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.topic.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.message_key.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.message_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.aggregate_type.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.aggregate_sequence.map(|s| s as i64)).collect::<Vec<_>>())
    .bind(headers)
    .bind(rows.iter().map(|r| r.value.as_slice()).collect::<Vec<_>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A pending row as the relay needs it.
#[derive(Clone, Debug)]
pub struct Pending {
    pub id: i64,
    pub shard: i16,
    pub tenant_id: String,
    pub topic: String,
    pub message_key: String,
    pub headers: Vec<(String, String)>,
    pub value: Vec<u8>,
}

/// Which transactions were running when a claim looked (`pg_current_snapshot`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every transaction below has ended.
    pub xmin: u64,
    /// No transaction from here on had begun.
    pub xmax: u64,
    /// Those between that were still running.
    pub running: Vec<u64>,
}

impl Snapshot {
    /// Parses `xmin:xmax:xip,xip`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let xmin = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|x| !x.is_empty()).map(str::parse).collect::<Result<_, _>>();
        Some(Self { xmin, xmax, running: running.ok()? })
    }
}

/// What a claim asks for.
#[derive(Debug)]
pub struct Claim<'a> {
    pub shards: &'a [i16],
    /// Look above this id …
    pub low_water: i64,
    /// … or above this higher one, as long as every transaction in `holders` still runs: then nothing new can
    /// have appeared between the two.
    pub recent: i64,
    pub holders: &'a [u64],
    /// Rows that the caller has in hand already.
    pub in_hand: &'a [i64],
    /// Topics that cannot be written to now.
    pub without_topics: &'a [String],
    pub max_rows: i64,
    /// Values beyond this sum stay for the next claim (but one row is always given).
    pub max_bytes: i64,
}

/// What a claim found.
#[derive(Debug)]
pub struct Claimed {
    /// What the statement could see.
    pub snapshot: Snapshot,
    /// Names the relay's parked keys of all shards, whose rows are left out: another name, another set.
    pub parked: String,
    /// In the order of their ids.
    pub rows: Vec<Pending>,
}

/// Pending rows of the shards, without parked keys. One statement on purpose: with two, a row could become visible
/// between them and be overtaken by its successor.
pub async fn claim(db: &SystemDb, claim: &Claim<'_>) -> Result<Claimed, StoreError> {
    let rows = sqlx::query(
        "with snapshot as materialized (select pg_current_snapshot() as s), \
         floor as materialized (select case when exists ( \
             select from snapshot, unnest($3::text[]) holder where pg_visible_in_snapshot(holder::xid8, s)) \
           then $1::bigint else $2::bigint end as id) \
         select s.s::text, e.id, e.shard, e.tenant_id, e.topic, e.message_key, e.headers, e.value, \
           (select md5(coalesce(string_agg(dead_letter_id::text, ',' order by dead_letter_id), '')) \
            from cpq.parked_key where consumer = 'relay') as parked \
         from snapshot s left join ( \
           select *, sum(octet_length(value)) over (order by id) - octet_length(value) as bytes_before from ( \
             select o.id, o.shard, o.tenant_id, o.topic, o.message_key, o.headers, o.value from cpq.outbox_event o \
             where o.id > (select id from floor) and o.shard = any($4) and o.id not in (select unnest($5)) \
               and o.topic <> all($8) and not exists (select from cpq.parked_key p \
                 where p.consumer = 'relay' and p.topic = o.topic and p.message_key = o.message_key) \
             order by o.id limit $6) pending \
         ) e on e.bytes_before < $7",
    )
    .bind(claim.low_water)
    .bind(claim.recent)
    .bind(claim.holders.iter().map(u64::to_string).collect::<Vec<_>>())
    .bind(claim.shards)
    .bind(claim.in_hand)
    .bind(claim.max_rows)
    .bind(claim.max_bytes)
    .bind(claim.without_topics)
    .fetch_all(db.pool())
    .await?;
    let (mut snapshot, mut parked) = (None, String::new());
    let mut pending = Vec::with_capacity(rows.len());
    for row in rows {
        if snapshot.is_none() {
            let text: String = row.try_get(0)?;
            snapshot = Some(Snapshot::parse(&text).ok_or_else(|| StoreError::corrupt("snapshot", &text))?);
            parked = row.try_get(8)?;
        }
        let Some(id) = row.try_get::<Option<i64>, _>(1)? else { continue };
        let Json(headers): Json<Vec<(String, String)>> = row.try_get(6)?;
        pending.push(Pending {
            id,
            shard: row.try_get(2)?,
            tenant_id: row.try_get(3)?,
            topic: row.try_get(4)?,
            message_key: row.try_get(5)?,
            headers,
            value: row.try_get(7)?,
        });
    }
    pending.sort_unstable_by_key(|row| row.id);
    let snapshot = snapshot.ok_or_else(|| StoreError::Corrupt("a claim without its snapshot".to_owned()))?;
    Ok(Claimed { snapshot, parked, rows: pending })
}

/// Deletes rows that the broker has acknowledged, in one statement, as far as the caller still holds their
/// shards in the epochs it believes in. Returns how many went. Does not wait for the disk: a mark lost with
/// the server only means a repeat.
pub async fn mark(db: &SystemDb, owner: &str, held: &[HeldShard], ids: &[i64]) -> Result<u64, StoreError> {
    let result = sqlx::query(
        "with relaxed as materialized (select set_config('synchronous_commit', 'off', true)), \
         held as materialized (select array_agg(l.shard) as shards from relaxed, cpq.relay_lease l \
           join unnest($2::smallint[], $3::bigint[]) as mine(shard, epoch) using (shard, epoch) where l.owner = $4) \
         delete from cpq.outbox_event where id = any($1) and shard = any((select shards from held)::smallint[])",
    )
    .bind(ids)
    .bind(held.iter().map(|h| h.shard).collect::<Vec<_>>())
    .bind(held.iter().map(|h| h.epoch).collect::<Vec<_>>())
    .bind(owner)
    .execute(db.pool())
    .await?;
    Ok(result.rows_affected())
}

/// A fact as its topic tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub tenant_id: String,
    pub aggregate_id: String,
    pub event_id: String,
}

/// Where in the list those facts stand that are no recorded transitions.
pub async fn unrecorded(tx: &mut Tx, facts: &[Published]) -> Result<Vec<usize>, StoreError> {
    let rows = sqlx::query(
        "select f.n from unnest($1::text[], $2::text[], $3::text[]) with ordinality as f(tenant, aggregate, event, n) \
         where not exists (select from cpq.transition_log t where t.tenant_id = f.tenant and t.aggregate_id = f.aggregate \
           and t.event_id = f.event) order by f.n",
    )
    .bind(facts.iter().map(|f| f.tenant_id.as_str()).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| f.aggregate_id.as_str()).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| f.event_id.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    // Ordinals count from 1.
    let index = |ordinal: i64| usize::try_from(ordinal - 1).map_err(|e| StoreError::corrupt("an ordinal", e));
    rows.iter().map(|row| index(row.try_get(0)?)).collect()
}

/// How much waits, over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// At most [`MAX_COUNTED`].
    pub rows: i64,
    /// Age of the oldest pending row by the database's clock; 0 without one.
    pub oldest_seconds: f64,
    /// Keys that the relay has parked.
    pub parked_keys: i64,
}

pub async fn backlog(tx: &mut Tx) -> Result<Backlog, StoreError> {
    let row = sqlx::query(
        "select (select count(*) from (select from cpq.outbox_event limit $1) counted), \
           coalesce((select extract(epoch from clock_timestamp() - created_at)::float8 \
             from cpq.outbox_event order by id limit 1), 0), \
           (select count(*) from cpq.parked_key where consumer = 'relay')",
    )
    .bind(MAX_COUNTED)
    .fetch_one(tx.connection())
    .await?;
    Ok(Backlog { rows: row.try_get(0)?, oldest_seconds: row.try_get(1)?, parked_keys: row.try_get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", 37)]
    #[case("Q-2026-000123", 8)]
    #[case("O-2026-000045", 25)]
    fn the_shard_of_a_key_never_changes(#[case] key: &str, #[case] shard: i16) {
        assert_eq!(shard_of(key), shard);
    }

    #[rstest]
    #[case("10:10:", 10, 10, &[])]
    #[case("10:20:10,14", 10, 20, &[10, 14])]
    fn a_snapshot_is_read_from_its_text(
        #[case] text: &str,
        #[case] xmin: u64,
        #[case] xmax: u64,
        #[case] running: &[u64],
    ) {
        assert_eq!(Snapshot::parse(text), Some(Snapshot { xmin, xmax, running: running.to_vec() }));
    }

    #[rstest]
    #[case("")]
    #[case("10")]
    #[case("a:b:")]
    fn what_is_no_snapshot_is_refused(#[case] text: &str) {
        assert_eq!(Snapshot::parse(text), None);
    }
}
