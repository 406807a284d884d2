//! `make bench`: measures the product against floors on the running stack; writes target/bench.

use clap::{Parser, ValueEnum};
use cpq_e2e::bench::report::{Comparison, Known, Report};
use cpq_e2e::bench::{
    Extent, Ratio, accept, commercial, deals, endurance, fault, guards, latency, processor, rebuild, relay,
};
use cpq_e2e::services::{Verb, stack};
use cpq_e2e::settings::repository;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measure ratios of the product to floors of the same run. Stops and starts services of the stack, and throws away
/// commands that are not yet published: for a stack of its own (`make bench` makes one).
#[derive(Parser)]
struct Arguments {
    /// Which; all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Which>,
    /// Turns of product and floor.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeats: u16,
    /// Seconds of one turn of one side.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Minutes for which R6 holds a snapshot open; R6 and R12 take twice that.
    #[arg(long, default_value_t = endurance::HOLD_MINUTES, value_parser = clap::value_parser!(u64).range(1..=60))]
    hold_minutes: u64,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// A report.json of an earlier run to compare with; a ratio that is surely worse ends the run with 1. Without it,
    /// bench/baseline.json, where it exists, and only for information.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Measure nothing: compare this report.json with the baseline.
    #[arg(long)]
    compare: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    R1,
    R2,
    R3,
    /// With R8 and R9.
    R4,
    R5,
    /// With R12.
    #[value(alias = "r12")]
    R6,
    R7,
    /// Needs what deploy/bench-guards.sh builds.
    R10,
    R11,
    /// Configuration and pricing.
    C,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.compare {
        Some(report) => compare(&arguments, report),
        None => measure(&arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<(), String> {
    // First, since it may be unreadable.
    let baseline = baseline(arguments)?;
    let extent = Extent { repeats: usize::from(arguments.repeats), seconds: arguments.seconds };
    let wanted = |which| arguments.only.is_empty() || arguments.only.contains(&which);
    let mut run = Run::default();
    if wanted(Which::C) {
        println!("bench: C1, C2, configuration and pricing ...");
        run.keep(commercial::measure(extent)).await;
    }
    // Before the others: they throw away facts that are not yet published, and no views come of topics with gaps.
    if wanted(Which::R5) {
        println!("bench: R5, views made again ...");
        run.keep(rebuild::measure(extent).await.map(|ratio| vec![ratio])).await;
    }
    if wanted(Which::R2) {
        println!("bench: R2, latency ...");
        run.keep(latency::measure(extent).await).await;
    }
    if wanted(Which::R1) {
        println!("bench: R1, commands accepted ...");
        run.keep(accept::measure(extent).await.map(|ratio| vec![ratio])).await;
    }
    if wanted(Which::R3) {
        println!("bench: R3, relay ...");
        run.keep(relay::measure(extent).await.map(|ratio| vec![ratio])).await;
    }
    if wanted(Which::R4) {
        println!("bench: R4, R8, R9, quote processor ...");
        run.keep(processor::measure(extent).await).await;
    }
    if wanted(Which::R7) {
        println!("bench: R7, after a fault ...");
        run.keep(fault::measure(extent).await.map(|ratio| vec![ratio])).await;
    }
    if wanted(Which::R6) {
        println!("bench: R6, R12, a snapshot held open for {} minutes, memory ...", arguments.hold_minutes);
        run.keep(endurance::measure(Duration::from_secs(arguments.hold_minutes * 60)).await).await;
    }
    if wanted(Which::R10) {
        println!("bench: R10, guards ...");
        run.keep(guards::measure(extent).await).await;
    }
    if wanted(Which::R11) {
        println!("bench: R11, whole deals ...");
        run.keep(deals::measure(extent).await.map(|ratio| vec![ratio])).await;
    }
    let report = Report::new(run.ratios)?;
    println!("\n{}", report.table());
    let compared = baseline.map(|before| report.known().compare(&before));
    let page = report.write(&arguments.out, compared.as_ref())?;
    println!("\n{}\n", page.display());
    if !run.failed.is_empty() {
        return Err(format!("not everything was measured: {}", run.failed.join("; ")));
    }
    compared.map_or(Ok(()), |compared| judge(arguments, &compared))
}

/// What was measured so far: told as it comes, and kept whatever becomes of the rest.
#[derive(Default)]
struct Run {
    ratios: Vec<Ratio>,
    failed: Vec<String>,
}

impl Run {
    async fn keep(&mut self, measured: Result<Vec<Ratio>, String>) {
        let ratios = match measured {
            Ok(ratios) => ratios,
            Err(error) => {
                println!("bench: failed: {error}");
                self.failed.push(error);
                // The next one begins with everything running.
                if let Err(error) = stack(Verb::Start, &["command-gateway", "streams", "camunda-bridge"]).await {
                    println!("bench: {error}");
                }
                return;
            }
        };
        for Ratio { id, ratio, spread: [low, high], unit, numerator, denominator, .. } in &ratios {
            println!(
                "bench: {id} = {ratio:.2} ({low:.2} – {high:.2}), {:.1} to {:.1} {unit}",
                numerator.median, denominator.median
            );
        }
        self.ratios.extend(ratios);
    }
}

/// The committed baseline.
const BASELINE: &str = "bench/baseline.json";

/// The baseline that was named, or the committed one if there is one.
fn baseline(arguments: &Arguments) -> Result<Option<Known>, String> {
    let committed = Some(repository().join(BASELINE)).filter(|path| path.is_file());
    arguments.baseline.clone().or(committed).map(|path| Known::read(&path)).transpose()
}

fn compare(arguments: &Arguments, report: &Path) -> Result<(), String> {
    let before = baseline(arguments)?.ok_or_else(|| format!("name a --baseline: there is no {BASELINE}"))?;
    judge(arguments, &Known::read(report)?.compare(&before))
}

/// Where a baseline was named, what is worse is an error: the committed one may be of another machine.
fn judge(arguments: &Arguments, Comparison { told, worse }: &Comparison) -> Result<(), String> {
    println!("Against the baseline\n\n{told}");
    if arguments.baseline.is_none() || worse.is_empty() {
        return Ok(());
    }
    Err(format!("worse than the baseline: {}", worse.join(", ")))
}
