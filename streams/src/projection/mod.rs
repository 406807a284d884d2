//! The projection role: brings the read models forward from the event topics. A view never decides, and can be
//! made again from offset 0.
//!
//! One row per quote or order carries the sequence it shows, and fences all views of that aggregate: an event
//! at or below it is a repeat and changes nothing, one beyond the next is a gap and parks the key.

mod order_views;
mod quote_views;
mod timeline;

use crate::aggregate::distinct;
use async_trait::async_trait;
use cpq_avro::{Event, EventEnvelope, Record, topics};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_state_stores::aggregates::AggregateKey;
use cpq_state_stores::{Tx, views};
use order_views::OrderViews;
use quote_views::QuoteViews;
use std::collections::HashMap;

const CONSUMER: &str = "projection";

/// The projection processor.
#[derive(Default)]
pub struct Projection;

#[async_trait]
impl Processor for Projection {
    fn consumer(&self) -> &'static str {
        CONSUMER
    }
    fn topics(&self) -> &'static [&'static str] {
        &[topics::QUOTE_EVENTS, topics::ORDER_EVENTS]
    }

    async fn apply(&self, tx: &mut Tx, batch: &[Delivery], _: &mut AfterCommit) -> Result<(), StepError> {
        let keys = distinct(batch.iter().filter_map(key_of));
        let mut quotes = QuoteViews::load(tx, &keys, batch).await?;
        let mut orders = OrderViews::load(tx, &keys, batch).await?;
        for delivery in batch {
            let applied = match &delivery.record {
                Record::Event(envelope, Event::Quote(event)) => quotes.apply(envelope, event),
                Record::Event(envelope, Event::Order(event)) => orders.apply(envelope, event),
                _ => Err("not an event of a quote or an order".to_owned()),
            };
            applied.map_err(|cause| StepError::Poison { offset: delivery.offset, cause })?;
        }
        quotes.save(tx).await?;
        orders.save(tx).await?;
        if let Some((delivery, envelope)) = batch.iter().rev().find_map(|d| envelope_of(d).map(|e| (d, e))) {
            let as_of = envelope.occurred_at.into_inner();
            views::progress(tx, CONSUMER, &delivery.topic, delivery.partition, as_of).await?;
        }
        Ok(())
    }
}

fn envelope_of(delivery: &Delivery) -> Option<&EventEnvelope> {
    match &delivery.record {
        Record::Event(envelope, _) => Some(envelope),
        _ => None,
    }
}

fn key_of(delivery: &Delivery) -> Option<AggregateKey> {
    envelope_of(delivery).map(|e| (e.tenant_id.clone(), e.aggregate_id.clone()))
}

/// Whether an event is new to a row that shows `version`.
fn is_next(version: Option<u64>, envelope: &EventEnvelope) -> Result<bool, String> {
    let (shown, sequence) = (version.unwrap_or(0), envelope.aggregate_sequence);
    match sequence {
        s if s <= shown => Ok(false),
        s if s == shown + 1 => Ok(true),
        _ => Err(format!("{} jumps from sequence {shown} to {sequence}", envelope.aggregate_id)),
    }
}

/// Rows by key, with which of them have changed.
struct Rows<R> {
    rows: HashMap<AggregateKey, R>,
    changed: Vec<AggregateKey>,
}

impl<R> Rows<R> {
    fn new(rows: HashMap<AggregateKey, R>) -> Self {
        Self { rows, changed: Vec::new() }
    }
    fn get(&self, key: &AggregateKey) -> Option<&R> {
        self.rows.get(key)
    }
    fn put(&mut self, key: AggregateKey, row: R) {
        self.changed.push(key.clone());
        self.rows.insert(key, row);
    }
    fn changed(&self) -> Vec<&R> {
        distinct(self.changed.iter()).into_iter().filter_map(|key| self.rows.get(key)).collect()
    }
}

fn key(envelope: &EventEnvelope) -> AggregateKey {
    (envelope.tenant_id.clone(), envelope.aggregate_id.clone())
}
