//! The bridge's configuration: its variables, and reading them.

use crate::bridge::Timing;
use crate::downstream::DownstreamConfig;
use crate::names::EngineNames;
use cpq_runtime::config::{CommonConfig, ConfigError, Settings, Variable};
use std::net::SocketAddr;
use std::time::Duration;
use url::Url;

const URL: &str = "an http or https URL";
const DURATION: &str = "a time such as 500ms, 5s or 2m";
/// The most calls to downstream systems at once that may be asked for.
const MAX_CONCURRENCY: usize = 256;

pub const CAMUNDA_URL: Variable = Variable::required(
    "CPQ_CAMUNDA_URL",
    "an http or https URL that ends in /engine-rest",
    "the workflow engine's REST",
);
pub const CAMUNDA_PREFIX: Variable = Variable::optional(
    "CPQ_CAMUNDA_PREFIX",
    "text",
    "what the keys and topics of the deployed models begin with, where stacks share an engine",
);
pub const INVENTORY_URL: Variable = Variable::required("CPQ_INVENTORY_URL", URL, "the inventory system");
pub const ACTIVATION_URL: Variable = Variable::required("CPQ_ACTIVATION_URL", URL, "the activation system");
pub const BILLING_URL: Variable = Variable::required("CPQ_BILLING_URL", URL, "the billing system");
pub const DOWNSTREAM_TIMEOUT: Variable =
    Variable::with_default("CPQ_DOWNSTREAM_TIMEOUT", "5s", DURATION, "how long one call to these systems may take");
pub const ADMIN_ADDR: Variable = Variable::with_default(
    "CPQ_BRIDGE_ADMIN_ADDR",
    "127.0.0.1:8083",
    "host:port",
    "where health and metrics are served",
);
pub const CONCURRENCY: Variable = Variable::with_default(
    "CPQ_BRIDGE_CONCURRENCY",
    "16",
    "a number from 1 to 256",
    "calls to downstream systems at once",
);
pub const ATTEMPTS: Variable = Variable::with_default(
    "CPQ_BRIDGE_ATTEMPTS",
    "3",
    "a number from 1 to 100",
    "how often a step is tried before it becomes a fallout case",
);
pub const RETRY_PAUSE: Variable = Variable::with_default(
    "CPQ_BRIDGE_RETRY_PAUSE",
    "5s",
    DURATION,
    "pause before a step's second try; each further one is three times as long",
);
pub const DATABASE_CONNECTIONS: Variable = Variable::with_default(
    "CPQ_BRIDGE_DATABASE_CONNECTIONS",
    "12",
    "a number from 2 to 200",
    "connections to the database at most",
);

/// The bridge's own variables, for `--help`.
pub const OWN: &[Variable] = &[
    CAMUNDA_URL,
    CAMUNDA_PREFIX,
    INVENTORY_URL,
    ACTIVATION_URL,
    BILLING_URL,
    DOWNSTREAM_TIMEOUT,
    ADMIN_ADDR,
    CONCURRENCY,
    ATTEMPTS,
    RETRY_PAUSE,
    DATABASE_CONNECTIONS,
];

/// Everything that the process needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub common: CommonConfig,
    pub camunda_url: Url,
    pub names: EngineNames,
    pub downstream: DownstreamConfig,
    pub admin_addr: SocketAddr,
    pub timing: Timing,
    pub database_connections: u32,
}

impl Config {
    pub fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let prefix: Option<String> = settings.get_optional(&CAMUNDA_PREFIX)?;
        let timing = Timing {
            attempts: settings.parse_with(&ATTEMPTS, |text| number(text, 1, 100))?,
            retry_pause: settings.parse_with(&RETRY_PAUSE, duration)?,
            concurrency: settings.parse_with(&CONCURRENCY, |text| number(text, 1, MAX_CONCURRENCY))?,
            ..Timing::default()
        };
        Ok(Self {
            common: CommonConfig::read(settings)?,
            camunda_url: url(settings, &CAMUNDA_URL)?,
            names: prefix.map(EngineNames::prefixed).unwrap_or_default(),
            downstream: DownstreamConfig {
                inventory: url(settings, &INVENTORY_URL)?,
                activation: url(settings, &ACTIVATION_URL)?,
                billing: url(settings, &BILLING_URL)?,
                timeout: settings.parse_with(&DOWNSTREAM_TIMEOUT, duration)?,
            },
            admin_addr: settings.get(&ADMIN_ADDR)?,
            timing,
            database_connections: settings.parse_with(&DATABASE_CONNECTIONS, |text| number(text, 2, 200))?,
        })
    }
}

fn url(settings: &Settings, variable: &Variable) -> Result<Url, ConfigError> {
    settings.parse_with(variable, |text| {
        Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    })
}

fn number<T: std::str::FromStr + PartialOrd>(text: &str, least: T, most: T) -> Option<T> {
    text.parse().ok().filter(|number| *number >= least && *number <= most)
}

/// `500ms`, `5s`, `2m`; not zero.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("500ms", Some(Duration::from_millis(500)))]
    #[case("5s", Some(Duration::from_secs(5)))]
    #[case("2m", Some(Duration::from_secs(120)))]
    #[case("0s", None)]
    #[case("5", None)]
    #[case("s", None)]
    #[case("5 s", None)]
    #[case("", None)]
    fn a_time_has_a_number_and_a_unit(#[case] text: &str, #[case] expected: Option<Duration>) {
        assert_eq!(duration(text), expected);
    }

    fn settings(name: &str, value: &str) -> Settings {
        let given = [
            ("CPQ_DATABASE_URL", "postgres://h/d"),
            ("CPQ_KAFKA_BROKERS", "h:1"),
            ("CPQ_SCHEMA_REGISTRY_URL", "http://h"),
            ("CPQ_REDIS_URL", "redis://h"),
            ("CPQ_CAMUNDA_URL", "http://h/engine-rest"),
            ("CPQ_INVENTORY_URL", "http://h/inventory"),
            ("CPQ_ACTIVATION_URL", "http://h/activation"),
            ("CPQ_BILLING_URL", "http://h/billing"),
            (name, value),
        ];
        Settings::from_environment(given.map(|(n, v)| (n.to_owned(), v.to_owned())).into()).unwrap()
    }

    #[rstest]
    #[case("CPQ_CAMUNDA_URL", "ftp://h")]
    #[case("CPQ_BILLING_URL", "nowhere")]
    #[case("CPQ_DOWNSTREAM_TIMEOUT", "soon")]
    #[case("CPQ_BRIDGE_CONCURRENCY", "0")]
    #[case("CPQ_BRIDGE_CONCURRENCY", "257")]
    #[case("CPQ_BRIDGE_ATTEMPTS", "many")]
    #[case("CPQ_BRIDGE_ADMIN_ADDR", "8083")]
    fn a_bad_value_is_refused_by_name(#[case] name: &str, #[case] value: &str) {
        let error = Config::read(&settings(name, value)).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let config = Config::read(&settings("CPQ_BRIDGE_ATTEMPTS", "7")).unwrap();
        assert_eq!(config.timing.attempts, 7);
        assert_eq!(config.downstream.timeout, Duration::from_secs(5));
        assert_eq!(config.names, EngineNames::default());
    }
}
