//! What clients did and were told, answer by answer. Whether the system's history agrees with it is judged in
//! `checker`.

use crate::crm::{Answer, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A command as one client sent it: the same through all its retries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    pub tenant: String,
    pub actor: String,
    pub idempotency_key: String,
    /// `POST /quotes/Q-…/pricing`.
    pub operation: String,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub status: u16,
    pub body: Value,
}

impl Told {
    /// Whether the answer is the command's outcome, and no word about now: not yet, too busy, not available.
    pub fn is_final(&self) -> bool {
        self.body["status"] != "PENDING" && self.status != 429 && self.status < 500
    }
}

/// A recorder that many clients share.
#[derive(Clone, Debug, Default)]
pub struct History {
    told: Arc<Mutex<BTreeMap<Sent, Vec<Told>>>>,
    /// Requests without an answer, by how that came.
    silences: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl History {
    /// Records that a command was sent. Without an answer it may have happened or not, but not twice.
    pub fn sent(&self, tenant: &str, actor: &str, request: &Request<'_>) -> Option<Sent> {
        let sent = Sent {
            tenant: tenant.to_owned(),
            actor: actor.to_owned(),
            idempotency_key: request.idempotency_key.clone()?,
            operation: format!("{} {}", request.method, request.path),
        };
        self.lock().entry(sent.clone()).or_default();
        Some(sent)
    }

    /// Records what a client was told.
    pub fn told(&self, sent: &Sent, answer: &Answer) {
        let told = Told { status: answer.status, body: answer.body.clone() };
        self.lock().entry(sent.clone()).or_default().push(told);
    }

    /// Records that a request got no answer.
    pub fn silent(&self, how: &'static str) {
        *self.silences.lock().unwrap_or_else(PoisonError::into_inner).entry(how).or_default() += 1;
    }

    /// Commands that are on their way just now: sent, and without a last word.
    pub fn in_flight(&self) -> usize {
        self.lock().values().filter(|told| !told.iter().any(Told::is_final)).count()
    }

    /// What clients met that was no outcome, and so had to be tried again: kinds and how often.
    pub fn retried(&self) -> BTreeMap<String, usize> {
        let silences = self.silences.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut kinds: BTreeMap<String, usize> = silences.into_iter().map(|(how, n)| (how.to_owned(), n)).collect();
        for told in self.lock().values().flatten().filter(|told| !told.is_final()) {
            let word = ["errorCode", "status", "title"].iter().find_map(|field| told.body[field].as_str());
            *kinds.entry(format!("{} {}", told.status, word.unwrap_or_default())).or_default() += 1;
        }
        kinds
    }

    /// Everything so far.
    pub fn commands(&self) -> BTreeMap<Sent, Vec<Told>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Sent, Vec<Told>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
