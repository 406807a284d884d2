//! A CRM: posts commands with idempotency keys, reads what became of them.

use crate::history::History;
use crate::operator;
use crate::settings::variable;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use ulid::Ulid;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A client acting as one person; of one gateway, or of several, of which it leaves one that does not serve it.
#[derive(Clone)]
pub struct Crm {
    http: reqwest::Client,
    bases: Vec<String>,
    /// Counts up; its rest is the gateway that is asked now.
    turn: Arc<AtomicUsize>,
    token: String,
    /// Where what is sent and told is recorded, and as whose.
    record: Option<(History, String, String)>,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub replayed: bool,
    pub elapsed: Duration,
}

/// A request with what it carries besides the token.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    pub body: Option<Value>,
    pub correlation_id: &'a str,
    pub idempotency_key: Option<String>,
    pub if_match: Option<u64>,
    /// `Prefer: respond-async`: answered as soon as it is accepted.
    pub respond_async: bool,
}

impl<'a> Request<'a> {
    /// A command with a new idempotency key.
    pub fn command(method: Method, path: &'a str, correlation_id: &'a str, body: Value) -> Self {
        let idempotency_key = Some(Ulid::generate().to_string());
        Self { method, path, body: Some(body), correlation_id, idempotency_key, if_match: None, respond_async: false }
    }
    pub fn get(path: &'a str, correlation_id: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            correlation_id,
            idempotency_key: None,
            if_match: None,
            respond_async: false,
        }
    }
}

impl Crm {
    /// `base` is `http://host:port`.
    pub fn new(base: &str, token: String) -> Result<Self, String> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|e| e.to_string())?;
        Ok(Self { http, bases: vec![base.to_owned()], turn: Arc::default(), token, record: None })
    }

    /// A client of the running stack for this person, whose commands are recorded.
    pub fn recorded(tenant: &str, actor: &str, roles: &[&str], history: &History) -> Result<Self, String> {
        let base = format!("http://{}", variable("CPQ_HTTP_ADDR")?);
        let mut crm = Self::new(&base, operator::token(tenant, actor, roles)?)?;
        crm.record = Some((history.clone(), tenant.to_owned(), actor.to_owned()));
        Ok(crm)
    }

    /// The same person at these gateways, beginning with the one whose turn it is.
    #[must_use]
    pub fn at(&self, gateways: &[String], turn: usize) -> Self {
        Self { bases: gateways.to_vec(), turn: Arc::new(AtomicUsize::new(turn)), ..self.clone() }
    }

    /// Sends one request and reads its answer whole.
    pub async fn send(&self, request: &Request<'_>) -> Result<Answer, String> {
        let began = Instant::now();
        let sent = self.record.as_ref().and_then(|(history, tenant, actor)| history.sent(tenant, actor, request));
        let turn = self.turn.load(Ordering::Relaxed);
        let base = &self.bases[turn % self.bases.len()];
        let mut built = self
            .http
            .request(request.method.clone(), format!("{base}{}", request.path))
            .bearer_auth(&self.token)
            .header("X-Correlation-Id", request.correlation_id);
        if let Some(key) = &request.idempotency_key {
            built = built.header("Idempotency-Key", key);
        }
        if let Some(revision) = request.if_match {
            built = built.header("If-Match", format!("\"{revision}\""));
        }
        if request.respond_async {
            built = built.header("Prefer", "respond-async");
        }
        if let Some(body) = &request.body {
            built = built.json(body);
        }
        // Only the first of those who share this client and are not served moves it on.
        let leave = || self.turn.compare_exchange(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed);
        let silent = |error: reqwest::Error| {
            let _ = leave();
            if let Some((history, ..)) = &self.record {
                history.silent(silence(&error));
            }
            format!("{} {}: {error}", request.method, request.path)
        };
        let response = built.send().await.map_err(silent)?;
        let status: StatusCode = response.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let _ = leave();
        }
        let replayed = response.headers().contains_key("Idempotency-Replayed");
        let text = response.text().await.map_err(silent)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let answer = Answer { status: status.as_u16(), body, replayed, elapsed: began.elapsed() };
        if let (Some((history, ..)), Some(sent)) = (&self.record, &sent) {
            history.told(sent, &answer);
        }
        Ok(answer)
    }
}

/// How a request went that has no answer.
fn silence(error: &reqwest::Error) -> &'static str {
    if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "connection lost before the answer"
    }
}
