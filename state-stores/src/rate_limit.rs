//! What Redis is asked of each request, in one round trip: whether its actor's rate allows it, over all gateways,
//! by a generic cell rate algorithm on Redis's own clock; and which command its idempotency key named before.
//! Without Redis nobody is limited and nothing is known: the limit protects and the hint saves work, neither
//! decides.

use crate::cache::{HINT_TTL_SECONDS, Redis};
use cpq_domain::ids::{ActorId, CommandId, TenantId};
use redis::Script;
use std::time::Duration;

/// KEYS: the actor's theoretical arrival time of the next request, in microseconds; the hint of an idempotency key,
/// if any. ARGV: the emission interval and the burst's tolerance, both in microseconds; the command that the
/// idempotency key names if it names none yet, and how long that is remembered. Gives how long to wait in
/// microseconds, or 0 and what the idempotency key named before.
const GCRA: &str = "local now = redis.call('TIME') \
    now = now[1] * 1000000 + now[2] \
    local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2]) \
    local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) \
    local wait = arrival - tolerance - now \
    if wait > 0 then return {math.ceil(wait), false} end \
    local next_arrival = arrival + interval \
    redis.call('SET', KEYS[1], string.format('%.0f', next_arrival), 'PX', math.ceil((next_arrival - now + tolerance) / 1000) + 1) \
    return {0, KEYS[2] and redis.call('SET', KEYS[2], ARGV[3], 'NX', 'GET', 'EX', ARGV[4]) or false}";

/// How much one actor may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub per_second: u32,
    /// Requests that may come at once.
    pub burst: u32,
}

/// An idempotency key's hint, and the command that it is to name.
pub struct Naming<'a> {
    /// [`crate::cache::idempotency_key`].
    pub hint: &'a str,
    pub command: &'a CommandId,
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

    /// The command that the idempotency key named before, as far as Redis knows; from now on it names the given
    /// one. `Err` says how long the actor should wait.
    pub async fn admit(
        &self,
        tenant: &TenantId,
        actor: &ActorId,
        naming: Option<Naming<'_>>,
    ) -> Result<Option<CommandId>, Duration> {
        let key = format!("cpq:{tenant}:rate:{actor}");
        let interval = 1_000_000 / u64::from(self.limit.per_second.max(1));
        let tolerance = interval * u64::from(self.limit.burst.max(1) - 1);
        let asked = self.redis.ask(async |mut connection| {
            let mut script = self.script.key(&key);
            script.arg(interval).arg(tolerance);
            if let Some(naming) = &naming {
                script.key(naming.hint).arg(naming.command.as_str()).arg(HINT_TTL_SECONDS);
            }
            script.invoke_async::<(u64, Option<String>)>(&mut connection).await
        });
        match asked.await {
            None => Ok(None),
            Some((0, named)) => Ok(named.map(CommandId::new)),
            Some((micros, _)) => Err(Duration::from_micros(micros)),
        }
    }
}
