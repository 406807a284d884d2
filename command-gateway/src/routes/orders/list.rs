//! `GET /orders`: search in the operations view.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::page::{self, Page};
use crate::routes::search;
use cpq_avro::topics;
use cpq_domain::moment::Moment;
use cpq_domain::money::Amount;
use cpq_state_stores::reads;
use cpq_state_stores::views::OperationsRow;
use serde::Serialize;
use utoipa::ToSchema;

/// An order as operations see it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderSummary {
    pub order_id: String,
    pub quote_id: String,
    pub revision: u32,
    pub status: String,
    pub customer_account_id: String,
    pub customer_name: String,
    pub sales_owner_id: String,
    pub currency: String,
    pub total_amount: Option<Amount>,
    pub steps_total: u32,
    pub steps_completed: u32,
    /// Cases that wait for a person.
    pub open_fallout: u32,
    pub created_at: Option<Moment>,
    pub updated_at: Option<Moment>,
    /// The sequence of the newest event that this row shows.
    pub projection_version: u64,
}

impl From<OperationsRow> for OrderSummary {
    fn from(row: OperationsRow) -> Self {
        Self {
            total_amount: search::money(&row.total_amount, &row.currency),
            order_id: row.order_id,
            quote_id: row.quote_id,
            revision: row.current_revision,
            status: row.status,
            customer_account_id: row.customer_account_id,
            customer_name: row.customer_name,
            sales_owner_id: row.sales_owner_id,
            currency: row.currency,
            steps_total: row.steps_total,
            steps_completed: row.steps_completed,
            open_fallout: row.open_fallout,
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
    let rows: Vec<OperationsRow> = reads::search_orders(&mut tx, &search).await?;
    let as_of = reads::view_as_of(&mut tx, &[topics::ORDER_EVENTS]).await?;
    tx.commit().await?;
    let items: Vec<OrderSummary> = rows.into_iter().map(OrderSummary::from).collect();
    Ok(Answer::ok(&Page::of(items, limit, as_of, |last| last.order_id.clone())).build())
}
