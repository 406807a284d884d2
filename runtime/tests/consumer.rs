//! The consumer loop on the real broker and database: effects once, whatever happens between them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use async_trait::async_trait;
use cpq_avro::{DecodeError, Record};
use cpq_runtime::consumer::{self, ConsumerError, ConsumerStatus, Host, RecordDecoder};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_runtime::wake::Wake;
use cpq_state_stores::hints::Hints;
use cpq_state_stores::positions::{self, Advance, Assigned, Fence, Move};
use cpq_state_stores::{StoreError, Tx, outbox, parked};
use sqlx::Row as _;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use support::{TestDatabase, create_topic, eventually, produce, row, unique};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const TENANT: &str = "tenant-test";

/// Each record's effect is one outbox row with its key and value. Some values are not well.
struct Effects {
    consumer: &'static str,
    topics: &'static [&'static str],
    redoable: bool,
}

#[async_trait]
impl Processor for Effects {
    fn consumer(&self) -> &'static str {
        self.consumer
    }
    fn topics(&self) -> &'static [&'static str] {
        self.topics
    }
    fn can_be_redone(&self) -> bool {
        self.redoable
    }
    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError> {
        let mut rows = Vec::new();
        for delivery in batch {
            let Record::State { value, .. } = &delivery.record else { unreachable!("the decoder makes states") };
            match value["value"].as_str().unwrap() {
                "impossible" => {
                    return Err(StepError::Poison { offset: delivery.offset, cause: "impossible".to_owned() });
                }
                "panics" => panic!("a defect"),
                "not this tenant's" => rows.push(row("another-tenant", "effect", &delivery.key, "x")),
                value => rows.push(row(TENANT, "effect", &delivery.key, value)),
            }
        }
        outbox::insert(tx, &rows).await?;
        after.outbox = true;
        Ok(())
    }
}

/// Reads values as they are; waits at its gate; answers "unavailable" for a while.
struct Plain {
    gate: Semaphore,
    unavailable: AtomicU32,
}

impl Plain {
    fn open() -> Arc<Self> {
        Arc::new(Self { gate: Semaphore::new(Semaphore::MAX_PERMITS), unavailable: AtomicU32::new(0) })
    }
}

#[async_trait]
impl RecordDecoder for Plain {
    async fn decode(&self, bytes: &[u8]) -> Result<Record, DecodeError> {
        self.gate.acquire().await.unwrap().forget();
        if self.unavailable.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(DecodeError::RegistryUnavailable { cause: "registry down".to_owned() });
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Record::State {
                name: "test".to_owned(),
                value: serde_json::json!({ "tenantId": TENANT, "value": text }),
            }),
            Err(error) => Err(DecodeError::Poison { cause: error.to_string() }),
        }
    }
}

struct Fixture {
    database: TestDatabase,
    consumer: &'static str,
    topic: &'static str,
    partitions: i32,
    redoable: bool,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConsumerError>>,
    status: ConsumerStatus,
}

impl Running {
    async fn stop(self) -> Result<(), ConsumerError> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

impl Fixture {
    async fn new(partitions: i32) -> Self {
        let consumer: &'static str = unique("consumer").leak();
        let topic: &'static str = unique("test.topic").leak();
        create_topic(topic, partitions, &[]).await;
        Self { database: TestDatabase::create().await, consumer, topic, partitions, redoable: false }
    }

    fn host(&self, decoder: Arc<dyn RecordDecoder>) -> Host {
        Host {
            db: self.database.db.clone(),
            kafka_brokers: support::stack("CPQ_KAFKA_BROKERS"),
            decoder,
            wake: Wake::default(),
            hints: Hints::disabled(),
            owner: unique("owner"),
        }
    }

    fn start(&self, decoder: Arc<dyn RecordDecoder>) -> Running {
        let host = self.host(decoder);
        let (stop, status) = (CancellationToken::new(), ConsumerStatus::default());
        let processor =
            Arc::new(Effects { consumer: self.consumer, topics: vec![self.topic].leak(), redoable: self.redoable });
        let task = tokio::spawn(consumer::run(host, processor, status.clone(), stop.clone()));
        Running { stop, task, status }
    }

    /// Values by key, in the order of their effects.
    async fn effects(&self) -> HashMap<String, Vec<String>> {
        let mut effects: HashMap<String, Vec<String>> = HashMap::new();
        let rows = self
            .database
            .rows("select message_key, convert_from(value, 'utf8') from cpq.outbox_event where topic = 'effect' order by id")
            .await;
        for row in rows {
            effects.entry(row.get(0)).or_default().push(row.get(1));
        }
        effects
    }

    async fn await_effects(&self, count: usize) {
        eventually(&format!("{count} effects"), || async {
            self.effects().await.values().map(Vec::len).sum::<usize>() >= count
        })
        .await;
    }
}

fn numbered(keys: usize, per_key: usize) -> Vec<(String, String)> {
    (0..per_key).flat_map(|n| (0..keys).map(move |key| (format!("key-{key}"), n.to_string()))).collect()
}

fn assert_once_in_order(effects: &HashMap<String, Vec<String>>, keys: usize, per_key: usize) {
    let expected: Vec<String> = (0..per_key).map(|n| n.to_string()).collect();
    assert_eq!(effects.len(), keys);
    for (key, values) in effects {
        assert_eq!(values, &expected, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_16_redelivery_after_a_restart_has_no_second_effect() {
    let fixture = Fixture::new(3).await;
    produce(fixture.topic, numbered(20, 50)).await;
    let first = fixture.start(Plain::open());
    fixture.await_effects(1000).await;
    assert_eq!(first.status.check(), Ok("3 partitions".to_owned()));
    first.stop().await.unwrap();

    // Kafka may have been told nothing at all: the stored position alone decides.
    let second = fixture.start(Plain::open());
    produce(fixture.topic, [("key-0".to_owned(), "50".to_owned())]).await;
    fixture.await_effects(1001).await;
    second.stop().await.unwrap();
    let mut effects = fixture.effects().await;
    assert_eq!(effects.get_mut("key-0").unwrap().pop().unwrap(), "50");
    assert_once_in_order(&effects, 20, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_of_several_partitions_move_in_one_statement_each_by_its_own_state() {
    let database = TestDatabase::create().await;
    let mut tx = database.db.begin_system().await.unwrap();
    let at = |partition| Assigned { topic: "topic".to_owned(), partition, first_offset: 10 };
    let taken = positions::take_over(&mut tx, "consumer", "owner", &[at(0), at(1), at(2)]).await.unwrap();
    let fences: Vec<Fence> = taken
        .iter()
        .map(|p| Fence {
            consumer: "consumer".to_owned(),
            topic: p.topic.clone(),
            partition: p.partition,
            epoch: p.epoch,
        })
        .collect();
    let from = |n: usize, first_offset, next_offset, key| Move {
        fence: &fences[n],
        known: 10,
        first_offset,
        next_offset,
        keys: vec![key],
    };
    let free = || Advance::Moved { parked: HashSet::new() };

    parked::park_key(&mut tx, "consumer", "topic", "parked", Some(TENANT), "cause").await.unwrap();
    assert_eq!(positions::advance(&mut tx, &[from(1, 10, 15, "b")]).await.unwrap(), [free()]);
    let all = [from(0, 10, 12, "a"), from(1, 10, 15, "b"), from(2, 10, 11, "parked")];
    let parked = Advance::Moved { parked: HashSet::from(["parked".to_owned()]) };
    assert_eq!(positions::advance(&mut tx, &all).await.unwrap(), [free(), Advance::AlreadyApplied, parked]);

    // One owner that is over refuses the whole.
    let stale = Fence { epoch: fences[2].epoch - 1, ..fences[2].clone() };
    let moves = [from(0, 12, 13, "a"), Move { fence: &stale, ..from(2, 11, 12, "c") }];
    assert!(matches!(positions::advance(&mut tx, &moves).await, Err(StoreError::Fenced(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_13_a_stale_owner_has_no_effect_and_joins_again() {
    let fixture = Fixture::new(1).await;
    produce(fixture.topic, numbered(1, 10)).await;
    let decoder = Arc::new(Plain { gate: Semaphore::new(0), unavailable: AtomicU32::new(0) });
    let running = fixture.start(decoder.clone());
    eventually("the partition is taken over", || async {
        fixture.database.count("select count(*) from cpq.consumer_position").await == 1
    })
    .await;

    // Another instance takes over while the first holds decoded records in its hands.
    let mut tx = fixture.database.db.begin(&[]).await.unwrap();
    let taken = Assigned { topic: fixture.topic.to_owned(), partition: 0, first_offset: 0 };
    let position = positions::take_over(&mut tx, fixture.consumer, "another", &[taken]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((position[0].next_offset, position[0].epoch), (0, 2));

    decoder.gate.add_permits(10_000);
    fixture.await_effects(10).await;
    assert!(fixture.database.count("select epoch from cpq.consumer_position").await >= 3);
    running.stop().await.unwrap();
    assert_once_in_order(&fixture.effects().await, 1, 10);
}

/// As [`Effects`], and its polling thread stands still once, as a process does that is starved.
struct Stalling {
    effects: Effects,
    stall: Mutex<Option<Duration>>,
}

#[async_trait]
impl Processor for Stalling {
    /// Asked by the polling thread too, with each of its statistics.
    fn consumer(&self) -> &'static str {
        let on_polling_thread = std::thread::current().name().is_some_and(|name| name.starts_with("consume-"));
        if on_polling_thread && let Some(stall) = self.stall.lock().unwrap().take() {
            std::thread::sleep(stall);
        }
        self.effects.consumer()
    }
    fn topics(&self) -> &'static [&'static str] {
        self.effects.topics()
    }
    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError> {
        self.effects.apply(tx, batch, after).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_14_a_process_that_does_not_poll_in_time_notices_it_and_starts_anew() {
    let fixture = Fixture::new(1).await;
    produce(fixture.topic, numbered(3, 5)).await;
    let effects = Effects { consumer: fixture.consumer, topics: vec![fixture.topic].leak(), redoable: false };
    let processor = Arc::new(Stalling { effects, stall: Mutex::new(None) });
    let (stop, status) = (CancellationToken::new(), ConsumerStatus::default());
    let host = fixture.host(Plain::open());
    let consumer =
        consumer::run_polling_within(consumer::SESSION_TIMEOUT, host, processor.clone(), status.clone(), stop.clone());
    let task = tokio::spawn(consumer);
    fixture.await_effects(15).await;
    let epoch = "select max(epoch) from cpq.consumer_position";
    assert_eq!(fixture.database.count(epoch).await, 1);

    *processor.stall.lock().unwrap() = Some(consumer::SESSION_TIMEOUT + Duration::from_secs(3));
    produce(fixture.topic, (5..10).flat_map(|n| (0..3).map(move |key| (format!("key-{key}"), n.to_string())))).await;
    eventually("it says that it has missed its time", || async {
        status.check().is_err_and(|reason| reason.contains("max.poll.interval"))
    })
    .await;
    eventually("it has joined again", || async { fixture.database.count(epoch).await == 2 }).await;
    fixture.await_effects(30).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_once_in_order(&fixture.effects().await, 3, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_15_instances_come_and_go_under_load_and_every_effect_happens_once() {
    let fixture = Fixture::new(6).await;
    let topic = fixture.topic;
    let load = tokio::spawn(async move {
        for round in 0..40 {
            produce(topic, (0..50).map(|key| (format!("key-{key}"), round.to_string()))).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let first = fixture.start(Plain::open());
    fixture.await_effects(100).await;
    let second = fixture.start(Plain::open());
    eventually("the second has partitions", || async { second.status.check() == Ok("3 partitions".to_owned()) }).await;
    first.stop().await.unwrap();
    let third = fixture.start(Plain::open());
    load.await.unwrap();
    fixture.await_effects(2000).await;
    second.stop().await.unwrap();
    third.stop().await.unwrap();
    assert_once_in_order(&fixture.effects().await, 50, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_46_poison_is_parked_with_what_comes_behind_it_and_other_keys_flow() {
    let fixture = Fixture::new(1).await;
    let records = [
        ("a", "1"),
        ("b", "impossible"),
        ("a", "2"),
        ("b", "3"),
        ("c", "panics"),
        ("d", "not this tenant's"),
        ("a", "4"),
        ("c", "5"),
    ];
    produce(fixture.topic, records.map(|(key, value)| (key.to_owned(), value.to_owned()))).await;
    let running = fixture.start(Plain::open());
    produce(fixture.topic, [("a".to_owned(), "6".to_owned()), ("b".to_owned(), "7".to_owned())]).await;
    eventually("all is applied or parked", || async {
        fixture.database.count("select coalesce(max(next_offset), 0) from cpq.consumer_position").await == 10
    })
    .await;
    running.stop().await.unwrap();

    let effects = fixture.effects().await;
    assert_eq!(effects.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(effects["a"], ["1", "2", "4", "6"]);
    let parked = fixture
        .database
        .rows("select message_key, convert_from(value, 'utf8'), cause, tenant_id from cpq.parked_record order by record_offset")
        .await;
    let parked: Vec<(String, String)> = parked.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected =
        [("b", "impossible"), ("b", "3"), ("c", "panics"), ("d", "not this tenant's"), ("c", "5"), ("b", "7")];
    assert_eq!(parked, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let causes = fixture.database.rows("select message_key, cause from cpq.parked_key order by message_key").await;
    let causes: Vec<String> = causes.iter().map(|row| row.get(1)).collect();
    assert_eq!(causes[0], "impossible");
    assert!(causes[1].contains("panicked: a defect"), "{}", causes[1]);
    assert!(causes[2].contains("row-level security"), "{}", causes[2]);

    let copies = fixture
        .database
        .rows("select topic, headers::text from cpq.outbox_event where topic like '%.dlq' order by id")
        .await;
    assert_eq!(copies.len(), 6);
    assert_eq!(copies[0].get::<String, _>(0), format!("{}.{}.dlq", fixture.topic, fixture.consumer));
    assert!(copies.iter().any(|copy| copy.get::<String, _>(1).contains(r#"["dlq_offset", "1"]"#)));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_32_a_schema_that_cannot_be_asked_for_is_awaited_and_is_not_poison() {
    let fixture = Fixture::new(1).await;
    produce(fixture.topic, numbered(3, 5)).await;
    let decoder = Arc::new(Plain { gate: Semaphore::new(10_000), unavailable: AtomicU32::new(4) });
    let running = fixture.start(decoder);
    fixture.await_effects(15).await;
    running.stop().await.unwrap();
    assert_once_in_order(&fixture.effects().await, 3, 5);
    assert_eq!(fixture.database.count("select count(*) from cpq.parked_record").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_a_position_beyond_the_topics_end_stops_the_consumer() {
    let fixture = Fixture::new(1).await;
    produce(fixture.topic, numbered(1, 5)).await;
    let mut tx = fixture.database.db.begin(&[]).await.unwrap();
    let at = Assigned { topic: fixture.topic.to_owned(), partition: 0, first_offset: 100 };
    positions::take_over(&mut tx, fixture.consumer, "before", &[at]).await.unwrap();
    tx.commit().await.unwrap();
    let error = fixture.start(Plain::open()).task.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("beyond the topic's end 5"), "{error}");
    assert!(fixture.effects().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_a_database_older_than_its_topic_stops_the_consumer() {
    let fixture = Fixture::new(1).await;
    produce(fixture.topic, numbered(1, 5)).await;
    let running = fixture.start(Plain::open());
    fixture.await_effects(5).await;
    running.stop().await.unwrap();
    fixture.database.execute("update cpq.consumer_position set next_offset = 2").await;
    let error = fixture.start(Plain::open()).task.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("the database is older than the topic"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_17_commits_that_the_server_has_lost_are_made_again_and_not_passed_over() {
    let fixture = Fixture { redoable: true, ..Fixture::new(1).await };
    produce(fixture.topic, numbered(1, 5)).await;
    let running = fixture.start(Plain::open());
    fixture.await_effects(5).await;
    // What a server that lost its newest commits comes back with, while the consumer runs on.
    let lost = "with back as (update cpq.consumer_position set next_offset = 2) \
                delete from cpq.outbox_event where convert_from(value, 'utf8')::int >= 2";
    fixture.database.execute(lost).await;
    produce(fixture.topic, [("key-0".to_owned(), "5".to_owned())]).await;
    fixture.await_effects(6).await;
    running.stop().await.unwrap();
    assert_once_in_order(&fixture.effects().await, 1, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_after_the_start_is_found() {
    let fixture = Fixture::new(1).await;
    let late: &'static str = unique("test.late").leak();
    let fixture = Fixture { topic: late, partitions: 1, ..fixture };
    let running = fixture.start(Plain::open());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(running.status.check().is_err());
    create_topic(late, fixture.partitions, &[]).await;
    produce(late, numbered(1, 3)).await;
    fixture.await_effects(3).await;
    running.stop().await.unwrap();
}
