//! How dead letters are shown.

use cpq_domain::moment::Moment;
use cpq_state_stores::operations::parked::{DeadLetter, PastAction, WaitingRecord};
use serde::Serialize;
use utoipa::ToSchema;

/// A key that a consumer cannot go on with: its first record failed, and all later ones wait behind it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    pub dead_letter_id: String,
    /// Who parked it: `quote`, `order`, `projection`, `relay` …
    pub consumer: String,
    pub topic: String,
    /// The aggregate's id.
    pub message_key: String,
    /// PARKED, REDRIVING (its records are being applied), or RELEASED.
    pub status: String,
    /// Why it was parked, or parked again.
    pub cause: String,
    /// Null once it is released.
    pub parked_at: Option<Moment>,
    /// Records that wait, the first included.
    pub records: i64,
    /// Where the first record stands; null where the key's work waits elsewhere, and once it is released.
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    /// What the first record is: CLIENT_COMMAND, OWN_COMMAND (a processor of ours sent it), OTHER, or HELD (no record
    /// waits here; the consumer holds work of its own). Null once it is released.
    pub kind: Option<String>,
    /// `cpq.quote.PriceQuote.v1`.
    pub record_type: Option<String>,
    pub command_id: Option<String>,
    pub correlation_id: Option<String>,
    /// Redrives that have failed at the first record, and how many of them in a row with this cause.
    pub attempts: i32,
    pub same_cause_attempts: i32,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            dead_letter_id: letter.dead_letter_id,
            consumer: letter.consumer,
            topic: letter.topic,
            message_key: letter.message_key,
            status: letter.status,
            cause: letter.cause,
            parked_at: Some(Moment::new(letter.parked_at)),
            records: letter.records,
            partition: letter.partition,
            offset: letter.record_offset,
            kind: Some(letter.kind),
            record_type: letter.record_type,
            command_id: letter.command_id,
            correlation_id: letter.correlation_id,
            attempts: letter.attempts,
            same_cause_attempts: letter.same_cause,
        }
    }
}

impl DeadLetterView {
    /// One that is released, as what was done last with it knows it.
    pub fn released(last: &PastAction) -> Self {
        Self {
            dead_letter_id: last.dead_letter_id.clone(),
            consumer: last.consumer.clone(),
            topic: last.topic.clone(),
            message_key: last.message_key.clone(),
            status: "RELEASED".to_owned(),
            cause: last.cause.clone(),
            parked_at: None,
            records: 0,
            partition: None,
            offset: None,
            kind: None,
            record_type: None,
            command_id: None,
            correlation_id: None,
            attempts: 0,
            same_cause_attempts: 0,
        }
    }
}

/// A dead letter with what waits, and what was done with it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterDetail {
    #[serde(flatten)]
    pub letter: DeadLetterView,
    /// The first hundred records in their order.
    pub waiting: Vec<WaitingRecordView>,
    /// Oldest first.
    pub actions: Vec<DeadLetterActionView>,
}

/// A record that waits, without its content.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingRecordView {
    pub partition: i32,
    pub offset: i64,
    pub record_type: Option<String>,
    /// The command's or event's id.
    pub message_id: Option<String>,
    pub cause: String,
    pub attempts: i32,
    pub parked_at: Moment,
}

impl From<WaitingRecord> for WaitingRecordView {
    fn from(record: WaitingRecord) -> Self {
        Self {
            partition: record.partition,
            offset: record.record_offset,
            record_type: record.record_type,
            message_id: record.message_id,
            cause: record.cause,
            attempts: record.attempts,
            parked_at: Moment::new(record.parked_at),
        }
    }
}

/// What an operator did, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterActionView {
    pub action_id: String,
    /// REDRIVE, DISCARD or EDIT.
    pub action: String,
    pub actor_id: String,
    pub reason: String,
    pub forced: bool,
    /// The record that it was about.
    pub offset: Option<i64>,
    /// Why that was parked then, and how many waited behind it.
    pub cause: String,
    pub behind: i64,
    pub requested_at: Moment,
    /// Records that were applied by it so far.
    pub applied: i64,
    /// RELEASED, PARKED_AGAIN or EDITED; null as long as the consumer is at it.
    pub outcome: Option<String>,
    /// Why it was parked again.
    pub outcome_cause: Option<String>,
    pub finished_at: Option<Moment>,
}

impl From<PastAction> for DeadLetterActionView {
    fn from(action: PastAction) -> Self {
        Self {
            action_id: action.action_id,
            action: action.action,
            actor_id: action.actor_id,
            reason: action.reason,
            forced: action.forced,
            offset: action.record_offset,
            cause: action.cause,
            behind: action.behind,
            requested_at: Moment::new(action.requested_at),
            applied: action.applied,
            outcome: action.outcome,
            outcome_cause: action.outcome_cause,
            finished_at: action.finished_at.map(Moment::new),
        }
    }
}
