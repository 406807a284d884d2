//! `cpq schemas`.

use crate::support::Database;

#[tokio::test]
async fn registering_stores_the_ids_once() {
    let database = Database::migrated().await;
    let first = database.cpq("schemas register -o json").expect(0).json();
    let all = first["schemas"].as_u64().unwrap();
    assert_eq!(first["changed"].as_array().map(Vec::len), Some(all as usize));
    let second = database.cpq("schemas register -o json").expect(0).json();
    assert_eq!(second["changed"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn checking_names_every_schema_with_its_id() {
    let database = Database::migrated().await;
    database.cpq("schemas register").expect(0);
    let report = database.cpq("schemas check -o json").expect(0).json();
    let schemas = report["schemas"].as_array().unwrap();
    assert!(schemas.iter().all(|s| s["state"] == "registered" && s["schemaId"].is_i64()), "{report}");
}
