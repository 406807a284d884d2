//! Views made again from offset 0 beside the live ones and swapped, while deals go on, rows are broken, and the
//! rebuild is killed. Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::crm::{Crm, Request};
use cpq_e2e::history::History;
use cpq_e2e::load::{deal, insist};
use cpq_e2e::{operator, settings, truth};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};
use ulid::Ulid;

/// Whatever must happen has happened by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// Clients that post deals during a rebuild.
const CLIENTS: usize = 4;
/// Rebuilds during load.
const REBUILDS: usize = 4;
/// As the rebuild's session is called in the database.
const SESSION: &str = "cpq-replay-views";
/// The views, each with the column that names a row's quote or order.
const VIEWS: [(&str, &str); 4] = [
    ("quote_workspace_view", "quote_id"),
    ("order_operations_view", "order_id"),
    ("approval_worklist_view", "coalesce(quote_id, order_id)"),
    ("customer_commercial_timeline_view", "aggregate_id"),
];

/// One rebuild at a time: tests here look for its session and stand in its way.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// A tenant like the demo's whose rows nobody else touches, and its sales person.
fn tenant() -> (String, Crm) {
    let tenant = format!("tenant-{}", Ulid::generate().to_string().to_lowercase());
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(&tenant);
    fs::create_dir_all(&own).unwrap();
    let source = settings::repository().join("deploy/reference-data/tenant-acme");
    for file in fs::read_dir(source).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        let text = fs::read_to_string(file.path()).unwrap();
        fs::write(own.join(file.file_name()), text.replace("tenant-acme", &tenant)).unwrap();
    }
    operator::import(folder.path()).unwrap();
    let crm = Crm::recorded(&tenant, "alice", &["sales-rep"], &History::default()).unwrap();
    (tenant, crm)
}

async fn post(crm: &Crm, method: Method, path: &str, body: Value) -> Value {
    let answer = insist(crm, &Request::command(method, path, "test-replay-views", body)).await.unwrap();
    assert!(answer.status < 300, "{path}: {}", answer.body);
    answer.body
}

/// A quote with a price: three events, and no more come by themselves.
async fn priced(crm: &Crm) -> String {
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
    let quote = post(crm, Method::POST, "/quotes", body).await["quoteId"].as_str().unwrap().to_owned();
    let lines = json!([{"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": "5", "action": "ADD"}]);
    let path = format!("/quotes/{quote}/configuration");
    post(crm, Method::PUT, &path, json!({"quoteRevision": 1, "lines": lines})).await;
    post(crm, Method::POST, &format!("/quotes/{quote}/pricing"), json!({"quoteRevision": 2})).await;
    quote
}

/// Every row that the views have of a quote, as bytes.
async fn rows(database: &mut PgConnection, quote: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (view, aggregate) in VIEWS {
        let query =
            format!("select '{view} ' || to_jsonb(v)::text from cpq.{view} v where {aggregate} = $1 order by 1");
        let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(query)).bind(quote);
        found.extend(query.fetch_all(&mut *database).await.unwrap());
    }
    found
}

/// How far the live views show a quote.
async fn shown(database: &mut PgConnection, quote: &str) -> Option<i64> {
    let query = sqlx::query_scalar("select projection_version from cpq.quote_workspace_view where quote_id = $1");
    query.bind(quote).fetch_optional(database).await.unwrap()
}

/// Waits until the live views show the quote's price; its rows then.
async fn settled(database: &mut PgConnection, quote: &str) -> Vec<String> {
    let began = Instant::now();
    while shown(database, quote).await != Some(3) {
        assert!(began.elapsed() < PATIENCE, "{quote} is not shown");
        tokio::time::sleep(PAUSE).await;
    }
    rows(database, quote).await
}

/// Breaks a quote's rows: one is changed, one is gone, one was never written by an event. Whoever else compares views now
/// takes the quote for one in motion, as its sequence is another.
async fn damage(database: &mut PgConnection, quote: &str) {
    let changes = [
        "update cpq.quote_workspace_view set total_amount = total_amount + 1, projection_version = 1000 where quote_id = $1",
        "delete from cpq.customer_commercial_timeline_view where aggregate_id = $1 and aggregate_sequence = 2",
        "insert into cpq.customer_commercial_timeline_view \
           select tenant_id, customer_account_id, aggregate_type, aggregate_id, 99, event_type, summary, actor_id, \
             occurred_at, 99 from cpq.customer_commercial_timeline_view where aggregate_id = $1 and aggregate_sequence = 3",
    ];
    for change in changes {
        assert_eq!(sqlx::query(change).bind(quote).execute(&mut *database).await.unwrap().rows_affected(), 1);
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(settings::program("cpq").unwrap());
    command.args(["--output", "json", "replay", "views"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The exit code and what was done.
async fn ended(child: Child) -> (i32, Value) {
    let output = child.wait_with_output().await.unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

async fn rebuild(arguments: &[&str]) -> (i32, Value) {
    ended(command(arguments).spawn().unwrap()).await
}

/// Rows of all views that were removed and written.
fn changes(report: &Value) -> (u64, u64) {
    let sum = |field: &str| report["views"].as_array().unwrap().iter().map(|view| view[field].as_u64().unwrap()).sum();
    (sum("removed"), sum("written"))
}

/// Stands in the way of a swap, and only of it: the projection may write, nobody may take the views for themselves.
async fn in_the_way() -> PgConnection {
    let mut connection = truth::over_all_tenants().await.unwrap();
    connection.execute("begin; lock table cpq.quote_workspace_view in row exclusive mode").await.unwrap();
    connection
}

/// Who may see what rebuilds do: the role that they log in as.
async fn observer() -> PgConnection {
    PgConnection::connect(&settings::variable("CPQ_DATABASE_URL").unwrap()).await.unwrap()
}

/// Waits until a rebuild stands before its swap, held up by a lock.
async fn waits_to_swap() {
    let mut database = observer().await;
    let query = "select exists (select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock')";
    let began = Instant::now();
    while !sqlx::query_scalar::<_, bool>(query).bind(SESSION).fetch_one(&mut database).await.unwrap() {
        assert!(began.elapsed() < PATIENCE, "no rebuild waits for its swap");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until no rebuild is connected any more.
async fn is_gone() {
    let mut database = observer().await;
    let query = "select exists (select from pg_stat_activity where application_name = $1)";
    let began = Instant::now();
    while sqlx::query_scalar::<_, bool>(query).bind(SESSION).fetch_one(&mut database).await.unwrap() {
        assert!(began.elapsed() < PATIENCE, "the rebuild's session is still there");
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test]
async fn views_rebuilt_from_offset_0_equal_the_live_ones_byte_for_byte_during_load() {
    let (_alone, (tenant, crm)) = (alone().await, tenant());
    let (crm, stop) = (Arc::new(crm), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (crm, stop) = (crm.clone(), stop.clone());
            tokio::spawn(async move {
                let mut deals = 0;
                while !stop.load(Ordering::SeqCst) {
                    deal(&crm, false).await.unwrap();
                    deals += 1;
                }
                deals
            })
        })
        .collect();
    let mut events = vec![0];
    while events.len() <= REBUILDS {
        let (code, report) = rebuild(&["--tenant", &tenant]).await;
        // The swap compares bytes, with the projection held at the very same positions.
        assert_eq!((code, changes(&report)), (0, (0, 0)), "{report}");
        let seen = report["events"].as_u64().unwrap();
        if seen > events[events.len() - 1] {
            events.push(seen);
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut deals = 0;
    for client in clients {
        deals += client.await.unwrap();
    }
    println!("{deals} deals; events at each rebuild: {events:?}");
    assert!(deals >= CLIENTS);
}

#[tokio::test]
async fn a_row_broken_by_hand_is_mended_by_a_rebuild() {
    let (_alone, (tenant, crm)) = (alone().await, tenant());
    let mut database = truth::over_all_tenants().await.unwrap();
    let quote = priced(&crm).await;
    let whole = settled(&mut database, &quote).await;
    damage(&mut database, &quote).await;
    let broken = rows(&mut database, &quote).await;
    assert_ne!(whole, broken);

    // One view alone cannot be mended where the others show another sequence; that is told.
    let (code, report) = rebuild(&["--tenant", &tenant, "--view", "customer_commercial_timeline_view"]).await;
    assert_eq!((code, changes(&report), &report["inMotion"]), (1, (0, 0), &json!(1)), "{report}");
    assert_eq!(rows(&mut database, &quote).await, broken);

    let (code, report) = rebuild(&["--tenant", &tenant]).await;
    assert_eq!((code, changes(&report)), (0, (2, 2)), "{report}");
    assert_eq!(rows(&mut database, &quote).await, whole);

    let (code, report) = rebuild(&["--tenant", &tenant]).await;
    assert_eq!((code, changes(&report)), (0, (0, 0)), "a second time there is nothing to do: {report}");

    let gone = "delete from cpq.customer_commercial_timeline_view where aggregate_id = $1";
    sqlx::query(gone).bind(&quote).execute(&mut database).await.unwrap();
    let (code, report) = rebuild(&["--tenant", &tenant, "--view", "customer_commercial_timeline_view"]).await;
    assert_eq!((code, changes(&report)), (0, (0, 3)), "{report}");
    assert_eq!(rows(&mut database, &quote).await, whole);
}

#[tokio::test]
async fn a_killed_rebuild_leaves_the_live_views_as_they_were() {
    let (_alone, (tenant, crm)) = (alone().await, tenant());
    let mut database = truth::over_all_tenants().await.unwrap();
    let quote = priced(&crm).await;
    let whole = settled(&mut database, &quote).await;
    damage(&mut database, &quote).await;
    let broken = rows(&mut database, &quote).await;

    let lock = in_the_way().await;
    let mut killed = command(&["--tenant", &tenant]).spawn().unwrap();
    waits_to_swap().await;
    killed.kill().await.unwrap();
    lock.close().await.unwrap();
    is_gone().await;
    assert_eq!(rows(&mut database, &quote).await, broken);

    let (code, report) = rebuild(&["--tenant", &tenant]).await;
    assert_eq!((code, changes(&report)), (0, (2, 2)), "{report}");
    assert_eq!(rows(&mut database, &quote).await, whole);
}

#[tokio::test]
async fn events_that_arrive_during_the_rebuild_are_not_lost() {
    let (_alone, (tenant, crm)) = (alone().await, tenant());
    let mut database = truth::over_all_tenants().await.unwrap();
    let broken = priced(&crm).await;
    let whole = settled(&mut database, &broken).await;
    damage(&mut database, &broken).await;

    let lock = in_the_way().await;
    let rebuilding = command(&["--tenant", &tenant]).spawn().unwrap();
    waits_to_swap().await;
    let arrived = priced(&crm).await;
    lock.close().await.unwrap();
    let (code, report) = ended(rebuilding).await;
    assert_eq!((code, changes(&report)), (0, (2, 2)), "{report}");
    assert_eq!(rows(&mut database, &broken).await, whole);

    let rows = settled(&mut database, &arrived).await;
    let timeline = rows.iter().filter(|row| row.starts_with("customer_commercial_timeline_view")).count();
    assert_eq!(timeline, 3, "{rows:?}");
    let (code, report) = rebuild(&["--tenant", &tenant]).await;
    assert_eq!((code, changes(&report)), (0, (0, 0)), "{report}");
}
