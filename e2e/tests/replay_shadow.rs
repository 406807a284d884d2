//! Commands decided again in a shadow of the live system: the same by the same build, otherwise under another catalog
//! or approval policy, and never with any effect on the live tables. Needs the running stack: through `make test`, or
//! `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::{Crm, Request};
use cpq_e2e::deal::{Deal, Printer};
use cpq_e2e::history::History;
use cpq_e2e::load::{deal, insist};
use cpq_e2e::{operator, settings, truth};
use pretty_assertions::assert_eq;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};
use ulid::Ulid;

/// Whatever must happen has happened by then.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// Tables that a live decision writes, each with the columns that tell its rows apart.
const TABLES: [(&str, &str); 16] = [
    ("tenant", "tenant_id"),
    ("customer", "customer_account_id"),
    ("approver", "actor_id, entry"),
    ("catalog_version", "catalog_version"),
    ("command", "command_id"),
    ("command_outcome", "command_id"),
    ("deferred_command", "command_id"),
    ("quote", "quote_id"),
    ("quote_revision", "quote_id, revision"),
    ("quote_price_result", "quote_id, revision"),
    ("quote_timer", "quote_id"),
    ("transition_log", "aggregate_id, aggregate_sequence"),
    ("audit", "aggregate_id, entry"),
    ("orders", "order_id"),
    ("order_token", "order_id"),
    ("outbox_event", "id"),
];

/// Those of them in which rows come and go, or that not every deal needs.
const MAY_BE_EMPTY: [&str; 4] = ["deferred_command", "quote_timer", "order_token", "outbox_event"];

/// One test at a time: one of them looks for its shadow by its being new.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// The demo's tenant under another name.
fn import(tenant: &str, folder: &Path, change: impl Fn(&mut Value)) {
    let own = folder.join(tenant);
    fs::create_dir_all(&own).unwrap();
    let source = settings::repository().join("deploy/reference-data/tenant-acme");
    for file in fs::read_dir(source).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        let text = fs::read_to_string(file.path()).unwrap();
        fs::write(own.join(file.file_name()), text.replace("tenant-acme", tenant)).unwrap();
    }
    let mut catalog: Value = serde_json::from_str(&fs::read_to_string(own.join("catalog.json")).unwrap()).unwrap();
    change(&mut catalog);
    fs::write(own.join("catalog.json"), catalog.to_string()).unwrap();
    operator::import(folder).unwrap();
}

/// A tenant whose rows nobody else touches.
fn tenant() -> String {
    let tenant = format!("tenant-{}", Ulid::generate().to_string().to_lowercase());
    import(&tenant, tempfile::tempdir().unwrap().path(), |_| ());
    tenant
}

fn sales(tenant: &str) -> Crm {
    Crm::recorded(tenant, "alice", &["sales-rep"], &History::default()).unwrap()
}

/// A deal of the tenant's people that is priced with this discount.
async fn priced(tenant: &str, discount: &str) -> Deal {
    let crm = |actor: &str, roles: &[&str]| Crm::recorded(tenant, actor, roles, &History::default()).unwrap();
    let people = HashMap::from([
        ("sales", crm("alice", &["sales-rep"])),
        ("approver", crm("bob", &["approver"])),
        ("orders", crm("olga", &["order-manager"])),
    ]);
    let correlation_id = format!("test-shadow-{}", Ulid::generate());
    let printer = Printer { colour: false };
    let mut deal = Deal { people, correlation_id, printer, quote: String::new(), revision: 0, order: String::new() };
    deal.create("acct-1002", "USD", 12).await.unwrap();
    let lines = json!([{"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": "20", "action": "ADD"}]);
    deal.configure(lines).await.unwrap();
    deal.price(discount).await.unwrap();
    deal
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(settings::program("cpq").unwrap());
    command.args(["--output", "json", "replay", "shadow"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The exit code and the report.
async fn ended(child: Child) -> (i32, Value) {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

async fn shadow(arguments: &[&str]) -> (i32, Value) {
    ended(command(arguments).spawn().unwrap()).await
}

/// Databases of runs with this name, or of all.
async fn databases(like: &str) -> Vec<String> {
    let mut database = truth::over_all_tenants().await.unwrap();
    let query = "select datname::text from pg_database where datname like $1";
    sqlx::query_scalar(query).bind(like).fetch_all(&mut database).await.unwrap()
}

/// A checksum of each table's rows of a tenant.
async fn checksums(database: &mut PgConnection, tenant: &str) -> Vec<(&'static str, Option<String>)> {
    let mut sums = Vec::new();
    for (table, key) in TABLES {
        let query = format!(
            "select md5(string_agg(md5(to_jsonb(t)::text), '' order by {key})) from cpq.{table} t where tenant_id = $1"
        );
        let query = sqlx::query_scalar(AssertSqlSafe(query)).bind(tenant);
        sums.push((table, query.fetch_one(&mut *database).await.unwrap()));
    }
    sums
}

/// Waits until nothing of a tenant is on its way any more: checksums that stay the same, no row in the outbox.
async fn settled(database: &mut PgConnection, tenant: &str) -> Vec<(&'static str, Option<String>)> {
    /// Longer than anything waits that is on its way.
    const QUIET: Duration = Duration::from_secs(2);
    let began = Instant::now();
    loop {
        let before = checksums(database, tenant).await;
        tokio::time::sleep(QUIET).await;
        let sent = before.iter().all(|(table, sum)| *table != "outbox_event" || sum.is_none());
        if sent && before == checksums(database, tenant).await {
            return before;
        }
        assert!(began.elapsed() < PATIENCE, "{tenant} does not come to rest");
    }
}

#[tokio::test]
async fn the_same_build_decides_history_the_same_and_touches_no_live_row_while_deals_go_on() {
    let (_alone, tenant, busy) = (alone().await, tenant(), tenant());
    // A deal with refused commands, one that a manager approves, one with an order; and a clone.
    deal(&sales(&tenant), true).await.unwrap();
    let mut approved = priced(&tenant, "12").await;
    approved.submit().await.unwrap();
    approved.decide("approver", "APPROVE").await.unwrap();
    approved.close().await.unwrap();
    approved.order_becomes(&["COMPLETED"]).await.unwrap();
    let (crm, path) = (sales(&tenant), format!("/quotes/{}", approved.quote));
    let quote = insist(&crm, &Request::get(&path, "test-shadow")).await.unwrap().body;
    let (path, body) = (format!("{path}/clone"), json!({"quoteRevision": quote["revision"]}));
    let clone = insist(&crm, &Request::command(Method::POST, &path, "test-shadow", body)).await.unwrap();
    assert_eq!(clone.status, 201, "{}", clone.body);

    let mut database = truth::over_all_tenants().await.unwrap();
    let before = settled(&mut database, &tenant).await;
    let empty: Vec<_> = before.iter().filter(|(_, sum)| sum.is_none()).map(|(table, _)| *table).collect();
    assert!(empty.iter().all(|table| MAY_BE_EMPTY.contains(table)), "{empty:?}");
    let load = tokio::spawn(async move {
        for _ in 0..3 {
            deal(&sales(&busy), true).await.unwrap();
        }
    });
    let (code, report) = shadow(&["--tenant", &tenant]).await;
    load.await.unwrap();
    assert_eq!((code, &report["differences"]), (0, &json!([])), "{report}");
    assert_eq!(report["commands"], report["same"]);
    assert_eq!(report["live"], report["shadow"]);
    assert!(report["live"]["rejected"].as_u64() >= Some(2), "{report}");
    for name in ["AcceptQuote", "CloneQuote", "CompleteTask", "CreateOrder", "LinkOrder"] {
        assert!(report["byCommand"][name].as_u64() >= Some(1), "{name}: {report}");
    }
    let count = "select count(*) from cpq.transition_log where tenant_id = $1 and aggregate_type in ('QUOTE', 'ORDER')";
    let events: i64 = sqlx::query_scalar(count).bind(&tenant).fetch_one(&mut database).await.unwrap();
    assert_eq!(report["live"]["events"], json!(events), "every event was compared");
    assert_eq!(checksums(&mut database, &tenant).await, before);

    let (code, report) = shadow(&["--quote", &approved.quote, "--consumer", "quote"]).await;
    assert_eq!((code, &report["aggregates"]), (0, &json!(1)), "{report}");
    let since = ["--tenant", &tenant, "--since", "2100-01-01"];
    let (code, report) = shadow(&since).await;
    assert_eq!((code, &report["commands"]), (0, &json!(0)), "{report}");
}

#[tokio::test]
async fn another_catalog_or_policy_is_told_where_it_would_have_decided_otherwise() {
    let (_alone, tenant) = (alone().await, tenant());
    let mut deal = priced(&tenant, "0").await;
    deal.submit().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut database = truth::over_all_tenants().await.unwrap();
    settled(&mut database, &tenant).await;

    // Under a policy that asks a manager for every quote, the one that passed by itself would not have.
    let dmn = fs::read_to_string(settings::repository().join("camunda-bridge/models/approval-policy.dmn")).unwrap();
    let strict = dmn.replace("&gt; 10<", "&gt;= 0<");
    assert_ne!(dmn, strict);
    let file = folder.path().join("strict.dmn");
    fs::write(&file, strict).unwrap();
    let (code, report) = shadow(&["--tenant", &tenant, "--approval-policy", file.to_str().unwrap()]).await;
    assert_eq!((code, &report["different"], &report["commands"]), (1, &json!(1), &json!(4)), "{report}");
    let [difference] = report["differences"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&difference["aggregateId"], &difference["command"]), (&json!(deal.quote), &json!("SubmitForApproval")));
    assert_eq!((&difference["aggregateSequence"], &difference["follows"]), (&json!(4), &json!(false)));
    let query = "select command_id from cpq.audit where tenant_id = $1 and aggregate_id = $2 and action = $3";
    let query = sqlx::query_scalar(query).bind(&tenant).bind(&deal.quote).bind("SubmitForApproval");
    let id: String = query.fetch_one(&mut database).await.unwrap();
    assert_eq!(difference["commandId"], json!(id));
    let status = |side: &str| difference[side]["events"].as_array().unwrap().last().unwrap()["toStatus"].clone();
    assert_eq!(
        (status("live"), status("shadow")),
        (json!("APPROVED"), json!("PENDING_APPROVAL_WORKFLOW_START")),
        "{difference}"
    );

    // Under a catalog published since, the configuration names it and the price is another; the rest follows.
    import(&tenant, folder.path(), |catalog| {
        catalog["catalogVersion"] = json!("dearer");
        for price in catalog["prices"].as_array_mut().unwrap() {
            if price["offeringId"] == "cloud-voice" && price["amount"].is_string() {
                price["amount"] = json!("77.00");
            }
        }
    });
    let (code, report) = shadow(&["--tenant", &tenant]).await;
    assert_eq!(
        (code, &report["different"]),
        (0, &json!(0)),
        "a newer catalog changes no decision made before: {report}"
    );
    let (code, report) = shadow(&["--tenant", &tenant, "--catalog", "dearer"]).await;
    assert_eq!(code, 1, "{report}");
    let differences = report["differences"].as_array().unwrap();
    let names: Vec<_> = differences.iter().map(|d| (d["command"].as_str().unwrap(), d["follows"] == true)).collect();
    assert_eq!(names[..2], [("ConfigureQuote", false), ("PriceQuote", true)], "{report}");
    let fields = differences[0]["fields"].as_array().unwrap();
    let version = "/events/0/payload/payload/configuration/catalogVersion";
    let named = fields.iter().find(|field| field["path"] == version);
    assert_eq!(named.map(|field| &field["shadow"]), Some(&json!("dearer")), "{fields:?}");
}

#[tokio::test]
async fn what_cannot_be_done_is_told_apart_and_nothing_is_left_behind() {
    let _alone = alone().await;
    let output = command(&["--approval-policy", "/no/such.dmn"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));

    // Stopped in the middle of its work.
    let before = databases("cpq\\_shadow\\_%").await;
    let stopped = command(&[]).spawn().unwrap();
    let pid = stopped.id().unwrap().to_string();
    let (began, mut own) = (Instant::now(), Vec::new());
    while own.is_empty() {
        assert!(began.elapsed() < PATIENCE, "there is no shadow");
        tokio::time::sleep(PAUSE).await;
        own = databases("cpq\\_shadow\\_%").await;
        own.retain(|name| !before.contains(name));
    }
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let output = tokio::time::timeout(PATIENCE, stopped.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(databases(&own[0]).await, Vec::<String>::new());
}
