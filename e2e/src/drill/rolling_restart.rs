//! Scale-out and a rolling restart under load: a process that comes takes its share, each process is asked to end
//! and comes back, and no client meets anything that it would not simply try again.

use super::fleet::{Assignment, Fleet, Kind, Member, held};
use super::say;
use crate::history::History;
use crate::load::{self, Load};
use std::time::{Duration, Instant};

const GATEWAYS: usize = 2;
const STREAMS: usize = 3;
const CLIENTS: usize = 6;
/// Deals that are accepted before anything happens, and again after all restarts.
const WARM: usize = 12;
/// Longest wait until everything is held, and shared.
const SHARED: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
/// What a good client tries again: it was told to wait, or was not told anything.
const GOOD_TO_RETRY: [&str; 6] =
    ["202 PENDING", "429 ", "503 ", "no connection", "connection lost before the answer", "no answer in time"];

pub async fn run(history: &History) -> Result<Vec<String>, String> {
    let mut fleet = Fleet::start(GATEWAYS, STREAMS).await?;
    shared(&mut fleet).await?;
    let sales = load::sales(history)?;
    let gateways = fleet.gateways()?;
    let clients: Vec<_> = (0..CLIENTS).map(|n| sales.at(&gateways, n)).collect();
    let mut load = Load::of(&clients, usize::MAX);
    load.reaches(WARM).await?;
    say(&format!("{CLIENTS} clients post deals to {GATEWAYS} gateways; {STREAMS} streams processes hold:"));
    let before = fleet.assignment().await?;
    println!("{}", fleet.table(&before));
    grow(&mut fleet, &before).await?;
    let done = load.finished();
    load.reaches(done + WARM).await?;
    for member in fleet.members() {
        restart(&mut fleet, member).await?;
        load.healthy()?;
        if !load.in_flight() {
            return Err(format!("no deal was under way when {member} was restarted"));
        }
    }
    println!("{}", fleet.table(&fleet.assignment().await?));
    let done = load.finished();
    load.reaches(done + WARM).await?;
    load.stop();
    let quotes = load.end().await?;
    say(&format!("{} deals were accepted meanwhile", quotes.len()));
    fleet.end().await?;
    only_good_to_retry(history)?;
    Ok(quotes)
}

/// Adds a process and waits until it has its share of everything.
async fn grow(fleet: &mut Fleet, before: &Assignment) -> Result<(), String> {
    let newcomer = Member { kind: Kind::Streams, number: STREAMS };
    let began = Instant::now();
    fleet.launch(newcomer)?;
    fleet.ready(newcomer).await?;
    let ready = began.elapsed();
    let after = shared(fleet).await?;
    say(&format!(
        "{newcomer} was added: ready after {:.1} s, its share of everything after {:.1} s:",
        ready.as_secs_f64(),
        began.elapsed().as_secs_f64()
    ));
    println!("{}", fleet.table(&after));
    // Partitions that went from one old process to another were taken away for nothing.
    let (mut stayed, mut moved, mut shuffled) = (0, 0, 0);
    for (consumer, parts) in after.iter().filter(|(consumer, _)| *consumer != "relay") {
        for (part, holder) in parts {
            match before.get(consumer).and_then(|parts| parts.get(part)) {
                Some(old) if old == holder => stayed += 1,
                _ if *holder == Some(newcomer) => moved += 1,
                _ => shuffled += 1,
            }
        }
    }
    say(&format!("{stayed} partitions stayed where they were, {moved} went to {newcomer}, {shuffled} elsewhere"));
    Ok(())
}

/// SIGTERM, its end, and its return.
async fn restart(fleet: &mut Fleet, member: Member) -> Result<(), String> {
    let drained = fleet.drain(member).await?;
    let began = Instant::now();
    fleet.launch(member)?;
    fleet.ready(member).await?;
    let ready = began.elapsed();
    let mut told = format!(
        "{member} drained in {:.1} s, was ready {:.1} s after its start",
        drained.as_secs_f64(),
        ready.as_secs_f64()
    );
    if member.kind == Kind::Streams {
        shared(fleet).await?;
        told += &format!(", had its share after {:.1} s", began.elapsed().as_secs_f64());
    }
    say(&told);
    Ok(())
}

/// Waits until each part of the work is held, and of each consumer's no process holds nothing or more than its share.
async fn shared(fleet: &mut Fleet) -> Result<Assignment, String> {
    let began = Instant::now();
    let streams: Vec<Member> = fleet.members().into_iter().filter(|member| member.kind == Kind::Streams).collect();
    loop {
        fleet.healthy()?;
        let assignment = fleet.assignment().await?;
        let fair = assignment.values().all(|parts| {
            let most = parts.len().div_ceil(streams.len());
            let good = |member: &Member| (1..=most).contains(&held(parts, *member));
            parts.values().all(Option::is_some) && streams.iter().all(good)
        });
        if fair {
            return Ok(assignment);
        }
        if began.elapsed() > SHARED {
            let table = fleet.table(&assignment);
            return Err(format!("the work is not shared after {} s:\n{table}", SHARED.as_secs()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn only_good_to_retry(history: &History) -> Result<(), String> {
    let kinds = history.retried();
    let list: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
    say(&format!(
        "clients tried again after: {}",
        if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
    ));
    let bad: Vec<&String> =
        kinds.keys().filter(|kind| !GOOD_TO_RETRY.iter().any(|good| kind.starts_with(good))).collect();
    if bad.is_empty() { Ok(()) } else { Err(format!("clients met what no good client would try again: {bad:?}")) }
}
