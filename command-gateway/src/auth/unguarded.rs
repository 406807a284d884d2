//! The gateway without its guard, to measure what the guard costs: whoever sends a token, of whatever kind, is one and
//! the same sales person. Only benchmarks compile this; a release build refuses it.

use super::Caller;
use cpq_domain::command::{ANY_ACCOUNT, ActorType, Claims, Role};
use cpq_domain::ids::{ActorId, TenantId};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The one caller; without a token the guard answers.
pub fn caller(headers: &HeaderMap) -> Option<Caller> {
    headers.contains_key(AUTHORIZATION).then(|| Caller {
        tenant: TenantId::from("tenant-acme"),
        claims: Claims {
            actor_id: ActorId::new("bench".to_owned()),
            actor_type: ActorType::User,
            roles: vec![Role::SalesRep],
            customer_accounts: vec![ANY_ACCOUNT.to_owned()],
        },
    })
}
