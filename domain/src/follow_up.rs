//! A command that one aggregate's decision owes another process: committed with the event or decision that
//! causes it, sent afterwards. Which commands these are is each aggregate's `react`.

use crate::ids::{OrderId, QuoteId};
use crate::order::OrderCommand;
use crate::quote::QuoteCommand;
use crate::workflow::WorkflowCommand;

/// A command to a quote, to an order, or to the processes beside them.
#[derive(Clone, Debug, PartialEq)]
pub enum FollowUp {
    Quote(QuoteId, QuoteCommand),
    Order(OrderId, OrderCommand),
    Workflow(WorkflowCommand),
}
