//! The quote processor: the only place that decides about quotes.

use crate::aggregate::{Aggregate, Incoming, Step, distinct};
use crate::timer::{self, TimerChanges};
use async_trait::async_trait;
use cpq_avro::{AggregateType, Command, Event, topics};
use cpq_domain::catalog::Catalog;
use cpq_domain::command::Decision;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{CommandId, CustomerAccountId, OrderId, QuoteId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::quote::view::QuoteView;
use cpq_domain::quote::{self, Context, Quote, QuoteCommand, QuoteEvent};
use cpq_domain::rejection::{ErrorCode, FieldCode, FieldError, Rejection};
use cpq_state_stores::aggregates::{self, AggregateKey, Heads, QuoteRow};
use cpq_state_stores::evidence::QuoteEvidence;
use cpq_state_stores::reference::{self, Found, ReferenceCache, Wanted};
use cpq_state_stores::{StoreError, Tx};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Quotes, with compiled reference data kept between batches.
pub struct Quotes {
    cache: ReferenceCache,
    recorded: Recorded,
}

/// What decisions were given from outside of their quotes when they were made, for deciding them again: it is
/// taken instead of a new order number, and instead of the source of a clone as it is now.
#[derive(Default)]
pub struct Recorded {
    pub orders: HashMap<CommandId, OrderId>,
    pub sources: HashMap<AggregateKey, Quote>,
}

/// The reference data that a batch of quote decisions looks at.
pub struct QuoteReferences {
    found: Found,
    catalogs: HashMap<(TenantId, String), Arc<Catalog>>,
    order_numbers: Vec<i64>,
    sources: Sources,
}

/// What a batch leaves besides the quotes themselves.
#[derive(Default)]
pub struct Records {
    evidence: QuoteEvidence,
    timers: TimerChanges,
}

impl Quotes {
    pub fn new(cache: ReferenceCache) -> Self {
        Self { cache, recorded: Recorded::default() }
    }

    /// Quotes that decide once more what was decided before.
    pub fn again(cache: ReferenceCache, recorded: Recorded) -> Self {
        Self { cache, recorded }
    }

    async fn catalogs(
        &self,
        tx: &mut Tx,
        versions: Vec<(TenantId, String)>,
    ) -> Result<HashMap<(TenantId, String), Arc<Catalog>>, StoreError> {
        let mut catalogs = HashMap::with_capacity(versions.len());
        for (tenant, version) in versions {
            if let Some(catalog) = self.cache.catalog(tx, &tenant, &version).await? {
                catalogs.insert((tenant, version), catalog);
            }
        }
        Ok(catalogs)
    }
}

/// The quotes that others are to be made from.
type Sources = HashMap<AggregateKey, Quote>;

/// The quote that a command makes another one from.
fn source(incoming: &Incoming<QuoteCommand>) -> Option<AggregateKey> {
    match &incoming.command {
        QuoteCommand::CloneQuote(c) => Some((incoming.meta.tenant_id.clone(), c.source_quote_id.to_string())),
        _ => None,
    }
}

/// The customer account that a command is about: its own, its source's, or the quote's.
fn account<'a>(
    incoming: &'a Incoming<QuoteCommand>,
    state: Option<&'a Quote>,
    sources: &'a Sources,
) -> Option<&'a CustomerAccountId> {
    match &incoming.command {
        QuoteCommand::CreateQuote(c) => Some(&c.customer_account_id),
        QuoteCommand::CloneQuote(_) => {
            source(incoming).and_then(|key| sources.get(&key)).map(|quote| &quote.customer_account_id)
        }
        _ => state.map(|quote| &quote.customer_account_id),
    }
}

fn configured_with(state: Option<&Quote>) -> Option<String> {
    state.and_then(Quote::configuration).map(|c| c.catalog_version.clone())
}

#[async_trait]
impl Aggregate for Quotes {
    type State = Quote;
    type Command = QuoteCommand;
    type Event = QuoteEvent;
    type References = QuoteReferences;
    type Evidence = Records;

    const CONSUMER: &'static str = "quote";
    const SENDER: &'static str = "cpq-streams/quote";
    const TYPE: AggregateType = AggregateType::Quote;
    const HEADS: Heads = Heads::Quotes;
    const COMMANDS: &'static [&'static str] = &[topics::QUOTE_COMMANDS];
    const EVENTS_TOPIC: &'static str = topics::QUOTE_EVENTS;
    const STATE_TOPIC: &'static str = topics::QUOTE_STATE;
    const STATE_RECORD: &'static str = "cpq.quote.QuoteState";

    fn accepts(command: Command) -> Option<QuoteCommand> {
        match command {
            Command::Quote(command) => Some(command),
            _ => None,
        }
    }
    fn settles(command: &QuoteCommand) -> Option<&str> {
        command.settles()
    }
    fn command_name(command: &QuoteCommand) -> &'static str {
        command.name()
    }

    async fn references(
        &self,
        tx: &mut Tx,
        commands: &[Incoming<QuoteCommand>],
        states: &HashMap<AggregateKey, Quote>,
    ) -> Result<QuoteReferences, StoreError> {
        let tenants = distinct(commands.iter().map(|c| c.meta.tenant_id.clone()));
        let sources = distinct(commands.iter().filter_map(source));
        let mut sources: Sources =
            if sources.is_empty() { Sources::new() } else { aggregates::load_quotes(tx, &sources).await? };
        sources.extend(self.recorded.sources.iter().map(|(key, quote)| (key.clone(), quote.clone())));
        let accounts = commands.iter().filter_map(|c| {
            account(c, states.get(&c.key), &sources).map(|account| (c.meta.tenant_id.clone(), account.clone()))
        });
        let actors = commands.iter().map(|c| (c.meta.tenant_id.clone(), c.meta.claims.actor_id.clone()));
        let (customers, approvers) = (distinct(accounts), distinct(actors));
        let wanted = Wanted { tenants: &tenants, customers: &customers, approvers: &approvers };
        let found = self.cache.look_up(tx, &wanted).await?;
        let newest = found.tenants.iter().filter_map(|(t, r)| r.catalog_version.clone().map(|v| (t.clone(), v)));
        let configured =
            commands.iter().filter_map(|c| configured_with(states.get(&c.key)).map(|v| (c.meta.tenant_id.clone(), v)));
        let catalogs = self.catalogs(tx, distinct(newest.chain(configured))).await?;
        let acceptances = commands.iter().filter(|c| matches!(c.command, QuoteCommand::AcceptQuote(_))).count();
        let order_numbers = reference::reserve_order_numbers(tx, acceptances).await?;
        Ok(QuoteReferences { found, catalogs, order_numbers, sources })
    }

    async fn decide(
        &self,
        _tx: &mut Tx,
        references: &mut QuoteReferences,
        state: Option<&Quote>,
        incoming: &Incoming<QuoteCommand>,
        now: Moment,
    ) -> Result<Result<Decision<QuoteEvent, FollowUp>, Rejection>, StoreError> {
        let meta = &incoming.meta;
        let reserved = match &incoming.command {
            QuoteCommand::AcceptQuote(_) => {
                let new = references.order_numbers.pop().map(|n| OrderId::numbered(now.year(), n));
                self.recorded.orders.get(&meta.command_id).cloned().or(new)
            }
            _ => None,
        };
        let Some(tenant) = references.found.tenants.get(&meta.tenant_id) else {
            return Ok(Err(unknown_tenant(meta.tenant_id.as_str())));
        };
        let of_tenant = |version: Option<String>| {
            version.and_then(|v| references.catalogs.get(&(meta.tenant_id.clone(), v))).map(Arc::as_ref)
        };
        let customer = account(incoming, state, &references.sources)
            .and_then(|account| references.found.customers.get(&(meta.tenant_id.clone(), account.clone())));
        let authorities = references.found.approvers.get(&(meta.tenant_id.clone(), meta.claims.actor_id.clone()));
        let context = Context {
            meta,
            now,
            tenant: &tenant.tenant,
            customer,
            catalog: of_tenant(tenant.catalog_version.clone()),
            configured_catalog: of_tenant(configured_with(state)),
            policy: &tenant.policy,
            authorities: authorities.map(Vec::as_slice).unwrap_or_default(),
            reserved_order: reserved.as_ref(),
            source: source(incoming).and_then(|key| references.sources.get(&key)),
        };
        Ok(quote::decide(state, &incoming.command, &context))
    }

    fn evolve(state: Option<Quote>, key: &AggregateKey, event: &QuoteEvent, at: Moment) -> Option<Quote> {
        quote::evolve(state, &key.0, &QuoteId::new(key.1.as_str()), event, at)
    }
    fn react(event: &QuoteEvent, after: &Quote) -> Vec<FollowUp> {
        quote::react(event, after)
    }
    fn event_name(event: &QuoteEvent) -> &'static str {
        event.name()
    }
    fn to_wire(event: QuoteEvent) -> Event {
        Event::Quote(event)
    }
    fn status(state: &Quote) -> &'static str {
        state.status().as_str()
    }
    fn revision(state: &Quote) -> u32 {
        state.revision
    }
    fn sequence(state: &Quote) -> u64 {
        state.sequence
    }
    fn state_record(state: &Quote, at: Moment) -> Value {
        let mut record = json!(QuoteView::of(state, at, None));
        record["aggregateSequence"] = json!(state.sequence);
        record
    }

    fn collect(records: &mut Records, step: &Step<Quote, QuoteEvent>) {
        records.timers.collect(step);
        collect(&mut records.evidence, step);
    }
    fn wakes(records: &Records) -> Option<&'static str> {
        records.timers.sets_any().then_some(timer::WAKE)
    }

    async fn save(&self, tx: &mut Tx, states: Vec<&Quote>, records: Records) -> Result<(), StoreError> {
        let rows = states.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
        aggregates::save_quotes(tx, &rows, &records.evidence).await?;
        records.timers.write(tx).await
    }
}

fn unknown_tenant(tenant: &str) -> Rejection {
    let detail = format!("tenant {tenant} has no reference data: load it with `cpq import`");
    Rejection::new(ErrorCode::ValidationFailed, "This tenant is not set up yet.").with_errors(vec![FieldError::new(
        "/customerAccountId",
        FieldCode::UnknownReference,
        detail,
    )])
}

fn row(quote: &Quote) -> Result<QuoteRow, StoreError> {
    Ok(QuoteRow {
        tenant_id: quote.tenant_id.to_string(),
        quote_id: quote.quote_id.to_string(),
        revision: quote.revision,
        sequence: quote.sequence,
        status: quote.status().as_str(),
        customer_account_id: quote.customer_account_id.to_string(),
        state: serde_json::to_string(quote).map_err(|e| StoreError::corrupt("quote state", e))?,
        created_at: quote.created_at.into_inner(),
        updated_at: quote.updated_at.into_inner(),
    })
}

/// The evidence rows of one transition.
fn collect(evidence: &mut QuoteEvidence, step: &Step<Quote, QuoteEvent>) {
    use QuoteEvent as E;
    let quote = step.after;
    if step.event.raises_revision() {
        evidence.revisions.push(json!({
            "tenant_id": quote.tenant_id, "quote_id": quote.quote_id, "revision": quote.revision,
            "aggregate_sequence": quote.sequence, "status": quote.status().as_str(),
            "customer_account_id": quote.customer_account_id, "sales_owner_id": quote.sales_owner_id,
            "created_by": step.meta.claims.actor_id, "created_at": step.at,
        }));
    }
    match step.event {
        E::QuoteConfigured(e) => {
            for (position, line) in e.configuration.lines.iter().enumerate() {
                evidence.lines.push(json!({
                    "tenant_id": quote.tenant_id, "quote_id": quote.quote_id, "revision": quote.revision,
                    "line_number": line.line_number, "position": position,
                    "parent_line_number": line.parent_line_number,
                    "product_offering_id": line.product_offering_id,
                    "product_offering_version": line.product_offering_version,
                    "quantity": line.quantity, "action": line.action, "configuration_snapshot": line,
                }));
            }
        }
        E::QuotePriced(e) => {
            let price = &e.price.price;
            evidence.prices.push(json!({
                "tenant_id": quote.tenant_id, "quote_id": quote.quote_id, "revision": quote.revision,
                "price_result_id": e.price.price_result_id, "pricing_policy_version": price.policy_version,
                "currency": price.currency, "list_amount": price.list_amount,
                "discount_amount": price.discount_amount, "one_time_amount": price.one_time_amount,
                "recurring_monthly_amount": price.recurring_monthly_amount, "total_amount": price.total_amount,
                "tax_amount": price.tax_amount, "offer": e.price, "trace": e.trace,
                "trace_hash": e.price.trace_hash, "created_at": step.at,
            }));
        }
        E::QuoteApprovalStepDecided(e) => evidence.decisions.push(json!({
            "tenant_id": quote.tenant_id, "quote_id": quote.quote_id,
            "approval_request_id": e.approval_request_id, "level": e.level, "decision": e.decision,
            "approver_id": e.decided_by, "authority_snapshot": e.authority, "price_hash": e.price_hash,
            "reason_code": e.reason_code, "comment": e.comment, "decided_at": step.at,
        })),
        E::QuoteArtifactGenerated(e) => {
            let artifact = &e.artifact;
            evidence.artifacts.push(json!({
                "tenant_id": quote.tenant_id, "artifact_id": artifact.artifact_id, "quote_id": quote.quote_id,
                "quote_revision": artifact.quote_revision, "artifact_type": artifact.artifact_type,
                "template_id": artifact.template_id, "template_version": artifact.template_version,
                "storage_uri": artifact.storage_uri, "content_hash": artifact.content_hash,
                "input_hash": artifact.input_hash, "size_bytes": artifact.size_bytes,
                "generated_by": artifact.generated_by, "generated_at": artifact.generated_at,
            }));
        }
        _ => {}
    }
}
