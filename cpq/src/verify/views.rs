//! `cpq verify views`: makes the views again from offset 0 of the events topics, by the same code as the live
//! ones, in tables that vanish with the transaction; and compares row by row.

use super::events::{Events, Place, Read};
use super::findings::Findings;
use crate::Failure;
use crate::output::{Answer, Paint};
use crate::settings::Stack;
use cpq_avro::Record;
use cpq_avro::topics::{ORDER_EVENTS, QUOTE_EVENTS};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor};
use cpq_state_stores::operations::rebuild::{self, Comparison};
use cpq_state_stores::{Db, Tx};
use serde::Serialize;
use streams::projection::Projection;
use tokio::runtime::Handle;

/// Events that are applied together.
const BATCH: usize = 500;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    events: u64,
    /// Rows compared.
    rows: i64,
    /// Quotes and orders whose live rows are ahead of or behind what was read: not compared.
    in_motion: i64,
}

pub async fn run(stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let (events, db) = (Events::connect(stack)?, stack.db()?);
    let runtime = Handle::current();
    let proof = tokio::task::spawn_blocking(move || prove(&events, &db, &runtime));
    let (numbers, findings) = proof.await.map_err(Failure::because("the proof was cut off"))??;
    let Numbers { events, rows, in_motion } = numbers;
    let proven = format!("{events} events, {rows} rows of views made again, {in_motion} quotes or orders in motion");
    findings.answer(&proven, &numbers, paint)
}

fn prove(events: &Events, db: &Db, runtime: &Handle) -> Result<(Numbers, Findings), Failure> {
    let mut rebuild = Rebuild { tx: runtime.block_on(begin(db))?, batch: Vec::new(), events: 0, runtime };
    let mut findings = Findings::default();
    // One topic after the other: a batch is of one partition's order, whatever partitions it mixes.
    for topic in [QUOTE_EVENTS, ORDER_EVENTS] {
        let stretches = events.stretches(topic)?;
        for cut in stretches.iter().filter(|stretch| stretch.start > 0) {
            let place = format!("{}[{}]", cut.topic, cut.partition);
            findings.add(place, format!("begins at offset {}: views cannot be made again from it", cut.start));
        }
        events.each(&stretches, |place, read| rebuild.take(place, read, &mut findings))?;
    }
    rebuild.flush()?;
    let Comparison { rows, in_motion, differences } = runtime.block_on(rebuild::compare(&mut rebuild.tx))?;
    for difference in differences {
        findings.add(format!("{} {}", difference.view, difference.key), difference.to_string());
    }
    let numbers = Numbers { events: rebuild.events, rows, in_motion };
    runtime.block_on(rebuild.tx.rollback())?;
    Ok((numbers, findings))
}

async fn begin(db: &Db) -> Result<Tx, Failure> {
    let mut tx = db.begin_system().await?;
    rebuild::prepare(&mut tx).await?;
    Ok(tx)
}

/// The views while they are made again.
struct Rebuild<'a> {
    tx: Tx,
    batch: Vec<Delivery>,
    events: u64,
    runtime: &'a Handle,
}

impl Rebuild<'_> {
    fn take(&mut self, place: Place, read: Read, findings: &mut Findings) -> Result<(), Failure> {
        let (envelope, event) = match read {
            Ok(read) => read,
            // The live projection has parked it, too.
            Err(fault) => {
                findings.add(place.to_string(), fault);
                return Ok(());
            }
        };
        self.events += 1;
        let Place { topic, partition, offset } = place;
        let key = envelope.aggregate_id.clone();
        self.batch.push(Delivery { topic, partition, offset, key, record: Record::Event(envelope, event) });
        if self.batch.len() < BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        // Hints are for live views.
        let mut after = AfterCommit::default();
        let batch: Vec<&Delivery> = batch.iter().collect();
        let applied = Projection.apply(&mut self.tx, &batch, &mut after);
        self.runtime.block_on(applied).map_err(Failure::because("the views cannot be made again"))
    }
}
