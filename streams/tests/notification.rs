//! Notifications on a real database and a real mail server: who is told what, that one event is one mail, that a
//! server that is down delays a mail and loses none, and that nothing in the data becomes part of a mail's form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
mod notification_support;
mod role_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use cpq_avro::{AggregateType, Event, EventEnvelope, Record, topics};
use cpq_domain::approval::ApprovalLevel::SalesManager;
use cpq_domain::command::Claims;
use cpq_domain::moment::Moment;
use cpq_domain::workflow::{UserTaskCreated, WorkflowEvent};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor as _};
use cpq_state_stores::notifications::{self, NewNotification};
use notification_support::{MAX_MAIL_BYTES, Mail, MailServer};
use pretty_assertions::assert_eq;
use role_support::{ACME, GLOBEX, Office, STEPS};
use rstest::rstest;
use serde_json::json;
use sqlx::Row as _;
use std::collections::HashSet;
use std::sync::Arc;
use streams::notification::{Notifier, Sender, Sink};
use support::{TestDatabase, eventually};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const QUOTE: &str = "Q-2026-000001";
const FROM: &str = "CPQ Streams <cpq@example.com>";
const DOMAIN: &str = "example.com";

/// A sender at work; it ends when it is dropped.
struct Running {
    task: JoinHandle<()>,
}

impl Running {
    fn start(database: &TestDatabase, server: &MailServer) -> Self {
        Self::at(database, &server.url())
    }

    fn at(database: &TestDatabase, url: &str) -> Self {
        let sink = Sink::from_url(url, FROM, DOMAIN).unwrap();
        let sender = Sender { db: database.db.clone(), sink, wake: Arc::new(Notify::new()) };
        Self { task: tokio::spawn(sender.run(CancellationToken::new())) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn apply(office: &Office, batch: &[Delivery]) {
    let tenants = [ACME.into(), GLOBEX.into()];
    let mut tx = office.world.database.db.begin(&tenants).await.unwrap();
    Notifier.apply(&mut tx, &batch.iter().collect::<Vec<_>>(), &mut AfterCommit::default()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Waits until nothing is to be sent any more.
async fn all_sent(database: &TestDatabase) {
    let open = "select count(*) from cpq.notification where status <> 'SENT'";
    eventually("everything is sent", || async { database.count(open).await == 0 }).await;
}

/// Lets everything that waits be sent, and gives what has come.
async fn mails_of(database: &TestDatabase) -> Vec<Mail> {
    let server = MailServer::up();
    let _running = Running::start(database, &server);
    all_sent(database).await;
    server.mails()
}

fn shown(mails: &[Mail]) -> Vec<[&str; 3]> {
    mails.iter().map(|mail| [mail.to.as_str(), mail.subject.as_str(), mail.body.as_str()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requester_and_the_owner_hear_what_became_of_a_quote() {
    let mut office = Office::open().await;
    let order = office.accepted(ACME, QUOTE).await;
    apply(&office, &office.events().await).await;
    let mut mails = mails_of(&office.world.database).await;
    mails.sort_by_key(|mail| mail.subject.clone());
    let proposal = format!("Quote {QUOTE} revision 5 is approved. Generate the proposal and send it to the customer.");
    assert_eq!(
        shown(&mails),
        [
            [
                "alice@example.com",
                "Quote Q-2026-000001 is accepted",
                &format!("Nora accepted quote {QUOTE}. Order {order} is being created.")
            ],
            ["alice@example.com", "Quote Q-2026-000001 is approved", &proposal],
        ]
    );
    for mail in mails {
        assert_eq!((mail.rcpt.as_str(), mail.sender.as_str()), ("alice@example.com", "cpq@example.com"));
        assert_eq!((mail.from.as_str(), mail.defects), ("CPQ Streams <cpq@example.com>", vec![]));
        assert!(mail.id.ends_with("-alice.tenant-acme@example.com>"), "{}", mail.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requester_hears_of_a_rejection_and_who_why() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    office.approval_started(ACME, QUOTE).await;
    office.complete(ACME, QUOTE, "bob", SalesManager, "REJECT").await;
    apply(&office, &office.events().await).await;
    let body =
        format!("bob rejected quote {QUOTE} as SALES_MANAGER: MY_REASON. Change it, price it and submit it again.");
    let mails = mails_of(&office.world.database).await;
    assert_eq!(shown(&mails), [["alice@example.com", "Quote Q-2026-000001 was rejected", body.as_str()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_managers_hear_of_fallout() {
    let mut office = Office::open().await;
    let order = office.accepted(ACME, QUOTE).await;
    office.fulfilment_started(ACME, &order).await;
    let failed = json!({"stepId": STEPS[0], "code": "NO_PORT", "detail": "Kein Anschluß in Köln"});
    office.report(ACME, &order, "RecordStepRejected", failed).await;
    apply(&office, &office.deliveries(&[topics::ORDER_EVENTS]).await).await;
    let mails = mails_of(&office.world.database).await;
    let body = format!("Step 1:ACTIVATE_SERVICE of order {order} stopped with NO_PORT: Kein Anschluß in Köln");
    let subject = format!("Order {order} needs attention");
    assert_eq!(shown(&mails), [["order-managers@example.com", subject.as_str(), body.as_str()]]);
}

fn task_created(tenant: &str) -> Delivery {
    let task = UserTaskCreated {
        quote_id: QUOTE.into(),
        approval_request_id: "apr-2026-000001-r4".into(),
        task_id: "apr-2026-000001-r4.SALES_MANAGER".into(),
        level: SalesManager,
        process_instance_id: "process-1".to_owned(),
        due_at: None,
    };
    let envelope = EventEnvelope {
        event_id: "event-1".into(),
        event_version: 1,
        occurred_at: Moment::parse("2026-11-23T10:00:00Z").unwrap(),
        tenant_id: tenant.into(),
        aggregate_type: AggregateType::Approval,
        aggregate_id: task.approval_request_id.to_string(),
        aggregate_revision: 1,
        aggregate_sequence: 2,
        correlation_id: "corr-test".into(),
        causation_id: None,
        actor: Claims::system("cpq-camunda-bridge").actor(),
    };
    let (topic, key) = (topics::WORKFLOW_EVENTS.to_owned(), envelope.aggregate_id.clone());
    let record = Record::Event(envelope, Event::Workflow(WorkflowEvent::UserTaskCreated(task)));
    Delivery { topic, partition: 0, offset: 0, key, record }
}

/// Of two tenants with the same people, only the one's are asked; an authority that has ended asks nobody.
#[tokio::test(flavor = "multi_thread")]
async fn everyone_who_may_decide_a_task_hears_of_it() {
    let office = Office::open().await;
    apply(&office, &[task_created(GLOBEX)]).await;
    let tenants = "select count(*) from cpq.notification where tenant_id <> 'tenant-globex'";
    assert_eq!(office.world.database.count(tenants).await, 0);
    let mails = mails_of(&office.world.database).await;
    let subject = "Approval task apr-2026-000001-r4.SALES_MANAGER";
    let body = "Task apr-2026-000001-r4.SALES_MANAGER waits for a decision as SALES_MANAGER.";
    assert_eq!(shown(&mails), [["bob@example.com", subject, body], ["carol@example.com", subject, body]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_twice_is_one_mail() {
    let mut office = Office::open().await;
    office.approved(ACME, QUOTE).await;
    let server = MailServer::up();
    let _running = Running::start(&office.world.database, &server);
    let mut batch = office.events().await;
    batch.extend(office.events().await);
    apply(&office, &batch).await;
    all_sent(&office.world.database).await;
    // Long after it was sent: a replay from offset 0.
    apply(&office, &office.events().await).await;
    all_sent(&office.world.database).await;
    assert_eq!(server.mails().len(), 1, "{:?}", server.mails());
}

async fn attempts(database: &TestDatabase) -> (i32, String, Option<String>) {
    let row = database.rows("select attempts, status, last_error from cpq.notification").await.remove(0);
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_a_server_that_is_down_and_comes_once() {
    let mut office = Office::open().await;
    office.approved(ACME, QUOTE).await;
    apply(&office, &office.events().await).await;
    let (database, mut server) = (&office.world.database, MailServer::down());
    let _running = Running::start(database, &server);
    eventually("two attempts", || async { attempts(database).await.0 >= 2 }).await;
    eventually("the cause is kept", || async { attempts(database).await.2.is_some() }).await;
    assert_eq!(attempts(database).await.1, "PENDING");
    server.start();
    all_sent(database).await;
    assert_eq!(attempts(database).await.2, None, "what was is over");
    assert_eq!(server.mails().len(), 1);
}

fn row(id: &str, recipient: &str) -> NewNotification {
    NewNotification {
        tenant_id: ACME.to_owned(),
        notification_id: id.to_owned(),
        kind: "QUOTE_APPROVED",
        recipient: recipient.to_owned(),
        subject: "A subject".to_owned(),
        body: "A body.".to_owned(),
        aggregate_id: QUOTE.to_owned(),
        correlation_id: "corr-test".to_owned(),
        created_at: "2026-11-23T10:00:00Z".to_owned(),
    }
}

async fn insert(database: &TestDatabase, rows: &[NewNotification]) {
    let mut tx = database.db.begin(&[ACME.into()]).await.unwrap();
    notifications::insert(&mut tx, rows).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_without_an_address_holds_up_nobody() {
    let database = TestDatabase::create().await;
    insert(&database, &[row("a", "two words"), row("b", "bob")]).await;
    let server = MailServer::up();
    let _running = Running::start(&database, &server);
    let sent = "select count(*) from cpq.notification where status = 'SENT'";
    eventually("the other is sent", || async { database.count(sent).await == 1 }).await;
    let query = "select status, last_error from cpq.notification where notification_id = 'a'";
    let row = database.rows(query).await.remove(0);
    assert_eq!(row.get::<&str, _>(0), "PENDING");
    assert!(row.get::<&str, _>(1).contains("is not a mail address"), "{}", row.get::<&str, _>(1));
    assert_eq!(server.mails().iter().map(|mail| mail.to.clone()).collect::<Vec<_>>(), ["bob@example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_the_server_refuses_says_why_and_holds_up_nobody() {
    let database = TestDatabase::create().await;
    let large = NewNotification { body: "x".repeat(MAX_MAIL_BYTES), ..row("a", "bob") };
    insert(&database, &[large, row("b", "carol")]).await;
    let server = MailServer::up();
    let _running = Running::start(&database, &server);
    let sent = "select count(*) from cpq.notification where status = 'SENT'";
    eventually("the other is sent", || async { database.count(sent).await == 1 }).await;
    let refused = "select count(*) from cpq.notification where notification_id = 'a' and last_error like '%552%'";
    eventually("it says why", || async { database.count(refused).await == 1 }).await;
    assert_eq!(server.mails().iter().map(|mail| mail.to.clone()).collect::<Vec<_>>(), ["carol@example.com"]);
}

/// Somebody listens and never says a word: each message has its time, and the database none of the waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let database = TestDatabase::create().await;
    insert(&database, &[row("a", "bob")]).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _running = Running::at(&database, &format!("smtp://{}", silent.local_addr().unwrap()));
    eventually("the cause is kept", || async { attempts(&database).await.2.is_some() }).await;
    assert_eq!(attempts(&database).await.1, "PENDING");
    assert_eq!(attempts(&database).await.2.unwrap(), "no receipt within 10 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_took_and_died_with_is_sent_by_another() {
    let database = TestDatabase::create().await;
    insert(&database, &[row("a", "bob")]).await;
    let mut tx = database.db.begin_system().await.unwrap();
    assert_eq!(notifications::claim(&mut tx, 2.0, 10).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    assert_eq!(mails_of(&database).await.len(), 1);
    assert_eq!(attempts(&database).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_senders_share_the_work_and_double_nothing() {
    const COUNT: usize = 120;
    let database = TestDatabase::create().await;
    let rows: Vec<_> = (0..COUNT).map(|n| row(&format!("id-{n}"), &format!("person-{n}"))).collect();
    insert(&database, &rows).await;
    let server = MailServer::up();
    let _both = [Running::start(&database, &server), Running::start(&database, &server)];
    all_sent(&database).await;
    let mails = server.mails();
    let ids: HashSet<_> = mails.iter().map(|mail| &mail.id).collect();
    assert_eq!((mails.len(), ids.len()), (COUNT, COUNT));
}

/// Ends of lines, and what would follow them if they ended a header, the body or the mail.
const EVIL: [&str; 5] = [
    "x\r\nBcc: mallory@evil.test",
    "x\nBcc: mallory@evil.test",
    "x\rBcc: mallory@evil.test",
    "x\r\n\r\nAnother body.",
    "x\r\n.\r\nMAIL FROM:<m@evil.test>\r\nRCPT TO:<mallory@evil.test>\r\nDATA\r\nBcc: mallory@evil.test\r\n\r\nsmuggled\r\n.\r\n",
];
/// The same with ends of lines that servers differ about.
const SMUGGLED: [&str; 3] = [
    "x\n.\nMAIL FROM:<m@evil.test>\nRCPT TO:<mallory@evil.test>\nDATA\nsmuggled\n.\n",
    "x\n.\r\nMAIL FROM:<m@evil.test>\r\nRCPT TO:<mallory@evil.test>\r\nDATA\r\nsmuggled\r\n.\r\n",
    "x\r.\rMAIL FROM:<m@evil.test>\rRCPT TO:<mallory@evil.test>\rDATA\rsmuggled\r.\r",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_end_of_line_in_the_data_becomes_a_header_or_another_mail() {
    let database = TestDatabase::create().await;
    insert(&database, &[row("plain", "plain")]).await;
    for (n, evil) in EVIL.iter().chain(&SMUGGLED).enumerate() {
        let subject =
            NewNotification { subject: (*evil).to_owned(), ..row(&format!("s-{n}"), &format!("subject-{n}")) };
        let body = NewNotification { body: (*evil).to_owned(), ..row(&format!("b-{n}"), &format!("body-{n}")) };
        let recipient = row(&format!("r-{n}"), evil);
        let quoted = row(&format!("q-{n}"), &format!("\"{evil}\"@example.com"));
        // As the product makes them, an id ends with its recipient.
        let id = row(&format!("{evil}-{n}"), &format!("id-{n}"));
        insert(&database, &[subject, body, recipient, quoted, id]).await;
    }
    let server = MailServer::up();
    let _running = Running::start(&database, &server);
    let open = "select count(*) from cpq.notification where status = 'PENDING' and attempts = 0";
    eventually("everything was tried", || async { database.count(open).await == 0 }).await;
    let untold = "select count(*) from cpq.notification where status = 'PENDING' and last_error is null";
    eventually("and has an end", || async { database.count(untold).await == 0 }).await;

    let mails = server.mails();
    let plain = mails.iter().find(|mail| mail.to == "plain@example.com").unwrap();
    for mail in &mails {
        assert_eq!(mail.rcpt, mail.to, "{mail:?}");
        assert!(mail.to.ends_with("@example.com") && !mail.to.contains("mallory"), "{mail:?}");
        assert_eq!(mail.sender, "cpq@example.com");
        // An id like that is none, but no more than that.
        assert!(mail.defects.is_empty() || mail.to.starts_with("id-"), "{mail:?}");
        assert_eq!(mail.headers, plain.headers, "{mail:?}");
        if !mail.to.starts_with("body-") {
            assert_eq!(mail.body, plain.body, "{mail:?}");
        }
    }
    let came: HashSet<_> = mails.iter().map(|mail| mail.to.as_str()).collect();
    assert_eq!(came.len(), mails.len(), "one mail each");
    for n in 0..EVIL.len() + SMUGGLED.len() {
        for kind in ["subject", "body"] {
            assert!(came.contains(format!("{kind}-{n}@example.com").as_str()), "{kind} {n} did not come");
        }
    }
}

/// The words of a customer, all the way from their command.
#[rstest]
#[case("Nora\r\n.\r\nMAIL FROM:<m@evil.test>")]
#[case("Zoë Müller 山田")]
#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_arrives_as_written(#[case] name: &str) {
    let mut office = Office::open().await;
    let order = office.accepted_by(ACME, QUOTE, name).await;
    apply(&office, &office.events().await).await;
    let mails = mails_of(&office.world.database).await;
    let accepted = mails.iter().find(|mail| mail.subject.ends_with("is accepted")).unwrap();
    let written = name.replace("\r\n", "\n");
    assert_eq!(accepted.body, format!("{written} accepted quote {QUOTE}. Order {order} is being created."));
    assert_eq!(mails.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_has_one_at_sign_whoever_it_is_for() {
    let database = TestDatabase::create().await;
    insert(&database, &[row("event-1-bob@acme.test", "bob@acme.test")]).await;
    let mails = mails_of(&database).await;
    assert_eq!((mails[0].rcpt.as_str(), mails[0].to.as_str()), ("bob@acme.test", "bob@acme.test"));
    assert_eq!(mails[0].id, "<event-1-bob.acme.test.tenant-acme@example.com>");
    assert!(mails[0].defects.is_empty(), "{:?}", mails[0].defects);
}

#[test]
fn a_mail_url_that_is_none_is_refused() {
    for url in ["mail.example.com", "http://mail.example.com", "smtp://"] {
        assert!(Sink::from_url(url, FROM, DOMAIN).is_err(), "{url}");
    }
    assert!(Sink::from_url("smtp://mail.example.com", "nobody", DOMAIN).is_err());
}
