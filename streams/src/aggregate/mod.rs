//! How a quote or order processor turns a micro-batch of commands into decided state: dedupe, load, decide,
//! evolve, react, save. Written once for both aggregates; what differs is in [`Aggregate`].

mod batch;
mod ledger;

use async_trait::async_trait;
use cpq_avro::{AggregateType, Encoder, Event};
use cpq_domain::command::{CommandMeta, Decision};
use cpq_domain::follow_up::FollowUp;
use cpq_domain::moment::Moment;
use cpq_domain::rejection::Rejection;
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_state_stores::aggregates::{AggregateKey, Heads};
use cpq_state_stores::{StoreError, Tx};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;

/// A command with its envelope, on its way to a decision.
pub struct Incoming<C> {
    pub meta: CommandMeta,
    pub key: AggregateKey,
    pub command: C,
}

/// What a decided transition leaves for an aggregate's own tables.
pub struct Step<'a, S, E> {
    pub event: &'a E,
    pub before: Option<&'a S>,
    pub after: &'a S,
    pub meta: &'a CommandMeta,
    pub at: Moment,
}

/// What differs between the aggregates. Pure parts delegate to the core.
#[async_trait]
pub trait Aggregate: Send + Sync + 'static {
    type State: Clone + DeserializeOwned + Send + Sync;
    type Command: Send + Sync;
    type Event: Serialize + Send + Sync;
    /// What decisions of a batch look at besides state.
    type References: Send + Sync;
    /// Rows for the aggregate's own tables, collected over the batch.
    type Evidence: Default + Send;

    const CONSUMER: &'static str;
    /// The actor of the commands that follow from its events.
    const SENDER: &'static str;
    const TYPE: AggregateType;
    /// Where its states are.
    const HEADS: Heads;
    const COMMANDS: &'static [&'static str];
    const EVENTS_TOPIC: &'static str;
    const STATE_TOPIC: &'static str;
    const STATE_RECORD: &'static str;

    /// The command, if the record is one of this aggregate's.
    fn accepts(command: cpq_avro::Command) -> Option<Self::Command>;
    fn settles(command: &Self::Command) -> Option<&str>;
    fn command_name(command: &Self::Command) -> &'static str;

    async fn references(
        &self,
        tx: &mut Tx,
        commands: &[Incoming<Self::Command>],
        states: &HashMap<AggregateKey, Self::State>,
    ) -> Result<Self::References, StoreError>;

    /// Judges one command; may claim what only a row can decide, in the same transaction.
    async fn decide(
        &self,
        tx: &mut Tx,
        references: &mut Self::References,
        state: Option<&Self::State>,
        incoming: &Incoming<Self::Command>,
        now: Moment,
    ) -> Result<Result<Decision<Self::Event, FollowUp>, Rejection>, StoreError>;

    fn evolve(state: Option<Self::State>, key: &AggregateKey, event: &Self::Event, at: Moment) -> Option<Self::State>;
    fn react(event: &Self::Event, after: &Self::State) -> Vec<FollowUp>;
    fn event_name(event: &Self::Event) -> &'static str;
    fn to_wire(event: Self::Event) -> Event;
    fn status(state: &Self::State) -> &'static str;
    fn revision(state: &Self::State) -> u32;
    fn sequence(state: &Self::State) -> u64;
    /// The state record: what GET shows, without `allowedActions`, plus `aggregateSequence`.
    fn state_record(state: &Self::State, at: Moment) -> serde_json::Value;

    fn collect(evidence: &mut Self::Evidence, step: &Step<Self::State, Self::Event>);
    /// The local worker that has something to do once the batch is committed.
    fn wakes(_evidence: &Self::Evidence) -> Option<&'static str> {
        None
    }
    /// Writes the heads and the evidence that refers to them.
    async fn save(&self, tx: &mut Tx, states: Vec<&Self::State>, evidence: Self::Evidence) -> Result<(), StoreError>;
}

/// The processor of one aggregate: the only caller of its `decide`.
pub struct AggregateProcessor<A> {
    aggregate: A,
    encoder: Arc<Encoder>,
}

impl<A: Aggregate> AggregateProcessor<A> {
    pub fn new(aggregate: A, encoder: Arc<Encoder>) -> Self {
        Self { aggregate, encoder }
    }

    /// Applies a batch as of another time than now: that of its decision, where history is decided again.
    pub async fn apply_as_of(
        &self,
        tx: &mut Tx,
        batch: &[&Delivery],
        at: Moment,
        after: &mut AfterCommit,
    ) -> Result<(), StepError> {
        batch::apply(&self.aggregate, &self.encoder, tx, batch, Some(at), after).await
    }
}

#[async_trait]
impl<A: Aggregate> Processor for AggregateProcessor<A> {
    fn consumer(&self) -> &'static str {
        A::CONSUMER
    }
    fn topics(&self) -> &'static [&'static str] {
        A::COMMANDS
    }
    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError> {
        batch::apply(&self.aggregate, &self.encoder, tx, batch, None, after).await
    }
}

/// Each item once, in order.
pub(crate) fn distinct<T: Clone + Eq + std::hash::Hash>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    items.into_iter().filter(|item| seen.insert(item.clone())).collect()
}
