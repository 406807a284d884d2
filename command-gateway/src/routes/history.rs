//! The history of a quote or order, which both show alike: every transition with who, when, from what to what,
//! and the command that caused it.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::page::{self, Page};
use crate::reading;
use cpq_domain::moment::Moment;
use cpq_state_stores::Tx;
use cpq_state_stores::reads::{self, HistoryEntry};
use serde::Serialize;
use utoipa::ToSchema;

/// One transition.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    pub sequence: u64,
    /// The revision after it.
    pub revision: u32,
    pub event_id: String,
    pub event_type: String,
    pub from_status: Option<String>,
    pub to_status: String,
    pub actor: TransitionActor,
    pub occurred_at: Moment,
    pub correlation_id: String,
    /// The command that caused it.
    pub causation_id: String,
    /// That command's operation.
    pub operation: Option<String>,
    /// The event's own words.
    pub payload: serde_json::Value,
}

/// Who acted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransitionActor {
    pub actor_id: String,
    /// USER or SYSTEM.
    pub actor_type: String,
}

impl From<HistoryEntry> for Transition {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            sequence: entry.sequence,
            revision: entry.revision,
            event_id: entry.event_id,
            event_type: entry.event_type,
            from_status: entry.from_status,
            to_status: entry.to_status,
            actor: TransitionActor { actor_id: entry.actor_id, actor_type: entry.actor_type },
            occurred_at: entry.occurred_at,
            correlation_id: entry.correlation_id,
            causation_id: entry.causation_id,
            operation: entry.operation,
            payload: entry.payload,
        }
    }
}

/// A page of the aggregate's transitions, oldest first. It is the truth, so it is as of now.
pub async fn answer(call: &Call, mut tx: Tx, aggregate_id: &str, revision: u32) -> Reply {
    let limit = page::limit(call)?;
    let after = page::cursor::<u64>(call)?.unwrap_or(0);
    let found = reads::history(&mut tx, call.tenant(), aggregate_id, after, limit as i64 + 1).await?;
    tx.commit().await?;
    let items: Vec<Transition> = found.into_iter().map(Transition::from).collect();
    let page = Page::of(items, limit, Some(reading::now()), |last| last.sequence);
    Ok(Answer::ok(&page).revision(revision).build())
}
