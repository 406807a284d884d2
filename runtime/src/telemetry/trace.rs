//! W3C trace context (`traceparent`): parsing, formatting, and joining a span to the trace that it belongs to.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use std::fmt;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// One span's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// The start of a new trace.
    pub fn new_root() -> Self {
        Self { trace_id: nonzero(rand::random), span_id: nonzero(rand::random), sampled: true }
    }

    /// Reads `00-<trace id>-<parent id>-<flags>`; later versions are read as far as version 00 goes, anything
    /// else is no context.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let well_formed = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let extra = parts.next().is_some();
        if !well_formed(version, 2) || version == "ff" || (version == "00" && extra) {
            return None;
        }
        if !well_formed(trace_id, 32) || !well_formed(span_id, 16) || !well_formed(flags, 2) {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// A new span under this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: nonzero(rand::random), ..*self }
    }

    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }
}

/// The `traceparent` header's form.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Puts `span` under `parent` (or at the start of a new trace), records its `trace_id` and `span_id` fields
/// (declare them as `Empty`), and returns its context, to be passed on.
pub fn join(span: &Span, parent: Option<&TraceContext>) -> TraceContext {
    if let Some(parent) = parent {
        let remote = SpanContext::new(
            TraceId::from(parent.trace_id),
            SpanId::from(parent.span_id),
            TraceFlags::default().with_sampled(parent.sampled),
            true,
            TraceState::NONE,
        );
        // Without an exporter there is no such layer; the ids below are then our own.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }
    let exported = span.context();
    let own = exported.span().span_context().clone();
    let context = if own.is_valid() {
        TraceContext {
            trace_id: u128::from_be_bytes(own.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(own.span_id().to_bytes()),
            sampled: own.is_sampled(),
        }
    } else {
        parent.map_or_else(TraceContext::new_root, TraceContext::child)
    };
    span.record("trace_id", context.trace_id());
    span.record("span_id", context.span_id());
    context
}

fn nonzero<T: Default + PartialEq>(draw: impl Fn() -> T) -> T {
    loop {
        let drawn = draw();
        if drawn != T::default() {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        assert_eq!(TraceContext::parse(GOOD).unwrap().to_string(), GOOD);
    }

    #[test]
    fn a_child_stays_in_its_trace_under_a_span_of_its_own() {
        let parent = TraceContext::parse(GOOD).unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.span_id(), parent.span_id());
    }

    #[rstest]
    #[case::empty("")]
    #[case::not_hexadecimal("00-zbf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case::upper_case("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")]
    #[case::zero_trace("00-00000000000000000000000000000000-00f067aa0ba902b7-01")]
    #[case::zero_span("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")]
    #[case::forbidden_version("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case::more_than_version_00("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x")]
    fn what_is_no_traceparent_is_ignored(#[case] text: &str) {
        assert_eq!(TraceContext::parse(text), None);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        assert!(TraceContext::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x").is_some());
    }
}
