//! Redis as a cache: short-lived answers and idempotency hints. It is never asked what is true, and whatever is
//! wrong with it only costs a little time: every call has a small time-out, and after some failures nobody
//! waits for it until a pause is over.

use cpq_domain::ids::{OfferingId, QuoteId, TenantId};
use redis::aio::MultiplexedConnection;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Longest wait for one answer, connecting included.
pub const REDIS_TIMEOUT: Duration = Duration::from_millis(100);
/// Failures in a row after which Redis is left alone.
const MAX_FAILURES: u32 = 3;
/// For how long.
const PAUSE: Duration = Duration::from_secs(2);
/// How long an idempotency hint serves; the record itself is in Postgres.
pub(crate) const HINT_TTL_SECONDS: u64 = 24 * 60 * 60;

/// A connection to Redis that gives `None` wherever Redis cannot answer in time. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    client: redis::Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    failures: AtomicU32,
    /// Milliseconds after `born` until which nobody asks.
    paused_until: AtomicU64,
    born: Instant,
}

impl Redis {
    /// A URL that is not Redis's is an error; a Redis that is not there is not.
    pub fn open(url: &str) -> Result<Self, String> {
        let client = redis::Client::open(url).map_err(|e| e.to_string())?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                connection: Mutex::new(None),
                failures: AtomicU32::new(0),
                paused_until: AtomicU64::new(0),
                born: Instant::now(),
            }),
        })
    }

    /// Whether Redis answers now.
    pub async fn ping(&self) -> bool {
        self.ask(async |mut c| redis::cmd("PING").query_async::<String>(&mut c).await).await.is_some()
    }

    /// Asks Redis; `None` if it is left alone, slow or refuses.
    pub(crate) async fn ask<T, F>(&self, question: F) -> Option<T>
    where
        F: AsyncFnOnce(MultiplexedConnection) -> redis::RedisResult<T>,
    {
        if self.is_paused() {
            return None;
        }
        let answer = tokio::time::timeout(REDIS_TIMEOUT, async {
            let connection = self.connection().await?;
            question(connection).await
        });
        match answer.await {
            Ok(Ok(value)) => {
                if self.inner.failures.swap(0, Ordering::Relaxed) >= MAX_FAILURES {
                    info!("redis answers again");
                }
                Some(value)
            }
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(_) => self.failed("no answer in time"),
        }
    }

    async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        let known = self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(connection) = known {
            return Ok(connection);
        }
        let made = self.inner.client.get_multiplexed_async_connection().await?;
        *self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }

    fn is_paused(&self) -> bool {
        self.now() < self.inner.paused_until.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        self.inner.born.elapsed().as_millis() as u64
    }

    fn failed<T>(&self, cause: &str) -> Option<T> {
        *self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let failures = self.inner.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= MAX_FAILURES {
            self.inner.paused_until.store(self.now() + PAUSE.as_millis() as u64, Ordering::Relaxed);
        }
        if failures == MAX_FAILURES {
            warn!(cause, "redis does not answer: going on without caches, hints and rate limits until it does");
        }
        None
    }

    /// A cached answer.
    pub async fn get(&self, key: &str) -> Option<String> {
        let found = self.ask(async |mut c| redis::cmd("GET").arg(key).query_async::<Option<String>>(&mut c).await);
        found.await.flatten()
    }

    /// As [`Redis::get`], of what may have been written by anybody: no more than `max` bytes are fetched, and a
    /// longer value, or one of another type, is none.
    pub(crate) async fn get_at_most(&self, key: &str, max: usize) -> Option<Vec<u8>> {
        let found = self.ask(async |mut c| {
            let asked = redis::cmd("GETRANGE").arg(key).arg(0).arg(max).query_async::<Vec<u8>>(&mut c).await;
            match asked {
                // Redis answers; only what lies there is of no use.
                Err(error) if error.code() == Some("WRONGTYPE") => Ok(Vec::new()),
                asked => asked,
            }
        });
        found.await.filter(|bytes| (1..=max).contains(&bytes.len()))
    }

    /// Caches an answer for a short time.
    pub async fn put(&self, key: &str, value: &str, ttl: Duration) {
        let millis = ttl.as_millis() as u64;
        let set = async |mut c: MultiplexedConnection| {
            redis::cmd("SET").arg(key).arg(value).arg("PX").arg(millis).query_async::<()>(&mut c).await
        };
        self.ask(set).await;
    }

    /// Hints which command an idempotency key names.
    pub async fn hint_command(&self, key: &str, command_id: &str) {
        let set = async |mut c: MultiplexedConnection| {
            redis::cmd("SET").arg(key).arg(command_id).arg("EX").arg(HINT_TTL_SECONDS).query_async::<()>(&mut c).await
        };
        self.ask(set).await;
    }
}

/// `cpq:{tenant}:idempotency:{operation}:…`: where the hint of an idempotency key is. Actor and key are hashed,
/// so that neither can reach into another's.
pub fn idempotency_key(tenant: &TenantId, operation: &str, actor: &str, key: &str) -> String {
    format!("cpq:{tenant}:idempotency:{operation}:{}", digest(&[actor, key]))
}

/// `cpq:{tenant}:worklist:…`: where an answer to this question by this reader is.
pub fn worklist_key(tenant: &TenantId, question: &[&str]) -> String {
    format!("cpq:{tenant}:worklist:{}", digest(question))
}

/// `cpq:{tenant}:quote-preview:{quote}:rev:{revision}:hash:{inputHash}`: where the price of these inputs is.
pub(crate) fn preview_key(tenant: &TenantId, quote: &QuoteId, revision: u32, input_hash: &str) -> String {
    let hash = input_hash.trim_start_matches("sha256:");
    format!("cpq:{tenant}:quote-preview:{quote}:rev:{revision}:hash:{hash}")
}

/// `cpq:{tenant}:catalog:offering:{offering}:v:{catalogVersion}`: where an offering of a catalog version is.
pub(crate) fn offering_key(tenant: &TenantId, offering: &OfferingId, catalog_version: &str) -> String {
    format!("cpq:{tenant}:catalog:offering:{offering}:v:{catalog_version}")
}

/// A hash in which no two lists of parts are the same.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_redis_nobody_waits_for_long() {
        let redis = Redis::open("redis://127.0.0.1:1").unwrap();
        let began = Instant::now();
        for _ in 0..50 {
            assert_eq!(redis.get("key").await, None);
        }
        assert!(began.elapsed() < REDIS_TIMEOUT * (MAX_FAILURES + 2));
    }

    #[test]
    fn keys_of_other_tenants_actors_and_operations_are_others() {
        let key = |tenant: &str, actor: &str, key: &str| idempotency_key(&tenant.into(), "createQuote", actor, key);
        assert_ne!(key("a", "alice", "1"), key("b", "alice", "1"));
        assert_ne!(key("a", "alice", "1"), key("a", "alic", "e1"));
    }
}
