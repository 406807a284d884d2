//! What has to be done so that a cluster has the topics that it should. Pure: the cluster is `cluster`'s.

use cpq_avro::topics::Topic;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::collections::HashMap;
use std::fmt;

/// A topic as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActualTopic {
    pub partitions: u32,
    /// Every setting in force, by Kafka's name.
    pub config: HashMap<String, String>,
    /// Those of them that were set on the topic itself; altering replaces them all, so they are sent again.
    pub own: HashMap<String, String>,
}

/// One setting that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub name: String,
    pub from: Option<String>,
    pub to: String,
}

/// One topic that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is not there.
    Create(Topic),
    /// Settings differ. `own` is what the topic has of its own, to be kept.
    Alter { topic: String, settings: Vec<Setting>, own: HashMap<String, String> },
    /// The partition count differs; nobody but a person changes that.
    Partitions { topic: String, actual: u32, wanted: u32 },
}

impl Difference {
    /// Why this one is not applied, and what to do instead.
    pub fn refusal(&self) -> Option<String> {
        let Self::Partitions { topic, actual, wanted } = self else { return None };
        Some(format!(
            "{topic} has {actual} partitions, topics.yaml says {wanted}. With another count a key moves to another partition and \
             overtakes its own older records, so this is not done here. Either put {actual} back in topics.yaml, or migrate: add a \
             new topic beside it ({topic} with the next version), stop its producers, wait until `cpq lag` shows 0 for its consumers, \
             then deploy producers and consumers of the new one; readers of history read the old topic first."
        ))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(topic) => {
                write!(f, "+ {} ({} partitions", topic.name, topic.partitions)?;
                topic.config().iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))?;
                f.write_str(")")
            }
            Self::Alter { topic, settings, .. } => {
                write!(f, "~ {topic}:")?;
                settings.iter().enumerate().try_for_each(|(i, Setting { name, from, to })| {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma} {name} {} -> {to}", from.as_deref().unwrap_or("unset"))
                })
            }
            Self::Partitions { topic, actual, wanted } => {
                write!(f, "! {topic}: {actual} partitions, topics.yaml says {wanted} (not applied)")
            }
        }
    }
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Create(topic) => {
                map.serialize_entry("change", "create")?;
                map.serialize_entry("topic", &topic.name)?;
                map.serialize_entry("partitions", &topic.partitions)?;
                map.serialize_entry("config", &topic.config().into_iter().collect::<HashMap<_, _>>())?;
            }
            Self::Alter { topic, settings, .. } => {
                map.serialize_entry("change", "alter")?;
                map.serialize_entry("topic", topic)?;
                map.serialize_entry("settings", settings)?;
            }
            Self::Partitions { topic, actual, wanted } => {
                map.serialize_entry("change", "refused")?;
                map.serialize_entry("topic", topic)?;
                map.serialize_entry("partitions", actual)?;
                map.serialize_entry("wantedPartitions", wanted)?;
            }
        }
        map.end()
    }
}

/// What differs, in the order of `wanted`.
pub fn differences(wanted: &[Topic], actual: &HashMap<String, ActualTopic>) -> Vec<Difference> {
    wanted.iter().flat_map(|topic| difference(topic, actual.get(&topic.name))).collect()
}

fn difference(wanted: &Topic, actual: Option<&ActualTopic>) -> Vec<Difference> {
    let Some(actual) = actual else { return vec![Difference::Create(wanted.clone())] };
    let mut found = Vec::new();
    if actual.partitions != wanted.partitions {
        let (topic, wanted, actual) = (wanted.name.clone(), wanted.partitions, actual.partitions);
        found.push(Difference::Partitions { topic, actual, wanted });
    }
    let settings: Vec<Setting> = wanted
        .config()
        .into_iter()
        .filter(|(name, to)| actual.config.get(*name) != Some(to))
        .map(|(name, to)| Setting { name: name.to_owned(), from: actual.config.get(name).cloned(), to })
        .collect();
    if !settings.is_empty() {
        found.push(Difference::Alter { topic: wanted.name.clone(), settings, own: actual.own.clone() });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpq_avro::topics;

    fn as_wanted(topic: &Topic) -> ActualTopic {
        let config: HashMap<String, String> = topic.config().into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        ActualTopic { partitions: topic.partitions, own: config.clone(), config }
    }

    fn cluster() -> (Vec<Topic>, HashMap<String, ActualTopic>) {
        let wanted = topics::load().unwrap();
        let actual = wanted.iter().map(|topic| (topic.name.clone(), as_wanted(topic))).collect();
        (wanted, actual)
    }

    #[test]
    fn a_cluster_as_it_should_be_needs_nothing() {
        let (wanted, actual) = cluster();
        assert_eq!(differences(&wanted, &actual), []);
    }

    #[test]
    fn an_empty_cluster_needs_every_topic_and_every_dead_letter_topic() {
        let (wanted, _) = cluster();
        let found = differences(&wanted, &HashMap::new());
        assert_eq!(found.len(), wanted.len());
        assert!(found.iter().any(|d| d.to_string().starts_with("+ cpq.quote.commands.v1.quote.dlq (1 partitions")));
    }

    #[test]
    fn a_changed_setting_is_set_again_and_others_stay() {
        let (wanted, mut actual) = cluster();
        let topic = actual.get_mut(topics::QUOTE_EVENTS).unwrap();
        topic.config.insert("retention.ms".to_owned(), "1000".to_owned());
        topic.own.insert("min.insync.replicas".to_owned(), "2".to_owned());
        let found = differences(&wanted, &actual);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "~ cpq.quote.events.v1: retention.ms 1000 -> -1");
        let Difference::Alter { own, .. } = &found[0] else { panic!("{found:?}") };
        assert_eq!(own.get("min.insync.replicas").map(String::as_str), Some("2"));
    }

    #[test]
    fn another_partition_count_is_refused_with_the_procedure() {
        let (wanted, mut actual) = cluster();
        actual.get_mut(topics::QUOTE_EVENTS).unwrap().partitions = 12;
        let found = differences(&wanted, &actual);
        let refusal = found[0].refusal().unwrap();
        assert!(refusal.contains("has 12 partitions, topics.yaml says 6") && refusal.contains("cpq lag"), "{refusal}");
    }
}
