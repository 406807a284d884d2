//! The operator's command line `cpq`, run as an operator runs it: tokens and traces.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The built `cpq` beside this program.
fn cpq() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let folders = own.ancestors().skip(1).take(2);
    folders
        .map(|folder| folder.join("cpq"))
        .find(|path| path.is_file())
        .ok_or_else(|| "the program `cpq` is not built: cargo build --workspace --bins".to_owned())
}

fn run(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(cpq()?).args(arguments).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("cpq {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
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

/// Proves what is stored or published: `topic`, `price`, `audit` or `evidence`.
pub fn verify(what: &str) -> Result<String, String> {
    run(&["verify", what])
}
