//! The stack's processes: stopped, killed and started through its own script, which knows them by pid; and
//! processes that a drill or benchmark runs for itself beside them.

use crate::settings::{program, repository};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What may be done with a process of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Start,
    Stop,
    /// SIGKILL.
    Kill,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
        }
    }
}

/// Does it with these processes of the stack that the environment names. Returns when it is done: a started
/// process is ready then.
pub async fn stack(verb: Verb, names: &[&str]) -> Result<(), String> {
    let mut command = tokio::process::Command::new("deploy/stack.sh");
    command.arg(verb.as_str()).args(names).current_dir(repository()).stdin(Stdio::null());
    let output = command.output().await.map_err(|e| format!("deploy/stack.sh: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("deploy/stack.sh {} {}: {}", verb.as_str(), names.join(" "), text.trim()))
}

/// A process of our own; killed when dropped.
pub struct Own {
    child: Child,
    name: String,
}

impl Own {
    /// Starts a built program with more or other environment; its output goes to `log`.
    pub fn start(name: &str, arguments: &[&str], environment: &[(&str, String)], log: &Path) -> Result<Self, String> {
        let out = File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        let err = out.try_clone().map_err(|e| e.to_string())?;
        let child = Command::new(program(name)?)
            .args(arguments)
            .envs(environment.iter().map(|(k, v)| (*k, v.as_str())))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|e| format!("{name}: {e}"))?;
        Ok(Self { child, name: format!("{name} {}", arguments.join(" ")) })
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map(|_| ()).map_err(|e| format!("{}: {e}", self.name))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
