//! `/dead-letters`: what operators see of parked keys, and what they do with them. No consumer runs here: a key that was
//! let go stays REDRIVING.

use super::support::*;
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

const TOPIC: &str = "cpq.quote.commands.v1";

async fn connect(world: &World) -> PgConnection {
    let mut connection = PgConnection::connect(&world.stage.database_url).await.unwrap();
    connection.execute("set role cpq_system").await.unwrap();
    connection
}

/// Parks a key of the `quote` consumer as it does: the first record with its cause, the others behind it. Gives the id.
async fn park(world: &World, key: &str, first: &str, behind: i64) -> String {
    let mut connection = connect(world).await;
    let id: String = sqlx::query_scalar(
        "insert into cpq.parked_key (consumer, topic, message_key, tenant_id, cause) values ('quote', $1, $2, $3, 'undecodable') \
         returning dead_letter_id",
    )
    .bind(TOPIC)
    .bind(key)
    .bind(&world.tenant)
    .fetch_one(&mut connection)
    .await
    .unwrap();
    // Offsets are the topic's, which all tests share.
    let headers = json!([["ce_id", first], ["ce_type", "cpq.quote.CreateQuote.v1"], ["tenant_id", world.tenant]]);
    sqlx::query(
        "with base as (select coalesce(max(record_offset), 0) + 1 as first from cpq.parked_record) \
         insert into cpq.parked_record (consumer, topic, partition, record_offset, message_key, tenant_id, value, headers, cause) \
         select 'quote', $1, 0, base.first + n, $2, $3, '\\xff', case n when 0 then $4 else '[]' end, \
           case n when 0 then 'undecodable' else 'behind a parked record of the same key' end \
         from base, generate_series(0, $5) n",
    )
    .bind(TOPIC)
    .bind(key)
    .bind(&world.tenant)
    .bind(headers)
    .bind(behind)
    .execute(&mut connection)
    .await
    .unwrap();
    id
}

/// One insertion at a time: their offsets follow from what is there.
static PARKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn parked(world: &World, first: &str, behind: i64) -> String {
    let _alone = PARKING.lock().await;
    park(world, &format!("Q-{}", unique()), first, behind).await
}

fn operator(world: &World) -> String {
    world.token("olga", &["operator"])
}

async fn get(world: &World, path: &str) -> Answer {
    world.request("GET", path).token(&operator(world)).send().await
}

async fn act(world: &World, id: &str, action: &str, key: &str, body: Value) -> Answer {
    let request = world.request("POST", &format!("/dead-letters/{id}/{action}"));
    request.token(&operator(world)).key(key).json(body).send().await
}

async fn execute(world: &World, statement: &'static str, id: &str) {
    sqlx::query(statement).bind(id).execute(&mut connect(world).await).await.unwrap();
}

fn reason() -> Value {
    json!({"reason": "mended"})
}

/// A command that was accepted and is never decided, parked by its processor. Gives its id, its key, and the dead letter.
async fn parked_command(world: &World, behind: i64) -> (String, String, String) {
    let key = unique();
    let answer = create(world, &key, "respond-async").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let command = answer.body["commandId"].as_str().unwrap().to_owned();
    let quote = answer.body["aggregateId"].as_str().unwrap();
    let _alone = PARKING.lock().await;
    let letter = park(world, quote, &command, behind).await;
    (command, key, letter)
}

async fn create(world: &World, key: &str, prefer: &str) -> Answer {
    let body = json!({"customerAccountId": ACCOUNT, "currency": "USD"});
    world.request("POST", "/quotes").token(&world.sales()).key(key).header("prefer", prefer).json(body).send().await
}

#[test]
fn a_discarded_command_answers_its_client() {
    run(async {
        let world = World::new().await;
        let (command, key, letter) = parked_command(&world, 0).await;
        let waiting = create(&world, &key, "wait=20");
        let discarding = async {
            // The client is in its wait by then; should it come later, it is answered all the same.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            act(&world, &letter, "discard", &unique(), reason()).await
        };
        let (waited, discarded) = tokio::join!(waiting, discarding);
        assert_eq!((discarded.status, &discarded.body["status"]), (200, &json!("RELEASED")), "{}", discarded.body);
        assert!(discarded.body["warnings"][0].as_str().unwrap().contains(&command), "{}", discarded.body);
        waited.assert_problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL");
        assert!(waited.body["detail"].as_str().unwrap().contains("an operator has given it up"), "{}", waited.body);

        let told = world.request("GET", &format!("/commands/{command}")).token(&world.sales()).send().await;
        assert_eq!((told.status, &told.body["status"]), (200, &json!("REJECTED")), "{}", told.body);
        assert_eq!(told.body["problem"]["errorCode"], "INTERNAL");
        let again = create(&world, &key, "wait=1").await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (500, Some("true")), "{}", again.body);
        assert_eq!(world.count("parked_record").await + world.count("parked_key").await, 0);
        // What was given up is kept.
        let kept = "select value, headers::text from cpq.dead_letter_action where dead_letter_id = $1";
        let row = sqlx::query(kept).bind(&letter).fetch_one(&mut connect(&world).await).await.unwrap();
        assert_eq!(row.get::<Vec<u8>, _>(0), b"\xff");
        assert!(row.get::<String, _>(1).contains(&command));
    });
}

#[test]
fn a_dry_run_says_what_is_released_and_changes_nothing() {
    run(async {
        let world = World::new().await;
        let (_, _, letter) = parked_command(&world, 14).await;
        let by_query = world.request("POST", &format!("/dead-letters/{letter}/redrive?dryRun=true"));
        let by_query = by_query.token(&operator(&world)).key(&unique()).json(json!({})).send().await;
        for answer in [act(&world, &letter, "redrive", &unique(), json!({"dryRun": true})).await, by_query] {
            assert_eq!((answer.status, &answer.body["status"]), (200, &json!("PARKED")), "{}", answer.body);
            assert_eq!((&answer.body["behind"], &answer.body["dryRun"]), (&json!(14), &json!(true)));
            let summary = answer.body["summary"].as_str().unwrap();
            assert!(summary.contains("releases 14 records behind it on Q-"), "{summary}");
        }
        let shown = get(&world, &format!("/dead-letters/{letter}")).await;
        assert_eq!((&shown.body["status"], &shown.body["records"]), (&json!("PARKED"), &json!(15)), "{}", shown.body);
        assert_eq!(shown.body["kind"], "CLIENT_COMMAND");
        assert_eq!(shown.body["actions"], json!([]));
        assert_eq!(shown.body["waiting"].as_array().map(Vec::len), Some(15));
        assert_eq!((world.count("audit").await, world.count("dead_letter_action").await), (0, 0));
    });
}

#[test]
fn a_redrive_is_accepted_once_and_audited_however_often_it_is_sent() {
    run(async {
        let world = World::new().await;
        let letter = parked(&world, "unknown", 2).await;
        let key = unique();
        let first = act(&world, &letter, "redrive", &key, reason()).await;
        assert_eq!((first.status, &first.body["status"]), (202, &json!("REDRIVING")), "{}", first.body);
        assert_eq!(first.header("location"), Some(format!("/dead-letters/{letter}").as_str()));
        let again = act(&world, &letter, "redrive", &key, reason()).await;
        assert_eq!((again.status, &again.body, again.header("idempotency-replayed")), (202, &first.body, Some("true")));
        act(&world, &letter, "redrive", &key, json!({"reason": "other"}))
            .await
            .assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED");
        let busy = act(&world, &letter, "redrive", &unique(), reason()).await;
        busy.assert_problem(StatusCode::CONFLICT, "DEAD_LETTER_BUSY");
        assert_eq!(busy.body["retryable"], true);

        let shown = get(&world, &format!("/dead-letters/{letter}")).await;
        assert_eq!(
            (&shown.body["status"], &shown.body["actions"][0]["actorId"]),
            (&json!("REDRIVING"), &json!("olga"))
        );
        assert_eq!(shown.body["actions"].as_array().map(Vec::len), Some(1));
        let entries = "select action, actor_id, detail, claims::text from cpq.audit where tenant_id = $1";
        let rows = sqlx::query(entries).bind(&world.tenant).fetch_all(&mut connect(&world).await).await.unwrap();
        let entries: Vec<[String; 4]> = rows.iter().map(|row| std::array::from_fn(|column| row.get(column))).collect();
        assert_eq!(entries.len(), 1);
        assert_eq!([entries[0][0].as_str(), entries[0][1].as_str()], ["RedriveDeadLetter", "olga"]);
        assert!(entries[0][2].contains("mended") && entries[0][3].contains("operator"), "{entries:?}");
        let command = first.body["actionId"].as_str().unwrap();
        let told = get(&world, &format!("/commands/{command}")).await;
        assert_eq!((&told.body["status"], &told.body["aggregateType"]), (&json!("APPLIED"), &json!("DEAD_LETTER")));
        let unaudited = "select count(*) from cpq.command_outcome o where o.tenant_id = $1 and not exists (select from cpq.audit a \
           where (a.tenant_id, a.aggregate_id, a.command_id) = (o.tenant_id, o.aggregate_id, o.command_id))";
        let unaudited = sqlx::query_scalar::<_, i64>(unaudited).bind(&world.tenant);
        assert_eq!(unaudited.fetch_one(&mut connect(&world).await).await.unwrap(), 0);
    });
}

#[test]
fn the_loop_guard_refuses_what_failed_alike_again_and_again_unless_forced() {
    run(async {
        let world = World::new().await;
        let letter = parked(&world, "unknown", 0).await;
        let failed = "update cpq.parked_record set attempts = 5, same_cause = 3 from cpq.parked_key k \
                      where k.dead_letter_id = $1 and parked_record.message_key = k.message_key";
        execute(&world, failed, &letter).await;
        let dry = act(&world, &letter, "redrive", &unique(), json!({"dryRun": true})).await;
        assert_eq!(dry.body["refusal"]["errorCode"], "DEAD_LETTER_NEEDS_FORCE", "{}", dry.body);
        let key = unique();
        let refused = act(&world, &letter, "redrive", &key, reason()).await;
        refused.assert_problem(StatusCode::CONFLICT, "DEAD_LETTER_NEEDS_FORCE");
        assert!(refused.body["detail"].as_str().unwrap().contains("3 redrives"), "{}", refused.body);
        // A refusal leaves the key free.
        let forced = act(&world, &letter, "redrive", &key, json!({"reason": "mended", "force": true})).await;
        assert_eq!(forced.status, 202, "{}", forced.body);
    });
}

#[rstest]
#[case::own_command("", "discard", json!({"reason": "r"}), "DEAD_LETTER_NEEDS_FORCE")]
#[case::held("HELD", "discard", json!({"reason": "r", "force": true}), "DEAD_LETTER_NOT_DISCARDABLE")]
fn what_others_wait_for_is_not_given_up_lightly(
    #[case] held: &str,
    #[case] action: &str,
    #[case] body: Value,
    #[case] code: &str,
) {
    run(async {
        let world = World::new().await;
        let (command, _, letter) = parked_command(&world, 0).await;
        // One that a processor of ours sent has no fingerprint; a key that the relay holds has no record here.
        execute(&world, "update cpq.command set fingerprint = '' where command_id = $1", &command).await;
        if !held.is_empty() {
            let taken = "delete from cpq.parked_record r using cpq.parked_key k \
                         where k.dead_letter_id = $1 and r.message_key = k.message_key";
            execute(&world, taken, &letter).await;
        }
        act(&world, &letter, action, &unique(), body).await.assert_problem(StatusCode::CONFLICT, code);
        let told = world.request("GET", &format!("/commands/{command}")).token(&world.sales()).send().await;
        assert_eq!(told.body["status"], "PENDING");
    });
}

#[test]
fn a_dead_letter_is_seen_by_operators_and_auditors_of_its_tenant_alone() {
    run(async {
        let (world, other) = (World::new().await, World::new().await);
        let letter = parked(&world, "unknown", 0).await;
        let place = format!("/dead-letters/{letter}");
        get(&other, &place).await.assert_problem(StatusCode::NOT_FOUND, "DEAD_LETTER_NOT_FOUND");
        let foreign = act(&other, &letter, "discard", &unique(), reason()).await;
        foreign.assert_problem(StatusCode::NOT_FOUND, "DEAD_LETTER_NOT_FOUND");
        assert_eq!(get(&other, "/dead-letters").await.body["items"], json!([]));

        let auditor = world.token("ann", &["auditor"]);
        assert_eq!(world.request("GET", &place).token(&auditor).send().await.status, 200);
        let sales = world.request("GET", "/dead-letters").token(&world.sales()).send().await;
        sales.assert_problem(StatusCode::FORBIDDEN, "FORBIDDEN");
        let acting = world.request("POST", &format!("{place}/redrive")).token(&auditor).key(&unique()).json(reason());
        acting.send().await.assert_problem(StatusCode::FORBIDDEN, "FORBIDDEN");
        assert_eq!(get(&world, &place).await.body["status"], "PARKED");
    });
}

#[test]
fn an_action_without_a_reason_or_with_unknown_words_is_refused() {
    run(async {
        let world = World::new().await;
        let letter = parked(&world, "unknown", 0).await;
        for (body, pointer, code) in [
            (json!({}), "/reason", "REQUIRED"),
            (json!({"reason": "  "}), "/reason", "PATTERN"),
            (json!({"reason": "r", "dryRun": "no"}), "/dryRun", "WRONG_TYPE"),
            (json!({"reason": "r", "later": true}), "/later", "UNKNOWN_FIELD"),
        ] {
            let refused = act(&world, &letter, "redrive", &unique(), body).await;
            refused.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED");
            assert!(refused.has_fault(pointer, code), "{}", refused.body);
        }
        let unsent = world.request("POST", &format!("/dead-letters/{letter}/redrive")).token(&operator(&world));
        let unsent = unsent.json(reason()).send().await;
        unsent.assert_problem(StatusCode::BAD_REQUEST, "IDEMPOTENCY_KEY_REQUIRED");
    });
}

#[test]
fn the_list_is_paged_oldest_first_and_filtered() {
    run(async {
        let world = World::new().await;
        let mut letters = Vec::new();
        for _ in 0..3 {
            letters.push(parked(&world, "unknown", 0).await);
        }
        let (mut seen, mut path) = (Vec::new(), "/dead-letters?limit=2".to_owned());
        loop {
            let page = get(&world, &path).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let ids = page.body["items"].as_array().unwrap().iter();
            seen.extend(ids.map(|item| item["deadLetterId"].as_str().unwrap().to_owned()));
            let Some(cursor) = page.body["nextCursor"].as_str() else { break };
            path = format!("/dead-letters?limit=2&cursor={cursor}");
        }
        assert_eq!(seen, letters);
        assert_eq!(get(&world, "/dead-letters?consumer=order").await.body["items"], json!([]));
        assert_eq!(get(&world, "/dead-letters?consumer=quote").await.body["items"].as_array().map(Vec::len), Some(3));
    });
}
