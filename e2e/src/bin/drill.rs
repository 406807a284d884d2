//! `make drill NAME=…`: a failure drill against the running stack. Exit 0 only if the history checker finds no
//! contradiction afterwards.

use clap::Parser;
use cpq_e2e::drill::{Drill, Extent};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Run a failure drill against the running stack: break something under load, mend it, check the history.
#[derive(Parser)]
#[command(after_help = drills())]
struct Arguments {
    /// The drill's name; `all` runs them one after the other.
    name: String,
    /// Deals of load, where it is counted.
    #[arg(long, default_value_t = Extent::default().deals)]
    deals: usize,
    /// Seconds of load under fire; at least a minute.
    #[arg(long, default_value_t = Extent::default().seconds)]
    seconds: u64,
    /// Quotes that several clients change at once under fire.
    #[arg(long, default_value_t = Extent::default().keys)]
    keys: usize,
    /// The seed of the faults under fire; by chance if not given. It is printed.
    #[arg(long)]
    seed: Option<u64>,
}

impl Arguments {
    fn extent(&self) -> Extent {
        let Self { deals, seconds, keys, seed, .. } = *self;
        Extent { deals, seconds, keys, seed: seed.unwrap_or(Extent::default().seed) }
    }
}

fn drills() -> String {
    let mut text = String::from("Drills:\n");
    for drill in Drill::ALL {
        let _ = writeln!(text, "  {:<22} {}", drill.name(), drill.about());
    }
    text.push_str("\nReads the stack's environment: make drill NAME=..., or `. .stack/env` first.");
    text
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let extent = arguments.extent();
    let chosen = match (arguments.name.as_str(), Drill::by_name(&arguments.name)) {
        ("all", _) => Drill::ALL.to_vec(),
        (_, Some(drill)) => vec![drill],
        (name, None) => {
            eprintln!("there is no drill '{name}'\n\n{}", drills());
            return ExitCode::from(2);
        }
    };
    for drill in chosen {
        println!("drill {}: {}", drill.name(), drill.about());
        match drill.run(extent).await {
            Ok(report) => println!("{report}\ndrill {} passed", drill.name()),
            Err(error) => {
                eprintln!("drill {} failed: {error}", drill.name());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
