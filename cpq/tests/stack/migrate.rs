//! `cpq migrate`.

use crate::support::Database;

#[tokio::test]
async fn a_second_migration_finds_nothing_to_do() {
    let database = Database::empty().await;
    let first = database.cpq("migrate -o json").expect(0).json();
    assert_eq!(first["applied"][0]["name"], "reference");
    let second = database.cpq("migrate -o json").expect(0).json();
    assert_eq!(second["applied"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn two_migrations_at_once_apply_each_file_once() {
    let database = std::sync::Arc::new(Database::empty().await);
    let other = database.clone();
    let beside = std::thread::spawn(move || other.cpq("migrate").expect(0));
    database.cpq("migrate").expect(0);
    beside.join().unwrap();
    database.cpq("migrate -o json").expect(0);
}

#[tokio::test]
async fn a_database_that_does_not_come_ends_the_wait_with_a_hint() {
    let database = Database::empty().await;
    let nobody = [("CPQ_OWNER_DATABASE_URL", "postgres://cpq_owner:secret@127.0.0.1:1/cpq")];
    let said = database.cpq_with("migrate --wait 2s", &nobody).expect(1);
    assert!(said.err.contains("CPQ_OWNER_DATABASE_URL") && !said.err.contains("secret"), "{said:?}");
}

#[tokio::test]
async fn a_missing_setting_is_a_wrong_call() {
    let database = Database::empty().await;
    let said = database.cpq_with("migrate", &[("CPQ_OWNER_DATABASE_URL", "")]).expect(2);
    assert!(said.err.contains("CPQ_OWNER_DATABASE_URL is not set"), "{said:?}");
}
