//! Parked keys that an operator lets go, on the real broker and database: they are released in their order, once,
//! whatever happens meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use async_trait::async_trait;
use cpq_avro::{DecodeError, Record};
use cpq_runtime::consumer::{self, ConsumerError, ConsumerStatus, Host, RecordDecoder};
use cpq_runtime::dead_letters::{self, Act, By, Done, MAX_SAME_FAILURES, Refusal};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_runtime::wake::Wake;
use cpq_state_stores::hints::Hints;
use cpq_state_stores::operations::parked::{self, DeadLetter, DeadLetterQuery};
use cpq_state_stores::{Db, Tx, outbox};
use sqlx::Row as _;
use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{TestDatabase, create_topic, eventually, produce, row, stack, unique};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TENANT: &str = "tenant-test";
const KEY: &str = "Q-2026-000001";
const OTHER_KEY: &str = "Q-2026-000002";
/// What a broken processor cannot apply.
const POISON: &str = "0-poison";

/// Each record's effect is one outbox row; poison has one only when the processor is mended.
struct Effects {
    consumer: &'static str,
    topics: &'static [&'static str],
    broken: Broken,
    /// How long each record takes.
    pace: Duration,
}

/// Why poison cannot be applied; nothing: it can.
type Broken = Arc<Mutex<Option<String>>>;

fn broken(cause: &str) -> Broken {
    Arc::new(Mutex::new(Some(cause.to_owned())))
}

#[async_trait]
impl Processor for Effects {
    fn consumer(&self) -> &'static str {
        self.consumer
    }
    fn topics(&self) -> &'static [&'static str] {
        self.topics
    }
    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError> {
        let mut rows = Vec::new();
        for delivery in batch {
            tokio::time::sleep(self.pace).await;
            let Record::State { value, .. } = &delivery.record else { unreachable!("the decoder makes states") };
            let value = value["value"].as_str().unwrap();
            let cause = self.broken.lock().unwrap().clone();
            if let (true, Some(cause)) = (value.ends_with("poison"), cause) {
                return Err(StepError::Poison { offset: delivery.offset, cause });
            }
            rows.push(row(TENANT, "effect", &delivery.key, value));
        }
        outbox::insert(tx, &rows).await?;
        after.outbox = true;
        Ok(())
    }
}

struct Plain;

#[async_trait]
impl RecordDecoder for Plain {
    async fn decode(&self, bytes: &[u8]) -> Result<Record, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|e| DecodeError::Poison { cause: e.to_string() })?;
        let value = serde_json::json!({ "tenantId": TENANT, "value": text });
        Ok(Record::State { name: "test".to_owned(), value })
    }
}

struct Fixture {
    database: TestDatabase,
    consumer: &'static str,
    topic: &'static str,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConsumerError>>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn start(db: Db, consumer: &'static str, topic: &'static str, broken: &Broken, pace: Duration) -> Running {
    let host = Host {
        db,
        kafka_brokers: stack("CPQ_KAFKA_BROKERS"),
        decoder: Arc::new(Plain),
        wake: Wake::default(),
        hints: Hints::disabled(),
        owner: unique("owner"),
    };
    let processor = Effects { consumer, topics: vec![topic].leak(), broken: broken.clone(), pace };
    let stop = CancellationToken::new();
    let task = tokio::spawn(consumer::run(host, Arc::new(processor), ConsumerStatus::default(), stop.clone()));
    Running { stop, task }
}

impl Fixture {
    async fn new() -> Self {
        let (consumer, topic): (&str, &str) = (unique("consumer").leak(), unique("test.topic").leak());
        create_topic(topic, 1, &[]).await;
        Self { database: TestDatabase::create().await, consumer, topic }
    }

    fn start(&self, broken: &Broken) -> Running {
        self.start_at(broken, Duration::ZERO)
    }

    fn start_at(&self, broken: &Broken, pace: Duration) -> Running {
        start(self.database.db.clone(), self.consumer, self.topic, broken, pace)
    }

    async fn produce(&self, key: &str, values: impl IntoIterator<Item = String>) {
        produce(self.topic, values.into_iter().map(|value| (key.to_owned(), value))).await;
    }

    /// The values applied of a key, in their order.
    async fn effects(&self, key: &str) -> Vec<String> {
        let query =
            "select message_key, convert_from(value, 'utf8') from cpq.outbox_event where topic = 'effect' order by id";
        let rows = self.database.rows(query).await;
        rows.iter().filter(|row| row.get::<String, _>(0) == key).map(|row| row.get(1)).collect()
    }

    async fn letter(&self) -> Option<DeadLetter> {
        let mut tx = self.database.db.begin_system().await.unwrap();
        parked::dead_letters(&mut tx, &DeadLetterQuery::default()).await.unwrap().pop()
    }

    async fn await_parked(&self, records: i64) -> DeadLetter {
        eventually(&format!("{records} records are parked"), || async {
            self.letter().await.is_some_and(|letter| letter.records == records && letter.status == "PARKED")
        })
        .await;
        self.letter().await.unwrap()
    }

    async fn await_free(&self) {
        eventually("the key is free", || async { self.letter().await.is_none() }).await;
    }

    async fn act(&self, act: Act, force: bool) -> Result<Done, Refusal> {
        let id = self.letter().await.unwrap().dead_letter_id;
        let mut tx = self.database.db.begin_system().await.unwrap();
        let by = By {
            action_id: &unique("action"),
            actor_id: "olga",
            actor_type: "USER",
            claims: r#"{"roles":["operator"]}"#,
            correlation_id: "corr-test",
            reason: "the processor is mended",
            force,
            at: OffsetDateTime::now_utc(),
        };
        let done = dead_letters::carry_out(&mut tx, &id, None, act, &by).await.unwrap();
        tx.commit().await.unwrap();
        done
    }

    /// Redrives, and waits until the key is parked again.
    async fn fail_again(&self, force: bool) -> DeadLetter {
        let before = self.letter().await.unwrap();
        self.act(Act::Redrive, force).await.unwrap();
        eventually("it is parked again", || async {
            self.letter().await.is_some_and(|letter| letter.status == "PARKED" && letter.attempts > before.attempts)
        })
        .await;
        self.letter().await.unwrap()
    }
}

/// The poison first, then as many more.
fn poison_and(more: usize) -> Vec<String> {
    std::iter::once(POISON.to_owned()).chain((1..=more).map(|n| n.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_first_record_is_parked_keeps_its_order_after_redrive() {
    let fixture = Fixture::new().await;
    let broken = broken("a defect");
    let running = fixture.start(&broken);
    fixture.produce(KEY, poison_and(14)).await;
    fixture.produce(OTHER_KEY, ["1".to_owned()]).await;
    let letter = fixture.await_parked(15).await;
    assert_eq!((letter.behind(), letter.record_offset, letter.cause.as_str()), (14, Some(0), "a defect"));
    eventually("the other key flows", || async { fixture.effects(OTHER_KEY).await.len() == 1 }).await;
    assert_eq!(fixture.effects(KEY).await, [""; 0]);

    *broken.lock().unwrap() = None;
    assert!(!fixture.act(Act::Redrive, false).await.unwrap().free);
    fixture.await_free().await;
    fixture.produce(KEY, ["15".to_owned()]).await;
    eventually("the key flows", || async { fixture.effects(KEY).await.len() == 16 }).await;
    running.stop().await;
    assert_eq!(fixture.effects(KEY).await, poison_and(15));
    assert_eq!(fixture.database.count("select count(*) from cpq.parked_record").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_arrive_while_a_redrive_runs_wait_their_turn() {
    const PARKED: usize = 1_200;
    const LATER: usize = 200;
    const AT_ONCE: usize = 10;
    let fixture = Fixture::new().await;
    let broken = broken("a defect");
    let running = fixture.start(&broken);
    fixture.produce(KEY, poison_and(PARKED)).await;
    fixture.await_parked(PARKED as i64 + 1).await;
    running.stop().await;

    *broken.lock().unwrap() = None;
    fixture.act(Act::Redrive, false).await.unwrap();
    // So slow that the later ones come in the middle of it, a few at a time.
    let running = fixture.start_at(&broken, Duration::from_millis(1));
    for first in (1..=LATER).step_by(AT_ONCE) {
        let both = (first..first + AT_ONCE).flat_map(|n| [(KEY, PARKED + n), (OTHER_KEY, n)]);
        produce(fixture.topic, both.map(|(key, value)| (key.to_owned(), value.to_string()))).await;
    }
    eventually("all is applied", || async { fixture.effects(KEY).await.len() == 1 + PARKED + LATER }).await;
    fixture.await_free().await;
    running.stop().await;
    assert_eq!(fixture.effects(KEY).await, poison_and(PARKED + LATER));
    let applied = fixture.database.count("select applied from cpq.dead_letter_action").await;
    assert!(applied > PARKED as i64 + 1, "some came while it ran, or this shows nothing: {applied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_fails_again_stays_parked_with_its_new_cause() {
    let fixture = Fixture::new().await;
    let broken = broken("a defect");
    let running = fixture.start(&broken);
    fixture.produce(KEY, poison_and(3)).await;
    fixture.await_parked(4).await;
    *broken.lock().unwrap() = Some("another defect".to_owned());
    let letter = fixture.fail_again(false).await;
    assert_eq!((letter.cause.as_str(), letter.attempts, letter.same_cause), ("another defect", 1, 0));
    assert_eq!((letter.records, fixture.effects(KEY).await.len()), (4, 0));
    let query = "select outcome, outcome_cause, applied from cpq.dead_letter_action";
    let told = &fixture.database.rows(query).await[0];
    let told = (told.get::<String, _>(0), told.get::<String, _>(1), told.get::<i64, _>(2));
    assert_eq!(told, ("PARKED_AGAIN".to_owned(), "another defect".to_owned(), 0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_behind_the_first_that_fails_stands_at_the_head_of_what_is_left() {
    let fixture = Fixture::new().await;
    let broken = broken("a defect");
    let running = fixture.start(&broken);
    let records = ["0-poison", "1", "2", "3-poison", "4"].map(str::to_owned);
    fixture.produce(KEY, records.clone()).await;
    fixture.await_parked(5).await;
    // Given up, so that the second poison is reached while the processor is as broken as before.
    fixture.act(Act::Discard, false).await.unwrap();
    let letter = fixture.await_parked(2).await;
    assert_eq!((letter.record_offset, letter.cause.as_str(), letter.attempts), (Some(3), "a defect", 1));
    assert_eq!(fixture.effects(KEY).await, ["1", "2"]);
    *broken.lock().unwrap() = None;
    fixture.act(Act::Redrive, false).await.unwrap();
    fixture.await_free().await;
    running.stop().await;
    assert_eq!(fixture.effects(KEY).await, records[1..]);
    let kept = "select convert_from(value, 'utf8') from cpq.dead_letter_action where action = 'DISCARD'";
    assert_eq!(fixture.database.rows(kept).await[0].get::<String, _>(0), POISON);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_guard_refuses_a_record_that_keeps_failing_alike_and_yields_to_force() {
    let fixture = Fixture::new().await;
    let broken = broken("a defect");
    let running = fixture.start(&broken);
    fixture.produce(KEY, poison_and(1)).await;
    fixture.await_parked(2).await;
    for time in 1..=MAX_SAME_FAILURES {
        let letter = fixture.fail_again(false).await;
        assert_eq!((letter.attempts, letter.same_cause), (time, time));
    }
    assert_eq!(fixture.act(Act::Redrive, false).await.unwrap_err(), Refusal::Looped(MAX_SAME_FAILURES));
    // It is counted in the database: a consumer that starts anew knows, too.
    running.stop().await;
    let running = fixture.start(&broken);
    assert_eq!(fixture.act(Act::Redrive, false).await.unwrap_err(), Refusal::Looped(MAX_SAME_FAILURES));
    assert_eq!(fixture.fail_again(true).await.same_cause, MAX_SAME_FAILURES + 1);
    // Another cause is another matter.
    *broken.lock().unwrap() = Some("another defect".to_owned());
    assert_eq!(fixture.fail_again(true).await.same_cause, 0);
    *broken.lock().unwrap() = None;
    fixture.act(Act::Redrive, false).await.unwrap();
    fixture.await_free().await;
    running.stop().await;
    assert_eq!(fixture.effects(KEY).await, poison_and(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_is_audited() {
    let fixture = Fixture::new().await;
    let broken = broken("a defect");
    let running = fixture.start(&broken);
    fixture.produce(KEY, poison_and(1)).await;
    fixture.await_parked(2).await;
    fixture.fail_again(false).await;
    fixture.fail_again(true).await;
    fixture.act(Act::Discard, false).await.unwrap();
    fixture.await_free().await;
    running.stop().await;
    let query = "select action, actor_id, tenant_id, aggregate_id, detail from cpq.audit order by entry";
    let entries: Vec<[String; 5]> =
        fixture.database.rows(query).await.iter().map(|row| std::array::from_fn(|column| row.get(column))).collect();
    let who: Vec<&[String]> = entries.iter().map(|entry| &entry[..4]).collect();
    let expected = ["RedriveDeadLetter", "RedriveDeadLetter", "DiscardDeadLetter"];
    assert_eq!(who, expected.map(|action| [action, "olga", TENANT, KEY].map(str::to_owned)));
    assert!(entries.iter().all(|entry| entry[4].contains("the processor is mended")), "{entries:?}");
    assert!(entries[0][4].contains("offset 0") && entries[0][4].contains("1 behind it: "), "{entries:?}");
    assert!(entries[1][4].contains("forced"), "{entries:?}");
}

/// Where the process of [`a_consumer_that_is_killed`] finds what it works on: database, consumer and topic.
const CHILD: [&str; 3] = ["CPQ_TEST_DATABASE_URL", "CPQ_TEST_CONSUMER", "CPQ_TEST_TOPIC"];
/// How long its processor takes for a record: a transaction of a full batch takes about a second.
const CHILD_PACE: Duration = Duration::from_millis(1);

/// A process that redrives slowly, with a processor that is mended.
fn child(fixture: &Fixture) -> Child {
    let values = [fixture.database.url.as_str(), fixture.consumer, fixture.topic];
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_consumer_that_is_killed", "--ignored"])
        .envs(CHILD.iter().zip(values))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that another test starts and kills"]
async fn a_consumer_that_is_killed() {
    let [url, consumer, topic] = CHILD.map(|name| std::env::var(name).unwrap());
    let db = Db::connect_lazy(&url, "killed", 4).unwrap();
    let mended = Broken::default();
    start(db, consumer.leak(), topic.leak(), &mended, CHILD_PACE).task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_redrive_loses_and_doubles_nothing() {
    const PARKED: usize = 2_400;
    let fixture = Fixture::new().await;
    let broken = broken("a defect");
    let running = fixture.start(&broken);
    fixture.produce(KEY, poison_and(PARKED)).await;
    fixture.await_parked(PARKED as i64 + 1).await;
    running.stop().await;
    fixture.act(Act::Redrive, false).await.unwrap();

    let mut left = PARKED as i64 + 1;
    for kill in 1..=2 {
        let mut child = child(&fixture);
        eventually("some records are applied", || async {
            fixture.letter().await.is_none_or(|letter| letter.records < left)
        })
        .await;
        // Inside its next transaction.
        tokio::time::sleep(Duration::from_millis(300)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        left = fixture.letter().await.expect("it was killed in the middle").records;
        fixture.produce(KEY, [(PARKED + kill).to_string()]).await;
    }
    *broken.lock().unwrap() = None;
    let running = fixture.start(&broken);
    fixture.await_free().await;
    eventually("all is applied", || async { fixture.effects(KEY).await.len() == PARKED + 3 }).await;
    running.stop().await;
    assert_eq!(fixture.effects(KEY).await, poison_and(PARKED + 2));
}
