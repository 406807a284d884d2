//! What a batch leaves behind besides the aggregates: outcomes, transitions, audit entries and messages,
//! collected in memory and written as sets.

use super::Aggregate;
use cpq_avro::{AggregateType, Encoder, EventEnvelope};
use cpq_domain::command::{Applied, CommandMeta};
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{CommandId, EventId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::Rejection;
use cpq_runtime::outbound::{Cause, Outbound, StateRecord};
use cpq_runtime::processor::{AfterCommit, StepError};
use cpq_state_stores::aggregates::AggregateKey;
use cpq_state_stores::decisions::{self, AuditEntry, AuditHeads, Deferred, OutcomeRow, Records, TransitionRow};
use cpq_state_stores::{StoreError, Tx};
use std::collections::HashSet;
use ulid::Ulid;

/// Version of an event's schema that this build writes; counts compatible changes.
pub const EVENT_VERSION: u32 = 1;

pub struct Ledger<'a> {
    outbound: Outbound<'a>,
    /// The time of every decision in the batch.
    pub now: Moment,
    pub new_deferred: Vec<Deferred>,
    settled: Vec<Deferred>,
    records: Records,
    audit_heads: AuditHeads,
}

fn corrupt(what: &str, cause: impl std::fmt::Display) -> StepError {
    StepError::Store(StoreError::Corrupt(format!("{what}: {cause}")))
}

impl<'a> Ledger<'a> {
    pub fn new(encoder: &'a Encoder, now: Moment, audit_heads: AuditHeads) -> Self {
        Self {
            outbound: Outbound::new(encoder),
            now,
            new_deferred: Vec::new(),
            settled: Vec::new(),
            records: Records::default(),
            audit_heads,
        }
    }

    /// Records an event that has happened: transition and outbox row. Gives its id.
    pub fn event<A: Aggregate>(
        &mut self,
        meta: &CommandMeta,
        key: &AggregateKey,
        before: Option<&A::State>,
        after: &A::State,
        event: A::Event,
    ) -> Result<String, StepError> {
        let event_id = Ulid::generate().to_string();
        let name = A::event_name(&event);
        let payload = serde_json::to_string(&event).map_err(|e| corrupt(name, e))?;
        let actor = meta.claims.actor();
        self.records.transitions.push(TransitionRow {
            tenant_id: key.0.to_string(),
            aggregate_type: A::TYPE.as_str(),
            aggregate_id: key.1.clone(),
            aggregate_sequence: A::sequence(after),
            aggregate_revision: A::revision(after),
            event_id: event_id.clone(),
            event_type: name,
            from_status: before.map(A::status),
            to_status: A::status(after),
            actor_id: actor.actor_id.to_string(),
            actor_type: actor.actor_type.as_str(),
            correlation_id: meta.correlation_id.to_string(),
            causation_id: meta.command_id.to_string(),
            payload,
            occurred_at: self.now.into_inner(),
        });
        let envelope = EventEnvelope {
            event_id: EventId::new(event_id.clone()),
            event_version: EVENT_VERSION,
            occurred_at: self.now,
            tenant_id: key.0.clone(),
            aggregate_type: A::TYPE,
            aggregate_id: key.1.clone(),
            aggregate_revision: A::revision(after),
            aggregate_sequence: A::sequence(after),
            correlation_id: meta.correlation_id.clone(),
            causation_id: Some(meta.command_id.to_string()),
            actor,
        };
        self.outbound.event(A::EVENTS_TOPIC, &envelope, &A::to_wire(event), meta.traceparent.as_deref())?;
        Ok(event_id)
    }

    /// Sends a command of ours, caused by an event or a deferred command.
    pub fn follow_up(
        &mut self,
        meta: &CommandMeta,
        sender: &str,
        cause: &str,
        index: usize,
        follow_up: FollowUp,
    ) -> Result<(), StepError> {
        let cause = Cause {
            tenant_id: &meta.tenant_id,
            sender,
            correlation_id: &meta.correlation_id,
            causation_id: cause,
            traceparent: meta.traceparent.as_deref(),
            at: self.now,
        };
        let key = format!("{}:{index}", cause.causation_id);
        Ok(self.outbound.command(&cause, key, follow_up)?)
    }

    /// The newest state, for the compacted topic.
    pub fn state<A: Aggregate>(&mut self, key: &AggregateKey, state: &A::State) -> Result<(), StepError> {
        let record = StateRecord {
            name: A::STATE_RECORD,
            tenant_id: &key.0,
            aggregate_type: A::TYPE,
            aggregate_id: &key.1,
            aggregate_sequence: A::sequence(state),
            record: A::state_record(state, self.now),
            at: self.now,
        };
        Ok(self.outbound.state(A::STATE_TOPIC, &record)?)
    }

    pub fn outcome(
        &mut self,
        tenant: &TenantId,
        command: &CommandId,
        aggregate_type: AggregateType,
        aggregate_id: &str,
        position: Option<(u32, u64)>,
        result: Result<&Applied, &Rejection>,
    ) {
        self.records.outcomes.push(OutcomeRow {
            tenant_id: tenant.to_string(),
            command_id: command.to_string(),
            aggregate_type: aggregate_type.as_str(),
            aggregate_id: aggregate_id.to_owned(),
            aggregate_revision: position.map(|p| p.0),
            aggregate_sequence: position.map(|p| p.1),
            applied: result.ok().map(|applied| serde_json::json!(applied).to_string()),
            rejection: result.err().map(|rejection| serde_json::json!(rejection).to_string()),
            decided_at: self.now.into_inner(),
        });
    }

    pub fn settled(&mut self, deferred: Deferred) {
        self.settled.push(deferred);
    }

    pub fn audit(&mut self, meta: &CommandMeta, aggregate_id: &str, action: &'static str, refused: Option<&Rejection>) {
        // To measure what audit costs; never in a release.
        if cfg!(feature = "unguarded") {
            return;
        }
        self.records.audit.push(AuditEntry {
            tenant_id: meta.tenant_id.to_string(),
            aggregate_id: aggregate_id.to_owned(),
            action,
            outcome: if refused.is_some() { "REJECTED" } else { "APPLIED" },
            error_code: refused.map(|r| r.code.as_str()),
            actor_id: meta.claims.actor_id.to_string(),
            actor_type: meta.claims.actor_type.as_str(),
            claims: serde_json::json!(meta.claims).to_string(),
            command_id: meta.command_id.to_string(),
            correlation_id: meta.correlation_id.to_string(),
            detail: refused.map(|r| r.detail.clone()),
            recorded_at: self.now.into_inner(),
        });
    }

    /// Writes everything, and names what is to be hinted after the commit.
    pub async fn write(mut self, tx: &mut Tx, after: &mut AfterCommit) -> Result<(), StepError> {
        let new: HashSet<Deferred> = self.new_deferred.iter().cloned().collect();
        let settled: HashSet<Deferred> = self.settled.iter().cloned().collect();
        // Deferred and settled within one batch: never written.
        self.new_deferred.retain(|row| !settled.contains(row));
        self.settled.retain(|row| !new.contains(row));
        decisions::insert_deferred(tx, &self.new_deferred, self.now.into_inner()).await?;
        decisions::delete_deferred(tx, &self.settled).await?;
        decisions::record(tx, &self.records, self.audit_heads).await?;
        after.outbox |= !self.outbound.is_empty();
        self.outbound.write(tx).await?;
        after.decided.extend(self.records.outcomes.into_iter().map(|o| CommandId::new(o.command_id)));
        Ok(())
    }
}
