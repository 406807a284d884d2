//! The evidence chain of one quote, judged event by event: configuration, price trace, approval, artifact,
//! acceptance, order. Every hash is computed again from the published content, not read from the decision's
//! code, so that a mistake there shows here. Pure.

use super::price;
use cpq_domain::canonical;
use cpq_domain::ids::{QuoteId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::order::snapshot::OrderSnapshot;
use cpq_domain::quote::event::{QuoteAccepted, QuoteApprovalStepDecided, QuoteEvent, QuotePriced};
use cpq_domain::quote::{Approval, Quote, evolve};

/// A quote while its events are read.
#[derive(Debug)]
pub struct Chain {
    tenant_id: TenantId,
    quote_id: QuoteId,
    quote: Option<Quote>,
    /// The newest decision of a step, with the approval as it was before.
    last_decision: Option<(Approval, QuoteEvent)>,
    /// What was sold, once it is.
    sold: Option<OrderSnapshot>,
}

type Judged = Result<(), String>;

fn same(what: &str, found: &str, expected: &str) -> Judged {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found}, but what it rests on gives {expected}")) }
}

impl Chain {
    pub fn new(tenant_id: TenantId, quote_id: QuoteId) -> Self {
        Self { tenant_id, quote_id, quote: None, last_decision: None, sold: None }
    }

    /// How many events were applied.
    pub fn sequence(&self) -> u64 {
        self.quote.as_ref().map_or(0, |quote| quote.sequence)
    }

    /// What was sold, if it was.
    pub fn sold(&self) -> Option<&OrderSnapshot> {
        self.sold.as_ref()
    }

    /// Judges what the event rests on, then applies it.
    pub fn judge(&mut self, event: &QuoteEvent, at: Moment) -> Judged {
        let judged = match &self.quote {
            Some(quote) => self.rests(quote, event),
            None => Ok(()),
        };
        match event {
            QuoteEvent::QuoteApprovalStepDecided(_) => {
                let approval = self.quote.as_ref().and_then(Quote::approval).cloned();
                self.last_decision = approval.map(|approval| (approval, event.clone()));
            }
            QuoteEvent::QuoteSubmittedForApproval(_) => self.last_decision = None,
            QuoteEvent::QuoteAccepted(accepted) => self.sold = Some(accepted.order.clone()),
            _ => {}
        }
        self.quote = evolve(self.quote.take(), &self.tenant_id, &self.quote_id, event, at);
        judged
    }

    fn rests(&self, quote: &Quote, event: &QuoteEvent) -> Judged {
        match event {
            QuoteEvent::QuoteConfigured(configured) => {
                let c = &configured.configuration;
                let expected = canonical::hash(&(&c.catalog_version, &c.segment, &c.lines));
                same("configurationHash", &c.configuration_hash, &expected)
            }
            QuoteEvent::QuotePriced(priced) => price_rests(quote, priced),
            QuoteEvent::QuoteSubmittedForApproval(e) => same("priceHash", &e.price_hash, price_hash(quote)?),
            QuoteEvent::QuoteApprovalStepDecided(e) => decision_rests(quote, e),
            QuoteEvent::QuoteApproved(e) => same("approvalHash", &e.approval_hash, &self.approval_hash(quote)?),
            QuoteEvent::QuoteArtifactGenerated(e) if e.artifact.quote_revision != quote.revision => {
                let shown = e.artifact.quote_revision;
                Err(format!("the artifact shows revision {shown}, the approved one is {}", quote.revision))
            }
            QuoteEvent::QuoteAccepted(e) => acceptance_rests(quote, e),
            _ => Ok(()),
        }
    }

    /// The hash of policy, price and all decisions; without steps, of policy and price.
    fn approval_hash(&self, quote: &Quote) -> Result<String, String> {
        let submitted = quote.approval().ok_or("approved without a submission")?;
        match &self.last_decision {
            None => Ok(canonical::hash(&(&submitted.policy, &submitted.price_hash))),
            Some((approval, last)) => {
                let decisions: Vec<_> = approval.steps.iter().map(|step| (step.level, &step.decision)).collect();
                Ok(canonical::hash(&(&approval.policy, &approval.price_hash, decisions, last)))
            }
        }
    }
}

fn price_hash(quote: &Quote) -> Result<&str, String> {
    quote.price().map(|price| price.price_hash.as_str()).ok_or_else(|| "there is no price to rest on".to_owned())
}

fn price_rests(quote: &Quote, event: &QuotePriced) -> Judged {
    let offer = &event.price;
    let configuration = quote.configuration().ok_or("priced without a configuration")?;
    same("the price's configurationHash", &offer.configuration_hash, &configuration.configuration_hash)?;
    price::check(offer, &event.trace)?;
    let rests_on = (&offer.price, &offer.request, offer.pricing_date, &offer.trace_hash, &offer.configuration_hash);
    same("priceHash", &offer.price_hash, &canonical::hash(&rests_on))
}

fn decision_rests(quote: &Quote, event: &QuoteApprovalStepDecided) -> Judged {
    same("the decision's priceHash", &event.price_hash, price_hash(quote)?)?;
    let approval = quote.approval().ok_or("decided without a submission")?;
    same("the decision's approvalRequestId", event.approval_request_id.as_str(), approval.approval_request_id.as_str())
}

fn acceptance_rests(quote: &Quote, event: &QuoteAccepted) -> Judged {
    let artifact = quote.artifact().ok_or("accepted without an artifact")?;
    let approval = quote.approval().ok_or("accepted without an approval")?;
    let named = event.acceptance_evidence.artifact_id.as_str();
    same("the accepted artifact", named, artifact.artifact_id.as_str())?;
    same("artifactHash", &event.artifact_hash, &artifact.content_hash)?;
    let rests_on = (
        &quote.quote_id,
        event.accepted_revision,
        &event.accepted_by,
        &event.acceptance_evidence,
        &event.artifact_hash,
        &approval.approval_hash,
    );
    same("acceptanceHash", &event.acceptance_hash, &canonical::hash(&rests_on))?;
    same("the snapshot's acceptanceHash", &event.order.acceptance_hash, &event.acceptance_hash)
}

/// Whether an order is what its quote has sold.
pub fn order_rests(sold: Option<&OrderSnapshot>, ordered: &OrderSnapshot) -> Judged {
    let sold = sold.ok_or_else(|| format!("quote {} was never accepted", ordered.quote_id))?;
    same("the order's acceptanceHash", &ordered.acceptance_hash, &sold.acceptance_hash)?;
    same("the order's content", &canonical::hash(ordered), &canonical::hash(sold))
}

#[cfg(test)]
mod tests;
