//! One request and its answer: what is known of it from the first moment on, so that every answer, refusals
//! of the framework included, can name it.

use cpq_domain::ids::{CorrelationId, TenantId};
use cpq_runtime::telemetry::TraceContext;
use http::{HeaderMap, Method};
use std::sync::{Mutex, OnceLock, PoisonError};
use ulid::Ulid;

/// Longest correlation id that is taken over.
pub const MAX_CORRELATION_ID: usize = 128;
/// The header that carries it, in and out.
pub const CORRELATION_HEADER: &str = "x-correlation-id";

/// What every part of an answer may need.
#[derive(Debug)]
pub struct Exchange {
    pub correlation_id: CorrelationId,
    /// This request's own span.
    pub trace: TraceContext,
    pub method: Method,
    pub path: String,
    tenant: OnceLock<TenantId>,
    business_key: Mutex<Option<String>>,
}

impl Exchange {
    pub fn new(correlation_id: CorrelationId, trace: TraceContext, method: Method, path: String) -> Self {
        Self { correlation_id, trace, method, path, tenant: OnceLock::new(), business_key: Mutex::new(None) }
    }

    /// The caller's tenant, once it is known.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.get()
    }
    pub fn set_tenant(&self, tenant: &TenantId) {
        let _ = self.tenant.set(tenant.clone());
    }

    /// What the request is about: `quote:Q-2026-000123:rev:4`.
    pub fn business_key(&self) -> Option<String> {
        self.business_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub fn set_business_key(&self, key: String) {
        *self.business_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }
}

/// The client's correlation id, or a new one where it sent none or one of another form.
pub fn correlation_id(headers: &HeaderMap) -> CorrelationId {
    let sent = headers.get(CORRELATION_HEADER).and_then(|value| value.to_str().ok());
    match sent.filter(|id| is_correlation_id(id)) {
        Some(id) => CorrelationId::new(id),
        None => CorrelationId::new(format!("corr-{}", Ulid::generate())),
    }
}

fn is_correlation_id(text: &str) -> bool {
    (1..=MAX_CORRELATION_ID).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("corr-78e0a", true)]
    #[case("a.B_c:d-1", true)]
    #[case("", false)]
    #[case("with space", false)]
    #[case("a\"b", false)]
    fn a_correlation_id_of_another_form_is_replaced(#[case] sent: &str, #[case] kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(CORRELATION_HEADER, sent.parse().unwrap());
        assert_eq!(correlation_id(&headers).as_str() == sent, kept);
    }

    #[test]
    fn a_correlation_id_has_at_most_128_characters() {
        assert!(is_correlation_id(&"a".repeat(128)));
        assert!(!is_correlation_id(&"a".repeat(129)));
    }
}
