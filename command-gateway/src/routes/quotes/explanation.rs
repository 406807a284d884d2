//! `GET /quotes/{quoteId}/explanation`: the whole story of a quote with its evidence chain. Each link holds a
//! hash and names the one it rests on; whether they fit is shown, not assumed.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::reading;
use cpq_domain::canonical;
use cpq_domain::ids::QuoteId;
use cpq_domain::moment::Moment;
use cpq_domain::order::Order;
use cpq_domain::pricing::{self, Bar};
use cpq_domain::quote::view::{AcceptanceView, ApprovalView, ArtifactView, PriceView};
use cpq_domain::quote::{Approval, PricedOffer, Quote, QuoteEvent, QuoteStatus};
use cpq_state_stores::reads::StoredTrace;
use cpq_state_stores::{StoreError, Tx, aggregates, reads, transitions};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Why the quote is what it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub quote_id: QuoteId,
    pub revision: u32,
    pub status: QuoteStatus,
    /// The links that hold now, in the order in which they rest on each other.
    pub evidence: Vec<Link>,
    /// Whether every link rests on the one before it.
    pub intact: bool,
    /// From the list amount to the total with tax: a bar for each rule, over all lines and the term. Empty without a
    /// price.
    pub waterfall: Vec<Bar>,
    /// Everything that happened, in order.
    pub story: Vec<Chapter>,
}

/// One link of the evidence chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// CONFIGURATION, PRICE, APPROVAL, ARTIFACT, ACCEPTANCE or ORDER.
    pub link: &'static str,
    /// What the next link rests on.
    pub hash: Option<String>,
    /// Hashes of the links that this one rests on.
    pub rests_on: Vec<String>,
    /// Whether those are the hashes of the links above.
    pub holds: bool,
    /// The evidence itself.
    pub evidence: Value,
}

/// One event of the story.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chapter {
    pub sequence: u64,
    pub revision: u32,
    pub at: Moment,
    pub actor_id: String,
    pub event: String,
    pub from_status: Option<String>,
    pub to_status: String,
    /// The operation that led to it.
    pub operation: Option<String>,
}

/// Events told at most; a quote has some tens.
const MAX_CHAPTERS: i64 = 1000;

pub async fn handle(call: Call) -> Reply {
    let mut tx = call.begin().await?;
    let quote = reading::quote(&call, &mut tx).await?;
    let trace = match quote.price() {
        Some(offer) => reads::price_trace(&mut tx, call.tenant(), &quote.quote_id, &offer.price_result_id).await?,
        None => None,
    };
    let evidence = chain(&call, &mut tx, &quote, trace.as_ref()).await?;
    let story = reads::history(&mut tx, call.tenant(), quote.quote_id.as_str(), 0, MAX_CHAPTERS).await?;
    tx.commit().await?;
    let story = story.into_iter().map(|entry| Chapter {
        sequence: entry.sequence,
        revision: entry.revision,
        at: entry.occurred_at,
        actor_id: entry.actor_id,
        event: entry.event_type,
        from_status: entry.from_status,
        to_status: entry.to_status,
        operation: entry.operation,
    });
    let explanation = Explanation {
        quote_id: quote.quote_id.clone(),
        revision: quote.revision,
        status: quote.status(),
        intact: evidence.iter().all(|link| link.holds),
        evidence,
        waterfall: trace.map(|stored| bars(&stored)).transpose()?.unwrap_or_default(),
        story: story.collect(),
    };
    Ok(Answer::ok(&explanation).revision(quote.revision).build())
}

fn bars(stored: &StoredTrace) -> Result<Vec<Bar>, StoreError> {
    let trace = serde_json::from_str(&stored.trace).map_err(|e| StoreError::corrupt("price trace", e))?;
    Ok(pricing::waterfall(&trace))
}

async fn chain(
    call: &Call,
    tx: &mut Tx,
    quote: &Quote,
    trace: Option<&StoredTrace>,
) -> Result<Vec<Link>, crate::problem::Problem> {
    let mut links = Vec::new();
    let Some(configuration) = quote.configuration() else { return Ok(links) };
    links.push(Link {
        link: "CONFIGURATION",
        hash: Some(configuration.configuration_hash.clone()),
        rests_on: Vec::new(),
        holds: true,
        evidence: json!({
            "catalogVersion": configuration.catalog_version, "segment": configuration.segment,
            "lines": configuration.lines.len(),
        }),
    });
    let Some(offer) = quote.price() else { return Ok(links) };
    let traced = trace.is_some_and(|stored| {
        stored.trace_hash == offer.trace_hash && canonical::sha256(stored.trace.as_bytes()) == offer.trace_hash
    });
    links.push(price(offer, traced && offer.configuration_hash == configuration.configuration_hash));
    let Some(requested) = quote.approval() else { return Ok(links) };
    let events = transitions::load::<QuoteEvent>(tx, call.tenant(), quote.quote_id.as_str(), None).await?;
    links.push(approval(requested, offer, &events.into_iter().map(|t| t.event).collect::<Vec<_>>()));
    let Some(artifact) = quote.artifact() else { return Ok(links) };
    links.push(Link {
        link: "ARTIFACT",
        hash: Some(artifact.content_hash.clone()),
        rests_on: vec![artifact.input_hash.clone()],
        holds: true,
        evidence: json!(ArtifactView::of(artifact)),
    });
    let Some(acceptance) = quote.acceptance() else { return Ok(links) };
    links.push(Link {
        link: "ACCEPTANCE",
        hash: Some(acceptance.acceptance_hash.clone()),
        rests_on: [Some(artifact.content_hash.clone()), requested.approval_hash.clone()]
            .into_iter()
            .flatten()
            .collect(),
        holds: acceptance.evidence.artifact_id == artifact.artifact_id
            && acceptance.accepted_revision == artifact.quote_revision
            && acceptance_hash(quote, requested.approval_hash.as_ref()) == Some(acceptance.acceptance_hash.clone()),
        evidence: json!(AcceptanceView::of(acceptance)),
    });
    let key = (call.tenant().clone(), acceptance.order_id.to_string());
    let order = aggregates::load_orders::<Order>(tx, std::slice::from_ref(&key)).await?.remove(&key);
    links.extend(order.map(|order| Link {
        link: "ORDER",
        hash: None,
        rests_on: vec![order.snapshot.acceptance_hash.clone()],
        holds: order.snapshot.acceptance_hash == acceptance.acceptance_hash,
        evidence: json!({
            "orderId": order.order_id, "status": order.status(), "quoteRevision": order.snapshot.quote_revision,
            "totalAmount": order.snapshot.total_amount, "createdAt": order.created_at,
        }),
    }));
    Ok(links)
}

fn price(offer: &PricedOffer, holds: bool) -> Link {
    let hash = canonical::hash(&(
        &offer.price,
        &offer.request,
        offer.pricing_date,
        &offer.trace_hash,
        &offer.configuration_hash,
    ));
    Link {
        link: "PRICE",
        hash: Some(offer.price_hash.clone()),
        rests_on: vec![offer.configuration_hash.clone(), offer.trace_hash.clone()],
        holds: holds && hash == offer.price_hash,
        evidence: json!({"price": PriceView::of(offer, offer.priced_at), "asked": offer.request}),
    }
}

/// The approval with each decision's authority, and whether every approver looked at this price.
fn approval(approval: &Approval, offer: &PricedOffer, events: &[QuoteEvent]) -> Link {
    let decisions: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            QuoteEvent::QuoteApprovalStepDecided(e) if e.approval_request_id == approval.approval_request_id => Some(e),
            _ => None,
        })
        .collect();
    Link {
        link: "APPROVAL",
        hash: approval.approval_hash.clone(),
        rests_on: vec![approval.price_hash.clone()],
        holds: approval.price_hash == offer.price_hash && decisions.iter().all(|d| d.price_hash == offer.price_hash),
        evidence: json!({"approval": ApprovalView::of(approval), "policy": approval.policy, "decisions": decisions}),
    }
}

/// The hash that the acceptance should have, from what it rests on.
fn acceptance_hash(quote: &Quote, approval_hash: Option<&String>) -> Option<String> {
    let acceptance = quote.acceptance()?;
    Some(canonical::hash(&(
        &quote.quote_id,
        acceptance.accepted_revision,
        &acceptance.accepted_by,
        &acceptance.evidence,
        &acceptance.artifact.content_hash,
        approval_hash,
    )))
}
