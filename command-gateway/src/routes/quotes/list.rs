//! `GET /quotes`: search in the workspace view.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::page::{self, Page};
use crate::routes::search;
use cpq_avro::topics;
use cpq_domain::moment::Moment;
use cpq_domain::money::Amount;
use cpq_state_stores::reads;
use cpq_state_stores::views::WorkspaceRow;
use serde::Serialize;
use utoipa::ToSchema;

/// A quote as the workspace shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuoteSummary {
    pub quote_id: String,
    pub revision: u32,
    pub status: String,
    pub customer_account_id: String,
    pub customer_name: String,
    pub sales_owner_id: String,
    pub external_reference: Option<String>,
    pub currency: String,
    pub total_amount: Option<Amount>,
    pub approval_status: Option<String>,
    pub artifact_status: Option<String>,
    pub order_id: Option<String>,
    pub created_at: Option<Moment>,
    pub updated_at: Option<Moment>,
    /// The sequence of the newest event that this row shows.
    pub projection_version: u64,
}

impl From<WorkspaceRow> for QuoteSummary {
    fn from(row: WorkspaceRow) -> Self {
        Self {
            total_amount: row.total_amount.as_deref().and_then(|text| search::money(text, &row.currency)),
            quote_id: row.quote_id,
            revision: row.current_revision,
            status: row.status,
            customer_account_id: row.customer_account_id,
            customer_name: row.customer_name,
            sales_owner_id: row.sales_owner_id,
            external_reference: row.external_reference,
            currency: row.currency,
            approval_status: row.approval_status,
            artifact_status: row.artifact_status,
            order_id: row.order_id,
            created_at: Moment::parse(&row.created_at),
            updated_at: Moment::parse(&row.updated_at),
            projection_version: row.projection_version,
        }
    }
}

pub async fn handle(call: Call) -> Reply {
    let limit = page::limit(&call)?;
    let before = page::cursor::<String>(&call)?;
    let accounts = call.readable();
    let mut tx = call.begin().await?;
    let search = search::of(&call, &accounts, before.as_deref(), limit);
    let rows: Vec<WorkspaceRow> = reads::search_quotes(&mut tx, &search).await?;
    let as_of = reads::view_as_of(&mut tx, &[topics::QUOTE_EVENTS]).await?;
    tx.commit().await?;
    let items: Vec<QuoteSummary> = rows.into_iter().map(QuoteSummary::from).collect();
    Ok(Answer::ok(&Page::of(items, limit, as_of, |last| last.quote_id.clone())).build())
}
