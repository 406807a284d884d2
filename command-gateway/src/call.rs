//! One judged request, as a handler gets it: who calls, on what, with which checked body.

use crate::auth::Caller;
use crate::exchange::Exchange;
use crate::gateway::Gateway;
use crate::headers::Wait;
use crate::operation::Operation;
use crate::problem::Problem;
use cpq_domain::command::{CommandMeta, IfMatch, Role};
use cpq_domain::ids::{CommandId, CustomerAccountId, OrderId, QuoteId, TaskId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::ErrorCode;
use cpq_state_stores::reads::Accounts;
use cpq_state_stores::{StoreError, Tx};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::SemaphorePermit;

/// A request that has passed everything that needs no object.
pub struct Call {
    pub gateway: Arc<Gateway>,
    pub operation: &'static Operation,
    pub exchange: Arc<Exchange>,
    pub caller: Caller,
    pub path: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    pub received_at: Moment,
    /// Null for reads.
    pub body: Value,
    /// SHA-256 of method, path and canonical body, defaults left out. Zeros where nothing is changed.
    pub fingerprint: [u8; 32],
    /// Empty where nothing is changed.
    pub idempotency_key: String,
    /// What the command is called if it is new.
    pub command_id: CommandId,
    /// The command that Redis says the idempotency key named before.
    pub named_before: Option<CommandId>,
    pub if_match: Option<IfMatch>,
    pub wait: Wait,
    /// Held as long as a document is in hand.
    pub place: Option<SemaphorePermit<'static>>,
}

impl Call {
    pub fn tenant(&self) -> &TenantId {
        &self.caller.tenant
    }

    /// The body as the core's type. Its form has been checked, so a failure is ours.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_value(self.body.clone()).map_err(|error| {
            tracing::error!(%error, operation = self.operation.id, "a checked body cannot be read");
            Problem::new(ErrorCode::Internal, "The failure is in our log under this correlation id.")
        })
    }

    fn segment(&self, name: &str) -> &str {
        self.path.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The quote of the path. What has not the form of a quote's id cannot exist.
    pub fn quote_id(&self) -> Result<QuoteId, Problem> {
        let id = QuoteId::new(self.segment("quoteId"));
        if id.is_well_formed() && id.as_str().len() <= MAX_SEGMENT { Ok(id) } else { Err(quote_not_found()) }
    }

    pub fn order_id(&self) -> Result<OrderId, Problem> {
        let id = OrderId::new(self.segment("orderId"));
        if id.is_well_formed() && id.as_str().len() <= MAX_SEGMENT { Ok(id) } else { Err(order_not_found()) }
    }

    /// The approval task of the path, and the quote that it belongs to.
    pub fn task_id(&self) -> Result<(TaskId, QuoteId), Problem> {
        let task = TaskId::new(self.segment("taskId"));
        let quote = task.approval_parts().and_then(|(request, _)| request.quote_id());
        match quote.filter(|_| task.as_str().len() <= MAX_SEGMENT && is_usable(task.as_str())) {
            Some(quote) => Ok((task, quote)),
            None => Err(Problem::new(ErrorCode::TaskNotFound, "There is no such approval task in this tenant.")),
        }
    }

    /// Another segment of the path, if it can be the id of anything.
    pub fn usable_segment(&self, name: &str) -> Option<&str> {
        let value = self.segment(name);
        is_usable(value).then_some(value)
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A read-only transaction of the caller's tenant.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.gateway.db.begin(std::slice::from_ref(&self.caller.tenant)).await
    }

    /// The accounts whose objects the caller may read. An auditor reads everything of the tenant.
    pub fn readable(&self) -> Accounts {
        let accounts = &self.caller.claims.customer_accounts;
        if self.caller.claims.has(Role::Auditor) || accounts.iter().any(|a| a == cpq_domain::command::ANY_ACCOUNT) {
            Accounts::All
        } else {
            Accounts::These(accounts.clone())
        }
    }

    pub fn may_read(&self, account: &CustomerAccountId) -> bool {
        self.caller.claims.has(Role::Auditor) || self.caller.claims.may_access(account)
    }

    /// What a command carries besides its own words.
    pub fn meta(&self) -> CommandMeta {
        CommandMeta {
            command_id: self.command_id.clone(),
            tenant_id: self.caller.tenant.clone(),
            claims: self.caller.claims.clone(),
            correlation_id: self.exchange.correlation_id.clone(),
            causation_id: None,
            received_at: self.received_at,
            if_match: self.if_match.clone(),
            traceparent: Some(self.exchange.trace.to_string()),
        }
    }
}

/// Longest path segment that can be an id.
const MAX_SEGMENT: usize = 128;

/// Whether a text can be the id of anything.
pub fn is_usable(text: &str) -> bool {
    (1..=MAX_SEGMENT).contains(&text.len()) && !text.chars().any(char::is_control)
}

pub fn quote_not_found() -> Problem {
    Problem::new(
        ErrorCode::QuoteNotFound,
        "There is no such quote in this tenant, or its customer account is not one of yours.",
    )
}

pub fn order_not_found() -> Problem {
    Problem::new(
        ErrorCode::OrderNotFound,
        "There is no such order in this tenant, or its customer account is not one of yours.",
    )
}
