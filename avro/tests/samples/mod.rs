//! One full and, where something is optional, one sparse sample of every command, event and state.
#![allow(dead_code)]

use cpq_avro::{AggregateType, EventEnvelope};
use cpq_domain::command::{Actor, ActorType, Claims, CommandMeta, IfMatch, Role};
use cpq_domain::moment::Moment;
use serde_json::{Value, json};

fn moment(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

pub fn envelope(aggregate_type: AggregateType, id: &str) -> EventEnvelope {
    EventEnvelope {
        event_id: "01JZ1R6S8T7XK4A5Q9ZQ8Y6T4Q".into(),
        event_version: 1,
        occurred_at: moment("2026-11-23T05:40:00.123456Z"),
        tenant_id: "tenant-acme".into(),
        aggregate_type,
        aggregate_id: id.to_owned(),
        aggregate_revision: 4,
        aggregate_sequence: 5_000_000_000,
        correlation_id: "corr-1".into(),
        causation_id: None,
        actor: Actor { actor_id: "alice".into(), actor_type: ActorType::User },
    }
}

pub fn meta(if_match: Option<IfMatch>) -> CommandMeta {
    CommandMeta {
        command_id: "01JZ1R6S8T7XK4A5Q9ZQ8Y6T4Q".into(),
        tenant_id: "tenant-acme".into(),
        claims: Claims {
            actor_id: "alice".into(),
            actor_type: ActorType::User,
            roles: vec![Role::SalesRep, Role::OrderManager],
            customer_accounts: vec!["acct-1001".to_owned()],
        },
        correlation_id: "corr-1".into(),
        causation_id: if_match.is_some().then(|| "01JZ1R6S8T7XK4A5Q9ZQ8Y6T4R".to_owned()),
        received_at: moment("2026-11-23T05:40:00Z"),
        traceparent: if_match.is_some().then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        if_match,
    }
}

fn tagged(name: &str, payload: Value) -> Value {
    json!({"type": name, "payload": payload})
}

fn configured_line() -> Value {
    json!({
        "lineNumber": "1.2", "parentLineNumber": "1", "productOfferingId": "fiber-1g", "productOfferingVersion": "1",
        "productOfferingName": "Fiber 1 Gbit/s", "quantity": "2.5", "action": "ADD",
        "characteristics": {"site": "Zürich", "staticIps": 4, "vip": true, "loss": "0.50"},
        "assetId": null, "requestedDate": "2026-12-01", "taxCategory": "STANDARD",
        "fulfilment": ["RESERVE_INVENTORY", "ACTIVATE_SERVICE"],
    })
}

fn line_request() -> Value {
    json!({
        "lineNumber": "1", "parentLineNumber": null, "productOfferingId": "fiber-1g", "productOfferingVersion": null,
        "quantity": "2", "action": "CHANGE", "characteristics": {"sla": "GOLD"}, "assetId": "asset-1",
        "requestedDate": null,
    })
}

fn price(currency: &str, amount: &str) -> Value {
    json!({
        "policyVersion": "cpq-pricing-1", "currency": currency, "listAmount": amount, "discountAmount": amount,
        "oneTimeAmount": amount, "recurringMonthlyAmount": amount, "totalAmount": amount, "taxAmount": amount,
        "totalWithTax": amount, "effectiveDiscountPercent": "16.60", "marginPercent": "-3.00",
        "lines": [
            {"lineNumber": "1", "kind": "RECURRING", "listAmount": amount, "netAmount": amount, "taxAmount": amount},
            {"lineNumber": "1", "kind": "USAGE", "listAmount": amount, "netAmount": amount, "taxAmount": amount,
             "unitRate": "0.01250"}],
    })
}

/// Discounts as a client sent them, in digits of the client's own.
fn pricing_request() -> Value {
    json!({
        "quoteDiscount": {"percent": "2.5", "reasonCode": "VOLUME"},
        "lineDiscounts": [{"lineNumber": "1", "percent": "5", "reasonCode": "LOYALTY"}],
        "lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "449", "reasonCode": "MATCH"}],
    })
}

fn offer(currency: &str, amount: &str) -> Value {
    json!({
        "priceResultId": "price-2026-000123-r3", "price": price(currency, amount), "request": pricing_request(),
        "pricingDate": "2026-11-23T05:40:00Z", "pricedAt": "2026-11-23T05:40:00.5Z",
        "freshUntil": "2026-12-23T05:40:00Z", "configurationHash": "sha256:c", "traceHash": "sha256:t",
        "priceHash": "sha256:p",
    })
}

fn planned_step() -> Value {
    json!({"level": "SALES_MANAGER", "order": 1, "reasons": ["DISCOUNT_OVER_10"], "slaHours": 24,
        "escalateTo": "SALES_DIRECTOR"})
}

fn policy(margin: Value) -> Value {
    json!({
        "policyVersion": "approval-policy@sha256:1",
        "inputs": {"effectiveDiscountPercent": "16.64", "totalAmount": "29950.56", "currency": "USD",
            "marginPercent": margin, "termMonths": 36, "segment": "ENTERPRISE", "hasManualOverride": false},
        "matched": [{"ruleId": "r1", "level": "SALES_MANAGER", "order": 1, "reasonCode": "DISCOUNT_OVER_10",
            "slaHours": 24, "escalateTo": "SALES_DIRECTOR"}],
    })
}

fn artifact() -> Value {
    json!({
        "artifactId": "art-2026-000123-r5-0a1b2c3d", "quoteRevision": 5, "artifactType": "PROPOSAL",
        "templateId": "standard", "templateVersion": "1", "inputHash": "sha256:i", "contentHash": "sha256:c",
        "storageUri": "file:///artifacts/a.pdf", "sizeBytes": 48_213, "generatedBy": "alice",
        "generatedAt": "2026-11-23T05:40:00Z",
    })
}

fn evidence() -> Value {
    json!({"method": "EMAIL_CONFIRMATION", "acceptedAt": "2026-11-23T05:00:00Z", "artifactId": "art-1"})
}

fn order_snapshot() -> Value {
    json!({
        "quoteId": "Q-2026-000123", "quoteRevision": 5, "customerAccountId": "acct-1001", "customerName": "Northwind",
        "salesOwnerId": "alice", "currency": "USD", "termMonths": 36, "totalAmount": "29950.56",
        "oneTimeAmount": "0.00", "recurringMonthlyAmount": "831.96", "taxAmount": "2470.92",
        "totalWithTax": "32421.48", "priceResultId": "price-2026-000123-r3", "acceptanceHash": "sha256:a",
        "lines": [{
            "lineNumber": "1", "parentLineNumber": null, "action": "ADD", "productOfferingId": "fiber-1g",
            "productOfferingVersion": "1", "productOfferingName": "Fiber 1 Gbit/s", "quantity": "2",
            "characteristics": {"sla": "GOLD", "staticIps": 0},
            "assetId": null, "requestedDate": null, "fulfilment": ["START_BILLING"],
            "charges": [
                {"kind": "RECURRING", "netAmount": "831.96", "taxAmount": "68.64"},
                {"kind": "USAGE", "netAmount": "0.00", "taxAmount": "0.00", "unitRate": "0.1"}],
        }],
    })
}

pub fn quote_events() -> Vec<Value> {
    let created = |until: Value, reference: Value| {
        json!({"customerAccountId": "acct-1001", "customerName": "Northwind", "salesOwnerId": "alice",
            "currency": "KWD", "termMonths": 36, "validUntil": until, "priceListId": "standard",
            "externalReference": reference, "createdBy": "alice"})
    };
    let submitted = |margin: Value, why: Value| {
        json!({"approvalRequestId": "apr-2026-000123-r4", "requestedBy": "alice", "justification": why,
            "policy": policy(margin), "steps": [planned_step()], "priceHash": "sha256:p"})
    };
    vec![
        tagged("QuoteCreated", created(json!("2026-12-31T23:59:59Z"), json!("CRM-7"))),
        tagged("QuoteCreated", created(Value::Null, Value::Null)),
        tagged(
            "QuoteConfigured",
            json!({"configuration": {"catalogVersion": "2026.11", "segment": "ENTERPRISE",
            "lines": [configured_line()], "configurationHash": "sha256:c"}}),
        ),
        tagged("QuotePriced", json!({"price": offer("USD", "29950.56"), "trace": "{\"lines\":[]}"})),
        tagged("QuotePriced", json!({"price": offer("JPY", "1200000"), "trace": "{}"})),
        tagged("QuotePriced", json!({"price": offer("KWD", "0.000"), "trace": "{}"})),
        tagged("QuoteSubmittedForApproval", submitted(json!("57.92"), json!("Strategic"))),
        tagged("QuoteSubmittedForApproval", submitted(Value::Null, Value::Null)),
        tagged("QuoteApprovalStarted", json!({"approvalRequestId": "apr-1", "processInstanceId": "p1"})),
        tagged(
            "QuoteApprovalStepClaimed",
            json!({"approvalRequestId": "apr-1", "level": "FINANCE", "assignee": "bob"}),
        ),
        tagged(
            "QuoteApprovalStepReleased",
            json!({"approvalRequestId": "apr-1", "level": "FINANCE", "releasedBy": "bob"}),
        ),
        tagged(
            "QuoteApprovalStepDecided",
            json!({"approvalRequestId": "apr-1", "level": "LEGAL", "decision": "APPROVE",
            "decidedBy": "bob", "reasonCode": "OK", "comment": null, "priceHash": "sha256:p",
            "authority": {"actorId": "bob", "role": "LEGAL", "maxDiscountPercent": "20", "maxTotalAmount": "250000",
                "currency": "USD", "validFrom": "2026-01-01T00:00:00Z", "validTo": null}}),
        ),
        tagged(
            "QuoteApprovalEscalated",
            json!({"approvalRequestId": "apr-1", "level": "FINANCE", "escalatedTo": "SALES_DIRECTOR"}),
        ),
        tagged(
            "QuoteApprovalWithdrawn",
            json!({"approvalRequestId": "apr-1", "withdrawnBy": "alice", "reasonCode": null}),
        ),
        tagged(
            "QuoteApproved",
            json!({"approvalRequestId": "apr-1", "requestedBy": "alice", "approvalHash": "sha256:a"}),
        ),
        tagged(
            "QuoteApprovalRejected",
            json!({"approvalRequestId": "apr-1", "requestedBy": "alice", "rejectedBy": "bob",
            "level": "FINANCE", "reasonCode": "MARGIN"}),
        ),
        tagged("QuoteArtifactGenerated", json!({"artifact": artifact()})),
        tagged(
            "QuoteAccepted",
            json!({"acceptedBy": "Jane Roe", "acceptanceEvidence": evidence(), "recordedBy": "alice",
            "acceptedRevision": 5, "artifactHash": "sha256:c", "acceptanceHash": "sha256:a",
            "orderId": "O-2026-000045", "order": order_snapshot()}),
        ),
        tagged("QuoteOrderLinked", json!({"orderId": "O-2026-000045"})),
        tagged("QuoteReopened", json!({"reopenedBy": "alice", "reasonCode": "MORE_SITES"})),
        tagged("QuoteWithdrawn", json!({"withdrawnBy": "alice", "reasonCode": "LOST", "approvalRequestId": "apr-1"})),
        tagged("QuoteWithdrawn", json!({"withdrawnBy": "alice", "reasonCode": null, "approvalRequestId": null})),
        tagged(
            "QuoteExpired",
            json!({"validUntil": "2026-12-31T23:59:59Z", "salesOwnerId": "alice", "approvalRequestId": null}),
        ),
    ]
}

pub fn quote_commands() -> Vec<Value> {
    let decision = json!({"quoteRevision": 4, "taskId": "apr-1.FINANCE", "decision": "REJECT", "reasonCode": "MARGIN",
        "comment": "too low"});
    vec![
        tagged(
            "CreateQuote",
            json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 36,
            "validUntil": null, "priceListId": "standard", "externalReference": null}),
        ),
        tagged("ConfigureQuote", json!({"quoteRevision": 1, "lines": [line_request()]})),
        tagged(
            "PriceQuote",
            json!({"quoteRevision": 2, "pricingDate": "2026-11-23T00:00:00Z",
            "quoteDiscount": {"percent": "2.50", "reasonCode": "VOLUME"},
            "lineDiscounts": [{"lineNumber": "1", "percent": "5", "reasonCode": "LOYALTY"}],
            "lineOverrides": [{"lineNumber": "1", "kind": "ONE_TIME", "unitAmount": "0.10", "reasonCode": "MATCH"}]}),
        ),
        tagged(
            "PriceQuote",
            json!({"quoteRevision": 2, "pricingDate": null, "quoteDiscount": null,
            "lineDiscounts": [], "lineOverrides": []}),
        ),
        tagged("SubmitForApproval", json!({"quoteRevision": 3, "justification": null})),
        tagged("WithdrawApproval", json!({"quoteRevision": 4, "reasonCode": "CHANGE"})),
        tagged("DecideApproval", decision),
        tagged("ClaimTask", json!({"taskId": "apr-1.FINANCE"})),
        tagged("UnclaimTask", json!({"taskId": "apr-1.FINANCE"})),
        tagged(
            "CompleteTask",
            json!({"taskId": "apr-1.FINANCE", "observedQuoteRevision": 4, "decision": "APPROVE",
            "reasonCode": "OK", "comment": null}),
        ),
        tagged(
            "GenerateArtifact",
            json!({"quoteRevision": 5, "artifactType": "PROPOSAL", "templateId": "standard",
            "templateVersion": "1"}),
        ),
        tagged("AcceptQuote", json!({"quoteRevision": 5, "acceptedBy": "Jane Roe", "acceptanceEvidence": evidence()})),
        tagged("RequestOrder", json!({"quoteRevision": 5})),
        tagged("RecordApprovalStarted", json!({"approvalRequestId": "apr-1", "processInstanceId": "p1"})),
        tagged("EscalateApprovalStep", json!({"approvalRequestId": "apr-1", "level": "FINANCE"})),
        tagged("RecordArtifact", json!({"artifact": artifact()})),
        tagged("LinkOrder", json!({"orderId": "O-2026-000045"})),
        tagged("ReopenQuote", json!({"quoteRevision": 4, "reasonCode": "MORE_SITES"})),
        tagged("CloneQuote", json!({"sourceQuoteId": "Q-2026-000001", "quoteRevision": 4, "reasonCode": null})),
        tagged("WithdrawQuote", json!({"quoteRevision": 4, "reasonCode": null})),
        tagged("ExpireQuote", json!({"validUntil": "2026-12-31T23:59:59Z"})),
    ]
}

pub fn order_events() -> Vec<Value> {
    let step = |more: Value| {
        let mut step = json!({"stepId": "1:START_BILLING", "lineNumber": "1"});
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        step
    };
    vec![
        tagged("OrderCreated", json!({"order": order_snapshot(), "planVersion": 1})),
        tagged("OrderFulfilmentStarted", json!({"planVersion": 1, "processInstanceId": "p1"})),
        tagged("OrderStepStarted", step(json!({"stepType": "START_BILLING", "attempt": 1}))),
        tagged("OrderStepCompleted", step(json!({"stepType": "START_BILLING", "externalReference": "b-1"}))),
        tagged("OrderStepOutcomeUnknown", step(json!({"detail": "timed out"}))),
        tagged("OrderStepCompensated", step(json!({"externalReference": "r-1"}))),
        tagged("OrderCompensationFailed", step(json!({"detail": "refused"}))),
        tagged(
            "OrderFalloutRaised",
            step(json!({"falloutId": "fallout-O-2026-000045.1", "reasonCode": "NO_STOCK",
            "detail": "none left", "stepStatus": "REJECTED", "incidentId": null})),
        ),
        tagged("OrderFalloutResolved", json!({"falloutId": "f1", "resolution": "COMPLETED", "resolvedBy": "olga"})),
        tagged("OrderCompleted", json!({"planVersion": 1})),
        tagged(
            "OrderCancellationRequested",
            json!({"planVersion": 1, "reasonCode": "CUSTOMER", "comment": null, "requestedBy": "olga"}),
        ),
        tagged("OrderCancelled", json!({"planVersion": 1})),
    ]
}

pub fn order_commands() -> Vec<Value> {
    let id = "1:START_BILLING";
    vec![
        tagged("CreateOrder", json!({"order": order_snapshot()})),
        tagged("CancelOrder", json!({"orderRevision": 1, "reasonCode": "CUSTOMER", "comment": null})),
        tagged("RecordFulfilmentStarted", json!({"planVersion": 1, "processInstanceId": "p1"})),
        tagged("RecordStepStarted", json!({"stepId": id, "attempt": 2})),
        tagged("RecordStepCompleted", json!({"stepId": id, "externalReference": "b-1"})),
        tagged("RecordStepUnknown", json!({"stepId": id, "detail": "timed out"})),
        tagged("RecordStepRejected", json!({"stepId": id, "code": "NO_STOCK", "detail": "none left"})),
        tagged("RecordStepFailed", json!({"stepId": id, "detail": "503", "incidentId": "i1"})),
        tagged("RecordStepCompensated", json!({"stepId": id, "externalReference": "r-1"})),
        tagged("RecordCompensationFailed", json!({"stepId": id, "detail": "refused"})),
        tagged("RecordFulfilmentCancelled", json!({"planVersion": 1})),
    ]
}

pub fn workflow_events() -> Vec<Value> {
    let task = |more: Value| {
        let mut task = json!({"quoteId": "Q-2026-000123", "approvalRequestId": "apr-1", "taskId": "apr-1.FINANCE",
            "level": "FINANCE", "processInstanceId": "p1"});
        task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        task
    };
    let incident = json!({"incidentId": "i1", "incidentType": "failedExternalTask", "processInstanceId": "p1",
        "activityId": "startBilling", "quoteId": null, "orderId": "O-2026-000045", "stepId": "1:START_BILLING"});
    let mut raised = incident.clone();
    raised["message"] = json!("503");
    vec![
        tagged(
            "ProcessStarted",
            json!({"processKey": "quote-approval", "businessKey": "apr-1",
            "processInstanceId": "p1", "quoteId": "Q-2026-000123", "orderId": null}),
        ),
        tagged("UserTaskCreated", task(json!({"dueAt": "2026-11-24T05:40:00Z"}))),
        tagged("UserTaskCreated", task(json!({"dueAt": null}))),
        tagged("UserTaskCompleted", task(json!({"decision": "APPROVE"}))),
        tagged("UserTaskEscalated", task(json!({"escalatedTo": "SALES_DIRECTOR"}))),
        tagged("IncidentRaised", raised),
        tagged("IncidentResolved", incident),
    ]
}

pub fn workflow_commands() -> Vec<Value> {
    let quote = "Q-2026-000123";
    vec![
        tagged(
            "StartApproval",
            json!({"quoteId": quote, "quoteRevision": 4, "approvalRequestId": "apr-1",
            "steps": [planned_step()]}),
        ),
        tagged(
            "CompleteApprovalStep",
            json!({"quoteId": quote, "approvalRequestId": "apr-1", "level": "FINANCE", "decision": "APPROVE"}),
        ),
        tagged("EndApproval", json!({"quoteId": quote, "approvalRequestId": "apr-1", "reason": "WITHDRAWN"})),
        tagged("StartFulfilment", json!({"orderId": "O-2026-000045", "planVersion": 1, "lineCount": 3})),
        tagged("CancelFulfilment", json!({"orderId": "O-2026-000045", "planVersion": 1, "reasonCode": "CUSTOMER"})),
        tagged(
            "RenderArtifact",
            json!({"quoteId": quote, "quoteRevision": 5, "artifactId": "art-1",
            "artifactType": "PROPOSAL", "templateId": "standard", "templateVersion": "1", "requestedBy": "alice"}),
        ),
    ]
}

/// State records by full name: a full quote, a quote that is still a draft, a full order.
pub fn states() -> Vec<(&'static str, Value)> {
    let mut priced = price("USD", "29950.56");
    priced.as_object_mut().unwrap().extend([
        ("priceResultId".to_owned(), json!("price-1")),
        ("pricingDate".to_owned(), json!("2026-11-23T05:40:00Z")),
        ("fresh".to_owned(), json!(true)),
        ("freshUntil".to_owned(), json!("2026-12-23T05:40:00Z")),
    ]);
    let mut line = configured_line();
    for field in ["taxCategory", "fulfilment"] {
        line.as_object_mut().unwrap().shift_remove(field);
    }
    let step = json!({"taskId": "apr-1.FINANCE", "level": "FINANCE", "order": 2, "status": "APPROVED",
        "reasons": ["TOTAL_OVER_100000"], "assignee": "bob", "dueAt": "2026-11-24T05:40:00Z", "escalated": false,
        "decision": {"decision": "APPROVE", "decidedBy": "bob", "decidedAt": "2026-11-23T06:00:00Z",
            "reasonCode": "OK", "comment": null}});
    let quote = json!({
        "quoteId": "Q-2026-000123", "tenantId": "tenant-acme", "aggregateSequence": 9, "revision": 6,
        "status": "ACCEPTED", "customerAccountId": "acct-1001", "customerName": "Northwind", "salesOwnerId": "alice",
        "currency": "USD", "termMonths": 36, "validUntil": "2026-12-31T00:00:00Z", "priceListId": "standard",
        "externalReference": "CRM-7", "catalogVersion": "2026.11", "configurationHash": "sha256:c", "lines": [line],
        "price": priced,
        "approval": {"approvalRequestId": "apr-1", "status": "APPROVED", "requestedBy": "alice",
            "requestedAt": "2026-11-23T05:40:00Z", "justification": null, "policyVersion": "approval-policy@sha256:1",
            "reasons": ["TOTAL_OVER_100000"], "steps": [step], "approvalHash": "sha256:a"},
        "artifact": artifact(),
        "acceptance": {"acceptedBy": "Jane Roe", "method": "MANUAL_ENTRY", "acceptedAt": "2026-11-23T06:00:00Z",
            "artifactId": "art-1", "acceptedRevision": 5, "recordedBy": "alice", "recordedAt": "2026-11-23T06:01:00Z",
            "acceptanceHash": "sha256:a"},
        "orderId": "O-2026-000045", "createdBy": "alice", "createdAt": "2026-11-23T05:00:00Z",
        "updatedAt": "2026-11-23T06:01:00Z",
    });
    let mut draft = quote.clone();
    for field in [
        "validUntil",
        "externalReference",
        "catalogVersion",
        "configurationHash",
        "price",
        "approval",
        "artifact",
        "acceptance",
        "orderId",
    ] {
        draft[field] = Value::Null;
    }
    draft["lines"] = json!([]);
    let mut order = order_snapshot();
    order["lines"][0].as_object_mut().unwrap().shift_remove("fulfilment");
    order["lines"][0]["status"] = json!("FALLOUT");
    order["lines"][0]["steps"] = json!([{"stepId": "1:START_BILLING", "type": "START_BILLING", "status": "REJECTED",
        "attempts": 2, "externalReference": null, "compensationReference": null}]);
    order.as_object_mut().unwrap().extend([
        ("orderId".to_owned(), json!("O-2026-000045")),
        ("tenantId".to_owned(), json!("tenant-acme")),
        ("aggregateSequence".to_owned(), json!(4)),
        ("revision".to_owned(), json!(2)),
        ("status".to_owned(), json!("FALLOUT")),
        ("planVersion".to_owned(), json!(1)),
        (
            "fallout".to_owned(),
            json!([{"falloutId": "f1", "stepId": "1:START_BILLING", "lineNumber": "1",
            "reasonCode": "NO_STOCK", "detail": "none left", "status": "OPEN", "raisedAt": "2026-11-23T06:01:00Z",
            "resolution": null, "resolvedBy": null, "resolvedAt": null}]),
        ),
        (
            "cancellation".to_owned(),
            json!({"reasonCode": "CUSTOMER", "comment": null, "requestedBy": "olga",
            "requestedAt": "2026-11-23T06:01:00Z", "cancelledAt": null}),
        ),
        ("createdAt".to_owned(), json!("2026-11-23T05:00:00Z")),
        ("updatedAt".to_owned(), json!("2026-11-23T06:01:00Z")),
    ]);
    vec![("cpq.quote.QuoteState", quote), ("cpq.quote.QuoteState", draft), ("cpq.order.OrderState", order)]
}
