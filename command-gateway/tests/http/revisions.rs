//! `GET /quotes/{quoteId}/revisions/{a}/diff/{b}`.

use super::support::*;
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

/// Revisions of the quote of [`told_quote`].
const LAST: u32 = 5;

/// A quote that was configured (2), priced (3), configured again (4) and priced again without a discount (5).
async fn told_quote(world: &World) -> String {
    let quote = world.quote().await;
    let lines = |quantity: &str| json!([{"lineNumber": "1", "productOfferingId": "fiber", "quantity": quantity, "action": "ADD"}]);
    let discount = json!({"percent": "10", "reasonCode": "VOLUME"});
    for (method, verb, body) in [
        ("PUT", "configuration", json!({"quoteRevision": 1, "lines": lines("2")})),
        ("POST", "pricing", json!({"quoteRevision": 2, "quoteDiscount": discount})),
        ("PUT", "configuration", json!({"quoteRevision": 3, "lines": lines("3")})),
        ("POST", "pricing", json!({"quoteRevision": 4})),
    ] {
        let answer = world.command(method, &format!("/quotes/{quote}/{verb}"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    quote
}

async fn diff(world: &World, token: &str, quote: &str, a: &str, b: &str) -> Answer {
    world.request("GET", &format!("/quotes/{quote}/revisions/{a}/diff/{b}")).token(token).send().await
}

fn member<'a>(fields: &'a Value, name: &str) -> (&'a Value, &'a Value) {
    let field = fields.as_array().unwrap().iter().find(|field| field["field"] == name).unwrap();
    (&field["before"], &field["after"])
}

#[test]
fn what_changed_between_two_revisions_is_told_from_either_side() {
    run(async {
        let world = World::new().await;
        let quote = told_quote(&world).await;
        let answer = diff(&world, &world.sales(), &quote, "3", "5").await;
        assert_eq!((answer.status, answer.header("etag")), (200, Some("\"5\"")), "{}", answer.body);
        let told = &answer.body;
        assert_eq!(
            (&told["quoteId"], &told["from"], &told["to"]),
            (&json!(quote), &json!({"revision": 3, "status": "PRICED"}), &json!({"revision": 5, "status": "PRICED"}))
        );
        assert_eq!(
            told["lines"],
            json!([{"lineNumber": "1", "change": "CHANGED", "sentence": "Line 1: quantity 2 became 3.",
                "fields": [{"field": "quantity", "before": "2", "after": "3"}]}])
        );
        let price = &told["price"];
        assert_eq!(price["change"], "CHANGED");
        assert_eq!(member(&price["fields"], "totalAmount"), (&json!("180.00"), &json!("300.00")));
        assert_eq!(member(&price["discounts"], "quoteDiscount.percent"), (&json!("10"), &Value::Null));
        let line = &price["lines"][0];
        assert_eq!((&line["lineNumber"], &line["kind"]), (&json!("1"), &json!("RECURRING")));
        assert_eq!(member(&line["fields"], "netAmount"), (&json!("180.00"), &json!("300.00")));
        let sentences = told["sentences"].as_array().unwrap();
        for sentence in ["Line 1: quantity 2 became 3.", "Price: total amount 180.00 became 300.00."] {
            assert!(sentences.contains(&json!(sentence)), "{sentences:?}");
        }
        let back = diff(&world, &world.sales(), &quote, "5", "3").await.body;
        assert_eq!((&back["from"], &back["to"]), (&told["to"], &told["from"]));
        assert_eq!(member(&back["price"]["fields"], "totalAmount"), (&json!("300.00"), &json!("180.00")));
        assert_eq!(back["lines"][0]["sentence"], "Line 1: quantity 3 became 2.");
    });
}

#[test]
fn configuring_again_drops_the_price_and_equal_revisions_differ_in_nothing() {
    run(async {
        let world = World::new().await;
        let quote = told_quote(&world).await;
        let dropped = diff(&world, &world.sales(), &quote, "3", "4").await.body;
        assert_eq!(dropped["price"]["change"], "REMOVED");
        assert!(
            dropped["sentences"].as_array().unwrap().contains(&json!("Price (total amount 180.00 USD) was removed."))
        );
        let point = json!({"revision": 3, "status": "PRICED"});
        assert_eq!(
            diff(&world, &world.sales(), &quote, "3", "3").await.body,
            json!({"quoteId": quote, "from": point, "to": point, "fields": [], "lines": [], "price": null,
                "approval": null, "artifact": null, "acceptance": null, "sentences": []})
        );
    });
}

#[rstest]
#[case::none("0", "1", &["/a"])]
#[case::after_the_last("1", "6", &["/b"])]
#[case::negative("-1", "1", &["/a"])]
#[case::signed("+1", "1", &["/a"])]
#[case::with_zeros("01", "1", &["/a"])]
#[case::no_integer("1.0", "1", &["/a"])]
#[case::no_number("latest", "first", &["/a", "/b"])]
#[case::beyond_all_numbers("99999999999999999999", "1", &["/a"])]
fn what_is_no_revision_of_the_quote_is_refused_with_those_it_has(
    #[case] a: &str,
    #[case] b: &str,
    #[case] faults: &[&str],
) {
    run(async {
        let world = World::new().await;
        let quote = told_quote(&world).await;
        let answer = diff(&world, &world.sales(), &quote, a, b).await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED");
        assert_eq!(answer.body["detail"], format!("The quote has revisions 1 to {LAST}."));
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), faults.len());
        for pointer in faults {
            assert!(answer.has_fault(pointer, "UNKNOWN_REFERENCE"), "{}", answer.body);
        }
    });
}

#[test]
fn the_revisions_of_a_quote_are_shown_to_those_who_may_read_it() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let auditor = world.token_for("audrey", &["auditor"], &[]);
        assert_eq!(diff(&world, &auditor, &quote, "1", "1").await.status, 200);
        let single = diff(&world, &auditor, &quote, "1", "2").await;
        assert_eq!(single.body["detail"], "The quote has revision 1 alone.");
        let stranger = world.token_for("cus", &["customer"], &[OTHER_ACCOUNT]);
        for revision in ["1", "9"] {
            let hidden = diff(&world, &stranger, &quote, "1", revision).await;
            hidden.assert_problem(StatusCode::NOT_FOUND, "QUOTE_NOT_FOUND");
        }
    });
}
