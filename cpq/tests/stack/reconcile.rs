//! `cpq workflow`, on the real engine with business keys of its own.

use crate::support::{Database, unique};
use serde_json::Value;

/// The differences of one business key.
fn of(report: &Value, key: &str) -> Vec<Value> {
    let all = report["differences"].as_array().unwrap();
    all.iter().filter(|difference| difference["finding"]["businessKey"] == key).cloned().collect()
}

async fn ledger_row(database: &Database, key: &str, quote_status: Option<&str>) {
    let mut connection = database.connect().await;
    sqlx::query("insert into cpq.tenant (tenant_id, document) values ('t', '{}') on conflict do nothing")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query(
        "insert into cpq.workflow_instance (tenant_id, process_key, business_key, aggregate_type, status, started_instance_id, \
           admitted_instance_id, request, correlation_id, requested_at, admitted_at) \
         values ('t', 'quote-approval', $1, 'APPROVAL', 'ADMITTED', 'gone', 'gone', '{}', 'x', now() - interval '1 hour', now() - interval '1 hour')",
    )
    .bind(key)
    .execute(&mut connection)
    .await
    .unwrap();
    if let Some(status) = quote_status {
        sqlx::query(
            "insert into cpq.quote (tenant_id, quote_id, revision, sequence, status, customer_account_id, state, created_at, updated_at) \
             values ('t', 'Q-' || substring($1 from '^apr-(.*)-r4$'), 4, 4, $2, 'a', '{}', now(), now())",
        )
        .bind(key)
        .bind(status)
        .execute(&mut connection)
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn the_models_of_this_build_are_deployed() {
    let database = Database::migrated().await;
    let report = database.cpq("workflow deploy -o json").expect(0).json();
    assert!(report["newest"]["quote-approval"].as_u64() >= Some(1), "{report}");
    let again = database.cpq("workflow deploy -o json").expect(0).json();
    assert_eq!(again["deployed"].as_array().map(Vec::len), Some(0));
}

/// Fault 44, as the operator meets it.
#[tokio::test]
async fn a_process_that_the_engine_has_lost_is_asked_for_again_while_its_quote_waits() {
    let database = Database::migrated().await;
    let key = format!("apr-{}-r4", unique("x"));
    ledger_row(&database, &key, Some("PENDING_APPROVAL")).await;
    let report = database.cpq("workflow reconcile -o json").expect(1).json();
    let found = of(&report, &key);
    assert_eq!((&found[0]["finding"]["found"], &found[0]["repaired"]), (&"LOST".into(), &Value::Null));

    let report = database.cpq("workflow reconcile --repair --actor tester -o json").json();
    assert_eq!(of(&report, &key)[0]["repaired"], true);
    let report = database.cpq("workflow reconcile -o json").json();
    assert_eq!(of(&report, &key), Vec::<Value>::new(), "asked for again a moment ago: within the grace");
    let lag = database.cpq("lag --max-seconds 1000000000 -o json").expect(0).json();
    assert_eq!(lag["unstartedProcesses"]["count"], 1);
    // The repair is in the audit.
    let proof = database.cpq("verify audit -o json").expect(0).json();
    assert_eq!(proof["numbers"]["entries"], 1);
}

#[tokio::test]
async fn a_lost_process_that_nobody_needs_is_closed() {
    let database = Database::migrated().await;
    let key = format!("apr-{}-r4", unique("x"));
    ledger_row(&database, &key, Some("APPROVED")).await;
    let report = database.cpq("workflow reconcile --repair -o json").json();
    let found = of(&report, &key);
    assert_eq!((&found[0]["finding"]["repair"]["action"], &found[0]["repaired"]), (&"close".into(), &true.into()));
    let report = database.cpq("workflow reconcile -o json").json();
    assert_eq!(report["openProcesses"], 0);
}
