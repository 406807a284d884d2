//! What may go wrong with a call to the engine, by what its caller may conclude and do. Reading the engine's
//! own error bodies, which differ by endpoint, happens here and nowhere else.

use serde::Deserialize;

/// Why a call to the engine gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The request was not sent, or only read: nothing has changed in the engine. Try again later.
    #[error("the engine is unavailable: {detail}")]
    Unavailable { detail: String },
    /// The request was sent and no answer came: it may have taken effect, or may yet. Ask before trying again.
    #[error("the outcome at the engine is unknown: {detail}")]
    Unknown { detail: String },
    /// What the call is about does not exist, or no longer.
    #[error("not found in the engine: {message}")]
    NotFound { message: String },
    /// Another transaction of the engine came first; this one was rolled back. Try again at once.
    #[error("the engine's transaction lost a race: {message}")]
    Conflict { message: String },
    /// The external task is locked by another worker now, which will do the work.
    #[error("the external task is locked by another worker: {message}")]
    LockLost { message: String },
    /// Nothing waits for the message (not yet, or no longer), or more than one does.
    #[error("the message matches nothing: {message}")]
    NotCorrelated { message: String },
    /// The engine refused (4xx) or failed (5xx) and rolled back.
    #[error("the engine answered {status} {kind}: {message}")]
    Rejected { status: u16, kind: String, message: String },
    /// The request would be refused or cut by the engine, so it was not sent.
    #[error("invalid request to the engine: {detail}")]
    Invalid { detail: String },
    /// The engine succeeded, but its answer could not be read.
    #[error("the engine's answer could not be read: {detail}")]
    Unreadable { detail: String },
}

impl EngineError {
    /// Whether the same call may succeed later without anybody changing it. After [`Self::Unknown`] the
    /// caller asks first.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unknown { .. } | Self::Conflict { .. } => true,
            Self::Rejected { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether the call certainly changed nothing.
    pub fn is_without_effect(&self) -> bool {
        !matches!(self, Self::Unknown { .. } | Self::Unreadable { .. })
    }
}

/// Whether a request changes the engine: without an answer, the outcome of a write is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Read,
    Write,
}

/// The engine's built-in exception codes (7.17 and later): optimistic locking and database deadlock.
const RACE_CODES: [i64; 2] = [1, 10_000];

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    code: Option<i64>,
}

/// No complete answer arrived.
pub(super) fn of_transport(error: &reqwest::Error, effect: Effect) -> EngineError {
    let detail = with_causes(error);
    if error.is_builder() {
        EngineError::Invalid { detail }
    } else if error.is_connect() || effect == Effect::Read {
        EngineError::Unavailable { detail }
    } else {
        EngineError::Unknown { detail }
    }
}

/// reqwest's own text says only "error sending request": the cause is what an operator needs.
fn with_causes(error: &reqwest::Error) -> String {
    // The URL may hold credentials.
    let mut text = match error.is_timeout() {
        true => "timed out".to_owned(),
        false => "failed".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The engine answered with an error status. Camunda and Operaton differ only in package names in messages.
pub(super) fn of_answer(status: u16, body: &[u8], effect: Effect) -> EngineError {
    let Ok(ErrorBody { kind, message, code }) = serde_json::from_slice(body) else {
        return of_foreign_answer(status, body, effect);
    };
    let message = message.unwrap_or_default();
    // A task that is gone: 500 on complete ("task is null"), 400 NotFoundException on assignee, 404 elsewhere;
    // a job: 500 InvalidRequestException ("No job found with id …", with an ENGINE code on execute and retries).
    let gone = status == 404
        || kind == "NotFoundException"
        || message.ends_with("task is null")
        || message.contains("No job found with id");
    if gone {
        EngineError::NotFound { message }
    } else if kind == "OptimisticLockingException" || code.is_some_and(|code| RACE_CODES.contains(&code)) {
        EngineError::Conflict { message }
    } else if message.contains("It is locked by worker") {
        EngineError::LockLost { message }
    } else if message.contains("MismatchingMessageCorrelationException") {
        EngineError::NotCorrelated { message }
    } else {
        EngineError::Rejected { status, kind, message }
    }
}

/// An error that is not the engine's own: a proxy's, or a server's that is starting or going down. Only its
/// 4xx says that nothing happened.
fn of_foreign_answer(status: u16, body: &[u8], effect: Effect) -> EngineError {
    const MAX_QUOTED: usize = 200;
    let text: String = String::from_utf8_lossy(body).chars().take(MAX_QUOTED).collect();
    let detail = format!("HTTP {status}: {text}");
    match (status, effect) {
        (400..500, _) => EngineError::Rejected { status, kind: "HTTP".to_owned(), message: text },
        (_, Effect::Read) => EngineError::Unavailable { detail },
        (_, Effect::Write) => EngineError::Unknown { detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn body(kind: &str, message: &str, code: i64) -> Vec<u8> {
        serde_json::json!({"type": kind, "message": message, "code": code}).to_string().into_bytes()
    }

    // Bodies as Camunda 7.24 and Operaton 1.0 send them.
    #[rstest]
    #[case(404, body("RestException", "External task with id x does not exist", 0), "not found")]
    #[case(
        500,
        body("RestException", "Cannot complete task x: Cannot find task with id x: task is null", 0),
        "not found"
    )]
    #[case(400, body("NotFoundException", "Cannot find task with id x: task is null", 0), "not found")]
    #[case(500, body("InvalidRequestException", "ENGINE-13053 No job found with id 'x'.'", 0), "not found")]
    #[case(500, body("OptimisticLockingException", "ENGINE-03005 …", 1), "lost a race")]
    #[case(500, body("RestException", "deadlock", 10_000), "lost a race")]
    #[case(
        400,
        body("RestException", "External Task x cannot be completed by worker 'a'. It is locked by worker 'b'.", 0),
        "locked by another"
    )]
    #[case(
        400,
        body("RestException", "org.operaton.bpm.engine.MismatchingMessageCorrelationException: Cannot …", 0),
        "matches nothing"
    )]
    #[case(500, body("RestException", "An exception occurred in the persistence layer.", 10_002), "answered 500")]
    #[case(401, b"".to_vec(), "answered 401")]
    #[case(503, b"<html>".to_vec(), "outcome at the engine is unknown")]
    fn an_answer_is_told_by_what_a_caller_may_do(#[case] status: u16, #[case] body: Vec<u8>, #[case] text: &str) {
        let error = of_answer(status, &body, Effect::Write);
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn a_read_has_no_unknown_outcome() {
        assert!(of_answer(504, b"gateway", Effect::Read).is_without_effect());
        assert!(!of_answer(504, b"gateway", Effect::Write).is_without_effect());
    }
}
