//! The report: `report.json` for programs, `report.md` with a picture of each ratio for people.

use super::machine::Machine;
use super::{Ratio, Target, plot};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What one run of the benchmarks has found.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    ratios: Vec<Ratio>,
}

impl Report {
    pub fn new(ratios: Vec<Ratio>) -> Result<Self, String> {
        Ok(Self { machine: Machine::of_this()?, ratios })
    }

    /// Writes `report.json`, `report.md` and the pictures; gives the folder's page.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, String> {
        let at = |path: &Path| {
            let path = path.display().to_string();
            move |e: std::io::Error| format!("{path}: {e}")
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        for ratio in &self.ratios {
            plot::draw(ratio, &folder.join(picture(ratio)))?;
        }
        let json = folder.join("report.json");
        fs::write(&json, serde_json::to_string_pretty(self).map_err(|e| e.to_string())?).map_err(at(&json))?;
        let page = folder.join("report.md");
        fs::write(&page, self.page()).map_err(at(&page))?;
        Ok(page)
    }

    /// The ratios beside those of an earlier run. `Err` where one is surely worse: its best turn is worse than the
    /// worst turn then.
    pub fn compare(&self, baseline: &Path) -> Result<String, String> {
        let text = fs::read_to_string(baseline).map_err(|e| format!("{}: {e}", baseline.display()))?;
        let before: Baseline = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", baseline.display()))?;
        let mut table = String::from("| | before | now | |\n|---|---:|---:|---|\n");
        let mut worse = Vec::new();
        for ratio in &self.ratios {
            let Some(known) = before.ratios.iter().find(|known| known.id == ratio.id) else { continue };
            let verdict = verdict(ratio.target, known.spread, ratio.spread);
            if verdict == WORSE {
                worse.push(ratio.id);
            }
            let _ = writeln!(table, "| {} | {:.2} | {:.2} | {verdict} |", ratio.id, known.ratio, ratio.ratio);
        }
        if worse.is_empty() {
            Ok(table)
        } else {
            Err(format!("worse than the baseline: {}\n{table}", worse.join(", ")))
        }
    }

    fn page(&self) -> String {
        let Machine { cpu, cores, memory_gib, kernel, profile, measured_at } = &self.machine;
        let mut page = format!(
            "# Benchmarks\n\n{measured_at}, {profile} build; {cores} × {cpu}, {memory_gib} GiB, Linux {kernel}.\n\
             Product, floor, load generator and all servers share these cores. Both sides of a ratio take turns in the \
             same run; shown are medians, and the lowest and highest turn.\n\n{}",
            self.table()
        );
        for ratio in &self.ratios {
            let _ = write!(
                page,
                "\n## {}\n\n![{}]({})\n\n- product: {}\n- floor: {}\n",
                ratio.id,
                ratio.id,
                picture(ratio),
                ratio.numerator.what,
                ratio.denominator.what
            );
            for note in &ratio.notes {
                let _ = writeln!(page, "- {note}");
            }
        }
        page
    }

    /// The ratios as a table.
    pub fn table(&self) -> String {
        let mut table =
            String::from("| | ratio | spread | wanted | | product | floor | |\n|---|---:|---|---|---|---:|---:|---|\n");
        for ratio in &self.ratios {
            let _ = writeln!(
                table,
                "| {} | {:.2} | {:.2} – {:.2} | {} | {} | {} | {} | {} |",
                ratio.id,
                ratio.ratio,
                ratio.spread[0],
                ratio.spread[1],
                ratio.target,
                if ratio.target.is_met(ratio.ratio) { "met" } else { "missed" },
                shown(ratio.numerator.median),
                shown(ratio.denominator.median),
                ratio.unit
            );
        }
        table
    }
}

/// What is compared of an earlier report.
#[derive(Deserialize)]
struct Baseline {
    ratios: Vec<Known>,
}

#[derive(Deserialize)]
struct Known {
    id: String,
    ratio: f64,
    spread: [f64; 2],
}

const WORSE: &str = "worse";

/// How a ratio has moved, by the turns' spreads: only what does not overlap is told from chance.
fn verdict(target: Target, [low, high]: [f64; 2], [now_low, now_high]: [f64; 2]) -> &'static str {
    let (better, worse) = match target {
        Target::AtLeast(_) => (now_low > high, now_high < low),
        Target::AtMost(_) => (now_high < low, now_low > high),
    };
    if worse {
        WORSE
    } else if better {
        "better"
    } else {
        "no difference beyond the spread"
    }
}

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn picture(ratio: &Ratio) -> String {
    format!("{}.svg", ratio.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::higher_throughput(Target::AtLeast(1.0), [0.4, 0.5], [0.6, 0.7], "better")]
    #[case::lower_throughput(Target::AtLeast(1.0), [0.6, 0.7], [0.4, 0.5], WORSE)]
    #[case::higher_latency(Target::AtMost(1.0), [0.4, 0.5], [0.6, 0.7], WORSE)]
    #[case::lower_latency(Target::AtMost(1.0), [0.6, 0.7], [0.4, 0.5], "better")]
    #[case::overlapping(Target::AtLeast(1.0), [0.4, 0.6], [0.5, 0.7], "no difference beyond the spread")]
    fn only_what_the_spread_does_not_explain_is_a_change(
        #[case] target: Target,
        #[case] before: [f64; 2],
        #[case] now: [f64; 2],
        #[case] expected: &str,
    ) {
        assert_eq!(verdict(target, before, now), expected);
    }
}
