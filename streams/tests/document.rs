//! The document role on a real database and object store: a request becomes a stored proposal and a report to its
//! quote; done again it is the same bytes; what is in the way delays it and loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
mod role_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use cpq_avro::{Command, Encoder, Record, Schemas, topics};
use cpq_domain::canonical;
use cpq_domain::quote::{Artifact, QuoteCommand};
use cpq_domain::workflow::WorkflowCommand;
use cpq_runtime::processor::{AfterCommit, Delivery, Processor as _};
use cpq_state_stores::Db;
use cpq_state_stores::reference::ReferenceCache;
use cpq_state_stores::workflow::claim_duties;
use pretty_assertions::assert_eq;
use role_support::{ACME, GLOBEX, Office};
use sqlx::Row as _;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use streams::document::{ArtifactStore, DEFAULT_TEMPLATE_ID, Documents, Renderer};
use support::{TestDatabase, eventually};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const QUOTE: &str = "Q-2026-000001";
const OTHER: &str = "Q-2026-000002";

/// A renderer at work on a store of its own; it ends when it is dropped.
struct Running {
    folder: TempDir,
    task: JoinHandle<()>,
}

impl Running {
    fn start(office: &Office) -> Self {
        Self::on(office, TempDir::new().unwrap())
    }

    fn on(office: &Office, folder: TempDir) -> Self {
        let schemas = Schemas::load().unwrap();
        let ids: HashMap<String, i32> =
            schemas.iter().enumerate().map(|(index, schema)| (schema.subject.clone(), index as i32 + 1)).collect();
        let renderer = Renderer {
            db: office.world.database.db.clone(),
            encoder: Arc::new(Encoder::new(schemas, &ids).unwrap()),
            cache: ReferenceCache::new().unwrap(),
            store: ArtifactStore::open(&format!("file://{}", folder.path().display())).unwrap(),
            wake: Arc::new(Notify::new()),
        };
        Self { folder, task: tokio::spawn(renderer.run(CancellationToken::new())) }
    }

    /// Where the proposal of an artifact stands.
    fn path(&self, tenant: &str, quote: &str, artifact: &Artifact) -> PathBuf {
        let revision = artifact.quote_revision;
        self.folder.path().join(format!("{tenant}/{quote}/r{revision}/{}.pdf", artifact.artifact_id))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn apply(office: &Office, batch: &[Delivery]) {
    let mut tx = office.world.database.db.begin(&[ACME.into(), GLOBEX.into()]).await.unwrap();
    Documents.apply(&mut tx, &batch.iter().collect::<Vec<_>>(), &mut AfterCommit::default()).await.unwrap();
    tx.commit().await.unwrap();
}

/// An approved quote whose proposal was asked for, and the role has heard of it.
async fn wanted(office: &mut Office, tenant: &str, quote: &str) {
    office.approved(tenant, quote).await;
    office.proposal_wanted(tenant, quote).await;
    apply(office, &requests(office).await).await;
}

/// The topic of the requests, on which the bridge's commands stand, too.
async fn requests(office: &Office) -> Vec<Delivery> {
    office.deliveries(&[topics::WORKFLOW_COMMANDS]).await
}

async fn duties(office: &Office) -> i64 {
    office.world.database.count("select count(*) from cpq.workflow_duty").await
}

async fn all_done(office: &Office) {
    eventually("no document is owed", || async { duties(office).await == 0 }).await;
}

/// What was reported so far.
async fn reports(office: &Office) -> Vec<(String, Artifact)> {
    let commands = office.deliveries(&[topics::QUOTE_COMMANDS]).await;
    let report = |delivery: Delivery| match delivery.record {
        Record::Command(_, _, quote, Command::Quote(QuoteCommand::RecordArtifact(c))) => Some((quote, c.artifact)),
        _ => None,
    };
    commands.into_iter().filter_map(report).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_proposal_is_stored_and_reported_and_then_the_quote_has_it() {
    let mut office = Office::open().await;
    wanted(&mut office, ACME, QUOTE).await;
    assert_eq!(duties(&office).await, 1, "the bridge's commands are none of it");
    let running = Running::start(&office);
    all_done(&office).await;

    let (to, artifact) = reports(&office).await.remove(0);
    let path = running.path(ACME, QUOTE, &artifact);
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"%PDF-") && bytes.trim_ascii_end().ends_with(b"%%EOF"));
    assert_eq!((to.as_str(), artifact.quote_revision), (QUOTE, 5));
    assert_eq!(
        (artifact.content_hash.as_str(), artifact.size_bytes),
        (&*canonical::sha256(&bytes), bytes.len() as u64)
    );
    assert_eq!(artifact.storage_uri, format!("file://{}", path.display()));
    assert_eq!((artifact.template_id.as_str(), artifact.generated_by.as_str()), (DEFAULT_TEMPLATE_ID, "alice"));

    assert_eq!(office.quote(ACME, QUOTE).await.artifact(), None, "only the quote says whether it counts");
    office.follow().await;
    assert_eq!(office.quote(ACME, QUOTE).await.artifact(), Some(&artifact));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_delivered_again_gives_the_same_bytes_and_no_second_report() {
    let mut office = Office::open().await;
    wanted(&mut office, ACME, QUOTE).await;
    apply(&office, &requests(&office).await).await;
    assert_eq!(duties(&office).await, 1);
    let first = Running::start(&office);
    all_done(&office).await;
    let (_, artifact) = reports(&office).await.remove(0);
    let path = first.path(ACME, QUOTE, &artifact);
    let bytes = std::fs::read(&path).unwrap();
    let folder = first.folder.path().to_owned();

    // After it was done; the store has lost it meanwhile.
    std::fs::remove_file(&path).unwrap();
    apply(&office, &requests(&office).await).await;
    assert_eq!(duties(&office).await, 1);
    all_done(&office).await;
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(reports(&office).await, [(QUOTE.to_owned(), artifact.clone())]);
    drop(first);
    assert!(!folder.exists());

    // By another process, with another store, when the quote has moved on.
    office.follow().await;
    let second = Running::start(&office);
    apply(&office, &requests(&office).await).await;
    all_done(&office).await;
    assert_eq!(std::fs::read(second.path(ACME, QUOTE, &artifact)).unwrap(), bytes);
    assert_eq!(reports(&office).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_delays_a_proposal_and_loses_none() {
    let mut office = Office::open().await;
    wanted(&mut office, ACME, QUOTE).await;
    let folder = TempDir::new().unwrap();
    // A file where the tenant's folder has to be: nothing can be stored.
    let obstacle = folder.path().join(ACME);
    std::fs::write(&obstacle, "in the way").unwrap();
    let running = Running::on(&office, folder);
    let put_off =
        "select count(*) from cpq.workflow_duty where attempts >= 2 and last_error like 'the object store: %'";
    eventually("it was tried twice", || async { office.world.database.count(put_off).await == 1 }).await;
    assert_eq!(reports(&office).await, []);

    std::fs::remove_file(&obstacle).unwrap();
    all_done(&office).await;
    let reports = reports(&office).await;
    assert_eq!(reports.len(), 1);
    let bytes = std::fs::read(running.path(ACME, QUOTE, &reports[0].1)).unwrap();
    assert_eq!(canonical::sha256(&bytes), reports[0].1.content_hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_renderer_took_and_died_with_is_made_by_another() {
    let mut office = Office::open().await;
    wanted(&mut office, ACME, QUOTE).await;
    let mut tx = office.world.database.db.begin_system().await.unwrap();
    assert_eq!(claim_duties(&mut tx, &["RENDER_ARTIFACT"], None, 2.0, 10).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    let _running = Running::start(&office);
    all_done(&office).await;
    assert_eq!(reports(&office).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_out_of_a_long_backlog_does_not_read_it_again_for_each_of_its_rows() {
    const WAITING: i64 = 1000;
    let database = TestDatabase::create().await;
    let one = Db::connect_lazy(&database.url, "one", 1).unwrap();
    let claim = async || {
        let mut tx = one.begin_system().await.unwrap();
        let claimed = claim_duties(&mut tx, &["RENDER_ARTIFACT"], None, 2.0, 10).await.unwrap().len();
        tx.commit().await.unwrap();
        claimed
    };
    // Planned while there is nothing, as at the start of a service.
    assert_eq!(claim().await, 0);
    let backlog = "insert into cpq.workflow_duty (tenant_id, business_key, duty_id, kind, body) \
                   select 'tenant-acme', 'artifact-' || n, 'duty', 'RENDER_ARTIFACT', '{}' from generate_series(1, 1000) n";
    database.execute(backlog).await;
    assert_eq!(claim().await, 10);
    // A session that ends tells what it has read.
    one.close().await;
    let read = "select coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) from pg_stat_user_tables where relname = 'workflow_duty'";
    eventually("the session's reads are known", || async { database.count(read).await > 0 }).await;
    let read = database.count(read).await;
    assert!(read <= 4 * WAITING, "{read} rows read for 10 of {WAITING}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_renderers_report_a_proposal_once() {
    let mut office = Office::open().await;
    for quote in [QUOTE, OTHER] {
        wanted(&mut office, ACME, quote).await;
    }
    let _both = [Running::start(&office), Running::start(&office)];
    all_done(&office).await;
    let mut reported: Vec<String> = reports(&office).await.into_iter().map(|(quote, _)| quote).collect();
    reported.sort();
    assert_eq!(reported, [QUOTE, OTHER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_request_says_why_and_holds_up_no_other() {
    let mut office = Office::open().await;
    office.approved(ACME, QUOTE).await;
    office.proposal_wanted(ACME, QUOTE).await;
    let mut requests = requests(&office).await;
    for delivery in &mut requests {
        if let Record::Command(_, _, _, Command::Workflow(WorkflowCommand::RenderArtifact(render))) =
            &mut delivery.record
        {
            render.quote_revision = 4;
        }
    }
    apply(&office, &requests).await;
    office.approved(GLOBEX, OTHER).await;
    office.proposal_wanted(GLOBEX, OTHER).await;
    let theirs = self::requests(&office).await.into_iter().skip(requests.len()).collect::<Vec<_>>();
    apply(&office, &theirs).await;
    let running = Running::start(&office);
    eventually("the other is made", || async { !reports(&office).await.is_empty() }).await;
    let (quote, artifact) = reports(&office).await.remove(0);
    assert_eq!(quote, OTHER);
    assert!(running.path(GLOBEX, OTHER, &artifact).exists(), "each tenant has a folder of its own");
    let database = &office.world.database;
    let parked = "select count(*) from cpq.parked_key k join cpq.workflow_duty d on (d.tenant_id, d.business_key) = (k.tenant_id, k.message_key) \
                  where k.consumer = 'document' and k.topic = 'cpq.workflow.commands.v1' and k.tenant_id = 'tenant-acme' \
                    and k.cause like '%was never approved at revision 4' and k.cause = d.last_error and d.attempts = ";
    let (once, twice) = (format!("{parked} 1"), format!("{parked} 2"));
    let (once, twice): (&'static str, &'static str) = (once.leak(), twice.leak());
    eventually("it is parked and says why", || async { database.count(once).await == 1 }).await;
    // Longer than the pause after a first failure.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(database.count(once).await, 1, "it is not tried again");

    // An operator lets it go, and nothing has changed.
    database.execute("delete from cpq.parked_key").await;
    eventually("it was tried again and is parked again", || async { database.count(twice).await == 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_nobody_has_parks_its_request_and_no_other_of_the_quote() {
    let mut office = Office::open().await;
    office.approved(ACME, QUOTE).await;
    office.proposal_wanted(ACME, QUOTE).await;
    let mut strange = requests(&office).await;
    for delivery in &mut strange {
        if let Record::Command(_, _, _, Command::Workflow(WorkflowCommand::RenderArtifact(render))) =
            &mut delivery.record
        {
            render.template_version = "999".to_owned();
            render.artifact_id = "art-strange".into();
        }
    }
    apply(&office, &strange).await;
    let _running = Running::start(&office);
    let parked = "select count(*) from cpq.parked_key where consumer = 'document' and message_key = 'art-strange' and cause like '%no template%'";
    eventually("it is parked", || async { office.world.database.count(parked).await == 1 }).await;
    apply(&office, &requests(&office).await).await;
    eventually("the other is made", || async { !reports(&office).await.is_empty() }).await;
    assert_eq!(duties(&office).await, 1, "the parked one is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_with_the_same_deal_get_proposals_of_their_own() {
    let mut office = Office::open().await;
    for (tenant, quote) in [(ACME, QUOTE), (GLOBEX, OTHER)] {
        wanted(&mut office, tenant, quote).await;
    }
    let _running = Running::start(&office);
    all_done(&office).await;
    let made = reports(&office).await;
    assert_ne!(made[0].1.content_hash, made[1].1.content_hash);
    assert_ne!(made[0].1.input_hash, made[1].1.input_hash);
    let query = "select tenant_id from cpq.outbox_event where topic = 'cpq.quote.commands.v1' order by message_key";
    let tenants: Vec<String> = office.world.database.rows(query).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(tenants, [ACME, GLOBEX]);
}
