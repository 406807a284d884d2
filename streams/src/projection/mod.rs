//! The projection role: brings the read models forward from the event topics. A view never decides, and can be
//! made again from offset 0.
//!
//! One row per quote or order carries the sequence it shows, and fences all views of that aggregate: an event
//! at or below it is a repeat and changes nothing, one beyond the next is a gap and parks the key.

mod order_views;
mod quote_views;
mod timeline;
mod views;

use crate::aggregate::distinct;
use async_trait::async_trait;
use cpq_avro::{AggregateType, Event, EventEnvelope, Record, topics};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_state_stores::Tx;
use cpq_state_stores::aggregates::AggregateKey;
use cpq_state_stores::views::{self as rows, Changes};
use order_views::Orders;
use quote_views::Quotes;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use views::Views;

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

    fn can_be_redone(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], _: &mut AfterCommit) -> Result<(), StepError> {
        let mut quotes: Views<Quotes> = Views::new(rows::quotes(tx, &keys(batch, AggregateType::Quote)).await?);
        let mut orders: Views<Orders> = Views::new(rows::orders(tx, &keys(batch, AggregateType::Order)).await?);
        for delivery in batch {
            let applied = match &delivery.record {
                Record::Event(envelope, Event::Quote(event)) => quotes.apply(envelope, event),
                Record::Event(envelope, Event::Order(event)) => orders.apply(envelope, event),
                _ => Err("not an event of a quote or an order".to_owned()),
            };
            applied.map_err(|cause| StepError::Poison { offset: delivery.offset, cause })?;
        }
        let changes = Changes {
            workspace: quotes.rows().collect(),
            operations: orders.rows().collect(),
            tasks: quotes.tasks().chain(orders.tasks()).collect(),
            timeline: quotes.timeline().iter().chain(orders.timeline()).collect(),
            consumer: CONSUMER,
            progress: progress(batch),
        };
        Ok(rows::save(tx, &changes).await?)
    }
}

fn envelope_of(delivery: &Delivery) -> Option<&EventEnvelope> {
    match &delivery.record {
        Record::Event(envelope, _) => Some(envelope),
        _ => None,
    }
}

/// How far the batch goes in each partition.
fn progress<'a>(batch: &[&'a Delivery]) -> BTreeMap<(&'a str, i32), OffsetDateTime> {
    let reached = |delivery: &'a Delivery| {
        Some(((delivery.topic.as_str(), delivery.partition), envelope_of(delivery)?.occurred_at.into_inner()))
    };
    batch.iter().copied().filter_map(reached).collect()
}

/// The aggregates of that type in the batch.
fn keys(batch: &[&Delivery], aggregate: AggregateType) -> Vec<AggregateKey> {
    let envelopes = batch.iter().copied().filter_map(envelope_of).filter(|e| e.aggregate_type == aggregate);
    distinct(envelopes.map(|e| (e.tenant_id.clone(), e.aggregate_id.clone())))
}
