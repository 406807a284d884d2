//! Comparing the ledger of instances with the engine's own, and repairing what differs: after the engine's
//! database was restored to an older point, say, or after somebody deleted an instance by hand.

mod compare;

use super::Engine;
use super::migrate::running;
use crate::output::{Answer, Paint, Style};
use crate::table::{Cell, Table};
use crate::{Failure, operator};
use camunda_bridge::engine::{EngineError, HistoricProcessInstance, InstanceQuery};
use camunda_bridge::models::PROCESS_KEYS;
use clap::Args;
use compare::{Finding, Repair, Running, engine_finding, ledger_finding};
use cpq_state_stores::Db;
use cpq_state_stores::operations::ledger::{self, LedgerEntry};
use serde_json::json;
use std::collections::HashMap;

/// Compare the ledger of processes with the engine; exits 1 if they differ.
///
/// Differences younger than --grace are work in progress and not reported.
#[derive(Args, Clone, Debug)]
pub struct ReconcileArgs {
    /// Asks again for what the engine has lost and is still needed, closes what is over, and ends instances that
    /// the ledger says are not the admitted one.
    #[arg(long)]
    repair: bool,
    /// With --repair: also ends instances that the ledger has never heard of. Not where several installations
    /// share an engine.
    #[arg(long, requires = "repair")]
    end_unknown: bool,
    /// How long a difference may last: 30s, 5m.
    #[arg(long, default_value = "30s", value_parser = crate::span::parse_span)]
    grace: crate::span::Span,
    /// Who repairs, for the audit; without it, the user who is logged in.
    #[arg(long)]
    actor: Option<String>,
}

/// A difference, and whether it was repaired.
type Reported = (Finding, Option<bool>);

pub async fn run(args: &ReconcileArgs, engine: &Engine, db: &Db, paint: Paint) -> Result<Answer, Failure> {
    // The ledger first: whatever it says has started was in the engine by then.
    let open = open_entries(db).await?;
    let mut findings = Vec::new();
    for process in PROCESS_KEYS {
        findings.extend(compare_process(engine, db, process, &open, args.grace.seconds()).await?);
    }
    let mut reported: Vec<Reported> = Vec::new();
    for finding in findings {
        let wanted = args.repair && (args.end_unknown || !finding.unknown());
        let repaired =
            if wanted { repair(engine, db, &finding, &operator::name(args.actor.as_deref())).await? } else { None };
        reported.push((finding, repaired));
    }
    answer(&reported, open.len(), args.repair, paint)
}

async fn open_entries(db: &Db) -> Result<Vec<LedgerEntry>, Failure> {
    let mut tx = db.begin_system().await?;
    let mut all: Vec<LedgerEntry> = Vec::new();
    loop {
        let after = all.last().map(|e| (e.tenant_id.clone(), e.process_key.clone(), e.business_key.clone()));
        let (tenant, process, key) = after.unwrap_or_default();
        let page = ledger::open_entries(&mut tx, (&tenant, &process, &key)).await?;
        let last = (page.len() as i64) < ledger::PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

async fn compare_process(
    engine: &Engine,
    db: &Db,
    process: &str,
    open: &[LedgerEntry],
    grace: i64,
) -> Result<Vec<Finding>, Failure> {
    let instances = Running::new(running(engine, process).await?);
    let mut findings = Vec::new();
    for entry in open.iter().filter(|entry| entry.process_key == process) {
        let history = match instances.misses(entry) {
            true => history(engine, process, &entry.business_key).await?,
            false => Vec::new(),
        };
        findings.extend(ledger_finding(entry, &instances, &history, grace));
    }
    let rows = rows_of(db, process, &instances).await?;
    findings.extend(instances.iter().filter_map(|instance| {
        let row = instance.business_key.as_ref().and_then(|key| rows.get(key));
        engine_finding(process, instance, row)
    }));
    Ok(findings)
}

async fn history(engine: &Engine, process: &str, business_key: &str) -> Result<Vec<HistoricProcessInstance>, Failure> {
    let name = engine.names.of(process);
    let query = InstanceQuery { business_key: Some(business_key), process_key: Some(&name), first: 0 };
    Ok(engine.client.process_history(&query).await?)
}

/// The ledger's rows of the running instances, as they are now.
async fn rows_of(db: &Db, process: &str, instances: &Running) -> Result<HashMap<String, LedgerEntry>, Failure> {
    let keys: Vec<&str> = instances.iter().filter_map(|i| i.business_key.as_deref()).collect();
    let mut rows = HashMap::new();
    let mut tx = db.begin_system().await?;
    for page in keys.chunks(ledger::PAGE as usize) {
        let entries = ledger::entries_of(&mut tx, process, page).await?;
        rows.extend(entries.into_iter().map(|entry| (entry.business_key.clone(), entry)));
    }
    Ok(rows)
}

/// Whether the repair was made; `None` where there is none to make.
async fn repair(engine: &Engine, db: &Db, finding: &Finding, actor: &str) -> Result<Option<bool>, Failure> {
    let done = match &finding.repair {
        Repair::Wait => return Ok(None),
        Repair::EndInstance { instance_id } => match engine.client.delete_process_instance(instance_id).await {
            Ok(()) | Err(EngineError::NotFound { .. }) => true,
            Err(error) => return Err(error.into()),
        },
        Repair::RequestAgain(_) | Repair::Close(_) => true,
    };
    let mut tx = db.begin_system().await?;
    let done = match &finding.repair {
        Repair::RequestAgain(entry) => ledger::request_again(&mut tx, entry).await?,
        Repair::Close(entry) => ledger::close(&mut tx, entry, &finding.detail).await?,
        Repair::Wait | Repair::EndInstance { .. } => done,
    };
    if let (true, Some(tenant_id)) = (done, &finding.tenant_id) {
        let act = operator::Act { tenant_id, chain: &finding.business_key, action: "ReconcileWorkflow", actor };
        operator::record(&mut tx, &act, &format!("{}: {}", finding.repair.word(), finding.detail)).await?;
    }
    tx.commit().await?;
    Ok(Some(done))
}

fn answer(reported: &[Reported], open: usize, repairing: bool, paint: Paint) -> Result<Answer, Failure> {
    let left = reported.iter().any(|(_, repaired)| *repaired != Some(true));
    let report: Vec<_> =
        reported.iter().map(|(finding, repaired)| json!({"finding": finding, "repaired": repaired})).collect();
    let mut lines = Vec::new();
    if !reported.is_empty() {
        let mut table = Table::new(&["FOUND", "TENANT", "PROCESS", "BUSINESS KEY", "INSTANCE", "REPAIR", "DETAIL"]);
        for (finding, repaired) in reported {
            let word = finding.repair.word();
            let (style, repair) = match repaired {
                Some(true) => (Style::Green, format!("done: {word}")),
                Some(false) => (Style::Yellow, format!("changed meanwhile: {word}")),
                None => (Style::Plain, word.to_owned()),
            };
            table.row(vec![
                Cell::styled(Style::Red, finding.found.as_str()),
                finding.tenant_id.as_deref().unwrap_or("?").into(),
                finding.process_key.as_str().into(),
                finding.business_key.as_str().into(),
                finding.instance_id.as_deref().unwrap_or("-").into(),
                Cell::styled(style, repair),
                finding.detail.as_str().into(),
            ]);
        }
        lines.push(table.render(paint));
    }
    let hint = if repairing || reported.is_empty() { "" } else { "; --repair repairs them" };
    lines.push(format!("{open} open processes in the ledger, {} differences{hint}", reported.len()));
    Ok(Answer::new(&json!({"openProcesses": open, "differences": report}), lines.join("\n"))?.finding_if(left))
}
