//! Deals under SIGKILL: each service is killed while deals are on their way, and started again. Afterwards the
//! history must hold: every deal is fulfilled, exactly one order each, topics, prices and audit verify.
//! Needs the running stack as plain processes: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::{Answer, Crm, Request};
use cpq_e2e::operator;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use ulid::Ulid;

/// Deals in flight over all clients: enough that every kill lands on work, few enough for two cores.
const DEALS: usize = 160;
const CLIENTS: usize = 8;
/// Longest time for everything to drain after the last start.
const DRAIN: Duration = Duration::from_secs(240);
const RETRIES: usize = 120;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run through `make test` (or `. .stack/env`)"))
}

/// Kills a service and starts it again, as an operator would.
fn kill_and_start(service: &str) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for verb in ["kill", "start"] {
        let status = Command::new("deploy/stack.sh").args([verb, service]).current_dir(root).status().unwrap();
        assert!(status.success(), "deploy/stack.sh {verb} {service} failed");
    }
}

/// Sends with the same idempotency key until there is an answer that is not about being down, and follows a
/// 202 that is still pending.
async fn insist(crm: &Crm, request: &Request<'_>) -> Answer {
    let mut last = String::new();
    for _ in 0..RETRIES {
        match crm.send(request).await {
            Ok(answer) if answer.body["status"] == "PENDING" => last = "pending".to_owned(),
            Ok(answer) if !matches!(answer.status, 429 | 500..) => return answer,
            Ok(answer) => last = answer.body.to_string(),
            Err(error) => last = error,
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{} {} was never answered; last: {last}", request.method, request.path);
}

async fn step(crm: &Crm, correlation: &str, method: Method, path: &str, body: Value, if_match: Option<u64>) -> Value {
    let mut request = Request::command(method, path, correlation, body);
    request.if_match = if_match;
    let answer = insist(crm, &request).await;
    assert!(answer.status < 300, "{path}: {}", answer.body);
    answer.body
}

/// One whole deal; gives its quote's id.
async fn deal(sales: &Crm) -> String {
    let correlation = format!("crash-{}", Ulid::generate());
    let at = |quote: &str, verb: &str| format!("/quotes/{quote}/{verb}");
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
    let created = step(sales, &correlation, Method::POST, "/quotes", body, None).await;
    let quote = created["quoteId"].as_str().unwrap().to_owned();
    let lines = json!([{"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": "5", "action": "ADD"}]);
    let body = json!({"quoteRevision": 1, "lines": lines});
    step(sales, &correlation, Method::PUT, &at(&quote, "configuration"), body, None).await;
    step(sales, &correlation, Method::POST, &at(&quote, "pricing"), json!({"quoteRevision": 2}), None).await;
    step(sales, &correlation, Method::POST, &at(&quote, "approval-submission"), json!({"quoteRevision": 3}), None)
        .await;
    let body = json!({"quoteRevision": 5, "artifactType": "PROPOSAL"});
    let artifact = step(sales, &correlation, Method::POST, &at(&quote, "artifacts"), body, None).await;
    let evidence =
        json!({"method": "MANUAL_ENTRY", "acceptedAt": "2026-11-01T00:00:00Z", "artifactId": artifact["artifactId"]});
    let body = json!({"quoteRevision": 5, "acceptedBy": "Nora", "acceptanceEvidence": evidence});
    step(sales, &correlation, Method::POST, &at(&quote, "acceptance"), body, Some(5)).await;
    quote
}

async fn fulfilled(sales: &Crm, quote: &str) -> String {
    let began = Instant::now();
    loop {
        let path = format!("/quotes/{quote}");
        let body = insist(sales, &Request::get(&path, "crash-check")).await.body;
        if let (Some(order), "ACCEPTED") = (body["orderId"].as_str(), body["status"].as_str().unwrap_or_default()) {
            let path = format!("/orders/{order}");
            let answer = insist(sales, &Request::get(&path, "crash-check")).await.body;
            if answer["status"] == "COMPLETED" {
                return order.to_owned();
            }
        }
        assert!(began.elapsed() < DRAIN, "{quote} is not fulfilled: {body}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killing_any_service_in_mid_flight_loses_and_doubles_nothing() {
    let base = format!("http://{}", variable("CPQ_HTTP_ADDR"));
    let sales = Crm::new(&base, operator::token("tenant-acme", "alice", &["sales-rep"]).unwrap()).unwrap();
    let (left, finished) = (Arc::new(AtomicUsize::new(DEALS)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (sales, left, finished) = (sales.clone(), left.clone(), finished.clone());
        clients.spawn(async move {
            let mut quotes = Vec::new();
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                quotes.push(deal(&sales).await);
                finished.fetch_add(1, Ordering::SeqCst);
            }
            quotes
        });
    }
    for (n, service) in ["command-gateway", "streams", "camunda-bridge", "streams"].into_iter().enumerate() {
        while finished.load(Ordering::SeqCst) < (n + 1) * DEALS / 12 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(finished.load(Ordering::SeqCst) < DEALS, "the {service} was to be killed while deals are in flight");
        tokio::task::spawn_blocking(move || kill_and_start(service)).await.unwrap();
    }
    let quotes: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(quotes.iter().collect::<HashSet<_>>().len(), DEALS);
    let mut orders = HashSet::new();
    for quote in &quotes {
        assert!(orders.insert(fulfilled(&sales, quote).await), "two quotes share an order");
    }
    println!("{}", operator::verify("topic").unwrap());
    println!("{}", operator::verify("price").unwrap());
    println!("{}", operator::verify("audit").unwrap());
}
