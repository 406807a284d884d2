//! Prices that were asked for before: in this process, then in Redis. A price is a function of its inputs, so one
//! that is found is the one that would be computed, or it is not taken: what lies in Redis is bound to its inputs
//! by a seal, read within bounds, and left aside when in doubt.

use crate::cache::{Redis, preview_key};
use cpq_domain::canonical;
use cpq_domain::ids::{QuoteId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::pricing::{Price, Window};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Price lines kept in this process, of all previews together: some 60 MB.
const MAX_LINES: u64 = 200_000;
/// For how long.
const LOCAL_TTL: Duration = Duration::from_secs(5 * 60);
/// How long Redis keeps one.
const REDIS_TTL: Duration = Duration::from_secs(10 * 60);
/// The largest entry that is written to Redis, or taken from it.
const MAX_ENTRY_BYTES: usize = 1024 * 1024;
/// Names what is sealed, so that no other hash of ours can stand for it.
const SEAL: &str = "cpq-quote-preview-1";

/// Which price is asked for.
#[derive(Clone, Debug)]
pub struct PreviewKey {
    /// Where it is.
    key: String,
    /// The canonical text of everything that it depends on.
    inputs: String,
}

impl PreviewKey {
    /// `inputs` is everything that the price depends on besides its date.
    pub fn of<T: Serialize>(tenant: &TenantId, quote: &QuoteId, revision: u32, inputs: &T) -> Self {
        let inputs = canonical::to_string(inputs);
        let hash = canonical::sha256(inputs.as_bytes());
        Self { key: preview_key(tenant, quote, revision, &hash), inputs }
    }

    /// Who can write to Redis but does not know the tenant's data cannot make it.
    fn seal(&self, price: &Price, window: Window) -> String {
        canonical::hash(&(SEAL, &self.inputs, window, price))
    }
}

/// A price, and the dates at which its inputs lead to it.
#[derive(Debug)]
struct Known {
    price: Price,
    window: Window,
}

/// As it lies in Redis.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    price: Price,
    window: Window,
    seal: String,
}

/// The prices of previews. Cheap to clone.
#[derive(Clone)]
pub struct Previews {
    redis: Redis,
    local: Cache<String, Arc<Known>>,
}

impl Previews {
    pub fn new(redis: Redis) -> Self {
        let weigh = |_: &String, known: &Arc<Known>| u32::try_from(known.price.lines.len() + 1).unwrap_or(u32::MAX);
        let local = Cache::builder().weigher(weigh).max_capacity(MAX_LINES).time_to_live(LOCAL_TTL).build();
        Self { redis, local }
    }

    /// The price at that date, if it was asked for before.
    pub async fn find(&self, key: &PreviewKey, at: Moment) -> Option<Price> {
        if let Some(known) = self.local.get(&key.key).filter(|known| known.window.holds(at)) {
            return Some(known.price.clone());
        }
        let bytes = self.redis.get_at_most(&key.key, MAX_ENTRY_BYTES).await?;
        let Entry { price, window, seal } = serde_json::from_slice(&bytes).ok()?;
        if seal != key.seal(&price, window) {
            return None;
        }
        self.local.insert(key.key.clone(), Arc::new(Known { price: price.clone(), window }));
        window.holds(at).then_some(price)
    }

    /// Keeps a price that was computed.
    pub async fn keep(&self, key: &PreviewKey, price: &Price, window: Window) {
        self.local.insert(key.key.clone(), Arc::new(Known { price: price.clone(), window }));
        let entry = Entry { price: price.clone(), window, seal: key.seal(price, window) };
        if let Some(text) = serde_json::to_string(&entry).ok().filter(|text| text.len() <= MAX_ENTRY_BYTES) {
            self.redis.put(&key.key, &text, REDIS_TTL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn price() -> Price {
        serde_json::from_value(json!({"policyVersion": "cpq-pricing-1", "currency": "USD", "listAmount": "10.00",
            "discountAmount": "0.00", "oneTimeAmount": "10.00", "recurringMonthlyAmount": "0.00", "totalAmount": "10.00",
            "taxAmount": "0.83", "totalWithTax": "10.83", "effectiveDiscountPercent": "0.00", "marginPercent": null, "lines": []}))
        .unwrap()
    }

    fn key(revision: u32, inputs: &str) -> PreviewKey {
        PreviewKey::of(&"t".into(), &"Q-2026-000001".into(), revision, &inputs)
    }

    fn at(text: &str) -> Moment {
        Moment::parse(text).unwrap()
    }

    #[tokio::test]
    async fn without_redis_a_price_is_found_in_the_process_and_only_in_its_window() {
        let previews = Previews::new(Redis::open("redis://127.0.0.1:1").unwrap());
        let window = Window { from: Some(at("2026-01-01T00:00:00Z")), to: Some(at("2026-02-01T00:00:00Z")) };
        previews.keep(&key(1, "a"), &price(), window).await;
        assert_eq!(previews.find(&key(1, "a"), at("2026-01-01T00:00:00Z")).await, Some(price()));
        assert_eq!(previews.find(&key(1, "a"), at("2026-02-01T00:00:00Z")).await, None);
        assert_eq!(previews.find(&key(1, "b"), at("2026-01-01T00:00:00Z")).await, None);
        assert_eq!(previews.find(&key(2, "a"), at("2026-01-01T00:00:00Z")).await, None);
    }

    #[test]
    fn a_seal_is_of_inputs_price_and_window() {
        let open = Window { from: None, to: None };
        let seal = key(1, "a").seal(&price(), open);
        let dearer = Price { total_amount: price().list_amount, tax_amount: price().list_amount, ..price() };
        assert_ne!(seal, key(1, "b").seal(&price(), open));
        assert_ne!(seal, key(1, "a").seal(&dearer, open));
        assert_ne!(seal, key(1, "a").seal(&price(), Window { from: None, to: Some(at("2026-01-01T00:00:00Z")) }));
        assert_eq!(seal, key(1, "a").seal(&price(), open));
    }

    #[test]
    fn a_key_names_tenant_quote_revision_and_inputs() {
        let key = key(3, "a");
        let hash = canonical::sha256(b"\"a\"").trim_start_matches("sha256:").to_owned();
        assert_eq!(key.key, format!("cpq:t:quote-preview:Q-2026-000001:rev:3:hash:{hash}"));
    }
}
