//! Plays order commands in the tables' language.

use crate::quotes::{Run as QuoteRun, order_id, tenant_id};
use crate::world::{Line, describe};
use cpq_domain::command::Decision;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::StepId;
use cpq_domain::moment::Moment;
use cpq_domain::order::command::*;
use cpq_domain::order::snapshot::OrderSnapshot;
use cpq_domain::order::{self, Context, Order, OrderCommand, OrderEvent};
use cpq_domain::quote::QuoteEvent;
use cpq_domain::rejection::Rejection;
use std::sync::LazyLock;

pub type Decided = Result<Decision<OrderEvent, FollowUp>, Rejection>;

/// How each given state comes about: from which, by which commands.
const GIVEN: &[(&str, &str, &str)] = &[
    ("created", "nothing", "quotes create"),
    ("in-progress", "created", "bridge fulfilment-started"),
    ("running", "in-progress", "bridge started"),
    ("unknown", "running", "bridge unknown"),
    ("rejected", "running", "bridge rejected"),
    ("failed", "running", "bridge failed"),
    ("unsettled", "unknown", "bridge failed"),
    ("retried", "failed", "bridge started attempt=2"),
    ("reserved", "running", "bridge completed"),
    (
        "billing",
        "reserved",
        "bridge completed step=1.1:RESERVE_INVENTORY; bridge completed step=1:ACTIVATE_SERVICE; \
         bridge started step=1:START_BILLING",
    ),
    ("completed", "billing", "bridge completed step=1:START_BILLING"),
    ("cancelling", "reserved", "omar cancel"),
    ("cancelling-before-start", "created", "omar cancel"),
    ("cancelling-while-running", "running", "omar cancel"),
    ("cancelling-a-fallout", "rejected", "omar cancel"),
    ("compensated", "cancelling", "bridge compensated"),
    ("compensation-failed", "cancelling", "bridge compensation-failed"),
    ("cancelled", "compensated", "bridge fulfilment-cancelled"),
    ("without-steps", "nothing", "quotes create steps=none"),
];

/// What an accepted quote has sold: a line of three steps, and a child of one.
static SOLD: LazyLock<OrderSnapshot> = LazyLock::new(|| {
    let accepted = QuoteRun::given("accepted").log.pop();
    let Some((QuoteEvent::QuoteAccepted(accepted), _)) = accepted else { panic!("the quote is not accepted") };
    accepted.order
});

pub fn sold(line: &Line) -> OrderSnapshot {
    let mut order = SOLD.clone();
    if line.option("steps") == Some("none") {
        order.lines.iter_mut().for_each(|line| line.fulfilment.clear());
    }
    if let Some(hash) = line.option("acceptance") {
        order.acceptance_hash = hash.to_owned();
    }
    order
}

/// An order with the events that made it.
#[derive(Clone, Default)]
pub struct Run {
    pub order: Option<Order>,
    pub log: Vec<(OrderEvent, Moment)>,
}

impl Run {
    /// The order in the given state.
    pub fn given(state: &str) -> Self {
        if state == "nothing" {
            return Self::default();
        }
        let (_, before, commands) =
            GIVEN.iter().find(|(name, ..)| *name == state).unwrap_or_else(|| panic!("no such state: {state}"));
        let mut run = Self::given(before);
        for command in commands.split(';') {
            let events = run.log.len();
            let outcome = run.play(command);
            assert!(run.log.len() > events, "{state}: {command} → {outcome}");
        }
        run
    }

    /// Plays a line; the outcome is `STATUS r<revision>: <events>`, or the code of the refusal.
    pub fn play(&mut self, text: &str) -> String {
        let line = Line::parse(text);
        let decision = self.judge(&line, &self.command(&line));
        self.take(&decision, line.now());
        describe(&decision, OrderEvent::name).map_or_else(
            |refusal| refusal,
            |events| {
                let order = self.order.as_ref().unwrap();
                format!("{} r{}: {events}", order.status(), order.revision)
            },
        )
    }

    pub fn take(&mut self, decision: &Decided, at: Moment) {
        if let Ok(Decision::Applied { events, .. }) = decision {
            for event in events {
                self.order = order::evolve(self.order.take(), &tenant_id(), &order_id(), event, at);
                self.log.push((event.clone(), at));
            }
        }
    }

    pub fn judge(&self, line: &Line, command: &OrderCommand) -> Decided {
        let meta = line.meta();
        let token = line.option("token").map(StepId::from);
        let context = Context { meta: &meta, now: line.now(), point_of_no_return: token.as_ref() };
        order::decide(self.order.as_ref(), command, &context)
    }

    pub fn command(&self, line: &Line) -> OrderCommand {
        use OrderCommand as C;
        let step_id = StepId::from(line.option("step").unwrap_or("1:RESERVE_INVENTORY"));
        let detail = line.option("detail").unwrap_or("no-stock").to_owned();
        let external_reference = line.option("reference").unwrap_or("ext-1").to_owned();
        let plan_version = line.number("plan").unwrap_or(1);
        match line.verb.as_str() {
            "create" => C::CreateOrder(CreateOrder { order: sold(line) }),
            "cancel" => C::CancelOrder(CancelOrder {
                order_revision: line
                    .number("rev")
                    .unwrap_or_else(|| self.order.as_ref().map_or(1, |order| order.revision)),
                reason_code: "CUSTOMER_REQUEST".to_owned(),
                comment: None,
            }),
            "fulfilment-started" => C::RecordFulfilmentStarted(RecordFulfilmentStarted {
                plan_version,
                process_instance_id: "proc-2".to_owned(),
            }),
            "started" => {
                C::RecordStepStarted(RecordStepStarted { step_id, attempt: line.number("attempt").unwrap_or(1) })
            }
            "completed" => C::RecordStepCompleted(RecordStepCompleted { step_id, external_reference }),
            "unknown" => C::RecordStepUnknown(RecordStepUnknown { step_id, detail }),
            "rejected" => {
                C::RecordStepRejected(RecordStepRejected { step_id, code: "OUT_OF_STOCK".to_owned(), detail })
            }
            "failed" => C::RecordStepFailed(RecordStepFailed {
                step_id,
                detail,
                incident_id: line.option("incident").map(str::to_owned),
            }),
            "compensated" => C::RecordStepCompensated(RecordStepCompensated { step_id, external_reference }),
            "compensation-failed" => C::RecordCompensationFailed(RecordCompensationFailed { step_id, detail }),
            "fulfilment-cancelled" => C::RecordFulfilmentCancelled(RecordFulfilmentCancelled { plan_version }),
            other => panic!("no such order command: {other}"),
        }
    }
}

/// Given a state, when a command is played, then this is its outcome.
#[track_caller]
pub fn check(given: &str, command: &str, outcome: &str) {
    pretty_assertions::assert_eq!(Run::given(given).play(command), outcome, "given {given}, {command}");
}
