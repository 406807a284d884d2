//! `cpq verify facts`: what the events topics say is what was recorded, and nothing that was recorded is missing
//! there.

use super::events::{Events, Place};
use super::findings::Findings;
use crate::Failure;
use crate::output::{Answer, Paint, Progress};
use crate::settings::Stack;
use cpq_avro::topics::{ORDER_EVENTS, QUOTE_EVENTS, WORKFLOW_EVENTS};
use cpq_avro::{Event, EventEnvelope};
use cpq_domain::canonical;
use cpq_state_stores::Db;
use cpq_state_stores::operations::proofs::{PAGE, StoredTransition, pending_messages, transition_page};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// Tenant, aggregate and sequence.
type Key = (String, String, i64);

/// An event on its topic.
struct Fact {
    place: Place,
    event_id: String,
    /// Of the event's canonical JSON.
    hash: String,
    recorded: bool,
}

#[derive(Debug, Default, Serialize)]
struct Numbers {
    events: usize,
    transitions: u64,
    /// Messages that the relay has yet to publish. Their transitions are not missed on the topics.
    pending: i64,
}

pub async fn run(stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let (events, db) = (Events::connect(stack)?, stack.db()?);
    let mut findings = Findings::default();
    // Transitions first: what is committed meanwhile is then on neither side, or on the topics alone.
    let (transitions, pending) = recorded(&db).await?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut findings = Findings::default();
        published(&events, &mut findings).map(|facts| (facts, findings))
    });
    let (mut facts, undecodable) = reading.await.map_err(Failure::because("the proof was cut off"))??;
    findings.absorb(undecodable);
    let numbers = Numbers { events: facts.len(), transitions: transitions.len() as u64, pending };
    for transition in &transitions {
        compare(transition, &mut facts, pending > 0, &mut findings);
    }
    let newer = newest(&transitions);
    for ((_, aggregate, sequence), fact) in facts.iter().filter(|(_, fact)| !fact.recorded) {
        // An event that came after the transitions were read is not amiss.
        if newer.get(aggregate).is_some_and(|known| sequence <= known) {
            findings.add(fact.place.to_string(), format!("{aggregate} sequence {sequence} was never recorded"));
        }
    }
    let proven =
        format!("{} events, {} recorded transitions, {pending} messages pending", numbers.events, numbers.transitions);
    findings.answer(&proven, &numbers, paint)
}

async fn recorded(db: &Db) -> Result<(Vec<StoredTransition>, i64), Failure> {
    let progress = Progress::start();
    let mut all: Vec<StoredTransition> = Vec::new();
    loop {
        let mut tx = db.begin_system().await?;
        let after = all.last().map_or(("", "", 0), |t| (&*t.tenant_id, &*t.aggregate_id, t.aggregate_sequence));
        let page = transition_page(&mut tx, after).await?;
        let last = (page.len() as i64) < PAGE;
        all.extend(page);
        progress.say(&format!("{} transitions", all.len()));
        if last {
            let pending = pending_messages(&mut tx).await?;
            tx.commit().await?;
            return Ok((all, pending));
        }
        tx.commit().await?;
    }
}

fn newest(transitions: &[StoredTransition]) -> HashMap<String, i64> {
    // In order of sequence within each aggregate: the last one stays.
    transitions.iter().map(|t| (t.aggregate_id.clone(), t.aggregate_sequence)).collect()
}

fn published(events: &Events, findings: &mut Findings) -> Result<HashMap<Key, Fact>, Failure> {
    let mut facts = HashMap::new();
    for topic in [QUOTE_EVENTS, ORDER_EVENTS, WORKFLOW_EVENTS] {
        events.each(&events.stretches(topic)?, |place, read| {
            match read.and_then(|(envelope, event)| fact(place.clone(), &envelope, &event)) {
                // A repeat: `verify topic` proves that it is identical.
                Ok((key, fact)) => drop(facts.entry(key).or_insert(fact)),
                Err(fault) => findings.add(place.to_string(), fault),
            }
            Ok(())
        })?;
    }
    Ok(facts)
}

fn fact(place: Place, envelope: &EventEnvelope, event: &Event) -> Result<(Key, Fact), String> {
    let payload = match event {
        Event::Quote(event) => serde_json::to_value(event),
        Event::Order(event) => serde_json::to_value(event),
        Event::Workflow(event) => serde_json::to_value(event),
    };
    let hash = hash(&payload.map_err(|error| error.to_string())?);
    let key = (envelope.tenant_id.to_string(), envelope.aggregate_id.clone(), envelope.aggregate_sequence as i64);
    Ok((key, Fact { place, event_id: envelope.event_id.to_string(), hash, recorded: false }))
}

fn hash(payload: &Value) -> String {
    canonical::sha256(canonical::to_string(payload).as_bytes())
}

fn compare(recorded: &StoredTransition, facts: &mut HashMap<Key, Fact>, pending: bool, findings: &mut Findings) {
    let key = (recorded.tenant_id.clone(), recorded.aggregate_id.clone(), recorded.aggregate_sequence);
    let name = || format!("{} {} sequence {}", key.0, key.1, key.2);
    let Some(fact) = facts.get_mut(&key) else {
        if !pending {
            findings.add(name(), "is recorded, and not on its topic");
        }
        return;
    };
    fact.recorded = true;
    if fact.event_id != recorded.event_id {
        findings.add(
            fact.place.to_string(),
            format!("{} is event {}, recorded is {}", name(), fact.event_id, recorded.event_id),
        );
    } else if fact.hash != hash(&recorded.payload.0) {
        findings.add(fact.place.to_string(), format!("{} says something else than was recorded", name()));
    }
}
