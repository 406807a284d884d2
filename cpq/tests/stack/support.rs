//! A database of its own, and calling the command.

use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use std::process::{Command, Output};
use uuid::Uuid;

/// A variable of the stack's environment.
pub fn stack(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run through `make test` (or `source .stack/env`)"))
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// A migrated database of its own in the stack's server, removed at the end.
pub struct Database {
    name: String,
}

impl Database {
    pub async fn empty() -> Self {
        let name = unique("cpq_cli");
        let mut owner = PgConnection::connect(&stack("CPQ_OWNER_DATABASE_URL")).await.unwrap();
        owner.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
        Self { name }
    }

    pub async fn migrated() -> Self {
        let database = Self::empty().await;
        database.cpq("migrate").expect(0);
        database
    }

    fn url(&self, variable: &str) -> String {
        format!("{}/{}", stack(variable).rsplit_once('/').unwrap().0, self.name)
    }

    /// As the application connects to it.
    pub fn app_url(&self) -> String {
        self.url("CPQ_DATABASE_URL")
    }

    /// Runs `cpq` on the stack, with this database.
    pub fn cpq(&self, line: &str) -> Said {
        self.cpq_with(line, &[])
    }

    /// The same, with other variables as well.
    pub fn cpq_with(&self, line: &str, variables: &[(&str, &str)]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_cpq"))
            .args(line.split_whitespace())
            .env("CPQ_OWNER_DATABASE_URL", self.url("CPQ_OWNER_DATABASE_URL"))
            .env("CPQ_DATABASE_URL", self.url("CPQ_DATABASE_URL"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Said::of(output)
    }

    /// A connection that sees every tenant.
    pub async fn connect(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url("CPQ_DATABASE_URL")).await.unwrap();
        connection.execute("set role cpq_system").await.unwrap();
        connection
    }

    pub async fn execute(&self, statement: &'static str) {
        let mut connection = self.connect().await;
        connection.execute(statement).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (owner, name) = (stack("CPQ_OWNER_DATABASE_URL"), self.name.clone());
        let removed = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let mut connection = PgConnection::connect(&owner).await?;
                connection.execute(sqlx::AssertSqlSafe(format!("drop database {name}"))).await
            })
        });
        if let Ok(Err(error)) = removed.join() {
            eprintln!("the test's database stays: {error}");
        }
    }
}
