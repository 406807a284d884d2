//! One tenant in a database of a test's own, and the processors of quotes and orders as the product runs them:
//! commands go in, one transaction each, and what they leave behind can be looked at.
#![allow(dead_code)]

use crate::support::{TestDatabase, eventually};
use async_trait::async_trait;
use cpq_avro::{AggregateType, Command, Decoder, Encoder, Record, SchemaSource, Schemas, SourceError, topics};
use cpq_domain::command::{ActorType, Claims, CommandMeta, IfMatch, Role};
use cpq_domain::ids::TenantId;
use cpq_domain::moment::Moment;
use cpq_domain::order::Order;
use cpq_domain::quote::Quote;
use cpq_runtime::processor::{AfterCommit, Delivery, Processor as _, StepError};
use cpq_state_stores::import::{CatalogRow, CustomerRow, TenantImport, import_tenant};
use cpq_state_stores::outbox::OutboxRow;
use cpq_state_stores::reference::ReferenceCache;
use cpq_state_stores::{Tx, aggregates};
use serde_json::{Value, json};
use sqlx::{Row as _, types::Json};
use std::collections::HashMap;
use std::sync::Arc;
use streams::aggregate::AggregateProcessor;
use streams::order::Orders;
use streams::quote::Quotes;
use time::OffsetDateTime;
use ulid::Ulid;

pub const TENANT: &str = "tenant-test";
const ACCOUNT: &str = "acct-1";

/// A command with its envelope, as it stands on its topic.
#[derive(Clone)]
pub struct Sent {
    pub meta: CommandMeta,
    pub aggregate_type: AggregateType,
    pub id: String,
    pub command: Command,
}

impl Sent {
    /// The command of that name on a quote.
    pub fn quote(id: &str, name: &str, payload: Value) -> Self {
        let command = Command::Quote(serde_json::from_value(json!({"type": name, "payload": payload})).unwrap());
        Self { meta: meta(), aggregate_type: AggregateType::Quote, id: id.to_owned(), command }
    }

    /// The same words as another command: of another client, or on another aggregate.
    pub fn again_as(&self, id: &str) -> Self {
        Self { meta: meta(), id: id.to_owned(), ..self.clone() }
    }

    pub fn if_match(mut self, revision: u32) -> Self {
        self.meta.if_match = Some(IfMatch::Revisions(vec![revision]));
        self
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

fn now() -> Moment {
    Moment::new(OffsetDateTime::now_utc())
}

fn meta() -> CommandMeta {
    let claims = Claims {
        actor_id: "alice".into(),
        actor_type: ActorType::User,
        roles: vec![Role::SalesRep],
        customer_accounts: vec!["*".to_owned()],
    };
    CommandMeta {
        command_id: Ulid::generate().to_string().as_str().into(),
        tenant_id: TENANT.into(),
        claims,
        correlation_id: "corr-test".into(),
        causation_id: None,
        received_at: now(),
        if_match: None,
        traceparent: None,
    }
}

/// Tests decode what they have encoded: every schema is known.
struct NoRegistry;

#[async_trait]
impl SchemaSource for NoRegistry {
    async fn schema(&self, id: i32) -> Result<String, SourceError> {
        Err(SourceError::Unknown(id))
    }
}

pub struct World {
    pub database: TestDatabase,
    pub decoder: Arc<Decoder>,
    pub encoder: Arc<Encoder>,
    quotes: AggregateProcessor<Quotes>,
    orders: AggregateProcessor<Orders>,
}

impl World {
    pub async fn new() -> Self {
        let database = TestDatabase::create().await;
        let schemas = Schemas::load().unwrap();
        let ids: HashMap<String, i32> =
            schemas.iter().enumerate().map(|(index, schema)| (schema.subject.clone(), index as i32 + 1)).collect();
        let encoder = Arc::new(Encoder::new(schemas.clone(), &ids).unwrap());
        let world = Self {
            database,
            decoder: Arc::new(Decoder::new(schemas, &ids, Arc::new(NoRegistry))),
            quotes: AggregateProcessor::new(Quotes::new(ReferenceCache::new().unwrap()), encoder.clone()),
            orders: AggregateProcessor::new(Orders, encoder.clone()),
            encoder,
        };
        let mut tx = world.begin().await;
        import_tenant(&mut tx, &reference_data()).await.unwrap();
        tx.commit().await.unwrap();
        world
    }

    pub async fn begin(&self) -> Tx {
        self.database.db.begin(&[TENANT.into()]).await.unwrap()
    }

    /// Lets the processor of its aggregate apply the command in this transaction.
    pub async fn apply(&self, tx: &mut Tx, sent: &Sent) -> Result<(), StepError> {
        self.apply_and_hint(tx, sent).await.map(drop)
    }

    /// The same; gives what is to be hinted after the commit.
    pub async fn apply_and_hint(&self, tx: &mut Tx, sent: &Sent) -> Result<AfterCommit, StepError> {
        let Sent { meta, aggregate_type, id, command } = sent.clone();
        let record = Record::Command(meta, aggregate_type, id.clone(), command);
        let delivery = Delivery { topic: "commands".to_owned(), partition: 0, offset: 0, key: id, record };
        let mut after = AfterCommit::default();
        match aggregate_type {
            AggregateType::Order => self.orders.apply(tx, &[&delivery], &mut after).await?,
            _ => self.quotes.apply(tx, &[&delivery], &mut after).await?,
        }
        Ok(after)
    }

    /// The same in a transaction of its own, which commits.
    pub async fn decide(&self, sent: &Sent) {
        let mut tx = self.begin().await;
        self.apply(&mut tx, sent).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Applies two commands at once: the second has read its state before the first commits, and writes after
    /// it. Gives what became of the second, whose transaction is rolled back.
    pub async fn collide(&self, first: &Sent, second: &Sent) -> Result<(), StepError> {
        let (mut ahead, mut behind) = (self.begin().await, self.begin().await);
        self.apply(&mut ahead, first).await.unwrap();
        let waiting = "select count(*) from pg_locks l join pg_stat_activity a using (pid) \
                       where not l.granted and a.datname = current_database()";
        let commit = async {
            eventually("the second waits for the first", || async { self.database.count(waiting).await > 0 }).await;
            ahead.commit().await.unwrap();
        };
        let (result, ()) = tokio::join!(self.apply(&mut behind, second), commit);
        behind.rollback().await.unwrap();
        result
    }

    pub async fn draft(&self, quote: &str) {
        let payload =
            json!({"customerAccountId": ACCOUNT, "currency": "USD", "termMonths": 12, "priceListId": "standard"});
        self.decide(&Sent::quote(quote, "CreateQuote", payload)).await;
    }

    pub async fn configured(&self, quote: &str, lines: Value) {
        self.draft(quote).await;
        self.decide(&Sent::quote(quote, "ConfigureQuote", json!({"quoteRevision": 1, "lines": lines}))).await;
    }

    /// A quote that policy alone has approved, with its proposal.
    pub async fn presented(&self, quote: &str) -> Quote {
        self.configured(quote, json!([line("1", None, "fiber", "2"), line("1.1", Some("1"), "router", "1")])).await;
        self.decide(&price(quote)).await;
        self.decide(&Sent::quote(quote, "SubmitForApproval", json!({"quoteRevision": 3}))).await;
        let revision = self.quote(quote).await.revision;
        self.decide(&Sent::quote(quote, "RecordArtifact", json!({"artifact": artifact(revision)}))).await;
        self.quote(quote).await
    }

    pub async fn quote(&self, id: &str) -> Quote {
        let key = (TenantId::from(TENANT), id.to_owned());
        let mut tx = self.begin().await;
        aggregates::load_quotes(&mut tx, std::slice::from_ref(&key)).await.unwrap().remove(&key).unwrap()
    }

    pub async fn order(&self, id: &str) -> Option<Order> {
        let key = (TenantId::from(TENANT), id.to_owned());
        let mut tx = self.begin().await;
        aggregates::load_orders(&mut tx, std::slice::from_ref(&key)).await.unwrap().remove(&key)
    }

    /// The answer to a command: nothing while it is undecided, `Err` with the code of a refusal.
    pub async fn outcome(&self, sent: &Sent) -> Option<Result<(), String>> {
        let query = "select rejection ->> 'code' from cpq.command_outcome where command_id = $1";
        let row = sqlx::query(query)
            .bind(sent.meta.command_id.as_str())
            .fetch_optional(&mut self.database.connect().await)
            .await
            .unwrap()?;
        Some(row.get::<Option<String>, _>(0).map_or(Ok(()), Err))
    }

    /// What waits in the outbox, in order.
    pub async fn outbox(&self) -> Vec<OutboxRow> {
        let rows = self
            .database
            .rows(
                "select tenant_id, topic, message_key, message_id, aggregate_type, aggregate_sequence, headers, value \
                 from cpq.outbox_event order by id",
            )
            .await;
        let row = |row: &sqlx::postgres::PgRow| {
            let (Json(headers), sequence) = (row.get(6), row.get::<Option<i64>, _>(5));
            let text = |column: usize| row.get::<&str, _>(column);
            OutboxRow::new(
                &text(0).into(),
                text(1),
                text(2),
                text(3),
                text(4),
                sequence.map(|s| s as u64),
                headers,
                row.get(7),
            )
        };
        rows.iter().map(row).collect()
    }

    /// The commands that quotes have sent to orders.
    pub async fn order_commands(&self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for row in self.outbox().await.into_iter().filter(|row| row.topic == topics::ORDER_COMMANDS) {
            let record = self.decoder.decode(&row.value).await.unwrap();
            let Record::Command(meta, aggregate_type, id, command) = record else { panic!("{record:?}") };
            sent.push(Sent { meta, aggregate_type, id, command });
        }
        sent
    }
}

/// A line to be added.
pub fn line(number: &str, parent: Option<&str>, offering: &str, quantity: &str) -> Value {
    json!({"lineNumber": number, "parentLineNumber": parent, "productOfferingId": offering, "quantity": quantity, "action": "ADD"})
}

/// Prices a configured quote.
pub fn price(quote: &str) -> Sent {
    Sent::quote(quote, "PriceQuote", json!({"quoteRevision": 2}))
}

/// Accepts the revision that the caller has seen.
pub fn accept(quote: &Quote) -> Sent {
    let evidence = json!({"method": "MANUAL_ENTRY", "acceptedAt": "2026-11-01T00:00:00Z", "artifactId": ARTIFACT});
    let payload = json!({"quoteRevision": quote.revision, "acceptedBy": "Nora", "acceptanceEvidence": evidence});
    Sent::quote(quote.quote_id.as_str(), "AcceptQuote", payload).if_match(quote.revision)
}

const ARTIFACT: &str = "art-1";

fn artifact(revision: u32) -> Value {
    json!({
        "artifactId": ARTIFACT, "quoteRevision": revision, "artifactType": "PROPOSAL", "templateId": "standard",
        "templateVersion": "1", "inputHash": "sha256:0", "contentHash": "sha256:0", "storageUri": "file:///none",
        "sizeBytes": 1, "generatedBy": "alice", "generatedAt": "2026-11-01T00:00:00Z",
    })
}

fn reference_data() -> TenantImport {
    let offering = |id: &str, children: &[&str]| {
        let children: Vec<_> = children.iter().map(|id| json!({"offeringId": id, "min": 0, "max": 10})).collect();
        json!({
            "id": id, "version": "1", "name": id, "segments": [], "sellableFrom": "2020-01-01T00:00:00Z",
            "sellableTo": null, "taxCategory": "STANDARD", "children": children, "fulfilment": ["RESERVE_INVENTORY"],
        })
    };
    let price = |id: &str| {
        json!({
            "id": format!("{id}-price"), "offeringId": id, "priceListId": "standard", "currency": "USD",
            "segment": null, "kind": "RECURRING", "model": "PER_UNIT", "amount": "10.00", "unitCost": "1.00",
            "validFrom": "2020-01-01T00:00:00Z", "validTo": null,
        })
    };
    let catalog = json!({
        "catalogVersion": "1",
        "offerings": [offering("fiber", &["router"]), offering("router", &["antenna"]), offering("antenna", &[]), offering("care", &[])],
        "prices": [price("fiber"), price("router"), price("antenna"), price("care")],
    });
    TenantImport {
        tenant_id: TENANT.to_owned(),
        document: json!({
            "tenantId": TENANT, "name": "Test", "defaultCurrency": "USD",
            "taxRates": [{"taxCategory": "STANDARD", "jurisdiction": "US-CA", "percent": "8.25"}],
        }),
        customers: vec![CustomerRow {
            customer_account_id: ACCOUNT.to_owned(),
            name: "Northwind".to_owned(),
            segment: "ENTERPRISE".to_owned(),
            jurisdiction: "US-CA".to_owned(),
            sales_owner_id: "alice".to_owned(),
        }],
        approvers: Vec::new(),
        catalog: CatalogRow {
            catalog_version: "1".to_owned(),
            content_hash: cpq_domain::canonical::hash(&catalog),
            document: catalog,
        },
        approval_policy: None,
        published_by: "test".to_owned(),
    }
}
