//! `cpq verify price`: makes every stored price again from its trace.

use super::findings::Findings;
use crate::Failure;
use crate::output::{Answer, Paint, Progress};
use cpq_domain::canonical;
use cpq_domain::pricing::{PriceTrace, replay};
use cpq_domain::quote::PricedOffer;
use cpq_state_stores::Db;
use cpq_state_stores::operations::proofs::{PAGE, StoredPrice, price_page};
use serde_json::json;

pub async fn run(db: &Db, paint: Paint) -> Result<Answer, Failure> {
    let (mut findings, progress) = (Findings::default(), Progress::start());
    let mut prices = 0_u64;
    let mut after = (String::new(), String::new(), 0);
    loop {
        let mut tx = db.begin_system().await?;
        let page = price_page(&mut tx, (&after.0, &after.1, after.2)).await?;
        tx.commit().await?;
        for row in &page {
            if let Err(fault) = judge(row) {
                findings.add(format!("{} {} revision {}", row.tenant_id, row.quote_id, row.revision), fault);
            }
        }
        prices += page.len() as u64;
        progress.say(&format!("{prices} prices"));
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => {
                after = (last.tenant_id.clone(), last.quote_id.clone(), last.revision);
            }
            _ => break,
        }
    }
    drop(progress);
    findings.answer(&format!("{prices} prices made again"), &json!({"prices": prices}), paint)
}

fn judge(row: &StoredPrice) -> Result<(), String> {
    let offer: PricedOffer = serde_json::from_value(row.offer.0.clone())
        .map_err(|error| format!("the stored offer is unreadable: {error}"))?;
    if offer.trace_hash != row.trace_hash {
        return Err("the offer names another trace than the one beside it".to_owned());
    }
    check(&offer, &row.trace)
}

/// Whether the trace is the one that the offer names, and gives the offer's price to the last digit.
pub(super) fn check(offer: &PricedOffer, trace: &str) -> Result<(), String> {
    if canonical::sha256(trace.as_bytes()) != offer.trace_hash {
        return Err("the trace was changed: it does not give its hash".to_owned());
    }
    let trace: PriceTrace = serde_json::from_str(trace).map_err(|error| format!("the trace is unreadable: {error}"))?;
    if trace.configuration_hash != offer.configuration_hash {
        return Err("the trace is of another configuration".to_owned());
    }
    let replayed = replay(&trace).map_err(|fault| format!("the trace does not follow: {fault}"))?;
    if canonical::to_string(&replayed) != canonical::to_string(&offer.price) {
        return Err(format!(
            "the trace gives {}, the price is {}",
            canonical::to_string(&replayed),
            canonical::to_string(&offer.price)
        ));
    }
    Ok(())
}
