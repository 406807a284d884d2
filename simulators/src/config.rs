//! The simulators' configuration from the environment. A bad value is refused with its name and what was expected.

use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// Where to listen: `host:port` as an IP address; port 0 lets the system choose.
pub const ADDR_VARIABLE: &str = "CPQ_SIMULATORS_ADDR";
/// The file to remember in; without it a restart forgets.
pub const STATE_VARIABLE: &str = "CPQ_SIMULATORS_STATE";
/// Default of [`ADDR_VARIABLE`].
pub const DEFAULT_ADDR: &str = "127.0.0.1:8084";

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub addr: SocketAddr,
    /// The file to remember in.
    pub state_file: Option<PathBuf>,
}

/// A value that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{name}={value:?}: expected {expected}")]
pub struct ConfigError {
    name: &'static str,
    value: String,
    expected: &'static str,
}

impl Config {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads variables from anywhere; an empty one counts as not set.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let value = |name| lookup(name).filter(|value| !value.is_empty());
        let addr = value(ADDR_VARIABLE).unwrap_or_else(|| DEFAULT_ADDR.to_owned());
        let addr = addr.parse().map_err(|_| ConfigError {
            name: ADDR_VARIABLE,
            value: addr,
            expected: "an IP address and port, such as 127.0.0.1:8084",
        })?;
        Ok(Self { addr, state_file: value(STATE_VARIABLE).map(PathBuf::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_means_the_defaults() {
        let config = Config::from_lookup(|_| None).unwrap();
        assert_eq!(config, Config { addr: DEFAULT_ADDR.parse().unwrap(), state_file: None });
    }

    #[test]
    fn a_bad_address_is_refused_with_its_name_its_value_and_what_was_expected() {
        let error = Config::from_lookup(|name| (name == ADDR_VARIABLE).then(|| "nowhere".to_owned())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CPQ_SIMULATORS_ADDR=\"nowhere\": expected an IP address and port, such as 127.0.0.1:8084"
        );
    }
}
