//! `cpq verify evidence`: reads the events of quotes and orders from their topics, and nothing else, and proves
//! each quote's chain.

use super::chain::{Chain, order_rests};
use super::events::Events;
use super::findings::Findings;
use crate::Failure;
use crate::output::{Answer, Paint};
use crate::settings::Stack;
use cpq_avro::topics::{ORDER_EVENTS, QUOTE_EVENTS};
use cpq_avro::{Event, EventEnvelope};
use cpq_domain::ids::QuoteId;
use cpq_domain::order::OrderEvent;
use serde::Serialize;
use std::collections::HashMap;

/// What was proven.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    quotes: usize,
    quote_events: u64,
    accepted: usize,
    orders: u64,
}

pub async fn run(stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let events = Events::connect(stack)?;
    let proof = tokio::task::spawn_blocking(move || prove(&events));
    let (numbers, findings) = proof.await.map_err(Failure::because("the proof was cut off"))??;
    let Numbers { quotes, quote_events, accepted, orders } = &numbers;
    let proven = format!("{quote_events} events of {quotes} quotes, {accepted} acceptances, {orders} orders");
    findings.answer(&proven, &numbers, paint)
}

fn prove(events: &Events) -> Result<(Numbers, Findings), Failure> {
    let (mut numbers, mut findings) = (Numbers::default(), Findings::default());
    let mut chains = HashMap::new();
    // Orders rest on quotes, so the quotes' topic is read whole before.
    for topic in [QUOTE_EVENTS, ORDER_EVENTS] {
        events.each(&events.stretches(topic)?, |place, read| {
            let judged = read.and_then(|(envelope, event)| judge(&mut chains, &mut numbers, &envelope, &event));
            if let Err(fault) = judged {
                findings.add(place.to_string(), fault);
            }
            Ok(())
        })?;
    }
    numbers.quotes = chains.len();
    numbers.accepted = chains.values().filter(|chain| chain.sold().is_some()).count();
    Ok((numbers, findings))
}

fn judge(
    chains: &mut HashMap<String, Chain>,
    numbers: &mut Numbers,
    envelope: &EventEnvelope,
    event: &Event,
) -> Result<(), String> {
    let name = || format!("{} of {}", event.name(), envelope.aggregate_id);
    match event {
        Event::Quote(quote_event) => {
            let id = &envelope.aggregate_id;
            let chain = chains
                .entry(id.clone())
                .or_insert_with(|| Chain::new(envelope.tenant_id.clone(), QuoteId::new(id.as_str())));
            // A repeat: `verify topic` proves that it is identical.
            if envelope.aggregate_sequence <= chain.sequence() {
                return Ok(());
            }
            numbers.quote_events += 1;
            chain.judge(quote_event, envelope.occurred_at).map_err(|fault| format!("{}: {fault}", name()))
        }
        Event::Order(OrderEvent::OrderCreated(created)) => {
            numbers.orders += 1;
            let sold = chains.get(created.order.quote_id.as_str()).and_then(Chain::sold);
            order_rests(sold, &created.order).map_err(|fault| format!("{}: {fault}", name()))
        }
        Event::Order(_) | Event::Workflow(_) => Ok(()),
    }
}
