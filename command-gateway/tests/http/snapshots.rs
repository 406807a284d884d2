//! `GET /catalog/offerings/{offeringId}` by a gateway that has not compiled the catalog: out of Redis where that holds
//! what was published, and the same whatever lies there.

use super::preview::{fresh, plant, redis, stored};
use super::support::*;
use command_gateway::gateway::Gateway;
use rstest::rstest;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::sync::Arc;

async fn offering(gateway: &Arc<Gateway>, world: &World) -> (u16, Value) {
    let call = Call::new(gateway.clone(), "GET", "/catalog/offerings/fiber").token(&world.sales());
    let answer = call.send().await;
    (answer.status, answer.body)
}

fn key(world: &World) -> String {
    format!("cpq:{}:catalog:offering:fiber:v:1", world.tenant)
}

/// Makes the published document unusable, whatever was said of it.
async fn break_document(world: &World) {
    let mut connection = PgConnection::connect(&world.stage.database_url).await.unwrap();
    connection.execute("set role cpq_system").await.unwrap();
    let broken = sqlx::query("update cpq.catalog_version set document = '{}' where tenant_id = $1").bind(&world.tenant);
    assert_eq!(broken.execute(&mut connection).await.unwrap().rows_affected(), 1);
}

#[test]
fn an_offering_is_shown_out_of_redis_without_the_catalog() {
    run(async {
        let world = World::new().await;
        let shown = offering(&fresh(&world, None).await, &world).await;
        assert_eq!((shown.0, &shown.1["version"]), (200, &Value::from("1")));
        let ttl: i64 = redis::cmd("TTL").arg(key(&world)).query_async(&mut redis().await).await.unwrap();
        assert!((1..=3600).contains(&ttl), "{ttl}");

        break_document(&world).await;
        assert_eq!(offering(&fresh(&world, None).await, &world).await, shown);
        let without = fresh(&world, Some("redis://127.0.0.1:1")).await;
        assert_eq!(offering(&without, &world).await.0, 500, "the catalog itself is broken");
    });
}

#[rstest]
#[case::empty(|_: &str| b"".to_vec())]
#[case::no_json(|_: &str| b"{".to_vec())]
#[case::no_text(|_: &str| b"\xff\xfe\x00".to_vec())]
#[case::another_name(|entry: &str| entry.replace("\"fiber\"", "\"fibre\"").into_bytes())]
#[case::another_window(|entry: &str| entry.replace("2020-", "2030-").into_bytes())]
#[case::no_offering(|_: &str| br#"{"offerings":[],"seal":"sha256:00"}"#.to_vec())]
#[case::too_large(|_: &str| vec![b' '; 1 << 20])]
fn hostile_bytes_in_redis_change_no_offering(#[case] hostile: fn(&str) -> Vec<u8>) {
    run(async {
        let world = World::new().await;
        let shown = offering(&fresh(&world, None).await, &world).await;
        assert_eq!(shown.0, 200, "{}", shown.1);
        let entry = stored(&key(&world)).await;
        let planted = hostile(std::str::from_utf8(&entry).unwrap());
        assert_ne!(planted, entry);
        plant(&key(&world), &planted).await;
        assert_eq!(offering(&fresh(&world, None).await, &world).await, shown);
        assert_eq!(stored(&key(&world)).await, entry, "what was published takes its place");
    });
}

#[test]
fn a_catalog_published_elsewhere_is_at_hand_before_it_is_asked_for() {
    run(async {
        let world = World::new().await;
        let other = fresh(&world, None).await;
        let tenant = world.tenant.as_str().into();
        let began = std::time::Instant::now();
        let mut version = 2;
        // A hint may come before the other listens: it is only a hint.
        while !(2..=version).any(|version| other.references.at_hand(&tenant, &version.to_string()).is_some()) {
            assert!(began.elapsed() < std::time::Duration::from_secs(60), "no hint was heard of {version} catalogs");
            version += 1;
            world.publish(catalog(&version.to_string())).await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    });
}
