//! Puts a gateway together from its configuration.

use crate::artifacts::Artifacts;
use crate::auth::{Authenticator, KeySet};
use crate::config::GatewayConfig;
use crate::gateway::Gateway;
use crate::numbers::QuoteNumbers;
use crate::outcome::Outcomes;
use crate::router::Router;
use crate::routes::OPERATIONS;
use crate::writer::Writer;
use cpq_avro::{Encoder, Schemas};
use cpq_runtime::admin::Readiness;
use cpq_runtime::backoff::Backoff;
use cpq_state_stores::cache::Redis;
use cpq_state_stores::hints::Hints;
use cpq_state_stores::previews::Previews;
use cpq_state_stores::rate_limit::RateLimiter;
use cpq_state_stores::reference::ReferenceCache;
use cpq_state_stores::{Db, schemas};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::warn;

/// How long a start waits for the database; after it the supervisor decides.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

fn failed(what: &str) -> impl Fn(&dyn std::fmt::Display) -> StartError + '_ {
    move |cause| StartError(format!("{what}: {cause}"))
}

/// A gateway, and the writers to wait for once it is gone.
pub struct Started {
    pub gateway: Arc<Gateway>,
    pub writers: Vec<JoinHandle<()>>,
}

/// Starts everything but the server.
pub async fn start(config: &GatewayConfig, metrics: PrometheusHandle) -> Result<Started, StartError> {
    let common = &config.common;
    let db = Db::connect_lazy(&common.database_url, "command-gateway", config.database_connections)
        .map_err(|e| failed("CPQ_DATABASE_URL")(&e))?;
    let redis = Redis::open(&common.redis_url).map_err(|e| failed("CPQ_REDIS_URL")(&e))?;
    let hints = Hints::start(&common.redis_url).map_err(|e| failed("CPQ_REDIS_URL")(&e))?;
    let artifacts = Artifacts::open(&config.artifact_url).map_err(|e| failed("CPQ_ARTIFACT_URL")(&e))?;
    let keys = KeySet::new(&config.oidc_jwks).map_err(|e| failed("CPQ_OIDC_JWKS")(&e))?;
    if let Err(error) = keys.refresh().await {
        // Tokens are answered 401 until the set can be fetched: by the first token that comes.
        warn!(%error, "the key set cannot be fetched yet");
    }
    let encoder = encoder(&db).await?;
    let (writer, writers) = Writer::start(db.clone(), hints.clone());
    let references = ReferenceCache::new().map_err(|e| failed("the built-in approval policy")(&e))?;
    tokio::spawn(references.clone().follow(db.clone(), hints.catalogs()));
    let gateway = Gateway {
        rate_limiter: RateLimiter::new(redis.clone(), config.limit),
        authenticator: Authenticator::new(config.oidc_issuer.clone(), config.oidc_audience.clone(), keys),
        encoder,
        writer,
        outcomes: Outcomes::start(db.clone(), hints.outcomes()),
        numbers: QuoteNumbers::new(db.clone()),
        references,
        previews: Previews::new(redis.clone()),
        artifacts,
        router: Router::new(OPERATIONS),
        readiness: readiness(&db, &redis),
        metrics,
        in_flight: Arc::new(Semaphore::new(config.max_in_flight)),
        db,
        redis,
        hints,
    };
    Ok(Started { gateway: Arc::new(gateway), writers })
}

/// The encoder with the schema ids that were registered. Waits for the database for a while, but not for
/// somebody to register schemas.
async fn encoder(db: &Db) -> Result<Encoder, StartError> {
    let known = Schemas::load().map_err(|e| failed("schemas")(&e))?;
    let (began, mut backoff) = (Instant::now(), Backoff::default());
    loop {
        match schemas::load_schema_ids(db, &known).await {
            Ok(ids) => return Encoder::new(known, &ids).map_err(|e| StartError(e.to_string())),
            Err(error) if error.is_transient() && began.elapsed() < START_LIMIT => {
                warn!(%error, "the database does not answer yet");
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(error) => return Err(failed("schema ids")(&error)),
        }
    }
}

/// Ready with the database. Redis only makes things faster, so without it the gateway is ready and says so.
fn readiness(db: &Db, redis: &Redis) -> Readiness {
    let (db, redis) = (db.clone(), redis.clone());
    Readiness::default()
        .with("database", move || {
            let db = db.clone();
            async move { db.ping().await.map(|()| "answers".to_owned()).map_err(|error| error.to_string()) }
        })
        .with("redis", move || {
            let redis = redis.clone();
            async move {
                Ok(if redis.ping().await { "answers" } else { "DEGRADED: does not answer; slower without it" }
                    .to_owned())
            }
        })
}
