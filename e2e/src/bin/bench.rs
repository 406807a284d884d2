//! `make bench`: measures the product against floors on the running stack; writes target/bench.

use clap::{Parser, ValueEnum};
use cpq_e2e::bench::report::Report;
use cpq_e2e::bench::{Extent, Ratio, accept, commercial, latency, processor, relay};
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Where the report goes.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// A report.json of an earlier run to compare with; a ratio that is surely worse ends the run with 1.
    #[arg(long)]
    baseline: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    R1,
    R2,
    R3,
    R4,
    /// Configuration and pricing.
    C,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments).await {
        Ok(page) => {
            println!("\n{}", page.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<PathBuf, String> {
    let extent = Extent { repeats: usize::from(arguments.repeats), seconds: arguments.seconds };
    let wanted = |which| arguments.only.is_empty() || arguments.only.contains(&which);
    let mut ratios: Vec<Ratio> = Vec::new();
    // Told as they come: a later one may fail.
    let tell = |ratios: &[Ratio]| {
        for Ratio { id, ratio, spread: [low, high], unit, numerator, denominator, .. } in ratios {
            println!(
                "bench: {id} = {ratio:.2} ({low:.2} – {high:.2}), {:.1} to {:.1} {unit}",
                numerator.median, denominator.median
            );
        }
    };
    if wanted(Which::C) {
        println!("bench: C1, C2, configuration and pricing ...");
        ratios.extend(commercial::measure(extent)?);
        tell(&ratios);
    }
    if wanted(Which::R2) {
        println!("bench: R2, latency ...");
        let measured = latency::measure(extent).await?;
        tell(&measured);
        ratios.extend(measured);
    }
    if wanted(Which::R1) {
        println!("bench: R1, commands accepted ...");
        let measured = accept::measure(extent).await?;
        tell(std::slice::from_ref(&measured));
        ratios.push(measured);
    }
    if wanted(Which::R3) {
        println!("bench: R3, relay ...");
        let measured = relay::measure(extent).await?;
        tell(std::slice::from_ref(&measured));
        ratios.push(measured);
    }
    if wanted(Which::R4) {
        println!("bench: R4, quote processor ...");
        let measured = processor::measure(extent).await?;
        tell(std::slice::from_ref(&measured));
        ratios.push(measured);
    }
    ratios.sort_by_key(|ratio| ratio.id);
    let report = Report::new(ratios)?;
    println!("\n{}", report.table());
    let page = report.write(&arguments.out)?;
    if let Some(baseline) = &arguments.baseline {
        println!("{}", report.compare(baseline)?);
    }
    Ok(page)
}
