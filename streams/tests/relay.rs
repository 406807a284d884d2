//! The relay on the real broker and database: everything committed comes to its topic, in the order of its
//! key, whatever happens to relay, transaction or topic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use cpq_runtime::wake::Wake;
use cpq_state_stores::hints::Hints;
use cpq_state_stores::outbox;
use sqlx::{Executor as _, Row as _};
use std::{collections::HashMap, time::Duration};
use streams::relay::{Relay, RelaySettings, RelayStatus};
use support::{Seen, TestDatabase, create_topic, eventually, read_topic, row, unique};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TENANT: &str = "tenant-test";
const PARTITIONS: i32 = 3;

fn quick() -> RelaySettings {
    RelaySettings { lease: Duration::from_secs(1), full_sweep: Duration::from_secs(5), ..RelaySettings::default() }
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    wake: Wake,
}

impl Running {
    fn start(database: &TestDatabase, settings: RelaySettings) -> Self {
        let relay = Relay {
            db: database.db.clone(),
            kafka_brokers: support::stack("CPQ_KAFKA_BROKERS"),
            owner: unique("relay"),
            settings,
            status: RelayStatus::default(),
        };
        let (stop, wake) = (CancellationToken::new(), Wake::default());
        let (token, of_task) = (stop.clone(), wake.clone());
        let task = tokio::spawn(async move { relay.run(&of_task, &Hints::disabled(), token).await });
        Self { stop, task, wake }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn insert(database: &TestDatabase, rows: &[outbox::OutboxRow]) {
    let mut tx = database.db.begin(&[TENANT.into()]).await.unwrap();
    outbox::insert(&mut tx, rows).await.unwrap();
    tx.commit().await.unwrap();
}

fn round(topic: &str, keys: usize, n: usize) -> Vec<outbox::OutboxRow> {
    (0..keys).map(|key| row(TENANT, topic, &format!("key-{key}"), &n.to_string())).collect()
}

/// First occurrences by key; a repeat must be of something seen before.
fn first_occurrences(seen: &[Seen]) -> HashMap<String, Vec<usize>> {
    let mut by_key: HashMap<String, Vec<usize>> = HashMap::new();
    for record in seen {
        let values = by_key.entry(record.key.clone()).or_default();
        let value = record.value.parse().unwrap();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    by_key
}

fn complete(keys: usize, rounds: usize) -> impl Fn(&[Seen]) -> bool + Send + 'static {
    move |seen| {
        seen.len() >= keys * rounds && first_occurrences(seen).values().map(Vec::len).sum::<usize>() == keys * rounds
    }
}

fn assert_in_order(seen: &[Seen], keys: usize, rounds: usize) {
    let by_key = first_occurrences(seen);
    assert_eq!(by_key.len(), keys);
    for (key, values) in by_key {
        assert_eq!(values, (0..rounds).collect::<Vec<_>>(), "{key}");
    }
}

/// Text that does not compress (a linear congruential generator's).
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + ((state >> 33) % 90) as u8)
    };
    std::iter::repeat_with(next).take(length).collect()
}

async fn pending(database: &TestDatabase) -> i64 {
    database.count("select count(*) from cpq.outbox_event").await
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_rows_come_to_their_topic_once_and_leave_the_outbox() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let relay = Running::start(&database, quick());
    for n in 0..20 {
        insert(&database, &round(&topic, 50, n)).await;
        relay.wake.notify("outbox");
    }
    let seen = read_topic(&topic, PARTITIONS, complete(50, 20)).await;
    assert_eq!(seen.len(), 1000);
    assert_in_order(&seen, 50, 20);
    let first = seen.iter().find(|s| s.key == "key-7" && s.value == "0").unwrap();
    assert_eq!(first.headers[0], ("ce_id".to_owned(), "key-7-0".to_owned()));
    eventually("the outbox is empty", || async { pending(&database).await == 0 }).await;
    relay.stop().await;
    assert_eq!(database.count("select count(*) from cpq.relay_lease where owner is not null").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_7_and_8_killed_relays_leave_neither_gap_nor_inversion() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let mut relay = Running::start(&database, quick());
    for n in 0..60 {
        insert(&database, &round(&topic, 50, n)).await;
        if n % 15 == 14 {
            // Killed: no drain, no mark, no lease given back.
            relay.task.abort();
            relay = Running::start(&database, quick());
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
    }
    let seen = read_topic(&topic, PARTITIONS, complete(50, 60)).await;
    assert_in_order(&seen, 50, 60);
    eventually("the outbox is empty", || async { pending(&database).await == 0 }).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_10_two_relays_share_the_shards_and_keep_the_order() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let first = Running::start(&database, quick());
    insert(&database, &round(&topic, 40, 0)).await;
    let second = Running::start(&database, quick());
    let mut n = 1;
    let shares = "select count(*) from (select owner from cpq.relay_lease where owner is not null \
                  group by owner having count(*) = 32) halves";
    while database.count(shares).await != 2 {
        insert(&database, &round(&topic, 40, n)).await;
        n += 1;
        assert!(n < 2000, "the shards were never shared");
    }
    for _ in 0..10 {
        insert(&database, &round(&topic, 40, n)).await;
        n += 1;
    }
    let seen = read_topic(&topic, PARTITIONS, complete(40, n)).await;
    assert_in_order(&seen, 40, n);
    assert_eq!(seen.len(), 40 * n, "sharing shards repeats nothing");
    first.stop().await;
    eventually("the second has all", || async {
        let owned = database.count("select count(*) from cpq.relay_lease where owner is not null").await;
        owned == 64
    })
    .await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_11_a_transaction_held_open_while_later_ones_commit_loses_nothing() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let relay = Running::start(&database, RelaySettings { full_sweep: Duration::from_secs(3600), ..quick() });
    let mut held = database.db.begin(&[TENANT.into()]).await.unwrap();
    outbox::insert(&mut held, &[row(TENANT, &topic, "held", "0")]).await.unwrap();
    for n in 0..100 {
        insert(&database, &round(&topic, 20, n)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let others = read_topic(&topic, PARTITIONS, complete(20, 100)).await;
    assert_in_order(&others, 20, 100);
    held.commit().await.unwrap();
    let seen = read_topic(&topic, PARTITIONS, |seen| seen.iter().any(|s| s.key == "held")).await;
    assert_eq!(seen.iter().filter(|s| s.key == "held").count(), 1);
    eventually("the outbox is empty", || async { pending(&database).await == 0 }).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_12_and_29_a_message_that_is_too_large_parks_its_key_alone() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, 1, &[("max.message.bytes", "4000")]).await;
    let noise = noise(20_000);
    let mut rows = round(&topic, 20, 0);
    rows.push(row(TENANT, &topic, "large", &noise));
    rows.push(row(TENANT, &topic, "large", "1"));
    rows.extend(round(&topic, 20, 1));
    insert(&database, &rows).await;
    let relay = Running::start(&database, quick());
    let seen = read_topic(&topic, 1, complete(20, 2)).await;
    assert_in_order(&seen, 20, 2);
    eventually("the large one's key is parked", || async {
        database.count("select count(*) from cpq.parked_key where consumer = 'relay' and message_key = 'large'").await
            == 1
    })
    .await;
    insert(&database, &round(&topic, 20, 2)).await;
    let seen = read_topic(&topic, 1, complete(20, 3)).await;
    assert!(seen.iter().all(|s| s.key != "large"));
    eventually("only the parked key waits", || async { pending(&database).await == 2 }).await;

    // An operator resolves it.
    database.execute("delete from cpq.outbox_event where octet_length(value) > 1000").await;
    database.execute("delete from cpq.parked_key").await;
    let seen = read_topic(&topic, 1, |seen| seen.iter().any(|s| s.key == "large")).await;
    assert_eq!(seen.last().unwrap().value, "1");
    eventually("the outbox is empty", || async { pending(&database).await == 0 }).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_delays_only_its_own_rows() {
    let (database, topic, late) = (TestDatabase::create().await, unique("test.relay"), unique("test.late"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let relay = Running::start(&database, quick());
    for n in 0..10 {
        let mut rows = round(&late, 10, n);
        rows.extend(round(&topic, 10, n));
        insert(&database, &rows).await;
    }
    assert_in_order(&read_topic(&topic, PARTITIONS, complete(10, 10)).await, 10, 10);
    eventually("the others wait", || async { pending(&database).await == 100 }).await;
    create_topic(&late, PARTITIONS, &[]).await;
    assert_in_order(&read_topic(&late, PARTITIONS, complete(10, 10)).await, 10, 10);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_28_a_full_producer_queue_means_waiting_and_no_reorder() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    for n in 0..20 {
        insert(&database, &round(&topic, 100, n)).await;
    }
    let relay = Running::start(&database, RelaySettings { producer_queue: 7, ..quick() });
    let seen = read_topic(&topic, PARTITIONS, complete(100, 20)).await;
    assert_in_order(&seen, 100, 20);
    assert_eq!(seen.len(), 2000);
    relay.stop().await;
}

/// Entries of the outbox's indexes that have been read so far. Statistics come about a second behind.
async fn entries_read(database: &TestDatabase) -> i64 {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let read = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relname = 'outbox_event'";
    database.count(read).await
}

/// What a held snapshot keeps is dead to the relay, though vacuum cannot take it away: claims begin behind it.
#[tokio::test(flavor = "multi_thread")]
async fn fault_22_rows_that_an_old_snapshot_keeps_alive_are_not_read_again() {
    const KEPT: usize = 20_000;
    const KEYS: usize = 50;
    const ROUNDS: usize = 20;
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let mut snapshot = database.connect().await;
    snapshot.execute("begin isolation level repeatable read").await.unwrap();
    snapshot.execute("select count(*) from cpq.outbox_event").await.unwrap();
    let relay = Running::start(&database, RelaySettings { full_sweep: Duration::from_secs(3600), ..quick() });
    insert(&database, &round(&topic, KEPT, 0)).await;
    relay.wake.notify("outbox");
    eventually("the outbox is empty", || async { pending(&database).await == 0 }).await;

    let before = entries_read(&database).await;
    for n in 1..=ROUNDS {
        insert(&database, &round(&topic, KEYS, n)).await;
        relay.wake.notify("outbox");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually("the outbox is empty again", || async { pending(&database).await == 0 }).await;
    let read = entries_read(&database).await - before;
    // A row is met by the claims until it is marked, and by its mark; the kept ones would be met by each claim, of which
    // there is at least one a round.
    assert!(read < (KEPT * ROUNDS / 2) as i64, "{read} index entries were read, with {KEPT} dead rows kept");
    snapshot.execute("rollback").await.unwrap();
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_9_a_mark_by_a_former_owner_changes_no_row() {
    let database = TestDatabase::create().await;
    insert(&database, &[row(TENANT, "none", "k", "0")]).await;
    let shard = outbox::shard_of("k");
    let mut tx = database.db.begin_system().await.unwrap();
    let lease = Duration::from_millis(1);
    let held = cpq_state_stores::lease::take(&mut tx, "former", 64, lease).await.unwrap();
    tx.commit().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut tx = database.db.begin_system().await.unwrap();
    let newer = cpq_state_stores::lease::take(&mut tx, "present", 64, lease).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(newer.len(), 64);

    let mut connection = database.connect().await;
    let id: i64 = sqlx::query("select id from cpq.outbox_event").fetch_one(&mut connection).await.unwrap().get(0);
    let db = database.db.system(1);
    let of_shard: Vec<_> = held.iter().filter(|h| h.shard == shard).copied().collect();
    assert_eq!(outbox::mark(&db, "former", &of_shard, &[id]).await.unwrap(), 0);
    let of_shard: Vec<_> = newer.iter().filter(|h| h.shard == shard).copied().collect();
    assert_eq!(outbox::mark(&db, "present", &of_shard, &[id]).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_to_the_database_delays_and_loses_nothing() {
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, PARTITIONS, &[]).await;
    let relay = Running::start(&database, quick());
    for n in 0..30 {
        insert(&database, &round(&topic, 20, n)).await;
        if n % 10 == 5 {
            // The application's sessions may be ended by their own role.
            let mut connection = database.connect().await;
            connection.execute("reset role").await.unwrap();
            sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity \
                 where datname = current_database() and pid <> pg_backend_pid() and usename = current_user",
            )
            .execute(&mut connection)
            .await
            .unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    assert_in_order(&read_topic(&topic, PARTITIONS, complete(20, 30)).await, 20, 30);
    eventually("the outbox is empty", || async { pending(&database).await == 0 }).await;
    relay.stop().await;
}
