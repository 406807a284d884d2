//! Ordering under fire: whole deals and contested quotes on two gateways and three `streams` processes, while a seeded
//! plan of faults hits them; afterwards everything must drain, and the history hold.

use super::fleet::{Fleet, Kind, Member, held};
use super::plan::{self, Act, plan};
use super::storm;
use super::{Extent, say};
use crate::history::History;
use crate::hot::Hot;
use crate::load::{self, Load};
use crate::settings::variable;
use crate::truth;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const GATEWAYS: usize = 2;
const STREAMS: usize = 3;
/// Clients that post whole deals.
const DEAL_CLIENTS: usize = 4;
/// Clients that change the same quotes.
const HOT_CLIENTS: usize = 6;
/// So many faults at least must land on work that is under way, or the run counts for nothing.
const LANDED: usize = 2;
/// A storm ends all sessions so often,
const STORM_WAVES: usize = 5;
/// with this between two times.
const WAVE: Duration = Duration::from_millis(300);
/// Clients are looked after this often.
const LOOK: Duration = Duration::from_millis(50);

/// The work that is under way.
struct Work {
    load: Load,
    hot: Hot,
}

impl Work {
    async fn start(fleet: &Fleet, history: &History, extent: Extent) -> Result<Self, String> {
        let (sales, gateways) = (load::sales(history)?, fleet.gateways()?);
        let clients = |n: usize| (0..n).map(|turn| sales.at(&gateways, turn)).collect::<Vec<_>>();
        let hot = Hot::start(&clients(HOT_CLIENTS), extent.keys, extent.seed).await?;
        Ok(Self { load: Load::of(&clients(DEAL_CLIENTS), usize::MAX), hot })
    }

    fn healthy(&mut self) -> Result<(), String> {
        self.load.healthy()?;
        self.hot.healthy()
    }

    /// What is done so far: deals, and changes decided either way.
    fn done(&self) -> (usize, usize) {
        let (won, lost) = self.hot.counts();
        (self.load.finished(), won + lost)
    }

    /// Waits for this moment; an error as soon as a client has failed.
    async fn until(&mut self, moment: Instant) -> Result<(), String> {
        loop {
            self.healthy()?;
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}

pub async fn run(history: &History, extent: Extent) -> Result<Vec<String>, String> {
    let seconds = extent.seconds.max(plan::SHORTEST);
    let steps = plan(extent.seed, seconds, GATEWAYS, STREAMS);
    say(&format!("seed {}, {seconds} s; the same again: --seed {} --seconds {seconds}", extent.seed, extent.seed));
    steps.iter().for_each(|step| println!("    {:>6.1} s  {}", step.at.as_secs_f64(), step.act));
    let fleet = Fleet::start(GATEWAYS, STREAMS).await?;
    let work = Work::start(&fleet, history, extent).await?;
    let began = Instant::now();
    say(&format!(
        "{DEAL_CLIENTS} clients post deals, {HOT_CLIENTS} change the same {} quotes, on {GATEWAYS} gateways and {STREAMS} streams",
        extent.keys
    ));
    let mut fire = Fire { fleet, work, storms: JoinSet::new(), faults: 0, landed: 0, before: None };
    for step in &steps {
        fire.work.until(began + step.at).await?;
        fire.step(step.act, began, history).await?;
    }
    fire.die_down(began + Duration::from_secs(seconds)).await?;
    end(fire.fleet, fire.work, history).await
}

/// What is under fire, and what came of it so far.
struct Fire {
    fleet: Fleet,
    work: Work,
    storms: JoinSet<(Member, Result<String, String>)>,
    faults: usize,
    /// Those of the faults that hit work.
    landed: usize,
    /// What a second brought before the first fault.
    before: Option<String>,
}

impl Fire {
    async fn step(&mut self, act: Act, began: Instant, history: &History) -> Result<(), String> {
        self.fleet.healthy()?;
        let elapsed = began.elapsed();
        if act.is_fault() {
            self.before.get_or_insert_with(|| rate(self.work.done(), (0, 0), elapsed));
            self.faults += 1;
            self.landed += usize::from(self.work.load.in_flight() && history.in_flight() > 0);
        }
        let on = format!("{} commands unanswered, {} messages unpublished", history.in_flight(), unpublished().await);
        let seen = self.carry_out(act).await.map_err(|e| format!("{act}: {e}"))?;
        say(&format!("{:>6.1} s  {act} on {on}{seen}", elapsed.as_secs_f64()));
        Ok(())
    }

    /// Does it; what was seen of it.
    async fn carry_out(&mut self, act: Act) -> Result<String, String> {
        let fleet = &mut self.fleet;
        match act {
            Act::Kill(member) => {
                let held: usize = fleet.assignment().await?.values().map(|parts| held(parts, member)).sum();
                fleet.kill(member)?;
                return Ok(match member.kind {
                    Kind::Streams => format!("; it held {held} partitions and shards"),
                    Kind::Gateway => String::new(),
                });
            }
            Act::Start(member) => fleet.launch(member)?,
            Act::Freeze(member) => fleet.signal(member, "STOP")?,
            Act::Thaw(member) => fleet.signal(member, "CONT")?,
            Act::Restart(member) => {
                let drained = fleet.drain(member).await?;
                fleet.launch(member)?;
                return Ok(format!("; drained in {:.1} s", drained.as_secs_f64()));
            }
            Act::EndSessions => return Ok(format!("; {} sessions ended", end_sessions().await?)),
            // Other faults come while it blows.
            Act::StormConnections(member) => {
                let (gateway, quote) = (member.address()?, self.work.hot.quote().to_owned());
                self.storms.spawn(async move { (member, storm::blow(gateway, &quote).await) });
            }
        }
        Ok(String::new())
    }

    /// After the last fault: the work must go on until the end, and enough must have been hit.
    async fn die_down(&mut self, end: Instant) -> Result<(), String> {
        while let Some(blown) = self.storms.join_next().await {
            let (member, seen) = blown.map_err(|e| e.to_string())?;
            say(&format!("the connection storm on {member}: {}", seen?));
        }
        let (last, since) = (self.work.done(), Instant::now());
        self.work.until(end.max(since + Duration::from_secs(plan::QUIET))).await?;
        let now = self.work.done();
        if now == last {
            return Err(format!("nothing was done in the {} s after the last fault", plan::QUIET));
        }
        let before = self.before.as_deref().unwrap_or("nothing");
        say(&format!("before the first fault {before}; after the last {}", rate(now, last, since.elapsed())));
        let Self { faults, landed, .. } = self;
        if *landed < LANDED {
            return Err(format!("{landed} of {faults} faults landed on work; at least {LANDED} must"));
        }
        say(&format!("{landed} of {faults} faults landed on work, and the work went on after the last"));
        Ok(())
    }
}

async fn end(mut fleet: Fleet, work: Work, history: &History) -> Result<Vec<String>, String> {
    work.load.stop();
    let (won, lost) = work.hot.end().await?;
    let quotes = work.load.end().await?;
    say(&format!(
        "{} deals accepted; {won} changes of contested quotes made, {lost} lost to a faster one",
        quotes.len()
    ));
    if won == 0 || lost == 0 {
        return Err("nobody contested a quote, though several clients change the same".to_owned());
    }
    let kinds: Vec<String> = history.retried().iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
    say(&format!("clients tried again after: {}", kinds.join(", ")));
    for member in fleet.members() {
        fleet.ready(member).await?;
    }
    fleet.end().await?;
    Ok(quotes)
}

/// Ends the sessions of all services, in waves: whoever connects anew is hit again.
async fn end_sessions() -> Result<i64, String> {
    let url = variable("CPQ_DATABASE_URL")?;
    let mut session = PgConnection::connect(&url).await.map_err(|e| format!("PostgreSQL: {e}"))?;
    let mut ended = 0;
    for _ in 0..STORM_WAVES {
        ended += sqlx::query_scalar::<_, i64>(
            "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity \
             where datname = current_database() and usename = current_user and pid <> pg_backend_pid()",
        )
        .fetch_one(&mut session)
        .await
        .map_err(|e| e.to_string())?;
        tokio::time::sleep(WAVE).await;
    }
    if ended == 0 { Err("there was no session to end".to_owned()) } else { Ok(ended) }
}

/// Committed messages that are not on their topics yet; how many, as far as it can be asked just now.
async fn unpublished() -> String {
    let count = async {
        let mut truth = truth::over_all_tenants().await?;
        let count = sqlx::query_scalar::<_, i64>("select count(*) from cpq.outbox_event").fetch_one(&mut truth).await;
        count.map_err(|e| e.to_string())
    };
    count.await.map_or_else(|_| "?".to_owned(), |count| count.to_string())
}

/// Deals and changes in a second.
fn rate(now: (usize, usize), then: (usize, usize), elapsed: Duration) -> String {
    let per_second = |now: usize, then: usize| (now - then) as f64 / elapsed.as_secs_f64();
    format!("{:.1} deals/s and {:.1} changes/s", per_second(now.0, then.0), per_second(now.1, then.1))
}
