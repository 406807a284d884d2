//! What a client asks to create and what stands then. Leaves remembering it to the ledger.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::system::System;

/// The body of a create request. Members that the simulator does not know are kept, as they are part of what an
/// idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRequest {
    /// Whose order it is.
    pub tenant_id: String,
    /// The order.
    pub order_id: String,
    /// Its line.
    pub line_number: String,
    /// The fulfilment step.
    pub step_id: String,
    /// What is ordered.
    pub product_offering_id: String,
    /// How many, a decimal string.
    pub quantity: String,
    /// Everything else: characteristics, charges, dates.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl CreateRequest {
    /// The required members that are empty.
    pub fn empty_members(&self) -> Vec<&'static str> {
        [
            ("tenantId", &self.tenant_id),
            ("orderId", &self.order_id),
            ("lineNumber", &self.line_number),
            ("stepId", &self.step_id),
            ("productOfferingId", &self.product_offering_id),
            ("quantity", &self.quantity),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| name)
        .collect()
    }
}

/// A reservation, service or subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its id, unique over restarts.
    pub id: String,
    /// The system's word for where it stands.
    pub status: String,
    /// The key it was created under.
    pub idempotency_key: String,
    /// What was asked, apart from our own members, whose names a client may use too.
    pub request: CreateRequest,
    /// The request's `X-Correlation-Id`.
    pub correlation_id: Option<String>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was undone.
    #[serde(with = "time::serde::rfc3339::option")]
    pub compensated_at: Option<OffsetDateTime>,
}

impl Resource {
    /// A resource that stands from `now` on.
    pub fn new(
        system: System,
        key: &str,
        request: CreateRequest,
        correlation_id: Option<String>,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id: format!("{}-{}", system.id_prefix(), uuid::Uuid::now_v7()),
            status: system.created_status().to_owned(),
            idempotency_key: key.to_owned(),
            request,
            correlation_id,
            created_at: now,
            compensated_at: None,
        }
    }
}
