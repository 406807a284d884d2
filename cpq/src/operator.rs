//! Who operates, and the audit entry of what an operator changed.

use crate::Failure;
use cpq_state_stores::decisions::{AuditEntry, Records, append};
use cpq_state_stores::{StoreError, Tx};
use time::OffsetDateTime;
use ulid::Ulid;

/// The actor where neither an option nor the system names one.
const NOBODY: &str = "operator";

/// The name given, else that of the user who is logged in.
pub fn name(given: Option<&str>) -> String {
    let login =
        || ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    given.map(str::to_owned).or_else(login).unwrap_or_else(|| NOBODY.to_owned())
}

/// What an operator's acts are allowed by. The command line has no token: the database role is what counts.
pub const CLAIMS: &str = r#"{"roles":["operator"],"via":"cpq"}"#;

/// A change that an operator makes.
pub struct Act<'a> {
    pub tenant_id: &'a str,
    /// The aggregate, or other thing, in whose audit chain the entry stands.
    pub chain: &'a str,
    pub action: &'static str,
    pub actor: &'a str,
}

/// Writes the audit entry in the transaction of the change.
pub async fn record(tx: &mut Tx, act: &Act<'_>, detail: &str) -> Result<(), Failure> {
    let command_id = Ulid::generate().to_string();
    let entry = AuditEntry {
        tenant_id: act.tenant_id.to_owned(),
        aggregate_id: act.chain.to_owned(),
        action: act.action,
        outcome: "APPLIED",
        error_code: None,
        actor_id: act.actor.to_owned(),
        actor_type: "USER",
        claims: CLAIMS.to_owned(),
        correlation_id: format!("cpq:{command_id}"),
        command_id,
        detail: Some(detail.to_owned()),
        recorded_at: OffsetDateTime::now_utc(),
    };
    append(tx, &Records { audit: vec![entry], ..Records::default() }).await.map_err(|error: StoreError| error.into())
}
