//! `cpq workflow deploy|reconcile|migrate`: the engine's models, and its instances against our ledger.

mod deploy;
mod migrate;
mod reconcile;

use crate::Failure;
use crate::output::{Answer, Paint};
use crate::settings::Stack;
use camunda_bridge::EngineNames;
use camunda_bridge::engine::{EngineClient, EngineError};
use clap::{Args, Subcommand};

/// Deploy models, compare the engine with the ledger, move instances to the newest model.
#[derive(Args, Clone, Debug)]
pub struct WorkflowArgs {
    #[command(subcommand)]
    command: WorkflowCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum WorkflowCommand {
    /// Deploys the models of this build that differ from what the engine has.
    Deploy,
    Reconcile(reconcile::ReconcileArgs),
    Migrate(migrate::MigrateArgs),
}

pub async fn run(args: &WorkflowArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let engine = Engine { client: stack.engine()?, names: stack.engine_names()? };
    match &args.command {
        WorkflowCommand::Deploy => deploy::run(&engine).await,
        WorkflowCommand::Reconcile(args) => reconcile::run(args, &engine, &stack.db()?, paint).await,
        WorkflowCommand::Migrate(args) => migrate::run(args, &engine, paint).await,
    }
}

/// The engine, and what our processes are called there.
struct Engine {
    client: EngineClient,
    names: EngineNames,
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable { .. } => Self::failed(format!("{error}; is CPQ_CAMUNDA_URL right?")),
            _ => Self::failed(error.to_string()),
        }
    }
}
