//! The consumer side in a simulated world: the product's partitions, workers, steps, parking and redriving over a
//! store, a log and a group in memory. One seed decides what fails and who goes on next; virtual time, one thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod seeds;
mod store;
mod world;

use async_trait::async_trait;
use cpq_avro::{DecodeError, Record};
use cpq_runtime::consumer::{Bounds, ConsumerStatus, Ended, Host, Partitions, REVOKE_DRAIN, RawRecord, RecordDecoder};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_runtime::wake::Wake;
use cpq_state_stores::StoreError;
use cpq_state_stores::hints::Hints;
use seeds::{Report, assert_replays, simulate_all};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use store::{Memory, MemoryTx, lost_connection};
use tokio::{runtime::Handle, sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use world::{CONSUMER, PARTITIONS, Sickness, TOPIC, World};

/// What must have happened over all seeds.
const FAULTS: &[&str] = &[
    "no connection",
    "statement failed",
    "commit refused",
    "commit unknown, and done",
    "commit unknown, and not done",
    "crash before commit",
    "crash after commit",
    "crash before kafka is told",
    "crash at any time",
    "rebalance in mid-batch",
    "assignments overlap",
    "freeze",
    "freeze in a transaction",
    "frozen member put out",
    "dead member put out",
    "transaction was ended for being idle",
    "lock timeout",
    "fenced",
    "batch was applied before",
    "several partitions in one transaction",
    "record parked",
    "record came behind a parked one",
    "parked records applied",
    "record parked again",
    "transient failure of a record",
    "refusal of a record",
    "schema not at hand",
    "record without effect",
];

/// Whatever must come has come by then, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);
const KEYS: usize = 7;
const PROCESSES: usize = 3;

#[test]
fn every_record_has_one_effect_in_the_order_of_its_key_whatever_fails() {
    simulate_all(FAULTS, simulate);
}

#[test]
fn a_seed_replays_to_the_letter() {
    assert_replays(1..21, simulate);
}

fn simulate(seed: u64) -> Report {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let world = runtime.block_on(async {
        let world = Arc::new(World::new(seed));
        live(&world).await;
        world
    });
    drop(runtime);
    let mut world = world.lock();
    Report {
        landed: std::mem::take(&mut world.landed),
        trace: std::mem::take(&mut world.trace),
        failure: world.failure.take(),
    }
}

async fn live(world: &Arc<World>) {
    for _ in 0..PROCESSES {
        start(world);
    }
    let chaos = tokio::spawn(chaos(world.clone()));
    tokio::spawn(coordinate(world.clone()));
    tokio::spawn(operate(world.clone()));
    feed(world).await;
    let more = world.lock().rng.u64(0..4_000);
    tokio::time::sleep(Duration::from_millis(more)).await;
    chaos.abort();
    {
        let mut world = world.lock();
        world.faults = false;
        world.say("no more faults");
    }
    let since = Instant::now();
    while world.lock().failure.is_none() && !is_drained(world) {
        if since.elapsed() > PATIENCE {
            let mut world = world.lock();
            let stands = format!("{:?}", world.database.positions.values().collect::<Vec<_>>());
            let parked = world.database.keys.len();
            world.break_law(format!("it never drains: {parked} keys are parked, {stands}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    judge(world);
}

/// Records come, some of them sick.
async fn feed(world: &Arc<World>) {
    let records = world.lock().rng.usize(40..120);
    for _ in 0..records {
        {
            let mut world = world.lock();
            let key = world.rng.usize(0..KEYS);
            let partition = key as i32 % PARTITIONS;
            let log = world.log.get_mut(&partition).unwrap();
            log.push(format!("key-{key}"));
            let offset = log.len() as i64 - 1;
            let times = world.rng.u32(1..6);
            let sickness = match world.rng.u32(0..100) {
                0..4 => Some(Sickness::Undecodable),
                4..8 => Some(Sickness::Poison),
                8..13 => Some(Sickness::Transient(times)),
                13..17 => Some(Sickness::Refused(times)),
                17..20 => Some(Sickness::Registry(times)),
                20..30 => Some(Sickness::Idle),
                _ => None,
            };
            if let Some(sickness) = sickness {
                world.sick.insert((partition, offset), sickness);
            }
        }
        // Now and then in bursts, so that batches are large.
        if world.lock().rng.u32(0..3) == 0 {
            world.pause(1..300).await;
        }
    }
}

fn is_drained(world: &World) -> bool {
    let world = world.lock();
    let applied = |partition: &i32| world.database.positions.get(partition).map_or(0, |position| position.next_offset);
    world.database.keys.is_empty() && world.log.iter().all(|(partition, log)| applied(partition) == log.len() as i64)
}

/// Looks at what the world has come to.
fn judge(world: &World) {
    let mut world = world.lock();
    let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (partition, log) in &world.log {
        for (offset, key) in log.iter().enumerate() {
            if world.sick.get(&(*partition, offset as i64)) != Some(&Sickness::Idle) {
                expected.entry(key.clone()).or_default().push(offset as i64);
            }
        }
    }
    if world.failure.is_none() && expected != world.database.effects {
        let found = format!("{:?} instead of {expected:?}", world.database.effects);
        world.break_law(format!("the effects are {found}"));
    }
    let copies = world.database.copies.len();
    if world.database.copies.iter().collect::<HashSet<_>>().len() < copies {
        world.break_law("a record was put on the dead-letter topic twice".to_owned());
    }
    if !world.database.parked.is_empty() {
        world.break_law("parked records are left without their key".to_owned());
    }
}

/// Crashes, freezes and rebalances.
async fn chaos(world: Arc<World>) {
    loop {
        world.pause(20..1_500).await;
        let starts = {
            let mut world = world.lock();
            // Rather one that is at work.
            let busy: Vec<usize> = world.open.values().map(|open| open.process).collect();
            let among = if busy.is_empty() || world.rng.u32(0..4) == 0 { world.living() } else { busy };
            let process = among[world.rng.usize(0..among.len())];
            match world.rng.u32(0..10) {
                0..2 => {
                    world.landed("crash at any time", process);
                    world.kill(process);
                }
                2..5 => {
                    let in_transaction = world.open.values().any(|open| open.process == process);
                    let millis = match world.rng.u32(0..8) {
                        0 => world.rng.u64(60_000..90_000),
                        1..4 if in_transaction => world.rng.u64(50_000..90_000),
                        1..4 => world.rng.u64(6_000..12_000),
                        _ => world.rng.u64(20..2_000),
                    };
                    world.freeze(process, millis);
                }
                5..8 => {
                    if !world.open.is_empty() {
                        world.landed("rebalance in mid-batch", process);
                    }
                    world.rebalance(true);
                }
                _ => {
                    // The coordinator takes partitions away without a word.
                    let partition = world.rng.i32(0..PARTITIONS);
                    if let Some(owner) = world.group.owner.remove(&partition) {
                        world.landed("assignments overlap", owner);
                        let millis = world.rng.u64(0..4_000);
                        world.processes[owner].deaf_until = Instant::now() + Duration::from_millis(millis);
                    }
                    world.group.target.remove(&partition);
                    world.rebalance(false);
                }
            }
            PROCESSES.saturating_sub(world.living().len())
        };
        for _ in 0..starts {
            world.pause(1..500).await;
            start(&world);
        }
    }
}

/// The group's coordinator; also sees to it that somebody lives.
async fn coordinate(world: Arc<World>) {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let nobody = {
            let mut world = world.lock();
            world.expire_sessions();
            world.living().is_empty()
        };
        if nobody {
            start(&world);
        }
    }
}

/// The operator lets parked keys go, whether or not the cause is gone.
async fn operate(world: Arc<World>) {
    loop {
        world.pause(200..2_000).await;
        let mut world = world.lock();
        let parked: Vec<String> = world.database.keys.keys().cloned().collect();
        for name in parked {
            let faults = world.faults;
            if faults && world.rng.bool() {
                continue;
            }
            if !faults || world.rng.bool() {
                let of_key: Vec<_> = world
                    .database
                    .parked
                    .iter()
                    .filter(|(_, record)| record.message_key == name)
                    .map(|(at, _)| *at)
                    .collect();
                world.sick.retain(|at, sickness| *sickness == Sickness::Idle || !of_key.contains(at));
            }
            let now = Instant::now();
            world.say(format_args!("{name} is let go"));
            if let Some(key) = world.database.keys.get_mut(&name) {
                key.let_go.get_or_insert(now);
            }
        }
    }
}

fn start(world: &Arc<World>) {
    let process = world.lock().spawn();
    tokio::spawn(consume(world.clone(), process));
}

/// A process: one consumer after the other, as `consumer::run` makes them.
async fn consume(world: Arc<World>, process: usize) {
    let processor: Arc<dyn Processor<MemoryTx>> = Arc::new(Effects { world: world.clone(), process });
    loop {
        let host = Host {
            db: Memory { world: world.clone(), process },
            kafka_brokers: String::new(),
            decoder: Arc::new(Reader { world: world.clone(), process }),
            wake: Wake::default(),
            hints: Hints::disabled(),
            owner: format!("owner-{process}"),
        };
        let stop = CancellationToken::new();
        let partitions =
            Partitions::new(host, processor.clone(), ConsumerStatus::default(), Handle::current(), stop.clone());
        partitions.watch_redrives(Arc::new(Notify::new()));
        world.lock().join(process);
        let ended = poll(&world, process, &partitions).await;
        partitions.drain_all(REVOKE_DRAIN).await;
        world.moment(process).await;
        {
            let mut world = world.lock();
            world.leave(process);
            world.say(format_args!("[{process}] {ended:?}"));
            if let Ended::Halt(reason) = ended {
                world.break_law(reason);
            }
        }
        world.pause(50..500).await;
    }
}

/// What Kafka's client and its callbacks do around the partitions.
async fn poll(world: &Arc<World>, process: usize, partitions: &Partitions<Memory>) -> Ended {
    let mut fetched: BTreeMap<i32, i64> = BTreeMap::new();
    loop {
        world.moment(process).await;
        let (lost, revoked, assigned) = changes(world, process, &fetched);
        give_up(world, process, partitions, &mut fetched, &lost, true).await;
        give_up(world, process, partitions, &mut fetched, &revoked, false).await;
        if !assigned.is_empty() {
            let taken = match partitions.take_over(&assigned).await {
                Ok(taken) => taken,
                Err(ended) => return ended,
            };
            fetched.extend(taken.iter().map(|position| (position.partition, position.next_offset)));
            partitions.begin(taken);
        }
        let records = fetch(world, partitions, &mut fetched);
        if let Err(ended) = partitions.fenced() {
            return ended;
        }
        for partition in partitions.all() {
            if let Some(offset) = partition.to_store() {
                {
                    let mut world = world.lock();
                    if world.chance(4) {
                        world.landed("crash before kafka is told", process);
                        world.kill(process);
                    }
                }
                world.moment(process).await;
                world.lock().commit_offset(process, partition.partition, offset);
            }
        }
        world.pause(if records == 0 { 40..160 } else { 1..60 }).await;
    }
}

/// Which partitions are lost to another, are to be given up, and are to be taken.
fn changes(world: &World, process: usize, fetched: &BTreeMap<i32, i64>) -> (Vec<i32>, Vec<i32>, Vec<Bounds>) {
    let mut world = world.lock();
    if world.processes[process].deaf_until > Instant::now() {
        return Default::default();
    }
    if !world.group.members.contains(&process) {
        world.join(process);
    }
    let (mut lost, mut revoked, mut assigned) = (Vec::new(), Vec::new(), Vec::new());
    for partition in 0..PARTITIONS {
        let is_target = world.group.target.get(&partition) == Some(&process);
        let is_owner = world.group.owner.get(&partition) == Some(&process);
        match (fetched.contains_key(&partition), is_owner) {
            (true, false) => lost.push(partition),
            (true, true) if !is_target => revoked.push(partition),
            (false, _) if is_target && (is_owner || !world.group.owner.contains_key(&partition)) => {
                world.group.owner.insert(partition, process);
                assigned.push(Bounds {
                    topic: TOPIC.to_owned(),
                    partition,
                    low: 0,
                    high: world.log[&partition].len() as i64,
                    committed: world.group.committed.get(&partition).copied(),
                });
            }
            _ => {}
        }
    }
    (lost, revoked, assigned)
}

async fn give_up(
    world: &World,
    process: usize,
    partitions: &Partitions<Memory>,
    fetched: &mut BTreeMap<i32, i64>,
    which: &[i32],
    lost: bool,
) {
    if which.is_empty() {
        return;
    }
    let keys: Vec<_> = which.iter().map(|partition| (TOPIC.to_owned(), *partition)).collect();
    let limit = if lost { Duration::ZERO } else { REVOKE_DRAIN };
    for partition in partitions.drain(&keys, limit).await {
        world.moment(process).await;
        let mut world = world.lock();
        fetched.remove(&partition.partition);
        if lost {
            continue;
        }
        if let Some(offset) = partition.to_store() {
            world.commit_offset(process, partition.partition, offset);
        }
        if world.group.owner.get(&partition.partition) == Some(&process) {
            world.group.owner.remove(&partition.partition);
        }
    }
}

/// Hands some of the records on that are there; returns how many.
fn fetch(world: &World, partitions: &Partitions<Memory>, fetched: &mut BTreeMap<i32, i64>) -> usize {
    let mut world = world.lock();
    let mut count = 0;
    for (partition, next) in fetched {
        let Some(owned) = partitions.get(TOPIC, *partition) else { continue };
        let upto = (*next + world.rng.i64(1..20)).min(world.log[partition].len() as i64);
        for offset in *next..upto {
            owned.push(RawRecord {
                offset,
                timestamp: Some(1),
                key: Some(world.log[partition][offset as usize].clone().into_bytes()),
                value: Some(format!("{partition} {offset}").into_bytes()),
                headers: Vec::new(),
            });
            count += 1;
        }
        *next = upto.max(*next);
    }
    count
}

/// The processor: an effect for each record, unless it is sick.
struct Effects {
    world: Arc<World>,
    process: usize,
}

#[async_trait]
impl Processor<MemoryTx> for Effects {
    fn consumer(&self) -> &'static str {
        CONSUMER
    }
    fn topics(&self) -> &'static [&'static str] {
        &[TOPIC]
    }
    fn concerns(&self, record: &Record) -> bool {
        matches!(record, Record::State { name, .. } if name == "effective")
    }
    async fn apply(&self, tx: &mut MemoryTx, batch: &[&Delivery], _: &mut AfterCommit) -> Result<(), StepError> {
        for delivery in batch {
            let at = (delivery.partition, delivery.offset);
            let sickness = self.world.lock().sick.get(&at).copied();
            match sickness {
                Some(Sickness::Idle) => continue,
                Some(Sickness::Poison) => {
                    return Err(StepError::Poison { offset: delivery.offset, cause: "poison".to_owned() });
                }
                Some(Sickness::Transient(times)) => {
                    recover(&self.world, at, times, Sickness::Transient);
                    self.world.lock().landed("transient failure of a record", self.process);
                    return Err(lost_connection().into());
                }
                Some(Sickness::Refused(times)) => {
                    recover(&self.world, at, times, Sickness::Refused);
                    self.world.lock().landed("refusal of a record", self.process);
                    return Err(StoreError::Constraint("simulated".to_owned()).into());
                }
                _ => tx.effect(&delivery.key, delivery.offset).await?,
            }
        }
        Ok(())
    }
}

/// One of the failures is used up.
fn recover(world: &World, at: (i32, i64), times: u32, sickness: fn(u32) -> Sickness) {
    let mut world = world.lock();
    match times.checked_sub(1) {
        None | Some(0) => drop(world.sick.remove(&at)),
        Some(left) => drop(world.sick.insert(at, sickness(left))),
    }
}

/// The decoder: finds records unreadable, or the registry away, as the world has it.
struct Reader {
    world: Arc<World>,
    process: usize,
}

#[async_trait]
impl RecordDecoder for Reader {
    async fn decode(&self, bytes: &[u8]) -> Result<Record, DecodeError> {
        let text = std::str::from_utf8(bytes).unwrap();
        let (partition, offset) = text.split_once(' ').unwrap();
        let at = (partition.parse().unwrap(), offset.parse().unwrap());
        let sickness = self.world.lock().sick.get(&at).copied();
        let name = match sickness {
            Some(Sickness::Undecodable) => return Err(DecodeError::Poison { cause: "unreadable".to_owned() }),
            Some(Sickness::Registry(times)) => {
                recover(&self.world, at, times, Sickness::Registry);
                self.world.lock().landed("schema not at hand", self.process);
                return Err(DecodeError::RegistryUnavailable { cause: "registry".to_owned() });
            }
            Some(Sickness::Idle) => {
                self.world.lock().landed("record without effect", self.process);
                "idle"
            }
            _ => "effective",
        };
        Ok(Record::State { name: name.to_owned(), value: serde_json::json!({ "tenantId": "tenant" }) })
    }
}
