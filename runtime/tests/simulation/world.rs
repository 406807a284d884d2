//! The world that the simulated consumers live in: processes that crash and freeze, a log with its group, and what
//! was committed. Every choice comes from one seed. The laws are checked as things happen.

use crate::store::Database;
use fastrand::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};

pub const TOPIC: &str = "simulated.topic";
pub const CONSUMER: &str = "simulated";
pub const PARTITIONS: i32 = 3;
/// As the broker does: a member that says nothing for so long is out.
const SESSION: Duration = cpq_runtime::consumer::SESSION_TIMEOUT;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sickness {
    /// Cannot be read, until an operator has seen to it.
    Undecodable,
    /// Cannot be applied, until an operator has seen to it.
    Poison,
    /// The database fails on it so many times.
    Transient(u32),
    /// The database refuses it so many times.
    Refused(u32),
    /// Its schema is not at hand so many times.
    Registry(u32),
    /// It has no effect.
    Idle,
}

pub struct Process {
    pub dead: bool,
    frozen_from: Instant,
    frozen_until: Instant,
    /// It hears nothing of rebalances so long, and goes on as before.
    pub deaf_until: Instant,
}

/// The group as its coordinator sees it.
#[derive(Default)]
pub struct Group {
    pub members: BTreeSet<usize>,
    pub owner: BTreeMap<i32, usize>,
    pub target: BTreeMap<i32, usize>,
    /// What Kafka was told.
    pub committed: BTreeMap<i32, i64>,
}

/// A transaction that is open in the database.
pub struct Open {
    pub process: usize,
    pub seen: Instant,
    pub locks: BTreeSet<i32>,
}

pub struct Inner {
    pub rng: Rng,
    pub faults: bool,
    pub processes: Vec<Process>,
    pub group: Group,
    pub log: BTreeMap<i32, Vec<String>>,
    pub sick: BTreeMap<(i32, i64), Sickness>,
    pub database: Database,
    pub open: BTreeMap<u64, Open>,
    pub next_transaction: u64,
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
            group: Group::default(),
            log: (0..PARTITIONS).map(|partition| (partition, Vec::new())).collect(),
            sick: BTreeMap::new(),
            database: Database::default(),
            open: BTreeMap::new(),
            next_transaction: 0,
            landed: BTreeMap::new(),
            trace: Vec::new(),
            failure: None,
            begun: now,
        }))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// A moment passes, for this process longer if it is frozen; for a dead one it never ends.
    pub async fn moment(&self, process: usize) {
        let millis = self.lock().rng.u64(0..6);
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
        let now = Instant::now();
        self.processes.push(Process { dead: false, frozen_from: now, frozen_until: now, deaf_until: now });
        self.processes.len() - 1
    }

    /// The process is no more; the database ends its transactions.
    pub fn kill(&mut self, process: usize) {
        self.processes[process].dead = true;
        self.processes[process].frozen_from = Instant::now();
        self.open.retain(|_, open| open.process != process);
        self.say(format_args!("[{process}] dies"));
    }

    pub fn living(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|process| !self.processes[*process].dead).collect()
    }

    pub fn freeze(&mut self, process: usize, millis: u64) {
        let in_transaction = self.open.values().any(|open| open.process == process);
        self.landed(if in_transaction { "freeze in a transaction" } else { "freeze" }, process);
        let now = Instant::now();
        self.processes[process].frozen_from = now;
        self.processes[process].frozen_until = now + Duration::from_millis(millis);
    }

    pub fn join(&mut self, process: usize) {
        self.group.members.insert(process);
        self.rebalance(false);
    }

    pub fn leave(&mut self, process: usize) {
        self.group.members.remove(&process);
        self.group.owner.retain(|_, owner| *owner != process);
        self.rebalance(false);
    }

    /// Puts members out that the coordinator has not heard of for too long.
    pub fn expire_sessions(&mut self) {
        let now = Instant::now();
        let silent = |p: &Process| (p.dead || p.frozen_until > now) && p.frozen_from + SESSION <= now;
        let out: Vec<usize> = self.group.members.iter().copied().filter(|m| silent(&self.processes[*m])).collect();
        for member in out {
            self.landed(
                if self.processes[member].dead { "dead member put out" } else { "frozen member put out" },
                member,
            );
            self.leave(member);
        }
    }

    /// Gives partitions without a living target, or `all`, to members of the group.
    pub fn rebalance(&mut self, all: bool) {
        let members: Vec<usize> = self.group.members.iter().copied().collect();
        for partition in 0..PARTITIONS {
            let stays = self.group.target.get(&partition).is_some_and(|t| !all && self.group.members.contains(t));
            if !stays && !members.is_empty() {
                let target = members[self.rng.usize(0..members.len())];
                self.group.target.insert(partition, target);
            }
        }
    }

    /// What the client of a consumer does from time to time: tells Kafka how far it is.
    pub fn commit_offset(&mut self, process: usize, partition: i32, offset: i64) {
        let known = self.database.positions.get(&partition).map_or(0, |position| position.next_offset);
        if offset > known {
            self.break_law(format!("Kafka is told {offset} of partition {partition}, the database knows {known}"));
        }
        // The broker takes it from the present owner only.
        if self.group.owner.get(&partition) == Some(&process) {
            self.group.committed.insert(partition, offset);
        }
    }
}
