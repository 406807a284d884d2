//! Deals under load: several clients post whole deals and do not give up, as a good CRM does; some of what they
//! post is wrong and must be refused.

use crate::crm::{Answer, Crm, Request};
use crate::history::History;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ulid::Ulid;

/// A client tries one command for as long as this.
const INSIST: Duration = Duration::from_secs(120);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for an order to be fulfilled once everything runs again.
const FULFIL: Duration = Duration::from_secs(240);
/// One deal in so many also posts commands that must be refused.
const WRONG_EVERY: usize = 4;

/// Clients at work.
pub struct Load {
    clients: JoinSet<Result<Vec<String>, String>>,
    /// The quotes of the clients that have ended.
    quotes: Vec<String>,
    finished: Arc<AtomicUsize>,
    deals: usize,
}

/// A sales person of the demo's tenant, recorded.
pub fn sales(history: &History) -> Result<Crm, String> {
    Crm::recorded("tenant-acme", "alice", &["sales-rep"], history)
}

impl Load {
    /// Starts so many clients that post so many deals among them.
    pub fn start(clients: usize, deals: usize, history: &History) -> Result<Self, String> {
        let (left, finished) = (Arc::new(AtomicUsize::new(deals)), Arc::new(AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let (crm, left, finished) = (sales(history)?, left.clone(), finished.clone());
            set.spawn(async move {
                let mut quotes = Vec::new();
                while let Ok(n) = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
                    quotes.push(deal(&crm, n.is_multiple_of(WRONG_EVERY)).await?);
                    finished.fetch_add(1, Ordering::SeqCst);
                }
                Ok(quotes)
            });
        }
        Ok(Self { clients: set, quotes: Vec::new(), finished, deals })
    }

    /// Waits until so many deals are accepted; an error as soon as a client has failed, or all have ended before.
    pub async fn reaches(&mut self, deals: usize) -> Result<(), String> {
        while self.finished.load(Ordering::SeqCst) < deals {
            while let Some(ended) = self.clients.try_join_next() {
                self.quotes.extend(ended.map_err(|e| e.to_string())??);
            }
            if self.clients.is_empty() {
                return Err("the clients have ended".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether deals are still on their way: a fault now lands on work.
    pub fn in_flight(&self) -> bool {
        self.finished.load(Ordering::SeqCst) < self.deals
    }

    /// Waits for the clients; the quotes of all deals, accepted.
    pub async fn end(mut self) -> Result<Vec<String>, String> {
        while let Some(client) = self.clients.join_next().await {
            self.quotes.extend(client.map_err(|e| e.to_string())??);
        }
        Ok(self.quotes)
    }
}

/// Sends with the same idempotency key until there is an outcome: nobody answers, too busy, not yet are none.
pub async fn insist(crm: &Crm, request: &Request<'_>) -> Result<Answer, String> {
    let (began, mut last) = (Instant::now(), String::new());
    while began.elapsed() < INSIST {
        match crm.send(request).await {
            Ok(answer) if answer.body["status"] == "PENDING" => last = "pending".to_owned(),
            Ok(answer) if !matches!(answer.status, 429 | 500..) => return Ok(answer),
            Ok(answer) => last = answer.body.to_string(),
            Err(error) => last = error,
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(format!("{} {} had no outcome in {} s; last: {last}", request.method, request.path, INSIST.as_secs()))
}

/// One deal from nothing to accepted; gives its quote's id.
pub async fn deal(crm: &Crm, with_wrong: bool) -> Result<String, String> {
    let steps = Steps { crm, correlation: format!("load-{}", Ulid::generate()) };
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
    let created = steps.post(Method::POST, "/quotes", body, None).await?;
    let quote = created["quoteId"].as_str().unwrap_or_default().to_owned();
    let at = |verb: &str| format!("/quotes/{quote}/{verb}");
    let lines = json!([{"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": "5", "action": "ADD"}]);
    steps.post(Method::PUT, &at("configuration"), json!({"quoteRevision": 1, "lines": lines}), None).await?;
    if with_wrong {
        steps.refused(Method::POST, &at("pricing"), json!({"quoteRevision": 1}), 409).await?;
        let unknown = json!([{"lineNumber": "1", "productOfferingId": "no-such", "quantity": "5", "action": "ADD"}]);
        let body = json!({"quoteRevision": 2, "lines": unknown});
        steps.refused(Method::PUT, &at("configuration"), body, 422).await?;
    }
    steps.post(Method::POST, &at("pricing"), json!({"quoteRevision": 2}), None).await?;
    steps.post(Method::POST, &at("approval-submission"), json!({"quoteRevision": 3}), None).await?;
    let body = json!({"quoteRevision": 5, "artifactType": "PROPOSAL"});
    let artifact = steps.post(Method::POST, &at("artifacts"), body, None).await?;
    let evidence =
        json!({"method": "MANUAL_ENTRY", "acceptedAt": "2026-11-01T00:00:00Z", "artifactId": artifact["artifactId"]});
    let body = json!({"quoteRevision": 5, "acceptedBy": "Nora", "acceptanceEvidence": evidence});
    steps.post(Method::POST, &at("acceptance"), body.clone(), Some(5)).await?;
    if with_wrong {
        steps.refused(Method::POST, &at("acceptance"), body, 428).await?;
    }
    Ok(quote)
}

/// The steps of one deal.
struct Steps<'a> {
    crm: &'a Crm,
    correlation: String,
}

impl Steps<'_> {
    async fn post(&self, method: Method, path: &str, body: Value, if_match: Option<u64>) -> Result<Value, String> {
        let mut request = Request::command(method, path, &self.correlation, body);
        request.if_match = if_match;
        let answer = insist(self.crm, &request).await?;
        if answer.status < 300 { Ok(answer.body) } else { Err(format!("{path}: {} {}", answer.status, answer.body)) }
    }

    async fn refused(&self, method: Method, path: &str, body: Value, status: u16) -> Result<(), String> {
        let request = Request::command(method, path, &self.correlation, body);
        let answer = insist(self.crm, &request).await?;
        (answer.status == status)
            .then_some(())
            .ok_or_else(|| format!("{path}: expected {status}, got {} {}", answer.status, answer.body))
    }
}

/// Waits until the quote's order is completed; gives its id.
pub async fn fulfilled(crm: &Crm, quote: &str) -> Result<String, String> {
    let began = Instant::now();
    loop {
        let path = format!("/quotes/{quote}");
        let body = insist(crm, &Request::get(&path, "load-check")).await?.body;
        if let Some(order) = body["orderId"].as_str().filter(|_| body["status"] == "ACCEPTED") {
            let path = format!("/orders/{order}");
            let answer = insist(crm, &Request::get(&path, "load-check")).await?;
            if answer.body["status"] == "COMPLETED" {
                return Ok(order.to_owned());
            }
        }
        if began.elapsed() > FULFIL {
            return Err(format!("{quote} is not fulfilled after {} s: {body}", FULFIL.as_secs()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
