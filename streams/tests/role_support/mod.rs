//! Deals of two tenants, for the roles that follow the processors of quotes and orders: people and processes
//! command, the product decides, and what it would publish is handed to the role under test.
#![allow(dead_code)]

use crate::aggregate_support::{Sent, World, accept};
use cpq_avro::{AggregateType, Command, Record, topics};
use cpq_domain::approval::ApprovalLevel;
use cpq_domain::command::{ActorType, Claims, Role};
use cpq_domain::ids::{OrderId, TaskId, TenantId};
use cpq_domain::order::Order;
use cpq_domain::quote::Quote;
use cpq_domain::workflow::WorkflowCommand;
use cpq_runtime::processor::Delivery;
use cpq_state_stores::aggregates;
use cpq_state_stores::import::{ApproverRow, CatalogRow, CustomerRow, TenantImport, import_tenant};
use serde_json::{Value, json};
use std::collections::HashSet;
use streams::document::DEFAULT_TEMPLATE_ID;

/// Two tenants with the same people, customers and prices.
pub const ACME: &str = "tenant-acme";
pub const GLOBEX: &str = "tenant-globex";
pub const ACCOUNT: &str = "acct-1";
pub const CUSTOMER: &str = "Northwind";
/// The steps of a line of an order.
pub const STEPS: [&str; 2] = ["1:ACTIVATE_SERVICE", "1:START_BILLING"];

/// Somebody of our own.
const PROCESS: &str = "cpq-test";

/// The tenants' front and back office.
pub struct Office {
    pub world: World,
    /// Commands that led from others and have been decided.
    followed: HashSet<String>,
}

impl Office {
    pub async fn open() -> Self {
        let world = World::new().await;
        for tenant in [ACME, GLOBEX] {
            let mut tx = world.database.db.begin(&[tenant.into()]).await.unwrap();
            import_tenant(&mut tx, &reference_data(tenant)).await.unwrap();
            tx.commit().await.unwrap();
        }
        Self { world, followed: HashSet::new() }
    }

    /// Lets somebody's command be decided, with every command that follows from it.
    pub async fn say(&mut self, tenant: &str, claims: Claims, mut sent: Sent) {
        sent.meta.tenant_id = tenant.into();
        sent.meta.claims = claims;
        self.decide(&sent).await;
        self.follow().await;
    }

    async fn decide(&self, sent: &Sent) {
        let mut tx = self.world.database.db.begin(std::slice::from_ref(&sent.meta.tenant_id)).await.unwrap();
        self.world.apply(&mut tx, sent).await.unwrap();
        tx.commit().await.unwrap();
        if let Some(Err(code)) = self.world.outcome(sent).await {
            panic!("{} on {} was refused: {code}", sent.command.name(), sent.id);
        }
    }

    /// Decides what our own processes have commanded since.
    pub async fn follow(&mut self) {
        loop {
            let mut new = Vec::new();
            for row in self.world.outbox().await {
                let ours = [topics::QUOTE_COMMANDS, topics::ORDER_COMMANDS].contains(&row.topic.as_str());
                if ours && self.followed.insert(row.message_id.clone()) {
                    let record = self.world.decoder.decode(&row.value).await.unwrap();
                    let Record::Command(meta, aggregate_type, id, command) = record else { panic!("{record:?}") };
                    new.push(Sent { meta, aggregate_type, id, command });
                }
            }
            if new.is_empty() {
                return;
            }
            for sent in &new {
                self.decide(sent).await;
            }
        }
    }

    /// From nothing to a submitted quote over five seats; a discount over 10 % needs a manager, over 20 % a
    /// director after the manager.
    pub async fn submitted(&mut self, tenant: &str, quote: &str, discount: &str) {
        self.submitted_for(tenant, quote, "5", 12, discount).await;
    }

    /// The same over so many seats and months; over 100,000 it needs finance beside the director, over 60 months
    /// the lawyers after both.
    pub async fn submitted_for(&mut self, tenant: &str, quote: &str, seats: &str, months: u32, discount: &str) {
        let create =
            json!({"customerAccountId": ACCOUNT, "currency": "USD", "termMonths": months, "priceListId": "standard"});
        let line = json!({"lineNumber": "1", "productOfferingId": "seat", "quantity": seats, "action": "ADD"});
        let configure = json!({"quoteRevision": 1, "lines": [line]});
        let price = json!({"quoteRevision": 2, "quoteDiscount": {"percent": discount, "reasonCode": "STRATEGIC"}});
        for (name, payload) in [("CreateQuote", create), ("ConfigureQuote", configure), ("PriceQuote", price)] {
            self.say(tenant, sales(), Sent::quote(quote, name, payload)).await;
        }
        self.say(tenant, sales(), Sent::quote(quote, "SubmitForApproval", json!({"quoteRevision": 3}))).await;
    }

    /// The engine has taken the approval up.
    pub async fn approval_started(&mut self, tenant: &str, quote: &str) {
        let request = self.quote(tenant, quote).await.approval().unwrap().approval_request_id.clone();
        let payload = json!({"approvalRequestId": request, "processInstanceId": "process-1"});
        self.say(tenant, Claims::system(PROCESS), Sent::quote(quote, "RecordApprovalStarted", payload)).await;
    }

    pub async fn task(&self, tenant: &str, quote: &str, level: ApprovalLevel) -> TaskId {
        let quote = self.quote(tenant, quote).await;
        TaskId::approval(&quote.approval().unwrap().approval_request_id, level.as_str())
    }

    /// `decision`: `APPROVE` or `REJECT`.
    pub async fn complete(&mut self, tenant: &str, quote: &str, who: &str, level: ApprovalLevel, decision: &str) {
        let task = self.task(tenant, quote, level).await;
        let revision = self.quote(tenant, quote).await.revision;
        let payload = json!({
            "taskId": task, "observedQuoteRevision": revision, "decision": decision, "reasonCode": "MY_REASON",
        });
        self.say(tenant, approver(who), Sent::quote(quote, "CompleteTask", payload)).await;
    }

    /// Approved by the manager.
    pub async fn approved(&mut self, tenant: &str, quote: &str) {
        self.submitted(tenant, quote, "12").await;
        self.approval_started(tenant, quote).await;
        self.complete(tenant, quote, "bob", ApprovalLevel::SalesManager, "APPROVE").await;
    }

    /// Asks for the proposal of an approved quote; the request waits for the document role.
    pub async fn proposal_wanted(&mut self, tenant: &str, quote: &str) {
        let revision = self.quote(tenant, quote).await.revision;
        let payload = json!({
            "quoteRevision": revision, "artifactType": "PROPOSAL", "templateId": DEFAULT_TEMPLATE_ID, "templateVersion": "1",
        });
        self.say(tenant, sales(), Sent::quote(quote, "GenerateArtifact", payload)).await;
    }

    /// The proposal as the document role reports it, had it made one.
    pub async fn proposal_made(&mut self, tenant: &str, quote: &str) {
        let mut wanted = None;
        for delivery in self.deliveries(&[topics::WORKFLOW_COMMANDS]).await {
            if let Record::Command(meta, _, _, Command::Workflow(WorkflowCommand::RenderArtifact(render))) =
                delivery.record
                && meta.tenant_id.as_str() == tenant
                && render.quote_id.as_str() == quote
            {
                wanted = Some(render);
            }
        }
        let render = wanted.expect("nobody has asked for a proposal");
        let artifact = json!({
            "artifactId": render.artifact_id, "quoteRevision": render.quote_revision, "artifactType": "PROPOSAL",
            "templateId": render.template_id, "templateVersion": "1", "inputHash": "sha256:0", "contentHash": "sha256:0",
            "storageUri": "file:///none", "sizeBytes": 1, "generatedBy": "alice", "generatedAt": "2026-11-01T00:00:00Z",
        });
        let report = Sent::quote(quote, "RecordArtifact", json!({"artifact": artifact}));
        self.say(tenant, Claims::system(PROCESS), report).await;
    }

    /// Approved, presented and accepted: the order exists. Gives its id.
    pub async fn accepted(&mut self, tenant: &str, quote: &str) -> OrderId {
        self.accepted_by(tenant, quote, "Nora").await
    }

    /// The same, accepted by somebody of this name.
    pub async fn accepted_by(&mut self, tenant: &str, quote: &str, name: &str) -> OrderId {
        self.approved(tenant, quote).await;
        self.proposal_wanted(tenant, quote).await;
        self.proposal_made(tenant, quote).await;
        let seen = self.quote(tenant, quote).await;
        let mut acceptance = accept(&seen);
        let Command::Quote(cpq_domain::quote::QuoteCommand::AcceptQuote(words)) = &mut acceptance.command else {
            panic!("{:?}", acceptance.command)
        };
        words.accepted_by = name.to_owned();
        words.acceptance_evidence.artifact_id = seen.artifact().unwrap().artifact_id.clone();
        self.say(tenant, sales(), acceptance).await;
        self.quote(tenant, quote).await.acceptance().unwrap().order_id.clone()
    }

    /// Somebody's command on an order.
    pub async fn command_order(&mut self, tenant: &str, claims: Claims, order: &OrderId, name: &str, payload: Value) {
        let command = Command::Order(serde_json::from_value(json!({"type": name, "payload": payload})).unwrap());
        let sent = Sent::quote("", "RequestOrder", json!({"quoteRevision": 0}));
        let sent = Sent { aggregate_type: AggregateType::Order, id: order.to_string(), command, ..sent };
        self.say(tenant, claims, sent).await;
    }

    /// A report of the bridge about an order.
    pub async fn report(&mut self, tenant: &str, order: &OrderId, name: &str, payload: Value) {
        self.command_order(tenant, Claims::system(PROCESS), order, name, payload).await;
    }

    pub async fn fulfilment_started(&mut self, tenant: &str, order: &OrderId) {
        let payload = json!({"planVersion": 1, "processInstanceId": "process-2"});
        self.report(tenant, order, "RecordFulfilmentStarted", payload).await;
    }

    pub async fn step_done(&mut self, tenant: &str, order: &OrderId, step: &str) {
        self.report(tenant, order, "RecordStepStarted", json!({"stepId": step, "attempt": 1})).await;
        self.report(tenant, order, "RecordStepCompleted", json!({"stepId": step, "externalReference": "ref"})).await;
    }

    /// The whole way of a deal. Gives the order's id.
    pub async fn fulfilled(&mut self, tenant: &str, quote: &str) -> OrderId {
        let order = self.accepted(tenant, quote).await;
        self.fulfilment_started(tenant, &order).await;
        for step in STEPS {
            self.step_done(tenant, &order, step).await;
        }
        order
    }

    pub async fn quote(&self, tenant: &str, id: &str) -> Quote {
        let key = (TenantId::from(tenant), id.to_owned());
        let mut tx = self.world.database.db.begin(&[tenant.into()]).await.unwrap();
        aggregates::load_quotes(&mut tx, std::slice::from_ref(&key)).await.unwrap().remove(&key).unwrap()
    }

    pub async fn order(&self, tenant: &str, id: &OrderId) -> Order {
        let key = (TenantId::from(tenant), id.to_string());
        let mut tx = self.world.database.db.begin(&[tenant.into()]).await.unwrap();
        aggregates::load_orders(&mut tx, std::slice::from_ref(&key)).await.unwrap().remove(&key).unwrap()
    }

    /// What waits in the outbox for these topics, as their consumers get it: one topic after the other, each in
    /// its order.
    pub async fn deliveries(&self, topics: &[&str]) -> Vec<Delivery> {
        let rows = self.world.outbox().await;
        let mut deliveries = Vec::new();
        for topic in topics {
            for (offset, row) in rows.iter().filter(|row| row.topic == *topic).enumerate() {
                deliveries.push(Delivery {
                    topic: row.topic.clone(),
                    partition: 0,
                    offset: offset as i64,
                    key: row.message_key.clone(),
                    record: self.world.decoder.decode(&row.value).await.unwrap(),
                });
            }
        }
        deliveries
    }

    /// All events of quotes and orders.
    pub async fn events(&self) -> Vec<Delivery> {
        self.deliveries(&[topics::QUOTE_EVENTS, topics::ORDER_EVENTS]).await
    }
}

pub fn person(name: &str, role: Role) -> Claims {
    let (actor_type, customer_accounts) = (ActorType::User, vec!["*".to_owned()]);
    Claims { actor_id: name.into(), actor_type, roles: vec![role], customer_accounts }
}

/// Who owns the customers and makes the quotes.
pub fn sales() -> Claims {
    person("alice", Role::SalesRep)
}

pub fn approver(name: &str) -> Claims {
    person(name, Role::Approver)
}

fn authority(actor: &str, roles: &[ApprovalLevel], valid_to: Option<&str>) -> ApproverRow {
    ApproverRow {
        actor_id: actor.to_owned(),
        entry: 1,
        roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
        max_discount_percent: "50".to_owned(),
        max_total_amount: "1000000".to_owned(),
        currency: "USD".to_owned(),
        valid_from: "2020-01-01T00:00:00Z".to_owned(),
        valid_to: valid_to.map(str::to_owned),
    }
}

fn reference_data(tenant: &str) -> TenantImport {
    use ApprovalLevel::{Finance, SalesDirector, SalesManager};
    let catalog = json!({
        "catalogVersion": "1",
        "offerings": [{
            "id": "seat", "version": "1", "name": "Seat", "segments": [], "sellableFrom": "2020-01-01T00:00:00Z",
            "sellableTo": null, "taxCategory": "STANDARD", "fulfilment": ["ACTIVATE_SERVICE", "START_BILLING"],
        }],
        "prices": [{
            "id": "seat-price", "offeringId": "seat", "priceListId": "standard", "currency": "USD", "segment": null,
            "kind": "RECURRING", "model": "PER_UNIT", "amount": "10.00", "unitCost": "1.00",
            "validFrom": "2020-01-01T00:00:00Z", "validTo": null,
        }],
    });
    TenantImport {
        tenant_id: tenant.to_owned(),
        document: json!({
            "tenantId": tenant, "name": tenant, "defaultCurrency": "USD",
            "taxRates": [{"taxCategory": "STANDARD", "jurisdiction": "US-CA", "percent": "8.25"}],
        }),
        customers: vec![CustomerRow {
            customer_account_id: ACCOUNT.to_owned(),
            name: CUSTOMER.to_owned(),
            segment: "ENTERPRISE".to_owned(),
            jurisdiction: "US-CA".to_owned(),
            sales_owner_id: "alice".to_owned(),
        }],
        approvers: vec![
            authority("bob", &[SalesManager], None),
            authority("carol", &[SalesManager, SalesDirector], None),
            authority("dave", &[Finance], None),
            authority("erik", &[SalesManager], Some("2021-01-01T00:00:00Z")),
        ],
        catalog: CatalogRow {
            catalog_version: "1".to_owned(),
            content_hash: cpq_domain::canonical::hash(&catalog),
            document: catalog,
        },
        approval_policy: None,
        published_by: "test".to_owned(),
    }
}
