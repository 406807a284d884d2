//! The rate limit per tenant and actor, over all gateways: a generic cell rate algorithm in one Redis script,
//! on Redis's own clock. Without Redis nobody is limited: the limit protects, it does not decide.

use crate::cache::Redis;
use cpq_domain::ids::{ActorId, TenantId};
use redis::Script;
use std::time::Duration;

/// One key per actor: the theoretical arrival time of the next request, in microseconds. ARGV: the emission
/// interval and the burst's tolerance, both in microseconds. Gives 0, or how long to wait in microseconds.
const GCRA: &str = "local now = redis.call('TIME') \
    now = now[1] * 1000000 + now[2] \
    local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2]) \
    local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) \
    local wait = arrival - tolerance - now \
    if wait > 0 then return math.ceil(wait) end \
    local next_arrival = arrival + interval \
    redis.call('SET', KEYS[1], string.format('%.0f', next_arrival), 'PX', math.ceil((next_arrival - now + tolerance) / 1000) + 1) \
    return 0";

/// How much one actor may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub per_second: u32,
    /// Requests that may come at once.
    pub burst: u32,
}

/// Limits each actor.
#[derive(Clone)]
pub struct RateLimiter {
    redis: Redis,
    script: Script,
    limit: Limit,
}

impl RateLimiter {
    pub fn new(redis: Redis, limit: Limit) -> Self {
        Self { redis, script: Script::new(GCRA), limit }
    }

    /// `Err` says how long the actor should wait.
    pub async fn admit(&self, tenant: &TenantId, actor: &ActorId) -> Result<(), Duration> {
        let key = format!("cpq:{tenant}:rate:{actor}");
        let interval = 1_000_000 / u64::from(self.limit.per_second.max(1));
        let tolerance = interval * u64::from(self.limit.burst.max(1) - 1);
        let asked = self.redis.ask(async |mut connection| {
            let mut script = self.script.key(&key);
            script.arg(interval).arg(tolerance).invoke_async::<u64>(&mut connection).await
        });
        match asked.await {
            None | Some(0) => Ok(()),
            Some(micros) => Err(Duration::from_micros(micros)),
        }
    }
}
