//! What the `streams` process reads from its environment beyond what every service reads.

use crate::document::ArtifactStore;
use crate::notification::sender::Sink;
use cpq_runtime::config::{CommonConfig, ConfigError, Settings, Variable};
use std::net::SocketAddr;

pub const ADMIN_ADDR: Variable = Variable::with_default(
    "CPQ_STREAMS_ADMIN_ADDR",
    "127.0.0.1:8082",
    "address:port",
    "where /healthz, /readyz and /metrics are served",
);
pub const DATABASE_CONNECTIONS: Variable = Variable::with_default(
    "CPQ_STREAMS_DATABASE_CONNECTIONS",
    "16",
    "a number from 2 to 200",
    "connections to the database, at most",
);
pub const ARTIFACT_URL: Variable = Variable::required(
    "CPQ_ARTIFACT_URL",
    "file:///folder or s3://bucket/prefix",
    "where generated documents are kept",
);
pub const MAIL_URL: Variable = Variable::with_default(
    "CPQ_MAIL_URL",
    "log:",
    "log:, smtp://host:port or smtps://user:password@host",
    "where notifications go",
);
pub const MAIL_FROM: Variable = Variable::with_default(
    "CPQ_MAIL_FROM",
    "CPQ Streams <cpq@localhost>",
    "a mailbox such as CPQ <cpq@example.com>",
    "sender of notifications",
);
pub const MAIL_DOMAIN: Variable = Variable::with_default(
    "CPQ_MAIL_DOMAIN",
    "localhost",
    "a domain",
    "completes recipients whose actor id is no mail address",
);
pub const RELAY_TOPICS_AHEAD: Variable = Variable::with_default(
    "CPQ_RELAY_TOPICS_AHEAD",
    "refuse",
    "refuse or accept",
    "whether the relay starts where the events topics know of facts that the database does not (`cpq verify restore`)",
);

/// All of them, for the help.
pub const VARIABLES: &[Variable] =
    &[ADMIN_ADDR, DATABASE_CONNECTIONS, ARTIFACT_URL, MAIL_URL, MAIL_FROM, MAIL_DOMAIN, RELAY_TOPICS_AHEAD];

fn refuses(text: &str) -> Option<bool> {
    match text {
        "refuse" => Some(true),
        "accept" => Some(false),
        _ => None,
    }
}

/// The process's configuration.
pub struct Config {
    pub common: CommonConfig,
    pub admin_addr: SocketAddr,
    pub database_connections: u32,
    pub artifacts: ArtifactStore,
    pub mail: Sink,
    /// Whether the relay holds back where a topic is ahead of the database.
    pub relay_holds_back: bool,
}

impl Config {
    pub fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let from: String = settings.get(&MAIL_FROM)?;
        let domain: String = settings.get(&MAIL_DOMAIN)?;
        Ok(Self {
            common: CommonConfig::read(settings)?,
            admin_addr: settings.get(&ADMIN_ADDR)?,
            database_connections: settings
                .parse_with(&DATABASE_CONNECTIONS, |text| text.parse().ok().filter(|n| (2..=200).contains(n)))?,
            artifacts: settings.parse_with(&ARTIFACT_URL, |url| ArtifactStore::open(url).ok())?,
            relay_holds_back: settings.parse_with(&RELAY_TOPICS_AHEAD, refuses)?,
            mail: settings.parse_with(&MAIL_URL, |url| Sink::from_url(url, &from, &domain).ok())?,
        })
    }
}
