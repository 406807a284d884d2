//! Waiting for what becomes of commands. Whoever waits is in one registry; one task asks Postgres for all of
//! them together, at once for those that Redis hints at, and ever less often for the others. Postgres is the
//! truth; without hints the answers come a few milliseconds later.

use cpq_domain::ids::{CommandId, TenantId};
use cpq_state_stores::Db;
use cpq_state_stores::commands::{self, Outcome};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast, oneshot};
use tracing::warn;

/// The first look at a command, after it was accepted.
const FIRST_LOOK: Duration = Duration::from_millis(5);
/// Looks at one command are at most this far apart.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Each pause is this many times the one before.
const GROWTH: u32 = 2;
/// Commands asked for in one query.
const MAX_ASKED: usize = 1000;
/// Pause after the database did not answer.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);

type Answer = Arc<Outcome>;

struct Waiting {
    tenant: TenantId,
    answers: Vec<oneshot::Sender<Answer>>,
    next_look: Instant,
    pause: Duration,
}

#[derive(Default)]
struct Registry {
    waiting: Mutex<HashMap<CommandId, Waiting>>,
    changed: Notify,
}

/// The commands that somebody waits for. Cheap to clone.
#[derive(Clone)]
pub struct Outcomes {
    registry: Arc<Registry>,
}

impl Outcomes {
    /// Starts the task that looks, in the current runtime.
    pub fn start(db: Db, hints: broadcast::Receiver<CommandId>) -> Self {
        let registry = Arc::new(Registry::default());
        tokio::spawn(look(db, registry.clone()));
        tokio::spawn(hear(hints, registry.clone()));
        Self { registry }
    }

    /// The command's outcome, if there is one before the time is over.
    pub async fn wait(&self, tenant: &TenantId, command: &CommandId, time: Duration) -> Option<Answer> {
        if time.is_zero() {
            return None;
        }
        let answer = self.registry.enter(tenant, command);
        tokio::time::timeout(time, answer).await.ok()?.ok()
    }
}

impl Registry {
    fn enter(&self, tenant: &TenantId, command: &CommandId) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.with(|waiting| {
            let next_look = Instant::now() + FIRST_LOOK;
            let entry = waiting.entry(command.clone()).or_insert_with(|| Waiting {
                tenant: tenant.clone(),
                answers: Vec::new(),
                next_look,
                pause: FIRST_LOOK,
            });
            entry.next_look = entry.next_look.min(next_look);
            entry.answers.push(sender);
        });
        self.changed.notify_one();
        receiver
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<CommandId, Waiting>) -> T) -> T {
        work(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A hint: look at this command now.
    fn hurry(&self, command: &CommandId) {
        let known = self.with(|waiting| match waiting.get_mut(command) {
            Some(entry) => {
                entry.next_look = Instant::now();
                true
            }
            None => false,
        });
        if known {
            self.changed.notify_one();
        }
    }

    /// The commands whose time for a look has come, and when the next one's comes. Those that nobody waits for
    /// any more are left behind.
    fn due(&self) -> (Vec<(TenantId, CommandId)>, Option<Instant>) {
        let now = Instant::now();
        self.with(|waiting| {
            waiting.retain(|_, entry| {
                entry.answers.retain(|answer| !answer.is_closed());
                !entry.answers.is_empty()
            });
            let mut due = Vec::new();
            for (command, entry) in waiting.iter_mut().filter(|(_, entry)| entry.next_look <= now).take(MAX_ASKED) {
                entry.pause = (entry.pause * GROWTH).min(LONGEST_PAUSE);
                entry.next_look = now + entry.pause;
                due.push((entry.tenant.clone(), command.clone()));
            }
            (due, waiting.values().map(|entry| entry.next_look).min())
        })
    }

    fn settle(&self, outcome: Outcome) {
        let entry = self.with(|waiting| waiting.remove(&outcome.command_id));
        let outcome = Arc::new(outcome);
        for answer in entry.into_iter().flat_map(|entry| entry.answers) {
            let _ = answer.send(outcome.clone());
        }
    }
}

async fn look(db: Db, registry: Arc<Registry>) {
    loop {
        let (due, next) = registry.due();
        if due.is_empty() {
            match next {
                None => registry.changed.notified().await,
                Some(at) => {
                    let _ = tokio::time::timeout_at(at.into(), registry.changed.notified()).await;
                }
            }
            continue;
        }
        match commands::outcomes(&db, &due).await {
            Ok(outcomes) => outcomes.into_iter().for_each(|outcome| registry.settle(outcome)),
            Err(error) => {
                warn!(%error, commands = due.len(), "outcomes cannot be read now");
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }
}

async fn hear(mut hints: broadcast::Receiver<CommandId>, registry: Arc<Registry>) {
    loop {
        match hints.recv().await {
            Ok(command) => registry.hurry(&command),
            // The looks of the other task are the guarantee.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpq_domain::command::Applied;
    use cpq_domain::moment::Moment;

    fn outcome(command: &str) -> Outcome {
        Outcome {
            command_id: command.into(),
            aggregate_id: "Q-2026-000001".to_owned(),
            revision: Some(1),
            sequence: Some(1),
            result: Ok(Applied::default()),
            decided_at: Moment::parse("2026-01-01T00:00:00Z").unwrap(),
        }
    }

    #[tokio::test]
    async fn all_who_wait_for_a_command_get_its_outcome() {
        let registry = Registry::default();
        let (first, second) = (registry.enter(&"t".into(), &"c".into()), registry.enter(&"t".into(), &"c".into()));
        registry.settle(outcome("c"));
        assert_eq!(*first.await.unwrap(), outcome("c"));
        assert_eq!(*second.await.unwrap(), outcome("c"));
    }

    #[tokio::test]
    async fn a_hint_brings_the_next_look_forward() {
        let registry = Registry::default();
        let _waiting = registry.enter(&"t".into(), &"c".into());
        assert!(registry.due().0.is_empty());
        registry.hurry(&"c".into());
        assert_eq!(registry.due().0.len(), 1);
        assert!(registry.due().0.is_empty());
    }

    #[tokio::test]
    async fn who_has_left_is_forgotten() {
        let registry = Registry::default();
        drop(registry.enter(&"t".into(), &"c".into()));
        assert_eq!(registry.due(), (Vec::new(), None));
    }
}
