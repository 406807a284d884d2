//! A catalog that is published over HTTP, asked about and sold from, on the running stack.
//! Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::{Answer, Crm, Request};
use cpq_e2e::history::History;
use cpq_e2e::{operator, settings};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;

/// A tenant of its own with the demo's reference data, and its people.
struct Seller {
    catalog: Value,
    admin: Crm,
    sales: Crm,
}

impl Seller {
    fn new() -> Self {
        let tenant = format!("tenant-{}", ulid::Ulid::generate().to_string().to_lowercase());
        let source = settings::repository().join("deploy/reference-data/tenant-acme");
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(&tenant);
        fs::create_dir_all(&own).unwrap();
        for file in ["tenant.json", "customers.json", "approvers.json", "catalog.json"] {
            let text = fs::read_to_string(source.join(file)).unwrap();
            fs::write(own.join(file), text.replace("tenant-acme", &tenant)).unwrap();
        }
        operator::import(folder.path()).unwrap();
        let person = |actor: &str, role: &str| Crm::recorded(&tenant, actor, &[role], &History::default()).unwrap();
        Self {
            catalog: serde_json::from_str(&fs::read_to_string(source.join("catalog.json")).unwrap()).unwrap(),
            admin: person("cat", "catalog-admin"),
            sales: person("alice", "sales-rep"),
        }
    }

    /// The catalog under another version, with another price for a silver fiber.
    fn version(&self, version: &str, silver_amount: &str) -> Value {
        let mut catalog = self.catalog.clone();
        catalog["catalogVersion"] = json!(version);
        let prices = catalog["prices"].as_array_mut().unwrap();
        prices.iter_mut().find(|price| price["id"] == "fiber-1g-silver-usd").unwrap()["amount"] = json!(silver_amount);
        catalog
    }

    async fn publish(&self, catalog: &Value) -> Answer {
        let request = Request::command(Method::POST, "/catalog/versions", "test-catalog", catalog.clone());
        self.admin.send(&request).await.unwrap()
    }

    /// A command, which must be answered well.
    async fn command(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.sales.send(&Request::command(method, path, "test-catalog", body)).await.unwrap();
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.body);
        answer.body
    }

    /// A question: a body without an idempotency key.
    async fn ask(&self, path: &str, body: Value) -> Answer {
        let mut request = Request::command(Method::POST, path, "test-catalog", body);
        request.idempotency_key = None;
        self.sales.send(&request).await.unwrap()
    }

    async fn read(&self, path: &str) -> Value {
        self.sales.send(&Request::get(path, "test-catalog")).await.unwrap().body
    }
}

fn lines(sla: &str, router: &str) -> Value {
    json!([
        {"lineNumber": "1", "productOfferingId": "fiber-1g", "quantity": "2", "action": "ADD", "characteristics": {"sla": sla, "site": "HQ"}},
        {"lineNumber": "2", "parentLineNumber": "1", "productOfferingId": router, "quantity": "2", "action": "ADD"},
    ])
}

#[tokio::test]
async fn a_catalog_published_over_http_is_sold_from_and_a_newer_one_is_told() {
    let seller = Seller::new();
    let published = seller.publish(&seller.version("http-1", "519.00")).await;
    assert_eq!(published.status, 201, "{}", published.body);
    assert_eq!(seller.publish(&seller.version("http-1", "519.00")).await.body, published.body);
    let other = seller.publish(&seller.version("http-1", "1.00")).await;
    assert_eq!((other.status, &other.body["errorCode"]), (409, &json!("CATALOG_VERSION_EXISTS")));

    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
    let quote = seller.command(Method::POST, "/quotes", body).await["quoteId"].as_str().unwrap().to_owned();
    let (path, check) = (format!("/quotes/{quote}"), format!("/quotes/{quote}/configuration-check"));

    let gold = json!({"quoteRevision": 1, "lines": lines("GOLD", "router")});
    let refused = seller.ask(&check, gold).await;
    assert_eq!((refused.status, &refused.body["errorCode"]), (422, &json!("CONFIGURATION_INVALID")));
    let silver = json!({"op": "replace", "path": "/lines/0/characteristics/sla", "value": "SILVER"});
    assert!(refused.body["errors"][0]["rule"].is_string(), "{}", refused.body);
    assert!(refused.body["errors"][0]["choices"].as_array().unwrap().contains(&silver), "{}", refused.body);

    let chosen = json!({"quoteRevision": 1, "lines": lines("SILVER", "router")});
    assert_eq!(seller.ask(&check, chosen.clone()).await.status, 200);
    assert_eq!(seller.read(&path).await["status"], "DRAFT");
    let configured = seller.command(Method::PUT, &format!("{path}/configuration"), chosen).await;
    assert_eq!(configured["catalogVersion"], "http-1");

    let discounted = json!({"quoteRevision": 2, "quoteDiscount": {"percent": "7.5", "reasonCode": "VOLUME"}});
    let preview = format!("{path}/price-preview");
    let first = seller.ask(&preview, discounted.clone()).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let second = seller.ask(&preview, discounted.clone()).await;
    let priced = seller.command(Method::POST, &format!("{path}/pricing"), discounted).await;
    for amount in ["listAmount", "discountAmount", "totalAmount", "taxAmount", "lines"] {
        assert_eq!(first.body[amount], priced["price"][amount], "{amount}");
        assert_eq!(second.body[amount], priced["price"][amount], "{amount}");
    }

    assert_eq!(seller.publish(&seller.version("http-2", "499.00")).await.status, 201);
    let changed = &seller.read(&path).await["catalogChanged"];
    assert_eq!(changed["catalogVersion"], "http-2");
    assert_eq!(changed["changes"][0]["kind"], "PRICES_CHANGED", "{changed}");
    let again = json!({"quoteRevision": 3, "lines": lines("SILVER", "router")});
    let moved = seller.command(Method::PUT, &format!("{path}/configuration"), again).await;
    assert_eq!(moved["catalogVersion"], "http-2");
    assert_eq!(seller.read(&path).await.get("catalogChanged"), None);
}
