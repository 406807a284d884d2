//! The world that the simulated relays live in: processes that crash and freeze, one database, one log. Every choice
//! comes from one seed. The laws are checked as things happen.

use crate::kafka::Broker;
use crate::store::Database;
use cpq_state_stores::lease::HeldShard;
use cpq_state_stores::outbox::{Pending, SHARDS};
use fastrand::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub struct Process {
    pub owner: String,
    pub dead: bool,
    /// Asked to end, and at it.
    pub ends: bool,
    frozen_until: Instant,
    pub woken: Arc<Notify>,
    pub stop: CancellationToken,
    pub task: Option<AbortHandle>,
}

/// A relay's transaction that is open in the database.
pub struct Open {
    pub process: usize,
    pub locks: BTreeSet<i16>,
    pub seen: Instant,
}

/// A row that was committed, whatever became of it since.
pub struct Fact {
    pub row: Pending,
    /// The how manieth to be committed.
    pub nth: u64,
    pub published: bool,
}

/// What is wrong with a row's message, until an operator has seen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sickness {
    /// The client takes no message so large.
    RefusedAtOnce,
    /// The broker takes no batch with a message so large.
    RefusedByBroker,
}

pub struct Inner {
    pub rng: Rng,
    pub faults: bool,
    pub processes: Vec<Process>,
    pub database: Database,
    pub open: BTreeMap<u64, Open>,
    pub next_transaction: u64,
    pub broker: Broker,
    pub facts: BTreeMap<i64, Fact>,
    pub sick: BTreeMap<i64, Sickness>,
    pub landed: BTreeMap<&'static str, u64>,
    pub trace: Vec<String>,
    pub failure: Option<String>,
    begun: Instant,
}

pub struct World(Mutex<Inner>);

impl World {
    pub fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self(Mutex::new(Inner {
            rng: Rng::with_seed(seed),
            faults: true,
            processes: Vec::new(),
            database: Database::new(SHARDS, now),
            open: BTreeMap::new(),
            next_transaction: 0,
            broker: Broker::new(now),
            facts: BTreeMap::new(),
            sick: BTreeMap::new(),
            landed: BTreeMap::new(),
            trace: Vec::new(),
            failure: None,
            begun: now,
        }))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// A moment passes, now and then a longer one; for a frozen process until it goes on, for a dead one for ever.
    pub async fn moment(&self, process: usize) {
        let millis = {
            let mut world = self.lock();
            if world.chance(30) { world.rng.u64(10..150) } else { world.rng.u64(0..6) }
        };
        sleep(Duration::from_millis(millis)).await;
        loop {
            let until = {
                let world = self.lock();
                let process = &world.processes[process];
                if process.dead { None } else { Some(process.frozen_until) }
            };
            match until {
                None => std::future::pending().await,
                Some(until) if until > Instant::now() => sleep_until(until).await,
                Some(_) => return,
            }
        }
    }

    pub async fn pause(&self, millis: std::ops::Range<u64>) {
        let millis = self.lock().rng.u64(millis);
        sleep(Duration::from_millis(millis)).await;
    }
}

impl Inner {
    pub fn say(&mut self, what: impl Display) {
        let at = self.begun.elapsed().as_millis();
        self.trace.push(format!("{at:>7} ms  {what}"));
    }

    pub fn landed(&mut self, fault: &'static str, process: usize) {
        *self.landed.entry(fault).or_default() += 1;
        self.say(format_args!("[{process}] {fault}"));
    }

    pub fn break_law(&mut self, law: String) {
        self.say(format_args!("BROKEN: {law}"));
        self.failure.get_or_insert(law);
    }

    /// True so many times in a thousand, while faults happen.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.faults && self.rng.u32(0..1000) < per_mille
    }

    pub fn spawn(&mut self) -> usize {
        let process = self.processes.len();
        self.processes.push(Process {
            owner: format!("relay-{process}"),
            dead: false,
            ends: false,
            frozen_until: Instant::now(),
            woken: Arc::new(Notify::new()),
            stop: CancellationToken::new(),
            task: None,
        });
        self.say(format_args!("[{process}] starts"));
        process
    }

    /// The process is no more; the database ends its transactions.
    pub fn kill(&mut self, process: usize) {
        self.say(format_args!("[{process}] dies"));
        self.processes[process].dead = true;
        if let Some(task) = &self.processes[process].task {
            task.abort();
        }
        self.open.retain(|_, open| open.process != process);
    }

    pub fn living(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|process| !self.processes[*process].dead).collect()
    }

    pub fn freeze(&mut self, process: usize, millis: u64) {
        self.say(format_args!("[{process}] stands still for {millis} ms"));
        self.processes[process].frozen_until = Instant::now() + Duration::from_millis(millis);
    }

    /// A message has come to its topic: the order of its key must hold, and a repeat must be the same.
    pub fn publish(&mut self, process: usize, row: &Pending) {
        let Some(fact) = self.facts.get_mut(&row.id) else {
            return self.break_law(format!("{} was never committed and is on its topic", row.id));
        };
        let (was, nth) = (&fact.row, fact.nth);
        let same = (&was.topic, &was.message_key, &was.headers, &was.value);
        if same != (&row.topic, &row.message_key, &row.headers, &row.value) {
            return self.break_law(format!("{} came to its topic as {row:?}", row.id));
        }
        if std::mem::replace(&mut fact.published, true) {
            return self.landed("repeat", process);
        }
        self.say(format_args!("[{process}] {} of {} is on {}", row.id, row.message_key, row.topic));
        // What was committed before it, with a smaller number, could be seen wherever it was seen.
        let of_key = |fact: &Fact| fact.row.message_key == row.message_key && fact.row.topic == row.topic;
        let before = self.facts.range(..row.id).find(|(_, fact)| of_key(fact) && fact.nth < nth && !fact.published);
        if let Some(id) = before.map(|(id, _)| *id) {
            self.break_law(format!("{} of {} overtakes {id} on {}", row.id, row.message_key, row.topic));
        }
    }

    /// A relay takes a row out of the outbox: it must hold the row's shard, and the row be on its topic.
    pub fn remove(&mut self, process: usize, held: &[HeldShard], id: i64) {
        let Some(row) = self.database.outbox.remove(&id) else { return };
        let (owner, lease) = (&self.processes[process].owner, &self.database.leases[row.shard as usize]);
        let is_held = held.iter().any(|held| held.shard == row.shard && held.epoch == lease.epoch);
        if lease.owner.as_ref() != Some(owner) || !is_held {
            self.break_law(format!("{owner} marks {id} of shard {}, which it has lost", row.shard));
        } else if !self.facts[&id].published {
            self.break_law(format!("{owner} marks {id}, which is on no topic"));
        }
    }
}
