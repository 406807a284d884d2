//! `cpq import DIR`: reference data of all tenants of a folder. Everything is validated before anything is
//! written; then each tenant is written in a transaction of its own, with an audit entry if something changed.

mod check;
mod fault;
mod json;
mod read;

use crate::output::{Answer, Paint, Style};
use crate::{Failure, operator, settings::Stack};
use clap::Args;
use cpq_domain::ids::TenantId;
use cpq_state_stores::Db;
use cpq_state_stores::import::{Changed, Changes, ImportError, TenantImport, import_tenant};
use fault::Fault;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// The audit chain that a tenant's imports are in.
const AUDIT_CHAIN: &str = "reference-data";

/// Import reference data: DIR/<tenant_id>/{tenant,customers,approvers,catalog}.json and, if there is one,
/// approval-policy.dmn. Safe to repeat: what has not changed is left alone.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// The folder that holds a folder for each tenant.
    dir: PathBuf,
    /// Validates and writes nothing.
    #[arg(long)]
    check: bool,
    /// Who imports, for the audit; without it, the user who is logged in.
    #[arg(long)]
    actor: Option<String>,
}

/// What became of one tenant.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    tenant_id: String,
    catalog_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub async fn run(args: &ImportArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let actor = operator::name(args.actor.as_deref());
    let tenants = match read_all(&args.dir, &actor)? {
        Ok(tenants) => tenants,
        Err(faults) => return refused(&faults, paint),
    };
    if args.check {
        let ids: Vec<&str> = tenants.iter().map(|t| t.tenant_id.as_str()).collect();
        return Answer::new(&ids, format!("{} tenants are valid; nothing was written", ids.len()));
    }
    let db = stack.db()?;
    let mut outcomes = Vec::new();
    for tenant in &tenants {
        outcomes.push(write(&db, tenant, &actor).await?);
    }
    let failed = outcomes.iter().any(|outcome| outcome.error.is_some());
    let lines: Vec<String> = outcomes.iter().map(|outcome| line(outcome, paint)).collect();
    Ok(Answer::new(&outcomes, lines.join("\n"))?.finding_if(failed))
}

/// Every tenant of the folder, or every fault of every file.
fn read_all(dir: &Path, actor: &str) -> Result<Result<Vec<TenantImport>, Vec<Fault>>, Failure> {
    let (mut tenants, mut faults) = (Vec::new(), Vec::new());
    for (id, folder) in folders(dir)? {
        match read::tenant(&folder, &id, actor) {
            Ok(tenant) => tenants.push(tenant),
            Err(found) => faults.extend(found),
        }
    }
    Ok(if faults.is_empty() { Ok(tenants) } else { Err(faults) })
}

/// The tenants' folders by tenant id, in order. Hidden ones are not tenants.
fn folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let unreadable = || Failure::because(format!("cannot read the folder {}", dir.display()));
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable())? {
        let path = entry.map_err(unreadable())?.path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) if path.is_dir() && !name.starts_with('.') => folders.push((name.to_owned(), path.clone())),
            _ => {}
        }
    }
    if folders.is_empty() {
        let dir = dir.display();
        return Err(Failure::usage(format!(
            "{dir} has no folder of a tenant; it must hold <tenant_id>/tenant.json and so on"
        )));
    }
    folders.sort();
    Ok(folders)
}

fn refused(faults: &[Fault], paint: Paint) -> Result<Answer, Failure> {
    let mut lines: Vec<String> = faults.iter().map(|fault| paint.apply(Style::Red, &fault.to_string())).collect();
    lines.push(format!("{} faults; nothing was written", faults.len()));
    Ok(Answer::new(&serde_json::json!({ "faults": faults }), lines.join("\n"))?.finding_if(true))
}

/// One transaction. That a catalog version is published with other content fails its tenant alone.
async fn write(db: &Db, tenant: &TenantImport, actor: &str) -> Result<Outcome, Failure> {
    let mut tx = db.begin(&[TenantId::new(tenant.tenant_id.as_str())]).await?;
    let (tenant_id, catalog_version) = (tenant.tenant_id.clone(), tenant.catalog.catalog_version.clone());
    let changes = match import_tenant(&mut tx, tenant).await {
        Ok(changes) => changes,
        Err(ImportError::Store(error)) => return Err(error.into()),
        Err(exists @ ImportError::CatalogVersionExists { .. }) => {
            tx.rollback().await?;
            let error = Some(format!("CATALOG_VERSION_EXISTS: {exists}"));
            return Ok(Outcome { tenant_id, catalog_version, changes: None, error });
        }
    };
    if changes.any() {
        let act = operator::Act { tenant_id: &tenant_id, chain: AUDIT_CHAIN, action: "ImportReferenceData", actor };
        operator::record(&mut tx, &act, &described(&changes, &catalog_version)).await?;
    }
    tx.commit().await?;
    Ok(Outcome { tenant_id, catalog_version, changes: Some(changes), error: None })
}

fn line(outcome: &Outcome, paint: Paint) -> String {
    let Outcome { tenant_id, catalog_version, changes, error } = outcome;
    match (changes, error) {
        (_, Some(error)) => paint.apply(Style::Red, &format!("{tenant_id}: {error}")),
        (Some(changes), None) if changes.any() => {
            let what = described(changes, catalog_version);
            paint.apply(Style::Green, &format!("{tenant_id}: {what} (version {})", changes.version))
        }
        _ => format!("{tenant_id}: unchanged"),
    }
}

/// `tenant: 1 new; customers: 3 new, 1 changed; catalog 2026.11 published`.
fn described(changes: &Changes, catalog_version: &str) -> String {
    let mut parts = Vec::new();
    for (name, changed) in
        [("tenant", changes.tenant), ("customers", changes.customers), ("approvers", changes.approvers)]
    {
        if changed.any() {
            parts.push(format!("{name}: {}", counts(changed)));
        }
    }
    if changes.catalog_published {
        parts.push(format!("catalog {catalog_version} published"));
    }
    if changes.policy_changed {
        parts.push("approval policy changed".to_owned());
    }
    parts.join("; ")
}

fn counts(changed: Changed) -> String {
    let counts = [(changed.added, "new"), (changed.updated, "changed"), (changed.removed, "removed")];
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests;
