//! One micro-batch through decide and evolve, in memory, between one load and one set of writes.

use super::ledger::Ledger;
use super::{Aggregate, Incoming, Step, distinct};
use cpq_avro::{Encoder, Record};
use cpq_domain::command::{Applied, CommandMeta, Decision};
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{CommandId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::Rejection;
use cpq_runtime::processor::{AfterCommit, Delivery, StepError};
use cpq_state_stores::aggregates::AggregateKey;
use cpq_state_stores::decisions::{self, Deferred, Recalled};
use cpq_state_stores::{StoreError, Tx};
use std::collections::{HashMap, HashSet};
use time::OffsetDateTime;

/// Applies the batch: every command not decided before gets exactly one outcome. Decided as of `at`; without it,
/// now.
pub async fn apply<A: Aggregate>(
    aggregate: &A,
    encoder: &Encoder,
    tx: &mut Tx,
    batch: &[&Delivery],
    at: Option<Moment>,
    after: &mut AfterCommit,
) -> Result<(), StepError> {
    let commands = incoming::<A>(batch)?;
    let Recalled { decided, states, audit_heads } = recall::<A>(tx, &commands).await?;
    let commands = undecided(commands, decided);
    if commands.is_empty() {
        return Ok(());
    }
    let references = aggregate.references(tx, &commands, &states).await?;
    let waiting = waiting::<A>(tx, &commands).await?;
    let mut run = Run::<A> {
        aggregate,
        references,
        states,
        touched: HashSet::new(),
        evidence: A::Evidence::default(),
        deferred: waiting,
        ledger: Ledger::new(encoder, at.unwrap_or_else(|| Moment::new(OffsetDateTime::now_utc())), audit_heads),
    };
    for command in &commands {
        run.one(tx, command).await?;
    }
    run.write(tx, after).await
}

/// The batch's commands, decoded. A record of another kind on this topic is poison.
fn incoming<A: Aggregate>(batch: &[&Delivery]) -> Result<Vec<Incoming<A::Command>>, StepError> {
    batch
        .iter()
        .map(|delivery| {
            let poison = |cause: &str| StepError::Poison { offset: delivery.offset, cause: cause.to_owned() };
            let Record::Command(meta, _, aggregate_id, command) = &delivery.record else {
                return Err(poison("not a command"));
            };
            let command = A::accepts(command.clone()).ok_or_else(|| poison("not a command of this aggregate"))?;
            Ok(Incoming { meta: meta.clone(), key: (meta.tenant_id.clone(), aggregate_id.clone()), command })
        })
        .collect()
}

async fn recall<A: Aggregate>(
    tx: &mut Tx,
    commands: &[Incoming<A::Command>],
) -> Result<Recalled<A::State>, StoreError> {
    let ids: Vec<_> = commands.iter().map(|c| (&c.meta.tenant_id, &c.meta.command_id)).collect();
    let keys = distinct(commands.iter().map(|c| c.key.clone()));
    decisions::recall(tx, A::HEADS, &ids, &keys).await
}

/// Leaves out what was decided before, and repeats within the batch: dedupe by command id, for ever.
fn undecided<C>(commands: Vec<Incoming<C>>, mut decided: HashSet<String>) -> Vec<Incoming<C>> {
    commands.into_iter().filter(|c| decided.insert(c.meta.command_id.to_string())).collect()
}

/// Commands deferred earlier that this batch may settle, by aggregate and subject.
async fn waiting<A: Aggregate>(
    tx: &mut Tx,
    commands: &[Incoming<A::Command>],
) -> Result<HashMap<(AggregateKey, String), Vec<Deferred>>, StoreError> {
    let subjects: Vec<_> = commands
        .iter()
        .filter_map(|c| A::settles(&c.command).map(|subject| (c.key.clone(), subject.to_owned())))
        .collect();
    let mut waiting: HashMap<_, Vec<Deferred>> = HashMap::new();
    for row in decisions::load_deferred(tx, &subjects).await? {
        let key = ((row.tenant_id.clone(), row.aggregate_id.clone()), row.subject.clone());
        waiting.entry(key).or_default().push(row);
    }
    Ok(waiting)
}

/// The batch in flight.
struct Run<'a, A: Aggregate> {
    aggregate: &'a A,
    references: A::References,
    states: HashMap<AggregateKey, A::State>,
    touched: HashSet<AggregateKey>,
    evidence: A::Evidence,
    deferred: HashMap<(AggregateKey, String), Vec<Deferred>>,
    ledger: Ledger<'a>,
}

impl<A: Aggregate> Run<'_, A> {
    async fn one(&mut self, tx: &mut Tx, incoming: &Incoming<A::Command>) -> Result<(), StepError> {
        let now = self.ledger.now;
        let state = self.states.get(&incoming.key);
        let decision = self.aggregate.decide(tx, &mut self.references, state, incoming, now).await?;
        let meta = &incoming.meta;
        let action = A::command_name(&incoming.command);
        match decision {
            Ok(Decision::Applied { events, outcome }) => {
                for event in events {
                    self.happen(incoming, event)?;
                }
                self.settle(incoming, Ok(&outcome));
                self.outcome(meta, &incoming.key, Ok(&outcome));
                self.ledger.audit(meta, &incoming.key.1, action, None);
            }
            Ok(Decision::Deferred { follow_up, subject }) => {
                self.follow(meta, meta.command_id.as_str(), follow_up)?;
                let (tenant_id, aggregate_id) = incoming.key.clone();
                let command_id = meta.command_id.to_string();
                let row = Deferred { tenant_id, aggregate_id, subject: subject.clone(), command_id };
                self.ledger.new_deferred.push(row.clone());
                self.deferred.entry((incoming.key.clone(), subject)).or_default().push(row);
                self.ledger.audit(meta, &incoming.key.1, action, None);
            }
            Err(rejection) => {
                self.settle(incoming, Err(&rejection));
                self.outcome(meta, &incoming.key, Err(&rejection));
                self.ledger.audit(meta, &incoming.key.1, action, Some(&rejection));
            }
        }
        Ok(())
    }

    /// Takes one event into state, evidence and outbox.
    fn happen(&mut self, incoming: &Incoming<A::Command>, event: A::Event) -> Result<(), StepError> {
        let at = self.ledger.now;
        let meta = &incoming.meta;
        let before = self.states.remove(&incoming.key);
        let after = A::evolve(before.clone(), &incoming.key, &event, at)
            .ok_or_else(|| StoreError::Corrupt(format!("{} has no state after an event", incoming.key.1)))?;
        A::collect(&mut self.evidence, &Step { event: &event, before: before.as_ref(), after: &after, meta, at });
        let follow_up = A::react(&event, &after);
        let event_id = self.ledger.event::<A>(meta, &incoming.key, before.as_ref(), &after, event)?;
        self.states.insert(incoming.key.clone(), after);
        self.touched.insert(incoming.key.clone());
        self.follow(meta, &event_id, follow_up)
    }

    fn follow(&mut self, meta: &CommandMeta, cause: &str, commands: Vec<FollowUp>) -> Result<(), StepError> {
        for (index, command) in commands.into_iter().enumerate() {
            self.ledger.follow_up(meta, A::SENDER, cause, index, command)?;
        }
        Ok(())
    }

    /// Gives the commands that waited for this one's subject its outcome. The first gets what it asked for
    /// as made, later ones as found.
    fn settle(&mut self, incoming: &Incoming<A::Command>, result: Result<&Applied, &Rejection>) {
        let Some(subject) = A::settles(&incoming.command) else { return };
        let waiting = self.deferred.remove(&(incoming.key.clone(), subject.to_owned())).unwrap_or_default();
        for (index, deferred) in waiting.into_iter().enumerate() {
            let applied = result.map(|_| Applied { created: index == 0, subject: Some(subject.to_owned()) });
            let command_id = CommandId::new(deferred.command_id.clone());
            self.outcome_of(&deferred.tenant_id, &command_id, &incoming.key, applied.as_ref().map_err(|r| *r));
            self.ledger.settled(deferred);
        }
    }

    fn outcome(&mut self, meta: &CommandMeta, key: &AggregateKey, result: Result<&Applied, &Rejection>) {
        self.outcome_of(&meta.tenant_id, &meta.command_id, key, result);
    }

    fn outcome_of(
        &mut self,
        tenant: &TenantId,
        command: &CommandId,
        key: &AggregateKey,
        result: Result<&Applied, &Rejection>,
    ) {
        let position = self.states.get(key).map(|state| (A::revision(state), A::sequence(state)));
        self.ledger.outcome(tenant, command, A::TYPE, &key.1, position, result);
    }

    /// One set of statements for the whole batch.
    async fn write(self, tx: &mut Tx, after: &mut AfterCommit) -> Result<(), StepError> {
        let Self { aggregate, states, touched, evidence, mut ledger, .. } = self;
        let changed: Vec<&A::State> = touched.iter().filter_map(|key| states.get(key)).collect();
        for key in &touched {
            if let Some(state) = states.get(key) {
                ledger.state::<A>(key, state)?;
            }
        }
        after.wake.extend(A::wakes(&evidence));
        aggregate.save(tx, changed, evidence).await?;
        ledger.write(tx, after).await
    }
}
