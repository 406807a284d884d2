//! `cpq replay export`: a topic as Parquet files, for tools that do not read Kafka. What was exported is in the
//! folder's manifest, so that the next run goes on where this one ended, however it ended.

mod cell;
mod columns;
mod file;
mod manifest;
mod partition;
mod record;
mod rows;

use super::when::when;
use crate::Failure;
use crate::kafka::Reader;
use crate::output::{Answer, Paint, Progress, Style};
use crate::settings::Stack;
use clap::Args;
use columns::Columns;
use cpq_avro::Schemas;
use cpq_avro::registry::RegistrySource;
use manifest::{FileEntry, Folder, Selection};
use partition::Export;
use record::Records;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;
use time::OffsetDateTime;
use tokio::runtime::Handle;

/// Write a topic to Parquet files that any tool reads; run again, it goes on where it ended.
///
/// One column per field of the envelope, the payload as JSON, and where the record stood: topic, partition, offset,
/// timestamp, key, headers. State topics have a column per field. See docs/export.md.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The topic.
    #[arg(long)]
    topic: String,
    /// The folder; made if it is not there. It holds one export: this topic and this choice of records.
    #[arg(long)]
    out: PathBuf,
    /// Only records published at or after this: 2026-11-01 or 2026-11-01T08:00:00Z.
    #[arg(long, value_parser = when)]
    from: Option<OffsetDateTime>,
    /// Only records published before this.
    #[arg(long, value_parser = when)]
    to: Option<OffsetDateTime>,
    /// Only records with this key: a quote's or an order's id.
    #[arg(long)]
    key: Option<String>,
}

/// What this run did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    topic: String,
    /// Records read, and those of them that were chosen.
    read: u64,
    records: u64,
    /// Of these, those whose value could not be decoded: they are in the files as bytes.
    undecodable: u64,
    /// Stretches that the topic no longer had when this run came to them.
    lost: Vec<String>,
    files: Vec<FileEntry>,
    seconds: f64,
    records_per_second: f64,
}

pub async fn run(args: &ExportArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let brokers = stack.kafka_brokers()?;
    let source = RegistrySource::new(&stack.schema_registry_url()?).map_err(Failure::because("the schema registry"))?;
    let (args, runtime) = (args.clone(), Handle::current());
    let export = move || export(&args, &brokers, Records::new(source, runtime));
    let report = tokio::task::spawn_blocking(export).await.map_err(Failure::because("the export was cut off"))??;
    Ok(Answer::new(&report, text(&report, paint))?.finding_if(!report.lost.is_empty()))
}

fn export(args: &ExportArgs, brokers: &str, records: Records) -> Result<Report, Failure> {
    let reader = Reader::connect(brokers)?;
    let partitions = reader.topics()?.get(&args.topic).copied();
    let partitions = partitions.ok_or_else(|| Failure::usage(format!("there is no topic {}", args.topic)))?;
    let schemas = Schemas::load().map_err(Failure::because("this build is broken"))?;
    let columns = Columns::of(&args.topic, &schemas)?;
    let selection = Selection::new(&args.topic, args.from, args.to, args.key.clone());
    let folder = Folder::open(&args.out, selection)?;
    let before = folder.files().len();
    let since = args.from.map(|from| (from.unix_timestamp_nanos() / 1_000_000) as i64);
    let mut stretches = reader.stretches(&[(args.topic.clone(), partitions)], since)?;
    let mut report = Report { topic: args.topic.clone(), ..Report::default() };
    for stretch in &mut stretches {
        if let Some(next) = folder.next(stretch.partition) {
            if next < stretch.start && since.is_none() {
                report.lost.push(format!("{}[{}] from {next} to {}", args.topic, stretch.partition, stretch.start));
            }
            stretch.start = stretch.start.max(next);
        }
    }
    let began = Instant::now();
    let left = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
    let mut export = Export {
        reader: &reader,
        columns,
        records,
        folder,
        progress: Progress::start(),
        began,
        left,
        read: 0,
        written: 0,
        undecodable: 0,
    };
    // One partition after the other: one file is open at a time.
    for stretch in &stretches {
        export.partition(stretch)?;
    }
    report.read = export.read;
    report.records = export.written;
    report.undecodable = export.undecodable;
    report.files = export.folder.files()[before..].to_vec();
    report.seconds = began.elapsed().as_secs_f64();
    report.records_per_second = export.read as f64 / report.seconds;
    Ok(report)
}

fn text(report: &Report, paint: Paint) -> String {
    let Report { topic, read, records, undecodable, lost, files, seconds, records_per_second } = report;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let mut lines = vec![format!(
        "{topic}: {records} of {read} records in {} files of {bytes} bytes, in {seconds:.1} s ({records_per_second:.0}/s)",
        files.len()
    )];
    if *undecodable > 0 {
        let told = format!("{undecodable} of them could not be decoded; their bytes are in raw_value");
        lines.push(paint.apply(Style::Yellow, &told));
    }
    lines.extend(lost.iter().map(|lost| {
        paint.apply(Style::Red, &format!("{lost}: retention removed these records before they were exported"))
    }));
    lines.join("\n")
}
