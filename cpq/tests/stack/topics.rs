//! `cpq topics`, on topics of its own.

use crate::support::{Database, stack, unique};
use cpq_avro::topics::{self, Topic};
use cpq_cli::topics::{Cluster, Difference, apply, differences};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

/// One of the real topics under a name of its own.
fn own_topic() -> Topic {
    let topic = topics::load().unwrap().into_iter().find(|topic| topic.name == topics::QUOTE_EVENTS).unwrap();
    Topic { name: unique("cpq-cli-test"), ..topic }
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", stack("CPQ_KAFKA_BROKERS")).create().unwrap()
}

async fn delete(topic: &Topic) {
    for result in admin().delete_topics(&[&topic.name], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_missing_topic_is_created_and_applying_again_does_nothing() {
    let (cluster, topic) = (Cluster::connect(&stack("CPQ_KAFKA_BROKERS")).unwrap(), own_topic());
    let wanted = [topic.clone()];
    let first = apply(&cluster, &wanted).await.unwrap();
    assert!(matches!(first.as_slice(), [Difference::Create(_)]), "{first:?}");
    assert_eq!(apply(&cluster, &wanted).await.unwrap(), []);
    delete(&topic).await;
}

#[tokio::test]
async fn a_setting_that_somebody_changed_is_set_back_and_one_of_theirs_stays() {
    let (cluster, topic) = (Cluster::connect(&stack("CPQ_KAFKA_BROKERS")).unwrap(), own_topic());
    let wanted = [topic.clone()];
    apply(&cluster, &wanted).await.unwrap();
    let changed = AlterConfig::new(ResourceSpecifier::Topic(&topic.name))
        .set("retention.ms", "60000")
        .set("segment.ms", "3600000");
    admin().alter_configs(&[changed], &AdminOptions::new()).await.unwrap();
    let applied = apply(&cluster, &wanted).await.unwrap();
    assert!(applied[0].to_string().contains("retention.ms 60000 -> -1"), "{applied:?}");
    let actual = cluster.describe(&wanted).await.unwrap();
    assert_eq!(actual[&topic.name].own.get("segment.ms").map(String::as_str), Some("3600000"));
    assert_eq!(differences(&wanted, &actual), []);
    delete(&topic).await;
}

/// Fault 30.
#[tokio::test]
async fn another_partition_count_is_refused_and_nothing_is_changed() {
    let (cluster, topic) = (Cluster::connect(&stack("CPQ_KAFKA_BROKERS")).unwrap(), own_topic());
    apply(&cluster, std::slice::from_ref(&topic)).await.unwrap();
    let other = own_topic();
    let wanted = [Topic { partitions: topic.partitions + 1, ..topic.clone() }, other.clone()];
    let refused = apply(&cluster, &wanted).await.unwrap_err();
    assert!(refused.message().contains("nothing was changed") && refused.message().contains("cpq lag"), "{refused:?}");
    assert!(!cluster.describe(&wanted).await.unwrap().contains_key(&other.name));
    delete(&topic).await;
}

#[tokio::test]
async fn the_stack_has_the_topics_of_the_list() {
    let database = Database::migrated().await;
    let plan = database.cpq("topics plan -o json").expect(0).json();
    assert_eq!(plan["changes"].as_array().map(Vec::len), Some(0), "{plan}");
}
