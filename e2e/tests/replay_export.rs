//! Topics exported to Parquet: read back by Apache Arrow's own reader and compared with the topic, record by record,
//! by a Python program that shares no code with the product. Needs the running stack: through `make test`, or
//! `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::history::History;
use cpq_e2e::load::{deal, fulfilled, sales};
use cpq_e2e::{settings, truth};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rstest::rstest;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use ulid::Ulid;

/// Whatever must happen has happened by then.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked again.
const PAUSE: Duration = Duration::from_millis(5);

fn command(topic: &str, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(settings::program("cpq").unwrap());
    command.args(["--output", "json", "replay", "export", "--topic", topic, "--out"]).arg(out).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Exports, and gives what was done.
async fn export(topic: &str, out: &Path, more: &[&str]) -> Value {
    let output = command(topic, out, more).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the other reader says of the folder.
async fn compared(out: &Path) -> String {
    let mut reader = Command::new("deploy/python.sh");
    reader.arg("e2e/python/read_export.py").arg(out).current_dir(settings::repository()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, reader.output()).await.expect("the reader does not end").unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    told
}

fn kafka() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", settings::variable("CPQ_KAFKA_BROKERS").unwrap());
    config
}

#[rstest]
#[case::events("cpq.quote.events.v1")]
#[case::states("cpq.quote.state.v1")]
#[case::commands("cpq.quote.commands.v1")]
#[tokio::test]
async fn an_export_in_several_runs_holds_every_record_once_as_it_is_on_the_topic(#[case] topic: &str) {
    let (folder, crm) = (tempfile::tempdir().unwrap(), sales(&History::default()).unwrap());
    deal(&crm, false).await.unwrap();
    let first = export(topic, folder.path(), &[]).await;
    deal(&crm, false).await.unwrap();
    let second = export(topic, folder.path(), &[]).await;
    assert!(first["records"].as_u64().unwrap() > 0 && second["records"].as_u64().unwrap() > 0, "{first} {second}");
    let all = first["records"].as_u64().unwrap() + second["records"].as_u64().unwrap();
    let files = first["files"].as_array().unwrap().len() + second["files"].as_array().unwrap().len();
    let told = compared(folder.path()).await;
    // What others have put there by mistake is exported too, as bytes.
    let undecodable = first["undecodable"].as_u64().unwrap() + second["undecodable"].as_u64().unwrap();
    let expected = format!("{topic}: {all} records in {files} files, {undecodable} undecodable; 0 differences\n");
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_killed_export_goes_on_where_it_ended() {
    let (folder, crm) = (tempfile::tempdir().unwrap(), sales(&History::default()).unwrap());
    deal(&crm, false).await.unwrap();
    let mut killed = command("cpq.quote.events.v1", folder.path(), &[]).spawn().unwrap();
    let began = Instant::now();
    while !folder.path().join("manifest.json").exists() {
        assert!(began.elapsed() < PATIENCE, "nothing is exported");
        tokio::time::sleep(PAUSE).await;
    }
    killed.kill().await.unwrap();
    let manifest = std::fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let before = manifest["nextOffsets"].as_object().unwrap().len();
    assert!(before < 6, "it had ended before it was killed");
    let rest = export("cpq.quote.events.v1", folder.path(), &[]).await;
    assert!(rest["records"].as_u64().unwrap() > 0, "{rest}");
    let told = compared(folder.path()).await;
    assert!(told.ends_with("; 0 differences\n"), "{told}");
}

#[tokio::test]
async fn an_export_can_be_of_one_key_and_of_a_span_of_time() {
    let (crm, topic) = (sales(&History::default()).unwrap(), "cpq.quote.events.v1");
    let before = time::OffsetDateTime::now_utc();
    let quote = deal(&crm, false).await.unwrap();
    // By then the last event of the quote, which links its order, is published.
    fulfilled(&crm, &quote).await.unwrap();
    let count = sqlx::query_scalar("select count(*) from cpq.transition_log where aggregate_id = $1").bind(&quote);
    let events: i64 = count.fetch_one(&mut truth::over_all_tenants().await.unwrap()).await.unwrap();
    let format = &time::format_description::well_known::Rfc3339;
    let before = before.format(format).unwrap();

    let of_key = tempfile::tempdir().unwrap();
    let report = export(topic, of_key.path(), &["--key", &quote]).await;
    assert_eq!(report["records"], events, "{report}");
    compared(of_key.path()).await;

    let since = tempfile::tempdir().unwrap();
    let report = export(topic, since.path(), &["--key", &quote, "--from", &before]).await;
    assert_eq!(report["records"], events, "{report}");
    let until = tempfile::tempdir().unwrap();
    let report = export(topic, until.path(), &["--key", &quote, "--to", &before]).await;
    assert_eq!(report["records"], 0, "{report}");
    compared(until.path()).await;

    // One folder, one export.
    let other = command(topic, until.path(), &[]).output().await.unwrap();
    assert_eq!(other.status.code(), Some(2), "{}", String::from_utf8_lossy(&other.stderr));
}

/// The first record of a topic of the product.
fn first_value(topic: &str) -> Vec<u8> {
    let consumer: BaseConsumer = kafka().set("group.id", "test-replay-export").create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let message = consumer.poll(PATIENCE).unwrap().unwrap();
    message.payload().unwrap().to_vec()
}

#[tokio::test]
async fn a_record_that_cannot_be_decoded_is_exported_as_its_bytes() {
    let topic = format!("test-{}", Ulid::generate());
    let crm = sales(&History::default()).unwrap();
    deal(&crm, false).await.unwrap();
    let good = tokio::task::spawn_blocking(|| first_value("cpq.quote.events.v1")).await.unwrap();
    let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    admin.create_topics(&[new], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let producer: FutureProducer = kafka().create().unwrap();
    let cut = good[..good.len() - 1].to_vec();
    for value in [good, b"{}".to_vec(), cut, vec![0, 0x7f, 0xff, 0xff, 0xff]] {
        producer.send(FutureRecord::to(&topic).key("Q-1").payload(&value), PATIENCE).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let report = export(&topic, folder.path(), &[]).await;
    assert_eq!((&report["records"], &report["undecodable"]), (&json!(4), &json!(3)), "{report}");
    let told = compared(folder.path()).await;
    assert_eq!(told, format!("{topic}: 4 records in 1 files, 3 undecodable; 0 differences\n"));
    admin.delete_topics(&[&topic], &AdminOptions::new()).await.unwrap();
}
