//! The specification's first drill: a quote is accepted while nobody creates orders.

use super::say;
use crate::crm::Request;
use crate::history::History;
use crate::load;
use crate::operator;
use crate::services::{Own, Verb, stack};
use crate::settings::variable;
use crate::truth;
use std::path::PathBuf;
use std::time::Duration;

/// Quotes accepted while the worker is down.
const QUOTES: usize = 5;
/// The drill's alert threshold.
const ALERT_SECONDS: u32 = 3;
/// Where the drill's own `streams` answers: any free port of this machine.
const ADMIN_ADDR: &str = "127.0.0.1:0";
/// Every role of `streams` but the order worker.
const OTHER_ROLES: &str = "relay,quote,document,projection,notification";

pub async fn run(history: &History) -> Result<Vec<String>, String> {
    stack(Verb::Stop, &["streams"]).await?;
    let log = PathBuf::from(variable("CPQ_STACK_DIR")?).join("logs/drill-streams.log");
    let environment = [("CPQ_STREAMS_ADMIN_ADDR", ADMIN_ADDR.to_owned())];
    let others = Own::start("streams", &["--role", OTHER_ROLES], &environment, &log)?;
    say("the order worker is down, everything else runs");
    let seen = accept_and_look(history).await;
    others.kill()?;
    stack(Verb::Start, &["streams"]).await?;
    let quotes = seen?;
    say("the order worker is back");
    let crm = load::sales(history)?;
    for quote in &quotes {
        load::fulfilled(&crm, quote).await?;
        story(quote).await?;
    }
    Ok(quotes)
}

async fn accept_and_look(history: &History) -> Result<Vec<String>, String> {
    let crm = load::sales(history)?;
    let mut quotes = Vec::new();
    for _ in 0..QUOTES {
        // The deal's last step, the acceptance, is answered 202.
        quotes.push(load::deal(&crm, false).await?);
    }
    for quote in &quotes {
        let answer = crm.send(&Request::get(&format!("/quotes/{quote}"), "drill")).await?;
        let (status, order) = (&answer.body["status"], &answer.body["orderId"]);
        if status != "ACCEPTED_PENDING_ORDER_CREATION" || order.is_null() {
            return Err(format!("{quote} is {status} with order {order}; expected ACCEPTED_PENDING_ORDER_CREATION"));
        }
        let path = format!("/orders/{}", order.as_str().unwrap_or_default());
        let answer = crm.send(&Request::get(&path, "drill")).await?;
        if answer.status != 404 {
            return Err(format!("{path} answers {}, though nobody creates orders", answer.status));
        }
    }
    say(&format!("{QUOTES} quotes are ACCEPTED_PENDING_ORDER_CREATION, their orders' ids reserved"));
    tokio::time::sleep(Duration::from_secs(u64::from(ALERT_SECONDS) + 1)).await;
    let (table, alert) = operator::lag(ALERT_SECONDS)?;
    if !alert || !table.lines().any(|line| line.starts_with("order ")) {
        return Err(format!("`cpq lag --max-seconds {ALERT_SECONDS}` gives no alert for the order worker:\n{table}"));
    }
    say(&format!("`cpq lag --max-seconds {ALERT_SECONDS}` shows the backlog and exits 1:"));
    table.lines().for_each(|line| println!("    {line}"));
    Ok(quotes)
}

/// The record must show when the quote was accepted, and when its order was created, later.
async fn story(quote: &str) -> Result<(), String> {
    let times: Option<(String, String, bool)> = sqlx::query_as(
        "select q.occurred_at::text, o.created_at::text, o.created_at > q.occurred_at \
         from cpq.transition_log q join cpq.orders o on o.tenant_id = q.tenant_id and o.quote_id = q.aggregate_id \
         where q.aggregate_id = $1 and q.event_type = 'QuoteAccepted'",
    )
    .bind(quote)
    .fetch_optional(&mut truth::over_all_tenants().await?)
    .await
    .map_err(|e| e.to_string())?;
    match times {
        Some((accepted, created, true)) => {
            say(&format!("{quote}: accepted {accepted}, order created {created}"));
            Ok(())
        }
        other => Err(format!("{quote}: acceptance and creation of its order are {other:?}")),
    }
}
