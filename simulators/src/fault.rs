//! The switchable faults: which request one hits, what it does, how often. Leaves acting on it to the API.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::resource::CreateRequest;

/// The most rules that a system holds.
pub const MAX_RULES: usize = 1_000;
/// The longest delay that a rule may name.
pub const MAX_DELAY_MS: u64 = 600_000;
/// How long a request hangs if its rule names no delay: longer than any client's patience.
pub const DEFAULT_HANG: Duration = Duration::from_secs(120);
/// The delay of a rule of kind DELAY that names none.
pub const DEFAULT_DELAY: Duration = Duration::from_secs(1);
/// Of how many requests a system remembers what was asked, so that a query by key can be told whose it is although
/// nothing was created.
pub const MAX_REQUESTS_SEEN: usize = 10_000;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FaultKind {
    /// The business says no: nothing happens, and the key stays free for a later try.
    Reject,
    /// 503 before anything happens.
    #[serde(rename = "ERROR_5XX")]
    Error5xx,
    /// It happens after the delay, even if the client has gone meanwhile.
    Delay,
    /// Nothing happens and no answer comes.
    Hang,
    /// It happens, and no answer comes.
    ApplyThenTimeout,
    /// The network delivers the request twice and the client gets the second reply.
    #[serde(alias = "DUPLICATE")]
    ApplyTwiceReply,
    /// The query by idempotency key answers 503, so that what happened cannot be found out.
    QueryUnavailable,
}

/// Which operation a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    /// Creating.
    Create,
    /// Undoing.
    Compensate,
    /// Asking by key.
    Query,
}

/// What a request must be about; a member left out matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// The tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The offering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_offering_id: Option<String>,
    /// The step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
}

impl Match {
    /// A request of which nothing is known matches only what asks for nothing.
    fn holds(&self, request: Option<&CreateRequest>) -> bool {
        let agrees = |wanted: &Option<String>, actual: fn(&CreateRequest) -> &str| {
            wanted.as_deref().is_none_or(|wanted| request.is_some_and(|request| actual(request) == wanted))
        };
        agrees(&self.tenant_id, |request| &request.tenant_id)
            && agrees(&self.order_id, |request| &request.order_id)
            && agrees(&self.product_offering_id, |request| &request.product_offering_id)
            && agrees(&self.step_id, |request| &request.step_id)
    }
}

/// One rule, as it is put and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// Which requests.
    #[serde(default)]
    pub r#match: Match,
    /// What happens to them.
    pub kind: FaultKind,
    /// CREATE or COMPENSATE; CREATE if left out. QUERY_UNAVAILABLE is always about the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// How long DELAY waits, HANG and APPLY_THEN_TIMEOUT keep silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How many requests it hits; for ever if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// How many it has hit; counted here, ignored when put.
    #[serde(default)]
    pub hits: u32,
}

impl FaultRule {
    /// What is wrong with the rule, if anything.
    pub fn fault_of_form(&self) -> Option<&'static str> {
        let is_query = self.kind == FaultKind::QueryUnavailable;
        match self.operation {
            _ if self.delay_ms.is_some_and(|delay| delay > MAX_DELAY_MS) => Some("delayMs is over 600000"),
            _ if self.times == Some(0) => Some("times is 0: the rule would never hit"),
            Some(Operation::Query) if !is_query => Some("only QUERY_UNAVAILABLE is about the operation QUERY"),
            Some(Operation::Create | Operation::Compensate) if is_query => {
                Some("QUERY_UNAVAILABLE is about the operation QUERY alone")
            }
            _ => None,
        }
    }

    fn operation(&self) -> Operation {
        match self.kind {
            FaultKind::QueryUnavailable => Operation::Query,
            _ => self.operation.unwrap_or(Operation::Create),
        }
    }

    fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.hits >= times)
    }

    /// How long a request that it hits waits or keeps silent.
    pub fn pause(&self) -> Duration {
        let default = if self.kind == FaultKind::Delay { DEFAULT_DELAY } else { DEFAULT_HANG };
        self.delay_ms.map_or(default, Duration::from_millis)
    }
}

/// The rules of one system, first match wins, and the requests it has seen.
#[derive(Default)]
pub struct Faults {
    rules: Vec<FaultRule>,
    seen: HashMap<String, CreateRequest>,
    seen_order: VecDeque<String>,
}

impl Faults {
    /// The rules with their hits.
    pub fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// Puts these rules in place of all.
    pub fn replace(&mut self, rules: Vec<FaultRule>) {
        self.rules = rules.into_iter().map(|rule| FaultRule { hits: 0, ..rule }).collect();
    }

    /// Notes what was asked under a key.
    pub fn note(&mut self, key: &str, request: &CreateRequest) {
        if self.seen.insert(key.to_owned(), request.clone()).is_none() {
            self.seen_order.push_back(key.to_owned());
        }
        if self.seen_order.len() > MAX_REQUESTS_SEEN
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }

    /// What was asked under a key, if it is remembered.
    pub fn asked(&self, key: &str) -> Option<CreateRequest> {
        self.seen.get(key).cloned()
    }

    /// The rule that hits this request, counted. `done`: it has had its effect already, which nothing rejects.
    pub fn hit(&mut self, operation: Operation, request: Option<&CreateRequest>, done: bool) -> Option<FaultRule> {
        let rule = self.rules.iter_mut().find(|rule| {
            rule.operation() == operation
                && !rule.is_spent()
                && !(done && rule.kind == FaultKind::Reject)
                && rule.r#match.holds(request)
        })?;
        rule.hits += 1;
        Some(rule.clone())
    }
}
