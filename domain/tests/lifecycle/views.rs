//! What the outside sees.

use crate::world::{Line, claims, start};
use crate::{orders, quotes};
use cpq_domain::order::view::OrderView;
use cpq_domain::quote::view::{QuoteView, TaskView};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

fn actions(view: &Value) -> Vec<&str> {
    view["allowedActions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap()).collect()
}

#[rstest]
#[case("draft", "alice", &["configureQuote", "withdrawQuote"])]
#[case("draft", "carl", &[])]
#[case("draft", "zoe", &[])]
#[case("configured", "alice", &["configureQuote", "priceQuote", "withdrawQuote"])]
#[case("priced", "alice", &["configureQuote", "priceQuote", "submitForApproval", "withdrawQuote"])]
#[case("starting", "alice", &["withdrawApproval", "withdrawQuote"])]
#[case("starting", "bob", &[])]
#[case("pending", "bob", &["decideApproval"])]
#[case("pending", "alice", &["withdrawApproval", "withdrawQuote"])]
#[case("pending", "olivia", &["withdrawQuote"])]
#[case("claimed", "greta", &[])]
#[case("half-approved", "bob", &[])]
#[case("approved", "alice", &["generateArtifact", "reopenQuote", "withdrawQuote"])]
#[case("presented", "alice", &["generateArtifact", "acceptQuote", "reopenQuote", "withdrawQuote"])]
#[case("presented", "carl", &["acceptQuote"])]
#[case("rejected", "alice", &["configureQuote", "priceQuote", "reopenQuote", "withdrawQuote"])]
#[case("accepted", "omar", &["createOrder"])]
#[case("ordered", "omar", &[])]
fn a_quote_offers_what_its_caller_could_do_now(#[case] given: &str, #[case] who: &str, #[case] expected: &[&str]) {
    let quote = quotes::Run::given(given).quote.unwrap();
    let view = json!(QuoteView::of(&quote, start(), Some(&claims(who))));
    assert_eq!(actions(&view), expected);
}

#[test]
fn nothing_is_offered_once_the_price_is_stale_or_the_quote_has_expired() {
    let presented = quotes::Run::given("presented").quote.unwrap();
    let later = json!(QuoteView::of(&presented, start().plus_days(30), Some(&claims("carl"))));
    assert_eq!(actions(&later), Vec::<&str>::new());
    assert_eq!(later["price"]["fresh"], json!(false));
    let expired = quotes::Run::given("short-lived").quote.unwrap();
    let view = json!(QuoteView::of(&expired, start().plus_days(5), Some(&claims("alice"))));
    assert_eq!(actions(&view), Vec::<&str>::new());
}

#[rstest]
#[case("created", "omar", &["cancelOrder"])]
#[case("rejected", "omar", &["cancelOrder"])]
#[case("rejected", "carl", &[])]
#[case("rejected", "zack", &[])]
#[case("billing", "omar", &[])]
#[case("completed", "omar", &[])]
#[case("cancelling", "omar", &[])]
fn an_order_offers_what_its_caller_could_do_now(#[case] given: &str, #[case] who: &str, #[case] expected: &[&str]) {
    let order = orders::Run::given(given).order.unwrap();
    let view = json!(OrderView::of(&order, Some(&claims(who))));
    assert_eq!(actions(&view), expected);
}

#[test]
fn state_records_are_the_resources_without_their_offers() {
    let quote = quotes::Run::given("accepted").quote.unwrap();
    let order = orders::Run::given("rejected").order.unwrap();
    let (quote, order) = (json!(QuoteView::of(&quote, start(), None)), json!(OrderView::of(&order, None)));
    assert_eq!((quote.get("allowedActions"), order.get("allowedActions")), (None, None));
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false, sort_maps => true}, {
        insta::assert_json_snapshot!("quote_view", hashes_out(quote));
        insta::assert_json_snapshot!("order_view", hashes_out(order));
    });
}

#[test]
fn an_order_can_be_billed_from_its_snapshot_alone() {
    let sold = orders::sold(&Line::parse("quotes create"));
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false, sort_maps => true}, {
        insta::assert_json_snapshot!("order_snapshot", hashes_out(json!(sold)));
    });
}

/// Hashes change with every word of the evidence; that they are there is enough here.
fn hashes_out(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let short = |(name, value): (String, Value)| {
                let hash = value.as_str().is_some_and(|text| text.contains("sha256:") && text.len() > 20);
                (name, if hash { json!("[hash]") } else { hashes_out(value) })
            };
            Value::Object(members.into_iter().map(short).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(hashes_out).collect()),
        other => other,
    }
}

#[rstest]
#[case("pending", "SALES_MANAGER", Some("OPEN"))]
#[case("claimed", "SALES_MANAGER", Some("CLAIMED"))]
#[case("approved", "SALES_MANAGER", Some("COMPLETED"))]
#[case("two-levels", "SALES_DIRECTOR", None)]
#[case("half-approved", "SALES_DIRECTOR", Some("OPEN"))]
#[case("pending", "FINANCE", None)]
fn a_task_shows_how_far_its_step_is(#[case] given: &str, #[case] level: &str, #[case] status: Option<&str>) {
    let quote = quotes::Run::given(given).quote.unwrap();
    let task = format!("apr-2026-000123-r4.{level}").into();
    let view = TaskView::of(&quote, &task).map(|view| json!(view));
    assert_eq!(view.as_ref().map(|view| view["status"].as_str().unwrap()), status);
    if let Some(view) = view {
        assert_eq!((&view["quoteRevision"], &view["requestedBy"]), (&json!(4), &json!("alice")));
        assert!(view.get("orderId").is_none());
    }
}
