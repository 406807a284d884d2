//! The views of one batch in memory: each event brings its quote's or order's row, tasks and timeline one step
//! forward. What the rows show is said in `quote_views` and `order_views`.

use cpq_avro::EventEnvelope;
use cpq_state_stores::aggregates::AggregateKey;
use cpq_state_stores::views::{Shown, TaskRow, TimelineRow};
use std::collections::{BTreeSet, HashMap};

/// How an aggregate is shown. Pure.
pub trait View {
    type Event;
    type Row;

    /// The row after an event; `None` if it has none before and this is not the first.
    fn row(row: Option<&Self::Row>, envelope: &EventEnvelope, event: &Self::Event) -> Option<Self::Row>;
    /// The tasks after an event; `None` if it does not touch them.
    fn tasks(tasks: &[TaskRow], row: &Self::Row, envelope: &EventEnvelope, event: &Self::Event)
    -> Option<Vec<TaskRow>>;
    /// The sequence that the row shows.
    fn version(row: &Self::Row) -> u64;
    /// The event in the customer's timeline.
    fn entry(row: &Self::Row, envelope: &EventEnvelope, event: &Self::Event) -> TimelineRow;
}

/// What is shown of the aggregates of a batch, and which of them have changed.
pub struct Views<V: View> {
    shown: HashMap<AggregateKey, Shown<V::Row>>,
    changed: BTreeSet<AggregateKey>,
    /// Those among them whose tasks have changed.
    tasks_changed: BTreeSet<AggregateKey>,
    timeline: Vec<TimelineRow>,
}

impl<V: View> Views<V> {
    pub fn new(shown: HashMap<AggregateKey, Shown<V::Row>>) -> Self {
        Self { shown, changed: BTreeSet::new(), tasks_changed: BTreeSet::new(), timeline: Vec::new() }
    }

    /// Brings the views one event forward.
    pub fn apply(&mut self, envelope: &EventEnvelope, event: &V::Event) -> Result<(), String> {
        let key = (envelope.tenant_id.clone(), envelope.aggregate_id.clone());
        let before = self.shown.get(&key);
        if !is_next(before.map(|shown| V::version(&shown.row)), envelope)? {
            return Ok(());
        }
        let row = V::row(before.map(|shown| &shown.row), envelope, event)
            .ok_or_else(|| format!("{} starts without its creation", key.1))?;
        let tasks = before.map(|shown| shown.tasks.as_slice()).unwrap_or_default();
        let tasks = match V::tasks(tasks, &row, envelope, event) {
            Some(tasks) => {
                self.tasks_changed.insert(key.clone());
                tasks
            }
            None => tasks.to_vec(),
        };
        self.timeline.push(V::entry(&row, envelope, event));
        self.shown.insert(key.clone(), Shown { row, tasks });
        self.changed.insert(key);
        Ok(())
    }

    /// The rows that have changed, by key.
    pub fn rows(&self) -> impl Iterator<Item = &V::Row> {
        self.changed.iter().filter_map(|key| self.shown.get(key)).map(|shown| &shown.row)
    }

    /// The tasks of whatever has changed its tasks, by key.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskRow> {
        self.tasks_changed.iter().filter_map(|key| self.shown.get(key)).flat_map(|shown| &shown.tasks)
    }

    pub fn timeline(&self) -> &[TimelineRow] {
        &self.timeline
    }
}

/// Whether an event is new to a row that shows `version`.
fn is_next(version: Option<u64>, envelope: &EventEnvelope) -> Result<bool, String> {
    let (shown, sequence) = (version.unwrap_or(0), envelope.aggregate_sequence);
    match sequence {
        s if s <= shown => Ok(false),
        s if s == shown + 1 => Ok(true),
        _ => Err(format!("{} jumps from sequence {shown} to {sequence}", envelope.aggregate_id)),
    }
}
