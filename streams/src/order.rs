//! The order processor: the only place that decides about orders.

use crate::aggregate::{Aggregate, Incoming, Step, distinct};
use async_trait::async_trait;
use cpq_avro::{AggregateType, Command, Event, topics};
use cpq_domain::command::Decision;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{OrderId, StepId};
use cpq_domain::moment::Moment;
use cpq_domain::order::view::OrderView;
use cpq_domain::order::{self, Order, OrderCommand, OrderEvent};
use cpq_domain::rejection::Rejection;
use cpq_state_stores::aggregates::{self, AggregateKey, Heads, OrderRow};
use cpq_state_stores::evidence::{self, OrderEvidence, TokenHolder};
use cpq_state_stores::{StoreError, Tx};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Orders. Needs nothing but its state and the orders' tokens.
#[derive(Default)]
pub struct Orders;

#[async_trait]
impl Aggregate for Orders {
    type State = Order;
    type Command = OrderCommand;
    type Event = OrderEvent;
    type References = HashMap<AggregateKey, TokenHolder>;
    type Evidence = OrderEvidence;

    const CONSUMER: &'static str = "order";
    const SENDER: &'static str = "cpq-streams/order";
    const TYPE: AggregateType = AggregateType::Order;
    const HEADS: Heads = Heads::Orders;
    const COMMANDS: &'static [&'static str] = &[topics::ORDER_COMMANDS];
    const EVENTS_TOPIC: &'static str = topics::ORDER_EVENTS;
    const STATE_TOPIC: &'static str = topics::ORDER_STATE;
    const STATE_RECORD: &'static str = "cpq.order.OrderState";

    fn accepts(command: Command) -> Option<OrderCommand> {
        match command {
            Command::Order(command) => Some(command),
            _ => None,
        }
    }
    fn settles(_: &OrderCommand) -> Option<&str> {
        None
    }
    fn command_name(command: &OrderCommand) -> &'static str {
        command.name()
    }

    async fn references(
        &self,
        tx: &mut Tx,
        commands: &[Incoming<OrderCommand>],
        _: &HashMap<AggregateKey, Order>,
    ) -> Result<Self::References, StoreError> {
        let cancelled = commands.iter().filter(|c| matches!(c.command, OrderCommand::CancelOrder(_)));
        evidence::order_tokens(tx, &distinct(cancelled.map(|c| c.key.clone()))).await
    }

    /// A cancellation that the order would grant must also win the order's token; where a step has claimed it
    /// in the meantime, the command is judged again in that light.
    async fn decide(
        &self,
        tx: &mut Tx,
        tokens: &mut Self::References,
        state: Option<&Order>,
        incoming: &Incoming<OrderCommand>,
        now: Moment,
    ) -> Result<Result<Decision<OrderEvent, FollowUp>, Rejection>, StoreError> {
        let judge = |tokens: &Self::References| {
            let point_of_no_return = match tokens.get(&incoming.key) {
                Some(TokenHolder::Step(step)) => Some(step),
                _ => None,
            };
            order::decide(state, &incoming.command, &context(incoming, now, point_of_no_return))
        };
        let decision = judge(tokens);
        if !requests_cancellation(&decision) {
            return Ok(decision);
        }
        let order_id = OrderId::new(incoming.key.1.as_str());
        let holder = evidence::claim_order_token(tx, &incoming.key.0, &order_id, &TokenHolder::Cancellation).await?;
        tokens.insert(incoming.key.clone(), holder);
        Ok(judge(tokens))
    }

    fn evolve(state: Option<Order>, key: &AggregateKey, event: &OrderEvent, at: Moment) -> Option<Order> {
        order::evolve(state, &key.0, &OrderId::new(key.1.as_str()), event, at)
    }
    fn react(event: &OrderEvent, after: &Order) -> Vec<FollowUp> {
        order::react(event, after)
    }
    fn event_name(event: &OrderEvent) -> &'static str {
        event.name()
    }
    fn to_wire(event: OrderEvent) -> Event {
        Event::Order(event)
    }
    fn status(state: &Order) -> &'static str {
        state.status().as_str()
    }
    fn revision(state: &Order) -> u32 {
        state.revision
    }
    fn sequence(state: &Order) -> u64 {
        state.sequence
    }
    fn state_record(state: &Order, _: Moment) -> Value {
        let mut record = json!(OrderView::of(state, None));
        record["aggregateSequence"] = json!(state.sequence);
        record
    }

    fn collect(evidence: &mut OrderEvidence, step: &Step<Order, OrderEvent>) {
        collect(evidence, step);
    }

    async fn save(&self, tx: &mut Tx, states: Vec<&Order>, evidence: OrderEvidence) -> Result<(), StoreError> {
        let rows = states.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
        aggregates::save_orders(tx, &rows, &evidence).await
    }
}

fn context<'a>(
    incoming: &'a Incoming<OrderCommand>,
    now: Moment,
    point_of_no_return: Option<&'a StepId>,
) -> order::Context<'a> {
    order::Context { meta: &incoming.meta, now, point_of_no_return }
}

fn requests_cancellation(decision: &Result<Decision<OrderEvent, FollowUp>, Rejection>) -> bool {
    let Ok(Decision::Applied { events, .. }) = decision else { return false };
    events.iter().any(|event| matches!(event, OrderEvent::OrderCancellationRequested(_)))
}

fn row(order: &Order) -> Result<OrderRow, StoreError> {
    Ok(OrderRow {
        tenant_id: order.tenant_id.to_string(),
        order_id: order.order_id.to_string(),
        quote_id: order.snapshot.quote_id.to_string(),
        quote_revision: order.snapshot.quote_revision,
        revision: order.revision,
        sequence: order.sequence,
        status: order.status().as_str(),
        customer_account_id: order.snapshot.customer_account_id.to_string(),
        state: serde_json::to_string(order).map_err(|e| StoreError::corrupt("order state", e))?,
        created_at: order.created_at.into_inner(),
        updated_at: order.updated_at.into_inner(),
    })
}

fn collect(evidence: &mut OrderEvidence, step: &Step<Order, OrderEvent>) {
    let order = step.after;
    match step.event {
        OrderEvent::OrderCreated(e) => {
            for (position, line) in e.order.lines.iter().enumerate() {
                evidence.lines.push(json!({
                    "tenant_id": order.tenant_id, "order_id": order.order_id, "line_number": line.line_number,
                    "position": position, "parent_line_number": line.parent_line_number, "action": line.action,
                    "product_offering_id": line.product_offering_id,
                    "product_offering_version": line.product_offering_version, "quantity": line.quantity,
                    "snapshot": line,
                }));
            }
        }
        OrderEvent::OrderFalloutRaised(_) | OrderEvent::OrderFalloutResolved(_) => {
            let known = step.before.map(|before| before.fallout.as_slice()).unwrap_or_default();
            for case in order.fallout.iter().filter(|case| !known.contains(case)) {
                let row = json!({
                    "tenant_id": order.tenant_id, "fallout_id": case.fallout_id, "order_id": order.order_id,
                    "line_number": case.line_number, "step_id": case.step_id, "reason_code": case.reason_code,
                    "detail": case.detail, "status": case.status, "raised_at": case.raised_at,
                    "resolution": case.resolution, "resolved_by": case.resolved_by, "resolved_at": case.resolved_at,
                });
                evidence.fallout.insert(case.fallout_id.to_string(), row);
            }
        }
        _ => {}
    }
}
