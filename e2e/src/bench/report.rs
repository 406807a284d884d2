//! The report: `report.json` for programs, `report.md` with a picture of each ratio for people.

use super::machine::Machine;
use super::{Ratio, plot};
use serde::Serialize;
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

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn picture(ratio: &Ratio) -> String {
    format!("{}.svg", ratio.id)
}
