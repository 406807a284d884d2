//! Log lines: one record per line, as JSON or as text, with the fields of every span around it. Whatever
//! stands in a field stays inside its line: control characters are escaped in both forms.

use crate::config::LogFormat;
use serde_json::{Map, Value, json};
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

/// The fields that a span carries, kept beside it.
struct SpanFields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Map::new();
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
        let mut own = Map::new();
        event.record(&mut Collect(&mut own));
        let message = own.shift_remove("message").unwrap_or_default();
        let mut fields = Map::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(SpanFields(of_span)) = span.extensions().get() {
                fields.extend(of_span.clone());
            }
        }
        fields.extend(own);
        let metadata = event.metadata();
        let line = match self.format {
            LogFormat::Json => json_line(self.service, metadata, message, fields),
            LogFormat::Text => text_line(self.service, metadata, &message, &fields),
        };
        (self.sink)(&line);
    }
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

fn json_line(service: &str, metadata: &tracing::Metadata<'_>, message: Value, fields: Map<String, Value>) -> String {
    let mut record = Map::new();
    record.insert("timestamp".to_owned(), json!(now()));
    record.insert("level".to_owned(), json!(metadata.level().as_str()));
    record.insert("service".to_owned(), json!(service));
    record.insert("target".to_owned(), json!(metadata.target()));
    record.insert("message".to_owned(), message);
    for (name, value) in fields {
        // A field never takes the place of one of the record's own.
        record.entry(name).or_insert(value);
    }
    let mut line = Value::Object(record).to_string();
    line.push('\n');
    line
}

fn text_line(service: &str, metadata: &tracing::Metadata<'_>, message: &Value, fields: &Map<String, Value>) -> String {
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

/// Appends text with everything escaped that could end the line, move a terminal's cursor or hide text:
/// control characters, line and paragraph separators, and direction marks.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        let hostile =
            c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hostile {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// Collects fields as JSON values.
struct Collect<'a>(&'a mut Map<String, Value>);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
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

    #[rstest]
    #[case::json(LogFormat::Json)]
    #[case::text(LogFormat::Text)]
    fn a_field_cannot_leave_its_record(#[case] format: LogFormat) {
        let hostile = "a\r\n{\"level\":\"ERROR\"}\u{1b}[2J\u{85}\u{2028}\u{202e}";
        let lines = logged(format, || tracing::info!(actor_id = hostile, "{hostile}"));
        assert_eq!(lines.matches('\n').count(), 1, "{lines}");
        assert!(lines.ends_with('\n') && !lines.contains('\r') && !lines.contains('\u{1b}'), "{lines:?}");
    }

    #[test]
    fn a_field_never_takes_the_place_of_the_level() {
        let lines = logged(LogFormat::Json, || tracing::info!(level = "ERROR", "x"));
        let record: Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(record["level"], "INFO");
    }
}
