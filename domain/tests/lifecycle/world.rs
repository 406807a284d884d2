//! One tenant with its people, catalog and policy, and the small language in which the tables are written:
//! `<actor> <verb> [option=value …]`.

use cpq_domain::approval::ApprovalPolicy;
use cpq_domain::catalog::{Catalog, CatalogSource};
use cpq_domain::command::{ActorType, Applied, Claims, CommandMeta, Decision, IfMatch, Role};
use cpq_domain::ids::{ActorId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::reference::{Approver, Customer, Tenant};
use cpq_domain::rejection::Rejection;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub const TENANT: &str = "tenant-acme";
pub const ACCOUNT: &str = "acct-1001";

pub fn start() -> Moment {
    Moment::parse("2026-11-03T10:00:00Z").unwrap()
}

/// Reference data of the tenant.
pub struct World {
    pub tenant: Tenant,
    pub customer: Customer,
    pub catalog: Catalog,
    pub policy: ApprovalPolicy,
    pub approvers: Vec<Approver>,
}

pub static WORLD: LazyLock<World> = LazyLock::new(|| World {
    tenant: serde_json::from_value(json!({
        "tenantId": TENANT, "name": "Acme", "defaultCurrency": "USD", "fourEyes": true, "priceValidityDays": 30,
        "taxRates": [{"taxCategory": "STANDARD", "jurisdiction": "US-CA", "percent": "8.25"}],
    }))
    .unwrap(),
    customer: serde_json::from_value(json!({
        "customerAccountId": ACCOUNT, "name": "Northwind", "segment": "ENTERPRISE", "jurisdiction": "US-CA",
        "salesOwnerId": "olivia",
    }))
    .unwrap(),
    catalog: Catalog::compile(catalog()).unwrap(),
    policy: ApprovalPolicy::built_in().unwrap(),
    approvers: approvers(),
});

fn catalog() -> CatalogSource {
    let offering = |id: &str, fulfilment: &[&str], children: &[&str]| {
        let children: Vec<_> = children.iter().map(|id| json!({"offeringId": id, "min": 0, "max": 1})).collect();
        json!({
            "id": id, "version": "1", "name": id, "segments": [], "sellableFrom": "2026-01-01T00:00:00Z",
            "sellableTo": null, "taxCategory": "STANDARD", "children": children, "fulfilment": fulfilment,
        })
    };
    let price = |id: &str, kind: &str, amount: &str| {
        json!({
            "id": format!("{id}-price"), "offeringId": id, "priceListId": "standard", "currency": "USD",
            "segment": null, "kind": kind, "model": "PER_UNIT", "amount": amount, "unitCost": "1.00",
            "validFrom": "2026-01-01T00:00:00Z", "validTo": null,
        })
    };
    serde_json::from_value(json!({
        "catalogVersion": "2026.11",
        "offerings": [
            offering("fiber-1g", &["RESERVE_INVENTORY", "ACTIVATE_SERVICE", "START_BILLING"], &["router"]),
            offering("router", &["RESERVE_INVENTORY"], &[]),
            offering("care", &[], &[]),
        ],
        "prices": [
            price("fiber-1g", "RECURRING", "500.00"),
            price("router", "ONE_TIME", "100.00"),
            price("care", "RECURRING", "10.00"),
        ],
    }))
    .unwrap()
}

fn approvers() -> Vec<Approver> {
    let approver = |actor: &str, roles: &[&str], percent: &str, total: &str, currency: &str, to: Option<&str>| {
        json!({
            "actorId": actor, "roles": roles, "maxDiscountPercent": percent, "maxTotalAmount": total,
            "currency": currency, "validFrom": "2026-01-01T00:00:00Z", "validTo": to,
        })
    };
    serde_json::from_value(json!([
        approver("bob", &["SALES_MANAGER"], "30", "500000", "USD", None),
        approver("exact", &["SALES_MANAGER"], "12.00", "15928.00", "USD", None),
        approver("weak", &["SALES_MANAGER"], "5", "500000", "USD", None),
        approver("small", &["SALES_MANAGER"], "30", "100.00", "USD", None),
        approver("euro", &["SALES_MANAGER"], "30", "500000", "EUR", None),
        approver("former", &["SALES_MANAGER"], "30", "500000", "USD", Some("2026-11-03T10:00:00Z")),
        approver("dora", &["SALES_DIRECTOR"], "50", "900000", "USD", None),
        approver("fay", &["FINANCE"], "50", "900000", "USD", None),
        approver("greta", &["SALES_MANAGER", "SALES_DIRECTOR", "FINANCE"], "50", "900000", "USD", None),
        approver("alice", &["SALES_MANAGER"], "50", "900000", "USD", None),
        approver("olivia", &["SALES_MANAGER"], "50", "900000", "USD", None),
    ]))
    .unwrap()
}

/// A line of a table: who wants what, with which options.
pub struct Line {
    pub actor: String,
    pub verb: String,
    options: BTreeMap<String, String>,
}

impl Line {
    pub fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let (actor, verb) = (words.next().unwrap(), words.next().unwrap());
        let options = words.map(|word| word.split_once('=').unwrap_or_else(|| panic!("no option: {word}")));
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { actor: actor.to_owned(), verb: verb.to_owned(), options }
    }
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
    pub fn number(&self, key: &str) -> Option<u32> {
        self.option(key).map(|value| value.parse().unwrap())
    }
    /// `day=31`: that many days after the start.
    pub fn now(&self) -> Moment {
        start().plus_days(self.option("day").map_or(0, |days| days.parse().unwrap()))
    }
    /// `if-match=3`, `if-match=*`.
    pub fn meta(&self) -> CommandMeta {
        CommandMeta {
            command_id: "01JBSV1KQ1W7Y0X1N0R6V3E3AA".into(),
            tenant_id: TenantId::from(TENANT),
            claims: claims(&self.actor),
            correlation_id: "corr-1".into(),
            causation_id: None,
            received_at: self.now(),
            if_match: self.option("if-match").map(|value| match value {
                "*" => IfMatch::Any,
                tag => IfMatch::Revisions(vec![tag.parse().unwrap()]),
            }),
            traceparent: None,
        }
    }
}

/// The people of the tables by name. `zoe` and `zack` have another customer's account; who is not listed is a
/// process of ours.
pub fn claims(actor: &str) -> Claims {
    let (roles, account): (&[Role], &str) = match actor {
        "alice" => (&[Role::SalesRep, Role::Approver], "*"),
        "sam" | "olivia" => (&[Role::SalesRep, Role::Approver], ACCOUNT),
        "zoe" => (&[Role::SalesRep], "acct-9999"),
        "carl" => (&[Role::Customer], ACCOUNT),
        "omar" => (&[Role::OrderManager], "*"),
        "zack" => (&[Role::OrderManager], "acct-9999"),
        "pia" => (&[Role::SalesRep, Role::OrderManager], "*"),
        "bridge" | "document" | "orders" | "quotes" | "timer" => return Claims::system(actor),
        _ => (&[Role::Approver], "*"),
    };
    Claims {
        actor_id: ActorId::from(actor),
        actor_type: ActorType::User,
        roles: roles.to_vec(),
        customer_accounts: vec![account.to_owned()],
    }
}

/// A decision in the tables' words, without the state it leads to.
pub fn describe<E, F>(
    decision: &Result<Decision<E, F>, Rejection>,
    name: impl Fn(&E) -> &'static str,
) -> Result<String, String> {
    match decision {
        Ok(Decision::Applied { events, outcome }) => {
            let names: Vec<_> = events.iter().map(name).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(" ") };
            let created = if matches!(outcome, Applied { created: true, .. }) { " created" } else { "" };
            Ok(format!("{names}{created}"))
        }
        Ok(Decision::Deferred { .. }) => Ok("deferred".to_owned()),
        Err(rejection) => {
            let pointers: Vec<_> = rejection.errors.iter().map(|e| format!(" {}", e.pointer)).collect();
            let retryable = if rejection.retryable { " retryable" } else { "" };
            Err(format!("{}{retryable}{}", rejection.code, pointers.concat()))
        }
    }
}
