//! The gateway's configuration, each variable with its default and meaning.

use cpq_runtime::config::{CommonConfig, ConfigError, Settings, Variable};
use cpq_state_stores::rate_limit::Limit;
use std::net::SocketAddr;

pub const HTTP_ADDR: Variable =
    Variable::with_default("CPQ_HTTP_ADDR", "127.0.0.1:8080", "an address and port", "where the API listens");
pub const OIDC_ISSUER: Variable =
    Variable::required("CPQ_OIDC_ISSUER", "the issuer as tokens name it", "who vouches for tokens (claim iss)");
pub const OIDC_AUDIENCE: Variable =
    Variable::required("CPQ_OIDC_AUDIENCE", "the audience as tokens name it", "for whom tokens are (claim aud)");
pub const OIDC_JWKS: Variable =
    Variable::required("CPQ_OIDC_JWKS", "an http(s) URL or a file", "the keys that tokens are verified with");
pub const ARTIFACT_URL: Variable =
    Variable::required("CPQ_ARTIFACT_URL", "file:///folder or s3://bucket/prefix", "where documents are stored");
pub const RATE_LIMIT_PER_SECOND: Variable = Variable::with_default(
    "CPQ_RATE_LIMIT_PER_SECOND",
    "2000",
    "a number of at least 1",
    "requests that one actor may make in a second, in the long run",
);
pub const RATE_LIMIT_BURST: Variable = Variable::with_default(
    "CPQ_RATE_LIMIT_BURST",
    "4000",
    "a number of at least 1",
    "requests that one actor may make at once",
);
pub const MAX_IN_FLIGHT: Variable = Variable::with_default(
    "CPQ_GATEWAY_MAX_IN_FLIGHT",
    "2048",
    "a number of at least 1",
    "requests in hand at once, those that wait for an outcome included; more are answered 503",
);
pub const MAX_CONNECTIONS: Variable = Variable::with_default(
    "CPQ_GATEWAY_MAX_CONNECTIONS",
    "8192",
    "a number of at least 1",
    "client connections at once; more wait to be taken",
);
pub const DATABASE_CONNECTIONS: Variable = Variable::with_default(
    "CPQ_GATEWAY_DATABASE_CONNECTIONS",
    "16",
    "a number of at least 4",
    "connections to the database at once",
);

/// The variables of the gateway besides the common ones.
pub const VARIABLES: &[Variable] = &[
    HTTP_ADDR,
    OIDC_ISSUER,
    OIDC_AUDIENCE,
    OIDC_JWKS,
    ARTIFACT_URL,
    RATE_LIMIT_PER_SECOND,
    RATE_LIMIT_BURST,
    MAX_IN_FLIGHT,
    MAX_CONNECTIONS,
    DATABASE_CONNECTIONS,
];

/// Everything that a gateway needs to know.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    pub common: CommonConfig,
    pub http_addr: SocketAddr,
    pub oidc_issuer: String,
    pub oidc_audience: String,
    pub oidc_jwks: String,
    pub artifact_url: String,
    pub limit: Limit,
    pub max_in_flight: usize,
    pub max_connections: usize,
    pub database_connections: u32,
}

impl GatewayConfig {
    pub fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let at_least = |variable: &Variable, least: u32| {
            settings.parse_with(variable, |text| text.parse::<u32>().ok().filter(|number| *number >= least))
        };
        Ok(Self {
            common: CommonConfig::read(settings)?,
            http_addr: settings.get(&HTTP_ADDR)?,
            oidc_issuer: settings.get(&OIDC_ISSUER)?,
            oidc_audience: settings.get(&OIDC_AUDIENCE)?,
            oidc_jwks: settings.get(&OIDC_JWKS)?,
            artifact_url: settings.url(&ARTIFACT_URL, &["file", "s3"])?,
            limit: Limit { per_second: at_least(&RATE_LIMIT_PER_SECOND, 1)?, burst: at_least(&RATE_LIMIT_BURST, 1)? },
            max_in_flight: at_least(&MAX_IN_FLIGHT, 1)? as usize,
            max_connections: at_least(&MAX_CONNECTIONS, 1)? as usize,
            database_connections: at_least(&DATABASE_CONNECTIONS, 4)?,
        })
    }
}
