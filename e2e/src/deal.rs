//! One deal on its way: each step is posted, printed and checked; at the end its whole story is asked for.

use crate::crm::{Answer, Crm, Request};
use crate::operator;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longest wait for what happens outside of an answer: the engine, workers, views.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// What is printed, and how.
#[derive(Clone, Copy)]
pub struct Printer {
    pub colour: bool,
}

impl Printer {
    pub fn heading(self, text: &str) {
        if self.colour { println!("\n\x1b[1;36m{text}\x1b[0m") } else { println!("\n{text}") }
    }
    fn row(self, what: &str, http: &str, revision: &str, status: &str, elapsed: Duration, evidence: &str) {
        let ms = format!("{} ms", elapsed.as_millis());
        let (on, off) = if self.colour { ("\x1b[32m", "\x1b[0m") } else { ("", "") };
        println!("  {what:<28} {on}{http:>4}{off}  rev {revision:<3} {status:<32} {ms:>9}  {evidence}");
    }
}

/// A deal with its people and where it stands.
pub struct Deal {
    pub people: HashMap<&'static str, Crm>,
    pub correlation_id: String,
    pub printer: Printer,
    pub quote: String,
    pub revision: u64,
    pub order: String,
}

type Done = Result<Value, String>;

impl Deal {
    fn person(&self, name: &str) -> Result<&Crm, String> {
        self.people.get(name).ok_or_else(|| format!("nobody is called {name}"))
    }

    /// Posts a command and expects its status code.
    pub async fn command(
        &mut self,
        who: &str,
        what: &str,
        method: Method,
        path: &str,
        body: Value,
        expect: u16,
    ) -> Done {
        let mut request = Request::command(method, path, &self.correlation_id, body);
        request.if_match = matches!(what, "accept" | "cancel").then_some(self.revision);
        let answer = self.person(who)?.send(&request).await?;
        self.show(what, &answer);
        if answer.status != expect {
            return Err(format!("{what}: expected {expect}, got {}: {}", answer.status, answer.body));
        }
        if let Some(revision) = answer.body["revision"].as_u64() {
            self.revision = revision;
        }
        Ok(answer.body)
    }

    fn show(&self, what: &str, answer: &Answer) {
        let text = |field: &str| answer.body[field].as_str().unwrap_or_default().to_owned();
        let revision = answer.body["revision"].as_u64().map(|r| r.to_string()).unwrap_or_default();
        let evidence = ["errorCode", "orderId", "artifactId", "taskId", "quoteId"]
            .iter()
            .map(|field| text(field))
            .find(|value| !value.is_empty());
        let status = if answer.status < 300 { text("status") } else { text("title") };
        self.printer.row(
            what,
            &answer.status.to_string(),
            &revision,
            &status,
            answer.elapsed,
            &evidence.unwrap_or_default(),
        );
    }

    pub async fn create(&mut self, customer: &str, currency: &str, term_months: u32) -> Done {
        let body = json!({"customerAccountId": customer, "currency": currency, "termMonths": term_months});
        let quote = self.command("sales", "create quote", Method::POST, "/quotes", body, 201).await?;
        self.quote = quote["quoteId"].as_str().unwrap_or_default().to_owned();
        Ok(quote)
    }

    pub async fn configure(&mut self, lines: Value) -> Done {
        let (path, body) =
            (format!("/quotes/{}/configuration", self.quote), json!({"quoteRevision": self.revision, "lines": lines}));
        self.command("sales", "configure", Method::PUT, &path, body, 200).await
    }

    pub async fn price(&mut self, quote_discount: &str) -> Done {
        let mut body = json!({"quoteRevision": self.revision});
        if quote_discount != "0" {
            body["quoteDiscount"] = json!({"percent": quote_discount, "reasonCode": "STRATEGIC_ACCOUNT"});
        }
        let path = format!("/quotes/{}/pricing", self.quote);
        self.command("sales", &format!("price (discount {quote_discount} %)"), Method::POST, &path, body, 200).await
    }

    pub async fn submit(&mut self) -> Done {
        let path = format!("/quotes/{}/approval-submission", self.quote);
        let body = json!({"quoteRevision": self.revision, "justification": "renewal of a long-standing customer"});
        self.command("sales", "submit for approval", Method::POST, &path, body, 200).await
    }

    /// Waits for the task in the worklist, then decides it there.
    pub async fn decide(&mut self, who: &str, decision: &str) -> Done {
        let quote = self.quote.clone();
        self.wait_quote("approval workflow started", |q| q["status"] == "PENDING_APPROVAL").await?;
        let task = self
            .wait(who, "task in the worklist", "/worklist/tasks?type=APPROVAL&status=OPEN", |list| {
                list["items"].as_array()?.iter().find(|t| t["quoteId"] == quote.as_str())?["taskId"]
                    .as_str()
                    .map(str::to_owned)
            })
            .await?;
        let path = format!("/workflow-tasks/{task}/completion");
        let body = json!({"decision": decision, "reasonCode": "WITHIN_AUTHORITY", "comment": "seen and decided", "observedQuoteRevision": self.revision});
        let answer =
            self.command(who, &format!("{} by {who}", decision.to_lowercase()), Method::POST, &path, body, 200).await?;
        self.revision = answer["quote"]["revision"].as_u64().unwrap_or(self.revision);
        Ok(answer)
    }

    /// Artifact, acceptance and the order.
    pub async fn close(&mut self) -> Done {
        let approved = self.revision;
        let path = format!("/quotes/{}/artifacts", self.quote);
        let body = json!({"quoteRevision": approved, "artifactType": "PROPOSAL"});
        let artifact = self.command("sales", "generate proposal", Method::POST, &path, body, 201).await?;
        let path = format!("/quotes/{}/acceptance", self.quote);
        let accepted_at = time::OffsetDateTime::now_utc().replace_nanosecond(0).map_err(|e| e.to_string())?;
        let accepted_at =
            accepted_at.format(&time::format_description::well_known::Rfc3339).map_err(|e| e.to_string())?;
        let evidence =
            json!({"method": "EMAIL_CONFIRMATION", "acceptedAt": accepted_at, "artifactId": artifact["artifactId"]});
        let body = json!({"quoteRevision": approved, "acceptedBy": "the customer", "acceptanceEvidence": evidence});
        self.command("sales", "accept", Method::POST, &path, body, 202).await?;
        let quote = self.wait_quote("order linked", |q| q["status"] == "ACCEPTED").await?;
        self.order = quote["orderId"].as_str().unwrap_or_default().to_owned();
        let body = json!({"quoteId": self.quote, "quoteRevision": approved});
        self.command("orders", "create order (again)", Method::POST, "/orders", body, 200).await
    }

    /// Waits until the order has one of these statuses.
    pub async fn order_becomes(&mut self, statuses: &[&str]) -> Done {
        let path = format!("/orders/{}", self.order);
        let what = format!("order {}", statuses.join(" or ").to_lowercase());
        let order = self
            .wait("orders", &what, &path, |order| statuses.iter().any(|s| order["status"] == *s).then(|| order.clone()))
            .await?;
        self.revision = order["revision"].as_u64().unwrap_or(self.revision);
        Ok(order)
    }

    async fn wait_quote(&mut self, what: &str, until: impl Fn(&Value) -> bool) -> Done {
        let path = format!("/quotes/{}", self.quote);
        self.wait("sales", what, &path, |quote| until(quote).then(|| quote.clone())).await
    }

    async fn wait<T>(
        &self,
        who: &str,
        what: &str,
        path: &str,
        seen: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, String> {
        let began = Instant::now();
        loop {
            let mut answer = self.person(who)?.send(&Request::get(path, &self.correlation_id)).await?;
            if let Some(found) = seen(&answer.body) {
                answer.elapsed = began.elapsed();
                self.show(what, &answer);
                return Ok(found);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!(
                    "{what}: not seen at {path} within {} s; last seen: {}",
                    PATIENCE.as_secs(),
                    answer.body
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until every one of these facts is on its topic, and prints where.
    pub async fn facts(&self, names: &[&str]) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let story = operator::trace(&self.correlation_id)?;
            let on_topic = |name: &str| story.iter().find(|s| s["where"] == "KAFKA" && s["what"] == name);
            let missing: Vec<&str> = names.iter().copied().filter(|name| on_topic(name).is_none()).collect();
            if missing.is_empty() {
                for record in names.iter().filter_map(|name| on_topic(name)) {
                    let detail = &record["detail"];
                    println!(
                        "    fact {:<28} {}[{}]@{}",
                        record["what"].as_str().unwrap_or_default(),
                        detail["topic"].as_str().unwrap_or_default(),
                        detail["partition"],
                        detail["offset"]
                    );
                }
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!(
                    "not on their topics: {}; see `cpq trace {}`",
                    missing.join(", "),
                    self.correlation_id
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
