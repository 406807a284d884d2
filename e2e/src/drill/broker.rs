//! Kafka away while commands come in: they are accepted all the same, and drain in order once it is back.

use super::{say, under_load};
use crate::crm::Request;
use crate::history::History;
use crate::load;
use crate::operator;
use crate::services::{Verb, stack};
use reqwest::Method;
use serde_json::json;

/// Commands that are posted while Kafka is away.
const COMMANDS: usize = 20;

pub async fn run(history: &History, deals: usize) -> Result<Vec<String>, String> {
    let load = under_load(history, deals).await?;
    stack(Verb::Kill, &["kafka"]).await?;
    say("killed Kafka");
    let crm = load::sales(history)?;
    let mut accepted = Vec::new();
    for _ in 0..COMMANDS {
        let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
        let mut request = Request::command(Method::POST, "/quotes", "drill-broker-down", body);
        request.respond_async = true;
        let answer = crm.send(&request).await?;
        if answer.status != 202 {
            return Err(format!("a command without Kafka: expected 202, got {} {}", answer.status, answer.body));
        }
        request.respond_async = false;
        accepted.push(request);
    }
    say(&format!("{COMMANDS} commands were accepted without Kafka (202)"));
    stack(Verb::Start, &["kafka"]).await?;
    say("Kafka is back");
    for request in &accepted {
        let answer = load::insist(&crm, request).await?;
        if answer.status != 201 {
            return Err(format!("after Kafka's return: expected 201, got {} {}", answer.status, answer.body));
        }
    }
    say("every command has its outcome");
    let quotes = load.end().await?;
    operator::verify("topic")?;
    Ok(quotes)
}
