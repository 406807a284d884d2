//! `GET /quotes/{quoteId}/price-trace`: why this price, step by step.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::problem::Problem;
use crate::reading;
use cpq_domain::ids::{PriceResultId, QuoteId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::ErrorCode;
use cpq_state_stores::{StoreError, reads};
use serde::Serialize;
use utoipa::ToSchema;

/// The trace of the quote's current price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceTraceView {
    pub quote_id: QuoteId,
    /// The revision that was priced.
    pub revision: u32,
    pub price_result_id: PriceResultId,
    pub policy_version: String,
    pub priced_at: Moment,
    pub configuration_hash: String,
    /// SHA-256 of the trace's canonical JSON.
    pub trace_hash: String,
    pub price_hash: String,
    /// Per line and kind of price: the chosen list price and every step from it to the net amount and its tax.
    pub trace: serde_json::Value,
}

pub async fn handle(call: Call) -> Reply {
    let mut tx = call.begin().await?;
    let quote = reading::quote(&call, &mut tx).await?;
    let Some(offer) = quote.price() else {
        let detail = format!("Quote {} is {} and has no price.", quote.quote_id, quote.status());
        return Err(Problem::new(ErrorCode::QuoteNotPriced, detail));
    };
    let stored = reads::price_trace(&mut tx, call.tenant(), &quote.quote_id, &offer.price_result_id).await?;
    tx.commit().await?;
    let stored = stored.ok_or_else(|| StoreError::Corrupt(format!("{} has no trace", offer.price_result_id)))?;
    let trace = serde_json::from_str(&stored.trace).map_err(|e| StoreError::corrupt("price trace", e))?;
    let view = PriceTraceView {
        quote_id: quote.quote_id.clone(),
        revision: stored.revision,
        price_result_id: offer.price_result_id.clone(),
        policy_version: offer.price.policy_version.clone(),
        priced_at: offer.priced_at,
        configuration_hash: offer.configuration_hash.clone(),
        trace_hash: stored.trace_hash,
        price_hash: offer.price_hash.clone(),
        trace,
    };
    Ok(Answer::ok(&view).revision(quote.revision).build())
}
