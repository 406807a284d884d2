//! One step of a story, and how a story looks.

use crate::output::{Paint, Style};
use crate::table::{Cell, Table};
use cpq_domain::moment::Moment;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use time::OffsetDateTime;

/// Where something happened. In the order in which things of the same instant follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Place {
    Http,
    Postgres,
    // What a decision sends follows the decision.
    Command,
    Outbox,
    Kafka,
    Camunda,
    Worker,
    Mail,
    Parked,
}

impl Place {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Command => "COMMAND",
            Self::Postgres => "POSTGRES",
            Self::Outbox => "OUTBOX",
            Self::Kafka => "KAFKA",
            Self::Camunda => "CAMUNDA",
            Self::Worker => "WORKER",
            Self::Mail => "MAIL",
            Self::Parked => "PARKED",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Http => Style::Bold,
            Self::Command => Style::Cyan,
            Self::Postgres => Style::Green,
            Self::Outbox => Style::Dim,
            Self::Kafka => Style::Magenta,
            Self::Camunda => Style::Blue,
            Self::Worker => Style::Yellow,
            Self::Mail => Style::Cyan,
            Self::Parked => Style::Red,
        }
    }
}

/// How it went, for the colour of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Waiting,
    Bad,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: OffsetDateTime,
    pub place: Place,
    pub tenant_id: String,
    /// The aggregate, or business key.
    pub subject: String,
    pub what: String,
    pub result: String,
    pub tone: Tone,
    /// Where it can be seen, in words.
    pub evidence: String,
    /// The same for programs.
    pub detail: Value,
}

impl Step {
    /// In time; at the same instant by place, then by what each place itself counts by.
    pub fn order(&self) -> (OffsetDateTime, Place, String, i64) {
        let count = self.detail.get("aggregateSequence").or(self.detail.get("offset")).and_then(Value::as_i64);
        (self.at, self.place, self.subject.clone(), count.unwrap_or_default())
    }
}

/// Says of a message that is on its topic more than once, that it is.
pub fn mark_repeats(steps: &mut [Step]) {
    steps.sort_by_key(Step::order);
    let mut seen = HashSet::new();
    for step in steps.iter_mut().filter(|step| step.place == Place::Kafka) {
        let message = (step.detail["topic"].to_string(), step.detail["messageId"].to_string());
        if !seen.insert(message) {
            step.result = "repeat of the same record".to_owned();
            step.tone = Tone::Waiting;
        }
    }
}

/// The story for a program.
pub fn report(steps: &[Step]) -> Vec<Value> {
    let first = steps.first().map(|step| step.at);
    let entry = |step: &Step| {
        json!({
            "at": Moment::new(step.at),
            "offsetMs": millis_since(first, step.at),
            "where": step.place,
            "tenantId": step.tenant_id,
            "subject": step.subject,
            "what": step.what,
            "result": step.result,
            "detail": step.detail,
        })
    };
    steps.iter().map(entry).collect()
}

/// The story for a person.
pub fn text(steps: &[Step], notes: &[String], paint: Paint) -> String {
    let first = steps.first().map(|step| step.at);
    let mut table = Table::new(&["TIME (UTC)", "+MS", "WHERE", "SUBJECT", "WHAT", "RESULT", "EVIDENCE"]);
    for step in steps {
        let style = match step.tone {
            Tone::Plain => Style::Plain,
            Tone::Good => Style::Green,
            Tone::Waiting => Style::Yellow,
            Tone::Bad => Style::Red,
        };
        table.row(vec![
            Cell::styled(Style::Dim, clock(step.at)),
            Cell::number(millis_since(first, step.at)),
            Cell::styled(step.place.style(), step.place.as_str()),
            step.subject.as_str().into(),
            step.what.as_str().into(),
            Cell::styled(style, step.result.as_str()),
            Cell::styled(Style::Dim, step.evidence.as_str()),
        ]);
    }
    let mut lines = vec![table.render(paint)];
    if let (Some(first), Some(last)) = (first, steps.last()) {
        lines.push(format!(
            "{} steps in {} ms, from {}",
            steps.len(),
            millis_since(Some(first), last.at),
            Moment::new(first)
        ));
    }
    lines.extend(notes.iter().map(|note| paint.apply(Style::Red, note)));
    lines.join("\n")
}

fn millis_since(first: Option<OffsetDateTime>, at: OffsetDateTime) -> i64 {
    first.map_or(0, |first| (at - first).whole_milliseconds() as i64)
}

fn clock(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", at.hour(), at.minute(), at.second(), at.millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;

    fn step(millis: i64, place: Place, what: &str, detail: Value) -> Step {
        Step {
            at: OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(millis),
            place,
            tenant_id: "t".to_owned(),
            subject: "Q-2026-000001".to_owned(),
            what: what.to_owned(),
            result: "ok".to_owned(),
            tone: Tone::Good,
            evidence: String::new(),
            detail,
        }
    }

    fn record(millis: i64, offset: i64, id: &str) -> Step {
        step(millis, Place::Kafka, "QuoteCreated", json!({"topic": "t", "offset": offset, "messageId": id}))
    }

    #[test]
    fn a_story_is_told_in_time_and_at_the_same_instant_from_request_to_topic() {
        let mut steps = [
            record(5, 0, "a"),
            step(5, Place::Postgres, "second", json!({"aggregateSequence": 2})),
            step(5, Place::Postgres, "first", json!({"aggregateSequence": 1})),
            step(0, Place::Http, "createQuote", json!({})),
        ];
        steps.sort_by_key(Step::order);
        let told: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(told, ["createQuote", "first", "second", "QuoteCreated"]);
    }

    #[test]
    fn a_repeat_on_a_topic_is_said_to_be_one() {
        let mut steps = vec![record(9, 7, "a"), record(1, 3, "a"), record(2, 4, "b")];
        mark_repeats(&mut steps);
        let results: Vec<&str> = steps.iter().map(|step| step.result.as_str()).collect();
        assert_eq!(results, ["ok", "ok", "repeat of the same record"]);
    }

    #[test]
    fn a_story_is_an_aligned_table_with_the_time_since_its_begin() {
        let mut steps = vec![record(1_250, 7, "a"), step(0, Place::Http, "createQuote", json!({}))];
        steps.sort_by_key(Step::order);
        assert_eq!(
            text(&steps, &["the engine is away".to_owned()], Paint(false)),
            "TIME (UTC)    +MS   WHERE  SUBJECT        WHAT          RESULT  EVIDENCE\n\
             00:00:00.000     0  HTTP   Q-2026-000001  createQuote   ok\n\
             00:00:01.250  1250  KAFKA  Q-2026-000001  QuoteCreated  ok\n\
             2 steps in 1250 ms, from 1970-01-01T00:00:00Z\n\
             the engine is away"
        );
    }
}
