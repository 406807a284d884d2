//! Where the parts of a stack are: the `CPQ_*` variables, the same as the services', each read only by the
//! commands that need it.

use crate::Failure;
use camunda_bridge::EngineNames;
use camunda_bridge::config::{CAMUNDA_PREFIX, CAMUNDA_URL};
use camunda_bridge::engine::{EngineClient, EngineConfig};
use cpq_runtime::config::{ConfigError, DATABASE_URL, KAFKA_BROKERS, SCHEMA_REGISTRY_URL, Settings, Variable};
use cpq_state_stores::Db;
use std::fmt::Write as _;
use url::Url;

/// Connections of one command to the database.
const MAX_CONNECTIONS: u32 = 2;

const OWNER_DATABASE_URL: Variable = Variable::required(
    "CPQ_OWNER_DATABASE_URL",
    "postgres://user:password@host:port/database",
    "the database as the role that owns its tables; `cpq migrate` alone reads it",
);

/// Every variable that a command may read; those of `cpq token` are its options.
const VARIABLES: [Variable; 6] =
    [DATABASE_URL, OWNER_DATABASE_URL, KAFKA_BROKERS, SCHEMA_REGISTRY_URL, CAMUNDA_URL, CAMUNDA_PREFIX];

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(format!("{error}; `. .stack/env` sets the variables of a local stack"))
    }
}

/// The stack that the commands act on.
#[derive(Clone, Debug)]
pub struct Stack {
    settings: Settings,
}

impl Stack {
    /// Reads the environment and, where `CPQ_CONFIG` names one, the file.
    pub fn load() -> Result<Self, Failure> {
        Ok(Self { settings: Settings::load()? })
    }

    /// The database's URL as the application role.
    pub fn database_url(&self) -> Result<String, Failure> {
        Ok(self.settings.url(&DATABASE_URL, &["postgres", "postgresql"])?)
    }

    /// The database as the application role.
    pub fn db(&self) -> Result<Db, Failure> {
        Db::connect_lazy(&self.database_url()?, "cpq", MAX_CONNECTIONS)
            .map_err(Failure::because("CPQ_DATABASE_URL cannot be used"))
    }

    /// The database's URL as the owner role.
    pub fn owner_database_url(&self) -> Result<String, Failure> {
        Ok(self.settings.url(&OWNER_DATABASE_URL, &["postgres", "postgresql"])?)
    }

    /// Kafka's bootstrap servers.
    pub fn kafka_brokers(&self) -> Result<String, Failure> {
        Ok(self.settings.get(&KAFKA_BROKERS)?)
    }

    pub fn schema_registry_url(&self) -> Result<String, Failure> {
        Ok(self.settings.url(&SCHEMA_REGISTRY_URL, &["http", "https"])?)
    }

    /// What our processes are called in the engine.
    pub fn engine_names(&self) -> Result<EngineNames, Failure> {
        Ok(EngineNames::prefixed(self.settings.get_optional::<String>(&CAMUNDA_PREFIX)?.unwrap_or_default()))
    }

    pub fn engine(&self) -> Result<EngineClient, Failure> {
        let text = self.settings.url(&CAMUNDA_URL, &["http", "https"])?;
        let url = Url::parse(&text).map_err(Failure::because("CPQ_CAMUNDA_URL is no URL"))?;
        EngineClient::new(EngineConfig::new(url)).map_err(Failure::because("CPQ_CAMUNDA_URL cannot be used"))
    }
}

/// The variables, for the end of the help.
pub fn help() -> String {
    let mut text = String::from("Environment (each read only by the commands that need it):\n");
    for Variable { name, meaning, expected, .. } in VARIABLES {
        let _ = writeln!(text, "  {name}\n      {meaning}; {expected}");
    }
    text
}
