//! The evidence chain of a deal made by the core, whole and with each link broken.

use super::*;
use cpq_domain::approval::{ApprovalPolicy, PolicyInputs};
use cpq_domain::catalog::{Catalog, CatalogSource};
use cpq_domain::configuration::{Configuration, configure};
use cpq_domain::ids::PriceResultId;
use cpq_domain::money::Amount;
use cpq_domain::pricing::{PricingInput, PricingRequest, price};
use cpq_domain::quote::PricedOffer;
use cpq_domain::reference::{Customer, Tenant};
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const AT: &str = "2026-11-23T06:00:00Z";

fn parsed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn at() -> Moment {
    Moment::parse(AT).unwrap()
}

fn configuration(catalog: &Catalog, customer: &Customer) -> Configuration {
    let line = json!({"lineNumber": "1", "productOfferingId": "fiber", "quantity": "2", "action": "ADD"});
    configure(catalog, customer, at(), &[parsed(line)]).unwrap()
}

fn catalog() -> Catalog {
    let source: CatalogSource = parsed(json!({
        "catalogVersion": "1",
        "offerings": [{"id": "fiber", "version": "1", "name": "Fiber", "segments": ["SMB"], "sellableFrom": "2026-01-01T00:00:00Z",
            "sellableTo": null, "taxCategory": "STANDARD", "characteristics": [], "children": [], "fulfilment": ["ACTIVATE_SERVICE"]}],
        "rules": [],
        "prices": [{"id": "p1", "offeringId": "fiber", "priceListId": "standard", "currency": "USD", "kind": "RECURRING",
            "model": "PER_UNIT", "amount": "10.00", "validFrom": "2026-01-01T00:00:00Z", "validTo": null}],
        "adjustments": []
    }));
    Catalog::compile(source).unwrap()
}

/// A quote's price as the product computes it, with its trace.
fn priced(catalog: &Catalog, customer: &Customer, configuration: &Configuration) -> QuotePriced {
    let tenant: Tenant = parsed(json!({"tenantId": "t", "name": "T", "defaultCurrency": "USD",
        "taxRates": [{"taxCategory": "STANDARD", "jurisdiction": "US-CA", "percent": "8.25"}]}));
    let request: PricingRequest = parsed(json!({}));
    let currency = parsed(json!("USD"));
    let (price, trace) = price(&PricingInput {
        catalog,
        tenant: &tenant,
        customer,
        price_list_id: "standard",
        currency,
        term_months: 12,
        configuration,
        pricing_date: at(),
        request: &request,
    })
    .unwrap();
    let trace = canonical::to_string(&trace);
    let trace_hash = canonical::sha256(trace.as_bytes());
    let configuration_hash = configuration.configuration_hash.clone();
    let price_hash = canonical::hash(&(&price, &request, at(), &trace_hash, &configuration_hash));
    let price_result_id = PriceResultId::new("price-1");
    let (pricing_date, priced_at, fresh_until) = (at(), at(), at().plus_days(30));
    let offer = PricedOffer {
        price_result_id,
        price,
        request,
        pricing_date,
        priced_at,
        fresh_until,
        configuration_hash,
        trace_hash,
        price_hash,
    };
    QuotePriced { price: offer, trace }
}

/// The events of a quote that was sold, with every hash as it should be; `touch` may change one of them.
fn story(touch: fn(&mut Vec<QuoteEvent>)) -> Vec<QuoteEvent> {
    let (catalog, customer): (_, Customer) = (
        catalog(),
        parsed(
            json!({"customerAccountId": "a", "name": "A", "segment": "SMB", "jurisdiction": "US-CA", "salesOwnerId": "alice"}),
        ),
    );
    let configuration = configuration(&catalog, &customer);
    let priced = priced(&catalog, &customer, &configuration);
    let price_hash = priced.price.price_hash.clone();
    let inputs: PolicyInputs =
        parsed(json!({"effectiveDiscountPercent": "0.00", "totalAmount": "240.00", "currency": "USD",
        "marginPercent": null, "termMonths": 12, "segment": "SMB", "hasManualOverride": false}));
    let policy = ApprovalPolicy::built_in().unwrap().evaluate(&inputs);
    let approval_hash = canonical::hash(&(&policy, &price_hash));
    let artifact = json!({"artifactId": "art", "quoteRevision": 5, "artifactType": "PROPOSAL", "templateId": "standard",
        "templateVersion": "1", "inputHash": "sha256:i", "contentHash": "sha256:c", "storageUri": "file:///x", "sizeBytes": 1,
        "generatedBy": "cpq", "generatedAt": AT});
    let event = |kind: &str, payload: Value| parsed::<QuoteEvent>(json!({"type": kind, "payload": payload}));
    let mut events = vec![
        event(
            "QuoteCreated",
            json!({"customerAccountId": "a", "customerName": "A", "salesOwnerId": "alice", "currency": "USD",
            "termMonths": 12, "validUntil": null, "priceListId": "standard", "externalReference": null, "createdBy": "alice"}),
        ),
        event("QuoteConfigured", json!({"configuration": configuration})),
        QuoteEvent::QuotePriced(priced),
        event(
            "QuoteSubmittedForApproval",
            json!({"approvalRequestId": "apr-1", "requestedBy": "alice", "justification": null,
            "policy": policy, "steps": [], "priceHash": price_hash}),
        ),
        event(
            "QuoteApproved",
            json!({"approvalRequestId": "apr-1", "requestedBy": "alice", "approvalHash": approval_hash}),
        ),
        event("QuoteArtifactGenerated", json!({"artifact": artifact})),
    ];
    events.push(acceptance(&events));
    touch(&mut events);
    events
}

/// The acceptance that rests on these events.
fn acceptance(events: &[QuoteEvent]) -> QuoteEvent {
    let chain = judged(events).0;
    let quote = chain.quote.unwrap();
    let evidence = json!({"method": "MANUAL_ENTRY", "acceptedAt": AT, "artifactId": "art"});
    let approval_hash = &quote.approval().unwrap().approval_hash;
    let rests_on = (&quote.quote_id, quote.revision, "Pat", &evidence, "sha256:c", approval_hash);
    let hash = canonical::hash(&rests_on);
    let order = OrderSnapshot::of(&quote, quote.configuration().unwrap(), quote.price().unwrap(), &hash);
    parsed(
        json!({"type": "QuoteAccepted", "payload": {"acceptedBy": "Pat", "acceptanceEvidence": evidence, "recordedBy": "alice",
        "acceptedRevision": quote.revision, "artifactHash": "sha256:c", "acceptanceHash": hash, "orderId": "O-2026-000001", "order": order}}),
    )
}

fn judged(events: &[QuoteEvent]) -> (Chain, Vec<String>) {
    let mut chain = Chain::new("t".into(), "Q-2026-000001".into());
    let faults = events.iter().filter_map(|event| chain.judge(event, at()).err()).collect();
    (chain, faults)
}

#[test]
fn a_quote_that_was_sold_properly_has_an_unbroken_chain() {
    let (chain, faults) = judged(&story(|_| {}));
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(order_rests(chain.sold(), chain.sold().unwrap()), Ok(()));
}

#[rstest]
#[case::line_changed(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuoteConfigured(e) = &mut events[1] { e.configuration.lines[0].quantity = parsed(json!("3")) }, "configurationHash")]
#[case::price_changed(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuotePriced(e) = &mut events[2] { e.price.price.total_amount = Amount(1.into()) }, "the trace gives")]
#[case::trace_changed(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuotePriced(e) = &mut events[2] { e.trace.push(' ') }, "the trace was changed")]
#[case::discount_hidden(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuotePriced(e) = &mut events[2] { e.price.request = parsed(json!({"quoteDiscount": {"percent": "5", "reasonCode": "X"}})) }, "priceHash")]
#[case::another_price_submitted(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuoteSubmittedForApproval(e) = &mut events[3] { e.price_hash = "sha256:other".to_owned() }, "priceHash")]
#[case::policy_facts_changed(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuoteSubmittedForApproval(e) = &mut events[3] { e.policy.inputs.term_months = 1 }, "approvalHash")]
#[case::artifact_of_another_revision(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuoteArtifactGenerated(e) = &mut events[5] { e.artifact.quote_revision = 4 }, "the artifact shows revision 4")]
#[case::artifact_exchanged(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuoteArtifactGenerated(e) = &mut events[5] { e.artifact.content_hash = "sha256:other".to_owned() }, "artifactHash")]
#[case::accepted_by_another(|events: &mut Vec<QuoteEvent>| if let QuoteEvent::QuoteAccepted(e) = &mut events[6] { e.accepted_by = "Mallory".to_owned() }, "acceptanceHash")]
fn a_broken_link_shows_where_it_is(#[case] touch: fn(&mut Vec<QuoteEvent>), #[case] words: &str) {
    let (_, faults) = judged(&story(touch));
    assert!(faults.first().is_some_and(|fault| fault.contains(words)), "{faults:?}");
}

#[test]
fn an_order_that_is_not_what_was_sold_shows() {
    let (chain, _) = judged(&story(|_| {}));
    let mut ordered = chain.sold().unwrap().clone();
    ordered.total_amount = Amount(1.into());
    assert!(order_rests(chain.sold(), &ordered).unwrap_err().contains("the order's content"));
    assert!(order_rests(None, &ordered).unwrap_err().contains("was never accepted"));
}
