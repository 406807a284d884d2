//! Messages of our own, on their way to the outbox: commands that one process owes another, facts, and state
//! records. Collected in memory, written as sets in the transaction of their cause.

use cpq_avro::{AggregateType, Command, Encoder, Event, EventEnvelope, headers, topics};
use cpq_domain::command::{Claims, CommandMeta};
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{CommandId, CorrelationId, TenantId};
use cpq_domain::moment::Moment;
use cpq_state_stores::decisions::{self, InternalCommand};
use cpq_state_stores::outbox::{self, OutboxRow};
use cpq_state_stores::{StoreError, Tx};
use ulid::Ulid;

/// Who sends a command of ours, and because of what.
#[derive(Clone, Debug)]
pub struct Cause<'a> {
    pub tenant_id: &'a TenantId,
    /// The sending process, e.g. `cpq-streams/quote`: the command's actor.
    pub sender: &'a str,
    pub correlation_id: &'a CorrelationId,
    /// The event or command that led to it.
    pub causation_id: &'a str,
    pub traceparent: Option<&'a str>,
    pub at: Moment,
}

/// Messages collected for one transaction.
pub struct Outbound<'a> {
    encoder: &'a Encoder,
    commands: Vec<InternalCommand>,
    rows: Vec<OutboxRow>,
}

fn unwritable(name: &str, cause: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{name} cannot be encoded: {cause}"))
}

impl<'a> Outbound<'a> {
    pub fn new(encoder: &'a Encoder) -> Self {
        Self { encoder, commands: Vec::new(), rows: Vec::new() }
    }

    /// Sends a command once per `idempotency_key` and sender: sent again, it is dropped when written.
    pub fn command(&mut self, cause: &Cause, idempotency_key: String, command: FollowUp) -> Result<(), StoreError> {
        let (topic, aggregate_type, aggregate_id, command) = address(command);
        let meta = CommandMeta {
            command_id: CommandId::new(Ulid::generate().to_string()),
            tenant_id: cause.tenant_id.clone(),
            claims: Claims::system(cause.sender),
            correlation_id: cause.correlation_id.clone(),
            causation_id: Some(cause.causation_id.to_owned()),
            received_at: cause.at,
            if_match: None,
            traceparent: cause.traceparent.map(str::to_owned),
        };
        let name = command.name();
        let value =
            self.encoder.command(&meta, aggregate_type, &aggregate_id, &command).map_err(|e| unwritable(name, e))?;
        let headers = headers::command(&meta, aggregate_type, &aggregate_id, name);
        self.rows.push(OutboxRow::new(
            &meta.tenant_id,
            topic,
            &aggregate_id,
            meta.command_id.as_str(),
            aggregate_type.as_str(),
            None,
            headers,
            value,
        ));
        self.commands.push(InternalCommand {
            tenant_id: meta.tenant_id.into_string(),
            command_id: meta.command_id.into_string(),
            operation: name,
            actor_id: meta.claims.actor_id.into_string(),
            idempotency_key,
            aggregate_type: aggregate_type.as_str(),
            aggregate_id,
            correlation_id: meta.correlation_id.into_string(),
            causation_id: cause.causation_id.to_owned(),
            received_at: cause.at.into_inner(),
        });
        Ok(())
    }

    /// Publishes a fact, keyed by its aggregate.
    pub fn event(
        &mut self,
        topic: &str,
        envelope: &EventEnvelope,
        event: &Event,
        traceparent: Option<&str>,
    ) -> Result<(), StoreError> {
        let name = event.name();
        let value = self.encoder.event(envelope, event).map_err(|e| unwritable(name, e))?;
        self.rows.push(OutboxRow::new(
            &envelope.tenant_id,
            topic,
            &envelope.aggregate_id,
            envelope.event_id.as_str(),
            envelope.aggregate_type.as_str(),
            Some(envelope.aggregate_sequence),
            headers::event(envelope, envelope.aggregate_type, name, traceparent),
            value,
        ));
        Ok(())
    }

    /// Publishes the newest state of an aggregate on its compacted topic.
    pub fn state(&mut self, topic: &str, state: &StateRecord) -> Result<(), StoreError> {
        let value = self.encoder.state(state.name, &state.record).map_err(|e| unwritable(state.name, e))?;
        let id = Ulid::generate().to_string();
        self.rows.push(OutboxRow::new(
            state.tenant_id,
            topic,
            state.aggregate_id,
            &id,
            state.aggregate_type.as_str(),
            Some(state.aggregate_sequence),
            headers::state(&id, state.tenant_id, state.name, state.aggregate_id, state.at),
            value,
        ));
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the command rows and the outbox. A command that was sent before is left out of both.
    pub async fn write(mut self, tx: &mut Tx) -> Result<(), StoreError> {
        let sent_before = decisions::insert_commands(tx, &self.commands).await?;
        self.rows.retain(|row| !sent_before.contains(&row.message_id));
        outbox::insert(tx, &self.rows).await
    }
}

/// The newest state of an aggregate.
pub struct StateRecord<'a> {
    /// The record's full name, `cpq.quote.QuoteState`.
    pub name: &'static str,
    pub tenant_id: &'a TenantId,
    pub aggregate_type: AggregateType,
    pub aggregate_id: &'a str,
    pub aggregate_sequence: u64,
    pub record: serde_json::Value,
    pub at: Moment,
}

fn address(command: FollowUp) -> (&'static str, AggregateType, String, Command) {
    match command {
        FollowUp::Quote(id, c) => (topics::QUOTE_COMMANDS, AggregateType::Quote, id.into_string(), Command::Quote(c)),
        FollowUp::Order(id, c) => (topics::ORDER_COMMANDS, AggregateType::Order, id.into_string(), Command::Order(c)),
        FollowUp::Workflow(c) => {
            let aggregate_id = c.aggregate_id();
            (topics::WORKFLOW_COMMANDS, AggregateType::of_workflow(&c), aggregate_id, Command::Workflow(c))
        }
    }
}
