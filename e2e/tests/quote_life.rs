//! What else becomes of quotes, on the running stack: withdrawn in the middle of the approval, expired when their time
//! has come, opened again after approval, cloned.
//! Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::{Crm, Request};
use cpq_e2e::deal::{Deal, Printer};
use cpq_e2e::operator;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use ulid::Ulid;

/// Whatever must come has come by then.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked again.
const PAUSE: Duration = Duration::from_millis(250);
/// Validity of a quote that is to expire.
const SOON: Duration = Duration::from_secs(3);

fn crm(actor: &str, roles: &[&str]) -> Crm {
    let addr =
        std::env::var("CPQ_HTTP_ADDR").expect("CPQ_HTTP_ADDR is not set: run through `make test` (or `. .stack/env`)");
    Crm::new(&format!("http://{addr}"), operator::token("tenant-acme", actor, roles).unwrap()).unwrap()
}

fn deal(name: &str) -> Deal {
    let people = HashMap::from([
        ("sales", crm("alice", &["sales-rep"])),
        ("approver", crm("bob", &["approver"])),
        ("orders", crm("omar", &["order-manager"])),
    ]);
    let correlation_id = format!("test-{name}-{}", Ulid::generate());
    let printer = Printer { colour: false };
    Deal { people, correlation_id, printer, quote: String::new(), revision: 0, order: String::new() }
}

/// Asks until the answer is as it should be.
async fn eventually(deal: &Deal, who: &str, path: &str, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let body = deal.people[who].send(&Request::get(path, &deal.correlation_id)).await.unwrap().body;
        if seen(&body) {
            return body;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not seen at {path}; last seen: {body}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the engine's instance of this deal's approval has ended.
async fn process_has_ended(deal: &Deal) {
    let began = Instant::now();
    loop {
        let story = operator::trace(&deal.correlation_id).unwrap();
        if story.iter().any(|s| s["where"] == "CAMUNDA" && s["what"] == "quote-approval instance ended") {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the approval's process goes on: {story:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

fn seats(quantity: &str) -> Value {
    json!([{"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": quantity, "action": "ADD"}])
}

fn tasks_of(list: &Value, quote: &str) -> Vec<String> {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter(|t| t["quoteId"] == quote).map(|t| t["taskId"].as_str().unwrap().to_owned()).collect()
}

const OPEN: &str = "/worklist/tasks?type=APPROVAL&status=OPEN&limit=200";

#[tokio::test]
async fn withdrawing_a_pending_quote_ends_its_tasks_and_its_process() {
    let mut deal = deal("withdrawal");
    deal.create("acct-1002", "USD", 12).await.unwrap();
    deal.configure(seats("20")).await.unwrap();
    deal.price("12").await.unwrap();
    deal.submit().await.unwrap();
    deal.facts(&["QuoteApprovalStarted", "UserTaskCreated"]).await.unwrap();
    let quote = deal.quote.clone();
    let list =
        eventually(&deal, "approver", OPEN, "the task is on the list", |list| !tasks_of(list, &quote).is_empty()).await;
    let task = tasks_of(&list, &quote).remove(0);

    let path = format!("/quotes/{quote}/withdrawal");
    let body = json!({"quoteRevision": deal.revision, "reasonCode": "DEAL_LOST"});
    let answer = deal.command("sales", "withdraw quote", Method::POST, &path, body, 200).await.unwrap();
    assert_eq!((&answer["status"], &answer["approval"]["status"]), (&json!("WITHDRAWN"), &json!("CANCELLED")));
    deal.facts(&["WithdrawQuote", "QuoteWithdrawn", "EndApproval"]).await.unwrap();
    process_has_ended(&deal).await;
    eventually(&deal, "approver", OPEN, "the task is off the list", |list| tasks_of(list, &quote).is_empty()).await;

    let body = json!({"decision": "APPROVE", "reasonCode": "LATE", "observedQuoteRevision": deal.revision});
    let path = format!("/workflow-tasks/{task}/completion");
    let late = deal.command("approver", "decide too late", Method::POST, &path, body, 409).await.unwrap();
    assert_eq!(late["errorCode"], "QUOTE_WITHDRAWN");
}

#[tokio::test]
async fn a_quote_whose_time_has_come_expires_by_itself() {
    let mut deal = deal("expiry");
    let until = (OffsetDateTime::now_utc() + SOON).format(&Rfc3339).unwrap();
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "validUntil": until});
    let created = deal.command("sales", "create quote", Method::POST, "/quotes", body, 201).await.unwrap();
    deal.quote = created["quoteId"].as_str().unwrap().to_owned();
    let path = format!("/quotes/{}", deal.quote);
    let expired = eventually(&deal, "sales", &path, "the quote expires", |quote| quote["status"] == "EXPIRED").await;
    assert_eq!(expired["revision"], 2);
    deal.facts(&["QuoteCreated", "ExpireQuote", "QuoteExpired"]).await.unwrap();
    eventually(&deal, "sales", "/quotes?status=EXPIRED&limit=200", "the list shows it", |list| {
        list["items"].as_array().is_some_and(|items| items.iter().any(|q| q["quoteId"] == deal.quote.as_str()))
    })
    .await;
    let path = format!("/quotes/{}/configuration", deal.quote);
    let body = json!({"quoteRevision": 2, "lines": seats("1")});
    let late = deal.command("sales", "configure too late", Method::PUT, &path, body, 409).await.unwrap();
    assert_eq!(late["errorCode"], "QUOTE_EXPIRED");
}

#[tokio::test]
async fn a_reopened_quote_goes_its_way_again_and_then_to_its_order() {
    let mut deal = deal("reopened");
    deal.create("acct-1002", "USD", 12).await.unwrap();
    deal.configure(seats("20")).await.unwrap();
    deal.price("0").await.unwrap();
    assert_eq!(deal.submit().await.unwrap()["status"], "APPROVED");
    let approved = deal.revision;
    let path = format!("/quotes/{}/revision", deal.quote);
    let body = json!({"quoteRevision": approved, "reasonCode": "MORE_SEATS"});
    let reopened = deal.command("sales", "reopen", Method::POST, &path, body, 200).await.unwrap();
    assert_eq!((&reopened["status"], &reopened["price"]), (&json!("CONFIGURED"), &Value::Null));
    assert_eq!(reopened["revision"], approved + 1);
    deal.configure(seats("25")).await.unwrap();
    deal.price("0").await.unwrap();
    deal.submit().await.unwrap();
    deal.close().await.unwrap();
    deal.order_becomes(&["COMPLETED"]).await.unwrap();
    deal.facts(&["QuoteReopened", "OrderCompleted"]).await.unwrap();
}

#[tokio::test]
async fn a_clone_of_an_accepted_quote_goes_to_an_order_of_its_own() {
    let mut deal = deal("clone");
    deal.create("acct-1002", "USD", 24).await.unwrap();
    deal.configure(seats("3")).await.unwrap();
    deal.price("0").await.unwrap();
    deal.submit().await.unwrap();
    deal.close().await.unwrap();
    let (source, first) = (deal.quote.clone(), deal.order.clone());
    let path = format!("/quotes/{source}");
    let accepted = deal.people["sales"].send(&Request::get(&path, &deal.correlation_id)).await.unwrap().body;
    let path = format!("/quotes/{source}/clone");
    let body = json!({"quoteRevision": accepted["revision"]});
    let clone = deal.command("sales", "clone", Method::POST, &path, body, 201).await.unwrap();
    assert_ne!(clone["quoteId"], source.as_str());
    assert_eq!((&clone["status"], &clone["lines"]), (&json!("CONFIGURED"), &accepted["lines"]));
    assert_eq!((&clone["termMonths"], &clone["price"]), (&json!(24), &Value::Null));
    deal.quote = clone["quoteId"].as_str().unwrap().to_owned();
    deal.price("0").await.unwrap();
    deal.submit().await.unwrap();
    deal.close().await.unwrap();
    deal.order_becomes(&["COMPLETED"]).await.unwrap();
    assert_ne!(deal.order, first);

    let stale = json!({"quoteRevision": 1});
    let refused = deal.command("sales", "clone an old revision", Method::POST, &path, stale, 409).await.unwrap();
    assert_eq!(refused["errorCode"], "QUOTE_REVISION_STALE");
}
