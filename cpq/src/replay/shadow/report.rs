//! What is told of a shadow replay: the numbers, and each difference with both sides, as a table and as JSON.

use crate::output::{Paint, Style};
use crate::table::{Cell, Table};
use cpq_domain::moment::Moment;
use cpq_state_stores::operations::shadow::{Asked, DecidedEvent, Decision, Outcome};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// Differences that are shown as text; JSON has more.
const MAX_SHOWN: usize = 50;
/// Fields of one difference that are told; both sides hold the rest.
const MAX_FIELDS: usize = 20;
/// Characters of a value that are shown as text.
const MAX_VALUE: usize = 60;

/// The whole answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    seconds: f64,
    records_per_second: f64,
    #[serde(flatten)]
    passed: Passed,
    #[serde(flatten)]
    compared: Compared,
    /// The shadow's database, if it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What was read, and not decided again.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Passed {
    pub records: u64,
    /// Parked, given up, or not yet decided by the live system when this began.
    pub undecided: u64,
    /// Of quotes and orders whose beginning is not on the topics, or is before `--since`.
    pub begun_before: u64,
    /// Not readable by this build, though the live system had no trouble with them.
    pub unreadable: u64,
    pub unreadable_records: Vec<Place>,
}

/// Where a record stands, and what is wrong with it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Place(pub String);

/// What comparing has shown.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    pub commands: u64,
    pub same: u64,
    pub different: u64,
    pub aggregates: u64,
    pub different_aggregates: u64,
    pub live: Totals,
    pub shadow: Totals,
    /// How many commands of each name.
    pub by_command: BTreeMap<String, u64>,
    pub differences: Vec<Difference>,
}

/// How commands ended on one side.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    pub applied: u64,
    pub rejected: u64,
    pub pending: u64,
    pub failed: u64,
    pub events: u64,
}

impl Totals {
    pub fn count(&mut self, decision: &Decision) {
        match decision.outcome.as_ref().map(|outcome| outcome.rejection.is_some()) {
            Some(true) => self.rejected += 1,
            Some(false) => self.applied += 1,
            None => self.pending += 1,
        }
        self.events += decision.events.len() as u64;
    }
}

/// A command that was decided otherwise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    tenant_id: String,
    /// The quote or order.
    aggregate_id: String,
    /// Of the first event, or of the outcome where there is none.
    aggregate_sequence: Option<i64>,
    command: String,
    command_id: String,
    decided_at: String,
    /// An earlier command of the same quote or order differs: this may only follow from it.
    follows: bool,
    /// The tenant's reference data were changed since the live decision, which is seen with those of now.
    imported_since: bool,
    fields: Vec<Field>,
    live: Side,
    shadow: Side,
}

/// A value that differs.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    /// JSON pointer into both sides.
    path: String,
    live: Value,
    shadow: Value,
}

/// What one side made of a command.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// APPLIED, REJECTED, PENDING (waits for another command) or FAILED.
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    outcome: Option<Outcome>,
    events: Vec<DecidedEvent>,
}

impl Side {
    pub fn decided(decision: Decision) -> Self {
        let status = decision.outcome.as_ref().map_or("PENDING", |outcome| outcome.status.as_str()).to_owned();
        let mut outcome = decision.outcome;
        if let Some(outcome) = &mut outcome {
            // The decision's time is the same by construction; a settled one has that of what settled it.
            outcome.decided_at = OffsetDateTime::UNIX_EPOCH;
        }
        Self { status, cause: None, outcome, events: decision.events }
    }

    pub fn failed(cause: String) -> Self {
        Self { status: "FAILED".to_owned(), cause: Some(cause), outcome: None, events: Vec::new() }
    }

    fn sequence(&self) -> Option<i64> {
        let event = self.events.first().map(|event| event.aggregate_sequence);
        event.or_else(|| self.outcome.as_ref().and_then(|outcome| outcome.aggregate_sequence))
    }

    /// In a few words: the status, the code of a rejection, the events.
    fn summary(&self) -> String {
        let code = self.outcome.as_ref().and_then(|outcome| outcome.rejection.as_ref()?.get("code")?.as_str());
        let words = [Some(self.status.as_str()), code].into_iter().flatten();
        words.chain(self.events.iter().map(|event| event.event_type.as_str())).collect::<Vec<_>>().join(" ")
    }
}

impl Difference {
    pub fn new(
        asked: &Asked,
        at: OffsetDateTime,
        live: Side,
        shadow: Side,
        follows: bool,
        imported_since: bool,
    ) -> Self {
        let mut fields = Vec::new();
        let json = |side: &Side| serde_json::to_value(side).unwrap_or_default();
        collect(&json(&live), &json(&shadow), &mut String::new(), &mut fields);
        Self {
            tenant_id: asked.tenant_id.clone(),
            aggregate_id: asked.aggregate_id.clone(),
            aggregate_sequence: live.sequence().or_else(|| shadow.sequence()),
            command: asked.action.clone(),
            command_id: asked.command_id.clone(),
            decided_at: Moment::new(at).to_string(),
            follows,
            imported_since,
            fields,
            live,
            shadow,
        }
    }
}

/// Collects where two values differ, at the innermost places.
fn collect(live: &Value, shadow: &Value, path: &mut String, fields: &mut Vec<Field>) {
    if live == shadow || fields.len() >= MAX_FIELDS {
        return;
    }
    let length = path.len();
    match (live, shadow) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                path.push('/');
                path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                collect(a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), path, fields);
                path.truncate(length);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                path.push_str(&format!("/{index}"));
                collect(a.get(index).unwrap_or(&Value::Null), b.get(index).unwrap_or(&Value::Null), path, fields);
                path.truncate(length);
            }
        }
        _ => fields.push(Field { path: path.clone(), live: live.clone(), shadow: shadow.clone() }),
    }
}

impl Report {
    pub fn new(passed: Passed, compared: Compared, seconds: f64) -> Self {
        let records_per_second = passed.records as f64 / seconds;
        Self { seconds, records_per_second, passed, compared, kept: None }
    }

    /// Whether this build decides, or reads, anything otherwise.
    pub fn is_finding(&self) -> bool {
        self.compared.different > 0 || self.passed.unreadable > 0
    }

    pub fn text(&self, paint: Paint) -> String {
        let Self { seconds, records_per_second, passed, compared, kept } = self;
        let Compared { commands, same, different, aggregates, different_aggregates, .. } = compared;
        let mut lines = vec![
            format!("{} records in {seconds:.1} s ({records_per_second:.0}/s)", passed.records),
            format!("{commands} commands decided again: {same} the same, {different} different"),
            format!("{aggregates} quotes and orders, of which {different_aggregates} differ"),
            self.totals().render(paint),
        ];
        let notes = [
            (passed.undecided, "were parked, given up or not decided yet"),
            (passed.begun_before, "are of quotes and orders that began before what was read"),
            (passed.unreadable, "are not readable by this build"),
        ];
        lines.extend(notes.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} records {what}")));
        lines.extend(passed.unreadable_records.iter().take(MAX_SHOWN).map(|p| paint.apply(Style::Red, &p.0)));
        if !compared.differences.is_empty() {
            lines.push(self.differences().render(paint));
        }
        if *different > compared.differences.len().min(MAX_SHOWN) as u64 {
            lines.push(format!("the first {MAX_SHOWN} of {different} are shown; --output json has more"));
        }
        lines.extend(kept.iter().map(|name| format!("the shadow is kept: `drop database {name}` ends it")));
        lines.join("\n")
    }

    fn totals(&self) -> Table {
        let mut table = Table::new(&["SIDE", "APPLIED", "REJECTED", "PENDING", "FAILED", "EVENTS"]);
        for (side, totals) in [("live", &self.compared.live), ("shadow", &self.compared.shadow)] {
            let Totals { applied, rejected, pending, failed, events } = totals;
            let numbers = [applied, rejected, pending, failed, events].map(Cell::number);
            table.row([vec![side.into()], numbers.into()].concat());
        }
        table
    }

    fn differences(&self) -> Table {
        let heading = ["QUOTE/ORDER", "SEQUENCE", "COMMAND", "COMMAND ID", "LIVE", "SHADOW", "FIRST DIFFERENCE", ""];
        let mut table = Table::new(&heading);
        for d in self.compared.differences.iter().take(MAX_SHOWN) {
            let first = d.fields.first().map(|f| format!("{}: {} → {}", f.path, short(&f.live), short(&f.shadow)));
            let notes = [(d.follows, "follows from the one above"), (d.imported_since, "reference data changed since")];
            let notes: Vec<&str> = notes.iter().filter(|(holds, _)| *holds).map(|(_, note)| *note).collect();
            table.row(vec![
                d.aggregate_id.as_str().into(),
                d.aggregate_sequence.map_or_else(Cell::default, Cell::number),
                d.command.as_str().into(),
                d.command_id.as_str().into(),
                d.live.summary().into(),
                Cell::styled(if d.follows { Style::Yellow } else { Style::Red }, d.shadow.summary()),
                first.unwrap_or_default().into(),
                Cell::styled(Style::Dim, notes.join(", ")),
            ]);
        }
        table
    }
}

/// A value, cut to what fits a line.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, collect};
    use rstest::rstest;
    use serde_json::{Value, json};

    #[rstest]
    #[case(json!({"a": 1}), json!({"a": 1}), &[])]
    #[case(json!({"a": {"b/c": 1}}), json!({"a": {"b/c": 2}}), &[("/a/b~1c", json!(1), json!(2))])]
    #[case(json!([1, 2]), json!([1]), &[("/1", json!(2), Value::Null)])]
    #[case(json!({"a": 1}), json!({"b": 1}), &[("/a", json!(1), Value::Null), ("/b", Value::Null, json!(1))])]
    #[case(json!({"a": [1]}), json!({"a": "1"}), &[("/a", json!([1]), json!("1"))])]
    fn a_difference_names_the_innermost_places(
        #[case] live: Value,
        #[case] shadow: Value,
        #[case] expected: &[(&str, Value, Value)],
    ) {
        let mut fields = Vec::new();
        collect(&live, &shadow, &mut String::new(), &mut fields);
        let expected: Vec<Field> = expected
            .iter()
            .map(|(path, live, shadow)| Field { path: (*path).to_owned(), live: live.clone(), shadow: shadow.clone() })
            .collect();
        assert_eq!(fields, expected);
    }
}
