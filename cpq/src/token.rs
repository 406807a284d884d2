//! `cpq token`: tokens for local work, signed with a development key that only the local stack trusts, and
//! that key itself. In production tokens come from the identity provider and this command has no key.

mod key;

use crate::Failure;
use crate::output::Answer;
use crate::span::{Span, parse_span};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;
use time::OffsetDateTime;
use uuid::Uuid;

pub use key::{DEV_KEY_FILE, DevKey, JWKS_FILE};

/// The contract's roles. Others are signed too, for tests of refusal, with a word on standard error.
const ROLES: [&str; 7] = ["sales-rep", "approver", "customer", "order-manager", "operator", "catalog-admin", "auditor"];

/// Who acts: a person or a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ActorType {
    #[value(name = "USER", alias = "user")]
    User,
    #[value(name = "SYSTEM", alias = "system")]
    System,
}

/// Make a token for local work, or the development key that signs such tokens.
#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// Makes DIR/dev-key.pem (mode 0600) and DIR/jwks.json, or keeps the key that is there; makes no token.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["sub", "tenant", "roles", "accounts"])]
    init_dev_key: Option<PathBuf>,
    /// The actor's id.
    #[arg(long, required_unless_present = "init_dev_key")]
    sub: Option<String>,
    /// The actor's tenant (claim `tenant_id`).
    #[arg(long, required_unless_present = "init_dev_key")]
    tenant: Option<String>,
    /// A role: sales-rep, approver, customer, order-manager, operator, catalog-admin, auditor. Repeatable.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A customer account that the actor may act for; '*' for all. Repeatable; without it: none.
    #[arg(long = "account", value_name = "ACCOUNT")]
    accounts: Vec<String>,
    /// Whether a person or a system acts.
    #[arg(long, value_enum, default_value = "USER")]
    actor_type: ActorType,
    /// How long the token is good: 90s, 15m, 1h, 7d. A negative one makes a token that has expired.
    #[arg(long, default_value = "1h", value_parser = parse_span, allow_hyphen_values = true)]
    ttl: Span,
    /// For whom the token is (claim `aud`).
    #[arg(long, env = "CPQ_OIDC_AUDIENCE", default_value = "cpq")]
    audience: String,
    /// Who vouches for it (claim `iss`).
    #[arg(long, env = "CPQ_OIDC_ISSUER", default_value = "https://dev.cpq.local")]
    issuer: String,
    /// The development key's file.
    #[arg(long, env = "CPQ_OIDC_DEV_KEY", value_name = "FILE", default_value = ".stack/oidc/dev-key.pem")]
    key: PathBuf,
}

/// The contract's claims.
#[derive(Debug, Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    tenant_id: &'a str,
    roles: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    customer_accounts: &'a [String],
    actor_type: ActorType,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

/// Makes the token or the key.
pub fn run(args: &TokenArgs) -> Result<Answer, Failure> {
    if let Some(directory) = &args.init_dev_key {
        let made = DevKey::init(directory)?;
        let (key, jwks) = (directory.join(DEV_KEY_FILE), directory.join(JWKS_FILE));
        let text = format!("{} {} and {}", if made { "made" } else { "kept" }, key.display(), jwks.display());
        return Answer::new(&json!({"key": key, "jwks": jwks, "made": made}), text);
    }
    let token = sign(args, &DevKey::read(&args.key)?, OffsetDateTime::now_utc().unix_timestamp())?;
    for role in args.roles.iter().filter(|role| !ROLES.contains(&role.as_str())) {
        eprintln!("cpq: note: '{role}' is none of the product's roles ({})", ROLES.join(", "));
    }
    Answer::new(&json!({"token": token}), token.clone())
}

fn sign(args: &TokenArgs, key: &DevKey, now: i64) -> Result<String, Failure> {
    let (Some(sub), Some(tenant_id)) = (&args.sub, &args.tenant) else {
        return Err(Failure::usage("a token needs --sub and --tenant"));
    };
    let exp = now.saturating_add(args.ttl.seconds());
    // An expired token was issued before it expired, so that expiry is all that is wrong with it.
    let issued = now.min(exp.saturating_sub(1));
    key.sign(&Claims {
        iss: &args.issuer,
        aud: &args.audience,
        sub,
        tenant_id,
        roles: &args.roles,
        customer_accounts: &args.accounts,
        actor_type: args.actor_type,
        iat: issued,
        nbf: issued,
        exp,
        jti: Uuid::now_v7().to_string(),
    })
}

#[cfg(test)]
mod tests;
