//! A gateway in this process on the stack's Postgres and Redis: one database for the whole run, one tenant for
//! each test, tokens signed with a key of its own, and a processor that a test can let decide.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::body::Body;
use command_gateway::config::GatewayConfig;
use command_gateway::gateway::Gateway;
use command_gateway::start::start;
use cpq_avro::{AggregateType, Command, Decoder, Record, SchemaSource, Schemas, SourceError};
use cpq_domain::command::{Applied, CommandMeta, Decision};
use cpq_domain::ids::{QuoteId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::quote::{self, Quote, QuoteCommand};
use cpq_domain::rejection::Rejection;
use cpq_runtime::config::Settings;
use cpq_state_stores::aggregates::{self, QuoteRow};
use cpq_state_stores::decisions::{self, OutcomeRow, Records, TransitionRow};
use cpq_state_stores::evidence::QuoteEvidence;
use cpq_state_stores::import::{CatalogRow, CustomerRow, TenantImport, import_tenant};
use cpq_state_stores::operations::schemas::{RegisteredSchema, store_schemas};
use cpq_state_stores::{Db, Tx, reference};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, LazyLock};
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use ulid::Ulid;

pub const ISSUER: &str = "https://issuer.test";
pub const AUDIENCE: &str = "cpq-test";
pub const KEY_ID: &str = "test-key";
pub const ACCOUNT: &str = "acct-1";
pub const OTHER_ACCOUNT: &str = "acct-2";
const DATABASE_PREFIX: &str = "cpq_gateway_test_";

/// Connections outlive a test, so one runtime serves them all.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static STAGE: OnceCell<Stage> = OnceCell::const_new();

/// Runs a test on the shared runtime.
pub fn run<F: Future>(test: F) -> F::Output {
    RUNTIME.block_on(test)
}

/// A variable of the stack's environment.
pub fn stack(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run through `make test` (or `source .stack/env`)"))
}

pub struct Stage {
    pub gateway: Arc<Gateway>,
    pub database_url: String,
    pub signing_key: EncodingKey,
    pub jwks_path: String,
    decoder: Decoder,
}

struct NoSource;

#[async_trait::async_trait]
impl SchemaSource for NoSource {
    async fn schema(&self, id: i32) -> Result<String, SourceError> {
        Err(SourceError::Unknown(id))
    }
}

pub async fn stage() -> &'static Stage {
    STAGE.get_or_init(Stage::make).await
}

impl Stage {
    async fn make() -> Self {
        let database_url = database().await;
        let db = Db::connect_lazy(&database_url, "test", 4).unwrap();
        let schemas = Schemas::load().unwrap();
        let ids = register(&db, &schemas).await;
        let (signing_key, jwk) = key(KEY_ID);
        let jwks_path = std::env::temp_dir().join(format!("cpq-gateway-jwks-{}.json", std::process::id()));
        std::fs::write(&jwks_path, serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap()).unwrap();
        let jwks_path = jwks_path.display().to_string();
        let gateway = gateway(&[("CPQ_DATABASE_URL", &database_url), ("CPQ_OIDC_JWKS", &jwks_path)]).await;
        let decoder = Decoder::new(schemas, &ids, Arc::new(NoSource));
        Self { gateway, database_url, signing_key, jwks_path, decoder }
    }
}

/// A gateway with the stack's environment and these variables on top.
pub async fn gateway(variables: &[(&str, &str)]) -> Arc<Gateway> {
    let artifacts = format!("file://{}", std::env::temp_dir().join("cpq-gateway-artifacts").display());
    let mut environment: HashMap<String, String> =
        std::env::vars().filter(|(name, _)| name.starts_with("CPQ_")).collect();
    let own = [("CPQ_OIDC_ISSUER", ISSUER), ("CPQ_OIDC_AUDIENCE", AUDIENCE), ("CPQ_ARTIFACT_URL", artifacts.as_str())];
    environment.extend(own.iter().chain(variables).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    let config = GatewayConfig::read(&Settings::from_environment(environment).unwrap()).unwrap();
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    start(&config, metrics).await.unwrap().gateway
}

/// A migrated database of this run. Those that earlier runs have left are removed.
async fn database() -> String {
    let (owner, app) = (stack("CPQ_OWNER_DATABASE_URL"), stack("CPQ_DATABASE_URL"));
    let name = format!("{DATABASE_PREFIX}{}", Ulid::generate().to_string().to_lowercase());
    let mut connection = PgConnection::connect(&owner).await.unwrap();
    let left = sqlx::query("select datname from pg_database where datname like 'cpq\\_gateway\\_test\\_%'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    for row in left {
        // One that is in use belongs to a run beside this one and stays.
        let _ = connection.execute(sqlx::AssertSqlSafe(format!("drop database {}", row.get::<String, _>(0)))).await;
    }
    connection.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    let of = |url: &str| format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    cpq_state_stores::db::migrate(&of(&owner)).await.unwrap();
    of(&app)
}

async fn register(db: &Db, schemas: &Schemas) -> HashMap<String, i32> {
    let rows: Vec<RegisteredSchema> = schemas
        .iter()
        .enumerate()
        .map(|(index, schema)| RegisteredSchema {
            subject: schema.subject.clone(),
            record_name: schema.full_name.clone(),
            fingerprint: schema.fingerprint.clone(),
            schema_id: index as i32 + 1,
            schema: schema.json.clone(),
        })
        .collect();
    let mut tx = db.begin(&[]).await.unwrap();
    store_schemas(&mut tx, &rows).await.unwrap();
    tx.commit().await.unwrap();
    rows.into_iter().map(|row| (row.subject, row.schema_id)).collect()
}

/// A new ES256 key pair under that id.
pub fn key(id: &str) -> (EncodingKey, Jwk) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let signing = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
    let mut jwk = Jwk::from_encoding_key(&signing, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some(id.to_owned());
    (signing, jwk)
}

/// The claims of a good token.
pub fn claims(tenant: &str, sub: &str, roles: &[&str], accounts: &[&str]) -> Value {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": sub, "tenant_id": tenant, "roles": roles, "customer_accounts": accounts,
        "iat": now, "nbf": now, "exp": now + 3600,
    })
}

pub fn sign(claims: &Value, signing: &EncodingKey, kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, claims, signing).unwrap()
}

/// A tenant of a test's own, with two customers and a catalog.
pub struct World {
    pub tenant: String,
    pub stage: &'static Stage,
}

impl World {
    pub async fn new() -> Self {
        let world = Self { tenant: format!("tenant-{}", Ulid::generate()), stage: stage().await };
        world.import().await;
        world
    }

    fn tenant_id(&self) -> TenantId {
        TenantId::new(self.tenant.as_str())
    }

    async fn import(&self) {
        let document = json!({
            "tenantId": self.tenant, "name": "Test", "defaultCurrency": "USD",
            "taxRates": [{"taxCategory": "STANDARD", "jurisdiction": "US-CA", "percent": "8.25"}],
        });
        let customer = |account: &str, name: &str, segment: &str| CustomerRow {
            customer_account_id: account.to_owned(),
            name: name.to_owned(),
            segment: segment.to_owned(),
            jurisdiction: "US-CA".to_owned(),
            sales_owner_id: "sue".to_owned(),
        };
        let (catalog, _) = CatalogRow::checked(catalog("1")).unwrap();
        let import = TenantImport {
            tenant_id: self.tenant.clone(),
            document,
            customers: vec![customer(ACCOUNT, "Northwind", "ENTERPRISE"), customer(OTHER_ACCOUNT, "Contoso", "SMB")],
            approvers: Vec::new(),
            catalog,
            approval_policy: None,
            published_by: "test".to_owned(),
        };
        let mut tx = self.begin().await;
        import_tenant(&mut tx, &import).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn begin(&self) -> Tx {
        self.stage.gateway.db.begin(&[self.tenant_id()]).await.unwrap()
    }

    /// A token for both accounts.
    pub fn token(&self, sub: &str, roles: &[&str]) -> String {
        self.token_for(sub, roles, &[ACCOUNT, OTHER_ACCOUNT])
    }
    pub fn token_for(&self, sub: &str, roles: &[&str], accounts: &[&str]) -> String {
        sign(&claims(&self.tenant, sub, roles, accounts), &self.stage.signing_key, Some(KEY_ID))
    }
    pub fn sales(&self) -> String {
        self.token("sue", &["sales-rep"])
    }

    pub fn request(&self, method: &str, path: &str) -> Call {
        Call::new(self.stage.gateway.clone(), method, path)
    }

    /// A quote in DRAFT, decided.
    pub async fn quote(&self) -> String {
        let made =
            self.request("POST", "/quotes").token(&self.sales()).key(&unique()).header("prefer", "respond-async");
        let answer = made.json(json!({"customerAccountId": ACCOUNT, "currency": "USD"})).send().await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        self.decide().await;
        answer.body["aggregateId"].as_str().unwrap().to_owned()
    }

    /// Publishes a catalog.
    pub async fn publish(&self, document: Value) {
        let admin = self.token("cat", &["catalog-admin"]);
        let answer = self.request("POST", "/catalog/versions").token(&admin).key(&unique()).json(document).send().await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// The answer to a sales representative's command, decided.
    pub async fn command(&self, method: &str, path: &str, body: Value) -> Answer {
        let (key, sales) = (unique(), self.sales());
        let call = || self.request(method, path).token(&sales).key(&key).json(body.clone());
        let pending = call().header("prefer", "respond-async").send().await;
        assert_eq!(pending.status, 202, "{}", pending.body);
        self.decide().await;
        call().send().await
    }

    /// Plays the quote processor for everything in this tenant's outbox. Gives how many commands there were.
    pub async fn decide(&self) -> usize {
        let mut connection = PgConnection::connect(&self.stage.database_url).await.unwrap();
        connection.execute("set role cpq_system").await.unwrap();
        let rows = sqlx::query("delete from cpq.outbox_event where tenant_id = $1 returning id, value")
            .bind(&self.tenant)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let mut messages: Vec<(i64, Vec<u8>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        messages.sort();
        for (_, value) in &messages {
            let Record::Command(meta, AggregateType::Quote, id, Command::Quote(command)) =
                self.stage.decoder.decode(value).await.unwrap()
            else {
                continue;
            };
            self.decide_one(&meta, QuoteId::new(id), &command).await;
        }
        messages.len()
    }

    async fn decide_one(&self, meta: &CommandMeta, id: QuoteId, command: &QuoteCommand) {
        let mut tx = self.begin().await;
        let key = (self.tenant_id(), id.to_string());
        let state = aggregates::load_quotes::<Quote>(&mut tx, std::slice::from_ref(&key)).await.unwrap().remove(&key);
        let now = Moment::new(OffsetDateTime::now_utc());
        let decision = self.judge(&mut tx, state.as_ref(), command, meta, now).await;
        let (events, result) = match decision {
            Ok(Decision::Applied { events, outcome }) => (events, Ok(outcome)),
            Ok(Decision::Deferred { .. }) => return,
            Err(rejection) => (Vec::new(), Err(rejection)),
        };
        let (mut quote, mut records) = (state, Records::default());
        for event in &events {
            quote = quote::evolve(quote, &meta.tenant_id, &id, event, now);
            let after = quote.as_ref().unwrap();
            records.transitions.push(transition(meta, after, event, now));
        }
        if let Some(quote) = quote.as_ref().filter(|_| !events.is_empty()) {
            aggregates::save_quotes(&mut tx, &[row(quote)], &QuoteEvidence::default()).await.unwrap();
        }
        records.outcomes.push(outcome(meta, &id, quote.as_ref(), &result, now));
        decisions::append(&mut tx, &records).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn judge(
        &self,
        tx: &mut Tx,
        state: Option<&Quote>,
        command: &QuoteCommand,
        meta: &CommandMeta,
        now: Moment,
    ) -> Result<Decision<quote::QuoteEvent, cpq_domain::follow_up::FollowUp>, Rejection> {
        let (references, id) = (&self.stage.gateway.references, self.tenant_id());
        let tenant = references.tenants(tx, std::slice::from_ref(&id)).await.unwrap().remove(&id).unwrap();
        let account = match command {
            QuoteCommand::CreateQuote(create) => create.customer_account_id.clone(),
            _ => state.map(|quote| quote.customer_account_id.clone()).unwrap_or_else(|| ACCOUNT.into()),
        };
        let key = (id.clone(), account);
        let customer = reference::customers(tx, std::slice::from_ref(&key)).await.unwrap().remove(&key);
        let newest = references.catalog(tx, &id, &tenant.catalog_version.unwrap()).await.unwrap();
        let configured = match state.and_then(Quote::configuration) {
            Some(configuration) => references.catalog(tx, &id, &configuration.catalog_version).await.unwrap(),
            None => None,
        };
        let context = quote::Context {
            meta,
            now,
            tenant: &tenant.tenant,
            customer: customer.as_ref(),
            catalog: newest.as_deref(),
            configured_catalog: configured.as_deref(),
            policy: &tenant.policy,
            authorities: &[],
            reserved_order: None,
            source: None,
        };
        quote::decide(state, command, &context)
    }

    /// Rows of a table of this tenant.
    pub async fn count(&self, table: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.stage.database_url).await.unwrap();
        connection.execute("set role cpq_system").await.unwrap();
        let query = format!("select count(*) from cpq.{table} where tenant_id = $1");
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(&self.tenant).fetch_one(&mut connection).await.unwrap()
    }
}

fn transition(meta: &CommandMeta, after: &Quote, event: &quote::QuoteEvent, now: Moment) -> TransitionRow {
    TransitionRow {
        tenant_id: meta.tenant_id.to_string(),
        aggregate_type: "QUOTE",
        aggregate_id: after.quote_id.to_string(),
        aggregate_sequence: after.sequence,
        aggregate_revision: after.revision,
        event_id: Ulid::generate().to_string(),
        event_type: event.name(),
        from_status: None,
        to_status: after.status().as_str(),
        actor_id: meta.claims.actor_id.to_string(),
        actor_type: "USER",
        correlation_id: meta.correlation_id.to_string(),
        causation_id: meta.command_id.to_string(),
        payload: serde_json::to_string(event).unwrap(),
        occurred_at: now.into_inner(),
    }
}

fn row(quote: &Quote) -> QuoteRow {
    QuoteRow {
        tenant_id: quote.tenant_id.to_string(),
        quote_id: quote.quote_id.to_string(),
        revision: quote.revision,
        sequence: quote.sequence,
        status: quote.status().as_str(),
        customer_account_id: quote.customer_account_id.to_string(),
        state: serde_json::to_string(quote).unwrap(),
        created_at: quote.created_at.into_inner(),
        updated_at: quote.updated_at.into_inner(),
    }
}

fn outcome(
    meta: &CommandMeta,
    id: &QuoteId,
    quote: Option<&Quote>,
    result: &Result<Applied, Rejection>,
    now: Moment,
) -> OutcomeRow {
    OutcomeRow {
        tenant_id: meta.tenant_id.to_string(),
        command_id: meta.command_id.to_string(),
        aggregate_type: "QUOTE",
        aggregate_id: id.to_string(),
        aggregate_revision: quote.map(|q| q.revision),
        aggregate_sequence: quote.map(|q| q.sequence),
        applied: result.as_ref().ok().map(|applied| json!(applied).to_string()),
        rejection: result.as_ref().err().map(|rejection| json!(rejection).to_string()),
        decided_at: now.into_inner(),
    }
}

/// The catalog of every [`World`], under that version.
pub fn catalog(version: &str) -> Value {
    let offering = |id: &str, segments: Value, sellable_to: Value| {
        json!({"id": id, "version": "1", "name": id, "segments": segments, "sellableFrom": "2020-01-01T00:00:00Z",
            "sellableTo": sellable_to, "taxCategory": "STANDARD"})
    };
    let price = |id: &str, kind: &str, amount: &str| {
        json!({"id": format!("{id}-price"), "offeringId": id, "priceListId": "standard", "currency": "USD", "kind": kind,
            "model": "PER_UNIT", "amount": amount, "validFrom": "2020-01-01T00:00:00Z"})
    };
    json!({"catalogVersion": version,
        "offerings": [
            offering("fiber", json!(["ENTERPRISE"]), Value::Null),
            offering("voice", json!([]), Value::Null),
            offering("retired", json!([]), json!("2021-01-01T00:00:00Z")),
        ],
        "prices": [price("fiber", "RECURRING", "100.00"), price("voice", "ONE_TIME", "10.00")]})
}

/// A catalog with a bundle: a fiber with routers, whose gold service needs the better one.
pub fn bundle(version: &str) -> Value {
    let mut document = catalog(version);
    document["offerings"][0]["characteristics"] = json!([
        {"name": "sla", "type": "STRING", "allowed": ["BRONZE", "SILVER", "GOLD"], "default": "BRONZE"},
        {"name": "ips", "type": "INTEGER", "min": 0, "max": 64, "default": 0},
    ]);
    document["offerings"][0]["children"] =
        json!([{"offeringId": "router", "max": 2}, {"offeringId": "router-ha", "max": 1}]);
    for router in ["router", "router-ha"] {
        let mut offering = document["offerings"][1].clone();
        (offering["id"], offering["name"]) = (json!(router), json!(router));
        document["offerings"].as_array_mut().unwrap().push(offering);
        let mut price = document["prices"][1].clone();
        (price["id"], price["offeringId"]) = (json!(format!("{router}-price")), json!(router));
        document["prices"].as_array_mut().unwrap().push(price);
    }
    document["rules"] = json!([{"id": "gold-needs-ha", "kind": "REQUIRES", "if": {"offeringId": "fiber", "characteristics": {"sla": "GOLD"}},
        "then": {"offeringId": "router-ha"}, "scope": "CHILDREN"}]);
    document
}

/// A line of good form.
pub fn line() -> Value {
    json!({"lineNumber": "1", "productOfferingId": "fiber", "quantity": "1", "action": "ADD"})
}

/// A text that nothing else has.
pub fn unique() -> String {
    Ulid::generate().to_string()
}

/// A request in the making.
pub struct Call {
    gateway: Arc<Gateway>,
    builder: http::request::Builder,
    body: Body,
}

impl Call {
    pub fn new(gateway: Arc<Gateway>, method: &str, path: &str) -> Self {
        Self { gateway, builder: Request::builder().method(method).uri(path), body: Body::empty() }
    }
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }
    pub fn json(self, body: Value) -> Self {
        self.text(&body.to_string())
    }
    /// A body that says it is JSON.
    pub fn text(mut self, body: &str) -> Self {
        self.body = Body::from(body.to_owned());
        self.header("content-type", "application/json")
    }
    pub fn raw(mut self, body: Vec<u8>) -> Self {
        self.body = Body::from(body);
        self
    }

    pub async fn send(self) -> Answer {
        let response = self.gateway.answer(self.builder.body(self.body).unwrap()).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
    pub fn code(&self) -> &str {
        self.body["errorCode"].as_str().unwrap_or_default()
    }
    /// A problem document with all its members, of this status and code.
    pub fn assert_problem(&self, status: StatusCode, code: &str) {
        assert_eq!((self.status, self.code()), (status.as_u16(), code), "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        for member in [
            "type",
            "title",
            "status",
            "detail",
            "instance",
            "errorCode",
            "correlationId",
            "tenantId",
            "businessKey",
            "retryable",
        ] {
            assert!(self.body.get(member).is_some(), "{member} is missing: {}", self.body);
        }
        assert_eq!(self.body["status"], status.as_u16());
        assert_eq!(self.body["correlationId"].as_str(), self.header("x-correlation-id"));
    }
    /// Whether a field is at fault with that code.
    pub fn has_fault(&self, pointer: &str, code: &str) -> bool {
        let faults = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        faults.iter().any(|fault| fault["pointer"] == pointer && fault["code"] == code)
    }
}
