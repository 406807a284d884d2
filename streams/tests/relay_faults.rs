//! The relay before a broker that dies, keeps silent or fails it for good, and beside a producer in Java. What a
//! broker does not do when asked comes from librdkafka's own broker; the partitions come from the real one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use cpq_runtime::wake::Wake;
use cpq_state_stores::hints::Hints;
use cpq_state_stores::outbox;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use streams::relay::{Relay, RelaySettings, RelayStatus};
use support::{Seen, TestDatabase, create_topic, eventually, read_from, read_topic, row, unique};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TENANT: &str = "tenant-test";
const TOPIC: &str = "test.relay";
const PARTITIONS: i32 = 3;
/// The only broker.
const BROKER: i32 = 1;
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(100);
const KEYS: usize = 20;
/// The key of what no relay sends.
const CONTROL: &str = "control";

type Broker = MockCluster<'static, DefaultProducerContext>;

fn broker() -> Broker {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    broker
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(database: &TestDatabase, brokers: &str) -> Self {
        let relay = Relay {
            db: database.db.clone(),
            kafka_brokers: brokers.to_owned(),
            owner: unique("relay"),
            settings: RelaySettings { lease: Duration::from_secs(1), ..RelaySettings::default() },
            status: RelayStatus::default(),
        };
        let stop = CancellationToken::new();
        let of_task = stop.clone();
        let task = tokio::spawn(async move { relay.run(&Wake::default(), &Hints::disabled(), of_task).await });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A message of every key.
async fn insert(database: &TestDatabase, topic: &str, n: usize) {
    let rows: Vec<_> = (0..KEYS).map(|key| row(TENANT, topic, &format!("key-{key}"), &n.to_string())).collect();
    let mut tx = database.db.begin(&[TENANT.into()]).await.unwrap();
    outbox::insert(&mut tx, &rows).await.unwrap();
    tx.commit().await.unwrap();
}

async fn pending(database: &TestDatabase) -> i64 {
    database.count("select count(*) from cpq.outbox_event").await
}

async fn all_sent(database: &TestDatabase) {
    eventually("the outbox is empty", || async { pending(database).await == 0 }).await;
}

/// Every key has its messages in order and without gap; a repeat is identical to what it repeats.
fn assert_in_order(seen: &[Seen], rounds: usize) {
    let mut firsts: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut ids: HashMap<&str, (&str, &str)> = HashMap::new();
    for record in seen {
        let id = record.headers.iter().find(|(name, _)| name == "ce_id").unwrap().1.as_str();
        let known = ids.entry(id).or_insert((&record.key, &record.value));
        assert_eq!(*known, (record.key.as_str(), record.value.as_str()), "{id} is two things");
        let (values, value) = (firsts.entry(&record.key).or_default(), record.value.parse().unwrap());
        if !values.contains(&value) {
            values.push(value);
        }
    }
    assert_eq!(firsts.len(), KEYS);
    for (key, values) in firsts {
        assert_eq!(values, (0..rounds).collect::<Vec<_>>(), "{key}");
    }
}

/// The topic, once it has this many different messages, and this many in all.
async fn everything(broker: &Broker, different: usize, in_all: usize) -> Vec<Seen> {
    read_from(&broker.bootstrap_servers(), TOPIC, PARTITIONS, move |seen| {
        let of_ours = seen.iter().filter(|record| record.key != CONTROL);
        let ids: HashSet<_> = of_ours.map(|record| (&record.key, &record.value)).collect();
        ids.len() >= different && seen.len() >= in_all
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_broker_that_dies_under_load_loses_nothing() {
    let (database, broker) = (TestDatabase::create().await, broker());
    let relay = Running::start(&database, &broker.bootstrap_servers());
    let mut n = 0;
    for _ in 0..3 {
        // Slow enough that messages are on their way when it dies.
        broker.broker_round_trip_time(BROKER, Duration::from_millis(300)).unwrap();
        for _ in 0..20 {
            insert(&database, TOPIC, n).await;
            n += 1;
        }
        assert!(pending(&database).await > 0, "nothing was on its way");
        broker.broker_down(BROKER).unwrap();
        insert(&database, TOPIC, n).await;
        n += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(pending(&database).await >= KEYS as i64, "what was committed without a broker waits");
        broker.broker_up(BROKER).unwrap();
    }
    broker.broker_round_trip_time(BROKER, Duration::ZERO).unwrap();
    all_sent(&database).await;
    assert_in_order(&everything(&broker, n * KEYS, 0).await, n);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_26_what_was_never_acknowledged_stays_pending_and_is_sent_again_as_it_was() {
    let (database, broker) = (TestDatabase::create().await, broker());
    insert(&database, TOPIC, 0).await;
    let relay = Running::start(&database, &broker.bootstrap_servers());
    all_sent(&database).await;
    // From now on it takes everything and says nothing.
    broker.broker_round_trip_time(BROKER, FOR_EVER).unwrap();
    insert(&database, TOPIC, 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(pending(&database).await, KEYS as i64, "the outcome is unknown");
    relay.task.abort();
    broker.broker_round_trip_time(BROKER, Duration::ZERO).unwrap();
    let relay = Running::start(&database, &broker.bootstrap_servers());
    all_sent(&database).await;
    let seen = everything(&broker, 2 * KEYS, 3 * KEYS).await;
    assert_eq!(seen.len(), 3 * KEYS, "the broker had them, and got them again");
    assert_in_order(&seen, 2);
    relay.stop().await;
}

/// What ends a producer for good.
const FATAL: [RDKafkaRespErr; 1] = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER];

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_after_a_fatal_error_a_new_producer_goes_on_from_what_is_pending() {
    let (database, broker) = (TestDatabase::create().await, broker());
    broker.request_errors(RDKafkaApiKey::Produce, &FATAL);
    assert!(dies(&broker.bootstrap_servers()), "the error is none that ends a producer");

    let relay = Running::start(&database, &broker.bootstrap_servers());
    let mut n = 0;
    for _ in 0..3 {
        // The next request, whichever it is, gets the error.
        broker.request_errors(RDKafkaApiKey::Produce, &FATAL);
        for _ in 0..10 {
            insert(&database, TOPIC, n).await;
            n += 1;
        }
        all_sent(&database).await;
    }
    let mut seen = everything(&broker, n * KEYS, 0).await;
    seen.retain(|record| record.key != CONTROL);
    assert_in_order(&seen, n);
    relay.stop().await;
}

/// Whether a producer as the relay has it ends for good at the next message.
fn dies(brokers: &str) -> bool {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .create()
        .unwrap();
    producer.send(BaseRecord::to(TOPIC).key(CONTROL).payload("0")).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && producer.client().fatal_error().is_none() && producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(50));
    }
    producer.client().fatal_error().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_31_a_producer_in_java_puts_each_key_on_the_same_partition() {
    const WIDTH: i32 = 12;
    let (database, topic) = (TestDatabase::create().await, unique("test.relay"));
    create_topic(&topic, WIDTH, &[]).await;
    // Keys as they are in use, and such whose bytes are not ASCII.
    let keys: Vec<String> =
        (0..100).flat_map(|n| [format!("Q-2026-{n:06}"), format!("O-2026-{n:06}:1"), format!("käufer-{n}")]).collect();
    let rows: Vec<_> = keys.iter().map(|key| row(TENANT, &topic, key, "rust")).collect();
    let mut tx = database.db.begin(&[TENANT.into()]).await.unwrap();
    outbox::insert(&mut tx, &rows).await.unwrap();
    tx.commit().await.unwrap();
    let relay = Running::start(&database, &support::stack("CPQ_KAFKA_BROKERS"));
    all_sent(&database).await;
    relay.stop().await;
    let (of_java, to) = (keys.clone(), topic.clone());
    tokio::task::spawn_blocking(move || produce_in_java(&to, &of_java)).await.unwrap();

    let count = 2 * keys.len();
    let seen = read_topic(&topic, WIDTH, move |seen| seen.len() >= count).await;
    let partitions = |value: &str| -> BTreeMap<&str, i32> {
        seen.iter().filter(|record| record.value == value).map(|r| (r.key.as_str(), r.partition)).collect()
    };
    let (rust, java) = (partitions("rust"), partitions("java"));
    assert_eq!(rust.len(), keys.len());
    assert_eq!(rust, java);
    let used: std::collections::BTreeSet<_> = rust.values().collect();
    assert_eq!(used.len(), WIDTH as usize, "the keys are spread over all partitions");
}

fn produce_in_java(topic: &str, keys: &[String]) {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kafka-tool.sh");
    let mut java = Command::new(tool)
        .args(["ConsoleProducer", "--bootstrap-server", &support::stack("CPQ_KAFKA_BROKERS"), "--topic", topic])
        .args(["--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines: String = keys.iter().map(|key| format!("{key}\tjava\n")).collect();
    java.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(java.wait().unwrap().success());
}
