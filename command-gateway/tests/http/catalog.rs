//! `POST /catalog/versions`: what is published, by whom, how often, and what is refused.

use super::support::*;
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::time::Instant;

fn publish(world: &World, key: &str, document: &Value) -> Call {
    let admin = world.token("cat", &["catalog-admin"]);
    world.request("POST", "/catalog/versions").token(&admin).key(key).json(document.clone())
}

async fn newest(world: &World) -> Value {
    let answer = world.request("GET", "/catalog/offerings/voice").token(&world.sales()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["catalogVersion"].clone()
}

/// Outcome, error code, actor, correlation id and chain of each audit entry.
async fn audit(world: &World) -> Vec<[Option<String>; 5]> {
    let mut connection = PgConnection::connect(&world.stage.database_url).await.unwrap();
    connection.execute("set role cpq_system").await.unwrap();
    let rows = sqlx::query(
        "select outcome, error_code, actor_id, correlation_id, aggregate_id from cpq.audit where tenant_id = $1 order by recorded_at",
    )
    .bind(&world.tenant)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    rows.iter().map(|row| std::array::from_fn(|column| row.get(column))).collect()
}

#[test]
fn a_published_version_is_the_newest_at_once_and_audited() {
    run(async {
        let world = World::new().await;
        assert_eq!(newest(&world).await, "1");
        let document = catalog("2");
        let answer = publish(&world, "a", &document).header("x-correlation-id", "corr-publish").send().await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.header("idempotency-replayed"), None);
        assert_eq!(answer.body["catalogVersion"], "2");
        assert_eq!(answer.body["contentHash"], cpq_domain::canonical::hash(&document));
        assert_eq!(answer.body["publishedBy"], "cat");
        for (list, count) in [("offerings", 3), ("rules", 0), ("prices", 2), ("adjustments", 0)] {
            assert_eq!(answer.body[list], count, "{list}");
        }
        assert_eq!(newest(&world).await, "2");
        let text = |text: &str| Some(text.to_owned());
        let entry = [text("APPLIED"), None, text("cat"), text("corr-publish"), text("catalog:2")];
        assert_eq!(audit(&world).await, [entry]);
        assert_eq!(world.count("command_outcome").await, 1);
    });
}

#[test]
fn a_retry_is_answered_as_the_first_time_whatever_was_published_since() {
    run(async {
        let world = World::new().await;
        let first = publish(&world, "a", &catalog("2")).send().await;
        assert_eq!(publish(&world, "b", &catalog("3")).send().await.status, 201);
        let again = publish(&world, "a", &catalog("2")).send().await;
        assert_eq!((again.status, &again.body), (201, &first.body));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(newest(&world).await, "3");
        assert_eq!((world.count("catalog_version").await, world.count("audit").await), (3, 2));
    });
}

#[test]
fn the_same_content_under_another_key_is_the_same_version() {
    run(async {
        let world = World::new().await;
        let first = publish(&world, "a", &catalog("2")).send().await;
        let mut members = catalog("2").as_object().unwrap().clone();
        members.sort_keys();
        let again = publish(&world, "b", &Value::Object(members)).send().await;
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.header("idempotency-replayed"), None);
        let imported = publish(&world, "c", &catalog("1")).send().await;
        assert_eq!((imported.status, &imported.body["publishedBy"]), (200, &json!("test")), "{}", imported.body);
        assert_eq!(newest(&world).await, "2", "an older version does not become the newest again");
    });
}

#[test]
fn a_version_with_other_content_is_refused_and_the_refusal_is_recorded() {
    run(async {
        let world = World::new().await;
        let mut other = catalog("1");
        other["offerings"][1]["name"] = json!("Voice, better");
        let refused = publish(&world, "a", &other).send().await;
        refused.assert_problem(StatusCode::CONFLICT, "CATALOG_VERSION_EXISTS");
        assert_eq!(refused.body["businessKey"], "catalog:1");
        let again = publish(&world, "a", &other).send().await;
        again.assert_problem(StatusCode::CONFLICT, "CATALOG_VERSION_EXISTS");
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        let entries = audit(&world).await;
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0][0].as_deref(), Some("REJECTED"));
        assert_eq!(entries[0][1].as_deref(), Some("CATALOG_VERSION_EXISTS"));
    });
}

#[test]
fn a_key_names_one_catalog() {
    run(async {
        let world = World::new().await;
        assert_eq!(publish(&world, "a", &catalog("2")).send().await.status, 201);
        let reused = publish(&world, "a", &catalog("3")).send().await;
        reused.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(newest(&world).await, "2");
    });
}

#[test]
fn of_many_publications_at_once_one_makes_the_version() {
    run(async {
        let world = World::new().await;
        let one_key = futures::future::join_all((0..6).map(|_| publish(&world, "a", &catalog("2")).send())).await;
        let made = one_key.iter().filter(|a| a.status == 201 && a.header("idempotency-replayed").is_none());
        assert_eq!(made.count(), 1);
        assert!(one_key.iter().all(|answer| answer.status == 201 && answer.body == one_key[0].body));

        let rival = async |number: usize| {
            let mut document = catalog("3");
            document["offerings"][0]["name"] = json!(format!("Fiber {number}"));
            publish(&world, &format!("rival-{number}"), &document).send().await.status
        };
        let mut statuses = futures::future::join_all((0..6).map(rival)).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409]);
    });
}

#[test]
fn every_fault_is_told_at_once_and_leaves_the_key_free() {
    run(async {
        let world = World::new().await;
        let mut document = catalog("2");
        document["offerings"][0]["name"] = json!("");
        document["offerings"][1]["children"] = json!([{"offeringId": "ghost"}]);
        document["prices"] = json!([{"id": "p", "offeringId": "voice", "priceListId": "standard", "currency": "USD",
            "kind": "ONE_TIME", "model": "FLAT", "validFrom": "2026-01-01T00:00:00Z"}]);
        let answer = publish(&world, "a", &document).send().await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "CATALOG_INVALID");
        for (pointer, code) in [
            ("/offerings/0/name", "REQUIRED"),
            ("/offerings/1/children/0/offeringId", "UNKNOWN_REFERENCE"),
            ("/prices/0/amount", "REQUIRED"),
        ] {
            assert!(answer.has_fault(pointer, code), "{pointer} {code}: {}", answer.body);
        }
        assert_eq!((world.count("command").await, world.count("audit").await), (0, 0));
        assert_eq!(newest(&world).await, "1");
        assert_eq!(publish(&world, "a", &catalog("2")).send().await.status, 201);
    });
}

#[test]
fn a_document_of_another_shape_is_told_by_pointer_and_code() {
    run(async {
        let world = World::new().await;
        let mut document = catalog("2");
        document["offerings"][0]["colour"] = json!("red");
        document["offerings"][2]["segments"] = json!("SMB");
        document["prices"] = json!([{"currency": "XAU"}]);
        let answer = publish(&world, "a", &document).send().await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "CATALOG_INVALID");
        for (pointer, code) in [
            ("/offerings/0/colour", "UNKNOWN_FIELD"),
            ("/offerings/2/segments", "WRONG_TYPE"),
            ("/prices/0/currency", "PATTERN"),
        ] {
            assert!(answer.has_fault(pointer, code), "{pointer} {code}: {}", answer.body);
        }
    });
}

#[test]
fn an_answer_tells_a_bounded_number_of_faults_and_counts_them_all() {
    run(async {
        let world = World::new().await;
        let mut document = catalog("2");
        document["prices"] = (0..1200).map(|i| json!({"id": i.to_string()})).collect();
        let answer = publish(&world, "a", &document).send().await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "CATALOG_INVALID");
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), 1000);
        assert!(answer.body["detail"].as_str().unwrap().contains("1200 faults"), "{}", answer.body["detail"]);
    });
}

#[rstest]
#[case("sales-rep")]
#[case("approver")]
#[case("customer")]
#[case("order-manager")]
#[case("operator")]
#[case("auditor")]
fn other_roles_may_not_publish(#[case] role: &str) {
    run(async {
        let world = World::new().await;
        let post = || world.request("POST", "/catalog/versions").token(&world.token("x", &[role])).key("a");
        post().json(catalog("2")).send().await.assert_problem(StatusCode::FORBIDDEN, "FORBIDDEN");
        // Nor are they given the room that a catalog has.
        let large = post().text(&" ".repeat(2 << 20)).send().await;
        large.assert_problem(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE");
        assert_eq!(newest(&world).await, "1");
    });
}

#[test]
fn a_request_is_judged_in_the_contract_s_order() {
    run(async {
        let world = World::new().await;
        let admin = world.token("cat", &["catalog-admin"]);
        let post = || world.request("POST", "/catalog/versions");
        let too_large = (cpq_domain::catalog::MAX_DOCUMENT_BYTES + 1).to_string();
        let cases = [
            (post().text("{").send().await, 401, "UNAUTHENTICATED"),
            (post().token(&admin).raw(b"{}".to_vec()).send().await, 415, "UNSUPPORTED_MEDIA_TYPE"),
            (post().token(&admin).header("content-length", &too_large).text("{").send().await, 413, "BODY_TOO_LARGE"),
            (post().token(&admin).text("{").send().await, 400, "MALFORMED_REQUEST"),
            (post().token(&admin).text("{}").send().await, 400, "IDEMPOTENCY_KEY_REQUIRED"),
            (publish(&world, "a", &catalog("2")).header("if-match", "\"1\"").send().await, 412, "PRECONDITION_FAILED"),
            (publish(&world, "a", &json!([])).send().await, 422, "CATALOG_INVALID"),
        ];
        for (answer, status, code) in cases {
            answer.assert_problem(StatusCode::from_u16(status).unwrap(), code);
        }
        assert_eq!(world.count("command").await, 0);
    });
}

#[test]
fn a_tenant_s_catalog_is_its_own() {
    run(async {
        let (one, other) = (World::new().await, World::new().await);
        assert_eq!(publish(&one, "a", &catalog("2")).send().await.status, 201);
        assert_eq!((newest(&one).await, newest(&other).await), (json!("2"), json!("1")));
        let mut own = catalog("2");
        own["offerings"][1]["name"] = json!("Another voice");
        assert_eq!(publish(&other, "a", &own).send().await.status, 201, "versions are named by each tenant");
    });
}

#[test]
fn a_tenant_without_reference_data_cannot_publish() {
    run(async {
        let world = World::new().await;
        let claims = claims(&format!("tenant-{}", unique()), "cat", &["catalog-admin"], &["*"]);
        let token = sign(&claims, &world.stage.signing_key, Some(KEY_ID));
        let answer = world.request("POST", "/catalog/versions").token(&token).key("a").json(catalog("2")).send().await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED");
    });
}

/// 20,000 offerings and 60,000 prices, three for each.
fn large(version: &str) -> Value {
    const OFFERINGS: usize = 20_000;
    let offering = |i: usize| {
        json!({"id": format!("offering-{i}"), "version": "1", "name": format!("Offering {i}"), "segments": ["ENTERPRISE", "SMB"],
            "sellableFrom": "2026-01-01T00:00:00Z", "sellableTo": null, "taxCategory": "STANDARD",
            "characteristics": [{"name": "sla", "type": "STRING", "allowed": ["BRONZE", "SILVER", "GOLD"], "default": "BRONZE"},
                {"name": "ips", "type": "INTEGER", "min": 0, "max": 64, "default": 0}],
            "fulfilment": ["RESERVE_INVENTORY", "ACTIVATE_SERVICE", "START_BILLING"]})
    };
    let price = |i: usize| {
        let mut price = json!({"id": format!("price-{i}"), "offeringId": format!("offering-{}", i / 3), "priceListId": "standard", "currency": "USD",
            "segment": null, "kind": (["ONE_TIME", "RECURRING", "RECURRING"][i % 3]), "model": "PER_UNIT", "amount": "10.00",
            "unitCost": "4.00", "validFrom": "2026-01-01T00:00:00Z", "validTo": null});
        if i % 3 == 2 {
            price["when"] = json!({"sla": "GOLD"});
        }
        price
    };
    json!({"catalogVersion": version, "offerings": (0..OFFERINGS).map(offering).collect::<Vec<_>>(),
        "prices": (0..3 * OFFERINGS).map(price).collect::<Vec<_>>()})
}

#[test]
fn a_catalog_of_20_000_offerings_and_60_000_prices_is_published_and_read() {
    run(async {
        let world = World::new().await;
        let document = large("2").to_string();
        let admin = world.token("cat", &["catalog-admin"]);
        let began = Instant::now();
        let answer = world.request("POST", "/catalog/versions").token(&admin).key("a").text(&document).send().await;
        println!("{} bytes published in {:?}", document.len(), began.elapsed());
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!((&answer.body["offerings"], &answer.body["prices"]), (&json!(20_000), &json!(60_000)));
        let path = "/catalog/offerings/offering-19999";
        let read = world.request("GET", path).token(&world.sales()).send().await;
        assert_eq!((read.status, &read.body["catalogVersion"]), (200, &json!("2")), "{}", read.body);
    });
}
