//! `cpq verify topic`, on a topic of its own that is not in order.

use crate::support::{Database, stack, unique};
use cpq_avro::{AggregateType, Encoder, Event, EventEnvelope, Schemas, registry::Registry};
use cpq_domain::command::{Actor, ActorType};
use cpq_domain::moment::Moment;
use cpq_domain::quote::event::{QuoteEvent, QuoteOrderLinked};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::HashMap;
use std::time::Duration;

async fn encoder() -> Encoder {
    let schemas = Schemas::load().unwrap();
    let registered = Registry::new(&stack("CPQ_SCHEMA_REGISTRY_URL")).unwrap().register(&schemas).await.unwrap();
    let ids: HashMap<String, i32> = registered.into_iter().map(|schema| (schema.subject, schema.schema_id)).collect();
    Encoder::new(schemas, &ids).unwrap()
}

fn event(encoder: &Encoder, quote: &str, sequence: u64, order: &str) -> Vec<u8> {
    let envelope = EventEnvelope {
        event_id: format!("{quote}-{sequence}").into(),
        event_version: 1,
        occurred_at: Moment::from_unix_micros(sequence as i64).unwrap(),
        tenant_id: "t".into(),
        aggregate_type: AggregateType::Quote,
        aggregate_id: quote.to_owned(),
        aggregate_revision: 1,
        aggregate_sequence: sequence,
        correlation_id: "x".into(),
        causation_id: None,
        actor: Actor { actor_id: "alice".into(), actor_type: ActorType::User },
    };
    let linked = QuoteOrderLinked { order_id: order.into() };
    encoder.event(&envelope, &Event::Quote(QuoteEvent::QuoteOrderLinked(linked))).unwrap()
}

/// A topic with these records of one partition.
async fn topic_with(records: Vec<(&str, Vec<u8>)>) -> String {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", stack("CPQ_KAFKA_BROKERS"));
    let (admin, topic): (AdminClient<DefaultClientContext>, _) = (config.create().unwrap(), unique("cpq-cli-test"));
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    for result in admin.create_topics(&[new], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    let producer: FutureProducer = config.create().unwrap();
    for (key, value) in &records {
        let record = FutureRecord::to(&topic).key(*key).payload(value).partition(0);
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
    topic
}

async fn delete(topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", stack("CPQ_KAFKA_BROKERS")).create().unwrap();
    admin.delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
}

#[tokio::test]
async fn a_topic_in_order_with_identical_repeats_is_proven() {
    let (database, encoder) = (Database::migrated().await, encoder().await);
    let records = vec![
        ("Q-1", event(&encoder, "Q-1", 1, "o")),
        ("Q-2", event(&encoder, "Q-2", 1, "o")),
        ("Q-1", event(&encoder, "Q-1", 2, "o")),
        ("Q-1", event(&encoder, "Q-1", 1, "o")),
        ("Q-1", event(&encoder, "Q-1", 3, "o")),
    ];
    let topic = topic_with(records).await;
    let proof = database.cpq(&format!("verify topic {topic} --from-beginning -o json")).expect(0).json();
    let numbers = &proof["numbers"][0];
    assert_eq!((&numbers["records"], &numbers["aggregates"], &numbers["repeats"]), (&5.into(), &2.into(), &1.into()));
    delete(&topic).await;
}

#[tokio::test]
async fn gaps_conflicts_wrong_keys_and_poison_are_found_each_at_its_offset() {
    let (database, encoder) = (Database::migrated().await, encoder().await);
    let records = vec![
        ("Q-1", event(&encoder, "Q-1", 1, "o")),
        ("Q-1", event(&encoder, "Q-1", 3, "o")),
        ("Q-1", event(&encoder, "Q-1", 3, "another")),
        ("Q-9", event(&encoder, "Q-2", 1, "o")),
        ("Q-3", b"poison".to_vec()),
        ("Q-4", event(&encoder, "Q-4", 2, "o")),
    ];
    let topic = topic_with(records).await;
    let proof = database.cpq(&format!("verify topic {topic} -o json")).expect(1).json();
    let found: Vec<(String, String)> = proof["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["place"].as_str().unwrap().to_owned(), f["detail"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        (1, "a gap"),
        (2, "repeated with other content"),
        (3, "the key is 'Q-9'"),
        (4, "not in Confluent's wire format"),
        (5, "begins at sequence 2, not 1"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((place, detail), (offset, words)) in found.iter().zip(expected) {
        assert_eq!(*place, format!("{topic}[0]@{offset}"));
        assert!(detail.contains(words), "{detail}");
    }
    delete(&topic).await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_a_wrong_call() {
    let database = Database::migrated().await;
    let said = database.cpq("verify topic cpq.nothing.v1").expect(2);
    assert!(said.err.contains("there is no topic cpq.nothing.v1"), "{said:?}");
}
