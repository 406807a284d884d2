//! The operator's command line `cpq`, run as an operator runs it: tokens and traces.

use crate::settings::program;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn run(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program("cpq")?).args(arguments).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        return Err(format!("cpq {}: {}{}", arguments.join(" "), text(&output.stdout), text(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A token that the local stack trusts, for all accounts of the tenant.
pub fn token(tenant: &str, actor: &str, roles: &[&str]) -> Result<String, String> {
    let mut arguments = vec!["token", "--tenant", tenant, "--sub", actor, "--account", "*"];
    for role in roles {
        arguments.extend(["--role", role]);
    }
    run(&arguments)
}

/// The story of a correlation id, as a table for a person.
pub fn trace_table(correlation_id: &str) -> Result<String, String> {
    run(&["trace", correlation_id])
}

/// The story of a correlation id: its steps in time.
pub fn trace(correlation_id: &str) -> Result<Vec<Value>, String> {
    let text = run(&["--output", "json", "trace", correlation_id])?;
    let story: Value = serde_json::from_str(&text).map_err(|e| format!("cpq trace: {e}"))?;
    Ok(story["steps"].as_array().cloned().unwrap_or_default())
}

/// How far everything is behind, as `cpq lag` judges it; its text and whether it is an alert.
pub fn lag(max_seconds: u32) -> Result<(String, bool), String> {
    let arguments = ["lag", "--behind", "--max-seconds", &max_seconds.to_string()];
    let output = Command::new(program("cpq")?).args(arguments).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(code @ (0 | 1)) if !text.is_empty() => Ok((text, code == 1)),
        _ => Err(format!("cpq lag: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// What is not at its end yet; `None` if nothing is under way.
pub fn behind() -> Result<Option<String>, String> {
    /// Longer than any test runs: what is asked is how much waits, not for how long.
    const PATIENCE_SECONDS: &str = "86400";
    let text = run(&["--output", "json", "lag", "--behind", "--max-seconds", PATIENCE_SECONDS])?;
    let lag: Value = serde_json::from_str(&text).map_err(|e| format!("cpq lag: {e}"))?;
    let waiting =
        ["/outboxPending", "/deferredCommands/count", "/dueTimers/count", "/unstartedProcesses/count", "/parkedKeys"];
    let none = waiting.iter().all(|place| lag.pointer(place) == Some(&Value::from(0)));
    Ok((!none || lag["partitions"] != Value::Array(vec![])).then(|| lag.to_string()))
}

/// Imports the reference data in this folder.
pub fn import(folder: &Path) -> Result<String, String> {
    run(&["import", &folder.display().to_string()])
}

/// Prices stored quotes again; what would differ.
pub fn replay_price(arguments: &[&str]) -> Result<Value, String> {
    let text = run(&[&["--output", "json", "replay", "price"], arguments].concat())?;
    serde_json::from_str(&text).map_err(|e| format!("cpq replay price: {e}"))
}

/// Proves what is stored or published: `topic`, `facts`, `views`, `price`, `audit` or `evidence`.
pub fn verify(what: &str) -> Result<String, String> {
    run(&["verify", what])
}
