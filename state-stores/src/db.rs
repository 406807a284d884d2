//! Connections, transactions with their tenants, and the three kinds of database failure.

use cpq_domain::ids::TenantId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use std::{fmt::Write as _, str::FromStr, time::Duration};

/// Longest wait for a connection from the pool; after it the caller answers 503.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a row lock; a longer one means that somebody is stuck, and the step is tried again.
pub const LOCK_TIMEOUT: &str = "5s";
/// Longest statement of the services; operators' commands raise it for themselves.
pub const STATEMENT_TIMEOUT: &str = "30s";
/// A connection that was idle for so long is asked whether it still stands before it is used: the server may have
/// been restarted. One that was just in use is not; if it is broken all the same, [`Db::begin`] takes another.
pub const ASKED_AFTER_IDLE: Duration = Duration::from_millis(500);
/// A transaction that its owner forgot is ended, so that it cannot hold back vacuum and relay.
pub const IDLE_IN_TRANSACTION_TIMEOUT: &str = "60s";

/// The migrations of this build.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Connection lost, deadlock, serialization failure, lock or pool time-out, disk full: the whole
    /// transaction may be tried again.
    #[error("the database is not available now: {0}")]
    Transient(#[source] sqlx::Error),
    /// The owner of the work has changed (epoch or lease): stop, another goes on.
    #[error("another instance has taken over {0}")]
    Fenced(String),
    /// A constraint of the given name refused the row.
    #[error("constraint {0} refused the row")]
    Constraint(String),
    /// A stored value is not what this build writes.
    #[error("stored data is not readable: {0}")]
    Corrupt(String),
    /// Anything else the database said: a defect of ours.
    #[error("the database refused a statement: {0}")]
    Defect(#[source] sqlx::Error),
}

impl StoreError {
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
    /// For use in `map_err` on a stored JSON value.
    pub fn corrupt(what: &str, cause: impl std::fmt::Display) -> Self {
        Self::Corrupt(format!("{what}: {cause}"))
    }
}

/// SQLSTATE classes and codes after which the same transaction may succeed (PostgreSQL appendix A): 08
/// connection, 40 rollback, 53 resources, 57P0x shutdown, 55P03 lock, 57014 cancelled, 25P03 idle timeout.
fn is_transient_state(state: &str) -> bool {
    matches!(state.get(..2), Some("08" | "40" | "53" | "58"))
        || matches!(state, "57P01" | "57P02" | "57P03" | "55P03" | "57014" | "25P03" | "25006")
}

/// Whether the connection is gone: the link broke, or the server says that it ends it (class 08, 57P01 to 57P03).
fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(refusal) => refusal
            .code()
            .is_some_and(|state| state.starts_with("08") || matches!(&*state, "57P01" | "57P02" | "57P03")),
        _ => false,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) => {
                let state = db.code().unwrap_or_default();
                if is_transient_state(&state) {
                    Self::Transient(error)
                } else if let (true, Some(name)) = (state.starts_with("23"), db.constraint()) {
                    Self::Constraint(name.to_owned())
                } else {
                    Self::Defect(error)
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Transient(error),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(error.to_string()),
            _ => Self::Defect(error),
        }
    }
}

/// A pool of connections as the application role.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
}

/// Sessions over all tenants, each statement of which is a transaction by itself: one round trip instead of three.
#[derive(Clone)]
pub struct SystemDb {
    pool: PgPool,
}

/// A transaction. Rolled back when dropped; [`Tx::commit`] makes it last.
pub struct Tx {
    inner: sqlx::Transaction<'static, Postgres>,
}

impl Db {
    /// Opens a pool of at most `max_connections`, named for `pg_stat_activity`. Connects lazily: an
    /// unreachable database shows at first use and in readiness, not here.
    pub fn connect_lazy(url: &str, application: &str, max_connections: u32) -> Result<Self, StoreError> {
        Self::connect_lazy_with(PgConnectOptions::from_str(url)?, application, max_connections)
    }

    /// As [`Db::connect_lazy`], to another database of the same server.
    pub(crate) fn connect_lazy_to(
        url: &str,
        database: &str,
        application: &str,
        max_connections: u32,
    ) -> Result<Self, StoreError> {
        Self::connect_lazy_with(PgConnectOptions::from_str(url)?.database(database), application, max_connections)
    }

    fn connect_lazy_with(
        options: PgConnectOptions,
        application: &str,
        max_connections: u32,
    ) -> Result<Self, StoreError> {
        let options = options.application_name(application).options([
            ("search_path", "cpq"),
            // Services find rows by key. A planner that knows nothing yet of a table that fills would read all of it;
            // and to plan a statement anew each time takes longer than many a statement.
            ("enable_seqscan", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
            ("lock_timeout", LOCK_TIMEOUT),
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        ]);
        Ok(Self { pool: pool(options, max_connections) })
    }

    /// Sessions of their own over all tenants, for single statements.
    pub fn system(&self, max_connections: u32) -> SystemDb {
        let options = PgConnectOptions::clone(&self.pool.connect_options()).options([("role", "cpq_system")]);
        SystemDb { pool: pool(options, max_connections) }
    }

    /// One connection that is never replaced while it lives, for work whose temporary tables are gone with it.
    /// `settings` come on top of those of every connection.
    pub(crate) fn connect_session(
        url: &str,
        application: &str,
        settings: &[(&'static str, &'static str)],
    ) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)?.application_name(application).options([
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.options(settings.iter().copied()));
        Ok(Self { pool })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    /// A transaction that sees and writes rows of exactly these tenants, begun in one round trip.
    ///
    /// Not cancellation-safe (sqlx): a caller whose future may be dropped runs it in a task of its own.
    pub async fn begin(&self, tenants: &[TenantId]) -> Result<Tx, StoreError> {
        self.begin_with(&format!("begin; set local cpq.tenants = '{}'", array_literal(tenants))).await
    }

    /// A transaction over all tenants, for work that spans them by nature: the relay, the bridge's scans,
    /// operators' commands.
    pub async fn begin_system(&self) -> Result<Tx, StoreError> {
        self.begin_with("begin; set local role cpq_system").await
    }

    /// As [`Db::begin_system`], for work that may read whole tables; PostgreSQL refuses every change in it.
    pub async fn begin_reading(&self) -> Result<Tx, StoreError> {
        self.begin_with("begin read only; set local role cpq_system; set local enable_seqscan = on; set local plan_cache_mode = auto").await
    }

    /// A connection that the server ended while it rested shows it only now. Nothing has been done yet: the next one
    /// is taken, and a new one after the last.
    async fn begin_with(&self, begin: &str) -> Result<Tx, StoreError> {
        for _resting in 0..self.pool.size() {
            match self.pool.begin_with(AssertSqlSafe(begin.to_owned())).await {
                Err(error) if is_connection_lost(&error) => {}
                begun => return Ok(Tx { inner: begun? }),
            }
        }
        Ok(Tx { inner: self.pool.begin_with(AssertSqlSafe(begin.to_owned())).await? })
    }

    /// The pool, for a statement of this crate that is a transaction by itself and names its tenants.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub fn pool_size(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl SystemDb {
    /// Whatever connection is free, for a statement of this crate.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}

fn pool(options: PgConnectOptions, max_connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, used| {
            Box::pin(async move {
                if used.idle_for >= ASKED_AFTER_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

impl Tx {
    /// The connection inside the transaction, for the queries of this crate.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }

    pub async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.inner.rollback().await?)
    }
}

/// Brings the schema up to this build, as the owner role. Safe to run from several processes at once.
pub async fn migrate(owner_url: &str) -> Result<(), String> {
    let mut connection = PgConnection::connect(owner_url).await.map_err(|e| e.to_string())?;
    MIGRATOR.run_direct(None, &mut connection, false).await.map_err(|e| e.to_string())
}

/// A Postgres array literal inside a single-quoted string.
fn array_literal(tenants: &[TenantId]) -> String {
    let mut out = String::from("{");
    for (i, tenant) in tenants.iter().enumerate() {
        let separator = if i == 0 { "" } else { "," };
        let escaped = tenant.as_str().replace('\\', r"\\").replace('"', "\\\"").replace('\'', "''");
        let _ = write!(out, "{separator}\"{escaped}\"");
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&[], "{}")]
    #[case(&["a"], r#"{"a"}"#)]
    #[case(&["a", "b c"], r#"{"a","b c"}"#)]
    #[case(&["x'; drop table quote; --"], r#"{"x''; drop table quote; --"}"#)]
    #[case(&[r#"a","b"#], r#"{"a\",\"b"}"#)]
    fn a_tenant_id_cannot_leave_its_literal(#[case] tenants: &[&str], #[case] literal: &str) {
        let tenants: Vec<TenantId> = tenants.iter().map(|t| TenantId::from(*t)).collect();
        assert_eq!(array_literal(&tenants), literal);
    }

    #[rstest]
    #[case("40001", true)]
    #[case("40P01", true)]
    #[case("55P03", true)]
    #[case("53100", true)]
    #[case("57P01", true)]
    #[case("23505", false)]
    #[case("42601", false)]
    fn a_database_failure_is_transient_by_its_state(#[case] state: &str, #[case] transient: bool) {
        assert_eq!(is_transient_state(state), transient);
    }
}
