//! Configuration from the environment (`CPQ_*`), and under it from an optional TOML file named by
//! `CPQ_CONFIG` that has the same names in lower case without the prefix. Each service names its variables as
//! [`Variable`]s; a bad value ends the start with its name, the value and what was expected.

use std::{collections::HashMap, fmt::Write as _, str::FromStr};
use url::Url;

/// Where a value comes from if nobody gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    Refused,
    Default(&'static str),
    Unset,
}

/// One configuration variable, as the help lists it.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    pub absent: Absent,
    /// The form of a good value, for people.
    pub expected: &'static str,
    pub meaning: &'static str,
    /// Never shown, not even in part.
    pub secret: bool,
}

impl Variable {
    pub const fn required(name: &'static str, expected: &'static str, meaning: &'static str) -> Self {
        Self { name, absent: Absent::Refused, expected, meaning, secret: false }
    }
    pub const fn optional(name: &'static str, expected: &'static str, meaning: &'static str) -> Self {
        Self { name, absent: Absent::Unset, expected, meaning, secret: false }
    }
    pub const fn with_default(
        name: &'static str,
        default: &'static str,
        expected: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { name, absent: Absent::Default(default), expected, meaning, secret: false }
    }
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("{name} is not set: expected {expected} ({meaning})")]
    Missing { name: &'static str, expected: &'static str, meaning: &'static str },
    #[error("{name} is '{shown}': expected {expected}")]
    Invalid { name: &'static str, shown: String, expected: &'static str },
    #[error("CPQ_CONFIG names '{path}': expected a TOML file with names in lower case and plain values ({cause})")]
    File { path: String, cause: String },
}

/// The values given by file and environment.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    file: HashMap<String, String>,
    environment: HashMap<String, String>,
}

/// The file that values are read from where the environment has none.
pub const CONFIG_FILE: Variable =
    Variable::optional("CPQ_CONFIG", "the path of a TOML file", "values for variables that the environment lacks");

impl Settings {
    /// Reads the environment and, if named, the file.
    pub fn load() -> Result<Self, ConfigError> {
        Self::from_environment(std::env::vars().collect())
    }

    /// As [`Settings::load`], from a given environment.
    pub fn from_environment(environment: HashMap<String, String>) -> Result<Self, ConfigError> {
        let mut settings = Self { file: HashMap::new(), environment };
        if let Some(path) = settings.raw(&CONFIG_FILE).map(str::to_owned) {
            settings.file = read_file(&path).map_err(|cause| ConfigError::File { path, cause })?;
        }
        Ok(settings)
    }

    /// The value of a variable that is required or has a default.
    pub fn get<T: FromStr>(&self, variable: &Variable) -> Result<T, ConfigError> {
        self.parse_with(variable, |text| text.parse().ok())
    }

    /// The value of a variable that may be unset.
    pub fn get_optional<T: FromStr>(&self, variable: &Variable) -> Result<Option<T>, ConfigError> {
        match self.raw(variable) {
            None => Ok(None),
            Some(_) => self.get(variable).map(Some),
        }
    }

    /// The value by a parser of its own; `None` from it means that the value is bad.
    pub fn parse_with<T>(&self, variable: &Variable, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        let Variable { name, expected, meaning, .. } = *variable;
        let text = self.raw(variable).ok_or(ConfigError::Missing { name, expected, meaning })?;
        parse(text).ok_or_else(|| ConfigError::Invalid { name, shown: shown(variable, text), expected })
    }

    /// An URL with one of these schemes.
    pub fn url(&self, variable: &Variable, schemes: &[&str]) -> Result<String, ConfigError> {
        self.parse_with(variable, |text| {
            let url = Url::parse(text).ok()?;
            schemes.contains(&url.scheme()).then(|| text.to_owned())
        })
    }

    /// The text of a variable; an empty one counts as not set.
    fn raw(&self, variable: &Variable) -> Option<&str> {
        let given = |values: &HashMap<String, String>, name: &str| values.get(name).is_some_and(|v| !v.is_empty());
        let in_file = variable.name.trim_start_matches("CPQ_").to_lowercase();
        if given(&self.environment, variable.name) {
            return self.environment.get(variable.name).map(String::as_str);
        }
        if given(&self.file, &in_file) {
            return self.file.get(&in_file).map(String::as_str);
        }
        match variable.absent {
            Absent::Default(value) => Some(value),
            Absent::Refused | Absent::Unset => None,
        }
    }
}

fn read_file(path: &str) -> Result<HashMap<String, String>, String> {
    let file = config::Config::builder()
        .add_source(config::File::new(path, config::FileFormat::Toml))
        .build()
        .and_then(config::Config::try_deserialize::<HashMap<String, config::Value>>)
        .map_err(|e| e.to_string())?;
    file.into_iter().map(|(name, value)| Ok((name, value.into_string().map_err(|e| e.to_string())?))).collect()
}

/// A value as it may be printed: a secret not at all, an URL without its password.
fn shown(variable: &Variable, text: &str) -> String {
    if variable.secret {
        return "***".to_owned();
    }
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some("***")) {
            Ok(()) => url.to_string(),
            Err(()) => "***".to_owned(),
        },
        // What is no such URL but names a user, and perhaps a password or token.
        _ if text.contains('@') && text.contains(':') => "***".to_owned(),
        _ => text.escape_debug().to_string(),
    }
}

pub const DATABASE_URL: Variable =
    Variable::required("CPQ_DATABASE_URL", "postgres://user:password@host:port/database", "the application's database");
pub const KAFKA_BROKERS: Variable =
    Variable::required("CPQ_KAFKA_BROKERS", "host:port[,host:port]", "Kafka's bootstrap servers");
pub const SCHEMA_REGISTRY_URL: Variable =
    Variable::required("CPQ_SCHEMA_REGISTRY_URL", "an http or https URL", "the schema registry (Confluent's API)");
pub const REDIS_URL: Variable = Variable::required("CPQ_REDIS_URL", "redis://host:port", "Redis, for hints and caches");
pub const OTLP_ENDPOINT: Variable = Variable::optional(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "an http or https URL",
    "where traces go (OTLP over HTTP); unset: nowhere",
);
pub const LOG_FORMAT: Variable = Variable::with_default("CPQ_LOG_FORMAT", "json", "json or text", "form of log lines");
pub const LOG_FILTER: Variable =
    Variable::with_default("CPQ_LOG", "info", "a filter such as info,cpq_runtime=debug", "what is logged");

/// The variables that every service reads.
pub const COMMON: &[Variable] =
    &[CONFIG_FILE, DATABASE_URL, KAFKA_BROKERS, SCHEMA_REGISTRY_URL, REDIS_URL, OTLP_ENDPOINT, LOG_FORMAT, LOG_FILTER];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

impl FromStr for LogFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(()),
        }
    }
}

/// What every service needs to know.
#[derive(Clone, Debug)]
pub struct CommonConfig {
    pub database_url: String,
    pub kafka_brokers: String,
    pub schema_registry_url: String,
    pub redis_url: String,
    pub otlp_endpoint: Option<String>,
    pub log_format: LogFormat,
    pub log_filter: String,
}

impl CommonConfig {
    pub fn read(settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            database_url: settings.url(&DATABASE_URL, &["postgres", "postgresql"])?,
            kafka_brokers: settings.parse_with(&KAFKA_BROKERS, brokers)?,
            schema_registry_url: settings.url(&SCHEMA_REGISTRY_URL, &["http", "https"])?,
            redis_url: settings.url(&REDIS_URL, &["redis", "rediss"])?,
            otlp_endpoint: match settings.get_optional::<String>(&OTLP_ENDPOINT)? {
                Some(_) => Some(settings.url(&OTLP_ENDPOINT, &["http", "https"])?),
                None => None,
            },
            log_format: settings.get(&LOG_FORMAT)?,
            log_filter: settings.parse_with(&LOG_FILTER, |text| {
                text.parse::<tracing_subscriber::EnvFilter>().ok().map(|_| text.to_owned())
            })?,
        })
    }
}

/// `host:port` pairs, comma-separated.
fn brokers(text: &str) -> Option<String> {
    let good = |broker: &str| {
        let (host, port) = broker.trim().rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then_some(())
    };
    text.split(',').all(|broker| good(broker).is_some()).then(|| text.to_owned())
}

/// The variables as a help text lists them, for clap's `after_help`.
pub fn help(own: &[Variable]) -> String {
    let mut text = String::from("Environment:\n");
    for variable in COMMON.iter().chain(own) {
        let absent = match variable.absent {
            Absent::Refused => "required".to_owned(),
            Absent::Default(value) => format!("default {value}"),
            Absent::Unset => "optional".to_owned(),
        };
        let Variable { name, meaning, expected, .. } = variable;
        let _ = writeln!(text, "  {name}\n      {meaning}; {expected} [{absent}]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const PORT: Variable = Variable::with_default("CPQ_PORT", "80", "a port number", "where to listen");
    const KEY: Variable = Variable::required("CPQ_KEY", "a number", "a key").secret();

    fn settings(values: &[(&str, &str)]) -> Settings {
        let environment = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Settings::from_environment(environment).unwrap()
    }

    #[rstest]
    #[case(&[], 80)]
    #[case(&[("CPQ_PORT", "")], 80)]
    #[case(&[("CPQ_PORT", "81")], 81)]
    fn a_default_serves_where_nothing_is_given(#[case] given: &[(&str, &str)], #[case] port: u16) {
        assert_eq!(settings(given).get::<u16>(&PORT), Ok(port));
    }

    #[test]
    fn a_bad_value_is_refused_with_name_value_and_what_was_expected() {
        let error = settings(&[("CPQ_PORT", "many")]).get::<u16>(&PORT).unwrap_err();
        assert_eq!(error.to_string(), "CPQ_PORT is 'many': expected a port number");
    }

    #[test]
    fn a_missing_value_is_refused_with_what_was_expected() {
        let error = settings(&[]).get::<u16>(&KEY).unwrap_err();
        assert_eq!(error.to_string(), "CPQ_KEY is not set: expected a number (a key)");
    }

    #[rstest]
    #[case(&KEY, "hunter2", "***")]
    #[case(&DATABASE_URL, "mysql://cpq:hunter2@host/cpq", "mysql://cpq:***@host/cpq")]
    #[case(&DATABASE_URL, "cpq:hunter2@host", "***")]
    #[case(&DATABASE_URL, "//cpq:hunter2@host", "***")]
    #[case(&PORT, "a\u{1b}[31m\n", "a\\u{1b}[31m\\n")]
    fn a_shown_value_has_no_secret_and_no_control_character(
        #[case] variable: &Variable,
        #[case] value: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(shown(variable, value), expected);
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let path = std::env::temp_dir().join(format!("cpq-config-{}.toml", std::process::id()));
        std::fs::write(&path, "port = 8000\nkey = 7\n").unwrap();
        let given = settings(&[("CPQ_CONFIG", path.to_str().unwrap()), ("CPQ_KEY", "9")]);
        assert_eq!(given.get::<u16>(&PORT), Ok(8000));
        assert_eq!(given.get::<u16>(&KEY), Ok(9));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_not_there_is_refused() {
        let environment = HashMap::from([("CPQ_CONFIG".to_owned(), "/nonexistent.toml".to_owned())]);
        assert!(matches!(Settings::from_environment(environment), Err(ConfigError::File { .. })));
    }

    #[rstest]
    #[case("localhost:9092", true)]
    #[case("a:1,b:2", true)]
    #[case("localhost", false)]
    #[case("a:1,,b:2", false)]
    #[case(":9092", false)]
    fn brokers_are_hosts_with_ports(#[case] text: &str, #[case] good: bool) {
        assert_eq!(brokers(text).is_some(), good);
    }
}
