//! `cpq dlq redrive|discard|edit`: what is done without `--yes`, and what with it. No consumer runs on these databases: a
//! key that was let go stays on its way.

use crate::support::{Database, Said, unique};
use cpq_avro::{AggregateType, Command, Encoder, Schemas};
use cpq_domain::command::CommandMeta;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{Row as _, types::Json};
use std::path::PathBuf;

const QUOTE: &str = "Q-2026-000001";

/// A client's command that cannot be read, 14 records behind it, and a key that the relay holds.
async fn parked() -> Database {
    let database = Database::migrated().await;
    database
        .execute(
            "insert into cpq.command (tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, aggregate_type, aggregate_id, \
               correlation_id, received_at) \
               values ('t', 'c-1', 'submitForApproval', 'alice', 'k', '\\x01', 'QUOTE', 'Q-2026-000001', 'corr', now()); \
             insert into cpq.parked_key (consumer, topic, message_key, tenant_id, cause) \
               values ('quote', 'cpq.quote.commands.v1', 'Q-2026-000001', 't', 'undecodable'), \
                      ('relay', 'cpq.quote.events.v1', 'Q-2026-000002', 't', 'too large'); \
             insert into cpq.parked_record (consumer, topic, partition, record_offset, message_key, tenant_id, value, headers, cause) \
               select 'quote', 'cpq.quote.commands.v1', 3, 7 + n, 'Q-2026-000001', 't', '\\xff', \
                 case n when 0 then '[[\"ce_id\",\"c-1\"],[\"tenant_id\",\"t\"]]' else '[]' end::jsonb, \
                 case n when 0 then 'undecodable' else 'behind a parked record' end from generate_series(0, 14) n",
        )
        .await;
    database
}

async fn status(database: &Database, key: &str) -> Option<String> {
    let query = "select status from cpq.parked_key where message_key = $1";
    sqlx::query_scalar(query).bind(key).fetch_optional(&mut database.connect().await).await.unwrap()
}

/// Action, actor, chain and detail of what operators did.
async fn audited(database: &Database) -> Vec<[String; 4]> {
    let query = "select action, actor_id, aggregate_id, detail from cpq.audit order by recorded_at";
    let rows = sqlx::query(query).fetch_all(&mut database.connect().await).await.unwrap();
    rows.iter().map(|row| std::array::from_fn(|column| row.get(column))).collect()
}

#[rstest]
#[case::redrive("redrive", "this applies")]
#[case::discard("discard", "this gives up")]
#[tokio::test]
async fn without_yes_it_is_only_told_what_would_be_released(#[case] action: &str, #[case] said: &str) {
    let database = parked().await;
    let told = database.cpq(&format!("dlq {action} {QUOTE}")).expect(0).out;
    assert!(told.contains(said) && told.contains("releases 14 records behind it on Q-2026-000001"), "{told}");
    assert!(told.contains("nothing was changed"), "{told}");
    assert_eq!(status(&database, QUOTE).await.as_deref(), Some("PARKED"));
    let without_reason = database.cpq(&format!("dlq {action} {QUOTE} --yes"));
    assert_eq!(without_reason.code, 2, "{without_reason:?}");
    assert_eq!(audited(&database).await, [[""; 4]; 0]);
}

#[tokio::test]
async fn a_key_that_is_let_go_is_on_its_way_and_audited() {
    let database = parked().await;
    let done =
        database.cpq(&format!("dlq redrive {QUOTE} --yes --reason mended --actor olga -o json")).expect(0).json();
    assert_eq!((&done["free"], &done["deadLetter"]["records"]), (&json!(false), &json!(15)));
    assert_eq!(status(&database, QUOTE).await.as_deref(), Some("REDRIVING"));
    let again = database.cpq(&format!("dlq discard {QUOTE} --yes --reason mended")).expect(1);
    assert!(again.err.contains("being applied right now"), "{again:?}");
    let entries = audited(&database).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0][..3], ["RedriveDeadLetter", "olga", QUOTE].map(str::to_owned));
    assert!(entries[0][3].contains("mended") && entries[0][3].contains("14 behind it"), "{entries:?}");
    let shown = database.cpq(&format!("dlq show {QUOTE}")).expect(0).out;
    assert!(shown.contains("REDRIVE offset 7 by olga: mended") && shown.contains("under way"), "{shown}");
    database.cpq("verify audit").expect(0);
}

#[tokio::test]
async fn a_command_that_is_given_up_has_an_outcome_and_the_rest_is_on_its_way() {
    let database = parked().await;
    let done =
        database.cpq(&format!("dlq discard {QUOTE} --yes --reason nonsense --actor olga -o json")).expect(0).json();
    assert_eq!((&done["answeredCommand"], &done["free"]), (&json!("c-1"), &json!(false)));
    let query = "select status, rejection ->> 'code' from cpq.command_outcome where command_id = 'c-1'";
    let row = sqlx::query(query).fetch_one(&mut database.connect().await).await.unwrap();
    assert_eq!((row.get::<String, _>(0), row.get::<String, _>(1)), ("REJECTED".to_owned(), "INTERNAL".to_owned()));
    let listed = database.cpq("dlq list --consumer quote -o json").expect(1).json();
    assert_eq!((&listed[0]["records"], &listed[0]["status"]), (&json!(14), &json!("REDRIVING")));
    // Once as what the operator did, once as what became of the command.
    let entries = audited(&database).await;
    assert_eq!(entries.iter().map(|entry| entry[0].as_str()).collect::<Vec<_>>(), ["DiscardDeadLetter"; 2]);
    database.cpq("verify audit").expect(0);
}

#[tokio::test]
async fn what_the_relay_holds_is_published_again_but_never_given_up() {
    let database = parked().await;
    let refused = database.cpq("dlq discard Q-2026-000002 --yes --reason r --force").expect(1);
    assert!(refused.err.contains("cannot be given up"), "{refused:?}");
    let done = database.cpq("dlq redrive Q-2026-000002 --yes --reason mended -o json").expect(0).json();
    assert_eq!(done["free"], true);
    assert_eq!(status(&database, "Q-2026-000002").await, None);
    // Released, it is known by its id and by what was done.
    let id = done["deadLetter"]["deadLetterId"].as_str().unwrap();
    assert!(database.cpq(&format!("dlq show {id}")).expect(0).out.contains("is released"));
    // Parked again for the same cause three times: mend it first.
    let park = "insert into cpq.parked_key (consumer, topic, message_key, tenant_id, cause) \
                values ('relay', 'cpq.quote.events.v1', 'Q-2026-000002', 't', 'too large')";
    for _ in 0..2 {
        database.execute(park).await;
        database.cpq("dlq redrive Q-2026-000002 --yes --reason again").expect(0);
    }
    database.execute(park).await;
    let looped = database.cpq("dlq redrive Q-2026-000002 --yes --reason again").expect(1);
    assert!(looped.err.contains("3 redrives in a row") && looped.err.contains("--force"), "{looped:?}");
    assert_eq!(database.cpq("dlq redrive Q-2026-000002").code, 1, "a dry run says that it would be refused");
    database.cpq("dlq redrive Q-2026-000002 --yes --reason again --force").expect(0);
}

#[tokio::test]
async fn a_key_that_two_consumers_parked_is_named_exactly() {
    let database = parked().await;
    database
        .execute(
            "insert into cpq.parked_key (consumer, topic, message_key, tenant_id, cause) \
             values ('relay', 'cpq.quote.events.v1', 'Q-2026-000001', 't', 'too large')",
        )
        .await;
    let two = database.cpq(&format!("dlq redrive {QUOTE}")).expect(2);
    assert!(two.err.contains("quote of cpq.quote.commands.v1, relay of cpq.quote.events.v1"), "{two:?}");
    database.cpq(&format!("dlq redrive {QUOTE} --consumer quote")).expect(0);
}

/// The command as its client sent it.
fn good() -> Value {
    json!({
        "meta": {
            "commandId": "c-1", "tenantId": "t", "correlationId": "corr", "causationId": null,
            "receivedAt": "2026-01-01T00:00:00Z", "ifMatch": null, "traceparent": null,
            "claims": {"actorId": "alice", "actorType": "USER", "roles": ["sales-rep"], "customerAccounts": ["*"]},
        },
        "aggregateType": "QUOTE", "aggregateId": QUOTE,
        "command": {"type": "SubmitForApproval", "payload": {"quoteRevision": 3, "justification": null}},
    })
}

fn file(content: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(unique("cpq_edit"));
    std::fs::write(&path, content).unwrap();
    path
}

fn edit(database: &Database, command: &Value, more: &str) -> Said {
    let path = file(command.to_string().as_bytes());
    let said = database.cpq(&format!("dlq edit {QUOTE} --command {} {more}", path.display()));
    std::fs::remove_file(path).unwrap();
    said
}

#[tokio::test]
async fn an_edit_that_does_not_fit_the_schema_is_refused() {
    let database = parked().await;
    database.cpq("schemas register").expect(0);
    let with = |pointer: &str, value: Value| {
        let mut command = good();
        *command.pointer_mut(pointer).unwrap() = value;
        command
    };
    let cases = [
        (with("/command/payload", json!({})), "quoteRevision"),
        (with("/command/payload/quoteRevision", json!("three")), "does not fit its schema"),
        (with("/command/type", json!("SubmitForNothing")), "SubmitForNothing"),
        (with("/meta/commandId", json!("c-2")), "ce_id"),
        (with("/meta/tenantId", json!("u")), "tenant"),
        (with("/meta/claims/actorId", json!("mallory")), "was ever accepted"),
        (with("/aggregateId", json!("Q-2026-000009")), "aggregate"),
    ];
    for (command, said) in cases {
        let refused = edit(&database, &command, "--yes --reason r").expect(1);
        assert!(refused.err.contains(said), "{said}: {refused:?}");
    }
    let bytes = file(b"\x00\x00\x00\x00\x01no record");
    let refused = database.cpq(&format!("dlq edit {QUOTE} --value {} --yes --reason r", bytes.display())).expect(1);
    std::fs::remove_file(bytes).unwrap();
    assert!(refused.err.contains("does not fit its schema"), "{refused:?}");
    // Bytes that cannot be read are not helped by a header.
    database.cpq(&format!("dlq edit {QUOTE} --header a=b --yes --reason r")).expect(1);

    let untouched = "select count(*) from cpq.parked_record where value = '\\xff'";
    let count: i64 = sqlx::query_scalar(untouched).fetch_one(&mut database.connect().await).await.unwrap();
    assert_eq!((count, audited(&database).await.len()), (15, 0));
}

#[tokio::test]
async fn a_command_that_is_put_right_is_kept_as_it_was_and_audited() {
    let database = parked().await;
    database.cpq("schemas register").expect(0);
    let told = edit(&database, &good(), "").expect(0).out;
    assert!(told.contains("SubmitForApproval") && told.contains("nothing was changed"), "{told}");
    edit(&database, &good(), "--yes --reason mended --actor olga").expect(0);
    let shown = database.cpq(&format!("dlq show {QUOTE} -o json")).expect(0).json();
    assert_eq!(shown["records"][0]["record"], good());
    assert_eq!((&shown["records"][1]["record"], &shown["deadLetters"][0]["status"]), (&Value::Null, &json!("PARKED")));
    let query = "select value, headers, reason, outcome from cpq.dead_letter_action where action = 'EDIT'";
    let row = sqlx::query(query).fetch_one(&mut database.connect().await).await.unwrap();
    let Json(headers): Json<Value> = row.get(1);
    assert_eq!((row.get::<Vec<u8>, _>(0), headers), (vec![0xff], json!([["ce_id", "c-1"], ["tenant_id", "t"]])));
    assert_eq!((row.get::<String, _>(2), row.get::<String, _>(3)), ("mended".to_owned(), "EDITED".to_owned()));
    let entries = audited(&database).await;
    assert_eq!(entries[0][..3], ["EditDeadLetter", "olga", QUOTE].map(str::to_owned));

    // The claims of who sent it stay as they are, once they can be read.
    let mut raised = good();
    raised["meta"]["claims"]["roles"] = json!(["sales-rep", "order-manager"]);
    let refused = edit(&database, &raised, "--yes --reason r").expect(1);
    assert!(refused.err.contains("claims"), "{refused:?}");
    // A header alone, now that the bytes are good.
    database.cpq(&format!("dlq edit {QUOTE} --header traceparent=00-1 --yes --reason r")).expect(0);
    database.cpq(&format!("dlq redrive {QUOTE} --yes --reason mended")).expect(0);
    database.cpq("verify audit").expect(0);
}

/// What the command line writes is what a client's command looks like on the topic.
#[tokio::test]
async fn an_edited_command_stands_there_as_its_producer_would_have_written_it() {
    let database = parked().await;
    database.cpq("schemas register").expect(0);
    edit(&database, &good(), "--yes --reason mended").expect(0);
    let rows = sqlx::query("select subject, schema_id from cpq.registered_schema")
        .fetch_all(&mut database.connect().await)
        .await
        .unwrap();
    let ids = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let encoder = Encoder::new(Schemas::load().unwrap(), &ids).unwrap();
    let meta: CommandMeta = serde_json::from_value(good()["meta"].clone()).unwrap();
    let command = Command::Quote(serde_json::from_value(good()["command"].clone()).unwrap());
    let expected = encoder.command(&meta, AggregateType::Quote, QUOTE, &command).unwrap();
    let query = "select value from cpq.parked_record where record_offset = 7";
    let stands: Vec<u8> = sqlx::query_scalar(query).fetch_one(&mut database.connect().await).await.unwrap();
    assert_eq!(stands, expected);
}
