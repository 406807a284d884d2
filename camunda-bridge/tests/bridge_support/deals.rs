//! Approvals and orders for tests, and the order processor's part: every order command in the outbox is decided
//! by the domain, and what follows from it goes back to the bridge.

use super::{Bench, PATIENCE, now};
use cpq_avro::{Command, Record, topics};
use cpq_domain::approval::{ApprovalLevel, PlannedStep};
use cpq_domain::command::{Claims, CommandMeta, Decision};
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{ApprovalRequestId, CommandId, CorrelationId, OrderId, QuoteId, StepId};
use cpq_domain::order::command::{CancelOrder, CreateOrder};
use cpq_domain::order::snapshot::OrderSnapshot;
use cpq_domain::order::{self, Context, Order, OrderCommand, OrderStatus, StepStatus};
use cpq_domain::rejection::Rejection;
use cpq_domain::workflow::{StartApproval, WorkflowCommand};
use cpq_state_stores::aggregates::{self, OrderRow};
use cpq_state_stores::evidence::OrderEvidence;
use cpq_state_stores::evidence::{self, TokenHolder};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A number that no other order or quote of the stack has.
fn number() -> String {
    let random = uuid::Uuid::new_v4().as_u128() % 1_000_000_000_000;
    format!("2026-{random:012}")
}

/// An approval with these steps: level and order.
pub fn approval(steps: &[(ApprovalLevel, u32)]) -> StartApproval {
    let quote_id = QuoteId::new(format!("Q-{}", number()));
    let step = |(level, order): &(ApprovalLevel, u32)| PlannedStep {
        level: *level,
        order: *order,
        reasons: vec!["DISCOUNT_OVER_10".to_owned()],
        sla_hours: 24,
        escalate_to: ApprovalLevel::SalesDirector,
    };
    StartApproval {
        approval_request_id: ApprovalRequestId::of(&quote_id, 4),
        quote_id,
        quote_revision: 4,
        steps: steps.iter().map(step).collect(),
    }
}

/// A line of an order: number, parent, steps.
pub type Line<'a> = (&'a str, Option<&'a str>, &'a [&'a str]);

fn snapshot(lines: &[Line]) -> OrderSnapshot {
    let line = |(number, parent, steps): &Line| -> Value {
        json!({
            "lineNumber": number, "parentLineNumber": parent, "action": "ADD", "productOfferingId": "fiber-1g", "productOfferingName": "Fiber 1 Gbit/s",
            "productOfferingVersion": "1", "quantity": "2", "characteristics": {"sla": "GOLD"}, "assetId": null,
            "requestedDate": null, "fulfilment": steps, "charges": [],
        })
    };
    serde_json::from_value(json!({
        "quoteId": format!("Q-{}", number()), "quoteRevision": 5, "customerAccountId": "acct-1001",
        "customerName": "Northwind", "salesOwnerId": "alice", "currency": "USD", "termMonths": 36,
        "totalAmount": "100.00", "oneTimeAmount": "0.00", "recurringMonthlyAmount": "0.00", "taxAmount": "0.00",
        "totalWithTax": "100.00", "priceResultId": "price-1", "acceptanceHash": "sha256:0", "termsAccepted": true,
        "lines": lines.iter().map(line).collect::<Vec<_>>(),
    }))
    .unwrap()
}

/// All three steps.
pub const ALL_STEPS: &[&str] = &["RESERVE_INVENTORY", "ACTIVATE_SERVICE", "START_BILLING"];

/// A [`Deal`] without its bench.
pub struct Suspended {
    order_id: OrderId,
    key: String,
    decided: usize,
    order: Option<Order>,
    events: Vec<&'static str>,
}

impl Suspended {
    pub fn resume(self, bench: &Bench) -> Deal<'_> {
        let Self { order_id, key, decided, order, events } = self;
        Deal { bench, order_id, key, decided, order, events }
    }
}

/// An order under test, and how many of the outbox's order commands it has decided.
pub struct Deal<'a> {
    pub bench: &'a Bench,
    pub order_id: OrderId,
    /// Business key of its fulfilment.
    pub key: String,
    decided: usize,
    order: Option<Order>,
    /// Names of its events so far.
    pub events: Vec<&'static str>,
}

impl<'a> Deal<'a> {
    /// Creates the order, which asks for its fulfilment.
    pub async fn create(bench: &'a Bench, lines: &[Line<'_>]) -> Self {
        let order_id = OrderId::new(format!("O-{}", number()));
        let key = format!("{order_id}:1");
        let mut deal = Self { bench, order_id, key, decided: 0, order: None, events: Vec::new() };
        let command = OrderCommand::CreateOrder(CreateOrder { order: snapshot(lines) });
        deal.decide(Claims::system("test"), command).await.unwrap();
        deal
    }

    /// Lets go of the bench, so that its bridges can be killed.
    pub fn suspend(self) -> Suspended {
        let Self { order_id, key, decided, order, events, .. } = self;
        Suspended { order_id, key, decided, order, events }
    }

    pub fn order(&self) -> &Order {
        self.order.as_ref().unwrap()
    }

    pub fn step(&self, id: &str) -> StepStatus {
        self.order().step(&StepId::from(id)).unwrap().1.status
    }

    /// Asks for the cancellation, as the order processor judges it: with the order's token.
    pub async fn cancel(&mut self) -> Result<(), Rejection> {
        self.catch_up().await;
        let order_revision = self.order().revision;
        let cancel = CancelOrder { order_revision, reason_code: "CUSTOMER".to_owned(), comment: None };
        let mut claims = Claims::system("carol");
        claims.roles = vec![cpq_domain::command::Role::OrderManager];
        self.decide(claims, OrderCommand::CancelOrder(cancel)).await
    }

    async fn decide(&mut self, claims: Claims, command: OrderCommand) -> Result<(), Rejection> {
        let bench = self.bench;
        let meta = CommandMeta {
            command_id: CommandId::new(ulid::Ulid::generate().to_string()),
            tenant_id: bench.tenant.clone(),
            claims,
            correlation_id: CorrelationId::from("corr-test"),
            causation_id: None,
            received_at: now(),
            if_match: None,
            traceparent: None,
        };
        let mut tx = bench.bridge.db.begin(std::slice::from_ref(&bench.tenant)).await.unwrap();
        let mut token = None;
        if matches!(command, OrderCommand::CancelOrder(_)) {
            let wanted = TokenHolder::Cancellation;
            let holder = evidence::claim_order_token(&mut tx, &bench.tenant, &self.order_id, &wanted).await.unwrap();
            if let TokenHolder::Step(step) = holder {
                token = Some(step);
            }
        }
        let context = Context { meta: &meta, now: now(), point_of_no_return: token.as_ref() };
        let decision = order::decide(self.order.as_ref(), &command, &context)?;
        let Decision::Applied { events, .. } = decision else { panic!("orders defer nothing") };
        let mut follow_ups = Vec::new();
        for event in &events {
            let state = self.order.take();
            self.order = order::evolve(state, &bench.tenant, &self.order_id, event, now());
            follow_ups.extend(order::react(event, self.order()));
            self.events.push(event.name());
        }
        aggregates::save_orders(&mut tx, &[row(self.order())], &OrderEvidence::default()).await.unwrap();
        tx.commit().await.unwrap();
        for follow_up in follow_ups {
            if let FollowUp::Workflow(command) = follow_up {
                bench.command(command).await;
            }
        }
        Ok(())
    }

    /// Decides every command of this order that has come since.
    pub async fn catch_up(&mut self) {
        let records = self.bench.outbox(topics::ORDER_COMMANDS).await;
        let new: Vec<Record> = records.into_iter().skip(self.decided).collect();
        for record in new {
            self.decided += 1;
            if let Record::Command(meta, _, id, Command::Order(command)) = record
                && id == self.order_id.as_str()
            {
                self.decide(meta.claims, command).await.unwrap();
            }
        }
    }

    /// Decides what comes until `wanted` holds.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        loop {
            self.catch_up().await;
            if wanted(self) {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "it never happened: {what}; {:#?}\n{:?}",
                self.order().lines,
                self.events
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until_status(&mut self, status: OrderStatus) {
        self.until(&format!("the order is {status}"), |deal| deal.order().status() == status).await;
    }

    /// What a simulator has done for this order: step, effect and how often.
    pub async fn effects(&self, system: &str) -> Vec<(String, String, u64)> {
        let url = format!("{}/{system}/effects?orderId={}", self.bench.simulators.base_url(), self.order_id);
        let answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|i| (text(i, "stepId"), text(i, "effect"), i["count"].as_u64().unwrap())).collect()
    }
}

impl Bench {
    /// Sets a simulator's faults.
    pub async fn faults(&self, system: &str, rules: Value) {
        let url = format!("{}/{system}/faults", self.simulators.base_url());
        let answer = reqwest::Client::new().put(url).json(&rules).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
}

/// The command that asks for an approval's process.
pub fn start(approval: &StartApproval) -> WorkflowCommand {
    WorkflowCommand::StartApproval(approval.clone())
}

fn row(order: &Order) -> OrderRow {
    OrderRow {
        tenant_id: order.tenant_id.to_string(),
        order_id: order.order_id.to_string(),
        quote_id: order.snapshot.quote_id.to_string(),
        quote_revision: order.snapshot.quote_revision,
        revision: order.revision,
        sequence: order.sequence,
        status: order.status().as_str(),
        customer_account_id: order.snapshot.customer_account_id.to_string(),
        state: serde_json::to_string(order).unwrap(),
        created_at: order.created_at.into_inner(),
        updated_at: order.updated_at.into_inner(),
    }
}
