//! The relay in a simulated world: several of them under leases, over an outbox and a log in memory. One seed decides
//! what fails and who goes on next; virtual time, one thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kafka;
#[path = "../../../runtime/tests/simulation/seeds.rs"]
mod seeds;
mod store;
mod world;
mod writers;

use cpq_state_stores::outbox::SHARDS;
use kafka::{Brokers, COMMANDS, FACTS};
use seeds::{Report, assert_replays, simulate_all};
use std::{sync::Arc, time::Duration};
use store::Memory;
use streams::relay::{Host, RelaySettings, RelayStatus};
use tokio::time::Instant;
use world::{Inner, World};

/// What must have happened over all seeds.
const FAULTS: &[&str] = &[
    "crash at any time",
    "crash before an acknowledgement",
    "crash before a mark",
    "crash after a mark",
    "freeze",
    "freeze past the lease",
    "restart",
    "one relay more",
    "database away",
    "no connection",
    "statement failed",
    "claim failed",
    "mark failed",
    "mark done, answer lost",
    "rows not marked",
    "commit refused",
    "commit unknown, and done",
    "commit unknown, and not done",
    "transaction was ended",
    "broker away",
    "topic gone",
    "topic refused at once",
    "queued messages of a topic failed",
    "no producer",
    "producer queue full",
    "fatal producer error",
    "outcome unknown, and done",
    "acknowledgement lost",
    "delivery delayed",
    "late arrival of a former producer",
    "request lost with its producer",
    "repeat",
    "message refused at once",
    "batch refused for one message",
    "key parked",
    "parked key let go",
    "key let go for nothing",
    "row committed behind a later one",
    "transaction held open",
    "transaction rolled back",
];

/// Whatever must come has come by then, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);
const PROCESSES: usize = 3;

#[test]
fn every_committed_row_comes_to_its_topic_in_the_order_of_its_key_whatever_fails() {
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
    let settings = settings(&mut world.lock());
    for _ in 0..PROCESSES {
        start(world, &settings);
    }
    let chaos = tokio::spawn(chaos(world.clone(), settings.clone()));
    tokio::spawn(supervise(world.clone(), settings));
    tokio::spawn(operate(world.clone()));
    writers::write(world).await;
    world.pause(0..4_000).await;
    chaos.abort();
    {
        let mut world = world.lock();
        world.faults = false;
        world.say("no more faults");
    }
    let since = Instant::now();
    while world.lock().failure.is_none() && !is_drained(&world.lock()) {
        if since.elapsed() > PATIENCE {
            let mut world = world.lock();
            let (first, rows) = (world.database.outbox.values().next().cloned(), world.database.outbox.len());
            let parked = world.database.parked.len();
            let held = first.as_ref().map(|row| world.database.leases[row.shard as usize].clone());
            let law = format!(
                "it never drains: {rows} rows wait, the first is {first:?} under {held:?}; {parked} keys are parked"
            );
            world.break_law(law);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Some seeds make everything small, so that claims are cut and queues fill.
fn settings(world: &mut Inner) -> RelaySettings {
    let among = |world: &mut Inner, values: &[u64]| values[world.rng.usize(0..values.len())];
    RelaySettings {
        lease: Duration::from_millis(among(world, &[1_000, 2_000])),
        sweep: Duration::from_millis(among(world, &[50, 200])),
        // Rarely: a safety net would hide what is overlooked.
        full_sweep: Duration::from_secs(among(world, &[3, 86_400, 86_400, 86_400])),
        producer_queue: among(world, &[2, 10, 40_000]) as usize,
        claim_rows: among(world, &[1, 3, 20, 2_000]) as usize,
        in_hand_rows: among(world, &[4, 30, 20_000]) as usize,
    }
}

fn is_drained(world: &Inner) -> bool {
    let all_sent = world.facts.values().all(|fact| fact.published);
    all_sent && world.database.outbox.is_empty() && world.database.parked.is_empty()
}

fn start(world: &Arc<World>, settings: &RelaySettings) {
    let process = world.lock().spawn();
    let (owner, woken, stop) = {
        let world = world.lock();
        let process = &world.processes[process];
        (process.owner.clone(), process.woken.clone(), process.stop.clone())
    };
    let host = Host {
        store: Memory { world: world.clone(), process },
        log: Brokers { world: world.clone(), process },
        owner,
        settings: settings.clone(),
        status: RelayStatus::default(),
    };
    let of_task = world.clone();
    let task = tokio::spawn(async move {
        host.run(woken, stop).await;
        let mut world = of_task.lock();
        world.say(format_args!("[{process}] has ended"));
        world.kill(process);
    });
    world.lock().processes[process].task = Some(task.abort_handle());
}

/// Crashes, freezes, restarts, outages.
async fn chaos(world: Arc<World>, settings: RelaySettings) {
    loop {
        world.pause(20..1_200).await;
        let one_more = {
            let mut world = world.lock();
            let among = world.living();
            if among.is_empty() {
                continue;
            }
            let process = among[world.rng.usize(0..among.len())];
            strike(&mut world, process, &settings)
        };
        if one_more {
            start(&world, &settings);
        }
    }
}

/// Returns whether one more relay is to start.
fn strike(world: &mut Inner, process: usize, settings: &RelaySettings) -> bool {
    let now = Instant::now();
    match world.rng.u32(0..14) {
        0..2 => {
            world.landed("crash at any time", process);
            world.kill(process);
        }
        2..6 => {
            let millis = match world.rng.u32(0..12) {
                0 => world.rng.u64(60_000..80_000),
                1..6 => world.rng.u64(1_000..9_000),
                _ => world.rng.u64(20..1_000),
            };
            let past = Duration::from_millis(millis) > settings.lease;
            world.landed(if past { "freeze past the lease" } else { "freeze" }, process);
            world.freeze(process, millis);
        }
        6..8 => {
            world.landed("restart", process);
            world.processes[process].ends = true;
            world.processes[process].stop.cancel();
        }
        8..10 => {
            let topic = if world.rng.bool() { FACTS } else { COMMANDS };
            let millis = world.rng.u64(10..2_000);
            world.landed("topic gone", process);
            world.broker.gone_until.insert(topic, now + Duration::from_millis(millis));
        }
        10 => {
            let millis = world.rng.u64(100..4_000);
            world.landed("broker away", process);
            world.broker.away_until = now + Duration::from_millis(millis);
        }
        11 => {
            let millis = world.rng.u64(50..3_000);
            world.say(format_args!("the database is away for {millis} ms"));
            world.database.away_until = now + Duration::from_millis(millis);
            world.open.clear();
        }
        _ => {
            world.landed("one relay more", process);
            return world.living().len() < 2 * PROCESSES;
        }
    }
    false
}

/// Starts relays anew, sooner or later.
async fn supervise(world: Arc<World>, settings: RelaySettings) {
    loop {
        world.pause(50..1_500).await;
        let missing = {
            let world = world.lock();
            world.living().iter().filter(|process| !world.processes[**process].ends).count() < PROCESSES
        };
        if missing {
            start(&world, &settings);
        }
    }
}

/// The operator lets parked keys go, whether or not the cause is gone.
async fn operate(world: Arc<World>) {
    loop {
        world.pause(200..2_000).await;
        let mut world = world.lock();
        let parked: Vec<(String, String)> = world.database.parked.keys().cloned().collect();
        for at in parked {
            let faults = world.faults;
            if faults && world.rng.bool() {
                continue;
            }
            if !faults || world.rng.u32(0..3) > 0 {
                let Inner { sick, facts, .. } = &mut *world;
                sick.retain(|id, _| {
                    facts.get(id).is_none_or(|fact| (&fact.row.topic, &fact.row.message_key) != (&at.0, &at.1))
                });
                world.landed("parked key let go", SHARDS as usize);
            } else {
                world.landed("key let go for nothing", SHARDS as usize);
            }
            world.database.parked.remove(&at);
        }
        if !world.faults {
            // What fails later is mended, too.
            world.sick.clear();
        }
    }
}
