//! Named wake-ups inside one process: whoever commits work for a neighbour wakes it without a detour.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;

/// The relay's name.
pub const OUTBOX: &str = "outbox";

/// The process's wake-ups by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    by_name: Arc<Mutex<HashMap<&'static str, Arc<Notify>>>>,
}

impl Wake {
    /// What the worker of that name waits on.
    pub fn handle(&self, name: &'static str) -> Arc<Notify> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(name).or_default().clone()
    }

    /// Wakes the worker of that name, now or at its next wait.
    pub fn notify(&self, name: &'static str) {
        self.handle(name).notify_one();
    }
}
