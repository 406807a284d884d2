//! The notification role: writes what is to be sent with the event that calls for it, and sends it.
//! Who is told what is in `messages`, how it leaves is in `sender`.

mod messages;
pub mod sender;

use async_trait::async_trait;
use cpq_avro::{Event, Record, topics};
use cpq_domain::workflow::WorkflowEvent;
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_state_stores::{Tx, notifications};

pub use sender::{Sender, Sink};

/// The name under which the sender is woken.
pub const WAKE: &str = "notification";

/// The notification processor.
#[derive(Default)]
pub struct Notifier;

#[async_trait]
impl Processor for Notifier {
    fn consumer(&self) -> &'static str {
        "notification"
    }
    fn topics(&self) -> &'static [&'static str] {
        &[topics::QUOTE_EVENTS, topics::ORDER_EVENTS, topics::WORKFLOW_EVENTS]
    }

    fn concerns(&self, record: &Record) -> bool {
        match record {
            Record::Event(envelope, Event::Quote(event)) => !messages::quote(envelope, event).is_empty(),
            Record::Event(envelope, Event::Order(event)) => !messages::order(envelope, event).is_empty(),
            Record::Event(_, Event::Workflow(event)) => matches!(event, WorkflowEvent::UserTaskCreated(_)),
            _ => true,
        }
    }

    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError> {
        let mut rows = Vec::new();
        for delivery in batch {
            match &delivery.record {
                Record::Event(envelope, Event::Quote(event)) => rows.extend(messages::quote(envelope, event)),
                Record::Event(envelope, Event::Order(event)) => rows.extend(messages::order(envelope, event)),
                Record::Event(envelope, Event::Workflow(event)) => {
                    rows.extend(messages::workflow(tx, envelope, event).await?);
                }
                _ => return Err(StepError::Poison { offset: delivery.offset, cause: "not an event".to_owned() }),
            }
        }
        if !rows.is_empty() {
            notifications::insert(tx, &rows).await?;
            after.wake.push(WAKE);
        }
        Ok(())
    }
}
