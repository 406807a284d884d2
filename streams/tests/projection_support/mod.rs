//! Events into views as the runtime brings them, and what the views show then.
#![allow(dead_code)]

use crate::role_support::Office;
use cpq_avro::Record;
use cpq_domain::ids::TenantId;
use cpq_runtime::processor::{AfterCommit, Delivery, Processor as _, StepError};
use cpq_state_stores::Tx;
use sqlx::{Row as _, types::Json};
use streams::projection::Projection;

pub const QUOTE: &str = "Q-2026-000001";
pub const VIEWS: [&str; 4] =
    ["quote_workspace_view", "order_operations_view", "approval_worklist_view", "customer_commercial_timeline_view"];

async fn begin(office: &Office, batch: &[Delivery]) -> Tx {
    let tenants: Vec<TenantId> = batch.iter().map(tenant_of).collect();
    office.world.database.db.begin(&tenants).await.unwrap()
}

pub fn tenant_of(delivery: &Delivery) -> TenantId {
    match &delivery.record {
        Record::Event(envelope, _) => envelope.tenant_id.clone(),
        other => panic!("{other:?}"),
    }
}

pub fn name_of(delivery: &Delivery) -> &'static str {
    match &delivery.record {
        Record::Event(_, event) => event.name(),
        other => panic!("{other:?}"),
    }
}

/// Applies a micro-batch as the runtime does: in a transaction of its records' tenants.
pub async fn apply(office: &Office, batch: &[Delivery]) -> Result<(), StepError> {
    let mut tx = begin(office, batch).await;
    Projection.apply(&mut tx, &batch.iter().collect::<Vec<_>>(), &mut AfterCommit::default()).await?;
    tx.commit().await.unwrap();
    Ok(())
}

/// Everything that the views hold, as bytes.
pub async fn views(office: &Office) -> Vec<String> {
    let mut rows = Vec::new();
    let mut connection = office.world.database.connect().await;
    for view in VIEWS {
        let query = format!("select '{view} ' || to_jsonb(v)::text from cpq.{view} v order by 1");
        let query = sqlx::query(sqlx::AssertSqlSafe(query));
        rows.extend(query.fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get::<String, _>(0)));
    }
    rows
}

/// A row of a view, its columns as texts.
pub async fn columns(office: &Office, query: &'static str) -> Vec<Vec<String>> {
    let rows = office.world.database.rows(query).await;
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rows.iter()
        .map(|row| {
            let Json(columns): Json<Vec<serde_json::Value>> = row.get(0);
            columns.into_iter().map(text).collect()
        })
        .collect()
}

/// What the query gives after each event of a topic, with the event's name in front.
pub async fn story(office: &Office, topic: &str, query: &'static str) -> Vec<String> {
    let mut story = Vec::new();
    for delivery in office.deliveries(&[topic]).await {
        let name = name_of(&delivery);
        apply(office, &[delivery]).await.unwrap();
        let rows = columns(office, query).await;
        let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        story.push(format!("{name}: {}", rows.join(" | ")));
    }
    story
}
