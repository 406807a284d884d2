//! What others may read: Confluent's own Python client reads all events and states of the running stack, with
//! one deal of this test among them; and tells what is wrong with topics that are.
//! Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::Crm;
use cpq_e2e::deal::{Deal, Printer};
use cpq_e2e::settings::{repository, variable};
use cpq_e2e::{operator, truth};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rstest::rstest;
use serde_json::json;
use sqlx::{Row as _, postgres::PgRow};
use std::collections::HashMap;
use std::process::Output;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use ulid::Ulid;

/// Whatever must come has come by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked again.
const PAUSE: Duration = Duration::from_millis(100);

fn crm(actor: &str, role: &str) -> Crm {
    let base = format!("http://{}", variable("CPQ_HTTP_ADDR").unwrap());
    Crm::new(&base, operator::token("tenant-acme", actor, &[role]).unwrap()).unwrap()
}

/// A deal that a manager approves and that is fulfilled: it has aggregates of every type.
async fn deal() -> Deal {
    let people = HashMap::from([
        ("sales", crm("alice", "sales-rep")),
        ("approver", crm("bob", "approver")),
        ("orders", crm("olga", "order-manager")),
    ]);
    let correlation_id = format!("test-outsider-{}", Ulid::generate());
    let printer = Printer { colour: false };
    let mut deal = Deal { people, correlation_id, printer, quote: String::new(), revision: 0, order: String::new() };
    deal.create("acct-1002", "USD", 12).await.unwrap();
    let line = json!({"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": "20", "action": "ADD"});
    deal.configure(json!([line])).await.unwrap();
    deal.price("12").await.unwrap();
    deal.submit().await.unwrap();
    deal.decide("approver", "APPROVE").await.unwrap();
    deal.close().await.unwrap();
    deal.order_becomes(&["COMPLETED"]).await.unwrap();
    // The last of each aggregate.
    deal.facts(&["QuoteOrderLinked", "OrderCompleted", "UserTaskCompleted", "ProcessStarted"]).await.unwrap();
    deal
}

/// The deal's aggregates and how far each has come, as `TYPE/ID=SEQUENCE`; nothing of them waits to be published.
async fn aggregates_of(deal: &Deal) -> Vec<String> {
    let mut connection = truth::over_all_tenants().await.unwrap();
    let query = "with a as ( \
          select aggregate_type as type, aggregate_id as id, max(aggregate_sequence) as sequence \
            from cpq.transition_log where aggregate_id in ($1, $2) group by 1, 2 \
          union all select aggregate_type, business_key, sequence from cpq.workflow_instance \
            where correlation_id = $3) \
        select type, id, sequence, exists (select from cpq.outbox_event o where o.message_key = a.id) from a order by 1";
    let began = Instant::now();
    loop {
        let rows = sqlx::query(query).bind(&deal.quote).bind(&deal.order).bind(&deal.correlation_id);
        let rows = rows.fetch_all(&mut connection).await.unwrap();
        if !rows.iter().any(|row| row.get::<bool, _>(3)) {
            let text =
                |row: &PgRow| format!("{}/{}={}", row.get::<&str, _>(0), row.get::<&str, _>(1), row.get::<i64, _>(2));
            return rows.iter().map(text).collect();
        }
        assert!(began.elapsed() < PATIENCE, "the outbox still holds messages of the deal");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets the outsider read; the script brings what it needs.
async fn read(arguments: Vec<String>) -> Output {
    tokio::process::Command::new("deploy/python.sh")
        .arg("e2e/python/read_topics.py")
        .args(arguments)
        .current_dir(repository())
        .output()
        .await
        .unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn an_outsider_reads_every_aggregate_of_a_deal_whole_and_without_a_gap() {
    let aggregates = aggregates_of(&deal().await).await;
    let types: Vec<&str> = aggregates.iter().map(|aggregate| aggregate.split('/').next().unwrap()).collect();
    assert_eq!(types, ["APPROVAL", "FULFILMENT", "ORDER", "QUOTE"]);
    let wanted = aggregates.iter().flat_map(|aggregate| ["--whole".to_owned(), aggregate.clone()]).collect();
    let output = read(wanted).await;
    assert!(output.status.success(), "{}", told(&output));
    let summary = told(&output);
    println!("{aggregates:?}\n{summary}");
    assert!(
        summary.starts_with("5 topics: ") && summary.ends_with("; 4 read whole as wanted; 0 faults\n"),
        "{summary}"
    );
}

/// A record as it stood on its topic.
#[derive(Clone)]
struct Copied {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

impl Copied {
    fn of(message: &BorrowedMessage) -> Self {
        let owned = message.detach();
        Self {
            key: owned.key().unwrap_or_default().to_vec(),
            value: owned.payload().map(<[u8]>::to_vec),
            headers: owned.headers().cloned().unwrap_or_default(),
        }
    }

    /// The record with these bytes in place of those, which stand in it once or more.
    fn with(mut self, old: &str, new: &str) -> Self {
        assert_eq!(old.len(), new.len());
        let value = self.value.as_mut().unwrap();
        let places: Vec<_> = (0..value.len()).filter(|at| value[*at..].starts_with(old.as_bytes())).collect();
        assert!(!places.is_empty(), "{old} does not stand in the record");
        for at in places {
            value[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
        self
    }
}

fn kafka() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", variable("CPQ_KAFKA_BROKERS").unwrap());
    config
}

/// The first records of one aggregate on a topic of the product.
fn first_records(topic: &str, key: &str, count: usize) -> Vec<Copied> {
    let consumer: BaseConsumer = kafka().set("group.id", "test-outsider").create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut found, began) = (Vec::new(), Instant::now());
    while found.len() < count {
        assert!(began.elapsed() < PATIENCE, "{topic} has only {} records of {key}", found.len());
        let Some(Ok(message)) = consumer.poll(PAUSE) else { continue };
        if message.key() == Some(key.as_bytes()) {
            found.push(Copied::of(&message));
        }
    }
    found
}

/// A quote's id, its first four events and its first state.
type Sample = (String, Vec<Copied>, Copied);

/// Made once for all cases.
async fn sample() -> Sample {
    static SAMPLE: OnceCell<Sample> = OnceCell::const_new();
    let make = || async {
        let people = HashMap::from([("sales", crm("alice", "sales-rep"))]);
        let correlation_id = format!("test-outsider-{}", Ulid::generate());
        let printer = Printer { colour: false };
        let (quote, order) = (String::new(), String::new());
        let mut deal = Deal { people, correlation_id, printer, quote, revision: 0, order };
        deal.create("acct-1001", "USD", 12).await.unwrap();
        let line = json!({"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": "1", "action": "ADD"});
        for _ in 0..3 {
            deal.configure(json!([line])).await.unwrap();
        }
        let quote = deal.quote;
        tokio::task::spawn_blocking(move || {
            let events = first_records("cpq.quote.events.v1", &quote, 4);
            let state = first_records("cpq.quote.state.v1", &quote, 1).remove(0);
            (quote, events, state)
        })
        .await
        .unwrap()
    };
    SAMPLE.get_or_init(make).await.clone()
}

/// Puts the records on an events and a state topic of one partition each, whose names begin with `prefix`.
async fn publish(prefix: &str, topics: Topics) {
    let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
    let producer: FutureProducer = kafka().create().unwrap();
    for (kind, records) in [("events", topics.events), ("state", topics.states)] {
        let topic = format!("{prefix}.quote.{kind}.v1");
        let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
        admin.create_topics(&[new], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        for Copied { key, value, headers } in records {
            let record = FutureRecord { payload: value.as_ref(), ..FutureRecord::to(&topic) };
            producer.send(record.key(&key).headers(headers), PATIENCE).await.unwrap();
        }
    }
}

async fn remove(prefix: &str) {
    let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
    let names = ["events", "state"].map(|kind| format!("{prefix}.quote.{kind}.v1"));
    admin.delete_topics(&[&names[0], &names[1]], &AdminOptions::new()).await.unwrap();
}

/// What the topics hold when they are read.
struct Topics {
    events: Vec<Copied>,
    states: Vec<Copied>,
}

#[rstest]
#[case::nothing(|_: &mut Topics| (), 0, "4 events of 1 aggregates, 0 identical repeats; 1 states of 1")]
#[case::a_repeat(
    |t: &mut Topics| t.events.insert(3, t.events[1].clone()), 0, "5 events of 1 aggregates, 1 identical repeats"
)]
#[case::a_gap(|t: &mut Topics| drop(t.events.remove(1)), 1, "goes on with sequence 3 after 1")]
#[case::a_lost_beginning(|t: &mut Topics| drop(t.events.remove(0)), 1, "goes on with sequence 2 after 0")]
#[case::an_inversion(|t: &mut Topics| t.events.swap(1, 2), 1, "goes on with sequence 3 after 1")]
#[case::another_event_of_a_sequence(
    |t: &mut Topics| t.events.push(t.events[1].clone().with("cloud-voice", "cloud-vOice")),
    1,
    "sequence 2 was another event before"
)]
#[case::another_key(|t: &mut Topics| t.events[1].key = b"Q-1".to_vec(), 1, "the key is b'Q-1'")]
#[case::missing_headers(|t: &mut Topics| t.events[1].headers = OwnedHeaders::new(), 1, "the header ce_id is None")]
#[case::another_format(|t: &mut Topics| t.events[1].value = Some(b"{}".to_vec()), 1, "cannot be decoded")]
#[case::a_tombstone(|t: &mut Topics| t.states[0].value = None, 1, "a tombstone")]
#[tokio::test]
async fn the_outsider_tells(#[case] damage: fn(&mut Topics), #[case] code: i32, #[case] words: &str) {
    let (_, events, state) = sample().await;
    let (mut topics, prefix) = (Topics { events, states: vec![state] }, format!("test-{}", Ulid::generate()));
    damage(&mut topics);
    publish(&prefix, topics).await;
    let output = read(vec!["--prefix".to_owned(), prefix.clone()]).await;
    remove(&prefix).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
    assert!(said.contains("2 topics: "), "{said}");
}

#[tokio::test]
async fn the_outsider_tells_an_aggregate_that_is_not_all_there() {
    let (quote, events, state) = sample().await;
    let prefix = format!("test-{}", Ulid::generate());
    publish(&prefix, Topics { events, states: vec![state] }).await;
    let wanted = vec!["--prefix".to_owned(), prefix.clone(), "--whole".to_owned(), format!("QUOTE/{quote}=5")];
    let output = read(wanted).await;
    remove(&prefix).await;
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("4 of 5 events were read"), "{said}");
    assert!(said.contains("the newest state is of sequence 1, not 5"), "{said}");
}

#[tokio::test]
async fn the_outsider_does_not_take_missing_topics_for_sound_ones() {
    let output = read(vec!["--prefix".to_owned(), "nobody".to_owned()]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("no events or state topics of nobody"), "{}", told(&output));
}
