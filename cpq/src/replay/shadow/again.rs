//! Deciding again: the records of the commands topics, each at the time of its live decision and with what that
//! decision was given, through the processors' own code into the shadow.

use super::Consumer;
use super::report::{Passed, Place};
use crate::Failure;
use crate::kafka::Stretch;
use crate::output::Progress;
use crate::replay::source::{Batch, Source, Unreadable};
use cpq_avro::{Command, Encoder, Record, Schemas};
use cpq_domain::ids::{QuoteId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::quote::{Quote, QuoteCommand, QuoteEvent, evolve};
use cpq_runtime::processor::{AfterCommit, Delivery, StepError};
use cpq_state_stores::aggregates::AggregateKey;
use cpq_state_stores::operations::shadow::{self, Asked, Decision, Given};
use cpq_state_stores::operations::swap;
use cpq_state_stores::reference::ReferenceCache;
use cpq_state_stores::{Db, StoreError, Tx, transitions};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use streams::aggregate::AggregateProcessor;
use streams::order::Orders;
use streams::quote::{Quotes, Recorded};
use time::OffsetDateTime;

/// So often a batch is tried where the shadow's database is not available for the moment.
const ATTEMPTS: u32 = 5;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// Commands that this build cannot decide at all: with more of them it does not fit the topics.
const MAX_FAILED: usize = 1_000;
/// Unreadable records that are named; the others are only counted.
const MAX_UNREADABLE: usize = 100;

/// What decisions are to see in place of what was.
pub struct Overrides {
    pub catalog: Option<String>,
    /// The DMN document.
    pub approval_policy: Option<String>,
}

/// A command that this build could not decide.
pub struct Failed {
    pub asked: Asked,
    pub at: OffsetDateTime,
    pub cause: String,
}

/// What came of all.
pub struct Done {
    pub passed: Passed,
    pub failed: Vec<Failed>,
    /// When each tenant's reference data were changed last.
    pub tenants: BTreeMap<String, OffsetDateTime>,
}

/// A record with what became of its command.
struct Decided {
    delivery: Delivery,
    asked: Asked,
    at: OffsetDateTime,
    decision: Decision,
}

/// A tenant in the shadow.
struct Tenant {
    given: Given,
    /// What is its newest catalog now.
    catalog: Option<String>,
}

/// Deciding in progress.
pub struct Again<'a> {
    live: &'a Db,
    shadow: &'a Db,
    overrides: Overrides,
    encoder: Arc<Encoder>,
    cache: ReferenceCache,
    tenants: HashMap<String, Option<Tenant>>,
    /// What was decided later is not looked at.
    until: OffsetDateTime,
    began: Instant,
    passed: Passed,
    failed: Vec<Failed>,
}

impl<'a> Again<'a> {
    pub fn new(
        live: &'a Db,
        shadow: &'a Db,
        overrides: Overrides,
        schemas: Arc<Schemas>,
        ids: &HashMap<String, i32>,
    ) -> Result<Self, Failure> {
        let unregistered = "this build's schemas are not all registered: `cpq schemas register` does that";
        let encoder = Encoder::new(schemas, ids).map_err(Failure::because(unregistered))?;
        let cache = ReferenceCache::new().map_err(Failure::because("this build is broken"))?;
        Ok(Self {
            live,
            shadow,
            overrides,
            encoder: Arc::new(encoder),
            cache,
            tenants: HashMap::new(),
            until: OffsetDateTime::now_utc(),
            began: Instant::now(),
            passed: Passed::default(),
            failed: Vec::new(),
        })
    }

    pub fn end(self) -> Done {
        let known = self.tenants.into_iter().filter_map(|(id, tenant)| Some((id, tenant?.given.updated_at)));
        Done { passed: self.passed, failed: self.failed, tenants: known.collect() }
    }

    /// Decides what the live consumer has decided by now.
    pub async fn decide(
        &mut self,
        consumer: Consumer,
        source: &Source,
        since: Option<OffsetDateTime>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let stretches = self.stretches(consumer, source, since).await?;
        // Of what began before these records, only a part is here.
        let cut = stretches.iter().any(|stretch| stretch.start > 0);
        let mut lag: i64 = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
        let mut incoming = source.read(stretches);
        while let Some(batch) = incoming.next().await? {
            let records = batch.records;
            self.batch(consumer, batch, cut).await?;
            lag -= records;
            self.passed.records += records as u64;
            let rate = self.passed.records as f64 / self.began.elapsed().as_secs_f64();
            let done = self.passed.records;
            progress.say(&format!("{}: {done} records, {rate:.0}/s, {lag} records to the end", consumer.name()));
        }
        Ok(())
    }

    /// From the beginning, or `since`, to where the live consumer stands.
    async fn stretches(
        &self,
        consumer: Consumer,
        source: &Source,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<Stretch>, Failure> {
        let mut tx = self.live.begin_reading().await?;
        let shown = swap::shown(&mut tx, consumer.name()).await?;
        tx.rollback().await?;
        let ends: HashMap<(String, i32), i64> =
            shown.into_iter().map(|s| ((s.topic, s.partition), s.next_offset)).collect();
        let since = since.map(|since| (since.unix_timestamp_nanos() / 1_000_000) as i64);
        let mut stretches = Vec::new();
        for topic in consumer.topics() {
            for mut stretch in source.stretches(topic, since).await? {
                let end = ends.get(&(stretch.topic.clone(), stretch.partition)).copied().unwrap_or(0);
                stretch.end = stretch.end.min(end);
                if stretch.start < stretch.end {
                    stretches.push(stretch);
                }
            }
        }
        Ok(stretches)
    }

    async fn batch(&mut self, consumer: Consumer, batch: Batch, cut: bool) -> Result<(), Failure> {
        let mut live = self.live.begin_reading().await?;
        for record in batch.unreadable {
            self.unreadable(&mut live, consumer, record).await?;
        }
        let deliveries: Vec<(Delivery, Asked)> = batch
            .deliveries
            .into_iter()
            .filter_map(|delivery| asked(&delivery).map(|asked| (delivery, asked)))
            .collect();
        let questions: Vec<Asked> = deliveries.iter().map(|(_, asked)| asked.clone()).collect();
        let decisions = shadow::decisions(&mut live, &questions).await?;
        let mut decided = Vec::with_capacity(deliveries.len());
        for ((delivery, asked), decision) in deliveries.into_iter().zip(decisions) {
            match decision.at.filter(|at| *at <= self.until) {
                Some(at) => decided.push(Decided { delivery, asked, at, decision }),
                None => self.passed.undecided += 1,
            }
        }
        // What was decided together has one time; each such group sees what it saw.
        for group in decided.chunk_by(|a, b| a.at == b.at) {
            let group: Vec<&Decided> = if cut { self.whole(&mut live, group).await? } else { group.iter().collect() };
            if !group.is_empty() {
                self.group(&mut live, consumer, &group).await?;
            }
        }
        Ok(live.rollback().await?)
    }

    /// A record that this build cannot read; if the live system could not either, there is nothing to compare.
    async fn unreadable(&mut self, live: &mut Tx, consumer: Consumer, record: Unreadable) -> Result<(), Failure> {
        let Unreadable { topic, partition, offset, .. } = &record;
        if shadow::is_dead(live, consumer.name(), topic, *partition, *offset).await? {
            self.passed.undecided += 1;
            return Ok(());
        }
        self.passed.unreadable += 1;
        if self.passed.unreadable_records.len() < MAX_UNREADABLE {
            self.passed.unreadable_records.push(Place(record.to_string()));
        }
        Ok(())
    }

    /// Those whose quote or order began here.
    async fn whole<'g>(&mut self, live: &mut Tx, group: &'g [Decided]) -> Result<Vec<&'g Decided>, Failure> {
        let keys: HashSet<_> = group.iter().map(key).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        let began = shadow::began(live, &keys).await?;
        let mut tx = self.shadow.begin_system().await?;
        let here: HashSet<_> = shadow::exists(&mut tx, &keys).await?.into_iter().collect();
        tx.rollback().await?;
        let is_whole = |decided: &&Decided| {
            let key = key(decided);
            here.contains(&key) || began.get(&key).is_none_or(|began| *began >= decided.at)
        };
        let whole: Vec<&Decided> = group.iter().filter(is_whole).collect();
        self.passed.begun_before += (group.len() - whole.len()) as u64;
        Ok(whole)
    }

    /// Decides a group; where that fails, each command alone, so that one costs only itself.
    async fn group(&mut self, live: &mut Tx, consumer: Consumer, group: &[&Decided]) -> Result<(), Failure> {
        for tenant in group.iter().map(|decided| decided.asked.tenant_id.clone()).collect::<HashSet<_>>() {
            self.know(live, tenant).await?;
        }
        if self.apply(live, consumer, group).await?.is_none() {
            return Ok(());
        }
        for decided in group {
            if let Some(cause) = self.apply(live, consumer, std::slice::from_ref(decided)).await? {
                self.failed.push(Failed { asked: decided.asked.clone(), at: decided.at, cause });
                if self.failed.len() > MAX_FAILED {
                    return Err(Failure::failed(format!("more than {MAX_FAILED} commands cannot be decided")));
                }
            }
        }
        Ok(())
    }

    /// Copies what is known of a tenant, once.
    async fn know(&mut self, live: &mut Tx, tenant: String) -> Result<(), Failure> {
        if self.tenants.contains_key(&tenant) {
            return Ok(());
        }
        let mut tx = self.shadow.begin_system().await?;
        let policy = self.overrides.approval_policy.as_deref();
        let given = shadow::copy_tenant(live, &mut tx, &tenant, policy).await?;
        let catalog = self.overrides.catalog.clone();
        if let (Some(given), Some(version)) = (&given, &catalog)
            && !given.catalogs.iter().any(|(_, known)| known == version)
        {
            return Err(Failure::usage(format!(
                "{tenant} has no catalog {version}; its versions are in cpq.catalog_version"
            )));
        }
        shadow::set_catalog(&mut tx, &tenant, catalog.as_deref()).await?;
        tx.commit().await?;
        self.tenants.insert(tenant, given.map(|given| Tenant { given, catalog }));
        Ok(())
    }

    /// The cause, if this build cannot decide the group.
    async fn apply(
        &mut self,
        live: &mut Tx,
        consumer: Consumer,
        group: &[&Decided],
    ) -> Result<Option<String>, Failure> {
        let mut attempt = 1;
        loop {
            match self.try_apply(live, consumer, group).await {
                Ok(()) => return Ok(None),
                Err(StepError::Store(StoreError::Transient(_))) if attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(StepError::Store(error @ StoreError::Transient(_))) => return Err(error.into()),
                Err(error) => return Ok(Some(error.to_string())),
            }
        }
    }

    async fn try_apply(&mut self, live: &mut Tx, consumer: Consumer, group: &[&Decided]) -> Result<(), StepError> {
        let Some(first) = group.first() else { return Ok(()) };
        let at = first.at;
        let tenants: HashSet<&str> = group.iter().map(|decided| decided.asked.tenant_id.as_str()).collect();
        let tenants: Vec<TenantId> = tenants.into_iter().map(TenantId::new).collect();
        let mut tx = self.shadow.begin(&tenants).await?;
        let mut after = AfterCommit::default();
        let deliveries: Vec<&Delivery> = group.iter().map(|decided| &decided.delivery).collect();
        match consumer {
            Consumer::Quote => {
                let catalogs = self.set_catalogs(&mut tx, group, at).await?;
                let quotes = Quotes::again(self.cache.clone(), recorded(live, group, at).await?);
                let processor = AggregateProcessor::new(quotes, self.encoder.clone());
                processor.apply_as_of(&mut tx, &deliveries, Moment::new(at), &mut after).await?;
                tx.commit().await?;
                self.remember(catalogs);
            }
            Consumer::Order => {
                let orders: Vec<_> = group.iter().map(|decided| key(decided)).collect();
                shadow::claim_tokens(&mut tx, &shadow::tokens(live, &orders, at).await?).await?;
                let processor = AggregateProcessor::new(Orders, self.encoder.clone());
                processor.apply_as_of(&mut tx, &deliveries, Moment::new(at), &mut after).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }

    /// Makes the newest catalog of each tenant the one that was; returns what was changed.
    async fn set_catalogs(
        &self,
        tx: &mut Tx,
        group: &[&Decided],
        at: OffsetDateTime,
    ) -> Result<Vec<(String, Option<String>)>, StoreError> {
        let mut changed = Vec::new();
        if self.overrides.catalog.is_some() {
            return Ok(changed);
        }
        let tenants: HashSet<&String> = group.iter().map(|decided| &decided.asked.tenant_id).collect();
        for id in tenants {
            let Some(Some(tenant)) = self.tenants.get(id) else { continue };
            // A configuration says which it was; else the time of publication does.
            let published = tenant.given.catalogs.iter().rev().find(|(published, _)| *published <= at);
            let mut then = published.map(|(_, version)| version.clone());
            for decided in group.iter().filter(|decided| decided.asked.tenant_id == *id) {
                then = configured(&decided.decision)?.or(then);
            }
            if then != tenant.catalog {
                shadow::set_catalog(tx, id, then.as_deref()).await?;
                changed.push((id.clone(), then));
            }
        }
        Ok(changed)
    }

    fn remember(&mut self, catalogs: Vec<(String, Option<String>)>) {
        for (id, catalog) in catalogs {
            if let Some(Some(tenant)) = self.tenants.get_mut(&id) {
                tenant.catalog = catalog;
            }
        }
    }
}

/// The catalog version that a configuration was made with.
fn configured(decision: &Decision) -> Result<Option<String>, StoreError> {
    Ok(match event(decision, "QuoteConfigured")? {
        Some(QuoteEvent::QuoteConfigured(event)) => Some(event.configuration.catalog_version),
        _ => None,
    })
}

/// The event of that name that followed, if one did.
fn event(decision: &Decision, name: &str) -> Result<Option<QuoteEvent>, StoreError> {
    let Some(found) = decision.events.iter().find(|event| event.event_type == name) else { return Ok(None) };
    serde_json::from_value(found.payload.clone()).map(Some).map_err(|cause| StoreError::corrupt(name, cause))
}

fn key(decided: &Decided) -> (String, String) {
    (decided.asked.tenant_id.clone(), decided.asked.aggregate_id.clone())
}

/// What is asked of a record's command; `None` for one that no processor of ours decides.
fn asked(delivery: &Delivery) -> Option<Asked> {
    let Record::Command(meta, _, aggregate_id, command) = &delivery.record else { return None };
    let action = match command {
        Command::Quote(command) => command.name(),
        Command::Order(command) => command.name(),
        Command::Workflow(_) => return None,
    };
    Some(Asked {
        tenant_id: meta.tenant_id.to_string(),
        command_id: meta.command_id.to_string(),
        aggregate_id: aggregate_id.clone(),
        correlation_id: meta.correlation_id.to_string(),
        action: action.to_owned(),
    })
}

/// What the live decisions were given: order numbers, and the sources of clones as they were.
async fn recorded(live: &mut Tx, group: &[&Decided], at: OffsetDateTime) -> Result<Recorded, StoreError> {
    let mut recorded = Recorded::default();
    for Decided { delivery, decision, .. } in group {
        let Record::Command(meta, _, _, Command::Quote(command)) = &delivery.record else { continue };
        match command {
            QuoteCommand::AcceptQuote(_) => {
                if let Some(QuoteEvent::QuoteAccepted(accepted)) = event(decision, "QuoteAccepted")? {
                    recorded.orders.insert(meta.command_id.clone(), accepted.order_id);
                }
            }
            QuoteCommand::CloneQuote(clone) => {
                let key: AggregateKey = (meta.tenant_id.clone(), clone.source_quote_id.to_string());
                if let Some(quote) = as_it_was(live, &key, at).await? {
                    recorded.sources.insert(key, quote);
                }
            }
            _ => {}
        }
    }
    Ok(recorded)
}

/// The quote before whatever happened at that time or later.
async fn as_it_was(live: &mut Tx, key: &AggregateKey, at: OffsetDateTime) -> Result<Option<Quote>, StoreError> {
    let (tenant, id) = (&key.0, QuoteId::new(key.1.as_str()));
    let history = transitions::load::<QuoteEvent>(live, tenant, id.as_str(), None).await?;
    let before = history.iter().filter(|transition| transition.at.into_inner() < at);
    Ok(before.fold(None, |state, transition| evolve(state, tenant, &id, &transition.event, transition.at)))
}
