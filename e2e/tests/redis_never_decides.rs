//! The same quotes with Redis up, emptied all the time, and down: the same prices, the same waterfalls and the same
//! decisions, to the last digit. Redis speeds reads, it never decides.
//! Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::{Crm, Request};
use cpq_e2e::load::insist;
use cpq_e2e::operator;
use cpq_e2e::services::{Verb, stack};
use cpq_e2e::settings::variable;
use pretty_assertions::assert_eq;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use ulid::Ulid;

/// Between two times that Redis is emptied.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for an answer of Redis.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked of one quote.
struct Case {
    account: &'static str,
    currency: &'static str,
    term: u32,
    lines: Value,
    /// Percent off the whole quote.
    discount: &'static str,
}

fn line(number: &str, parent: Option<&str>, offering: &str, quantity: &str, characteristics: Value) -> Value {
    json!({"lineNumber": number, "parentLineNumber": parent, "productOfferingId": offering, "quantity": quantity,
        "action": "ADD", "characteristics": characteristics})
}

/// A tiered price, a bundle on a long term whose total needs people, one with a small discount, a
/// discount that needs people, a choice that is refused, and a discount that nobody may give.
fn cases() -> Vec<Case> {
    let voice = |quantity| json!([line("1", None, "cloud-voice", quantity, json!({}))]);
    let fiber = json!([
        line("1", None, "fiber-1g", "2", json!({"site": "BER-1"})),
        line("1.1", Some("1"), "router", "2", json!({})),
    ]);
    let siteless = json!([line("1", None, "fiber-1g", "1", json!({}))]);
    let case = |account, currency, term, lines, discount| Case { account, currency, term, lines, discount };
    vec![
        case("acct-1001", "USD", 12, voice("120"), "0"),
        case("acct-1001", "EUR", 36, fiber.clone(), "0"),
        case("acct-1001", "USD", 24, fiber, "3.5"),
        case("acct-1002", "USD", 12, voice("33"), "12"),
        case("acct-1001", "USD", 12, siteless, "0"),
        case("acct-1001", "USD", 12, voice("1"), "101"),
    ]
}

/// Plays the cases and tells all that a person would look at.
async fn played() -> Vec<Value> {
    let base = format!("http://{}", variable("CPQ_HTTP_ADDR").unwrap());
    let crm = Crm::new(&base, operator::token("tenant-acme", "alice", &["sales-rep"]).unwrap()).unwrap();
    let mut told = Vec::new();
    for case in cases() {
        told.push(quote(&crm, &case).await);
    }
    told
}

async fn quote(crm: &Crm, case: &Case) -> Value {
    let correlation = format!("test-redis-{}", Ulid::generate());
    let post = async |method: Method, path: String, body: Value| {
        insist(crm, &Request::command(method, &path, &correlation, body)).await.unwrap()
    };
    let body = json!({"customerAccountId": case.account, "currency": case.currency, "termMonths": case.term});
    let created = post(Method::POST, "/quotes".to_owned(), body).await.body;
    let at = |verb: &str| format!("/quotes/{}/{verb}", created["quoteId"].as_str().unwrap());
    let body = json!({"quoteRevision": 1, "lines": case.lines});
    let configured = post(Method::PUT, at("configuration"), body).await;
    if configured.status != 200 {
        return refusal(&configured.body);
    }
    let discount = json!({"percent": case.discount, "reasonCode": "STRATEGIC_ACCOUNT"});
    let body = json!({"quoteRevision": 2, "quoteDiscount": (case.discount != "0").then_some(discount)});
    // Twice: the second may come out of a cache.
    let previews = [
        post(Method::POST, at("price-preview"), body.clone()).await.body,
        post(Method::POST, at("price-preview"), body.clone()).await.body,
    ];
    let priced = post(Method::POST, at("pricing"), body).await;
    if priced.status != 200 {
        return refusal(&priced.body);
    }
    let submitted = post(Method::POST, at("approval-submission"), json!({"quoteRevision": 3})).await.body;
    let get = insist(crm, &Request::get(&at("explanation"), &correlation)).await.unwrap().body;
    let mut price = priced.body["price"].clone();
    let own = price.as_object_mut().unwrap();
    own.retain(|name, _| !["priceResultId", "pricingDate", "pricedAt", "freshUntil"].contains(&name.as_str()));
    let end = get["waterfall"].as_array().and_then(|bars| bars.last()).unwrap()["amount"].clone();
    assert_eq!(decimal(&end), decimal(&price["totalWithTax"]), "the waterfall ends at the total: {get}");
    for preview in &previews {
        assert_eq!(preview["totalWithTax"], price["totalWithTax"], "{preview}");
    }
    let steps = submitted["approval"]["steps"].as_array().cloned().unwrap_or_default();
    json!({
        "price": price, "waterfall": get["waterfall"], "intact": get["intact"],
        "approved": submitted["status"] == "APPROVED", "reasons": submitted["approval"]["reasons"],
        "roles": steps.iter().map(|step| step["candidateRole"].clone()).collect::<Vec<_>>(),
    })
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

fn refusal(problem: &Value) -> Value {
    json!({"code": problem["errorCode"], "errors": problem["errors"]})
}

/// Empties Redis until it is dropped; counts how often.
async fn emptied(times: Arc<AtomicUsize>) {
    let url = variable("CPQ_REDIS_URL").unwrap();
    let addr = url.trim_start_matches("redis://").trim_end_matches('/');
    let mut connection = TcpStream::connect(addr).await.unwrap();
    loop {
        connection.write_all(b"FLUSHALL\r\n").await.unwrap();
        let mut answer = [0; 5];
        tokio::time::timeout(TIMEOUT, connection.read_exact(&mut answer)).await.expect("redis answers").unwrap();
        assert_eq!(&answer, b"+OK\r\n");
        times.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_and_decisions_are_the_same_with_redis_up_flushed_and_down() {
    let with = played().await;
    let times = Arc::new(AtomicUsize::new(0));
    let flushing = tokio::spawn(emptied(times.clone()));
    let flushed = played().await;
    flushing.abort();
    assert!(times.load(Ordering::Relaxed) > with.len(), "Redis was emptied while quotes were on their way");

    stack(Verb::Kill, &["redis"]).await.unwrap();
    let without = tokio::spawn(played()).await;
    stack(Verb::Start, &["redis"]).await.unwrap();

    assert_eq!(with, flushed);
    assert_eq!(with, without.unwrap());
    let outcome =
        |told: &Value| told["approved"].as_bool().map_or("refused", |yes| if yes { "approved" } else { "asked" });
    let outcomes: Vec<_> = with.iter().map(outcome).collect();
    assert_eq!(outcomes, ["approved", "asked", "approved", "asked", "refused", "refused"], "{with:#?}");
}
