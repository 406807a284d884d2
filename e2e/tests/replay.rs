//! What-if pricing: stored quotes priced again under another catalog, by the operator's command line.
//! Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::{Crm, Request};
use cpq_e2e::history::History;
use cpq_e2e::load::insist;
use cpq_e2e::{operator, settings};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The demo's tenant under another name: catalogs of its own disturb nobody.
fn import(tenant: &str, folder: &Path, version: &str, silver_amount: &str) {
    let source = settings::repository().join("deploy/reference-data/tenant-acme");
    let own = folder.join(tenant);
    fs::create_dir_all(&own).unwrap();
    for file in ["tenant.json", "customers.json", "approvers.json"] {
        let text = fs::read_to_string(source.join(file)).unwrap();
        fs::write(own.join(file), text.replace("tenant-acme", tenant)).unwrap();
    }
    let mut catalog: Value = serde_json::from_str(&fs::read_to_string(source.join("catalog.json")).unwrap()).unwrap();
    catalog["catalogVersion"] = json!(version);
    let prices = catalog["prices"].as_array_mut().unwrap();
    prices.iter_mut().find(|price| price["id"] == "fiber-1g-silver-usd").unwrap()["amount"] = json!(silver_amount);
    fs::write(own.join("catalog.json"), catalog.to_string()).unwrap();
    operator::import(folder).unwrap();
}

async fn post(crm: &Crm, method: Method, path: &str, body: Value) -> Value {
    let answer = insist(crm, &Request::command(method, path, "test-replay", body)).await.unwrap();
    assert!(answer.status < 300, "{path}: {}", answer.body);
    answer.body
}

#[tokio::test]
async fn replaying_prices_under_another_catalog_tells_which_totals_would_differ() {
    let tenant = format!("tenant-{}", ulid::Ulid::generate().to_string().to_lowercase());
    let folder = tempfile::tempdir().unwrap();
    import(&tenant, folder.path(), "one", "419.00");
    let crm = Crm::recorded(&tenant, "alice", &["sales-rep"], &History::default()).unwrap();
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
    let quote = post(&crm, Method::POST, "/quotes", body).await["quoteId"].as_str().unwrap().to_owned();
    let lines = json!([
        {"lineNumber": "1", "productOfferingId": "fiber-1g", "quantity": "2", "action": "ADD", "characteristics": {"sla": "SILVER", "site": "HQ"}},
        {"lineNumber": "2", "parentLineNumber": "1", "productOfferingId": "router", "quantity": "2", "action": "ADD"},
    ]);
    let path = format!("/quotes/{quote}/configuration");
    post(&crm, Method::PUT, &path, json!({"quoteRevision": 1, "lines": lines})).await;
    let priced = post(&crm, Method::POST, &format!("/quotes/{quote}/pricing"), json!({"quoteRevision": 2})).await;

    let own = operator::replay_price(&["--tenant", &tenant]).unwrap();
    assert_eq!((&own["prices"], &own["same"]), (&json!(1), &json!(1)), "{own}");

    // 100 more per unit and month, of 2 units over 12 months.
    import(&tenant, folder.path(), "two", "519.00");
    let dearer = operator::replay_price(&["--tenant", &tenant, "--catalog", "two"]).unwrap();
    let [difference] = dearer["different"].as_array().unwrap().as_slice() else { panic!("{dearer}") };
    assert_eq!(difference["totalAmount"], priced["price"]["totalAmount"]);
    assert_eq!(difference["difference"], "2400.00");
    assert_eq!(dearer["differenceByCurrency"], json!({"USD": "2400.00"}));

    // Nothing was written: the quote costs what it cost.
    let path = format!("/quotes/{quote}");
    let now = insist(&crm, &Request::get(&path, "test-replay")).await.unwrap().body;
    assert_eq!((&now["price"]["totalAmount"], &now["revision"]), (&priced["price"]["totalAmount"], &json!(3)));
}
