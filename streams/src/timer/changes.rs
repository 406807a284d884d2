//! What a batch of decisions changes of the quotes' timers: set with the end of validity, cleared when the quote
//! is accepted or has ended.

use crate::aggregate::Step;
use cpq_domain::quote::{Quote, QuoteEvent};
use cpq_state_stores::aggregates::AggregateKey;
use cpq_state_stores::timers::{self, Timer};
use cpq_state_stores::{StoreError, Tx};
use std::collections::HashMap;

/// The last word of the batch for each quote: its timer, or that it has none any more.
#[derive(Default)]
pub struct TimerChanges(HashMap<AggregateKey, Option<Timer>>);

impl TimerChanges {
    /// Notes a transition that moves the time at which the quote ends by itself.
    pub fn collect(&mut self, step: &Step<Quote, QuoteEvent>) {
        let quote = step.after;
        let due = quote.expires_at();
        if due == step.before.and_then(Quote::expires_at) {
            return;
        }
        let key = (quote.tenant_id.clone(), quote.quote_id.to_string());
        let timer = due.map(|due_at| Timer {
            tenant_id: quote.tenant_id.clone(),
            quote_id: quote.quote_id.clone(),
            due_at,
            correlation_id: step.meta.correlation_id.clone(),
            causation_id: step.meta.command_id.to_string(),
        });
        self.0.insert(key, timer);
    }

    /// Whether a timer is set that the keeper may not sleep past.
    pub fn sets_any(&self) -> bool {
        self.0.values().any(Option::is_some)
    }

    pub async fn write(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let set: Vec<&Timer> = self.0.values().flatten().collect();
        let cleared: Vec<&AggregateKey> = self.0.iter().filter(|(_, t)| t.is_none()).map(|(key, _)| key).collect();
        timers::set(tx, &set).await?;
        timers::clear(tx, &cleared).await
    }
}
