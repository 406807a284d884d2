//! The whole way of a deal on the running stack, as assertions.
//! Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::{Crm, Request};
use cpq_e2e::deal::{Deal, Printer};
use cpq_e2e::operator;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use ulid::Ulid;

fn base() -> String {
    let addr =
        std::env::var("CPQ_HTTP_ADDR").expect("CPQ_HTTP_ADDR is not set: run through `make test` (or `. .stack/env`)");
    format!("http://{addr}")
}

fn crm(actor: &str, roles: &[&str]) -> Crm {
    Crm::new(&base(), operator::token("tenant-acme", actor, roles).unwrap()).unwrap()
}

fn deal(name: &str) -> Deal {
    let people = HashMap::from([
        ("sales", crm("alice", &["sales-rep"])),
        ("approver", crm("bob", &["approver"])),
        ("orders", crm("olga", &["order-manager"])),
    ]);
    let correlation_id = format!("test-{name}-{}", Ulid::generate());
    let printer = Printer { colour: false };
    Deal { people, correlation_id, printer, quote: String::new(), revision: 0, order: String::new() }
}

fn seats(quantity: &str) -> Value {
    json!([{"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": quantity, "action": "ADD"}])
}

/// A deal whose quote is approved by policy alone.
async fn approved(name: &str) -> Deal {
    let mut deal = deal(name);
    deal.create("acct-1001", "USD", 12).await.unwrap();
    deal.configure(seats("5")).await.unwrap();
    deal.price("0").await.unwrap();
    deal.submit().await.unwrap();
    deal
}

#[tokio::test]
async fn a_deal_goes_from_quote_to_fulfilled_order() {
    let mut deal = approved("spine").await;
    deal.close().await.unwrap();
    deal.order_becomes(&["COMPLETED"]).await.unwrap();
    deal.facts(&[
        "QuoteCreated",
        "QuoteAccepted",
        "OrderCreated",
        "QuoteOrderLinked",
        "ProcessStarted",
        "OrderCompleted",
    ])
    .await
    .unwrap();
}

/// A deal whose discount a manager must approve.
async fn submitted(name: &str) -> Deal {
    let mut deal = deal(name);
    deal.create("acct-1002", "USD", 12).await.unwrap();
    deal.configure(seats("20")).await.unwrap();
    deal.price("12").await.unwrap();
    deal.submit().await.unwrap();
    deal
}

/// A task that is completed in the worklist is a command on its quote; the engine's task follows the decision.
#[tokio::test]
async fn approval_completion_calls_quote_service_command() {
    let mut deal = submitted("manager").await;
    let answer = deal.decide("approver", "APPROVE").await.unwrap();
    assert_eq!(answer["quote"]["status"], "APPROVED");
    deal.facts(&[
        "QuoteApprovalStarted",
        "UserTaskCreated",
        "CompleteTask",
        "QuoteApprovalStepDecided",
        "QuoteApproved",
        "UserTaskCompleted",
    ])
    .await
    .unwrap();
}

#[tokio::test]
async fn workflow_task_completion_checks_tenant_and_assignee() {
    let mut deal = submitted("assignee").await;
    deal.people.insert("assignee", crm("carol", &["approver"]));
    let elsewhere = Crm::new(&base(), operator::token("tenant-globex", "ivan", &["approver"]).unwrap()).unwrap();
    deal.people.insert("elsewhere", elsewhere);
    deal.facts(&["QuoteApprovalStarted"]).await.unwrap();
    let path = format!("/quotes/{}", deal.quote);
    let quote = deal.people["sales"].send(&Request::get(&path, "test-assignee")).await.unwrap();
    let request = quote.body["approval"]["approvalRequestId"].as_str().unwrap();
    let task = format!("/workflow-tasks/{request}.SALES_MANAGER");
    let (claim, completion) = (format!("{task}/claim"), format!("{task}/completion"));
    deal.command("assignee", "claim", Method::POST, &claim, json!({}), 200).await.unwrap();

    let revision = deal.revision;
    let body = json!({"decision": "APPROVE", "reasonCode": "WITHIN_AUTHORITY", "observedQuoteRevision": revision});
    for (who, status, code) in [("elsewhere", 404, "TASK_NOT_FOUND"), ("approver", 409, "TASK_CLAIMED")] {
        let answer = deal.command(who, "complete", Method::POST, &completion, body.clone(), status).await.unwrap();
        assert_eq!(answer["errorCode"], code);
    }
    let answer = deal.command("assignee", "complete", Method::POST, &completion, body, 200).await.unwrap();
    assert_eq!(answer["quote"]["status"], "APPROVED");
}

#[tokio::test]
async fn a_requester_cannot_approve_own_quote_when_four_eyes_required() {
    let mut deal = submitted("four-eyes").await;
    deal.people.insert("approver", crm("alice", &["approver"]));
    let path = format!("/quotes/{}/approval-decisions", deal.quote);
    let body = json!({"decision": "APPROVE", "reasonCode": "MINE", "quoteRevision": deal.revision});
    let answer = deal.command("approver", "approve own quote", Method::POST, &path, body, 403).await.unwrap();
    assert_eq!(answer["errorCode"], "FOUR_EYES_VIOLATION");
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_time_whatever_has_happened_since() {
    let mut deal = deal("retry");
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
    let request = Request::command(Method::POST, "/quotes", "test-retry", body);
    let first = deal.people["sales"].send(&request).await.unwrap();
    deal.quote = first.body["quoteId"].as_str().unwrap().to_owned();
    deal.revision = 1;
    deal.configure(seats("5")).await.unwrap();
    let again = deal.people["sales"].send(&request).await.unwrap();
    assert_eq!((again.status, again.replayed), (201, true));
    assert_eq!(again.body, first.body);
}

#[tokio::test]
async fn of_many_acceptances_exactly_one_wins() {
    let mut deal = approved("race").await;
    let path = format!("/quotes/{}/artifacts", deal.quote);
    let body = json!({"quoteRevision": deal.revision, "artifactType": "PROPOSAL"});
    let artifact = deal.command("sales", "generate proposal", Method::POST, &path, body, 201).await.unwrap();
    let path = format!("/quotes/{}/acceptance", deal.quote);
    let evidence =
        json!({"method": "MANUAL_ENTRY", "acceptedAt": "2026-11-01T00:00:00Z", "artifactId": artifact["artifactId"]});
    let body = json!({"quoteRevision": deal.revision, "acceptedBy": "Nora", "acceptanceEvidence": evidence});
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (sales, path, body, revision) = (deal.people["sales"].clone(), path.clone(), body.clone(), deal.revision);
        tries.spawn(async move {
            let mut request = Request::command(Method::POST, &path, "test-race", body);
            request.if_match = Some(revision);
            sales.send(&request).await.unwrap()
        });
    }
    let answers = tries.join_all().await;
    assert_eq!(answers.iter().filter(|a| a.status == 202).count(), 1);
    let refused: HashSet<_> = answers.iter().filter(|a| a.status != 202).map(|a| a.body["errorCode"].clone()).collect();
    assert_eq!(refused, HashSet::from([json!("QUOTE_ALREADY_ACCEPTED")]));
}
