//! Message headers: CloudEvents 1.0 in the Kafka protocol binding's binary mode, and what joins records over
//! processes (trace, correlation, tenant).

use crate::record::{AggregateType, EventEnvelope};
use cpq_domain::command::CommandMeta;
use cpq_domain::ids::TenantId;
use cpq_domain::moment::Moment;

/// Where every record comes from.
pub const SOURCE: &str = "/cpq/streams";
/// What a value is.
pub const CONTENT_TYPE: &str = "application/avro";
/// The CloudEvents specification that the headers follow.
pub const SPEC_VERSION: &str = "1.0";
/// Version of the schemas of commands and states, as `ce_type` shows it.
const FIRST_VERSION: u32 = 1;

/// Headers of an event; `name` is its record's name without namespace.
pub fn event(
    envelope: &EventEnvelope,
    aggregate_type: AggregateType,
    name: &str,
    traceparent: Option<&str>,
) -> Vec<(String, String)> {
    let ce_type = ce_type(aggregate_type.namespace(), name, envelope.event_version);
    let mut headers = cloud_event(envelope.event_id.as_str(), ce_type, &envelope.aggregate_id, envelope.occurred_at);
    push(&mut headers, "tenant_id", envelope.tenant_id.as_str());
    push(&mut headers, "correlation_id", envelope.correlation_id.as_str());
    push_traceparent(&mut headers, traceparent);
    headers
}

/// Headers of a command; `name` is its record's name without namespace.
pub fn command(
    meta: &CommandMeta,
    aggregate_type: AggregateType,
    aggregate_id: &str,
    name: &str,
) -> Vec<(String, String)> {
    let ce_type = ce_type(aggregate_type.namespace(), name, FIRST_VERSION);
    let mut headers = cloud_event(meta.command_id.as_str(), ce_type, aggregate_id, meta.received_at);
    push(&mut headers, "tenant_id", meta.tenant_id.as_str());
    push(&mut headers, "correlation_id", meta.correlation_id.as_str());
    push_traceparent(&mut headers, meta.traceparent.as_deref());
    headers
}

/// Headers of a state record; `full_name` is its record's name with namespace, `at` the state's time.
pub fn state(id: &str, tenant_id: &TenantId, full_name: &str, aggregate_id: &str, at: Moment) -> Vec<(String, String)> {
    let mut headers = cloud_event(id, format!("{full_name}.v{FIRST_VERSION}"), aggregate_id, at);
    push(&mut headers, "tenant_id", tenant_id.as_str());
    headers
}

fn ce_type(namespace: &str, name: &str, version: u32) -> String {
    format!("{namespace}.{name}.v{version}")
}

fn cloud_event(id: &str, ce_type: String, subject: &str, at: Moment) -> Vec<(String, String)> {
    vec![
        ("ce_specversion".to_owned(), SPEC_VERSION.to_owned()),
        ("ce_id".to_owned(), id.to_owned()),
        ("ce_type".to_owned(), ce_type),
        ("ce_source".to_owned(), SOURCE.to_owned()),
        ("ce_subject".to_owned(), subject.to_owned()),
        ("ce_time".to_owned(), at.to_string()),
        ("content-type".to_owned(), CONTENT_TYPE.to_owned()),
    ]
}

fn push(headers: &mut Vec<(String, String)>, name: &str, value: &str) {
    headers.push((name.to_owned(), value.to_owned()));
}

fn push_traceparent(headers: &mut Vec<(String, String)>, traceparent: Option<&str>) {
    if let Some(traceparent) = traceparent {
        push(headers, "traceparent", traceparent);
    }
}
