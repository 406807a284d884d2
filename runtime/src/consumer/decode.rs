//! What the loop needs from a record's content: the record itself, and the few fields of its envelope that
//! tenants, logs and traces are about.

use super::partition::RawRecord;
use crate::telemetry::{TraceContext, join};
use async_trait::async_trait;
use cpq_avro::{DecodeError, Decoder, Record};
use cpq_domain::ids::TenantId;
use tracing::{Span, field::Empty};

/// Turns bytes into records; [`cpq_avro::Decoder`] in production.
#[async_trait]
pub trait RecordDecoder: Send + Sync + 'static {
    async fn decode(&self, bytes: &[u8]) -> Result<Record, DecodeError>;
}

#[async_trait]
impl RecordDecoder for Decoder {
    async fn decode(&self, bytes: &[u8]) -> Result<Record, DecodeError> {
        Decoder::decode(self, bytes).await
    }
}

/// The record in a message's value, and whose it is. A record of nobody's cannot be applied.
pub async fn read(decoder: &dyn RecordDecoder, value: Option<&[u8]>) -> Result<(Record, TenantId), DecodeError> {
    let poison = |cause: &str| DecodeError::Poison { cause: cause.to_owned() };
    let record = decoder.decode(value.ok_or_else(|| poison("the record has no value"))?).await?;
    let tenant = tenant(&record).ok_or_else(|| poison("the record names no tenant"))?;
    Ok((record, tenant))
}

/// Whose record it is; `None` for a state without its tenant.
fn tenant(record: &Record) -> Option<TenantId> {
    match record {
        Record::Event(envelope, _) => Some(envelope.tenant_id.clone()),
        Record::Command(meta, ..) => Some(meta.tenant_id.clone()),
        Record::State { value, .. } => value.get("tenantId").and_then(|id| id.as_str()).map(TenantId::from),
    }
}

/// A span that carries what every log record about this one is to say, inside the trace it belongs to.
pub fn span(consumer: &'static str, topic: &str, partition: i32, raw: &RawRecord, record: &Record) -> Span {
    let span = tracing::info_span!(
        "record",
        consumer,
        topic,
        partition,
        offset = raw.offset,
        tenant_id = Empty,
        correlation_id = Empty,
        causation_id = Empty,
        actor_id = Empty,
        business_key = Empty,
        trace_id = Empty,
        span_id = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    match record {
        Record::Event(envelope, _) => {
            span.record("tenant_id", envelope.tenant_id.as_str());
            span.record("correlation_id", envelope.correlation_id.as_str());
            span.record("causation_id", envelope.causation_id.as_deref());
            span.record("actor_id", envelope.actor.actor_id.as_str());
            span.record("business_key", envelope.aggregate_id.as_str());
        }
        Record::Command(meta, _, aggregate_id, _) => {
            span.record("tenant_id", meta.tenant_id.as_str());
            span.record("correlation_id", meta.correlation_id.as_str());
            span.record("causation_id", meta.causation_id.as_deref());
            span.record("actor_id", meta.claims.actor_id.as_str());
            span.record("business_key", aggregate_id.as_str());
        }
        Record::State { .. } => {
            span.record("business_key", raw.key_text());
        }
    }
    join(&span, raw.header("traceparent").and_then(TraceContext::parse).as_ref());
    span
}
