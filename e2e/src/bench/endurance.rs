//! R6 and R12, one long run under full load: what the whole pipe carries while a snapshot is held open, against before
//! and after; and how much memory the services take meanwhile.

use super::pipe::{self, Ends, Load, OnFailure};
use super::seller::Seller;
use super::{Curve, Question, Ratio, Target, Turn, floor};
use crate::services::{Verb, cpu_seconds, cpu_seconds_with_children, pid_of, stack};
use crate::settings::variable;
use crate::truth::over_all_tenants;
use cpq_avro::topics::QUOTE_EVENTS;
use sqlx::{Executor, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Minutes for which the snapshot is held, if nothing else is said.
pub const HOLD_MINUTES: u64 = 10;
/// Load before anything is measured.
const WARM_UP: Duration = Duration::from_secs(20);
/// Between two looks at everything.
const LOOK: Duration = Duration::from_secs(1);
/// Most memory of a service, in MB.
const MOST_MEMORY: f64 = 150.0;
const MB: f64 = 1e6;
/// Sellers of whole deals, whose orders the bridge and the engine bring to their end.
const SELLERS: usize = 4;
/// Deals are sold while no more orders than these are unfinished: as many as the engine carries.
const MOST_ORDERS: i64 = 64;
/// Number of the first seller: each person has a rate limit, and quotes, of their own.
const FIRST_SELLER: usize = 1_000;
/// The services whose memory is looked at.
const SERVICES: [&str; 3] = ["command-gateway", "streams", "camunda-bridge"];

const HELD: Question = Question {
    id: "R6",
    numerator: "facts published by the whole pipe (commands accepted, relayed, decided, relayed) while a snapshot is held open",
    denominator: "the same without, half before and half after",
    unit: "facts/s",
    target: Target::AtLeast(0.9),
};

const MEMORY: [Question; SERVICES.len()] = [
    Question { id: "R12.gateway", numerator: "most resident memory of the gateway under full load", ..BOUND },
    Question { id: "R12.streams", numerator: "most resident memory of streams, all roles, under full load", ..BOUND },
    Question { id: "R12.bridge", numerator: "most resident memory of the bridge under full load", ..BOUND },
];
const BOUND: Question = Question {
    id: "R12",
    numerator: "most resident memory",
    denominator: "what it may have",
    unit: "MB",
    target: Target::AtMost(1.0),
};

/// Measures both; the snapshot is held as long as said, and so long it is measured without.
pub async fn measure(hold: Duration) -> Result<Vec<Ratio>, String> {
    // Begun anew: the most memory that the kernel knows of is of this run then.
    stack(Verb::Stop, &SERVICES).await?;
    stack(Verb::Start, &SERVICES).await?;
    pipe::settle().await?;
    let mut run = Run::begin().await?;
    run.go_on(WARM_UP).await?;
    let before = run.go_on(hold / 2).await?;
    let snapshot = Snapshot::take().await?;
    let held = run.go_on(hold).await?;
    snapshot.release().await?;
    let after = run.go_on(hold / 2).await?;
    let ratios = run.answer([&before, &held, &after])?;
    run.end().await?;
    Ok(ratios)
}

/// A transaction that sees the database as it was: nothing that goes meanwhile can be cleaned up.
struct Snapshot {
    session: PgConnection,
}

impl Snapshot {
    async fn take() -> Result<Self, String> {
        let mut session = floor::owner().await?;
        let take = "set idle_in_transaction_session_timeout = 0; begin isolation level repeatable read; \
            select count(*) from pg_class";
        session.execute(take).await.map_err(database)?;
        Ok(Self { session })
    }

    /// Ends it; an error if it was not held until now.
    async fn release(mut self) -> Result<(), String> {
        let held =
            sqlx::query_scalar("select backend_xmin is not null from pg_stat_activity where pid = pg_backend_pid()");
        let held: bool = held.fetch_one(&mut self.session).await.map_err(database)?;
        self.session.execute("rollback").await.map_err(database)?;
        held.then_some(()).ok_or_else(|| "the snapshot was not held".to_owned())
    }
}

/// What is seen in one look.
struct Sample {
    minutes: f64,
    facts: i64,
    /// MB of the outbox's table with its indexes.
    outbox: f64,
    /// MB that each service has.
    memory: [f64; SERVICES.len()],
}

/// A part of the run.
struct Phase {
    /// Facts per second.
    rate: f64,
    /// MB of the outbox, at its beginning, at most, at its end.
    outbox: [f64; 3],
    /// Cores used by each service, PostgreSQL, Kafka, the engine and the load generator.
    cores: [f64; SERVICES.len() + 4],
}

/// The load, and all that was seen of it.
struct Run {
    load: Load,
    deals: Deals,
    facts: Ends,
    truth: PgConnection,
    pids: [u32; SERVICES.len()],
    began: Instant,
    samples: Vec<Sample>,
    /// How many samples are of the warm-up.
    warm: usize,
}

impl Run {
    async fn begin() -> Result<Self, String> {
        let mut pids = [0; SERVICES.len()];
        for (pid, name) in pids.iter_mut().zip(SERVICES) {
            *pid = pid_of(name)?;
        }
        let (facts, truth) = (Ends::of(QUOTE_EVENTS)?, over_all_tenants().await?);
        let (load, deals) = (Load::start(OnFailure::Fail).await?, Deals::start().await?);
        Ok(Self { load, deals, facts, truth, pids, began: Instant::now(), samples: Vec::new(), warm: 0 })
    }

    /// Goes on for so long, looking at everything.
    async fn go_on(&mut self, during: Duration) -> Result<Phase, String> {
        let first = self.samples.len();
        self.warm = if self.warm == 0 { first } else { self.warm };
        let (began, cpu) = (Instant::now(), self.cpu()?);
        let from = self.facts.sum().await?;
        let mut ticks = tokio::time::interval(LOOK);
        while began.elapsed() < during {
            ticks.tick().await;
            self.load.check()?;
            self.deals.check()?;
            self.look().await?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let seen = &self.samples[first..];
        let outbox = |of: Option<&Sample>| of.map_or(f64::NAN, |sample| sample.outbox);
        let most = seen.iter().map(|sample| sample.outbox).fold(0.0, f64::max);
        let outbox = [outbox(seen.first()), most, outbox(seen.last())];
        let rate = (self.facts.sum().await? - from) as f64 / seconds;
        let mut cores = self.cpu()?;
        cores.iter_mut().zip(cpu).for_each(|(now, before)| *now = (*now - before) / seconds);
        Ok(Phase { rate, outbox, cores })
    }

    async fn look(&mut self) -> Result<(), String> {
        const SEEN: &str = "select pg_total_relation_size('cpq.outbox_event'), \
            (select count(*) from cpq.order_operations_view where status not in ('COMPLETED', 'CANCELLED'))";
        let (outbox, orders): (i64, i64) = sqlx::query_as(SEEN).fetch_one(&mut self.truth).await.map_err(database)?;
        self.deals.unfinished.store(orders, Ordering::Relaxed);
        let mut memory = [0.0; SERVICES.len()];
        for (memory, pid) in memory.iter_mut().zip(self.pids) {
            *memory = resident(pid, "VmRSS")?;
        }
        let (minutes, facts) = (self.began.elapsed().as_secs_f64() / 60.0, self.facts.sum().await?);
        self.samples.push(Sample { minutes, facts, outbox: outbox as f64 / MB, memory });
        Ok(())
    }

    fn cpu(&self) -> Result<[f64; SERVICES.len() + 4], String> {
        let [gateway, streams, bridge] = self.pids;
        Ok([
            cpu_seconds(gateway)?,
            cpu_seconds(streams)?,
            cpu_seconds(bridge)?,
            cpu_seconds_with_children(pid_of("postgres")?)?,
            cpu_seconds(pid_of("kafka")?)?,
            cpu_seconds(pid_of(&variable("CPQ_STACK_ENGINE")?)?)?,
            cpu_seconds(std::process::id())?,
        ])
    }

    fn answer(&self, phases: [&Phase; 3]) -> Result<Vec<Ratio>, String> {
        let [before, held, after] = phases;
        let turn = Turn { numerator: held.rate, denominator: f64::midpoint(before.rate, after.rate) };
        let mut notes = vec!["one run, not repeated; deals go through bridge and engine meanwhile".to_owned()];
        for (name, phase) in [("before", before), ("held", held), ("after", after)] {
            notes.push(phase.note(name));
        }
        let mut r6 = HELD.answer(vec![turn], notes);
        r6.curves = vec![self.rates(), self.curve("the outbox's table and indexes", |sample| sample.outbox)];
        let mut ratios = vec![r6];
        for (n, question) in MEMORY.into_iter().enumerate() {
            let points: Vec<[f64; 2]> =
                self.samples[self.warm..].iter().map(|sample| [sample.minutes, sample.memory[n]]).collect();
            let most = resident(self.pids[n], "VmHWM")?;
            let notes = vec![format!(
                "over {:.1} minutes: from {:.1} to {:.1} MB, slope {:+.2} MB/min",
                points.last().map_or(0.0, |last| last[0]) - points.first().map_or(0.0, |first| first[0]),
                points.first().map_or(f64::NAN, |first| first[1]),
                points.last().map_or(f64::NAN, |last| last[1]),
                slope(&points)
            )];
            let mut ratio = question.answer(vec![Turn { numerator: most, denominator: MOST_MEMORY }], notes);
            ratio.curves = vec![Curve { what: "resident memory", x: "minutes", y: "MB", points }];
            ratios.push(ratio);
        }
        Ok(ratios)
    }

    fn curve(&self, what: &'static str, of: fn(&Sample) -> f64) -> Curve {
        let points = self.samples.iter().map(|sample| [sample.minutes, of(sample)]).collect();
        Curve { what, x: "minutes", y: "MB", points }
    }

    /// Facts per second, of so many looks together.
    fn rates(&self) -> Curve {
        const TOGETHER: usize = 10;
        let ends: Vec<&Sample> = self.samples.iter().step_by(TOGETHER).collect();
        let rate = |pair: &[&Sample]| {
            [pair[1].minutes, (pair[1].facts - pair[0].facts) as f64 / ((pair[1].minutes - pair[0].minutes) * 60.0)]
        };
        Curve { what: "facts published", x: "minutes", y: "facts/s", points: ends.windows(2).map(rate).collect() }
    }

    async fn end(self) -> Result<(), String> {
        self.deals.stop().await?;
        self.load.stop().await?;
        pipe::settle().await
    }
}

impl Phase {
    fn note(&self, name: &str) -> String {
        let [gateway, streams, bridge, postgres, kafka, engine, generator] = self.cores;
        let [first, most, last] = self.outbox;
        format!(
            "{name}: {:.0} facts/s; outbox {first:.1} MB at first, {most:.1} at most, {last:.1} at last; cores used: gateway \
             {gateway:.2}, streams {streams:.2}, bridge {bridge:.2}, PostgreSQL {postgres:.2}, Kafka {kafka:.2}, engine \
             {engine:.2}, load generator {generator:.2}",
            self.rate
        )
    }
}

/// Whole deals, at the rate at which their orders come to their end.
struct Deals {
    over: Arc<AtomicBool>,
    unfinished: Arc<AtomicI64>,
    running: JoinSet<Result<(), String>>,
}

impl Deals {
    async fn start() -> Result<Self, String> {
        let (over, unfinished) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let mut running = JoinSet::new();
        for n in 0..SELLERS {
            let (over, unfinished) = (over.clone(), unfinished.clone());
            running.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    if unfinished.load(Ordering::Relaxed) >= MOST_ORDERS {
                        tokio::time::sleep(LOOK).await;
                        continue;
                    }
                    // Anew for each burst: the gateway closes a connection that rests.
                    let mut seller = Seller::connect(FIRST_SELLER + n).await?;
                    while unfinished.load(Ordering::Relaxed) < MOST_ORDERS && !over.load(Ordering::Relaxed) {
                        seller.open().await?;
                        seller.close().await?;
                    }
                }
                Ok(())
            });
        }
        Ok(Self { over, unfinished, running })
    }

    /// An error if a seller has failed.
    fn check(&mut self) -> Result<(), String> {
        self.running.try_join_next().map_or(Ok(()), |ended| ended.map_err(|e| e.to_string())?)
    }

    async fn stop(self) -> Result<(), String> {
        self.over.store(true, Ordering::Relaxed);
        self.running.join_all().await.into_iter().collect()
    }
}

/// MB of a process, by a line of its status: resident now (`VmRSS`) or at most so far (`VmHWM`).
fn resident(pid: u32, line: &str) -> Result<f64, String> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let kib = value.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0 / MB).ok_or_else(|| format!("{path} has no {line}"))
}

/// How much y grows with each x: least squares.
fn slope(points: &[[f64; 2]]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: usize| points.iter().map(|point| point[of]).sum::<f64>() / count;
    let (x, y) = (mean(0), mean(1));
    let above: f64 = points.iter().map(|point| (point[0] - x) * (point[1] - y)).sum();
    above / points.iter().map(|point| (point[0] - x).powi(2)).sum::<f64>()
}

fn database(error: sqlx::Error) -> String {
    format!("PostgreSQL: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::flat(&[[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]], 0.0)]
    #[case::rising(&[[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]], 2.0)]
    #[case::falling(&[[10.0, 4.0], [14.0, 2.0]], -0.5)]
    fn the_slope_is_what_is_added_per_minute(#[case] points: &[[f64; 2]], #[case] expected: f64) {
        assert_eq!(slope(points), expected);
    }

    #[test]
    fn a_process_has_at_most_what_it_ever_had() {
        let pid = std::process::id();
        let (now, most) = (resident(pid, "VmRSS").unwrap(), resident(pid, "VmHWM").unwrap());
        assert!(0.0 < now && now <= most * 1.01, "{now} MB now, {most} MB at most");
    }
}
