//! `cpq verify restore`: a database that is older than its topics, and the other way round.

use crate::support::{Database, stack, unique};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

fn kafka() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", stack("CPQ_KAFKA_BROKERS"));
    config
}

/// A topic of facts, one for each event id, of one quote.
async fn facts(events: &[&str]) -> String {
    let (admin, topic): (AdminClient<DefaultClientContext>, _) = (kafka().create().unwrap(), unique("cpq-cli-test"));
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    for result in admin.create_topics(&[new], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    let producer: FutureProducer = kafka().create().unwrap();
    for event in events {
        let header = |key, value| Header { key, value: Some(value) };
        let headers = OwnedHeaders::new().insert(header("ce_id", *event)).insert(header("tenant_id", "t"));
        let record = FutureRecord::to(&topic).key("Q-1").payload("x").headers(headers).partition(0);
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
    topic
}

async fn delete(topic: &str) {
    let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
    admin.delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
}

/// Records the events as transitions.
async fn record(database: &Database, events: &[&str]) {
    let mut connection = database.connect().await;
    for (index, event) in events.iter().enumerate() {
        sqlx::query(
            "insert into cpq.transition_log (tenant_id, aggregate_type, aggregate_id, aggregate_sequence, aggregate_revision, event_id, \
               event_type, to_status, actor_id, actor_type, correlation_id, causation_id, payload, occurred_at) \
             values ('t', 'QUOTE', 'Q-1', $1, 1, $2, 'QuotePriced', 'PRICED', 'alice', 'USER', 'x', 'c', '{}', now())",
        )
        .bind(index as i64 + 1)
        .bind(event)
        .execute(&mut connection)
        .await
        .unwrap();
    }
}

async fn stands_at(database: &Database, consumer: &str, topic: &str, next_offset: i64) {
    sqlx::query(
        "insert into cpq.consumer_position (consumer, topic, partition, next_offset, epoch, owner) values ($1, $2, 0, $3, 1, 'test')",
    )
    .bind(consumer)
    .bind(topic)
    .bind(next_offset)
    .execute(&mut database.connect().await)
    .await
    .unwrap();
}

fn tells_kafka(consumer: &str, topic: &str, offset: i64) {
    let group: BaseConsumer = kafka().set("group.id", format!("cpq-{consumer}")).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    group.commit(&list, CommitMode::Sync).unwrap();
}

#[tokio::test]
async fn fault_23_facts_and_positions_that_an_older_database_does_not_know_are_found() {
    let (database, topic, consumer) =
        (Database::migrated().await, facts(&["e1", "e2", "e3"]).await, unique("consumer"));
    record(&database, &["e1", "e2", "e3"]).await;
    stands_at(&database, &consumer, &topic, 3).await;
    tells_kafka(&consumer, &topic, 3);
    let line = format!("verify restore {topic} -o json");
    let agreed = database.cpq(&line).expect(0).json();
    assert_eq!((&agreed["numbers"]["facts"], &agreed["numbers"]["positions"]), (&3.into(), &1.into()));

    // What the restore takes back.
    database.execute("delete from cpq.transition_log where event_id <> 'e1'").await;
    database.execute("update cpq.consumer_position set next_offset = 1").await;
    let older = database.cpq(&line).expect(1).json();
    let found: Vec<&str> =
        older["findings"].as_array().unwrap().iter().map(|f| f["detail"].as_str().unwrap()).collect();
    assert_eq!(
        found,
        [
            "stands at 1, but has told Kafka 3: the database is older",
            "e2 of t Q-1 was published and is not recorded",
            "e3 of t Q-1 was published and is not recorded",
        ]
    );
    database.execute("update cpq.consumer_position set next_offset = 4").await;
    let said = database.cpq(&line).expect(1);
    assert!(said.out.contains("stands at 4, beyond the topic's end 3: the topic is older"), "{said:?}");
    delete(&topic).await;
}
