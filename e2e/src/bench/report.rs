//! The report: `report.json` for programs, `report.md` with pictures for people; and two of them compared.

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
    pub fn new(mut ratios: Vec<Ratio>) -> Result<Self, String> {
        ratios.sort_by_key(|ratio| in_order(ratio.id));
        Ok(Self { machine: Machine::of_this()?, ratios })
    }

    /// Writes `report.json`, `report.md` and the pictures; gives the folder's page.
    pub fn write(&self, folder: &Path, comparison: Option<&Comparison>) -> Result<PathBuf, String> {
        let at = |path: &Path| {
            let path = path.display().to_string();
            move |e: std::io::Error| format!("{path}: {e}")
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        plot::overview(&self.ratios, &folder.join(OVERVIEW))?;
        for ratio in &self.ratios {
            plot::ratio(ratio, &folder.join(picture(ratio)))?;
            for (n, curve) in ratio.curves.iter().enumerate() {
                plot::curve(curve, &folder.join(curve_picture(ratio, n)))?;
            }
        }
        let json = folder.join("report.json");
        fs::write(&json, serde_json::to_string_pretty(self).map_err(|e| e.to_string())?).map_err(at(&json))?;
        let page = folder.join("report.md");
        fs::write(&page, self.page(comparison)).map_err(at(&page))?;
        Ok(page)
    }

    /// What is compared of it.
    pub fn known(&self) -> Known {
        let ratios = self.ratios.iter().map(|ratio| KnownRatio {
            id: ratio.id.to_owned(),
            ratio: ratio.ratio,
            spread: ratio.spread,
            target: ratio.target,
        });
        Known { machine: self.machine.clone(), ratios: ratios.collect() }
    }

    fn page(&self, comparison: Option<&Comparison>) -> String {
        let mut page = format!(
            "# Benchmarks\n\n{}.\n\nProduct, floor, load generator and all servers share these cores. Both sides of a \
             ratio take turns in the same run; shown are medians, and the lowest and highest turn.\n\n{}\n\
             ![all ratios]({OVERVIEW})\n",
            self.machine,
            self.table()
        );
        if let Some(comparison) = comparison {
            let _ = write!(page, "\n## Against the baseline\n\n{}", comparison.told);
        }
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
            for (n, curve) in ratio.curves.iter().enumerate() {
                let _ = write!(page, "\n![{}]({})\n", curve.what, curve_picture(ratio, n));
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

/// What is compared of a report.
#[derive(Deserialize)]
pub struct Known {
    machine: Machine,
    ratios: Vec<KnownRatio>,
}

#[derive(Deserialize)]
struct KnownRatio {
    id: String,
    ratio: f64,
    spread: [f64; 2],
    target: Target,
}

/// Two runs side by side.
#[derive(Debug)]
pub struct Comparison {
    /// For people.
    pub told: String,
    /// The ratios that are surely worse.
    pub worse: Vec<String>,
}

impl Known {
    /// Reads a `report.json`.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// These ratios beside those of an earlier run. One is surely worse where its best turn is worse than the worst
    /// turn then.
    pub fn compare(&self, before: &Self) -> Comparison {
        let mut told = format!("- before: {}\n- now: {}\n\n", before.machine, self.machine);
        told += "| | wanted | before | now | |\n|---|---|---|---|---|\n";
        let side = |of: &KnownRatio| format!("{:.2} ({:.2} – {:.2})", of.ratio, of.spread[0], of.spread[1]);
        let mut worse = Vec::new();
        for now in &self.ratios {
            let (then, verdict) = match before.ratios.iter().find(|known| known.id == now.id) {
                Some(known) => (side(known), verdict(now.target, known.spread, now.spread)),
                None => (String::new(), "new"),
            };
            if verdict == WORSE {
                worse.push(now.id.clone());
            }
            let _ = writeln!(told, "| {} | {} | {then} | {} | {verdict} |", now.id, now.target, side(now));
        }
        Comparison { told, worse }
    }
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

/// R2 before R10: the letter, the number, the rest.
fn in_order(id: &str) -> (&str, u32, &str) {
    let first_digit = id.find(|c: char| c.is_ascii_digit()).unwrap_or(id.len());
    let (letter, rest) = id.split_at(first_digit);
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    (letter, rest[..digits].parse().unwrap_or(0), &rest[digits..])
}

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The picture of all ratios.
const OVERVIEW: &str = "ratios.svg";

fn curve_picture(ratio: &Ratio, n: usize) -> String {
    format!("{}-{}.svg", ratio.id, n + 1)
}

fn picture(ratio: &Ratio) -> String {
    format!("{}.svg", ratio.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

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

    fn known(ratios: &[(&str, f64)]) -> Known {
        let machine = json!({"cpu": "a", "cores": 2, "memoryGib": 1.0, "kernel": "b", "servers": "c", "profile": "release",
            "measuredAt": "2026-11-01T00:00:00Z"});
        let ratio = |(id, ratio): &(&str, f64)| json!({"id": id, "ratio": ratio, "spread": [ratio - 0.1, ratio + 0.1], "target": {"atLeast": 1.0}});
        let ratios: Vec<_> = ratios.iter().map(ratio).collect();
        serde_json::from_value(json!({"machine": machine, "ratios": ratios})).unwrap()
    }

    #[test]
    fn a_comparison_names_what_is_worse_and_what_is_new() {
        let compared = known(&[("R1", 0.5), ("R3", 1.0), ("R4", 1.0)]).compare(&known(&[("R1", 1.0), ("R3", 1.0)]));
        assert_eq!(compared.worse, ["R1"]);
        assert!(compared.told.contains("| R1 | ≥ 1 | 1.00 (0.90 – 1.10) | 0.50 (0.40 – 0.60) | worse |"));
        assert!(compared.told.contains("| R4 | ≥ 1 |  | 1.00 (0.90 – 1.10) | new |"));
    }

    #[test]
    fn ratios_stand_in_the_order_of_their_numbers() {
        let mut ids = ["R10", "R2.p99", "C2", "R1", "R2.p50"];
        ids.sort_by_key(|id| in_order(id));
        assert_eq!(ids, ["C2", "R1", "R2.p50", "R2.p99", "R10"]);
    }
}
