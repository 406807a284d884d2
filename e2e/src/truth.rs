//! The database as a checker reads it: over all tenants. Nothing of the product goes this way.

use crate::settings::variable;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::str::FromStr;

/// A connection that sees every tenant, as the relay's role does.
pub async fn over_all_tenants() -> Result<PgConnection, String> {
    let options = PgConnectOptions::from_str(&variable("CPQ_DATABASE_URL")?).map_err(|e| e.to_string())?;
    let options = options.application_name("cpq-e2e").options([("role", "cpq_system")]);
    PgConnection::connect_with(&options).await.map_err(|e| format!("PostgreSQL: {e}"))
}
