//! From when to when a price holds.

use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;

const FEBRUARY: &str = "2026-02-01T00:00:00Z";
const JULY: &str = "2026-07-01T00:00:00Z";
const AUGUST: &str = "2026-08-01T00:00:00Z";

/// The window of a deal at the first of June.
fn window(deal: &Deal) -> (Option<String>, Option<String>) {
    let catalog = Catalog::compile(serde_json::from_value(deal.catalog.clone()).unwrap()).unwrap();
    let tenant: Tenant = serde_json::from_value(deal.tenant.clone()).unwrap();
    let customer: Customer = serde_json::from_value(json!({"customerAccountId": "acct-1", "name": "N",
        "segment": deal.segment, "jurisdiction": "US-CA", "salesOwnerId": "alice"}))
    .unwrap();
    let lines: Vec<LineRequest> = serde_json::from_value(deal.lines.clone()).unwrap();
    let at = Moment::parse(deal.at).unwrap();
    let window = Window::of(&PricingInput {
        catalog: &catalog,
        tenant: &tenant,
        customer: &customer,
        price_list_id: deal.price_list,
        currency: Currency::parse(deal.currency).unwrap(),
        term_months: deal.term,
        configuration: &configure(&catalog, &customer, at, &lines).unwrap(),
        pricing_date: at,
        request: &PricingRequest::default(),
    });
    (window.from.map(|at| at.to_string()), window.to.map(|at| at.to_string()))
}

#[rstest]
#[case::since_its_price_began(json!([]), json!([]), Some(JANUARY), None)]
#[case::until_another_price_begins(json!([{"id": "q", "validFrom": JULY}]), json!([]), Some(JANUARY), Some(JULY))]
#[case::until_the_first_of_several(json!([{"id": "q", "validFrom": AUGUST}, {"id": "r", "validFrom": JULY}]), json!([]), Some(JANUARY), Some(JULY))]
#[case::since_another_price_ended(json!([{"id": "q", "when": {"ips": 1}, "validTo": FEBRUARY}]), json!([]), Some(FEBRUARY), None)]
#[case::until_an_adjustment_ends(json!([]), json!([{"validTo": JULY}]), Some(JANUARY), Some(JULY))]
#[case::until_an_adjustment_begins(json!([]), json!([{"validFrom": AUGUST}]), Some(JANUARY), Some(AUGUST))]
#[case::of_other_lists_and_offerings(json!([{"id": "q", "priceListId": "partner", "validFrom": JULY}, {"id": "r", "offeringId": "free", "validFrom": JULY}]),
    json!([{"appliesTo": {"offeringId": "free"}, "validTo": JULY}]), Some(JANUARY), None)]
fn a_price_holds_until_something_that_may_concern_it_begins_or_ends(
    #[case] prices: Value,
    #[case] adjustments: Value,
    #[case] from: Option<&str>,
    #[case] to: Option<&str>,
) {
    let more = prices.as_array().unwrap().iter().map(|difference| price_entry("p", difference.clone()));
    let all: Vec<Value> = [price_entry("p", json!({}))].into_iter().chain(more).collect();
    let adjustments = adjustments.as_array().unwrap().iter().map(|difference| adjustment("a", difference.clone()));
    let deal = Deal::of(json!(all)).adjusted(adjustments.collect());
    assert_eq!(window(&deal), (from.map(str::to_owned), to.map(str::to_owned)));
}
