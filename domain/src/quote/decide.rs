//! What may happen to a quote: one line per legal transition. Rules longer than a few lines live in the
//! file named after their verb.
//!
//! Order of judgement: object (404), authority (403), `If-Match` (412), revision, state (409), business (422).

use super::command::*;
use super::event::*;
use super::{Phase, Quote, QuoteCommand, QuoteEvent, accept, approve, close, decide_step, price, revise, task};
use crate::approval::ApprovalPolicy;
use crate::catalog::Catalog;
use crate::command::{Applied, CommandMeta, Decision, IfMatch, Role};
use crate::configuration::{check_form, configure};
use crate::follow_up::FollowUp;
use crate::ids::OrderId;
use crate::moment::Moment;
use crate::reference::{Approver, Customer, Tenant};
use crate::rejection::{ErrorCode, FieldCode, FieldError, Rejection};

/// Everything a decision may look at besides state and command. Loaded by the processor in the decision's
/// own transaction, so that the decision rests on committed reference data.
pub struct Context<'a> {
    pub meta: &'a CommandMeta,
    /// The decision's time.
    pub now: Moment,
    pub tenant: &'a Tenant,
    /// The customer of the quote, or the one a new quote names.
    pub customer: Option<&'a Customer>,
    /// The tenant's newest catalog.
    pub catalog: Option<&'a Catalog>,
    /// The catalog that the quote was configured with.
    pub configured_catalog: Option<&'a Catalog>,
    pub policy: &'a ApprovalPolicy,
    /// The acting actor's entries in the tenant's list of approvers.
    pub authorities: &'a [Approver],
    /// An order id nobody else has, for an acceptance.
    pub reserved_order: Option<&'a OrderId>,
    /// The quote that a new one is made from.
    pub source: Option<&'a Quote>,
}

pub(super) type Decided = Result<Decision<QuoteEvent, FollowUp>, Rejection>;

/// Judges one command. Pure: the same state, command and context give the same answer.
pub fn decide(state: Option<&Quote>, command: &QuoteCommand, ctx: &Context) -> Decided {
    use QuoteCommand as C;
    let quote = match (state, command) {
        (None, C::CreateQuote(c)) => return create(c, ctx),
        (None, C::CloneQuote(c)) => return revise::clone_quote(c, ctx),
        (None, _) => return Err(not_found(command)),
        (Some(quote), _) if !ctx.meta.claims.may_access(&quote.customer_account_id) => return Err(not_found(command)),
        (Some(quote), _) => quote,
    };
    match command {
        C::CreateQuote(_) | C::CloneQuote(_) => Err(id_taken(quote)),
        C::ConfigureQuote(c) => configure_quote(quote, c, ctx),
        C::PriceQuote(c) => price::price_quote(quote, c, ctx),
        C::SubmitForApproval(c) => approve::submit(quote, c, ctx),
        C::WithdrawApproval(c) => approve::withdraw(quote, c, ctx),
        C::DecideApproval(c) => decide_step::decide_approval(quote, c, ctx),
        C::CompleteTask(c) => decide_step::complete_task(quote, c, ctx),
        C::ClaimTask(c) => task::claim(quote, &c.task_id, ctx),
        C::UnclaimTask(c) => task::unclaim(quote, &c.task_id, ctx),
        C::RecordApprovalStarted(c) => approve::started(quote, c),
        C::EscalateApprovalStep(c) => approve::escalate(quote, c),
        C::GenerateArtifact(c) => accept::generate_artifact(quote, c, ctx),
        C::RecordArtifact(c) => accept::record_artifact(quote, c),
        C::AcceptQuote(c) => accept::accept(quote, c, ctx),
        C::RequestOrder(c) => accept::request_order(quote, c, ctx),
        C::LinkOrder(c) => accept::link_order(quote, c),
        C::ReopenQuote(c) => revise::reopen(quote, c, ctx),
        C::WithdrawQuote(c) => close::withdraw_quote(quote, c, ctx),
        C::ExpireQuote(c) => close::expire(quote, c, ctx),
    }
}

fn id_taken(quote: &Quote) -> Rejection {
    Rejection::new(ErrorCode::Internal, format!("The id {} is taken: post the quote again.", quote.quote_id))
}

pub(super) fn quote_not_found() -> Rejection {
    Rejection::new(
        ErrorCode::QuoteNotFound,
        "There is no such quote in this tenant, or its customer account is not one of yours.",
    )
}

/// What the caller named is not there, or not theirs to know of.
fn not_found(command: &QuoteCommand) -> Rejection {
    use QuoteCommand as C;
    if let C::ClaimTask(ClaimTask { task_id })
    | C::UnclaimTask(UnclaimTask { task_id })
    | C::CompleteTask(CompleteTask { task_id, .. }) = command
    {
        return task::not_found(task_id);
    }
    quote_not_found()
}

pub(super) fn applied(events: Vec<QuoteEvent>, outcome: Applied) -> Decided {
    Ok(Decision::Applied { events, outcome })
}

fn create(command: &CreateQuote, ctx: &Context) -> Decided {
    if !ctx.meta.claims.may_access(&command.customer_account_id) {
        return Err(Rejection::new(
            ErrorCode::CustomerAccessDenied,
            format!("Your token does not cover customer account {}.", command.customer_account_id),
        ));
    }
    match &ctx.meta.if_match {
        None => {}
        Some(IfMatch::Any | IfMatch::Revisions(_)) => {
            return Err(Rejection::new(
                ErrorCode::PreconditionFailed,
                "If-Match cannot hold for a quote that does not exist yet: leave it out when creating one.",
            ));
        }
    }
    let mut errors = Vec::new();
    if ctx.customer.is_none() {
        errors.push(FieldError::new(
            "/customerAccountId",
            FieldCode::UnknownReference,
            format!("customer account {} is not known in this tenant", command.customer_account_id),
        ));
    }
    if command.valid_until.is_some_and(|until| until <= ctx.now) {
        errors.push(FieldError::new("/validUntil", FieldCode::OutOfRange, "validUntil must lie in the future"));
    }
    if let (Some(catalog), true) = (ctx.catalog, errors.is_empty())
        && !catalog.has_price_list(&command.price_list_id)
    {
        errors.push(FieldError::new(
            "/priceListId",
            FieldCode::UnknownReference,
            format!("price list '{}' has no prices in catalog {}", command.price_list_id, catalog.version()),
        ));
    }
    let Some(customer) = ctx.customer.filter(|_| errors.is_empty()) else {
        return Err(
            Rejection::new(ErrorCode::ValidationFailed, "The quote cannot be created: see errors.").with_errors(errors)
        );
    };
    let created = QuoteCreated {
        customer_account_id: command.customer_account_id.clone(),
        customer_name: customer.name.clone(),
        sales_owner_id: customer.sales_owner_id.clone(),
        currency: command.currency,
        term_months: command.term_months,
        valid_until: command.valid_until,
        price_list_id: command.price_list_id.clone(),
        external_reference: command.external_reference.clone(),
        created_by: ctx.meta.claims.actor_id.clone(),
    };
    applied(vec![QuoteEvent::QuoteCreated(created)], Applied { created: true, subject: None })
}

fn configure_quote(quote: &Quote, command: &ConfigureQuote, ctx: &Context) -> Decided {
    check_configurable(quote, command, ctx)?;
    let configuration = configure(catalog(ctx)?, customer(ctx)?, ctx.now, &command.lines)?;
    applied(vec![QuoteEvent::QuoteConfigured(QuoteConfigured { configuration })], Applied::default())
}

/// Everything that needs no catalog to judge.
pub(super) fn check_configurable(quote: &Quote, command: &ConfigureQuote, ctx: &Context) -> Result<(), Rejection> {
    check_revision(quote, command.quote_revision, ctx)?;
    match &quote.phase {
        Phase::Draft | Phase::Configured { .. } | Phase::Priced { .. } | Phase::ApprovalRejected { .. } => {}
        _ => return Err(not_editable(quote, "configured")),
    }
    let errors = check_form(&command.lines);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Rejection::new(ErrorCode::ValidationFailed, "The lines are not well formed: see errors.").with_errors(errors))
}

pub(super) fn catalog<'a>(ctx: &Context<'a>) -> Result<&'a Catalog, Rejection> {
    ctx.catalog.ok_or_else(|| {
        Rejection::new(ErrorCode::OfferingNotVisible, "This tenant has no catalog yet: publish one with `cpq import`.")
    })
}

pub(super) fn customer<'a>(ctx: &Context<'a>) -> Result<&'a Customer, Rejection> {
    ctx.customer.ok_or_else(|| {
        Rejection::new(ErrorCode::ValidationFailed, "The quote's customer account is no longer known: import it again.")
    })
}

/// `If-Match`, then the body's revision, then the states that end everything: in this order for each
/// command that a client sends.
pub(super) fn check_revision(quote: &Quote, named: u32, ctx: &Context) -> Result<(), Rejection> {
    ctx.meta.check_precondition(&format!("quote {}", quote.quote_id), quote.revision)?;
    if named != quote.revision {
        return Err(stale(quote, named, quote.revision));
    }
    check_alive(quote, ctx.now)
}

pub(super) fn stale(quote: &Quote, named: u32, current: u32) -> Rejection {
    Rejection::new(
        ErrorCode::QuoteRevisionStale,
        format!(
            "You sent revision {named}, but quote {} is at revision {current}: read it again, decide whether your change still holds, and send that revision.",
            quote.quote_id
        ),
    )
}

/// Refuses what comes after acceptance, withdrawal or the end of validity, whatever the command. Validity ends by
/// the decision's own time, whether or not the timer has run.
pub(super) fn check_alive(quote: &Quote, now: Moment) -> Result<(), Rejection> {
    if quote.acceptance().is_some() {
        return Err(already_accepted(quote));
    }
    if quote.is_alive(now) { Ok(()) } else { Err(closed(quote)) }
}

/// Why nothing more can be done with a quote that was withdrawn or whose validity is over.
pub(super) fn closed(quote: &Quote) -> Rejection {
    if let Phase::Withdrawn { .. } = quote.phase {
        return Rejection::new(
            ErrorCode::QuoteWithdrawn,
            format!("Quote {} is withdrawn: create a new one.", quote.quote_id),
        );
    }
    Rejection::new(
        ErrorCode::QuoteExpired,
        format!("Quote {} was valid until {}: create a new one.", quote.quote_id, opt(quote.valid_until)),
    )
}

fn opt(at: Option<Moment>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

pub(super) fn already_accepted(quote: &Quote) -> Rejection {
    let order = quote.acceptance().map(|a| a.order_id.to_string()).unwrap_or_default();
    Rejection::new(
        ErrorCode::QuoteAlreadyAccepted,
        format!("Quote {} is accepted and can no longer change; its order is {order}.", quote.quote_id),
    )
}

pub(super) fn not_editable(quote: &Quote, verb: &str) -> Rejection {
    Rejection::new(
        ErrorCode::QuoteNotEditable,
        format!("Quote {} is {} and cannot be {verb} now.", quote.quote_id, quote.status()),
    )
}

/// Refuses a role that this very object or body does not allow (403).
pub(super) fn require_role(ctx: &Context, allowed: &[Role], what: &str) -> Result<(), Rejection> {
    if allowed.iter().any(|role| ctx.meta.claims.has(*role)) {
        return Ok(());
    }
    let names: Vec<&str> = allowed.iter().map(|r| r.as_str()).collect();
    Err(Rejection::new(ErrorCode::Forbidden, format!("{what} needs the role {}.", names.join(" or "))))
}
