//! `cpq schemas check|register`: this build's schemas and the registry's. Registering writes the ids to Postgres
//! as well, where the services take them from.

use crate::Failure;
use crate::output::{Answer, Paint, Style};
use crate::settings::Stack;
use crate::table::{Cell, Table};
use clap::{Args, Subcommand};
use cpq_avro::Schemas;
use cpq_avro::registry::{Check, Registry};
use cpq_state_stores::Db;
use cpq_state_stores::operations::schemas::{RegisteredSchema, store_schemas};
use serde_json::json;

/// Check or register this build's schemas.
#[derive(Args, Clone, Debug)]
pub struct SchemasArgs {
    #[command(subcommand)]
    command: SchemasCommand,
}

#[derive(Subcommand, Clone, Copy, Debug)]
enum SchemasCommand {
    /// Says how each schema stands to the registry and changes nothing; exits 1 if one would be refused.
    Check,
    /// Registers every schema (FULL_TRANSITIVE) and stores the ids for the services.
    Register,
}

pub async fn run(args: &SchemasArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let schemas = Schemas::load().map_err(Failure::because("this build is broken"))?;
    let registry = Registry::new(&stack.schema_registry_url()?).map_err(unregistered)?;
    match args.command {
        SchemasCommand::Check => check(&registry, &schemas, paint).await,
        SchemasCommand::Register => register(&registry, &schemas, &stack.db()?).await,
    }
}

fn unregistered(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("{error}; CPQ_SCHEMA_REGISTRY_URL names the registry"))
}

async fn check(registry: &Registry, schemas: &Schemas, paint: Paint) -> Result<Answer, Failure> {
    let checks = registry.check(schemas).await.map_err(unregistered)?;
    let mut table = Table::new(&["SUBJECT", "STATE", "ID", "WHY"]);
    let mut report = Vec::new();
    for (subject, check) in &checks {
        let (style, state, id, why) = match check {
            Check::Registered(id) => (Style::Green, "registered", Some(*id), ""),
            Check::New => (Style::Cyan, "new", None, ""),
            Check::Compatible => (Style::Cyan, "compatible", None, ""),
            Check::Incompatible(why) => (Style::Red, "incompatible", None, why.as_str()),
        };
        let shown = id.map(|id| id.to_string()).unwrap_or_default();
        table.row(vec![subject.as_str().into(), Cell::styled(style, state), Cell::number(shown), why.into()]);
        report.push(json!({"subject": subject, "state": state, "schemaId": id, "why": why}));
    }
    let refused = checks.iter().any(|(_, check)| matches!(check, Check::Incompatible(_)));
    Ok(Answer::new(&json!({ "schemas": report }), table.render(paint))?.finding_if(refused))
}

async fn register(registry: &Registry, schemas: &Schemas, db: &Db) -> Result<Answer, Failure> {
    let registered = registry.register(schemas).await.map_err(unregistered)?;
    let rows: Vec<RegisteredSchema> = registered
        .into_iter()
        .map(|schema| RegisteredSchema {
            subject: schema.subject,
            record_name: schema.full_name,
            fingerprint: schema.fingerprint,
            schema_id: schema.schema_id,
            schema: schema.schema,
        })
        .collect();
    let mut tx = db.begin(&[]).await?;
    let changed = store_schemas(&mut tx, &rows).await?;
    tx.commit().await?;
    let mut lines: Vec<String> = changed.iter().map(|subject| format!("stored {subject}")).collect();
    lines.push(format!("{} schemas are registered, {} of them newly stored", rows.len(), changed.len()));
    Answer::new(&json!({"schemas": rows.len(), "changed": changed}), lines.join("\n"))
}
