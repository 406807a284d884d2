//! What Postgres knows of a story: commands and outcomes, transitions, the outbox, calls to other systems, the
//! ledger of processes, messages to people, parked records.

use super::engine::Process;
use super::step::{Place, Step, Tone};
use crate::Failure;
use cpq_state_stores::Db;
use cpq_state_stores::operations::story::{
    self, AttemptStory, AuditStory, CommandStory, InstanceStory, NotificationStory, ParkedStory, PendingStory,
    TransitionStory,
};
use cpq_state_stores::operations::tenants::tenant_ids;
use serde_json::{Value, json};
use std::collections::HashMap;
use time::OffsetDateTime;

/// The part of the story that Postgres knows, and the processes that the engine is to be asked for.
pub struct Stored {
    pub steps: Vec<Step>,
    pub processes: Vec<Process>,
}

pub async fn read(db: &Db, tenant: Option<&str>, correlation: &str) -> Result<Stored, Failure> {
    let mut tx = db.begin_system().await?;
    let tenants = match tenant {
        Some(tenant) => vec![tenant.to_owned()],
        None => tenant_ids(&mut tx).await?,
    };
    let audit = audit_by_command(story::audit(&mut tx, &tenants, correlation).await?);
    let mut steps = Vec::new();
    for command in story::commands(&mut tx, &tenants, correlation).await? {
        steps.extend(of_command(&command, &audit));
    }
    steps.extend(story::transitions(&mut tx, &tenants, correlation).await?.iter().map(of_transition));
    steps.extend(story::pending(&mut tx, &tenants, correlation).await?.iter().map(of_pending));
    let instances = story::instances(&mut tx, &tenants, correlation).await?;
    let business_keys: Vec<String> = instances.iter().map(|instance| instance.business_key.clone()).collect();
    steps.extend(instances.iter().flat_map(of_instance));
    let attempts = story::attempts(&mut tx, &tenants, correlation, &business_keys).await?;
    steps.extend(attempts.iter().flat_map(of_attempt));
    steps.extend(story::notifications(&mut tx, &tenants, correlation).await?.iter().flat_map(of_notification));
    let parked = story::parked(&mut tx, correlation).await?;
    let visible = |record: &&ParkedStory| tenant.is_none() || record.tenant_id.as_deref() == tenant;
    steps.extend(parked.iter().filter(visible).map(of_parked));
    tx.commit().await?;
    Ok(Stored { steps, processes: instances.into_iter().map(process).collect() })
}

fn process(instance: InstanceStory) -> Process {
    let InstanceStory { tenant_id, process_key, business_key, admitted_instance_id, .. } = instance;
    Process { tenant_id, process_key, business_key, admitted_instance_id }
}

type AuditByCommand = HashMap<(String, String), AuditStory>;

fn audit_by_command(entries: Vec<AuditStory>) -> AuditByCommand {
    entries.into_iter().map(|entry| ((entry.tenant_id.clone(), entry.command_id.clone()), entry)).collect()
}

struct Told<'a> {
    tenant_id: &'a str,
    subject: &'a str,
}

impl Told<'_> {
    fn step(
        &self,
        at: OffsetDateTime,
        place: Place,
        what: String,
        (result, tone): (String, Tone),
        evidence: String,
        detail: Value,
    ) -> Step {
        let (tenant_id, subject) = (self.tenant_id.to_owned(), self.subject.to_owned());
        Step { at, place, tenant_id, subject, what, result, tone, evidence, detail }
    }
}

/// A command, and its outcome if there is one.
fn of_command(command: &CommandStory, audit: &AuditByCommand) -> Vec<Step> {
    let told = Told { tenant_id: &command.tenant_id, subject: &command.aggregate_id };
    // An OpenAPI operation id begins with a small letter, the name of a command of ours with a capital.
    let outside = command.operation.starts_with(|c: char| c.is_ascii_lowercase());
    let place = if outside { Place::Http } else { Place::Command };
    let id = &command.command_id;
    let detail = json!({"commandId": id, "operation": command.operation, "actorId": command.actor_id, "causationId": command.causation_id});
    let accepted = (format!("accepted from {}", command.actor_id), Tone::Plain);
    let mut steps = vec![told.step(
        command.received_at,
        place,
        command.operation.clone(),
        accepted,
        format!("command {id}"),
        detail,
    )];
    if let Some(at) = command.deferred_at {
        let until = command.deferred_until.as_deref().unwrap_or("its subject");
        let result = (format!("waits for {until}"), Tone::Waiting);
        let detail = json!({"commandId": id, "deferredUntil": until});
        steps.push(told.step(
            at,
            Place::Postgres,
            format!("{} deferred", command.operation),
            result,
            format!("command {id}"),
            detail,
        ));
    }
    if let (Some(at), Some(status)) = (command.decided_at, &command.status) {
        let entry = audit.get(&(command.tenant_id.clone(), id.clone()));
        let revision = command.aggregate_revision.map(|r| format!(", revision {r}")).unwrap_or_default();
        let result = match &command.error_code {
            Some(code) => (format!("{status} {code}{revision}"), Tone::Bad),
            None => (format!("{status}{revision}"), Tone::Good),
        };
        let evidence = entry.map_or("no audit entry".to_owned(), |entry| format!("audit entry {}", entry.entry));
        let detail = json!({
            "commandId": id, "status": status, "errorCode": command.error_code, "revision": command.aggregate_revision,
            "auditEntry": entry.map(|entry| entry.entry),
        });
        steps.push(told.step(at, Place::Postgres, format!("{} decided", command.operation), result, evidence, detail));
    }
    steps
}

fn of_transition(row: &TransitionStory) -> Step {
    let told = Told { tenant_id: &row.tenant_id, subject: &row.aggregate_id };
    let from = row.from_status.as_deref().unwrap_or("new");
    let result = match from == row.to_status {
        true => row.to_status.clone(),
        false => format!("{from} -> {}", row.to_status),
    };
    let evidence = format!("sequence {}, revision {}", row.aggregate_sequence, row.aggregate_revision);
    let detail = json!({
        "aggregateType": row.aggregate_type, "aggregateSequence": row.aggregate_sequence, "aggregateRevision": row.aggregate_revision,
        "eventId": row.event_id, "fromStatus": row.from_status, "toStatus": row.to_status, "actorId": row.actor_id, "causationId": row.causation_id,
    });
    told.step(row.occurred_at, Place::Postgres, row.event_type.clone(), (result, Tone::Good), evidence, detail)
}

fn of_pending(row: &PendingStory) -> Step {
    let told = Told { tenant_id: &row.tenant_id, subject: &row.message_key };
    let detail = json!({"outboxId": row.id, "topic": row.topic, "messageId": row.message_id, "aggregateSequence": row.aggregate_sequence});
    let result = ("not on its topic yet".to_owned(), Tone::Waiting);
    told.step(row.created_at, Place::Outbox, row.topic.clone(), result, format!("outbox row {}", row.id), detail)
}

fn of_attempt(row: &AttemptStory) -> Vec<Step> {
    let told = Told { tenant_id: &row.tenant_id, subject: &row.business_key };
    let what = format!("{} {}", row.system_name, row.operation_name);
    let evidence = format!("key {}", row.idempotency_key);
    let detail = json!({
        "system": row.system_name, "operation": row.operation_name, "idempotencyKey": row.idempotency_key, "outcome": row.outcome,
        "externalReference": row.external_reference, "attempts": row.attempts,
    });
    let called = (format!("called, attempt {}", row.attempts), Tone::Plain);
    let mut steps =
        vec![told.step(row.attempted_at, Place::Worker, what.clone(), called, evidence.clone(), detail.clone())];
    if let Some(at) = row.completed_at {
        let tone = match row.outcome.as_str() {
            "SUCCEEDED" => Tone::Good,
            "PENDING" | "UNKNOWN" => Tone::Waiting,
            _ => Tone::Bad,
        };
        let reference = row.external_reference.as_deref().map(|r| format!(" {r}")).unwrap_or_default();
        steps.push(told.step(at, Place::Worker, what, (format!("{}{reference}", row.outcome), tone), evidence, detail));
    }
    steps
}

fn of_instance(row: &InstanceStory) -> Vec<Step> {
    let told = Told { tenant_id: &row.tenant_id, subject: &row.business_key };
    let detail = json!({"processKey": row.process_key, "status": row.status, "attempts": row.attempts, "lastError": row.last_error});
    let step = |at, word: &str, result, evidence: &str| {
        told.step(
            at,
            Place::Camunda,
            format!("{} {word}", row.process_key),
            result,
            evidence.to_owned(),
            detail.clone(),
        )
    };
    let asked = match (&row.started_instance_id, &row.last_error) {
        (None, Some(error)) => (format!("not started: {error}"), Tone::Bad),
        (None, None) => ("not started yet".to_owned(), Tone::Waiting),
        (Some(_), _) => ("in the ledger".to_owned(), Tone::Plain),
    };
    let mut steps = vec![step(row.requested_at, "requested", asked, "ledger")];
    if let (Some(at), Some(id)) = (row.admitted_at, &row.admitted_instance_id) {
        steps.push(step(at, "admitted", ("ADMITTED".to_owned(), Tone::Good), &format!("instance {id}")));
    }
    if let Some(at) = row.ended_at {
        let reason = row.end_reason.as_deref().unwrap_or("no reason given");
        steps.push(step(at, "closed", (format!("ENDED: {reason}"), Tone::Plain), "ledger"));
    }
    steps
}

fn of_notification(row: &NotificationStory) -> Vec<Step> {
    let told = Told { tenant_id: &row.tenant_id, subject: &row.aggregate_id };
    let detail = json!({"notificationId": row.notification_id, "kind": row.kind, "recipient": row.recipient, "status": row.status});
    let evidence = format!("notification {}", row.notification_id);
    let what = format!("{} to {}", row.kind, row.recipient);
    let written = match row.status.as_str() {
        "FAILED" => ("FAILED".to_owned(), Tone::Bad),
        "PENDING" => ("not sent yet".to_owned(), Tone::Waiting),
        _ => ("written".to_owned(), Tone::Plain),
    };
    let mut steps =
        vec![told.step(row.created_at, Place::Mail, what.clone(), written, evidence.clone(), detail.clone())];
    if let Some(at) = row.sent_at {
        steps.push(told.step(at, Place::Mail, what, ("sent".to_owned(), Tone::Good), evidence, detail));
    }
    steps
}

fn of_parked(row: &ParkedStory) -> Step {
    let told = Told { tenant_id: row.tenant_id.as_deref().unwrap_or_default(), subject: &row.message_key };
    let kind = row.headers.0.iter().find(|(name, _)| name == "ce_type").map_or("record", |(_, value)| value);
    let evidence = format!("{}[{}]@{}", row.topic, row.partition, row.record_offset);
    let detail =
        json!({"consumer": row.consumer, "topic": row.topic, "partition": row.partition, "offset": row.record_offset});
    let result = (format!("parked by {}: {}", row.consumer, row.cause), Tone::Bad);
    told.step(row.parked_at, Place::Parked, kind.to_owned(), result, evidence, detail)
}
