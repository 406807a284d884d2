//! `POST /quotes/{quoteId}/price-preview`: the price that pricing would give, whatever lies in Redis.

use super::support::*;
use command_gateway::gateway::Gateway;
use cpq_domain::moment::Moment;
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// A configured quote at revision 2: two fibers at 100.00 a month.
async fn configured() -> (World, String) {
    let world = World::new().await;
    let quote = world.quote().await;
    let lines = json!([{"lineNumber": "1", "productOfferingId": "fiber", "quantity": "2", "action": "ADD"}]);
    let answer = world
        .command("PUT", &format!("/quotes/{quote}/configuration"), json!({"quoteRevision": 1, "lines": lines}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    (world, quote)
}

fn asked() -> Value {
    json!({"quoteRevision": 2, "quoteDiscount": {"percent": "10", "reasonCode": "VOLUME"}})
}

fn preview(gateway: &Arc<Gateway>, world: &World, quote: &str, body: Value) -> Call {
    Call::new(gateway.clone(), "POST", &format!("/quotes/{quote}/price-preview")).token(&world.sales()).json(body)
}

/// The previewed total.
async fn total(gateway: &Arc<Gateway>, world: &World, quote: &str) -> Value {
    let answer = preview(gateway, world, quote, asked()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["totalAmount"].clone()
}

/// A gateway that has nothing in its own memory yet.
pub async fn fresh(world: &World, redis: Option<&str>) -> Arc<Gateway> {
    let mut variables = vec![
        ("CPQ_DATABASE_URL", world.stage.database_url.as_str()),
        ("CPQ_OIDC_JWKS", world.stage.jwks_path.as_str()),
    ];
    variables.extend(redis.map(|url| ("CPQ_REDIS_URL", url)));
    gateway(&variables).await
}

pub async fn redis() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(stack("CPQ_REDIS_URL")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// The only preview of the tenant in Redis.
async fn key(world: &World) -> String {
    let pattern = format!("cpq:{}:quote-preview:*", world.tenant);
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut redis().await).await.unwrap();
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    key.clone()
}

pub async fn stored(key: &str) -> Vec<u8> {
    redis::cmd("GET").arg(key).query_async(&mut redis().await).await.unwrap()
}

pub async fn plant(key: &str, value: &[u8]) {
    redis::cmd("SET").arg(key).arg(value).query_async::<()>(&mut redis().await).await.unwrap();
}

#[test]
fn a_preview_is_the_price_that_pricing_gives_and_stores_nothing() {
    run(async {
        let (world, quote) = configured().await;
        let before = (world.count("command").await, world.count("transition_log").await);
        let previewed = preview(&world.stage.gateway, &world, &quote, asked()).send().await;
        assert_eq!(previewed.status, 200, "{}", previewed.body);
        assert_eq!((previewed.header("etag"), &previewed.body["priceResultId"]), (Some("\"2\""), &Value::Null));
        assert_eq!(previewed.body["totalAmount"], "180.00");
        assert_eq!((world.count("command").await, world.count("transition_log").await), before);

        let priced = world.command("POST", &format!("/quotes/{quote}/pricing"), asked()).await;
        assert_eq!(priced.status, 200, "{}", priced.body);
        let members = |price: &Value| {
            let mut members = price.as_object().unwrap().clone();
            members.retain(|name, _| !["priceResultId", "pricingDate", "freshUntil"].contains(&name.as_str()));
            members
        };
        assert_eq!(members(&previewed.body), members(&priced.body["price"]));
    });
}

#[test]
fn a_preview_is_cached_under_quote_revision_and_inputs() {
    run(async {
        let (world, quote) = configured().await;
        total(&world.stage.gateway, &world, &quote).await;
        let key = key(&world).await;
        let prefix = format!("cpq:{}:quote-preview:{quote}:rev:2:hash:", world.tenant);
        let hash = key.strip_prefix(&prefix).unwrap_or_else(|| panic!("{key}"));
        assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
        let ttl: i64 = redis::cmd("TTL").arg(&key).query_async(&mut redis().await).await.unwrap();
        assert!((1..=600).contains(&ttl), "{ttl}");
    });
}

#[test]
fn a_gateway_shows_what_another_has_computed() {
    run(async {
        let (world, quote) = configured().await;
        assert_eq!(total(&world.stage.gateway, &world, &quote).await, "180.00");
        // Without its catalog nobody can compute it again.
        let mut connection = PgConnection::connect(&world.stage.database_url).await.unwrap();
        connection.execute("set role cpq_system").await.unwrap();
        sqlx::query("delete from cpq.catalog_version where tenant_id = $1")
            .bind(&world.tenant)
            .execute(&mut connection)
            .await
            .unwrap();
        let other = fresh(&world, None).await;
        assert_eq!(total(&other, &world, &quote).await, "180.00");
        let of_other_inputs = preview(&other, &world, &quote, json!({"quoteRevision": 2})).send().await;
        of_other_inputs.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "PRICE_NOT_FOUND");
    });
}

#[test]
fn with_redis_up_flushed_and_down_the_prices_are_the_same() {
    run(async {
        let (world, quote) = configured().await;
        let without = fresh(&world, Some("redis://127.0.0.1:1")).await;
        for round in 0..4 {
            assert_eq!(total(&world.stage.gateway, &world, &quote).await, "180.00");
            assert_eq!(total(&fresh(&world, None).await, &world, &quote).await, "180.00");
            assert_eq!(total(&without, &world, &quote).await, "180.00");
            if round % 2 == 0 {
                let key = key(&world).await;
                redis::cmd("DEL").arg(key).query_async::<()>(&mut redis().await).await.unwrap();
            }
        }
    });
}

/// What lies in Redis instead of the entry.
enum Hostile {
    Bytes(&'static [u8]),
    /// The entry with one text in place of another.
    Altered(&'static str, &'static str),
    Large,
    List,
    /// The entry of another question.
    Another,
}

#[rstest]
#[case::empty(Hostile::Bytes(b""))]
#[case::no_json(Hostile::Bytes(b"{"))]
#[case::no_text(Hostile::Bytes(b"\xff\xfe\x00"))]
#[case::null(Hostile::Bytes(b"null"))]
#[case::no_entry(Hostile::Bytes(b"{\"totalAmount\":\"1.00\"}"))]
#[case::cheaper(Hostile::Altered("180.00", "1.00"))]
#[case::another_currency(Hostile::Altered("USD", "EUR"))]
#[case::another_policy(Hostile::Altered("cpq-pricing-1", "cpq-pricing-2"))]
#[case::for_ever(Hostile::Altered("\"from\":\"2020-01-01T00:00:00Z\"", "\"from\":null"))]
#[case::another_member(Hostile::Altered("{\"price\"", "{\"extra\":1,\"price\""))]
#[case::no_seal(Hostile::Altered("\"seal\"", "\"unsealed\""))]
#[case::too_large(Hostile::Large)]
#[case::another_type(Hostile::List)]
#[case::another_entry(Hostile::Another)]
fn hostile_bytes_in_redis_change_no_price(#[case] hostile: Hostile) {
    run(async {
        let (world, quote) = configured().await;
        assert_eq!(total(&world.stage.gateway, &world, &quote).await, "180.00");
        let key = key(&world).await;
        let entry = stored(&key).await;
        match hostile {
            Hostile::Bytes(bytes) => plant(&key, bytes).await,
            Hostile::Altered(from, to) => {
                let altered = String::from_utf8(entry.clone()).unwrap().replace(from, to);
                assert_ne!(altered.as_bytes(), entry, "{from} is not in the entry");
                plant(&key, altered.as_bytes()).await;
            }
            Hostile::Large => plant(&key, &vec![b' '; 2 << 20]).await,
            Hostile::List => {
                redis::cmd("DEL").arg(&key).query_async::<()>(&mut redis().await).await.unwrap();
                redis::cmd("LPUSH").arg(&key).arg("x").query_async::<()>(&mut redis().await).await.unwrap();
            }
            Hostile::Another => {
                let answer = preview(&world.stage.gateway, &world, &quote, json!({"quoteRevision": 2})).send().await;
                assert_eq!(answer.body["totalAmount"], "200.00", "{}", answer.body);
                let pattern = format!("cpq:{}:quote-preview:*", world.tenant);
                let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut redis().await).await.unwrap();
                let another = keys.iter().find(|other| **other != key).unwrap();
                plant(&key, &stored(another).await).await;
            }
        }
        let gateway = fresh(&world, None).await;
        assert_eq!(total(&gateway, &world, &quote).await, "180.00");
        assert_eq!(stored(&key).await, entry, "what was computed takes its place");
        assert!(gateway.redis.ping().await, "Redis is not given up for what lies in it");
    });
}

#[test]
fn a_price_that_begins_is_shown_from_its_first_moment_on() {
    run(async {
        let (world, quote) = configured().await;
        // Long enough ahead for a busy machine to see the price before.
        let begins = Moment::new(OffsetDateTime::now_utc() + Duration::from_secs(8));
        let mut dearer = catalog("2");
        let mut later = dearer["prices"][0].clone();
        (later["id"], later["amount"], later["validFrom"]) = (json!("later"), json!("150.00"), json!(begins));
        dearer["prices"].as_array_mut().unwrap().push(later);
        world.publish(dearer).await;
        let lines = json!([{"lineNumber": "1", "productOfferingId": "fiber", "quantity": "2", "action": "ADD"}]);
        let path = format!("/quotes/{quote}/configuration");
        let again = world.command("PUT", &path, json!({"quoteRevision": 2, "lines": lines})).await;
        assert_eq!(again.status, 200, "{}", again.body);
        let other = fresh(&world, None).await;
        let mut shown = Vec::new();
        while shown.last() != Some(&json!("300.00")) {
            let now = Moment::new(OffsetDateTime::now_utc());
            assert!(now < begins.plus_hours(1) && shown.len() < 1000);
            for gateway in [&world.stage.gateway, &other] {
                let answer = preview(gateway, &world, &quote, json!({"quoteRevision": 3})).send().await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let at = Moment::parse(answer.body["pricingDate"].as_str().unwrap()).unwrap();
                let expected = if at < begins { "200.00" } else { "300.00" };
                assert_eq!(answer.body["totalAmount"], expected, "at {at}, it begins at {begins}");
                shown.push(answer.body["totalAmount"].clone());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(shown[0], "200.00", "the test was too slow to see the price before");
    });
}

#[test]
fn a_preview_follows_tax_and_customer_at_once() {
    run(async {
        let (world, quote) = configured().await;
        let tax = async || {
            let answer = preview(&world.stage.gateway, &world, &quote, asked()).send().await;
            answer.body["taxAmount"].clone()
        };
        assert_eq!(tax().await, "14.85");
        let mut connection = PgConnection::connect(&world.stage.database_url).await.unwrap();
        connection.execute("set role cpq_system").await.unwrap();
        sqlx::query("update cpq.tenant set document = jsonb_set(document, '{taxRates,0,percent}', '\"10\"') where tenant_id = $1")
            .bind(&world.tenant)
            .execute(&mut connection)
            .await
            .unwrap();
        assert_eq!(tax().await, "18.00");
    });
}

#[test]
fn a_preview_is_judged_like_pricing_without_a_key() {
    run(async {
        let (world, quote) = configured().await;
        let draft = world.quote().await;
        let gateway = &world.stage.gateway;
        let dated = json!({"quoteRevision": 2, "pricingDate": "2026-06-01T00:00:00Z"});
        let unknown =
            json!({"quoteRevision": 2, "lineDiscounts": [{"lineNumber": "9", "percent": "1", "reasonCode": "X"}]});
        let path = format!("/quotes/{quote}/price-preview");
        let by = |token: String| world.request("POST", &path).token(&token).json(asked()).send();
        let cases = [
            (by(world.token("bob", &["approver"])).await, 403, "FORBIDDEN"),
            (preview(gateway, &world, &quote, dated.clone()).send().await, 403, "FORBIDDEN"),
            (preview(gateway, &world, &quote, json!({})).send().await, 422, "VALIDATION_FAILED"),
            (preview(gateway, &world, &quote, unknown).send().await, 422, "VALIDATION_FAILED"),
            (preview(gateway, &world, &quote, json!({"quoteRevision": 1})).send().await, 409, "QUOTE_REVISION_STALE"),
            (
                preview(gateway, &world, &quote, asked()).header("if-match", "\"1\"").send().await,
                412,
                "PRECONDITION_FAILED",
            ),
            (preview(gateway, &world, &draft, json!({"quoteRevision": 1})).send().await, 409, "QUOTE_NOT_CONFIGURED"),
            (by(world.token_for("sam", &["sales-rep"], &[OTHER_ACCOUNT])).await, 404, "QUOTE_NOT_FOUND"),
            (by(World::new().await.sales()).await, 404, "QUOTE_NOT_FOUND"),
        ];
        for (answer, status, code) in cases {
            answer.assert_problem(StatusCode::from_u16(status).unwrap(), code);
        }
        let manager = world.token("sue", &["sales-rep", "order-manager"]);
        let answer = world.request("POST", &path).token(&manager).json(dated).send().await;
        assert_eq!(
            (answer.status, &answer.body["pricingDate"]),
            (200, &json!("2026-06-01T00:00:00Z")),
            "{}",
            answer.body
        );
    });
}
