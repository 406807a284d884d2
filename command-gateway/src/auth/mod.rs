//! Who calls: the bearer token, verified. The algorithm is the key's, never the token's word for it; keys come
//! from the configured set and from nowhere that a token names.

mod claims;
mod keys;
mod set;
#[cfg(feature = "unguarded")]
mod unguarded;

pub use keys::KeyError;
pub use set::{KeySet, REFETCH_PAUSE};

use crate::problem::Problem;
use cpq_domain::command::Claims;
use cpq_domain::ids::TenantId;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Validation, decode, decode_header};
use moka::sync::Cache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::time::Duration;
use time::OffsetDateTime;

/// How far clocks may differ.
pub const LEEWAY_SECONDS: i64 = 30;
/// Verified tokens kept, so that a signature is checked once and not for each request.
const MAX_CACHED_TOKENS: u64 = 10_000;
/// How long at most; its times and its key are looked at each time.
const TOKEN_TTL: Duration = Duration::from_secs(300);

/// Who calls, for which tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub tenant: TenantId,
    pub claims: Claims,
}

/// A verified token.
#[derive(Clone, Debug)]
struct Verified {
    caller: Caller,
    key_id: Option<String>,
    times: claims::Times,
}

/// Verifies tokens of one issuer for one audience.
pub struct Authenticator {
    issuer: String,
    audience: String,
    keys: KeySet,
    cache: Cache<[u8; 32], Verified>,
}

impl Authenticator {
    pub fn new(issuer: String, audience: String, keys: KeySet) -> Self {
        let cache = Cache::builder().max_capacity(MAX_CACHED_TOKENS).time_to_live(TOKEN_TTL).build();
        Self { issuer, audience, keys, cache }
    }

    /// The caller, or 401.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        #[cfg(feature = "unguarded")]
        if let Some(caller) = unguarded::caller(headers) {
            return Ok(caller);
        }
        let token = bearer(headers)?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.cache.get(&digest)
            && self.keys.has(known.key_id.as_deref())
        {
            known.times.check(now).map_err(invalid)?;
            return Ok(known.caller);
        }
        let verified = self.verify(token, now).await.map_err(invalid)?;
        let caller = verified.caller.clone();
        self.cache.insert(digest, verified);
        Ok(caller)
    }

    async fn verify(&self, token: &str, now: i64) -> Result<Verified, &'static str> {
        let header = decode_header(token).map_err(|_| "The token is no signed JWT")?;
        if header.crit.is_some() {
            return Err("The token has critical headers that are not understood");
        }
        let key_id = header.kid.clone();
        let key = self.keys.find(key_id.as_deref()).await.ok_or("The token's key is not known")?;
        if header.alg != key.algorithm {
            return Err("The token's algorithm is not its key's");
        }
        // Only the signature: the claims are judged below, where a claim of the wrong type is no missing one.
        let mut validation = Validation::new(key.algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let token = decode::<Map<String, Value>>(token, &key.key, &validation)
            .map_err(|_| "The token's signature is not valid")?;
        let times = claims::times(&token.claims)?;
        times.check(now)?;
        let caller = claims::caller(&token.claims, &self.issuer, &self.audience)?;
        Ok(Verified { caller, key_id, times })
    }
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = sent.next() else {
        return Err(Problem::unauthenticated("Send Authorization: Bearer and an access token", false));
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match (token, sent.next()) {
        (Some(token), None) if !token.is_empty() => Ok(token),
        _ => Err(Problem::unauthenticated("Send one Authorization header, Bearer and an access token", false)),
    }
}

fn invalid(why: &'static str) -> Problem {
    Problem::unauthenticated(why, true)
}
