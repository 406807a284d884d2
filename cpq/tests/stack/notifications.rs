//! `cpq notifications`: what was given up is seen, tried again or put away, and the audit tells who did it.

use crate::support::Database;
use serde_json::Value;
use sqlx::Row as _;

/// One of each status; the failed one also with another tenant.
async fn messages() -> Database {
    let database = Database::migrated().await;
    database
        .execute(
            "insert into cpq.tenant (tenant_id, document) values ('t', '{}'), ('u', '{}'); \
             insert into cpq.notification (tenant_id, notification_id, kind, recipient, subject, body, aggregate_id, correlation_id, status, \
               attempts, last_error, created_at) \
             select tenant, id, 'APPROVAL_TASK', 'bob', 'Decide', 'Please', 'Q-1', 'c', status, attempts, error, now() - interval '1 hour' \
             from (values ('t', 'm-sent', 'SENT', 1, null), ('t', 'm-waits', 'PENDING', 3, 'no server'), ('t', 'm-failed', 'FAILED', 8, '550 no such user'), \
               ('u', 'm-failed', 'FAILED', 8, '550 no such user')) as m(tenant, id, status, attempts, error)",
        )
        .await;
    database
}

fn ids(listed: &Value) -> Vec<(&str, &str)> {
    let text = |value| Value::as_str(value).unwrap();
    listed.as_array().unwrap().iter().map(|m| (text(&m["tenantId"]), text(&m["notificationId"]))).collect()
}

/// Status, attempts and whether it is due, of a message of tenant `t`.
async fn state(database: &Database, id: &str) -> (String, i32, bool) {
    let query = "select status, attempts, due_at <= clock_timestamp() from cpq.notification where tenant_id = 't' and notification_id = $1";
    let row = sqlx::query(query).bind(id).fetch_one(&mut database.connect().await).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn messages_that_were_given_up_are_a_finding_and_those_that_wait_are_listed() {
    let database = messages().await;
    let listed = database.cpq("notifications list -o json").expect(1).json();
    assert_eq!(ids(&listed), [("t", "m-failed"), ("t", "m-waits"), ("u", "m-failed")]);
    let failed = database.cpq("notifications list --failed --tenant t -o json").expect(1).json();
    assert_eq!(ids(&failed), [("t", "m-failed")]);
    assert_eq!((&failed[0]["lastError"], &failed[0]["attempts"]), (&"550 no such user".into(), &8.into()));
    assert!(failed[0]["ageSeconds"].as_f64().unwrap() > 3_000.0);
    assert_eq!(database.cpq("notifications list --tenant other").expect(0).out.trim(), "nothing waits to be sent");
}

#[tokio::test]
async fn a_message_that_was_given_up_is_tried_again_as_a_new_one() {
    let database = messages().await;
    database.cpq("notifications retry m-failed --tenant t --actor olga").expect(0);
    assert_eq!(state(&database, "m-failed").await, ("PENDING".to_owned(), 0, true));
    let again = database.cpq("notifications retry m-failed --tenant t").expect(1);
    assert!(again.err.contains("cpq notifications list --failed"), "{again:?}");
    assert_eq!(audited(&database).await, [("RetryNotification".to_owned(), "olga".to_owned(), "t".to_owned())]);
    database.cpq("verify audit").expect(0);
}

#[tokio::test]
async fn a_message_that_was_discarded_is_never_due_nor_listed_and_stays() {
    let database = messages().await;
    let without_reason = database.cpq("notifications discard m-failed --tenant t");
    assert_eq!(without_reason.code, 2, "{without_reason:?}");
    database.cpq("notifications discard m-failed --tenant t --reason left-the-company --actor olga").expect(0);
    assert_eq!(state(&database, "m-failed").await, ("FAILED".to_owned(), 8, false));
    assert_eq!(database.cpq("notifications list --failed --tenant t").expect(0).out.trim(), "nothing waits to be sent");
    database.cpq("notifications retry m-failed --tenant t").expect(1);
    assert_eq!(audited(&database).await, [("DiscardNotification".to_owned(), "olga".to_owned(), "t".to_owned())]);
    let query = "select detail::text from cpq.audit";
    let detail: String = sqlx::query(query).fetch_one(&mut database.connect().await).await.unwrap().get(0);
    assert!(detail.contains("left-the-company") && detail.contains("bob"), "{detail}");
}

#[tokio::test]
async fn only_what_was_given_up_is_acted_on_and_only_where_it_is_one() {
    let database = messages().await;
    let two = database.cpq("notifications retry m-failed").expect(2);
    assert!(two.err.contains("t, u") && two.err.contains("--tenant"), "{two:?}");
    for id in ["m-sent", "m-waits", "nothing"] {
        database.cpq(&format!("notifications retry {id}")).expect(1);
        database.cpq(&format!("notifications discard {id} --reason r")).expect(1);
    }
    assert_eq!(state(&database, "m-sent").await.0, "SENT");
    assert_eq!(audited(&database).await, []);
}

/// Action, actor and tenant of what operators did.
async fn audited(database: &Database) -> Vec<(String, String, String)> {
    let query = "select action, actor_id, tenant_id from cpq.audit";
    let rows = sqlx::query(query).fetch_all(&mut database.connect().await).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}
