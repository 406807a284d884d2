//! Artifacts, acceptance, and the order that acceptance leads to.

use super::command::*;
use super::decide::*;
use super::event::*;
use super::price::check_fresh;
use super::{Approval, Artifact, Phase, PricedOffer, Quote};
use crate::canonical;
use crate::command::{Applied, Decision, Role};
use crate::configuration::Configuration;
use crate::follow_up::FollowUp;
use crate::ids::{ArtifactId, OrderId};
use crate::order::snapshot::OrderSnapshot;
use crate::rejection::{ErrorCode, Rejection};
use crate::workflow::{RenderArtifact, WorkflowCommand};

/// The artifact of a revision and template exists once: asked again, the answer is the same artifact.
pub(super) fn generate_artifact(quote: &Quote, command: &GenerateArtifact, ctx: &Context) -> Decided {
    check_revision(quote, command.quote_revision, ctx)?;
    let (_, _, _, artifacts) = approved(quote)?;
    let id = artifact_id(quote, command);
    if artifacts.iter().any(|a| a.artifact_id == id) {
        return applied(Vec::new(), Applied::about(id.as_str()));
    }
    let render = RenderArtifact {
        quote_id: quote.quote_id.clone(),
        quote_revision: quote.revision,
        artifact_id: id.clone(),
        artifact_type: command.artifact_type,
        template_id: command.template_id.clone(),
        template_version: command.template_version.clone(),
        requested_by: ctx.meta.claims.actor_id.clone(),
    };
    Ok(Decision::Deferred {
        follow_up: vec![FollowUp::Workflow(WorkflowCommand::RenderArtifact(render))],
        subject: id.into_string(),
    })
}

/// Derived from what it shows, so that rendering it twice makes one artifact.
fn artifact_id(quote: &Quote, command: &GenerateArtifact) -> ArtifactId {
    let number = quote.quote_id.as_str().trim_start_matches("Q-");
    let digest = canonical::hash(&(command.artifact_type, &command.template_id, &command.template_version));
    let short: String = digest.trim_start_matches("sha256:").chars().take(8).collect();
    ArtifactId::new(format!("art-{number}-r{}-{short}", quote.revision))
}

/// The document role reports a stored artifact. One that is there already, or of a revision that the quote
/// has left, changes nothing.
pub(super) fn record_artifact(quote: &Quote, command: &RecordArtifact) -> Decided {
    let artifact = &command.artifact;
    let (_, _, _, artifacts) = approved(quote)?;
    if artifact.quote_revision != quote.revision {
        return Err(stale(quote, artifact.quote_revision, quote.revision));
    }
    if artifacts.iter().any(|a| a.artifact_id == artifact.artifact_id) {
        return applied(Vec::new(), Applied::about(artifact.artifact_id.as_str()));
    }
    let event = QuoteEvent::QuoteArtifactGenerated(QuoteArtifactGenerated { artifact: artifact.clone() });
    applied(vec![event], Applied::created(artifact.artifact_id.as_str()))
}

pub(super) fn accept(quote: &Quote, command: &AcceptQuote, ctx: &Context) -> Decided {
    if ctx.meta.claims.has(Role::SalesRep)
        && !ctx.meta.claims.has(Role::Customer)
        && command.acceptance_evidence.method == AcceptanceMethod::DigitalSignature
    {
        return Err(Rejection::new(
            ErrorCode::Forbidden,
            "Only the customer can accept by DIGITAL_SIGNATURE: send MANUAL_ENTRY or EMAIL_CONFIRMATION.",
        ));
    }
    if quote.acceptance().is_some() {
        return Err(already_accepted(quote));
    }
    check_revision(quote, command.quote_revision, ctx)?;
    let (configuration, price, approval, artifacts) = approved(quote)?;
    check_fresh(quote, price, ctx.now)?;
    let artifact = newest(quote, artifacts, &command.acceptance_evidence.artifact_id)?;
    let order_id = ctx
        .reserved_order
        .ok_or_else(|| Rejection::new(ErrorCode::Internal, "no order id was reserved for this acceptance"))?;
    let accepted = accepted(quote, command, ctx, (configuration, price, approval, artifact), order_id);
    applied(vec![QuoteEvent::QuoteAccepted(accepted)], Applied::about(order_id.as_str()))
}

fn accepted(
    quote: &Quote,
    command: &AcceptQuote,
    ctx: &Context,
    (configuration, price, approval, artifact): (&Configuration, &PricedOffer, &Approval, &Artifact),
    order_id: &OrderId,
) -> QuoteAccepted {
    let acceptance_hash = canonical::hash(&(
        &quote.quote_id,
        quote.revision,
        &command.accepted_by,
        &command.acceptance_evidence,
        &artifact.content_hash,
        &approval.approval_hash,
    ));
    QuoteAccepted {
        accepted_by: command.accepted_by.clone(),
        acceptance_evidence: command.acceptance_evidence.clone(),
        recorded_by: ctx.meta.claims.actor_id.clone(),
        accepted_revision: quote.revision,
        artifact_hash: artifact.content_hash.clone(),
        order: OrderSnapshot::of(quote, configuration, price, &acceptance_hash),
        acceptance_hash,
        order_id: order_id.clone(),
    }
}

/// `POST /orders`. Acceptance has committed the one `CreateOrder`; this waits for the order to exist.
pub(super) fn request_order(quote: &Quote, command: &RequestOrder, ctx: &Context) -> Decided {
    ctx.meta.check_precondition(&format!("quote {}", quote.quote_id), quote.revision)?;
    let Some(acceptance) = quote.acceptance() else {
        check_alive(quote, ctx.now)?;
        return Err(Rejection::new(
            ErrorCode::QuoteNotAccepted,
            format!("Quote {} is {}: an order needs an accepted quote.", quote.quote_id, quote.status()),
        ));
    };
    if command.quote_revision != acceptance.accepted_revision {
        return Err(stale(quote, command.quote_revision, acceptance.accepted_revision));
    }
    if acceptance.order_linked {
        return applied(Vec::new(), Applied::about(acceptance.order_id.as_str()));
    }
    Ok(Decision::Deferred { follow_up: Vec::new(), subject: acceptance.order_id.as_str().to_owned() })
}

/// The order processor reports the order. A repeat changes nothing.
pub(super) fn link_order(quote: &Quote, command: &LinkOrder) -> Decided {
    match quote.acceptance() {
        Some(acceptance) if acceptance.order_id == command.order_id && !acceptance.order_linked => {
            let linked = QuoteOrderLinked { order_id: command.order_id.clone() };
            applied(vec![QuoteEvent::QuoteOrderLinked(linked)], Applied::created(command.order_id.as_str()))
        }
        _ => applied(Vec::new(), Applied::about(command.order_id.as_str())),
    }
}

type ApprovedParts<'a> = (&'a Configuration, &'a PricedOffer, &'a Approval, &'a [Artifact]);

fn approved(quote: &Quote) -> Result<ApprovedParts<'_>, Rejection> {
    match &quote.phase {
        Phase::Approved { configuration, price, approval, artifacts } => {
            Ok((configuration, price, approval, artifacts))
        }
        _ if quote.acceptance().is_some() => Err(already_accepted(quote)),
        Phase::Withdrawn { .. } | Phase::Expired { .. } => Err(closed(quote)),
        _ => Err(Rejection::new(
            ErrorCode::QuoteNotApproved,
            format!("Quote {} revision {} is {}, not APPROVED.", quote.quote_id, quote.revision, quote.status()),
        )),
    }
}

/// Only the newest artifact of the current revision can be accepted: it is what the customer was last shown.
fn newest<'a>(quote: &Quote, artifacts: &'a [Artifact], named: &ArtifactId) -> Result<&'a Artifact, Rejection> {
    match artifacts.last() {
        Some(newest) if newest.artifact_id == *named => Ok(newest),
        Some(newest) => Err(Rejection::new(
            ErrorCode::ArtifactMismatch,
            format!(
                "Artifact {named} is not the newest of revision {}: present {} to the customer and send that.",
                quote.revision, newest.artifact_id
            ),
        )),
        None => Err(Rejection::new(
            ErrorCode::ArtifactMismatch,
            format!("Revision {} has no artifact: POST /quotes/{}/artifacts first.", quote.revision, quote.quote_id),
        )),
    }
}
