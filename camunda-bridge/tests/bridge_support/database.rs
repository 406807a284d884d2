//! A migrated database of a test's own in the stack's server.

use async_trait::async_trait;
use cpq_avro::{SchemaSource, SourceError};
use cpq_state_stores::Db;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::time::Duration;
use uuid::Uuid;

/// How often a database is dropped before it is left.
const DROP_TRIES: u32 = 20;

fn stack(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run through `make test` (or `source .stack/env`)"))
}

fn in_database(url: &str, name: &str) -> String {
    format!("{}/{name}", url.rsplit_once('/').unwrap().0)
}

/// Removed at the end.
pub struct TestDatabase {
    name: String,
    url: String,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let (owner, app) = (stack("CPQ_OWNER_DATABASE_URL"), stack("CPQ_DATABASE_URL"));
        let name = format!("cpq_bridge_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&owner).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
        cpq_state_stores::db::migrate(&in_database(&owner, &name)).await.unwrap();
        Self { url: in_database(&app, &name), name }
    }

    pub fn db(&self) -> Db {
        Db::connect_lazy(&self.url, "test", 20).unwrap()
    }

    /// A connection of its own that sees every tenant.
    pub async fn connect(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        connection.execute("set role cpq_system").await.unwrap();
        connection
    }

    pub async fn outbox(&self, topic: &str) -> Vec<Vec<u8>> {
        let query = "select value from cpq.outbox_event where topic = $1 order by id";
        let rows = sqlx::query(query).bind(topic).fetch_all(&mut self.connect().await).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Operation, outcome and number of tries of every external call, in order.
    pub async fn attempts(&self) -> Vec<(String, String, i32)> {
        let query = "select operation_name, outcome, attempts from cpq.external_call_attempt order by attempted_at";
        let rows = sqlx::query(query).fetch_all(&mut self.connect().await).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (owner, name) = (stack("CPQ_OWNER_DATABASE_URL"), self.name.clone());
        let removed = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let mut connection = PgConnection::connect(&owner).await?;
                let mut tries = 0;
                // Connections of the test's pools may be closing still.
                while let Err(error) = connection.execute(sqlx::AssertSqlSafe(format!("drop database {name}"))).await {
                    tries += 1;
                    if tries > DROP_TRIES {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(())
            })
        });
        if let Ok(Err(error)) = removed.join() {
            eprintln!("the test's database stays: {error}");
        }
    }
}

/// Tests decode what they have encoded: every schema is known.
#[derive(Debug)]
pub struct NoRegistry;

#[async_trait]
impl SchemaSource for NoRegistry {
    async fn schema(&self, id: i32) -> Result<String, SourceError> {
        panic!("schema {id} is none of this build")
    }
}
