//! `cpq dlq`, `cpq fallout` and `cpq lag`.

use crate::support::Database;

#[tokio::test]
async fn a_parked_key_is_listed_and_shown_with_its_cause() {
    let database = Database::migrated().await;
    assert_eq!(database.cpq("dlq list").expect(0).out.trim(), "nothing is parked");
    database
        .execute(
            "insert into cpq.parked_key (consumer, topic, message_key, tenant_id, cause) \
               values ('quote', 'cpq.quote.commands.v1', 'Q-2026-000001', 't', 'undecodable'); \
             insert into cpq.parked_record (consumer, topic, partition, record_offset, message_key, tenant_id, value, headers, cause) \
               values ('quote', 'cpq.quote.commands.v1', 3, 7, 'Q-2026-000001', 't', '\\x0000000104ff', '[[\"ce_id\",\"x\"]]', 'undecodable'), \
                      ('quote', 'cpq.quote.commands.v1', 3, 9, 'Q-2026-000001', 't', null, '[]', 'behind a parked record');",
        )
        .await;
    let listed = database.cpq("dlq list -o json").expect(1).json();
    assert_eq!((&listed[0]["messageKey"], &listed[0]["records"]), (&"Q-2026-000001".into(), &2.into()));
    let shown = database.cpq("dlq show Q-2026-000001 -o json").expect(0).json();
    assert_eq!(
        (&shown["records"][0]["offset"], &shown["records"][0]["schemaId"], &shown["records"][0]["headers"]["ce_id"]),
        (&7.into(), &260.into(), &"x".into())
    );
    assert_eq!(shown["records"][1]["cause"], "behind a parked record");
    assert_eq!((&shown["deadLetters"][0]["status"], &shown["actions"]), (&"PARKED".into(), &serde_json::json!([])));
    let text = database.cpq("dlq show Q-2026-000001").expect(0).out;
    assert!(text.contains("cpq.quote.commands.v1[3] offset 7") && text.contains("undecodable"), "{text}");
    let missing = database.cpq("dlq show nothing").expect(1);
    assert!(missing.err.contains("cpq dlq list"), "{missing:?}");
}

#[tokio::test]
async fn open_fallout_is_listed_with_its_order() {
    let database = Database::migrated().await;
    database
        .execute(
            "insert into cpq.tenant (tenant_id, document) values ('t', '{}'); \
             insert into cpq.fallout_case (tenant_id, fallout_id, order_id, line_number, step_id, reason_code, detail, status, raised_at) \
               values ('t', 'f1', 'O-2026-000001', '1', '1:RESERVE_INVENTORY', 'NO_STOCK', 'no stock', 'OPEN', now() - interval '2 hours'), \
                      ('t', 'f2', 'O-2026-000002', '1', '1:START_BILLING', 'X', 'done', 'RESOLVED', now());",
        )
        .await;
    let listed = database.cpq("fallout list -o json").expect(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!((&listed[0]["falloutId"], &listed[0]["reasonCode"]), (&"f1".into(), &"NO_STOCK".into()));
    assert!(listed[0]["ageSeconds"].as_f64().unwrap() > 7_000.0);
    assert_eq!(database.cpq("fallout list --tenant other").expect(0).out.trim(), "no open fallout");
}

#[tokio::test]
async fn lag_finds_a_consumer_that_is_ahead_of_its_topic() {
    let database = Database::migrated().await;
    database
        .execute(
            "insert into cpq.consumer_position (consumer, topic, partition, next_offset, epoch, owner) \
             values ('quote', 'cpq.quote.commands.v1', 0, 1000000000000, 1, 'test')",
        )
        .await;
    let said = database.cpq("lag --max-seconds 1000000000").expect(1);
    assert!(
        said.out.contains("quote in cpq.quote.commands.v1[0] stands at 1000000000000, but the topic ends at"),
        "{said:?}"
    );
}

#[tokio::test]
async fn lag_lists_every_partition_of_every_consumer() {
    let database = Database::migrated().await;
    let report = database.cpq("lag --max-seconds 1000000000 -o json").expect(0).json();
    let partitions = report["partitions"].as_array().unwrap();
    let of = |consumer: &str| partitions.iter().filter(|p| p["consumer"] == consumer).count();
    assert_eq!((of("quote"), of("order"), of("projection"), of("document")), (6, 6, 12, 6));
}

#[tokio::test]
async fn a_process_that_waits_too_long_for_its_start_is_a_finding() {
    let database = Database::migrated().await;
    database
        .execute(
            "insert into cpq.tenant (tenant_id, document) values ('t', '{}'); \
             insert into cpq.workflow_instance (tenant_id, process_key, business_key, aggregate_type, status, request, correlation_id, requested_at) \
               values ('t', 'quote-approval', 'k', 'APPROVAL', 'REQUESTED', '{}', 'x', now() - interval '40 years')",
        )
        .await;
    let said = database.cpq("lag --max-seconds 1000000000").expect(1);
    assert!(said.out.contains("a process has been waiting for its start"), "{said:?}");
}
