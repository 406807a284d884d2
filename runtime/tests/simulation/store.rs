//! The consumer's store in memory, by the rules of the real one: transactions are atomic and read what is committed,
//! a position's row is locked until its transaction ends and fenced by its epoch, a commit may fail, or succeed
//! without saying so.

use crate::world::{CONSUMER, Inner, Open, TOPIC, World};
use cpq_domain::ids::TenantId;
use cpq_runtime::consumer::{Store, StoreTx};
use cpq_state_stores::StoreError;
use cpq_state_stores::outbox::OutboxRow;
use cpq_state_stores::parked::ParkedRecord;
use cpq_state_stores::parked::release::{Due, Waiting};
use cpq_state_stores::positions::{Advance, Assigned, Fence, Move, Position};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, MutexGuard},
    time::Duration,
};
use tokio::time::Instant;

/// As the real one's settings.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// What is committed.
#[derive(Clone, Default)]
pub struct Database {
    pub positions: BTreeMap<i32, Position>,
    pub keys: BTreeMap<String, ParkedKey>,
    pub parked: BTreeMap<(i32, i64), ParkedRecord>,
    /// Offsets by key, in the order of their effects.
    pub effects: BTreeMap<String, Vec<i64>>,
    /// Partition and offset of the copies for the dead-letter topic.
    pub copies: Vec<String>,
    last_id: u64,
}

#[derive(Clone)]
pub struct ParkedKey {
    pub id: String,
    /// Whether an operator has let it go, and when.
    pub let_go: Option<Instant>,
}

impl Database {
    fn park(&mut self, key: &str, let_go: Option<Instant>) {
        self.last_id += 1;
        let id = self.last_id.to_string();
        self.keys.entry(key.to_owned()).or_insert(ParkedKey { id, let_go });
    }
    fn first_of(&self, key: &str) -> Option<(i32, i64)> {
        self.parked.iter().find(|(_, record)| record.message_key == key).map(|(at, _)| *at)
    }
    fn key_of(&self, id: &str) -> Option<&str> {
        self.keys.iter().find(|(_, key)| key.id == id).map(|(name, _)| name.as_str())
    }
}

#[derive(Clone)]
pub struct Memory {
    pub world: Arc<World>,
    pub process: usize,
}

type Write = Box<dyn Fn(&mut Database) + Send + Sync>;

pub struct MemoryTx {
    world: Arc<World>,
    process: usize,
    id: u64,
    /// The partitions that it works on, and under which epochs.
    fences: Vec<(i32, i64)>,
    writes: Vec<Write>,
}

type Answer<T> = Result<T, StoreError>;

pub fn lost_connection() -> StoreError {
    StoreError::Transient(sqlx::Error::WorkerCrashed)
}

impl Store for Memory {
    type Tx = MemoryTx;
    async fn begin(&self, _tenants: &[TenantId]) -> Answer<MemoryTx> {
        self.world.moment(self.process).await;
        let mut world = self.world.lock();
        if world.chance(5) {
            world.landed("no connection", self.process);
            return Err(lost_connection());
        }
        world.next_transaction += 1;
        let id = world.next_transaction;
        world.open.insert(id, Open { process: self.process, seen: Instant::now(), locks: BTreeSet::new() });
        Ok(MemoryTx { world: self.world.clone(), process: self.process, id, fences: Vec::new(), writes: Vec::new() })
    }
    async fn begin_system(&self) -> Answer<MemoryTx> {
        self.begin(&[]).await
    }
}

impl Drop for MemoryTx {
    fn drop(&mut self) {
        self.world.lock().open.remove(&self.id);
    }
}

impl MemoryTx {
    fn write(&mut self, write: impl Fn(&mut Database) + Send + Sync + 'static) {
        self.writes.push(Box::new(write));
    }

    /// The database hears of this transaction, if it still knows it.
    fn heard(&self) -> Answer<MutexGuard<'_, Inner>> {
        let mut world = self.world.lock();
        match world.open.get_mut(&self.id) {
            Some(open) if open.seen.elapsed() < IDLE_IN_TRANSACTION_TIMEOUT => open.seen = Instant::now(),
            _ => {
                world.open.remove(&self.id);
                world.landed("transaction was ended for being idle", self.process);
                return Err(lost_connection());
            }
        }
        Ok(world)
    }

    /// A statement begins.
    async fn statement(&self) -> Answer<MutexGuard<'_, Inner>> {
        self.world.moment(self.process).await;
        let mut world = self.heard()?;
        if world.chance(6) {
            world.landed("statement failed", self.process);
            world.open.remove(&self.id);
            return Err(lost_connection());
        }
        Ok(world)
    }

    /// Holds a position's row until the transaction ends.
    async fn row(&self, partition: i32) -> Answer<MutexGuard<'_, Inner>> {
        let asked = Instant::now();
        loop {
            {
                let mut world = self.heard()?;
                let holder = world.open.iter().find(|(id, open)| **id != self.id && open.locks.contains(&partition));
                match holder.map(|(id, open)| (*id, open.seen)) {
                    Some((_, seen)) if seen.elapsed() < IDLE_IN_TRANSACTION_TIMEOUT => {}
                    found => {
                        if let Some((idle, _)) = found {
                            world.open.remove(&idle);
                        }
                        world.open.get_mut(&self.id).unwrap().locks.insert(partition);
                        return Ok(world);
                    }
                }
                if asked.elapsed() >= LOCK_TIMEOUT {
                    world.landed("lock timeout", self.process);
                    world.open.remove(&self.id);
                    return Err(lost_connection());
                }
            }
            self.world.pause(1..20).await;
        }
    }

    fn fenced(mut world: MutexGuard<'_, Inner>, process: usize, fence: &Fence) -> StoreError {
        world.landed("fenced", process);
        StoreError::Fenced(format!("partition {} in epoch {}", fence.partition, fence.epoch))
    }

    /// An effect of a record, in this transaction.
    pub async fn effect(&mut self, key: &str, offset: i64) -> Answer<()> {
        drop(self.statement().await?);
        let key = key.to_owned();
        self.write(move |database| database.effects.entry(key.clone()).or_default().push(offset));
        Ok(())
    }
}

impl MemoryTx {
    async fn advance_one(&mut self, asked: &Move<'_>, parked: HashSet<String>) -> Answer<Advance> {
        let Move { fence, known, first_offset, next_offset, .. } = *asked;
        let partition = fence.partition;
        self.fences.push((partition, fence.epoch));
        let mut world = self.row(partition).await?;
        let stored = world.database.positions.get(&partition).filter(|p| p.epoch == fence.epoch);
        match stored.map(|position| position.next_offset) {
            None => Err(Self::fenced(world, self.process, fence)),
            Some(stored) if stored < known => {
                Err(StoreError::Corrupt(format!("{stored} is stored, {known} was committed")))
            }
            Some(stored) if stored <= first_offset => {
                drop(world);
                self.write(move |database| {
                    if let Some(position) = database.positions.get_mut(&partition) {
                        position.next_offset = next_offset;
                    }
                });
                Ok(Advance::Moved { parked })
            }
            Some(stored) if stored >= next_offset => {
                world.landed("batch was applied before", self.process);
                Ok(Advance::AlreadyApplied)
            }
            Some(stored) => {
                Err(StoreError::Corrupt(format!("{stored} is inside a batch from {first_offset} to {next_offset}")))
            }
        }
    }
}

impl StoreTx for MemoryTx {
    async fn take_over(&mut self, _consumer: &str, owner: &str, partitions: &[Assigned]) -> Answer<Vec<Position>> {
        drop(self.statement().await?);
        let mut taken = Vec::new();
        for Assigned { partition, first_offset, .. } in partitions {
            let world = self.row(*partition).await?;
            let before = world.database.positions.get(partition);
            taken.push(Position {
                topic: TOPIC.to_owned(),
                partition: *partition,
                next_offset: before.map_or(*first_offset, |position| position.next_offset),
                epoch: before.map_or(1, |position| position.epoch + 1),
            });
        }
        let (now, owner) = (taken.clone(), owner.to_owned());
        self.world.lock().say(format_args!("{owner} takes {now:?}"));
        self.write(move |database| database.positions.extend(now.iter().map(|p| (p.partition, p.clone()))));
        Ok(taken)
    }

    async fn advance(&mut self, moves: &[Move<'_>]) -> Answer<Vec<Advance>> {
        // One statement: parked keys as it saw them when it began, each row as it is once it is held.
        let parked: Vec<HashSet<String>> = {
            let mut world = self.statement().await?;
            if moves.len() > 1 {
                world.landed("several partitions in one transaction", self.process);
            }
            let of = |asked: &Move<'_>| {
                let parked = asked.keys.iter().filter(|key| world.database.keys.contains_key(**key));
                parked.map(|key| (*key).to_owned()).collect()
            };
            moves.iter().map(of).collect()
        };
        let mut advances = Vec::new();
        for (asked, parked) in moves.iter().zip(parked) {
            advances.push(self.advance_one(asked, parked).await?);
        }
        Ok(advances)
    }

    async fn park_key(
        &mut self,
        _consumer: &str,
        _topic: &str,
        message_key: &str,
        _tenant_id: Option<&str>,
        _cause: &str,
    ) -> Answer<bool> {
        let is_new = !self.statement().await?.database.keys.contains_key(message_key);
        let key = message_key.to_owned();
        self.write(move |database| database.park(&key, None));
        Ok(is_new)
    }

    async fn append_parked(&mut self, records: &[ParkedRecord]) -> Answer<()> {
        let mut world = self.statement().await?;
        if records.iter().any(|record| record.cause.starts_with("behind")) {
            world.landed("record came behind a parked one", self.process);
        } else {
            world.landed("record parked", self.process);
        }
        drop(world);
        let (records, now) = (records.to_vec(), Instant::now());
        self.write(move |database| {
            for record in &records {
                database.park(&record.message_key, Some(now));
                database.parked.entry((record.partition, record.offset)).or_insert_with(|| record.clone());
            }
        });
        Ok(())
    }

    async fn insert_outbox(&mut self, rows: &[OutboxRow]) -> Answer<()> {
        drop(self.statement().await?);
        let copies: Vec<String> = rows.iter().map(|row| row.message_id.clone()).collect();
        self.write(move |database| database.copies.extend(copies.iter().cloned()));
        Ok(())
    }

    async fn due_partitions(&mut self, _consumer: &str) -> Answer<Vec<(String, i32)>> {
        let world = self.statement().await?;
        let let_go = world.database.keys.iter().filter(|(_, key)| key.let_go.is_some());
        let due: BTreeSet<i32> = let_go.filter_map(|(key, _)| world.database.first_of(key)).map(|(p, _)| p).collect();
        Ok(due.into_iter().map(|partition| (TOPIC.to_owned(), partition)).collect())
    }

    async fn due(&mut self, fence: &Fence, max_records: i64, _max_bytes: i64) -> Answer<Option<Due>> {
        let world = self.statement().await?;
        let database = &world.database;
        let here = |key: &str| database.first_of(key).is_some_and(|(partition, _)| partition == fence.partition);
        let due = database.keys.iter().filter_map(|(name, key)| Some((key.let_go?, name, key)));
        let Some((_, name, key)) = due.filter(|(_, name, _)| here(name)).min_by_key(|(at, name, _)| (*at, *name))
        else {
            return Ok(None);
        };
        let records = database.parked.values().filter(|record| record.message_key == **name);
        let waiting = records.take(usize::try_from(max_records).unwrap()).map(|record| Waiting {
            offset: record.offset,
            tenant_id: record.tenant_id.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        });
        Ok(Some(Due { dead_letter_id: key.id.clone(), message_key: name.clone(), records: waiting.collect() }))
    }

    async fn hold(&mut self, fence: &Fence, dead_letter_id: &str) -> Answer<bool> {
        self.fences.push((fence.partition, fence.epoch));
        drop(self.statement().await?);
        let world = self.row(fence.partition).await?;
        if world.database.positions.get(&fence.partition).is_none_or(|position| position.epoch != fence.epoch) {
            return Err(Self::fenced(world, self.process, fence));
        }
        Ok(world.database.keys.values().any(|key| key.id == dead_letter_id && key.let_go.is_some()))
    }

    async fn released(&mut self, fence: &Fence, due: &Due, offsets: &[i64]) -> Answer<bool> {
        self.statement().await?.landed("parked records applied", self.process);
        let (partition, offsets, id) = (fence.partition, offsets.to_vec(), due.dead_letter_id.clone());
        let of_key = |database: &Database, id: &str| database.key_of(id).map(str::to_owned);
        self.write(move |database| {
            offsets.iter().for_each(|offset| drop(database.parked.remove(&(partition, *offset))));
            if let Some(key) = of_key(database, &id).filter(|key| database.first_of(key).is_none()) {
                database.keys.remove(&key);
            }
        });
        let mut seen = self.world.lock().database.clone();
        self.writes.iter().for_each(|write| write(&mut seen));
        Ok(seen.key_of(&due.dead_letter_id).is_none())
    }

    async fn failed(&mut self, _fence: &Fence, due: &Due, _offset: i64, _cause: &str) -> Answer<()> {
        self.statement().await?.landed("record parked again", self.process);
        let id = due.dead_letter_id.clone();
        self.write(move |database| {
            database.keys.values_mut().filter(|key| key.id == id).for_each(|key| key.let_go = None);
        });
        Ok(())
    }

    async fn commit(self) -> Answer<()> {
        self.world.moment(self.process).await;
        {
            let mut world = self.heard()?;
            if world.chance(15) {
                world.landed("commit refused", self.process);
                return Err(lost_connection());
            }
            if world.chance(10) {
                world.landed("commit unknown, and not done", self.process);
                return Err(lost_connection());
            }
            let dies_before = world.chance(8);
            if dies_before {
                world.landed("crash before commit", self.process);
                world.kill(self.process);
            } else {
                world.commit(&self);
            }
            if world.chance(10) {
                world.landed("commit unknown, and done", self.process);
                return Err(lost_connection());
            }
            if !dies_before && world.chance(8) {
                world.landed("crash after commit", self.process);
                world.kill(self.process);
            }
        }
        self.world.moment(self.process).await;
        Ok(())
    }
}

impl Inner {
    /// Makes a transaction last, and looks whether the laws hold.
    fn commit(&mut self, tx: &MemoryTx) {
        for (partition, epoch) in &tx.fences {
            if let Some(newest) = self.database.positions.get(partition).map(|p| p.epoch).filter(|e| e != epoch) {
                self.break_law(format!("epoch {epoch} writes in partition {partition}, where it is {newest}"));
            }
        }
        let before = self.database.effects.clone();
        tx.writes.iter().for_each(|write| write(&mut self.database));
        self.open.remove(&tx.id);
        let mut effects = Vec::new();
        for (key, offsets) in &self.database.effects {
            let known = before.get(key).map_or(0, Vec::len);
            effects.extend((known..offsets.len()).map(|n| (key.clone(), offsets[n], offsets[..n].to_vec())));
        }
        for (key, offset, earlier) in effects {
            self.say(format_args!("[{}] effect of {key} at {offset}", tx.process));
            if earlier.contains(&offset) {
                self.break_law(format!("{key} at {offset} has a second effect"));
            } else if earlier.last().is_some_and(|last| *last > offset) {
                self.break_law(format!("{key} at {offset} comes after {earlier:?}"));
            }
            let waiting = self.database.parked.values().find(|r| r.message_key == key && r.offset <= offset);
            if let Some(first) = waiting.map(|record| record.offset) {
                self.break_law(format!("{key} at {offset} overtakes {first}, which is parked ({CONSUMER})"));
            }
        }
    }
}
