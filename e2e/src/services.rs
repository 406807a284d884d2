//! The stack's processes: stopped, killed and started through its own script, which knows them by pid; and
//! processes that a drill or benchmark runs for itself beside them.

use crate::settings::{program, repository};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        // The shell's own `kill` is there wherever a shell is.
        let script = ["-c", "kill -s \"$1\" \"$2\"", "kill", name, &self.pid().to_string()].map(str::to_owned);
        let sent = Command::new("sh").args(script).status().map_err(|e| format!("sh: {e}"))?;
        sent.success().then_some(()).ok_or_else(|| format!("{} could not be sent SIG{name}", self.name))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|e| format!("{}: {e}", self.name))
    }

    /// SIGTERM, and waits for its end, but no longer than this.
    pub async fn drain(mut self, limit: Duration) -> Result<ExitStatus, String> {
        const PAUSE: Duration = Duration::from_millis(20);
        let began = Instant::now();
        self.signal("TERM")?;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if began.elapsed() > limit {
                return Err(format!("{} still ran {} s after SIGTERM", self.name, limit.as_secs()));
            }
            tokio::time::sleep(PAUSE).await;
        }
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

/// CPU seconds that a process has used so far, in user and system mode.
pub fn cpu_seconds(pid: u32) -> Result<f64, String> {
    Ok(Times::of(pid)?.own)
}

/// CPU seconds that a process and its children have used so far, those that have ended included: PostgreSQL with
/// its backends.
pub fn cpu_seconds_with_children(pid: u32) -> Result<f64, String> {
    let parent = Times::of(pid)?;
    let processes = std::fs::read_dir("/proc").map_err(|e| format!("/proc: {e}"))?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One that ends meanwhile is counted with its parent the next time.
    let children = pids.filter_map(|child| Times::of(child).ok()).filter(|child| child.parent == pid);
    Ok(parent.own + parent.waited_for + children.map(|child| child.own + child.waited_for).sum::<f64>())
}

/// What `/proc/PID/stat` says of CPU time.
struct Times {
    parent: u32,
    own: f64,
    /// Of children that have ended.
    waited_for: f64,
}

impl Times {
    fn of(pid: u32) -> Result<Self, String> {
        /// `sysconf(_SC_CLK_TCK)`: 100 on every Linux that this runs on.
        const TICKS_PER_SECOND: f64 = 100.0;
        let path = format!("/proc/{pid}/stat");
        let stat = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        // After the name, which may hold spaces: state, ppid, … and from the 14th field of proc(5) on the times.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |n: usize| fields.get(n).and_then(|text| text.parse::<f64>().ok());
        match [1, 11, 12, 13, 14].map(number) {
            [Some(parent), Some(user), Some(system), Some(user_waited), Some(system_waited)] => Ok(Self {
                parent: parent as u32,
                own: (user + system) / TICKS_PER_SECOND,
                waited_for: (user_waited + system_waited) / TICKS_PER_SECOND,
            }),
            _ => Err(format!("{path} is not as proc(5) says")),
        }
    }
}

/// The pid of a process of the stack.
pub fn pid_of(name: &str) -> Result<u32, String> {
    let path = format!("{}/run/{name}.pid", crate::settings::variable("CPQ_STACK_DIR")?);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let pid = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
    pid.ok_or_else(|| format!("{path} holds no pid"))
}
