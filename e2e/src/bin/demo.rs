//! `make demo`: plays several deals through the whole spine and shows each step where it arrived.
//! Exit 0 only if every step was seen at its destination.

use cpq_e2e::crm::Crm;
use cpq_e2e::deal::{Deal, Printer};
use cpq_e2e::operator;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use ulid::Ulid;

const USAGE: &str = "demo: plays deals against the running stack (make demo).\n\
    Reads CPQ_HTTP_ADDR and CPQ_INVENTORY_URL from the environment: . .stack/env";

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run `make demo`, or `. .stack/env` first"))
}

/// A new deal of a tenant, with the people who play in it.
fn deal(tenant: &str, approver: &str, name: &str, printer: Printer) -> Result<Deal, String> {
    let base = format!("http://{}", variable("CPQ_HTTP_ADDR")?);
    let person = |actor: &str, roles: &[&str]| Crm::new(&base, operator::token(tenant, actor, roles)?);
    let people = HashMap::from([
        ("sales", person("alice", &["sales-rep"])?),
        ("approver", person(approver, &["approver"])?),
        ("orders", person("olga", &["order-manager"])?),
    ]);
    let correlation_id = format!("demo-{name}-{}", Ulid::generate());
    let empty = String::new;
    Ok(Deal { people, correlation_id, printer, quote: empty(), revision: 0, order: empty() })
}

fn fiber(sla: &str, quantity: &str) -> Value {
    let router = if sla == "GOLD" { "router-ha" } else { "router" };
    json!([
        {"lineNumber": "1", "productOfferingId": "fiber-1g", "quantity": quantity, "action": "ADD", "characteristics": {"sla": sla, "site": "Headquarters"}},
        {"lineNumber": "2", "parentLineNumber": "1", "productOfferingId": router, "quantity": quantity, "action": "ADD"},
    ])
}

async fn play() -> Result<(), String> {
    let printer = Printer { colour: std::io::stdout().is_terminal() };
    let told = needs_nobody(printer).await?;
    needs_a_manager(printer).await?;
    rejected_and_repriced(printer).await?;
    falls_out_and_is_cancelled(printer).await?;
    printer.heading("The topics, read from offset 0 as an outsider");
    println!("{}", operator::verify("topic")?);
    printer.heading(&format!("The first deal, traced by its correlation id {told}"));
    println!("{}", operator::trace_table(&told)?);
    printer.heading("Everything is still running");
    println!("  API        http://{}/docs", variable("CPQ_HTTP_ADDR")?);
    println!("  engine     {}", variable("CPQ_CAMUNDA_URL")?);
    println!("  registry   {}", variable("CPQ_SCHEMA_REGISTRY_URL")?);
    println!("  metrics    http://{}/metrics", variable("CPQ_STREAMS_ADMIN_ADDR")?);
    println!("  environment: . {}/env    end: make down", variable("CPQ_STACK_DIR")?);
    Ok(())
}

async fn needs_nobody(printer: Printer) -> Result<String, String> {
    printer.heading("A quote that needs nobody's approval (Northwind Traders, 24 months)");
    let mut deal = deal("tenant-acme", "bob", "nobody", printer)?;
    deal.create("acct-1001", "USD", 24).await?;
    deal.configure(fiber("SILVER", "2")).await?;
    deal.price("0").await?;
    deal.submit().await?;
    deal.close().await?;
    deal.order_becomes(&["COMPLETED"]).await?;
    let facts = [
        "QuoteCreated",
        "QuoteConfigured",
        "QuotePriced",
        "QuoteApproved",
        "QuoteArtifactGenerated",
        "QuoteAccepted",
        "OrderCreated",
        "QuoteOrderLinked",
        "ProcessStarted",
        "OrderFulfilmentStarted",
        "OrderCompleted",
    ];
    deal.facts(&facts).await?;
    Ok(deal.correlation_id)
}

async fn needs_a_manager(printer: Printer) -> Result<(), String> {
    printer.heading("A quote that needs a manager (Contoso Coffee, GOLD)");
    let mut deal = deal("tenant-acme", "bob", "manager", printer)?;
    deal.create("acct-1002", "USD", 36).await?;
    deal.configure(fiber("GOLD", "1")).await?;
    deal.price("5").await?;
    deal.submit().await?;
    deal.decide("approver", "APPROVE").await?;
    deal.close().await?;
    deal.order_becomes(&["COMPLETED"]).await?;
    deal.facts(&[
        "QuoteSubmittedForApproval",
        "QuoteApprovalStarted",
        "QuoteApprovalStepDecided",
        "QuoteApproved",
        "OrderCompleted",
    ])
    .await
}

async fn rejected_and_repriced(printer: Printer) -> Result<(), String> {
    printer.heading("A quote that is rejected, repriced and approved (Müller Maschinenbau, EUR)");
    let mut deal = deal("tenant-acme", "bob", "rejected", printer)?;
    deal.create("acct-1003", "EUR", 12).await?;
    deal.configure(fiber("SILVER", "3")).await?;
    deal.price("15").await?;
    deal.submit().await?;
    deal.decide("approver", "REJECT").await?;
    deal.price("4").await?;
    deal.submit().await?;
    deal.close().await?;
    deal.order_becomes(&["COMPLETED"]).await?;
    deal.facts(&["QuoteApprovalRejected", "QuoteApproved", "OrderCompleted"]).await
}

async fn falls_out_and_is_cancelled(printer: Printer) -> Result<(), String> {
    printer.heading("An order whose fulfilment raises fallout, then is cancelled (Initech, tenant Globex)");
    let faults = format!("{}/faults", variable("CPQ_INVENTORY_URL")?);
    let http = reqwest::Client::new();
    let rule =
        json!([{"match": {"tenantId": "tenant-globex", "productOfferingId": "laptop"}, "kind": "REJECT", "times": 1}]);
    let set = http.request(Method::PUT, &faults).json(&rule).send().await.map_err(|e| e.to_string())?;
    set.error_for_status().map_err(|e| e.to_string())?;
    let mut deal = deal("tenant-globex", "ivan", "fallout", printer)?;
    deal.create("acct-2001", "EUR", 24).await?;
    deal.configure(json!([
        {"lineNumber": "1", "productOfferingId": "workplace-seat", "quantity": "40", "action": "ADD", "characteristics": {"region": "EU"}},
        {"lineNumber": "2", "parentLineNumber": "1", "productOfferingId": "laptop", "quantity": "40", "action": "ADD"},
    ]))
    .await?;
    deal.price("0").await?;
    deal.submit().await?;
    deal.close().await?;
    deal.order_becomes(&["FALLOUT"]).await?;
    let path = format!("/orders/{}/cancellation", deal.order);
    let body = json!({"orderRevision": deal.revision, "reasonCode": "OUT_OF_STOCK"});
    deal.command("orders", "cancel", Method::POST, &path, body, 202).await?;
    deal.order_becomes(&["CANCELLED"]).await?;
    deal.facts(&["OrderFalloutRaised", "OrderCancellationRequested", "OrderCancelled"]).await
}
