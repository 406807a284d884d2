//! `GET /customers/{customerAccountId}/timeline`: what happened with a customer, newest first.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::page::{self, Page};
use crate::problem::Problem;
use cpq_avro::topics;
use cpq_domain::ids::CustomerAccountId;
use cpq_domain::moment::Moment;
use cpq_domain::rejection::ErrorCode;
use cpq_state_stores::reads::{self, TimelinePosition};
use cpq_state_stores::reference;
use cpq_state_stores::views::TimelineRow;
use serde::Serialize;
use utoipa::ToSchema;

/// One event in a sentence.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    pub occurred_at: Option<Moment>,
    /// QUOTE or ORDER.
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_sequence: u64,
    pub event_type: String,
    pub summary: String,
    pub actor_id: String,
}

impl From<TimelineRow> for TimelineEntry {
    fn from(row: TimelineRow) -> Self {
        Self {
            occurred_at: Moment::parse(&row.occurred_at),
            aggregate_type: row.aggregate_type,
            aggregate_id: row.aggregate_id,
            aggregate_sequence: row.aggregate_sequence,
            event_type: row.event_type,
            summary: row.summary,
            actor_id: row.actor_id,
        }
    }
}

pub async fn handle(call: Call) -> Reply {
    let limit = page::limit(&call)?;
    let before = page::cursor::<TimelinePosition>(&call)?;
    let unknown = || {
        let detail = "There is no such customer account in this tenant, or it is not one of yours.";
        Problem::new(ErrorCode::CustomerNotFound, detail)
    };
    let account = CustomerAccountId::new(call.usable_segment("customerAccountId").ok_or_else(unknown)?);
    if !call.may_read(&account) {
        return Err(unknown());
    }
    let mut tx = call.begin().await?;
    let key = (call.tenant().clone(), account.clone());
    if !reference::customers(&mut tx, std::slice::from_ref(&key)).await?.contains_key(&key) {
        return Err(unknown());
    }
    let rows: Vec<TimelineRow> =
        reads::timeline(&mut tx, call.tenant(), &account, before.as_ref(), limit as i64 + 1).await?;
    let as_of = reads::view_as_of(&mut tx, &[topics::QUOTE_EVENTS, topics::ORDER_EVENTS]).await?;
    tx.commit().await?;
    let items: Vec<TimelineEntry> = rows.into_iter().map(TimelineEntry::from).collect();
    let page = Page::of(items, limit, as_of, |last| {
        last.occurred_at.map(|occurred_at| TimelinePosition {
            occurred_at,
            aggregate_id: last.aggregate_id.clone(),
            aggregate_sequence: last.aggregate_sequence,
        })
    });
    Ok(Answer::ok(&page).build())
}
