//! `cpq verify audit`: what somebody does to the audit table with the database's own means shows.

use crate::support::Database;
use cpq_state_stores::Db;
use cpq_state_stores::decisions::{self, AuditEntry, OutcomeRow, Records, audit_hash};
use rstest::rstest;
use sqlx::Row as _;
use std::path::PathBuf;
use time::OffsetDateTime;

const QUOTE: &str = "Q-2026-000001";
const ENTRIES: i64 = 5;

/// A chain as the product writes it: decisions with their outcomes.
async fn chain(database: &Database) {
    let db = Db::connect_lazy(&database.app_url(), "test", 1).unwrap();
    for number in 1..=ENTRIES {
        let at = OffsetDateTime::UNIX_EPOCH;
        let (tenant_id, command_id) = ("t".to_owned(), format!("c{number}"));
        let outcome = OutcomeRow {
            tenant_id: tenant_id.clone(),
            command_id: command_id.clone(),
            aggregate_type: "QUOTE",
            aggregate_id: QUOTE.to_owned(),
            aggregate_revision: Some(1),
            aggregate_sequence: Some(1),
            applied: Some("{}".to_owned()),
            rejection: None,
            decided_at: at,
        };
        let entry = AuditEntry {
            tenant_id,
            aggregate_id: QUOTE.to_owned(),
            action: "PriceQuote",
            outcome: "APPLIED",
            error_code: None,
            actor_id: "alice".to_owned(),
            actor_type: "USER",
            claims: "{}".to_owned(),
            command_id,
            correlation_id: "x".to_owned(),
            detail: None,
            recorded_at: at,
        };
        let mut tx = db.begin(&["t".into()]).await.unwrap();
        let records = Records { outcomes: vec![outcome], transitions: Vec::new(), audit: vec![entry] };
        decisions::append(&mut tx, &records).await.unwrap();
        tx.commit().await.unwrap();
    }
    db.close().await;
}

/// Somebody who may write everything edits entry 2 and chains the rest again, as the product would have.
async fn chain_again(database: &Database) {
    database.execute("update cpq.audit set actor_id = 'mallory' where entry = 2").await;
    let mut connection = database.connect().await;
    let mut previous: Option<String> = None;
    for number in 1..=ENTRIES {
        let query = "select actor_id, previous_hash, command_id from cpq.audit where entry = $1";
        let row = sqlx::query(query).bind(number).fetch_one(&mut connection).await.unwrap();
        let entry = AuditEntry {
            tenant_id: "t".to_owned(),
            aggregate_id: QUOTE.to_owned(),
            action: "PriceQuote",
            outcome: "APPLIED",
            error_code: None,
            actor_id: row.get(0),
            actor_type: "USER",
            claims: "{}".to_owned(),
            command_id: row.get(2),
            correlation_id: "x".to_owned(),
            detail: None,
            recorded_at: OffsetDateTime::UNIX_EPOCH,
        };
        let before = previous.unwrap_or_else(|| row.get(1));
        let hash = audit_hash(&entry, number, &before);
        let update = "update cpq.audit set previous_hash = $2, entry_hash = $3 where entry = $1";
        sqlx::query(update).bind(number).bind(before).bind(&hash).execute(&mut connection).await.unwrap();
        previous = Some(hash);
    }
}

/// What is done to the table, and what the verifier says of it, without the witness and with it.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Statement(&'static str),
    ChainAgain,
}

const NOT_SEEN: Option<&str> = None;

#[rstest]
#[case::edited(
    Deed::Statement("update cpq.audit set actor_id = 'mallory' where entry = 2"),
    Some("was changed: its content does not give its hash"),
    "was changed: its content does not give its hash"
)]
#[case::taken_out(
    Deed::Statement("delete from cpq.audit where entry = 3"),
    Some("follows entry 2: entries were removed"),
    "follows entry 2: entries were removed"
)]
#[case::cut_off_at_the_beginning(
    Deed::Statement("delete from cpq.audit where entry <= 2"),
    Some("follows entry 0: entries were removed"),
    "follows entry 0: entries were removed"
)]
#[case::cut_off_at_the_end(
    Deed::Statement("delete from cpq.audit where entry > 3"),
    Some("was decided and has no audit entry"),
    "the chain was cut off"
)]
#[case::cut_off_with_what_it_told_of(
    Deed::Statement(
        "delete from cpq.audit where entry > 3; delete from cpq.command_outcome where command_id in ('c4', 'c5')"
    ),
    NOT_SEEN,
    "the chain was cut off"
)]
#[case::gone_wholly(
    Deed::Statement("delete from cpq.audit; delete from cpq.command_outcome"),
    NOT_SEEN,
    "the chain was cut off"
)]
#[case::chained_again(Deed::ChainAgain, NOT_SEEN, "the chain was made anew")]
#[tokio::test]
async fn fault_62_an_audit_entry_that_is_edited_cut_off_or_chained_again_shows(
    #[case] deed: Deed,
    #[case] by_itself: Option<&str>,
    #[case] with_witness: &str,
) {
    let database = Database::migrated().await;
    chain(&database).await;
    let witness = Witness::new();
    let line = format!("verify audit --write-witness {}", witness.0.display());
    database.cpq(&line).expect(0);
    let line = format!("verify audit --witness {}", witness.0.display());
    database.cpq(&line).expect(0);

    match deed {
        Deed::Statement(statement) => database.execute(statement).await,
        Deed::ChainAgain => chain_again(&database).await,
    }
    let alone = database.cpq("verify audit").expect(i32::from(by_itself.is_some()));
    assert!(by_itself.is_none_or(|words| alone.out.contains(words)), "{alone:?}");
    let said = database.cpq(&line).expect(1);
    assert!(said.out.contains(with_witness), "{said:?}");
}

#[tokio::test]
async fn a_chain_that_has_grown_since_is_the_witnessed_one() {
    let database = Database::migrated().await;
    chain(&database).await;
    let witness = Witness::new();
    database.cpq(&format!("verify audit --write-witness {}", witness.0.display())).expect(0);
    database.execute("delete from cpq.command_outcome").await;
    chain(&database).await;
    let said = database.cpq(&format!("verify audit --witness {} -o json", witness.0.display())).expect(0).json();
    assert_eq!(said["numbers"]["entries"], 2 * ENTRIES);
}

#[tokio::test]
async fn a_table_with_a_fault_is_no_witness() {
    let database = Database::migrated().await;
    chain(&database).await;
    database.execute("update cpq.audit set actor_id = 'mallory' where entry = 2").await;
    let witness = Witness::new();
    database.cpq(&format!("verify audit --write-witness {}", witness.0.display())).expect(1);
    assert!(!witness.0.exists());
    let said = database.cpq(&format!("verify audit --witness {}", witness.0.display())).expect(2);
    assert!(said.err.contains("No such file"), "{said:?}");
}

/// A file of its own, removed at the end.
struct Witness(PathBuf);

impl Witness {
    fn new() -> Self {
        Self(std::env::temp_dir().join(crate::support::unique("witness")))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.0);
    }
}
