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
    left: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
}

/// A sales person of the demo's tenant, recorded.
pub fn sales(history: &History) -> Result<Crm, String> {
    Crm::recorded("tenant-acme", "alice", &["sales-rep"], history)
}

impl Load {
    /// Starts so many clients that post so many deals among them.
    pub fn start(clients: usize, deals: usize, history: &History) -> Result<Self, String> {
        Ok(Self::of(&vec![sales(history)?; clients], deals))
    }

    /// Starts these clients, which post so many deals among them, or until they are told to stop.
    pub fn of(clients: &[Crm], deals: usize) -> Self {
        let counter = |n| Arc::new(AtomicUsize::new(n));
        let (left, begun, finished) = (counter(deals), counter(0), counter(0));
        let mut set = JoinSet::new();
        for crm in clients {
            let (crm, left, begun, finished) = (crm.clone(), left.clone(), begun.clone(), finished.clone());
            set.spawn(async move {
                let mut quotes = Vec::new();
                while let Ok(n) = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
                    begun.fetch_add(1, Ordering::SeqCst);
                    quotes.push(deal(&crm, n.is_multiple_of(WRONG_EVERY)).await?);
                    finished.fetch_add(1, Ordering::SeqCst);
                }
                Ok(quotes)
            });
        }
        Self { clients: set, quotes: Vec::new(), left, begun, finished }
    }

    /// No more deals; those that are begun are brought to their end.
    pub fn stop(&self) {
        self.left.store(0, Ordering::SeqCst);
    }

    /// An error if a client has failed.
    pub fn healthy(&mut self) -> Result<(), String> {
        while let Some(ended) = self.clients.try_join_next() {
            self.quotes.extend(ended.map_err(|e| e.to_string())??);
        }
        Ok(())
    }

    /// Deals that are accepted.
    pub fn finished(&self) -> usize {
        self.finished.load(Ordering::SeqCst)
    }

    /// Waits until so many deals are accepted; an error as soon as a client has failed, or all have ended before.
    pub async fn reaches(&mut self, deals: usize) -> Result<(), String> {
        while self.finished() < deals {
            self.healthy()?;
            if self.clients.is_empty() {
                return Err("the clients have ended".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether deals are still on their way: a fault now lands on work.
    pub fn in_flight(&self) -> bool {
        self.left.load(Ordering::SeqCst) > 0 || self.finished() < self.begun.load(Ordering::SeqCst)
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
