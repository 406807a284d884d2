//! One transaction of the bridge: what it records, and the commands and facts that follow from it, commit
//! together; relays are woken after the commit.

use crate::bridge::{Bridge, SENDER};
use crate::process::Process;
use cpq_avro::{AggregateType, Event, EventEnvelope, topics};
use cpq_domain::command::Claims;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{EventId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::order::OrderCommand;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::workflow::WorkflowEvent;
use cpq_runtime::outbound::{Cause, Outbound};
use cpq_runtime::wake;
use cpq_state_stores::decisions::{self, Records, TransitionRow};
use cpq_state_stores::workflow::{self, Hold};
use cpq_state_stores::{StoreError, Tx};
use serde_json::json;
use time::OffsetDateTime;
use ulid::Ulid;

/// Version of the workflow events' schemas that this build writes.
const EVENT_VERSION: u32 = 1;

/// A transaction with what it sends.
pub struct Work<'a> {
    bridge: &'a Bridge,
    pub tx: Tx,
    outbound: Outbound<'a>,
    now: Moment,
}

impl Bridge {
    /// Begins a transaction for one tenant. Run it in a task that is not cancelled (sqlx).
    pub async fn begin(&self, tenant: &TenantId) -> Result<Work<'_>, StoreError> {
        let tx = self.db.begin(std::slice::from_ref(tenant)).await?;
        let now = Moment::new(OffsetDateTime::now_utc());
        Ok(Work { bridge: self, tx, outbound: Outbound::new(&self.encoder), now })
    }

    /// The process of a business key as it is now.
    pub async fn process(&self, tenant: &TenantId, business_key: &str) -> Result<Option<Process>, StoreError> {
        let mut tx = self.db.begin(std::slice::from_ref(tenant)).await?;
        let row = workflow::find_instance(&mut tx, tenant.as_str(), business_key, Hold::No).await?;
        tx.commit().await?;
        row.map(Process::read).transpose()
    }
}

impl Work<'_> {
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Sends the process's quote a command, once per key.
    pub fn tell_quote(
        &mut self,
        process: &Process,
        cause: &str,
        key: String,
        command: QuoteCommand,
    ) -> Result<(), StoreError> {
        let quote_id = process.quote_id().cloned().ok_or_else(|| of_no(process, "quote"))?;
        self.tell(process, cause, key, FollowUp::Quote(quote_id, command))
    }

    /// Sends the process's order a command, once per key.
    pub fn tell_order(
        &mut self,
        process: &Process,
        cause: &str,
        key: String,
        command: OrderCommand,
    ) -> Result<(), StoreError> {
        let order_id = process.order_id().cloned().ok_or_else(|| of_no(process, "order"))?;
        self.tell(process, cause, key, FollowUp::Order(order_id, command))
    }

    fn tell(&mut self, process: &Process, cause: &str, key: String, command: FollowUp) -> Result<(), StoreError> {
        let cause = Cause {
            tenant_id: &process.tenant_id,
            sender: SENDER,
            correlation_id: &process.correlation_id,
            causation_id: cause,
            traceparent: process.traceparent.as_deref(),
            at: self.now,
        };
        self.outbound.command(&cause, key, command)
    }

    /// Publishes a fact of the process, once per name. Says whether it is new.
    pub async fn publish(
        &mut self,
        process: &Process,
        cause: &str,
        fact: &str,
        event: WorkflowEvent,
    ) -> Result<bool, StoreError> {
        let (tenant, key) = (process.tenant_id.as_str(), process.business_key.as_str());
        let Some(sequence) = workflow::record_fact(&mut self.tx, tenant, key, fact, &json!(event)).await? else {
            return Ok(false);
        };
        let envelope = EventEnvelope {
            event_id: EventId::new(Ulid::generate().to_string()),
            event_version: EVENT_VERSION,
            occurred_at: self.now,
            tenant_id: process.tenant_id.clone(),
            aggregate_type: aggregate_type(process),
            aggregate_id: process.business_key.clone(),
            aggregate_revision: process.revision(),
            aggregate_sequence: sequence,
            correlation_id: process.correlation_id.clone(),
            causation_id: Some(cause.to_owned()),
            actor: Claims::system(SENDER).actor(),
        };
        let transitions = vec![transition(process, &envelope, &event)];
        decisions::append(&mut self.tx, &Records { transitions, ..Records::default() }).await?;
        let traceparent = process.traceparent.as_deref();
        self.outbound.event(topics::WORKFLOW_EVENTS, &envelope, &Event::Workflow(event), traceparent)?;
        Ok(true)
    }

    pub async fn commit(mut self) -> Result<(), StoreError> {
        let sends = !self.outbound.is_empty();
        self.outbound.write(&mut self.tx).await?;
        self.tx.commit().await?;
        if sends {
            self.bridge.wake.notify(wake::OUTBOX);
            self.bridge.hints.outbox();
        }
        Ok(())
    }
}

fn of_no(process: &Process, what: &str) -> StoreError {
    StoreError::Corrupt(format!("process {} is about no {what}", process.business_key))
}

fn aggregate_type(process: &Process) -> AggregateType {
    match process.quote_id() {
        Some(_) => AggregateType::Approval,
        None => AggregateType::Fulfilment,
    }
}

fn transition(process: &Process, envelope: &EventEnvelope, event: &WorkflowEvent) -> TransitionRow {
    TransitionRow {
        tenant_id: process.tenant_id.to_string(),
        aggregate_type: envelope.aggregate_type.as_str(),
        aggregate_id: envelope.aggregate_id.clone(),
        aggregate_sequence: envelope.aggregate_sequence,
        aggregate_revision: envelope.aggregate_revision,
        event_id: envelope.event_id.to_string(),
        event_type: event.name(),
        from_status: None,
        to_status: process.status.as_str(),
        actor_id: envelope.actor.actor_id.to_string(),
        actor_type: envelope.actor.actor_type.as_str(),
        correlation_id: envelope.correlation_id.to_string(),
        causation_id: envelope.causation_id.clone().unwrap_or_default(),
        payload: json!(event).to_string(),
        occurred_at: envelope.occurred_at.into_inner(),
    }
}
