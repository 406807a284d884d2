//! What a token's claims must say: issuer, audience, times as numbers, and who the caller is.

use super::{Caller, LEEWAY_SECONDS};
use cpq_domain::command::{ActorType, Claims, Role};
use cpq_domain::ids::{ActorId, TenantId};
use serde_json::{Map, Value};

/// Longest subject, tenant or account id.
const MAX_ID: usize = 128;
/// Accounts that a token can name; a token for more says `*`.
const MAX_ACCOUNTS: usize = 1000;

type Reason = &'static str;

/// From when until when a token holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    expires: f64,
    not_before: Option<f64>,
}

impl Times {
    pub fn check(&self, now: i64) -> Result<(), Reason> {
        let (now, leeway) = (now as f64, LEEWAY_SECONDS as f64);
        if now - leeway >= self.expires {
            return Err("The token has expired");
        }
        if self.not_before.is_some_and(|from| now + leeway < from) {
            return Err("The token does not hold yet");
        }
        Ok(())
    }
}

/// The times (RFC 7519: NumericDate). Text that looks like a number is none.
pub fn times(claims: &Map<String, Value>) -> Result<Times, Reason> {
    let number = |name: &str, reason: Reason| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().filter(|at| at.is_finite()).map(Some).ok_or(reason),
    };
    let expires = number("exp", "The token's exp is no number")?.ok_or("The token has no exp")?;
    let not_before = number("nbf", "The token's nbf is no number")?;
    number("iat", "The token's iat is no number")?;
    Ok(Times { expires, not_before })
}

/// Who calls.
pub fn caller(claims: &Map<String, Value>, issuer: &str, audience: &str) -> Result<Caller, Reason> {
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err("The token is of another issuer");
    }
    let for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    };
    if !for_us {
        return Err("The token is for another audience");
    }
    let actor = id(claims.get("sub")).ok_or("The token has no usable sub")?;
    let tenant = id(claims.get("tenant_id")).ok_or("The token has no usable tenant_id")?;
    let actor_type = match claims.get("actor_type") {
        None => ActorType::User,
        Some(Value::String(kind)) if kind == "USER" => ActorType::User,
        Some(Value::String(kind)) if kind == "SYSTEM" => ActorType::System,
        Some(_) => return Err("The token's actor_type is neither USER nor SYSTEM"),
    };
    let roles = list(claims.get("roles")).ok_or("The token's roles are no list of texts")?;
    let accounts = list(claims.get("customer_accounts")).ok_or("The token's customer_accounts are no list of texts")?;
    if accounts.len() > MAX_ACCOUNTS || accounts.iter().any(|account| !is_id(account)) {
        return Err("The token's customer_accounts are not usable");
    }
    Ok(Caller {
        tenant: TenantId::new(tenant),
        claims: Claims {
            actor_id: ActorId::new(actor),
            actor_type,
            roles: roles.into_iter().filter_map(Role::parse).collect(),
            customer_accounts: accounts.into_iter().map(str::to_owned).collect(),
        },
    })
}

/// The texts of a list; absent means none.
fn list(value: Option<&Value>) -> Option<Vec<&str>> {
    match value {
        None => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(Value::as_str).collect(),
        Some(_) => None,
    }
}

fn id(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|id| is_id(id))
}

/// Ids become parts of keys, headers and log fields.
fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn claims(change: Value) -> Map<String, Value> {
        let mut claims = json!({
            "iss": "https://issuer", "aud": "cpq", "sub": "alice", "tenant_id": "tenant-acme", "exp": 1000, "nbf": 900,
            "roles": ["sales-rep", "unheard-of"], "customer_accounts": ["acct-1"]
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn a_good_token_names_tenant_actor_known_roles_and_accounts() {
        let caller = caller(&claims(json!({})), "https://issuer", "cpq").unwrap();
        assert_eq!(caller.tenant.as_str(), "tenant-acme");
        assert_eq!(caller.claims.actor_id.as_str(), "alice");
        assert_eq!(caller.claims.roles, [Role::SalesRep]);
        assert_eq!(caller.claims.customer_accounts, ["acct-1"]);
        assert_eq!(caller.claims.actor_type, ActorType::User);
    }

    #[rstest]
    #[case(json!({"iss": "https://other"}))]
    #[case(json!({"iss": null}))]
    #[case(json!({"aud": "other"}))]
    #[case(json!({"aud": ["other"]}))]
    #[case(json!({"aud": {"cpq": 1}}))]
    #[case(json!({"sub": ""}))]
    #[case(json!({"sub": 7}))]
    #[case(json!({"sub": "a\r\nb"}))]
    #[case(json!({"tenant_id": null}))]
    #[case(json!({"tenant_id": ["tenant-acme"]}))]
    #[case(json!({"roles": "sales-rep"}))]
    #[case(json!({"customer_accounts": "*"}))]
    #[case(json!({"actor_type": "ROBOT"}))]
    fn a_claim_of_another_form_is_refused(#[case] change: Value) {
        assert!(caller(&claims(change), "https://issuer", "cpq").is_err());
    }

    #[test]
    fn without_customer_accounts_there_are_none() {
        let mut claims = claims(json!({}));
        claims.remove("customer_accounts");
        assert!(caller(&claims, "https://issuer", "cpq").unwrap().claims.customer_accounts.is_empty());
    }

    #[rstest]
    #[case(json!({"exp": "1000"}))]
    #[case(json!({"exp": null}))]
    #[case(json!({"nbf": "900"}))]
    #[case(json!({"nbf": true}))]
    #[case(json!({"iat": "1"}))]
    fn times_are_numbers(#[case] change: Value) {
        assert!(times(&claims(change)).is_err());
    }

    #[rstest]
    #[case::before(869, false)]
    #[case::first_within_leeway(870, true)]
    #[case::last_within_leeway(1029, true)]
    #[case::after(1030, false)]
    fn a_token_holds_between_its_times_with_30_seconds_leeway(#[case] now: i64, #[case] holds: bool) {
        assert_eq!(times(&claims(json!({}))).unwrap().check(now).is_ok(), holds);
    }
}
