//! What the figures were measured on.

use crate::settings::{repository, variable};
use serde::{Deserialize, Serialize};

/// The machine and its servers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    /// Versions of the servers, as the stack pins them.
    pub servers: String,
    /// Of the product.
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
            servers: servers()?,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            profile: variable("CPQ_PROFILE")?,
            measured_at: now.map_err(|e| e.to_string())?,
        })
    }
}

fn servers() -> Result<String, String> {
    let path = repository().join("deploy/versions.env");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let version = |variable: &str| text.lines().find_map(|line| line.strip_prefix(variable)?.strip_prefix('='));
    let servers = [("PostgreSQL", "POSTGRES_VERSION"), ("Kafka", "KAFKA_VERSION"), ("Redis", "REDIS_VERSION")];
    let told = servers.map(|(name, variable)| format!("{name} {}", version(variable).unwrap_or("unknown")));
    Ok(told.join(", "))
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, memory_gib, kernel, servers, profile, measured_at } = self;
        write!(f, "{measured_at}, {profile} build; {cores} × {cpu}, {memory_gib} GiB, Linux {kernel}; {servers}")
    }
}
