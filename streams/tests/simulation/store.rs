//! The relay's store in memory, by the rules of the real one: a statement sees what is committed and knows which
//! transactions run, leases are rows that are locked until their transaction ends and fenced by epochs, a commit may
//! fail, or succeed without saying so.

use crate::world::{Inner, Open, World};
use cpq_state_stores::StoreError;
use cpq_state_stores::lease::HeldShard;
use cpq_state_stores::outbox::{Backlog, Claim, Claimed, Pending, Snapshot};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, MutexGuard},
    time::Duration,
};
use streams::relay::{Store, StoreTx};
use tokio::time::Instant;

/// As the real one's settings.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default)]
pub struct Lease {
    pub owner: Option<String>,
    pub epoch: i64,
    expires: Option<Instant>,
}

/// What is committed.
pub struct Database {
    pub outbox: BTreeMap<i64, Pending>,
    pub leases: Vec<Lease>,
    instances: BTreeMap<String, Instant>,
    /// What names each parking, by topic and key.
    pub parked: BTreeMap<(String, String), u64>,
    last_parking: u64,
    pub next_row: i64,
    /// The writers' transactions.
    pub next_writer: u64,
    pub running: BTreeSet<u64>,
    /// No statement of a relay succeeds until then.
    pub away_until: Instant,
}

impl Database {
    pub fn new(shards: i16, now: Instant) -> Self {
        Self {
            outbox: BTreeMap::new(),
            leases: vec![Lease::default(); shards as usize],
            instances: BTreeMap::new(),
            parked: BTreeMap::new(),
            last_parking: 0,
            next_row: 1,
            next_writer: 3,
            running: BTreeSet::new(),
            away_until: now,
        }
    }

    fn snapshot(&self) -> Snapshot {
        let running: Vec<u64> = self.running.iter().copied().collect();
        Snapshot { xmin: running.first().copied().unwrap_or(self.next_writer), xmax: self.next_writer, running }
    }

    /// As the statement of the same name in `state-stores`.
    fn claim(&self, claim: &Claim<'_>) -> Claimed {
        let one_has_ended = claim.holders.iter().any(|holder| !self.running.contains(holder));
        let floor = if one_has_ended { claim.low_water } else { claim.recent };
        let (shards, in_hand): (BTreeSet<_>, BTreeSet<_>) =
            (claim.shards.iter().collect(), claim.in_hand.iter().collect());
        let mut bytes_before = 0;
        let rows = self.outbox.range(floor + 1..).filter(|(id, row)| {
            shards.contains(&row.shard)
                && !in_hand.contains(id)
                && !claim.without_topics.contains(&row.topic)
                && !self.parked.contains_key(&(row.topic.clone(), row.message_key.clone()))
        });
        let rows = rows.take(claim.max_rows as usize).take_while(|(_, row)| {
            let fits = bytes_before < claim.max_bytes;
            bytes_before += row.value.len() as i64;
            fits
        });
        let rows = rows.map(|(_, row)| row.clone()).collect();
        Claimed { snapshot: self.snapshot(), parked: format!("{:?}", self.parked.values()), rows }
    }
}

#[derive(Clone)]
pub struct Memory {
    pub world: Arc<World>,
    pub process: usize,
}

type Answer<T> = Result<T, StoreError>;

fn lost_connection() -> StoreError {
    StoreError::Transient(sqlx::Error::WorkerCrashed)
}

impl Memory {
    /// A statement comes to the database; it may fail there, as `fault`.
    async fn statement(&self, fault: &'static str) -> Answer<MutexGuard<'_, Inner>> {
        self.world.moment(self.process).await;
        let mut world = self.world.lock();
        if world.database.away_until > Instant::now() {
            world.landed("database away", self.process);
            return Err(lost_connection());
        }
        if world.chance(15) {
            world.landed(fault, self.process);
            return Err(lost_connection());
        }
        Ok(world)
    }
}

impl Store for Memory {
    type Tx = MemoryTx;

    async fn begin_system(&self) -> Answer<MemoryTx> {
        let mut world = self.statement("no connection").await?;
        world.next_transaction += 1;
        let id = world.next_transaction;
        world.open.insert(id, Open { process: self.process, locks: BTreeSet::new(), seen: Instant::now() });
        Ok(MemoryTx { store: self.clone(), id, leases: BTreeMap::new(), instance: None, park: None })
    }

    async fn claim(&self, claim: &Claim<'_>) -> Answer<Claimed> {
        let claimed = self.statement("claim failed").await?.database.claim(claim);
        self.world.moment(self.process).await;
        Ok(claimed)
    }

    async fn mark(&self, owner: &str, held: &[HeldShard], ids: &[i64]) -> Answer<u64> {
        let marked = {
            let mut world = self.statement("mark failed").await?;
            if world.chance(15) {
                world.landed("crash before a mark", self.process);
                world.kill(self.process);
            }
            let is_dead = world.processes[self.process].dead;
            let mine: BTreeSet<i16> = held
                .iter()
                .filter(|held| {
                    let lease = &world.database.leases[held.shard as usize];
                    lease.epoch == held.epoch && lease.owner.as_deref() == Some(owner)
                })
                .map(|held| held.shard)
                .collect();
            let is_mine = |id: &&i64| world.database.outbox.get(id).is_some_and(|row| mine.contains(&row.shard));
            let marked: Vec<i64> = if is_dead { Vec::new() } else { ids.iter().filter(is_mine).copied().collect() };
            marked.iter().for_each(|id| world.remove(self.process, held, *id));
            if !is_dead && marked.len() < ids.len() {
                world.landed("rows not marked", self.process);
            }
            if world.chance(15) {
                world.landed("mark done, answer lost", self.process);
                return Err(lost_connection());
            }
            if !is_dead && world.chance(10) {
                world.landed("crash after a mark", self.process);
                world.kill(self.process);
            }
            marked.len() as u64
        };
        self.world.moment(self.process).await;
        Ok(marked)
    }
}

pub struct MemoryTx {
    store: Memory,
    id: u64,
    /// As this transaction leaves them.
    leases: BTreeMap<i16, Lease>,
    instance: Option<(String, Option<Instant>)>,
    park: Option<(HeldShard, String, String)>,
}

impl Drop for MemoryTx {
    fn drop(&mut self) {
        self.store.world.lock().open.remove(&self.id);
    }
}

impl MemoryTx {
    /// The database hears of this transaction, if it still knows it.
    fn heard(&self) -> Answer<MutexGuard<'_, Inner>> {
        let mut world = self.store.world.lock();
        match world.open.get_mut(&self.id) {
            Some(open) if open.seen.elapsed() < IDLE_IN_TRANSACTION_TIMEOUT => open.seen = Instant::now(),
            _ => {
                world.open.remove(&self.id);
                world.landed("transaction was ended", self.store.process);
                return Err(lost_connection());
            }
        }
        Ok(world)
    }

    async fn statement(&self) -> Answer<MutexGuard<'_, Inner>> {
        drop(self.store.statement("statement failed").await?);
        self.heard()
    }

    /// Whether somebody else holds the row of a lease.
    fn is_locked(&self, world: &mut Inner, shard: i16) -> bool {
        let holder = world.open.iter().find(|(id, open)| **id != self.id && open.locks.contains(&shard));
        match holder.map(|(id, open)| (*id, open.seen)) {
            Some((_, seen)) if seen.elapsed() < IDLE_IN_TRANSACTION_TIMEOUT => true,
            Some((idle, _)) => {
                world.open.remove(&idle);
                false
            }
            None => false,
        }
    }

    /// Holds the row of a lease until the transaction ends, once nobody else does; the lease as it is then.
    async fn lock(&self, shard: i16) -> Answer<Lease> {
        let asked = Instant::now();
        loop {
            {
                let mut world = self.heard()?;
                if !self.is_locked(&mut world, shard) {
                    world.open.get_mut(&self.id).unwrap().locks.insert(shard);
                    let committed = || world.database.leases[shard as usize].clone();
                    return Ok(self.leases.get(&shard).cloned().unwrap_or_else(committed));
                }
                if asked.elapsed() >= LOCK_TIMEOUT {
                    world.landed("lock timeout", self.store.process);
                    world.open.remove(&self.id);
                    return Err(lost_connection());
                }
            }
            self.store.world.pause(1..20).await;
        }
    }

    /// Those of the leases that are the owner's, as `changed` leaves them.
    async fn update(
        &mut self,
        owner: &str,
        held: &[HeldShard],
        changed: impl Fn(Lease) -> Lease,
    ) -> Answer<Vec<HeldShard>> {
        let is_mine =
            |lease: &Lease, held: &HeldShard| lease.epoch == held.epoch && lease.owner.as_deref() == Some(owner);
        // Only rows that fit as the statement begins are waited for.
        let fits: Vec<HeldShard> = {
            let world = self.statement().await?;
            held.iter().filter(|held| is_mine(&world.database.leases[held.shard as usize], held)).copied().collect()
        };
        let mut mine = Vec::new();
        for held in fits {
            let lease = self.lock(held.shard).await?;
            if is_mine(&lease, &held) {
                self.leases.insert(held.shard, changed(lease));
                mine.push(held);
            }
        }
        Ok(mine)
    }
}

impl StoreTx for MemoryTx {
    async fn announce(&mut self, owner: &str, lease: Duration) -> Answer<usize> {
        let now = Instant::now();
        let others = {
            let world = self.statement().await?;
            world.database.instances.iter().filter(|(name, until)| *name != owner && **until > now).count()
        };
        self.instance = Some((owner.to_owned(), Some(Instant::now() + lease)));
        Ok(others + 1)
    }

    async fn renew(&mut self, owner: &str, held: &[HeldShard], lease: Duration) -> Answer<Vec<HeldShard>> {
        self.update(owner, held, |row| Lease { expires: Some(Instant::now() + lease), ..row }).await
    }

    async fn take(&mut self, owner: &str, count: usize, lease: Duration) -> Answer<Vec<HeldShard>> {
        drop(self.statement().await?);
        let now = Instant::now();
        let mut taken = Vec::new();
        let mut world = self.heard()?;
        for shard in 0..world.database.leases.len() as i16 {
            let row = world.database.leases[shard as usize].clone();
            let is_free = row.expires.is_none_or(|expires| expires <= now) && !self.leases.contains_key(&shard);
            if taken.len() < count && is_free && !self.is_locked(&mut world, shard) {
                world.open.get_mut(&self.id).unwrap().locks.insert(shard);
                taken.push(HeldShard { shard, epoch: row.epoch + 1 });
            }
        }
        drop(world);
        let mine = |epoch| Lease { owner: Some(owner.to_owned()), epoch, expires: Some(now + lease) };
        self.leases.extend(taken.iter().map(|held| (held.shard, mine(held.epoch))));
        Ok(taken)
    }

    async fn release(&mut self, owner: &str, held: &[HeldShard]) -> Answer<()> {
        self.update(owner, held, |row| Lease { owner: None, expires: None, ..row }).await.map(drop)
    }

    async fn leave(&mut self, owner: &str) -> Answer<()> {
        drop(self.statement().await?);
        self.instance = Some((owner.to_owned(), None));
        Ok(())
    }

    async fn holds(&mut self, owner: &str, held: HeldShard) -> Answer<bool> {
        let mine = self.update(owner, &[held], |row| row).await?;
        Ok(!mine.is_empty())
    }

    async fn park_key(&mut self, topic: &str, message_key: &str, _tenant_id: &str, _cause: &str) -> Answer<bool> {
        let at = (topic.to_owned(), message_key.to_owned());
        let is_new = !self.statement().await?.database.parked.contains_key(&at);
        // Parking is the only write of its transaction; the shard is the one that was asked about before.
        let held = self.leases.iter().next().map(|(shard, lease)| HeldShard { shard: *shard, epoch: lease.epoch });
        self.park = held.map(|held| (held, at.0, at.1));
        Ok(is_new)
    }

    async fn backlog(&mut self) -> Answer<Backlog> {
        let world = self.statement().await?;
        let (rows, parked_keys) = (world.database.outbox.len() as i64, world.database.parked.len() as i64);
        Ok(Backlog { rows, oldest_seconds: 0.0, parked_keys })
    }

    async fn commit(self) -> Answer<()> {
        let (world, process) = (&self.store.world, self.store.process);
        world.moment(process).await;
        {
            let mut inner = self.heard()?;
            if inner.chance(10) {
                inner.landed("commit refused", process);
                return Err(lost_connection());
            }
            if inner.chance(8) {
                inner.landed("commit unknown, and not done", process);
                return Err(lost_connection());
            }
            inner.commit(&self);
            if inner.chance(10) {
                inner.landed("commit unknown, and done", process);
                return Err(lost_connection());
            }
        }
        world.moment(process).await;
        Ok(())
    }
}

impl Inner {
    /// Makes a transaction last, and looks whether the laws hold.
    fn commit(&mut self, tx: &MemoryTx) {
        let process = tx.store.process;
        for (shard, lease) in &tx.leases {
            let before = self.database.leases[*shard as usize].clone();
            if before.epoch != lease.epoch {
                let (now, owner) = (Instant::now(), &self.processes[process].owner);
                if before.expires.is_some_and(|expires| expires > now) {
                    self.break_law(format!("{owner} takes shard {shard}, which {before:?} holds"));
                }
            }
            self.database.leases[*shard as usize] = lease.clone();
        }
        if let Some((owner, until)) = &tx.instance {
            let now = Instant::now();
            self.database.instances.retain(|_, until| *until > now);
            match until {
                Some(until) => drop(self.database.instances.insert(owner.clone(), *until)),
                None => drop(self.database.instances.remove(owner)),
            }
        }
        if let Some((held, topic, key)) = &tx.park {
            let lease = &self.database.leases[held.shard as usize];
            if lease.owner.as_ref() != Some(&self.processes[process].owner) || lease.epoch != held.epoch {
                self.break_law(format!("relay {process} parks {key} of shard {}, which it has lost", held.shard));
            }
            let is_sick =
                |id| self.facts.get(id).is_some_and(|fact| (&fact.row.topic, &fact.row.message_key) == (topic, key));
            if self.faults && !self.sick.keys().any(is_sick) {
                self.break_law(format!("{key} of {topic} is parked, and nothing is wrong with it"));
            }
            self.database.last_parking += 1;
            let parking = self.database.last_parking;
            self.landed("key parked", process);
            self.say(format_args!("{key} of {topic} is parked"));
            self.database.parked.entry((topic.clone(), key.clone())).or_insert(parking);
        }
        self.open.remove(&tx.id);
    }
}
