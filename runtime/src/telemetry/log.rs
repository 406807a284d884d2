//! Log lines: one record per line, as JSON or as text, with the fields of every span around it. Whatever
//! stands in a field stays inside its line: control characters are escaped in both forms.

use crate::config::LogFormat;
use serde_json::{Value, json};
use std::{
    fmt::{self, Write as _},
    io::Write as _,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// The field under which tracing hands over an event's text.
const MESSAGE: &str = "message";

/// Where the finished lines go.
type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Writes each event as one line, to standard output.
pub struct LogLayer {
    service: &'static str,
    format: LogFormat,
    sink: Sink,
}

impl LogLayer {
    pub fn new(service: &'static str, format: LogFormat) -> Self {
        Self::to(service, format, |line| {
            // A closed standard output must not end the process.
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
        })
    }

    fn to(service: &'static str, format: LogFormat, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { service, format, sink: Box::new(sink) }
    }
}

/// Fields by name, in the order in which they came. So few that looking through them is cheaper than hashing.
type Fields = Vec<(&'static str, Value)>;

/// Gives a field its newest value.
fn put(fields: &mut Fields, name: &'static str, value: Value) {
    match fields.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => fields.push((name, value)),
    }
}

/// The fields that a span carries, kept beside it.
struct SpanFields(Fields);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::new();
        attributes.record(&mut Collect(&mut fields));
        span.extensions_mut().insert(SpanFields(fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            values.record(&mut Collect(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(SpanFields(of_span)) = span.extensions().get() {
                of_span.iter().for_each(|(name, value)| put(&mut fields, name, value.clone()));
            }
        }
        event.record(&mut Collect(&mut fields));
        let message = fields.iter().position(|(name, _)| *name == MESSAGE).map(|index| fields.remove(index).1);
        let (message, metadata) = (message.unwrap_or_default(), event.metadata());
        let line = match self.format {
            LogFormat::Json => json_line(self.service, metadata, &message, &fields),
            LogFormat::Text => text_line(self.service, metadata, &message, &fields),
        };
        (self.sink)(&line);
    }
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

fn json_line(service: &str, metadata: &tracing::Metadata<'_>, message: &Value, fields: &Fields) -> String {
    let (level, target) = (metadata.level().as_str(), metadata.target());
    let own =
        [("timestamp", json!(now())), ("level", json!(level)), ("service", json!(service)), ("target", json!(target))];
    let mut line = String::from("{");
    for (name, value) in &own {
        let _ = write!(line, "\"{name}\":{value},");
    }
    let _ = write!(line, "\"{MESSAGE}\":{message}");
    // A field never takes the place of one of the record's own.
    for (name, value) in fields.iter().filter(|(name, _)| own.iter().all(|(own, _)| own != name)) {
        let _ = write!(line, ",{}:{value}", Value::from(*name));
    }
    line.push('}');
    // JSON itself lets everything from DEL on stand as it is.
    if line.bytes().any(|byte| byte >= 0x7f) {
        line = escaped_as_json(&line);
    }
    line.push('\n');
    line
}

/// Escapes what is hostile in a record: it stands inside of strings only.
fn escaped_as_json(record: &str) -> String {
    let mut escaped = String::with_capacity(record.len());
    for c in record.chars() {
        if is_hostile(c) {
            // None of them has more than four digits.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn text_line(service: &str, metadata: &tracing::Metadata<'_>, message: &Value, fields: &Fields) -> String {
    let mut line = format!("{} {:>5} {service} {}: ", now(), metadata.level().as_str(), metadata.target());
    push_escaped(&mut line, &plain(message));
    for (name, value) in fields {
        let _ = write!(line, " {name}=");
        push_escaped(&mut line, &plain(value));
    }
    line.push('\n');
    line
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What could end the line, move a terminal's cursor or hide text: control characters, line and paragraph
/// separators, and direction marks.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends text with everything escaped that is hostile.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if is_hostile(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// Collects fields as JSON values.
struct Collect<'a>(&'a mut Fields);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        put(self.0, field.name(), value);
    }
}

impl Visit for Collect<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::{Registry, layer::SubscriberExt as _};

    /// What is logged in that form by `work`.
    fn logged(format: LogFormat, work: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = lines.clone();
        let layer = LogLayer::to("test", format, move |line| sink.lock().unwrap().push_str(line));
        tracing::subscriber::with_default(Registry::default().with(layer), work);
        Arc::try_unwrap(lines).unwrap().into_inner().unwrap()
    }

    #[test]
    fn a_record_carries_the_fields_of_every_span_around_it() {
        let lines = logged(LogFormat::Json, || {
            let outer = tracing::info_span!("outer", tenant_id = "t", correlation_id = tracing::field::Empty);
            outer.record("correlation_id", "c");
            outer.in_scope(|| {
                tracing::info_span!("inner", business_key = "Q-1").in_scope(|| tracing::info!(offset = 7, "applied"));
            });
        });
        let record: Value = serde_json::from_str(&lines).unwrap();
        for (name, value) in [
            ("tenant_id", json!("t")),
            ("correlation_id", json!("c")),
            ("business_key", json!("Q-1")),
            ("offset", json!(7)),
            ("message", json!("applied")),
            ("service", json!("test")),
        ] {
            assert_eq!(record[name], value, "{name}");
        }
    }

    /// Line ends, a record of its own, terminal commands in both forms, separators, text that runs backward.
    const HOSTILE: &str =
        "a\r\n{\"level\":\"ERROR\"}\u{1b}[2J\u{9b}2J\u{7f}\u{85}\u{2028}\u{2029}\u{202e}\u{2067}\u{200f}\0ä😀";

    #[rstest]
    #[case::json(LogFormat::Json)]
    #[case::text(LogFormat::Text)]
    fn fault_60_a_field_cannot_leave_its_record(#[case] format: LogFormat) {
        let lines = logged(format, || {
            tracing::info_span!("s", business_key = HOSTILE)
                .in_scope(|| tracing::info!(actor_id = HOSTILE, error = ?HOSTILE, "{HOSTILE}"));
        });
        let line = lines.strip_suffix('\n').unwrap();
        assert_eq!(line.chars().find(|c| is_hostile(*c)), None, "{line:?}");
        assert!(line.contains("ä😀"), "what is harmless stays readable: {line}");
    }

    #[test]
    fn fault_60_what_is_escaped_is_what_was_said() {
        let lines = logged(LogFormat::Json, || tracing::info!(actor_id = HOSTILE, "{HOSTILE}"));
        let record: Value = serde_json::from_str(&lines).unwrap();
        assert_eq!((&record["actor_id"], &record["message"]), (&json!(HOSTILE), &json!(HOSTILE)));
        assert_eq!(record["level"], "INFO");
    }

    #[test]
    fn a_field_never_takes_the_place_of_the_level() {
        let lines = logged(LogFormat::Json, || tracing::info!(level = "ERROR", "x"));
        let record: Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(record["level"], "INFO");
    }
}
