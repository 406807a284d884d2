//! The projection on a real database, however its events come: repeats change nothing, a gap stops it, tenants stay
//! apart, and the views are what the events make them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
mod projection_support;
mod role_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use cpq_avro::{Event, Record, topics};
use cpq_domain::moment::Moment;
use cpq_runtime::processor::{AfterCommit, Processor as _, StepError};
use cpq_state_stores::operations::rebuild;
use pretty_assertions::assert_eq;
use projection_support::{QUOTE, VIEWS, apply, columns, tenant_of, views};
use role_support::{ACME, GLOBEX, Office};
use rstest::rstest;
use sqlx::Row as _;
use std::time::Duration;
use streams::projection::Projection;

const TEN_MINUTES: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn every_record_delivered_twice_leaves_the_views_as_once() {
    let mut office = Office::open().await;
    office.fulfilled(ACME, QUOTE).await;
    apply(&office, &office.events().await).await.unwrap();
    let once = views(&office).await;

    let twice = Office::open().await;
    for (first, second) in office.events().await.into_iter().zip(office.events().await) {
        apply(&twice, &[first, second]).await.unwrap();
    }
    assert_eq!(views(&twice).await, once, "twice in one batch");
    for again in office.events().await {
        apply(&twice, &[again]).await.unwrap();
    }
    assert_eq!(views(&twice).await, once, "again after all others");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_event_does_not_turn_a_view_back() {
    let mut office = Office::open().await;
    office.approved(ACME, QUOTE).await;
    apply(&office, &office.events().await).await.unwrap();
    let newest = views(&office).await;
    for older in office.events().await {
        apply(&office, &[older]).await.unwrap();
        assert_eq!(views(&office).await, newest);
    }
}

/// The clocks of those who decide differ and jump: each event is older than the one before it.
#[tokio::test(flavor = "multi_thread")]
async fn fault_45_events_whose_times_run_backward_are_shown_in_the_order_of_their_sequence() {
    let mut office = Office::open().await;
    office.approved(ACME, QUOTE).await;
    let mut events = office.events().await;
    apply(&office, &events).await.unwrap();
    let query = "select jsonb_build_array(status, current_revision, total_amount, projection_version) from cpq.quote_workspace_view";
    let expected = columns(&office, query).await;

    let backward = Office::open().await;
    for (index, event) in events.iter_mut().enumerate() {
        let Record::Event(envelope, _) = &mut event.record else { panic!("{event:?}") };
        let earlier = envelope.occurred_at.into_inner() - TEN_MINUTES * index as u32;
        envelope.occurred_at = Moment::new(earlier);
    }
    for event in events {
        apply(&backward, &[event]).await.unwrap();
    }
    assert_eq!(columns(&backward, query).await, expected);
    let told = "select jsonb_build_array(aggregate_sequence) from cpq.customer_commercial_timeline_view";
    assert_eq!(columns(&backward, told).await.len(), columns(&office, told).await.len(), "none is passed over");
}

/// Where the sequence begins too late, or leaves one out.
#[rstest]
#[case::of_an_unknown_quote(0, 1, "jumps from sequence 0 to 2")]
#[case::after_a_gap(2, 3, "jumps from sequence 2 to 4")]
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_others_must_come_before_is_refused_and_changes_nothing(
    #[case] applied: usize,
    #[case] next: usize,
    #[case] cause: &str,
) {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    let mut events = office.events().await;
    let rest = events.split_off(next);
    events.truncate(applied);
    if !events.is_empty() {
        apply(&office, &events).await.unwrap();
    }
    let before = views(&office).await;
    let refused = apply(&office, &rest).await.unwrap_err();
    let StepError::Poison { offset, cause: told } = refused else { panic!("{refused:?}") };
    assert_eq!((offset, told.as_str()), (next as i64, format!("{QUOTE} {cause}").as_str()));
    assert_eq!(views(&office).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_does_not_begin_with_its_creation_is_refused() {
    let mut office = Office::open().await;
    let order = office.accepted(ACME, QUOTE).await;
    office.fulfilment_started(ACME, &order).await;
    let mut events = office.deliveries(&[topics::ORDER_EVENTS]).await;
    let Record::Event(envelope, _) = &mut events[1].record else { panic!("{events:?}") };
    envelope.aggregate_sequence = 1;
    let refused = apply(&office, &events[1..]).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("{order} starts without its creation")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_of_two_tenants_stay_apart_in_one_batch() {
    let mut office = Office::open().await;
    let theirs = "Q-2026-000002";
    office.accepted(ACME, QUOTE).await;
    office.submitted(GLOBEX, theirs, "25").await;
    let events = office.events().await;
    assert!(
        events.iter().any(|e| tenant_of(e).as_str() == ACME) && events.iter().any(|e| tenant_of(e).as_str() == GLOBEX)
    );
    apply(&office, &events).await.unwrap();

    for (tenant, quote, rows) in [(ACME, QUOTE, [1, 1, 1, 11]), (GLOBEX, theirs, [1, 0, 2, 4])] {
        // As the gateway reads: the tenant's role, and nothing in the statement says whose rows.
        let mut seen = Vec::new();
        for view in VIEWS {
            seen.push(visible(&office, tenant, view).await);
        }
        assert_eq!(seen, rows, "{tenant}");
        let query = sqlx::query("select tenant_id from cpq.quote_workspace_view where quote_id = $1").bind(quote);
        let row = query.fetch_one(&mut office.world.database.connect().await).await.unwrap();
        assert_eq!(row.get::<&str, _>(0), tenant);
    }
}

async fn visible(office: &Office, tenant: &str, view: &str) -> i64 {
    use sqlx::{Connection as _, Executor as _};
    let mut connection = sqlx::PgConnection::connect(&office.world.database.url).await.unwrap();
    let tenants = format!("set cpq.tenants = '{{{tenant}}}'");
    connection.execute(sqlx::AssertSqlSafe(tenants)).await.unwrap();
    let query = format!("select count(*) from cpq.{view}");
    sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap().get(0)
}

/// The tenants' events with the very same ids: only the tenant tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_quote_of_the_same_id_is_another_quote() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    let mut theirs = office.events().await;
    theirs.truncate(2);
    for delivery in &mut theirs {
        let Record::Event(envelope, Event::Quote(_)) = &mut delivery.record else { panic!("{delivery:?}") };
        envelope.tenant_id = GLOBEX.into();
    }
    let mut batch = office.events().await;
    batch.extend(theirs);
    apply(&office, &batch).await.unwrap();
    let query = "select jsonb_build_array(tenant_id, status, projection_version) from cpq.quote_workspace_view order by tenant_id";
    let rows = [[ACME, "PENDING_APPROVAL_WORKFLOW_START", "4"], [GLOBEX, "CONFIGURED", "2"]];
    assert_eq!(columns(&office, query).await, rows);
}

/// Fills the views in batches of this size, then makes them again from offset 0 in one.
#[rstest]
#[case(1)]
#[case(3)]
#[case(1000)]
#[tokio::test(flavor = "multi_thread")]
async fn the_views_equal_a_rebuild_from_offset_0(#[case] batch: usize) {
    let mut office = Office::open().await;
    office.fulfilled(ACME, QUOTE).await;
    office.submitted(GLOBEX, "Q-2026-000002", "25").await;
    let mut events = office.events().await.into_iter().peekable();
    while events.peek().is_some() {
        apply(&office, &events.by_ref().take(batch).collect::<Vec<_>>()).await.unwrap();
    }
    let compared = rebuilt(&office).await;
    assert_eq!(compared.rows, views(&office).await.len() as i64);
    assert_eq!((compared.in_motion, compared.differences.len()), (0, 0), "{:?}", compared.differences);

    // A row that is not what the events say is found.
    office
        .world
        .database
        .execute("update cpq.approval_worklist_view set assignee = 'mallory' where status = 'OPEN'")
        .await;
    office
        .world
        .database
        .execute("delete from cpq.customer_commercial_timeline_view where event_type = 'QuotePriced'")
        .await;
    let found: Vec<String> = rebuilt(&office).await.differences.into_iter().map(|d| d.view).collect();
    let timeline = "customer_commercial_timeline_view";
    assert_eq!(found, ["approval_worklist_view", timeline, timeline]);
}

async fn rebuilt(office: &Office) -> rebuild::Comparison {
    let mut tx = office.world.database.db.begin_system().await.unwrap();
    rebuild::prepare(&mut tx).await.unwrap();
    let events = office.events().await;
    Projection.apply(&mut tx, &events.iter().collect::<Vec<_>>(), &mut AfterCommit::default()).await.unwrap();
    let compared = rebuild::compare(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    compared
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_the_time_of_the_newest_event_that_it_shows() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    let events = office.events().await;
    let newest = match &events.last().unwrap().record {
        Record::Event(envelope, _) => envelope.occurred_at.into_inner(),
        other => panic!("{other:?}"),
    };
    apply(&office, &events).await.unwrap();
    // A repeat of an older one does not turn the clock back.
    apply(&office, &office.events().await[..1]).await.unwrap();
    let rows = office.world.database.rows("select as_of from cpq.view_progress where consumer = 'projection'").await;
    let shown: Vec<time::OffsetDateTime> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(shown, [newest]);
}
