//! `cpq verify audit`: chains the audit again from its content.

use super::findings::Findings;
use super::witness::{Head, Witness};
use crate::Failure;
use crate::output::{Answer, Paint, Progress};
use clap::Args;
use cpq_state_stores::Db;
use cpq_state_stores::decisions::{AUDIT_GENESIS, AuditEntry, audit_hash};
use cpq_state_stores::operations::proofs::{PAGE, StoredAudit, audit_page, unaudited_outcomes};
use serde_json::json;
use std::path::PathBuf;

/// Chain every audit entry again from its content, and look for decisions without an entry.
///
/// That shows what was edited, taken out or put in. Whoever may write the whole table can also chain it anew, or
/// cut its end off together with the decisions: only a witness that is kept elsewhere shows that.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    /// Demand that every entry which this file names is there unchanged; an earlier run has written it.
    #[arg(long, value_name = "FILE")]
    witness: Option<PathBuf>,
    /// Where nothing is amiss, note the newest entry of every chain in this file, for later runs. Keep it where the
    /// database's administrators cannot write.
    #[arg(long, value_name = "FILE")]
    write_witness: Option<PathBuf>,
}

/// Where a walk over the chains stands.
#[derive(Debug)]
struct Chain {
    tenant_id: String,
    aggregate_id: String,
    entry: i64,
    hash: String,
}

impl Chain {
    fn before(row: &StoredAudit) -> Self {
        let (tenant_id, aggregate_id) = (row.tenant_id.clone(), row.aggregate_id.clone());
        Self { tenant_id, aggregate_id, entry: 0, hash: AUDIT_GENESIS.to_owned() }
    }

    fn is_of(&self, row: &StoredAudit) -> bool {
        self.tenant_id == row.tenant_id && self.aggregate_id == row.aggregate_id
    }
}

pub async fn run(args: &AuditArgs, db: &Db, paint: Paint) -> Result<Answer, Failure> {
    let (mut findings, progress) = (Findings::default(), Progress::start());
    let mut seen = args.witness.as_deref().map(Witness::read).transpose()?.unwrap_or_default();
    let mut heads = Witness::default();
    let (mut entries, mut chains) = (0_u64, 0_u64);
    let mut chain: Option<Chain> = None;
    loop {
        // A transaction per page: a walk over years of audit must not hold back vacuum.
        let mut tx = db.begin_system().await?;
        let after = chain.as_ref().map_or(("", "", 0), |c| (&c.tenant_id, &c.aggregate_id, c.entry));
        let page = audit_page(&mut tx, after).await?;
        tx.commit().await?;
        for row in &page {
            let known = chain.take().filter(|chain| chain.is_of(row));
            chains += u64::from(known.is_none());
            chain = Some(judge(known.unwrap_or_else(|| Chain::before(row)), row, &mut findings));
            seen.meet(&head(row), &mut findings);
            if args.write_witness.is_some() {
                heads.note(head(row));
            }
        }
        entries += page.len() as u64;
        progress.say(&format!("{entries} audit entries"));
        if (page.len() as i64) < PAGE {
            break;
        }
    }
    let mut tx = db.begin_system().await?;
    for (tenant, aggregate, command) in unaudited_outcomes(&mut tx).await? {
        findings.add(format!("{tenant} {aggregate}"), format!("command {command} was decided and has no audit entry"));
    }
    tx.commit().await?;
    seen.close(&mut findings);
    drop(progress);
    if let Some(path) = args.write_witness.as_deref().filter(|_| !findings.any()) {
        heads.write(path)?;
    }
    let proven = format!("{entries} audit entries in {chains} chains");
    findings.answer(&proven, &json!({"entries": entries, "chains": chains}), paint)
}

/// Judges the next entry of a chain; the walk goes on from what is stored, so that one fault is one finding.
fn judge(chain: Chain, row: &StoredAudit, findings: &mut Findings) -> Chain {
    let place = format!("{} {} entry {}", row.tenant_id, row.aggregate_id, row.entry);
    if row.entry != chain.entry + 1 {
        findings.add(&place, format!("follows entry {}: entries were removed", chain.entry));
    } else if row.previous_hash != chain.hash {
        findings.add(&place, "does not rest on the entry before it");
    }
    if audit_hash(&content(row), row.entry, &row.previous_hash) != row.entry_hash {
        findings.add(&place, "was changed: its content does not give its hash");
    }
    Chain { entry: row.entry, hash: row.entry_hash.clone(), ..chain }
}

fn head(row: &StoredAudit) -> Head {
    let (tenant_id, aggregate_id) = (row.tenant_id.clone(), row.aggregate_id.clone());
    Head { tenant_id, aggregate_id, entry: row.entry, entry_hash: row.entry_hash.clone() }
}

/// What the hash covers.
fn content(row: &StoredAudit) -> AuditEntry<&str> {
    AuditEntry {
        tenant_id: row.tenant_id.clone(),
        aggregate_id: row.aggregate_id.clone(),
        action: &row.action,
        outcome: &row.outcome,
        error_code: row.error_code.as_deref(),
        actor_id: row.actor_id.clone(),
        actor_type: &row.actor_type,
        claims: row.claims.to_string(),
        command_id: row.command_id.clone(),
        correlation_id: row.correlation_id.clone(),
        detail: row.detail.clone(),
        recorded_at: row.recorded_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use time::OffsetDateTime;

    /// A chain of three entries of one aggregate, as the store writes it.
    fn chain() -> Vec<StoredAudit> {
        let mut previous = AUDIT_GENESIS.to_owned();
        let entry = |number| {
            let mut row = StoredAudit {
                tenant_id: "t".to_owned(),
                aggregate_id: "Q-2026-000001".to_owned(),
                entry: number,
                action: "PriceQuote".to_owned(),
                outcome: "APPLIED".to_owned(),
                error_code: None,
                actor_id: "alice".to_owned(),
                actor_type: "USER".to_owned(),
                claims: json!({"roles": ["sales-rep"]}).into(),
                command_id: format!("c{number}"),
                correlation_id: "x".to_owned(),
                detail: None,
                recorded_at: OffsetDateTime::UNIX_EPOCH,
                previous_hash: previous.clone(),
                entry_hash: String::new(),
            };
            row.entry_hash = audit_hash(&content(&row), number, &previous);
            previous = row.entry_hash.clone();
            row
        };
        (1..=3).map(entry).collect()
    }

    fn found(rows: &[StoredAudit]) -> Vec<String> {
        let mut findings = Findings::default();
        let mut walk = Chain::before(&rows[0]);
        for row in rows {
            walk = judge(walk, row, &mut findings);
        }
        findings.details().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn an_untouched_chain_holds() {
        assert_eq!(found(&chain()), Vec::<String>::new());
    }

    #[rstest]
    #[case::edited(|rows: &mut Vec<StoredAudit>| rows[1].actor_id = "mallory".to_owned(), "was changed: its content does not give its hash")]
    #[case::claims_edited(|rows: &mut Vec<StoredAudit>| rows[1].claims = json!({"roles": ["approver"]}).into(), "was changed: its content does not give its hash")]
    #[case::removed(|rows: &mut Vec<StoredAudit>| { rows.remove(1); }, "follows entry 1: entries were removed")]
    #[case::chained_again(|rows: &mut Vec<StoredAudit>| {
        rows[1].actor_id = "mallory".to_owned();
        rows[1].entry_hash = audit_hash(&content(&rows[1]), 2, &rows[1].previous_hash);
    }, "does not rest on the entry before it")]
    fn a_touched_chain_shows(#[case] touch: fn(&mut Vec<StoredAudit>), #[case] finding: &str) {
        let mut rows = chain();
        touch(&mut rows);
        assert_eq!(found(&rows), [finding]);
    }
}
