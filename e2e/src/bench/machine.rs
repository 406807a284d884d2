//! What the figures were measured on.

use crate::settings::variable;
use serde::Serialize;

/// The machine and its servers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub profile: String,
    pub measured_at: String,
}

impl Machine {
    pub fn of_this() -> Result<Self, String> {
        let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
        let field = |text: &str, name: &str| {
            text.lines()
                .find_map(|line| Some(line.strip_prefix(name)?.trim_start_matches([' ', '\t', ':']).trim().to_owned()))
        };
        let kib =
            field(&read("/proc/meminfo")?, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        let now = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339);
        Ok(Self {
            cpu: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_err(|e| e.to_string())?.get(),
            memory_gib: (kib.unwrap_or(f64::NAN) / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            profile: variable("CPQ_PROFILE")?,
            measured_at: now.map_err(|e| e.to_string())?,
        })
    }
}
