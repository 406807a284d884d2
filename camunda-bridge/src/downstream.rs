//! The HTTP clients of the downstream systems: create under an idempotency key, ask by that key, undo. What an
//! answer, or its absence, says about the effect is decided here and nowhere else.

use cpq_domain::order::is_irreversible;
use reqwest::{Method, StatusCode, redirect};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may be idle: a request on one that is just being closed has an unknown outcome.
const IDLE_CONNECTION: Duration = Duration::from_secs(5);

/// One kind of fulfilment step with the system that does it. The only list of them.
#[derive(Debug, PartialEq, Eq)]
pub struct System {
    /// As in `external_call_attempt.system_name` and `CPQ_<NAME>_URL`.
    pub name: &'static str,
    pub step_type: &'static str,
    /// The topic of the external task.
    pub topic: &'static str,
    /// The operation, as attempts name it.
    pub operation: &'static str,
    /// What it creates, as in its paths.
    pub collection: &'static str,
    /// The last segment of the path that undoes a creation, and the undoing as attempts name it.
    pub undo: &'static str,
    /// Its code for a business rejection, which is also the BPMN error's.
    pub rejection: &'static str,
}

impl System {
    pub const ALL: [System; 3] = [
        System {
            name: "inventory",
            step_type: "RESERVE_INVENTORY",
            topic: "reserve-inventory",
            operation: "reserve",
            collection: "reservations",
            undo: "release",
            rejection: "INVENTORY_NOT_AVAILABLE",
        },
        System {
            name: "activation",
            step_type: "ACTIVATE_SERVICE",
            topic: "activate-service",
            operation: "activate",
            collection: "services",
            undo: "deactivate",
            rejection: "ACTIVATION_REJECTED",
        },
        System {
            name: "billing",
            step_type: "START_BILLING",
            topic: "start-billing",
            operation: "start",
            collection: "subscriptions",
            undo: "cancel",
            rejection: "BILLING_REJECTED",
        },
    ];

    /// The system that does steps of this type.
    pub fn of_step(step_type: &str) -> Option<&'static System> {
        const { &Self::ALL }.iter().find(|system| system.step_type == step_type)
    }
    /// The system whose work comes under this topic.
    pub fn of_topic(topic: &str) -> Option<&'static System> {
        const { &Self::ALL }.iter().find(|system| system.topic == topic)
    }
    /// Whether its effect stays.
    pub fn is_irreversible(&self) -> bool {
        is_irreversible(self.step_type)
    }
}

/// What is known after a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It was done, by this reference.
    Done { reference: String, body: Value },
    /// The system's business said no; nothing was done.
    Rejected { code: String, detail: String, body: Value },
    /// It was surely not done.
    NotDone { detail: String },
    /// It may have been done, or may yet be.
    Unknown { detail: String },
}

/// What is known after asking by idempotency key.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Done {
        reference: String,
        body: Value,
    },
    Absent,
    /// The system did not say.
    Silent {
        detail: String,
    },
}

/// Where the systems are.
#[derive(Clone, Debug)]
pub struct DownstreamConfig {
    pub inventory: Url,
    pub activation: Url,
    pub billing: Url,
    /// How long one call may take.
    pub timeout: Duration,
}

/// A client of all systems. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Downstream {
    http: reqwest::Client,
    config: DownstreamConfig,
}

/// A complete HTTP answer.
struct Reply {
    status: StatusCode,
    body: Value,
}

/// Why there is none.
enum Silence {
    /// The request did not leave.
    NotSent(String),
    Sent(String),
}

impl Downstream {
    pub fn new(config: DownstreamConfig) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self { http, config })
    }

    /// How long one call may take.
    pub fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Asks the system to do it, under a key that makes a repeat harmless.
    pub async fn create(&self, system: &System, key: &str, correlation_id: &str, request: &Value) -> Answer {
        let url = self.url(system, &[system.collection]);
        let call = self.http.request(Method::POST, url).header("idempotency-key", key).json(request);
        judge(system, exchange(call.header("x-correlation-id", correlation_id)).await)
    }

    /// Undoes what has this reference; undoing it again changes nothing.
    pub async fn undo(&self, system: &System, reference: &str, correlation_id: &str) -> Answer {
        let url = self.url(system, &[system.collection, reference, system.undo]);
        let call = self.http.request(Method::POST, url).header("x-correlation-id", correlation_id);
        judge(system, exchange(call).await)
    }

    /// Asks whether something was done under the key.
    pub async fn ask(&self, system: &System, key: &str) -> Asked {
        let url = self.url(system, &[system.collection]);
        let reply = match exchange(self.http.get(url).query(&[("idempotencyKey", key)])).await {
            Ok(reply) => reply,
            Err(Silence::NotSent(detail) | Silence::Sent(detail)) => return Asked::Silent { detail },
        };
        match (reply.status, reply.body.as_array().map(Vec::as_slice)) {
            (StatusCode::OK, Some([])) => Asked::Absent,
            (StatusCode::OK, Some([found, ..])) => match reference(found) {
                Some(reference) => Asked::Done { reference, body: found.clone() },
                None => Asked::Silent { detail: format!("{} answered without an id", system.name) },
            },
            (status, _) => Asked::Silent { detail: format!("{} answered HTTP {status}", system.name) },
        }
    }

    fn url(&self, system: &System, path: &[&str]) -> Url {
        let mut url = match system.name {
            "inventory" => &self.config.inventory,
            "activation" => &self.config.activation,
            _ => &self.config.billing,
        }
        .clone();
        // Each segment is encoded: a reference from outside cannot reach another endpoint. An `http` URL
        // always has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

async fn exchange(call: reqwest::RequestBuilder) -> Result<Reply, Silence> {
    let silence = |error: reqwest::Error| {
        let text = if error.is_timeout() { "no answer in time".to_owned() } else { causes(&error) };
        if error.is_connect() || error.is_builder() { Silence::NotSent(text) } else { Silence::Sent(text) }
    };
    let mut response = call.send().await.map_err(silence)?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(silence)? {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Silence::Sent(format!("the answer is longer than {MAX_ANSWER_BYTES} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Reply { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
}

/// reqwest's own text says only "error sending request", and names the URL, which may hold credentials.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::from("the call failed");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn judge(system: &System, reply: Result<Reply, Silence>) -> Answer {
    let reply = match reply {
        Ok(reply) => reply,
        Err(Silence::NotSent(detail)) => return Answer::NotDone { detail },
        Err(Silence::Sent(detail)) => return Answer::Unknown { detail },
    };
    let code = reply.body["code"].as_str().unwrap_or_default();
    let said = || format!("{} answered HTTP {} {code}", system.name, reply.status.as_u16());
    match reply.status {
        status if status.is_success() => match reference(&reply.body) {
            Some(reference) => Answer::Done { reference, body: reply.body },
            None => Answer::Unknown { detail: format!("{} without an id", said()) },
        },
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY if code == system.rejection => {
            let detail = reply.body["detail"].as_str().map_or_else(said, str::to_owned);
            Answer::Rejected { code: code.to_owned(), detail, body: reply.body }
        }
        // The system itself says that it did nothing (RFC 9110, RFC 6585).
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Answer::NotDone { detail: said() },
        status if status.is_server_error() => Answer::Unknown { detail: said() },
        // Refused as a request, redirections included: nothing was done, and a repeat will fare no better.
        _ => Answer::NotDone { detail: said() },
    }
}

fn reference(resource: &Value) -> Option<String> {
    resource["id"].as_str().map(str::to_owned)
}

/// What is kept of an answer beside its outcome.
pub fn kept(task_id: &str, answer: &Answer) -> Value {
    match answer {
        Answer::Done { body, .. } | Answer::Rejected { body, .. } => json!({ "taskId": task_id, "body": body }),
        Answer::NotDone { detail } | Answer::Unknown { detail } => json!({ "taskId": task_id, "detail": detail }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn inventory() -> &'static System {
        System::of_topic("reserve-inventory").unwrap()
    }

    #[rstest]
    #[case(201, json!({"id": "rsv-1"}), "Done")]
    #[case(200, json!({"id": "rsv-1"}), "Done")]
    #[case(200, json!({}), "Unknown")]
    #[case(409, json!({"code": "INVENTORY_NOT_AVAILABLE", "detail": "sold out"}), "Rejected")]
    #[case(409, json!({"code": "SOMETHING_ELSE"}), "NotDone")]
    #[case(422, json!({"code": "IDEMPOTENCY_KEY_REUSED"}), "NotDone")]
    #[case(400, json!(null), "NotDone")]
    #[case(302, json!(null), "NotDone")]
    #[case(429, json!(null), "NotDone")]
    #[case(503, json!(null), "NotDone")]
    #[case(500, json!(null), "Unknown")]
    #[case(502, json!(null), "Unknown")]
    #[case(504, json!(null), "Unknown")]
    fn what_an_answer_says_about_the_effect(#[case] status: u16, #[case] body: Value, #[case] outcome: &str) {
        let reply = Reply { status: StatusCode::from_u16(status).unwrap(), body };
        let answer = judge(inventory(), Ok(reply));
        assert!(format!("{answer:?}").starts_with(outcome), "{answer:?}");
    }

    #[test]
    fn no_answer_is_unknown_only_if_the_request_left() {
        assert!(matches!(judge(inventory(), Err(Silence::NotSent("refused".into()))), Answer::NotDone { .. }));
        assert!(matches!(judge(inventory(), Err(Silence::Sent("reset".into()))), Answer::Unknown { .. }));
    }

    /// Fault 41.
    #[test]
    fn the_model_catches_every_error_that_a_step_can_raise() {
        let model = include_str!("../models/order-fulfillment.bpmn");
        let caught = crate::engine::Caught::read(model).unwrap();
        for system in &System::ALL {
            assert!(caught.catches(system.topic, system.rejection), "{}", system.rejection);
            assert!(caught.catches(system.topic, crate::workers::OUTCOME_UNKNOWN), "{}", system.topic);
            assert!(model.contains(&format!("camunda:topic=\"{}\"", system.topic)), "{}", system.topic);
        }
    }
}
