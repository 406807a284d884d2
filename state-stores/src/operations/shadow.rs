//! The database in which history is decided again, beside the live one and without any way to it: made by this
//! build's migrations, filled with what decisions look at, gone with the run. Deciding and comparing are the command
//! line's matter.

mod decided;
mod given;

pub use decided::{Asked, DecidedEvent, Decision, Entry, Outcome, began, decided_until, decisions, entries, is_dead};
pub use given::{Given, claim_tokens, copy_tenant, exists, set_catalog, tokens};

use crate::db::MIGRATOR;
use crate::{Db, StoreError};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::str::FromStr;

/// Every shadow's name begins so.
pub const PREFIX: &str = "cpq_shadow_";
/// What a database that was kept on purpose is marked with.
const KEPT: &str = "kept";
/// As a shadow's sessions are called.
const APPLICATION: &str = "cpq-replay-shadow";
/// Connections to a shadow: it is filled and read by one task.
const MAX_CONNECTIONS: u32 = 2;

/// Why there is no shadow.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    #[error("the role that owns the tables may not create databases: alter role … createdb")]
    NotAllowed,
    #[error("the schema of this build cannot be made: {0}")]
    Schema(#[source] sqlx::migrate::MigrateError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ShadowError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // 42501: insufficient privilege.
            sqlx::Error::Database(db) if db.code().as_deref() == Some("42501") => Self::NotAllowed,
            _ => Self::Store(error.into()),
        }
    }
}

/// A database of its own on the server of the live one, for as long as the run lasts.
pub struct Shadow {
    name: String,
    /// To the live database, as the owner: holds the lock that says that the run is alive.
    owner: PgConnection,
    db: Db,
}

impl Shadow {
    /// Makes one under this name (which begins with [`PREFIX`]), and takes away what runs that were killed have left.
    pub async fn create(owner_url: &str, url: &str, name: &str) -> Result<Self, ShadowError> {
        let options = PgConnectOptions::from_str(owner_url)?.application_name(APPLICATION);
        let mut owner = PgConnection::connect_with(&options).await?;
        remove_leftovers(&mut owner).await?;
        lock(&mut owner, name).await?;
        execute(&mut owner, format!("create database {name}")).await?;
        let db = Db::connect_lazy_to(url, name, APPLICATION, MAX_CONNECTIONS)?;
        let mut shadow = Self { name: name.to_owned(), owner, db };
        match shadow.prepare(options.database(name)).await {
            Ok(()) => Ok(shadow),
            Err(error) => {
                shadow.remove().await?;
                Err(error)
            }
        }
    }

    async fn prepare(&mut self, options: PgConnectOptions) -> Result<(), ShadowError> {
        // Nothing here outlives the server's crash: the run would begin anew.
        execute(&mut self.owner, format!("alter database {} set synchronous_commit = off", self.name)).await?;
        let mut connection = PgConnection::connect_with(&options).await?;
        let migrated = MIGRATOR.run_direct(None, &mut connection, false).await.map_err(ShadowError::Schema);
        connection.close().await?;
        migrated
    }

    /// The shadow as the application role: under row level security, as everything that decides.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Ends the connections and removes the database.
    pub async fn remove(mut self) -> Result<(), ShadowError> {
        self.db.close().await;
        execute(&mut self.owner, format!("drop database if exists {}", self.name)).await?;
        Ok(self.owner.close().await?)
    }

    /// Ends the connections and leaves the database, also by later runs, until somebody drops it.
    pub async fn keep(mut self) -> Result<(), ShadowError> {
        self.db.close().await;
        execute(&mut self.owner, format!("comment on database {} is '{KEPT}'", self.name)).await?;
        Ok(self.owner.close().await?)
    }
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), ShadowError> {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// Says, as long as the session lasts, that somebody works with the database of this name. Whether it was free.
async fn lock(owner: &mut PgConnection, name: &str) -> Result<bool, ShadowError> {
    let statement = "select pg_try_advisory_lock(hashtextextended($1, 0))";
    Ok(sqlx::query_scalar(statement).bind(name).fetch_one(owner).await?)
}

/// Drops the databases of runs that are no more, except those that were kept on purpose.
async fn remove_leftovers(owner: &mut PgConnection) -> Result<(), ShadowError> {
    let statement = "select datname::text from pg_database where starts_with(datname, $1) \
        and datdba = current_user::regrole and shobj_description(oid, 'pg_database') is distinct from $2";
    let names: Vec<String> = sqlx::query_scalar(statement).bind(PREFIX).bind(KEPT).fetch_all(&mut *owner).await?;
    for name in names {
        if lock(owner, &name).await? {
            // Its run may have ended since, and dropped it.
            execute(owner, format!("drop database if exists \"{}\"", name.replace('"', "\"\""))).await?;
            let unlock = "select pg_advisory_unlock(hashtextextended($1, 0))";
            sqlx::query(unlock).bind(&name).execute(&mut *owner).await?;
        }
    }
    Ok(())
}
