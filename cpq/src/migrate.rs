//! `cpq migrate`: brings the database's schema up to this build.

use crate::output::Answer;
use crate::settings::Stack;
use crate::{Failure, span};
use clap::Args;
use cpq_state_stores::operations::migration::{self, MigrationError};
use serde_json::json;
use std::time::Duration;

/// Bring the database's schema up to this build, as the owner role. Safe to repeat, and from several machines at once.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// How long to wait for the database to answer: 90s, 5m.
    #[arg(long, default_value = "60s", value_parser = span::parse_span)]
    wait: span::Span,
}

/// Applies what is missing.
pub async fn run(args: &MigrateArgs, stack: &Stack) -> Result<Answer, Failure> {
    let wait = Duration::from_secs(args.wait.seconds().unsigned_abs());
    let applied = migration::migrate(&stack.owner_database_url()?, wait).await.map_err(failure)?;
    let mut lines: Vec<String> = applied.iter().map(|(version, name)| format!("applied {version:04} {name}")).collect();
    if lines.is_empty() {
        lines.push("the schema is up to date".to_owned());
    }
    let applied: Vec<_> =
        applied.into_iter().map(|(version, name)| json!({"version": version, "name": name})).collect();
    Answer::new(&json!({ "applied": applied }), lines.join("\n"))
}

fn failure(error: MigrationError) -> Failure {
    Failure::failed(match error {
        MigrationError::Unreachable { .. } => format!("{error}; is it running, and is CPQ_OWNER_DATABASE_URL right?"),
        MigrationError::Refused(_) => {
            format!("{error}; CPQ_OWNER_DATABASE_URL must name the role that owns the tables")
        }
        _ => error.to_string(),
    })
}
