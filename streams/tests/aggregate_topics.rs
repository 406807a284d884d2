//! What a decision leaves behind, on its way over the real broker: relay, consumer loop and projection
//! together, on topics of a test's own. The tests carry the specification's names (section 28).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use aggregate_support::{Sent, TENANT, World, accept, line, price};
use async_trait::async_trait;
use cpq_runtime::consumer::{self, ConsumerError, ConsumerStatus, Host};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_runtime::wake::Wake;
use cpq_state_stores::Tx;
use cpq_state_stores::hints::Hints;
use cpq_state_stores::outbox::{self, OutboxRow};
use cpq_state_stores::views::{self, WorkspaceRow};
use pretty_assertions::assert_eq;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::sync::Arc;
use std::time::Duration;
use streams::projection::Projection;
use streams::relay::{Relay, RelaySettings, RelayStatus};
use support::{Seen, create_topic, eventually, produce, read_topic, row, stack, unique};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const QUOTE: &str = "Q-2026-000001";
const BROKEN: &str = "Q-2026-000002";
const LATER: &str = "Q-2026-000003";

/// The projection under a name and on a topic of a test's own, beside the stack's.
struct OfTest {
    consumer: &'static str,
    topics: &'static [&'static str],
}

#[async_trait]
impl Processor for OfTest {
    fn consumer(&self) -> &'static str {
        self.consumer
    }
    fn topics(&self) -> &'static [&'static str] {
        self.topics
    }
    fn can_be_redone(&self) -> bool {
        Projection.can_be_redone()
    }
    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError> {
        Projection.apply(tx, batch, after).await
    }
}

/// A world whose quote events go to a topic of its own, and nothing else anywhere.
struct Flow {
    world: World,
    topic: &'static str,
    consumer: &'static str,
}

struct Consuming {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConsumerError>>,
}

struct Relaying {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Consuming {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

impl Relaying {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Flow {
    async fn new() -> Self {
        let (topic, consumer): (&str, &str) = (unique("test.events").leak(), unique("projection").leak());
        create_topic(topic, 1, &[]).await;
        create_topic(&dead_letters(topic, consumer), 1, &[]).await;
        let flow = Self { world: World::new().await, topic, consumer };
        flow.redirect().await;
        flow
    }

    /// The stack's own topics must not get what this test decides.
    async fn redirect(&self) {
        let owner = stack("CPQ_OWNER_DATABASE_URL");
        let url = format!("{}/{}", owner.rsplit_once('/').unwrap().0, self.world.database.name);
        let statements = format!(
            "create function cpq.of_test() returns trigger language plpgsql as $$ begin \
               if new.topic = 'cpq.quote.events.v1' then new.topic := '{topic}'; end if; \
               if starts_with(new.topic, '{topic}') then return new; end if; \
               return null; end $$; \
             create trigger of_test before insert on cpq.outbox_event for each row execute function cpq.of_test()",
            topic = self.topic
        );
        let mut owner = PgConnection::connect(&url).await.unwrap();
        owner.execute(sqlx::AssertSqlSafe(statements)).await.unwrap();
        owner.close().await.unwrap();
    }

    fn relay(&self) -> Relaying {
        let relay = Relay {
            db: self.world.database.db.clone(),
            kafka_brokers: stack("CPQ_KAFKA_BROKERS"),
            owner: unique("relay"),
            settings: RelaySettings {
                lease: Duration::from_secs(1),
                full_sweep: Duration::from_secs(1),
                ..RelaySettings::default()
            },
            status: RelayStatus::default(),
        };
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { relay.run(&Wake::default(), &Hints::disabled(), token).await });
        Relaying { stop, task }
    }

    fn consume(&self) -> Consuming {
        let host = Host {
            db: self.world.database.db.clone(),
            kafka_brokers: stack("CPQ_KAFKA_BROKERS"),
            decoder: self.world.decoder.clone(),
            wake: Wake::default(),
            hints: Hints::disabled(),
            owner: unique("owner"),
        };
        let processor = Arc::new(OfTest { consumer: self.consumer, topics: vec![self.topic].leak() });
        let stop = CancellationToken::new();
        let task = tokio::spawn(consumer::run(host, processor, ConsumerStatus::default(), stop.clone()));
        Consuming { stop, task }
    }

    async fn send(&self, rows: &[OutboxRow]) {
        let mut tx = self.world.begin().await;
        outbox::insert(&mut tx, rows).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Waits until the consumer has everything before this offset behind it.
    async fn consumed(&self, next_offset: i64) {
        let position = "select coalesce(max(next_offset), 0) from cpq.consumer_position";
        eventually(&format!("the consumer stands at {next_offset}"), || async {
            self.world.database.count(position).await >= next_offset
        })
        .await;
    }

    async fn view(&self, quote: &str) -> Option<WorkspaceRow> {
        let key = (TENANT.into(), quote.to_owned());
        let mut tx = self.world.begin().await;
        views::quotes(&mut tx, std::slice::from_ref(&key)).await.unwrap().remove(&key).map(|quote| quote.row)
    }

    async fn timeline(&self) -> Vec<(i64, String)> {
        let query = "select aggregate_sequence, event_type from cpq.customer_commercial_timeline_view \
                     order by aggregate_id, aggregate_sequence";
        self.world.database.rows(query).await.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Which transaction wrote the view's only row.
    async fn written_by(&self) -> String {
        self.world.database.rows("select xmin::text from cpq.quote_workspace_view").await[0].get(0)
    }

    async fn count(&self, query: &'static str) -> i64 {
        self.world.database.count(query).await
    }
}

fn dead_letters(topic: &str, consumer: &str) -> String {
    format!("{topic}.{consumer}.dlq")
}

fn header<'a>(record: &'a Seen, name: &str) -> &'a str {
    let found = record.headers.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name}: {:?}", record.headers))
}

/// Whether commands are delivered twice, relays share the work, or one comes back later.
#[tokio::test(flavor = "multi_thread")]
async fn outbox_publisher_publishes_quote_priced_once_per_event_id() {
    const QUOTES: usize = 12;
    let flow = Flow::new().await;
    let relays = [flow.relay(), flow.relay()];
    for n in 0..QUOTES {
        let quote = format!("Q-2026-{n:06}");
        flow.world.configured(&quote, json!([line("1", None, "fiber", "1")])).await;
        let price = price(&quote);
        flow.world.decide(&price).await;
        flow.world.decide(&price).await;
    }
    let pending = "select count(*) from cpq.outbox_event";
    eventually("all is published", || async { flow.count(pending).await == 0 }).await;
    for relay in relays {
        relay.stop().await;
    }
    let later = flow.relay();
    flow.send(&[row(TENANT, flow.topic, "last", "0")]).await;
    let seen = read_topic(flow.topic, 1, |seen| seen.iter().any(|record| record.key == "last")).await;
    later.stop().await;

    let priced = |record: &&Seen| record.key != "last" && header(record, "ce_type").contains("QuotePriced");
    let mut published: Vec<_> = seen.iter().filter(priced).map(|record| header(record, "ce_id").to_owned()).collect();
    published.sort();
    let query =
        "select event_id from cpq.transition_log where event_type = 'QuotePriced' order by event_id collate \"C\"";
    let recorded: Vec<String> = flow.world.database.rows(query).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(recorded.len(), QUOTES);
    assert_eq!(published, recorded);
}

#[tokio::test(flavor = "multi_thread")]
async fn projection_consumer_handles_duplicate_event() {
    replayed_after_three_events(2, "QuotePriced").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumer_ignores_older_aggregate_revision() {
    replayed_after_three_events(0, "QuoteCreated").await;
}

/// Publishes three events of a quote, and then one of them once more.
async fn replayed_after_three_events(which: usize, event: &str) {
    let flow = Flow::new().await;
    flow.world.configured(QUOTE, json!([line("1", None, "fiber", "1")])).await;
    flow.world.decide(&price(QUOTE)).await;
    let again = flow.world.outbox().await.remove(which);
    assert!(again.headers.iter().any(|(name, value)| name == "ce_type" && value.contains(event)), "{again:?}");

    let (relay, consumer) = (flow.relay(), flow.consume());
    flow.consumed(3).await;
    let (shown, timeline) = (flow.view(QUOTE).await.unwrap(), flow.timeline().await);
    assert_eq!((shown.status.as_str(), shown.projection_version, timeline.len()), ("PRICED", 3, 3));

    let written_by = flow.written_by().await;
    flow.send(&[again]).await;
    flow.consumed(4).await;
    assert_eq!(flow.written_by().await, written_by, "nothing is written again");
    assert_eq!((flow.view(QUOTE).await.unwrap(), flow.timeline().await), (shown, timeline));
    assert_eq!(flow.count("select count(*) from cpq.parked_record").await, 0, "a repeat is no fault");

    // And it goes on from there.
    flow.world.decide(&Sent::quote(QUOTE, "SubmitForApproval", json!({"quoteRevision": 3}))).await;
    flow.consumed(6).await;
    assert_eq!(flow.view(QUOTE).await.unwrap().status, "APPROVED");
    consumer.stop().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dlq_receives_non_deserializable_event() {
    const BYTES: &str = "this is no event";
    let flow = Flow::new().await;
    let (relay, consumer) = (flow.relay(), flow.consume());
    flow.world.draft(QUOTE).await;
    flow.consumed(1).await;
    produce(flow.topic, [(BROKEN.to_owned(), BYTES.to_owned())]).await;
    flow.consumed(2).await;
    flow.world.draft(BROKEN).await;
    flow.world.draft(LATER).await;
    flow.consumed(4).await;

    let dead = read_topic(&dead_letters(flow.topic, flow.consumer), 1, |seen| seen.len() >= 2).await;
    consumer.stop().await;
    relay.stop().await;
    assert_eq!(dead.len(), 2);
    assert_eq!((dead[0].key.as_str(), dead[0].value.as_str()), (BROKEN, BYTES));
    let from = ["dlq_topic", "dlq_consumer", "dlq_partition", "dlq_offset"].map(|name| header(&dead[0], name));
    assert_eq!(from, [flow.topic, flow.consumer, "0", "1"]);
    assert!(!header(&dead[0], "dlq_cause").is_empty());
    // What comes behind it under its key waits with it; other keys flow.
    assert_eq!(dead[1].key, BROKEN);
    assert!(header(&dead[1], "ce_type").contains("QuoteCreated"));
    assert_eq!(header(&dead[1], "dlq_cause"), "behind a parked record of the same key");
    let shown = [flow.view(QUOTE).await, flow.view(BROKEN).await, flow.view(LATER).await];
    assert_eq!(shown.map(|row| row.is_some()), [true, false, true]);
}

/// A record that comes before its predecessors holds its key, however many come behind it, until they are there.
#[tokio::test(flavor = "multi_thread")]
async fn fault_47_an_event_out_of_order_is_held_and_told_and_one_that_was_seen_is_ignored() {
    let flow = Flow::new().await;
    flow.world.configured(QUOTE, json!([line("1", None, "fiber", "1")])).await;
    flow.world.decide(&price(QUOTE)).await;
    let [first, second, third] = <[OutboxRow; 3]>::try_from(flow.world.outbox().await).unwrap();
    flow.world.database.execute("delete from cpq.outbox_event").await;
    let (relay, consumer) = (flow.relay(), flow.consume());
    flow.send(std::slice::from_ref(&first)).await;
    flow.consumed(1).await;
    flow.send(&[third, first, second]).await;
    flow.world.draft(LATER).await;
    flow.consumed(5).await;

    assert_eq!(flow.view(QUOTE).await.unwrap().projection_version, 1, "nothing is shown before its turn");
    assert!(flow.view(LATER).await.is_some(), "other keys flow");
    let parked = flow.world.database.rows("select message_key, cause from cpq.parked_key").await;
    let parked: Vec<(String, String)> = parked.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(parked, [(QUOTE.to_owned(), format!("{QUOTE} jumps from sequence 1 to 3"))], "the alert names the gap");
    assert_eq!(flow.count("select count(*) from cpq.parked_record").await, 3, "and all of it is kept");
    consumer.stop().await;
    relay.stop().await;
}

/// What a topic and its effects are after reading it once, and again from its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn fault_49_a_replay_from_offset_0_gives_the_same_state_and_has_no_effect_outside() {
    let flow = Flow::new().await;
    let sold = flow.world.presented(QUOTE).await;
    flow.world.decide(&accept(&sold)).await;
    flow.world.draft(LATER).await;
    let published = flow.count("select count(*) from cpq.outbox_event").await;
    let (relay, consumer) = (flow.relay(), flow.consume());
    flow.consumed(published).await;
    let pending = "select count(*) from cpq.outbox_event";
    eventually("all is published", || async { flow.count(pending).await == 0 }).await;
    relay.stop().await;
    consumer.stop().await;
    let once = flow.hashes().await;
    assert_eq!(once.len(), STATE.len());

    // Over what is there, and over nothing.
    for emptied in [false, true] {
        if emptied {
            flow.world
                .database
                .execute("delete from cpq.quote_workspace_view; delete from cpq.customer_commercial_timeline_view")
                .await;
            assert_ne!(flow.hashes().await, once);
        }
        flow.world.database.execute("update cpq.consumer_position set next_offset = 0").await;
        let consumer = flow.consume();
        flow.consumed(published).await;
        consumer.stop().await;
        assert_eq!(flow.hashes().await, once, "emptied: {emptied}");
        assert_eq!(flow.count(pending).await, 0, "nothing is published");
        assert_eq!(flow.count("select count(*) from cpq.parked_record").await, 0);
    }
}

/// What reading the events makes or might touch.
const STATE: [&str; 5] =
    ["quote_workspace_view", "customer_commercial_timeline_view", "quote", "transition_log", "notification"];

impl Flow {
    /// A hash of each table's rows.
    async fn hashes(&self) -> Vec<String> {
        let mut hashes = Vec::new();
        for table in STATE {
            let query = format!(
                "select '{table} ' || md5(coalesce(string_agg(to_jsonb(t)::text, ',' order by to_jsonb(t)::text), '')) from cpq.{table} t"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(query));
            hashes.push(query.fetch_one(&mut self.world.database.connect().await).await.unwrap().get(0));
        }
        hashes
    }
}
