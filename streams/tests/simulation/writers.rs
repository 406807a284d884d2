//! Who fills the outbox: transactions side by side, which take numbers for their rows at once and commit or roll back
//! in any order. A key of the facts has one writer at a time, one of the commands any number.

use crate::kafka::{COMMANDS, FACTS};
use crate::world::{Fact, Inner, Sickness, World};
use cpq_state_stores::outbox::{Pending, shard_of};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

const WRITERS: usize = 4;
const AGGREGATES: usize = 9;
const MAX_ROWS: usize = 4;

/// Which aggregates are being written, and the last sequence of each.
#[derive(Default)]
struct Aggregates {
    busy: BTreeSet<usize>,
    last: BTreeMap<usize, u64>,
}

/// Writes until it is enough.
pub async fn write(world: &Arc<World>) {
    let aggregates = Arc::new(Mutex::new(Aggregates::default()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (world, aggregates) = (world.clone(), aggregates.clone());
            tokio::spawn(async move {
                let transactions = world.lock().rng.usize(8..25);
                for _ in 0..transactions {
                    transaction(&world, &aggregates).await;
                    // Now and then in bursts.
                    if world.lock().rng.u32(0..3) > 0 {
                        world.pause(1..700).await;
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn transaction(world: &Arc<World>, aggregates: &Mutex<Aggregates>) {
    let mine: Vec<usize> = {
        let (mut world, mut aggregates) = (world.lock(), aggregates.lock().unwrap());
        let wanted: BTreeSet<usize> = (0..world.rng.usize(1..4)).map(|_| world.rng.usize(0..AGGREGATES)).collect();
        wanted.into_iter().filter(|aggregate| aggregates.busy.insert(*aggregate)).collect()
    };
    let number = {
        let mut world = world.lock();
        let number = world.database.next_writer;
        world.database.next_writer += 1;
        world.database.running.insert(number);
        number
    };
    let (mut rows, mut last) = (Vec::new(), BTreeMap::new());
    for aggregate in &mine {
        let before = aggregates.lock().unwrap().last.get(aggregate).copied().unwrap_or(0);
        let more = insert(&mut world.lock(), *aggregate, before, &mut rows);
        last.insert(*aggregate, more);
        world.pause(0..4).await;
    }
    let held = world.lock().chance(50);
    if held {
        world.lock().landed("transaction held open", 0);
        world.pause(500..6_000).await;
    } else {
        world.pause(0..60).await;
    }
    let mut world = world.lock();
    let mut aggregates = aggregates.lock().unwrap();
    world.database.running.remove(&number);
    aggregates.busy.retain(|aggregate| !mine.contains(aggregate));
    if world.chance(100) {
        return world.landed("transaction rolled back", 0);
    }
    aggregates.last.extend(last);
    commit(&mut world, rows);
}

/// Rows of one aggregate, each under its number; returns the last sequence.
fn insert(world: &mut Inner, aggregate: usize, before: u64, rows: &mut Vec<Pending>) -> u64 {
    let mut sequence = before;
    for _ in 0..world.rng.usize(1..=MAX_ROWS) {
        let (topic, value) = if world.rng.u32(0..4) == 0 {
            (COMMANDS, format!("command {}", world.rng.u64(..)))
        } else {
            sequence += 1;
            (FACTS, format!("fact {sequence}"))
        };
        // Commands of few keys come from many transactions.
        let key = if topic == COMMANDS { format!("key-{}", aggregate % 3) } else { format!("key-{aggregate}") };
        let id = world.database.next_row;
        world.database.next_row += 1;
        let sickness = match world.rng.u32(0..100) {
            0..2 => Some(Sickness::RefusedAtOnce),
            2..4 => Some(Sickness::RefusedByBroker),
            _ => None,
        };
        if let Some(sickness) = sickness.filter(|_| world.faults) {
            world.sick.insert(id, sickness);
        }
        rows.push(Pending {
            id,
            shard: shard_of(&key),
            tenant_id: "tenant-simulated".to_owned(),
            topic: topic.to_owned(),
            message_key: key,
            headers: vec![("ce_id".to_owned(), format!("event-{id}"))],
            value: value.into_bytes(),
        });
    }
    sequence
}

fn commit(world: &mut Inner, rows: Vec<Pending>) {
    if rows.first().is_some_and(|row| world.facts.last_key_value().is_some_and(|(last, _)| *last > row.id)) {
        world.landed("row committed behind a later one", 0);
    }
    world.say(format_args!("committed: {:?}", rows.iter().map(|row| (row.id, &row.message_key)).collect::<Vec<_>>()));
    for row in rows {
        let nth = world.facts.len() as u64;
        world.database.outbox.insert(row.id, row.clone());
        world.facts.insert(row.id, Fact { row, nth, published: false });
    }
    // Hints may get lost.
    if world.rng.u32(0..4) > 0 {
        world.processes.iter().filter(|process| !process.dead).for_each(|process| process.woken.notify_one());
    }
}
