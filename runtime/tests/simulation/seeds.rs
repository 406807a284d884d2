//! Runs a simulation once for each of many seeds, on all cores; says which seed failed and how it went, and how often
//! each kind of fault landed.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// The seeds are this one and those that follow, so that every run of the tests is the same.
const BASE_SEED: u64 = 1;
/// So many seeds, unless `CPQ_SIMULATION_RUNS` names another number.
const RUNS: u64 = 1_000;
/// So much of the end of a failed run is shown.
const LINES_SHOWN: usize = 80;

/// How a run went.
pub struct Report {
    /// How often each kind of fault really landed.
    pub landed: BTreeMap<&'static str, u64>,
    /// What happened, in order and in virtual time.
    pub trace: Vec<String>,
    /// Which law was broken, if one was.
    pub failure: Option<String>,
}

/// Simulates every seed; panics with the first that fails, or where one of `faults` never landed. With
/// `CPQ_SIMULATION_SEED` it is exactly that seed.
pub fn simulate_all(faults: &[&'static str], simulate: fn(u64) -> Report) {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let one = number("CPQ_SIMULATION_SEED");
    let (base, runs) = (one.unwrap_or(BASE_SEED), one.map_or(number("CPQ_SIMULATION_RUNS").unwrap_or(RUNS), |_| 1));
    println!("base seed {base}, {runs} runs");
    let (begun, next) = (Instant::now(), AtomicU64::new(0));
    let (landed, failed) = (Mutex::new(BTreeMap::<&str, (u64, u64)>::new()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                while failed.lock().unwrap().is_empty() {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    if run >= runs {
                        return;
                    }
                    let report = simulate(base + run);
                    let mut landed = landed.lock().unwrap();
                    for (fault, times) in report.landed.iter() {
                        let sum = landed.entry(fault).or_default();
                        *sum = (sum.0 + times, sum.1 + 1);
                    }
                    if report.failure.is_some() {
                        failed.lock().unwrap().insert(base + run, report);
                    }
                }
            });
        }
    });
    let landed = landed.into_inner().unwrap();
    for (fault, (times, seeds)) in &landed {
        println!("{times:>8} × {fault} (in {seeds} runs)");
    }
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    if let Some((seed, Report { trace, failure: Some(failure), .. })) = failed.into_inner().unwrap().pop_first() {
        for line in &trace[trace.len().saturating_sub(LINES_SHOWN)..] {
            println!("{line}");
        }
        panic!(
            "seed {seed}, after {:.1} s: {failure}; replay it with CPQ_SIMULATION_SEED={seed}",
            begun.elapsed().as_secs_f64()
        );
    }
    let missing: Vec<_> = faults.iter().filter(|fault| !landed.contains_key(*fault)).collect();
    assert!(one.is_some() || missing.is_empty(), "these never landed: {missing:?}");
}

/// A seed is worth something only if it replays to the letter.
pub fn assert_replays(seeds: std::ops::Range<u64>, simulate: fn(u64) -> Report) {
    for seed in seeds {
        let (first, second) = (simulate(seed).trace, simulate(seed).trace);
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        assert_eq!(differs.map(|n| (&first[n], &second[n])), None, "seed {seed} went another way");
        assert_eq!(first.len(), second.len(), "seed {seed} took longer or shorter");
    }
}
