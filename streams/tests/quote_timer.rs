//! The end of a quote's validity on a real database: the timer that is kept with the quote, the keeper that fires
//! it, and the quote that decides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
mod projection_support;
mod role_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use aggregate_support::{Sent, accept};
use cpq_avro::{Command, Record, topics};
use cpq_domain::quote::{Quote, QuoteCommand};
use cpq_domain::workflow::WorkflowCommand;
use cpq_runtime::processor::{AfterCommit, Processor as _};
use cpq_runtime::wake::Wake;
use cpq_state_stores::timers;
use pretty_assertions::assert_eq;
use projection_support::{QUOTE, columns, story};
use role_support::{ACCOUNT, ACME, GLOBEX, Office, sales};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::time::Duration;
use streams::notification::Notifier;
use streams::timer::{TimerKeeper, TimerSettings, TimerStatus, WAKE};
use support::{eventually, stack};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Validity that is over soon.
const SOON: Duration = Duration::from_secs(2);
/// Validity within which a quote can be brought to its proposal.
const WHILE: Duration = Duration::from_secs(8);
/// Nobody waits so long in a test.
const NEVER: Duration = Duration::from_secs(3600);

const TIMERS: &str = "select count(*) from cpq.quote_timer";
const EXPIRIES: &str = "select count(*) from cpq.command where operation = 'ExpireQuote'";
const EXPIRED: &str = "select count(*) from cpq.transition_log where event_type = 'QuoteExpired'";

fn created(quote: &str, valid: Duration) -> (Sent, OffsetDateTime) {
    let until = OffsetDateTime::now_utc() + valid;
    let payload = json!({
        "customerAccountId": ACCOUNT, "currency": "USD", "termMonths": 12, "priceListId": "standard",
        "validUntil": until.format(&Rfc3339).unwrap(),
    });
    (Sent::quote(quote, "CreateQuote", payload), until)
}

async fn draft(office: &mut Office, tenant: &str, quote: &str, valid: Duration) -> OffsetDateTime {
    let (create, until) = created(quote, valid);
    office.say(tenant, sales(), create).await;
    until
}

/// From a draft on, as far as the approval policy lets a discount through.
async fn submitted(office: &mut Office, quote: &str, discount: &str) {
    let line = json!({"lineNumber": "1", "productOfferingId": "seat", "quantity": "5", "action": "ADD"});
    let price = json!({"quoteRevision": 2, "quoteDiscount": {"percent": discount, "reasonCode": "STRATEGIC"}});
    for (name, payload) in [
        ("ConfigureQuote", json!({"quoteRevision": 1, "lines": [line]})),
        ("PriceQuote", price),
        ("SubmitForApproval", json!({"quoteRevision": 3})),
    ] {
        office.say(ACME, sales(), Sent::quote(quote, name, payload)).await;
    }
}

/// Approved, with a proposal that could be accepted, and valid for a while.
async fn presented(office: &mut Office) -> (Quote, OffsetDateTime) {
    let until = draft(office, ACME, QUOTE, WHILE).await;
    submitted(office, QUOTE, "5").await;
    office.proposal_wanted(ACME, QUOTE).await;
    office.proposal_made(ACME, QUOTE).await;
    (office.quote(ACME, QUOTE).await, until)
}

fn acceptance(seen: &Quote) -> Sent {
    let mut acceptance = accept(seen);
    let Command::Quote(QuoteCommand::AcceptQuote(words)) = &mut acceptance.command else { panic!() };
    words.acceptance_evidence.artifact_id = seen.artifact().unwrap().artifact_id.clone();
    acceptance.meta.tenant_id = ACME.into();
    acceptance
}

async fn past(at: OffsetDateTime) {
    let left = at - OffsetDateTime::now_utc() + Duration::from_millis(50);
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
}

struct Keeping {
    stop: CancellationToken,
    task: JoinHandle<()>,
    status: TimerStatus,
}

impl Keeping {
    fn start(office: &Office, settings: TimerSettings, wake: &Wake) -> Self {
        let (db, encoder) = (office.world.database.db.clone(), office.world.encoder.clone());
        let (stop, status, wake) = (CancellationToken::new(), TimerStatus::default(), wake.clone());
        let keeper = TimerKeeper { db, encoder, settings, status: status.clone() };
        let stopping = stop.clone();
        Self { stop, status, task: tokio::spawn(async move { keeper.run(&wake, stopping).await }) }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Lets a new keeper run until all that is due has been fired.
async fn fire(office: &Office) {
    let keeping = Keeping::start(office, TimerSettings::default(), &Wake::default());
    let due = "select count(*) from cpq.quote_timer where due_at <= clock_timestamp()";
    eventually("what is due is fired", || async { office.world.database.count(due).await == 0 }).await;
    keeping.stop().await;
}

async fn status(office: &Office) -> &'static str {
    office.quote(ACME, QUOTE).await.status().as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_quote_cannot_be_accepted_even_before_the_timer_has_run() {
    let mut office = Office::open().await;
    let (seen, until) = presented(&mut office).await;
    past(until).await;
    let acceptance = acceptance(&seen);
    let mut tx = office.world.database.db.begin(&[ACME.into()]).await.unwrap();
    office.world.apply(&mut tx, &acceptance).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(office.world.outcome(&acceptance).await, Some(Err("QUOTE_EXPIRED".to_owned())));
    assert_eq!((status(&office).await, office.world.database.count(TIMERS).await), ("APPROVED", 1));
    fire(&office).await;
    office.follow().await;
    assert_eq!(status(&office).await, "EXPIRED");
}

/// What stands in the database is all that is left of the processes that made it.
#[tokio::test(flavor = "multi_thread")]
async fn a_quote_expires_when_its_time_comes_even_if_every_process_was_down_then() {
    let mut office = Office::open().await;
    let until = draft(&mut office, ACME, QUOTE, SOON).await;
    past(until).await;
    assert_eq!((status(&office).await, office.world.database.count(EXPIRIES).await), ("DRAFT", 0));

    fire(&office).await;
    office.follow().await;
    let quote = office.quote(ACME, QUOTE).await;
    assert_eq!((quote.status().as_str(), quote.revision), ("EXPIRED", 2));
    // The expiry is part of the story of the request that gave the quote its end.
    let joined = "select count(distinct correlation_id) from cpq.transition_log where aggregate_id = 'Q-2026-000001'";
    assert_eq!(office.world.database.count(joined).await, 1);
    let state = office.deliveries(&[topics::QUOTE_STATE]).await.pop().unwrap();
    let Record::State { value, .. } = state.record else { panic!("{:?}", state.record) };
    assert_eq!((&value["status"], &value["aggregateSequence"]), (&json!("EXPIRED"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_owns_the_customer_is_told_that_a_quote_has_expired() {
    let mut office = Office::open().await;
    let until = draft(&mut office, ACME, QUOTE, SOON).await;
    past(until).await;
    fire(&office).await;
    office.follow().await;
    let events = office.deliveries(&[topics::QUOTE_EVENTS]).await;
    let mut tx = office.world.database.db.begin(&[ACME.into()]).await.unwrap();
    Notifier.apply(&mut tx, &events.iter().collect::<Vec<_>>(), &mut AfterCommit::default()).await.unwrap();
    tx.commit().await.unwrap();
    let told = "select jsonb_build_array(kind, recipient, subject) from cpq.notification";
    assert_eq!(columns(&office, told).await, [["QUOTE_EXPIRED", "alice", "Quote Q-2026-000001 has expired"]]);
}

/// A table that was restored from yesterday's backup, say, or two keepers that both believe it is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_fires_twice_expires_once() {
    let mut office = Office::open().await;
    let until = draft(&mut office, ACME, QUOTE, SOON).await;
    past(until).await;
    let again = "insert into cpq.quote_timer select q.tenant_id, q.quote_id, (q.state ->> 'validUntil')::timestamptz, 'corr', 'cause' \
        from cpq.quote q";
    for _ in 0..2 {
        fire(&office).await;
        office.world.database.execute(again).await;
    }
    assert_eq!(office.world.database.count(EXPIRIES).await, 1);
    office.follow().await;
    fire(&office).await;
    office.follow().await;
    assert_eq!((office.world.database.count(EXPIRIES).await, office.world.database.count(EXPIRED).await), (1, 1));

    let other = Sent::quote(QUOTE, "ExpireQuote", json!({"validUntil": until.format(&Rfc3339).unwrap()}));
    office.say(ACME, cpq_domain::command::Claims::system("cpq-test"), other).await;
    assert_eq!((office.quote(ACME, QUOTE).await.sequence, office.world.database.count(EXPIRED).await), (2, 1));
}

/// No command extends a validity yet; the row is changed as one would.
#[tokio::test(flavor = "multi_thread")]
async fn a_quote_whose_validity_was_extended_does_not_expire() {
    let mut office = Office::open().await;
    let until = draft(&mut office, ACME, QUOTE, SOON).await;
    past(until).await;
    fire(&office).await;
    office
        .world
        .database
        .execute("update cpq.quote set state = jsonb_set(state, '{validUntil}', '\"2999-01-01T00:00:00Z\"')")
        .await;
    office.follow().await;
    assert_eq!((status(&office).await, office.world.database.count(EXPIRED).await), ("DRAFT", 0));
    let outcome = "select count(*) from cpq.command_outcome o join cpq.command c using (tenant_id, command_id) \
        where c.operation = 'ExpireQuote' and o.status = 'APPLIED'";
    assert_eq!(office.world.database.count(outcome).await, 1, "what was decided is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_was_accepted_or_withdrawn_in_time_has_no_timer_any_more() {
    let mut office = Office::open().await;
    let (seen, _) = presented(&mut office).await;
    draft(&mut office, GLOBEX, "Q-2026-000002", WHILE).await;
    assert_eq!(office.world.database.count(TIMERS).await, 2);
    office.say(ACME, sales(), acceptance(&seen)).await;
    office.say(GLOBEX, sales(), Sent::quote("Q-2026-000002", "WithdrawQuote", json!({"quoteRevision": 1}))).await;
    assert_eq!(office.world.database.count(TIMERS).await, 0);
}

/// A keeper that ends between taking and sending leaves the timer to the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_was_taken_by_a_keeper_that_died_fires_all_the_same() {
    let mut office = Office::open().await;
    let until = draft(&mut office, ACME, QUOTE, SOON).await;
    past(until).await;
    let mut tx = office.world.database.db.begin_system().await.unwrap();
    assert_eq!(timers::take_due(&mut tx, 10).await.unwrap().len(), 1);
    tx.rollback().await.unwrap();
    fire(&office).await;
    office.follow().await;
    assert_eq!(status(&office).await, "EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_keeper_is_woken_by_a_timer_that_is_set_and_by_nothing_else() {
    let office = Office::open().await;
    let wake = Wake::default();
    let settings = TimerSettings { longest_sleep: NEVER, ..TimerSettings::default() };
    let keeping = Keeping::start(&office, settings, &wake);
    eventually("the keeper has looked", || async { keeping.status.check().is_ok() }).await;

    let (mut timed, _) = created(QUOTE, SOON);
    let mut plain = timed.again_as("Q-2026-000002");
    if let Command::Quote(QuoteCommand::CreateQuote(words)) = &mut plain.command {
        words.valid_until = None;
    }
    for (sent, wakes) in [(&mut plain, vec![]), (&mut timed, vec![WAKE])] {
        sent.meta.tenant_id = ACME.into();
        let mut tx = office.world.database.db.begin(&[ACME.into()]).await.unwrap();
        let after = office.world.apply_and_hint(&mut tx, sent).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(after.wake, wakes);
        after.wake.into_iter().for_each(|name| wake.notify(name));
    }
    eventually("the timer has fired", || async { office.world.database.count(EXPIRIES).await == 1 }).await;
    keeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_keepers_fire_many_timers_once_each() {
    let mut office = Office::open().await;
    let until = draft(&mut office, ACME, QUOTE, SOON).await;
    office
        .world
        .database
        .execute(
            "insert into cpq.quote_timer select case when n % 2 = 0 then 'tenant-acme' else 'tenant-globex' end, 'Q-2025-' || n, \
             clock_timestamp() - make_interval(secs => n), 'corr', 'cause' from generate_series(100001, 101000) n",
        )
        .await;
    past(until).await;
    let settings = TimerSettings { batch: 70, ..TimerSettings::default() };
    let keepers = [(); 3].map(|()| Keeping::start(&office, settings.clone(), &Wake::default()));
    eventually("all have fired", || async { office.world.database.count(TIMERS).await == 0 }).await;
    for keeper in keepers {
        keeper.stop().await;
    }
    let fired = "select count(distinct message_key) from cpq.outbox_event where topic = 'cpq.quote.commands.v1' \
        and message_id in (select command_id from cpq.command where operation = 'ExpireQuote')";
    assert_eq!((office.world.database.count(EXPIRIES).await, office.world.database.count(fired).await), (1001, 1001));
}

/// The engine's part, that an ended approval leaves no task, is in the bridge's tests.
#[tokio::test(flavor = "multi_thread")]
async fn withdrawing_a_pending_quote_ends_its_tasks_and_its_process() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "25").await;
    office.approval_started(ACME, QUOTE).await;
    let request = office.quote(ACME, QUOTE).await.approval().unwrap().approval_request_id.clone();
    let withdraw = json!({"quoteRevision": 4, "reasonCode": "DEAL_LOST"});
    office.say(ACME, sales(), Sent::quote(QUOTE, "WithdrawQuote", withdraw)).await;
    ended(&office, request.as_str(), "QUOTE_WITHDRAWN").await;

    let shown = "select jsonb_build_array(w.status, w.approval_status, w.total_amount is not null, t.status, t.candidate_role) \
        from cpq.quote_workspace_view w join cpq.approval_worklist_view t using (tenant_id, quote_id) order by t.approval_order";
    let story = story(&office, topics::QUOTE_EVENTS, shown).await;
    assert_eq!(
        story.last().unwrap(),
        "QuoteWithdrawn: WITHDRAWN CANCELLED true CANCELLED SALES_MANAGER | WITHDRAWN CANCELLED true CANCELLED SALES_DIRECTOR"
    );
    let told = "select jsonb_build_array(summary) from cpq.customer_commercial_timeline_view \
        where event_type = 'QuoteWithdrawn'";
    assert_eq!(columns(&office, told).await, [["alice withdrew quote Q-2026-000001"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_is_open_when_its_quote_expires_ends_with_it() {
    let mut office = Office::open().await;
    let until = draft(&mut office, ACME, QUOTE, WHILE).await;
    submitted(&mut office, QUOTE, "25").await;
    office.approval_started(ACME, QUOTE).await;
    let request = office.quote(ACME, QUOTE).await.approval().unwrap().approval_request_id.clone();
    past(until).await;
    fire(&office).await;
    office.follow().await;
    ended(&office, request.as_str(), "QUOTE_EXPIRED").await;
    let shown = "select jsonb_build_array(status, approval_status) from cpq.quote_workspace_view";
    assert_eq!(story(&office, topics::QUOTE_EVENTS, shown).await.last().unwrap(), "QuoteExpired: EXPIRED CANCELLED");
    let tasks = "select jsonb_build_array(status) from cpq.approval_worklist_view";
    assert_eq!(columns(&office, tasks).await, [["CANCELLED"], ["CANCELLED"]]);
}

/// The bridge is asked to end this approval, and for this reason.
async fn ended(office: &Office, request: &str, reason: &str) {
    let last = office.deliveries(&[topics::WORKFLOW_COMMANDS]).await.pop().unwrap();
    let Record::Command(_, _, _, Command::Workflow(WorkflowCommand::EndApproval(end))) = last.record else {
        panic!("{:?}", last.record)
    };
    assert_eq!((end.approval_request_id.as_str(), end.reason.as_str()), (request, reason));
}

/// The migration that brings the timers finds the quotes of every tenant, which row level security hides from it.
#[tokio::test(flavor = "multi_thread")]
async fn quotes_from_before_there_were_timers_get_theirs() {
    const TABLE: &str = "select to_jsonb(t)::text from cpq.quote_timer t order by quote_id";
    let mut office = Office::open().await;
    let (seen, _) = presented(&mut office).await;
    office.say(ACME, sales(), acceptance(&seen)).await;
    for (tenant, quote) in [(ACME, "Q-2026-000002"), (GLOBEX, "Q-2026-000003")] {
        draft(&mut office, tenant, quote, NEVER).await;
    }
    let timers = async || {
        let rows = office.world.database.rows(TABLE).await;
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let before = timers().await;
    assert_eq!(before.len(), 2);

    let owner = stack("CPQ_OWNER_DATABASE_URL");
    let url = format!("{}/{}", owner.rsplit_once('/').unwrap().0, office.world.database.name);
    let mut owner = PgConnection::connect(&url).await.unwrap();
    owner.execute("drop table cpq.quote_timer").await.unwrap();
    owner.execute(sqlx::raw_sql(include_str!("../../migrations/0008_quote_timer.sql"))).await.unwrap();
    owner.close().await.unwrap();
    assert_eq!(timers().await, before);
    let forced = "select count(*) from pg_class where relforcerowsecurity \
        and oid in ('cpq.quote'::regclass, 'cpq.transition_log'::regclass, 'cpq.quote_timer'::regclass)";
    assert_eq!(office.world.database.count(forced).await, 3);
}
