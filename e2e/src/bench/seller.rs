//! A client that posts whole deals, which nobody has to approve, and waits only where it needs the answer: for the
//! document that the customer accepts.

use super::http::Client;
use crate::settings::variable;
use hyper::body::Bytes;
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use std::collections::VecDeque;
use ulid::Ulid;

/// The revision that configuring, pricing and submitting lead to; approval is its last step.
const APPROVED: u32 = 5;
const KEY: &str = "idempotency-key";
const PREFER: &str = "prefer";

/// A client with the deals that it has opened and not yet closed.
pub struct Seller {
    client: Client,
    opened: VecDeque<Opened>,
}

/// A deal whose document was asked for.
struct Opened {
    quote: String,
    /// The key of the command that asked for it.
    key: String,
}

impl Seller {
    pub async fn connect(n: usize) -> Result<Self, String> {
        let client = Client::connect_as(variable("CPQ_HTTP_ADDR")?, n, &["sales-rep", "order-manager"]).await?;
        Ok(Self { client, opened: VecDeque::new() })
    }

    /// Creates, configures, prices and submits a quote and asks for its document, each accepted and none awaited: the
    /// commands of a quote are decided in their order.
    pub async fn open(&mut self) -> Result<(), String> {
        let new = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
        let created = self.hand_in(command(Method::POST, "/quotes"), &new).await?;
        let quote = id(&created, "aggregateId")?;
        let at = |verb: &str| format!("/quotes/{quote}/{verb}");
        let lines = json!([{"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": "5", "action": "ADD"}]);
        let configuration = json!({"quoteRevision": 1, "lines": lines});
        self.hand_in(command(Method::PUT, &at("configuration")), &configuration).await?;
        self.hand_in(command(Method::POST, &at("pricing")), &json!({"quoteRevision": 2})).await?;
        self.hand_in(command(Method::POST, &at("approval-submission")), &json!({"quoteRevision": 3})).await?;
        let key = Ulid::generate().to_string();
        self.hand_in(Request::post(at("artifacts")).header(KEY, &key), &document()).await?;
        self.opened.push_back(Opened { quote, key });
        Ok(())
    }

    /// Waits for the oldest deal's document, accepts it for the customer and asks for the order.
    pub async fn close(&mut self) -> Result<(), String> {
        let Opened { quote, key } = self.opened.pop_front().ok_or("no deal is open")?;
        // The same command again, this time to wait for its outcome.
        let again = Request::post(format!("/quotes/{quote}/artifacts")).header(KEY, key).header(PREFER, "wait=30");
        let made = self.client.send(again, document().to_string().into(), StatusCode::CREATED).await?;
        let evidence = json!({"method": "MANUAL_ENTRY", "acceptedAt": "2026-11-01T00:00:00Z", "artifactId": id(&made, "artifactId")?});
        let acceptance = json!({"quoteRevision": APPROVED, "acceptedBy": "Nora", "acceptanceEvidence": evidence});
        let accept = command(Method::POST, &format!("/quotes/{quote}/acceptance"));
        self.hand_in(accept.header("if-match", format!("\"{APPROVED}\"")), &acceptance).await?;
        let order = json!({"quoteId": quote, "quoteRevision": APPROVED});
        self.hand_in(command(Method::POST, "/orders"), &order).await.map(drop)
    }

    /// Sends a command and waits only for its acceptance.
    async fn hand_in(&mut self, command: Builder, body: &Value) -> Result<Bytes, String> {
        let command = command.header(PREFER, "respond-async");
        self.client.send(command, body.to_string().into(), StatusCode::ACCEPTED).await
    }
}

fn command(method: Method, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header(KEY, Ulid::generate().to_string())
}

fn document() -> Value {
    json!({"quoteRevision": APPROVED, "artifactType": "PROPOSAL"})
}

/// An id out of an answer.
fn id(answer: &[u8], name: &str) -> Result<String, String> {
    let answer: Value = serde_json::from_slice(answer).map_err(|e| e.to_string())?;
    answer[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name} in {answer}"))
}
