//! The topics of `topics.yaml`, parsed and checked.

use crate::record::{AggregateType, Command, Event, Record};
use serde::Deserialize;

pub const QUOTE_COMMANDS: &str = "cpq.quote.commands.v1";
pub const QUOTE_EVENTS: &str = "cpq.quote.events.v1";
pub const QUOTE_STATE: &str = "cpq.quote.state.v1";
pub const ORDER_COMMANDS: &str = "cpq.order.commands.v1";
pub const ORDER_EVENTS: &str = "cpq.order.events.v1";
pub const ORDER_STATE: &str = "cpq.order.state.v1";
pub const WORKFLOW_COMMANDS: &str = "cpq.workflow.commands.v1";
pub const WORKFLOW_EVENTS: &str = "cpq.workflow.events.v1";

/// Every topic with records of its own; dead-letter topics are derived.
pub const ALL: [&str; 8] = [
    QUOTE_COMMANDS,
    QUOTE_EVENTS,
    QUOTE_STATE,
    ORDER_COMMANDS,
    ORDER_EVENTS,
    ORDER_STATE,
    WORKFLOW_COMMANDS,
    WORKFLOW_EVENTS,
];

/// The repository's list.
const SOURCE: &str = include_str!("../../topics.yaml");

/// What happens to old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CleanupPolicy {
    Delete,
    Compact,
}

impl CleanupPolicy {
    /// Kafka's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
        }
    }
}

/// One topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// What the key is.
    pub key: String,
    pub partitions: u32,
    /// Milliseconds; -1 for ever.
    pub retention_ms: i64,
    pub cleanup_policy: CleanupPolicy,
    pub compression: String,
    pub max_message_bytes: u64,
    /// Full names of the records on it.
    pub schemas: Vec<String>,
    pub producer: String,
    /// This product's consumers, each with a dead-letter topic.
    pub consumers: Vec<String>,
    /// Why retention and cleanup are as they are.
    pub reason: String,
    /// Whether it is a consumer's dead-letter topic.
    pub dead_letter: bool,
}

impl Topic {
    /// The topic's settings by Kafka's names.
    pub fn config(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cleanup.policy", self.cleanup_policy.as_str().to_owned()),
            ("retention.ms", self.retention_ms.to_string()),
            ("compression.type", self.compression.clone()),
            ("max.message.bytes", self.max_message_bytes.to_string()),
        ]
    }
}

/// `topics.yaml` is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("topics.yaml: {0}")]
pub struct TopicsError(#[from] serde_yaml_ng::Error);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    common: Common,
    dead_letter: DeadLetter,
    topics: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Common {
    compression: String,
    max_message_bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeadLetter {
    partitions: u32,
    cleanup_policy: CleanupPolicy,
    retention_ms: i64,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    key: String,
    partitions: u32,
    retention_ms: i64,
    cleanup_policy: CleanupPolicy,
    reason: String,
    producer: String,
    consumers: Vec<String>,
    schemas: Vec<String>,
}

/// All topics: those of the list, each followed by its consumers' dead-letter topics.
pub fn load() -> Result<Vec<Topic>, TopicsError> {
    let file: File = serde_yaml_ng::from_str(SOURCE)?;
    let mut topics = Vec::new();
    for entry in file.topics {
        let topic = Topic {
            name: entry.name,
            key: entry.key,
            partitions: entry.partitions,
            retention_ms: entry.retention_ms,
            cleanup_policy: entry.cleanup_policy,
            compression: file.common.compression.clone(),
            max_message_bytes: file.common.max_message_bytes,
            schemas: entry.schemas,
            producer: entry.producer,
            consumers: entry.consumers,
            reason: entry.reason,
            dead_letter: false,
        };
        let letters = topic.consumers.iter().map(|consumer| dead_letter(&topic, consumer, &file.dead_letter));
        let letters: Vec<Topic> = letters.collect();
        topics.push(topic);
        topics.extend(letters);
    }
    Ok(topics)
}

fn dead_letter(source: &Topic, consumer: &str, settings: &DeadLetter) -> Topic {
    Topic {
        name: dlq(&source.name, consumer),
        key: source.key.clone(),
        partitions: settings.partitions,
        retention_ms: settings.retention_ms,
        cleanup_policy: settings.cleanup_policy,
        compression: source.compression.clone(),
        max_message_bytes: source.max_message_bytes,
        // Copies of the source's bytes, schema id included: no subject of their own.
        schemas: Vec::new(),
        producer: format!("{consumer}, when it parks a record"),
        consumers: Vec::new(),
        reason: settings.reason.clone(),
        dead_letter: true,
    }
}

/// The dead-letter topic of a consumer of a topic.
pub fn dlq(topic: &str, consumer: &str) -> String {
    format!("{topic}.{consumer}.dlq")
}

/// The topic that a record belongs on.
pub fn topic_of(record: &Record) -> &'static str {
    match record {
        Record::Event(_, Event::Quote(_)) => QUOTE_EVENTS,
        Record::Event(_, Event::Order(_)) => ORDER_EVENTS,
        Record::Event(_, Event::Workflow(_)) => WORKFLOW_EVENTS,
        Record::Command(_, _, _, command) => commands_topic(command),
        Record::State { name, .. } if name.starts_with(AggregateType::Order.namespace()) => ORDER_STATE,
        Record::State { .. } => QUOTE_STATE,
    }
}

/// The topic that a command belongs on.
pub fn commands_topic(command: &Command) -> &'static str {
    match command {
        Command::Quote(_) => QUOTE_COMMANDS,
        Command::Order(_) => ORDER_COMMANDS,
        Command::Workflow(_) => WORKFLOW_COMMANDS,
    }
}
