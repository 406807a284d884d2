//! What all loops of the bridge share, and the bounds of their work.

use crate::downstream::Downstream;
use crate::engine::EngineClient;
use crate::names::EngineNames;
use cpq_avro::Encoder;
use cpq_runtime::wake::Wake;
use cpq_state_stores::Db;
use cpq_state_stores::hints::Hints;
use std::sync::Arc;
use std::time::Duration;

/// The actor of the bridge's commands and events.
pub const SENDER: &str = "cpq-bridge";
/// Wakes the starter: a process was asked for.
pub const STARTER: &str = "workflow-start";
/// Wakes the loop that settles duties.
pub const DUTIES: &str = "workflow-duty";

/// Pauses and bounds that differ between a production stack and a test.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How often each loop looks without being woken.
    pub sweep: Duration,
    /// How long the engine may keep a request for work open.
    pub long_poll: Duration,
    /// How long a task that was fetched is ours, unless the lock is extended or the process dies.
    pub lock: Duration,
    /// How often a step is tried before it becomes an incident.
    pub attempts: u32,
    /// Pause before the second try; each further one is three times as long.
    pub retry_pause: Duration,
    /// Pause before a line looks again whether the lines that it needs are done.
    pub dependency_pause: Duration,
    /// How often incidents are looked for.
    pub incident_sweep: Duration,
    /// Calls to downstream systems at once.
    pub concurrency: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            sweep: Duration::from_secs(1),
            // A poll that waits already is not told of a task whose lock runs out, nor of one that was made while
            // the poll was being put in the engine's queue: a short poll finds them.
            long_poll: Duration::from_millis(500),
            lock: Duration::from_secs(15),
            attempts: 3,
            retry_pause: Duration::from_secs(5),
            dependency_pause: Duration::from_millis(500),
            incident_sweep: Duration::from_secs(5),
            concurrency: 16,
        }
    }
}

/// The bridge: what its loops work with. One per process, shared.
pub struct Bridge {
    pub db: Db,
    pub encoder: Arc<Encoder>,
    pub engine: EngineClient,
    pub names: EngineNames,
    pub downstream: Downstream,
    pub wake: Wake,
    pub hints: Hints,
    pub timing: Timing,
}
