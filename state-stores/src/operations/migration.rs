//! Bringing the schema up to this build, as the owner role, once the database is there.

use crate::db::MIGRATOR;
use sqlx::migrate::MigrateError;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// The pause between two looks for a database that does not answer yet.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Version and name of a migration.
pub type Migration = (i64, String);

/// Why the schema is not that of this build.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("the database did not answer within {waited:?}: {last}")]
    Unreachable { waited: Duration, last: String },
    #[error("the database refused the connection: {0}")]
    Refused(#[source] sqlx::Error),
    #[error(
        "migration {0} was applied in another form; applied migrations are frozen: restore its file and add a new one"
    )]
    Changed(i64),
    #[error("the database has migration {0}, which this build does not know: run a build at least as new")]
    Newer(i64),
    #[error(transparent)]
    Failed(MigrateError),
}

impl From<MigrateError> for MigrationError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMismatch(version) => Self::Changed(version),
            MigrateError::VersionMissing(version) => Self::Newer(version),
            other => Self::Failed(other),
        }
    }
}

/// Waits at most `wait` for the database, then applies what is missing and returns it. Safe to run from several
/// processes at once: they queue behind a lock.
pub async fn migrate(owner_url: &str, wait: Duration) -> Result<Vec<Migration>, MigrationError> {
    let mut connection = connect(owner_url, wait).await?;
    let before = applied(&mut connection).await?;
    MIGRATOR.run_direct(None, &mut connection, false).await?;
    let missing = MIGRATOR.iter().filter(|m| !before.contains(&m.version));
    let new = missing.map(|m| (m.version, m.description.to_string())).collect();
    // The work is committed; a connection that does not close in good order changes nothing of it.
    connection.close().await.ok();
    Ok(new)
}

async fn connect(url: &str, wait: Duration) -> Result<PgConnection, MigrationError> {
    let end = Instant::now() + wait;
    loop {
        let last = match timeout_at(end, PgConnection::connect(url)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if is_starting(&error) => error.to_string(),
            Ok(Err(error)) => return Err(MigrationError::Refused(error)),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() + RETRY_PAUSE >= end {
            return Err(MigrationError::Unreachable { waited: wait, last });
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Nobody listens yet, or the server says that it is starting up (57P03) or has no free slot (53300).
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(db) => matches!(db.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

/// The versions that the database has; none before the first migration.
async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, MigrationError> {
    let failed = |error| MigrationError::Failed(MigrateError::Execute(error));
    let table: Option<String> = sqlx::query_scalar("select to_regclass('_sqlx_migrations')::text")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if table.is_none() {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("select version from _sqlx_migrations where success").fetch_all(connection).await.map_err(failed)
}
