//! Topics in a real cluster: asking for them, creating them, altering their settings.

use super::difference::{ActualTopic, Difference};
use crate::Failure;
use crate::kafka::{REQUEST_TIMEOUT, client};
use cpq_avro::topics::Topic;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use std::collections::HashMap;

/// Leaves the replication factor to the cluster's own default.
const CLUSTER_DEFAULT_REPLICATION: i32 = -1;

/// A connection that may change topics.
pub struct Cluster {
    admin: AdminClient<DefaultClientContext>,
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Failure {
    let what = format!("Kafka: {what}");
    move |cause| Failure::failed(format!("{what}: {cause}"))
}

impl Cluster {
    pub fn connect(brokers: &str) -> Result<Self, Failure> {
        Ok(Self { admin: client(brokers).create().map_err(failed("cannot make a client"))? })
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
    }

    /// Those of the wanted topics that the cluster has.
    pub async fn describe(&self, wanted: &[Topic]) -> Result<HashMap<String, ActualTopic>, Failure> {
        let partitions = self.partitions()?;
        let known: Vec<&str> =
            wanted.iter().map(|topic| topic.name.as_str()).filter(|name| partitions.contains_key(*name)).collect();
        if known.is_empty() {
            return Ok(HashMap::new());
        }
        let asked: Vec<ResourceSpecifier> = known.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answers = self
            .admin
            .describe_configs(&asked, &Self::options())
            .await
            .map_err(failed("cannot ask for the topics' settings"))?;
        let mut topics = HashMap::new();
        for answer in answers {
            let resource = answer.map_err(failed("cannot ask for a topic's settings"))?;
            if let OwnedResourceSpecifier::Topic(name) = &resource.specifier {
                let count = partitions.get(name).copied().unwrap_or_default();
                topics.insert(name.clone(), actual(count, &resource));
            }
        }
        Ok(topics)
    }

    fn partitions(&self) -> Result<HashMap<String, u32>, Failure> {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(failed("cannot list the topics; is CPQ_KAFKA_BROKERS right?"))?;
        Ok(metadata.topics().iter().map(|t| (t.name().to_owned(), t.partitions().len() as u32)).collect())
    }

    /// Creates and alters. Topics that somebody else has created meanwhile are no fault.
    pub async fn apply(&self, planned: &[Difference]) -> Result<(), Failure> {
        for difference in planned {
            match difference {
                Difference::Create(topic) => self.create(topic).await?,
                Difference::Alter { topic, settings, own } => {
                    let mut entries: HashMap<&str, &str> =
                        own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    entries.extend(settings.iter().map(|s| (s.name.as_str(), s.to.as_str())));
                    self.alter(topic, entries).await?;
                }
                Difference::Partitions { .. } => {}
            }
        }
        Ok(())
    }

    async fn create(&self, topic: &Topic) -> Result<(), Failure> {
        let config = topic.config();
        let replication = TopicReplication::Fixed(CLUSTER_DEFAULT_REPLICATION);
        let new = config
            .iter()
            .fold(NewTopic::new(&topic.name, topic.partitions as i32, replication), |new, (name, value)| {
                new.set(name, value)
            });
        let what = format!("cannot create {}", topic.name);
        let results = self.admin.create_topics([&new], &Self::options()).await.map_err(failed(&what))?;
        for result in results {
            match result {
                Ok(_) | Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(failed(&what)(code)),
            }
        }
        Ok(())
    }

    async fn alter(&self, topic: &str, entries: HashMap<&str, &str>) -> Result<(), Failure> {
        let what = format!("cannot alter {topic}");
        let alter = AlterConfig { specifier: ResourceSpecifier::Topic(topic), entries };
        let results = self.admin.alter_configs([&alter], &Self::options()).await.map_err(failed(&what))?;
        for result in results {
            result.map_err(|(_, code)| failed(&what)(code))?;
        }
        Ok(())
    }
}

fn actual(partitions: u32, resource: &ConfigResource) -> ActualTopic {
    let value = |entry: &rdkafka::admin::ConfigEntry| entry.value.clone().map(|value| (entry.name.clone(), value));
    ActualTopic {
        partitions,
        config: resource.entries.iter().filter_map(value).collect(),
        own: resource
            .entries
            .iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic && !entry.is_sensitive)
            .filter_map(value)
            .collect(),
    }
}
