//! R11: whole deals through the spine, against what the cores could do if each stage took only the CPU that it takes
//! alone. The same processes serve both sides: alone, all but one of them are stopped (SIGSTOP).

use super::cpu::Cpu;
use super::seller::Seller;
use super::{Extent, Question, Ratio, Target, Turn};
use crate::services::{Own, Verb, cpu_seconds, pid_of, stack};
use crate::settings::variable;
use crate::truth::over_all_tenants;
use cpq_avro::topics::{ORDER_COMMANDS, ORDER_EVENTS, QUOTE_COMMANDS, QUOTE_EVENTS, WORKFLOW_COMMANDS};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sqlx::PgConnection;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Sellers, each with one deal in hand.
const SELLERS: usize = 96;
/// Deals of each in one turn, stage by stage and all together.
const DEALS_EACH: usize = 10;
const DEALS: usize = SELLERS * DEALS_EACH;
/// The rate is taken between these shares of the deals, so that neither starting nor ending is in it.
const FROM: f64 = 0.15;
const TO: f64 = 0.9;
/// Longest wait for one stage, or for all deals.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);
/// What a stage does after its last commit: it tells Kafka where it is.
const AFTERWARDS: Duration = Duration::from_millis(100);
/// A process that was stopped for long has lost its partitions, and notices by its next heartbeat.
const REJOIN: Duration = Duration::from_secs(4);
/// Longest wait for an answer of Kafka.
const REQUEST: Duration = Duration::from_secs(15);
/// A deal goes to and fro fewer times.
const MOST_ROUNDS: usize = 30;

/// The processes of the spine behind the gateway, and what each reads.
const STAGES: [(&str, &[&str]); 5] = [
    ("relay", &[]),
    ("quote", &[QUOTE_COMMANDS]),
    ("document", &[WORKFLOW_COMMANDS]),
    ("order", &[ORDER_COMMANDS]),
    ("projection", &[QUOTE_EVENTS, ORDER_EVENTS]),
];
const RELAY: usize = 0;
const DOCUMENT: usize = 2;
/// Reads what the others write, and nobody waits for it: it goes on when they are done.
const PROJECTION: usize = 4;

const QUESTION: Question = Question {
    id: "R11",
    numerator: "whole deals, from a quote's creation to its order in the views, all stages together",
    denominator: "cores ÷ the CPU seconds per deal of all stages, each measured alone",
    unit: "deals/s",
    target: Target::AtLeast(0.7),
};

/// Measures it.
pub async fn measure(extent: Extent) -> Result<Ratio, String> {
    stack(Verb::Stop, &["streams", "camunda-bridge"]).await?;
    let cores = std::thread::available_parallelism().map_err(|e| e.to_string())?.get() as f64;
    let mut spine = Spine::start().await?;
    let (mut turns, mut alone, mut together) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..extent.repeats {
        spine.warm_up().await?;
        let stages = spine.alone().await?;
        spine.warm_up().await?;
        let whole = spine.together().await?;
        let ideal = cores / stages.iter().map(Cpu::total).sum::<f64>();
        turns.push(Turn { numerator: whole.rate, denominator: ideal });
        alone.push(stages);
        together.push(whole);
    }
    drop(spine);
    stack(Verb::Start, &["streams", "camunda-bridge"]).await?;
    Ok(QUESTION.answer(turns, notes(&alone, &together, cores)))
}

fn notes(alone: &[[Cpu; 1 + STAGES.len()]], together: &[Whole], cores: f64) -> Vec<String> {
    let mut notes = vec![
        "a deal: created, configured, priced, submitted (approved by policy), document made, accepted, ordered; bridge, \
         engine and notifications are not in it"
            .to_owned(),
    ];
    let names = ["gateway"].into_iter().chain(STAGES.iter().map(|(name, _)| *name));
    for (n, name) in names.enumerate() {
        let cpu = Cpu::median(&alone.iter().map(|stages| stages[n]).collect::<Vec<_>>());
        notes.push(format!("{name} alone, CPU per deal: {cpu}"));
    }
    let middle = |of: fn(&Whole) -> f64| super::median(together.iter().map(of).collect());
    let cpu = Cpu::median(&together.iter().map(|whole| whole.cpu).collect::<Vec<_>>());
    let generator = middle(|whole| whole.generator);
    let busy = middle(|whole| (whole.cpu.total() + whole.generator) * whole.rate);
    notes.push(format!(
        "together, CPU per deal: {cpu}, and {:.2} ms of the load generator, which shares the cores and is not in the \
         sum of the stages; {busy:.2} of {cores} cores were busy with all that",
        generator * 1e3
    ));
    notes
}

/// All stages together; CPU seconds are per deal.
struct Whole {
    /// Deals per second.
    rate: f64,
    /// Of all stages.
    cpu: Cpu,
    generator: f64,
}

/// The processes of the spine, and those who sell.
struct Spine {
    gateway: u32,
    stages: Vec<Own>,
    sellers: Vec<Seller>,
    truth: PgConnection,
    kafka: BaseConsumer,
}

impl Spine {
    async fn start() -> Result<Self, String> {
        let logs = PathBuf::from(variable("CPQ_STACK_DIR")?).join("logs");
        let admin = [("CPQ_STREAMS_ADMIN_ADDR", "127.0.0.1:0".to_owned())];
        let start =
            |role: &str| Own::start("streams", &["--role", role], &admin, &logs.join(format!("bench-{role}.log")));
        let stages = STAGES.iter().map(|(role, _)| start(role)).collect::<Result<_, _>>()?;
        let mut sellers = Vec::new();
        for n in 0..SELLERS {
            sellers.push(Seller::connect(n).await?);
        }
        let brokers = variable("CPQ_KAFKA_BROKERS")?;
        let kafka = ClientConfig::new().set("bootstrap.servers", brokers).create().map_err(|e| e.to_string())?;
        Ok(Self { gateway: pid_of("command-gateway")?, stages, sellers, truth: over_all_tenants().await?, kafka })
    }

    /// Lets all go on and brings a deal of each seller to its end: every process has its partitions then.
    async fn warm_up(&mut self) -> Result<(), String> {
        self.stages.iter().try_for_each(|stage| stage.signal("CONT"))?;
        tokio::time::sleep(REJOIN).await;
        self.sell(1, Part::Whole).await?;
        let began = Instant::now();
        while !self.is_quiet().await? {
            in_time(began, "the spine")?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// CPU seconds per deal of the gateway and of each stage, none going on beside another.
    async fn alone(&mut self) -> Result<[Cpu; 1 + STAGES.len()], String> {
        self.stages.iter().try_for_each(|stage| stage.signal("STOP"))?;
        let mut used = [Cpu::default(); 1 + STAGES.len()];
        let before = self.orders().await?;
        for part in [Part::Open, Part::Close] {
            let idle = Cpu::now(&[self.gateway])?;
            self.sell(DEALS_EACH, part).await?;
            used[0] += Cpu::now(&[self.gateway])? - idle;
            self.rounds(&mut used[1..]).await?;
        }
        used[1 + PROJECTION] += self.stage(PROJECTION).await?;
        let seen = self.orders().await? - before;
        if seen != DEALS as i64 {
            return Err(format!("of {DEALS} deals that went stage by stage, {seen} have their order in the view"));
        }
        Ok(used.map(|cpu| cpu.per(DEALS)))
    }

    /// One stage after the other, until none has anything left to do.
    async fn rounds(&mut self, used: &mut [Cpu]) -> Result<(), String> {
        for _ in 0..MOST_ROUNDS {
            let mut quiet = true;
            for (n, cpu) in used.iter_mut().enumerate().take(PROJECTION) {
                if !self.is_done(n, self.end(n)?).await? {
                    *cpu += self.stage(n).await?;
                    quiet = false;
                }
            }
            if quiet {
                return Ok(());
            }
        }
        Err(format!("the stages have not come to an end in {MOST_ROUNDS} rounds"))
    }

    /// Lets this stage alone go on until it has done what there is to do; gives what that took.
    async fn stage(&mut self, n: usize) -> Result<Cpu, String> {
        let (end, pid) = (self.end(n)?, self.stages[n].pid());
        let before = Cpu::now(&[pid])?;
        self.stages[n].signal("CONT")?;
        let began = Instant::now();
        while !self.is_done(n, end).await? {
            in_time(began, STAGES[n].0)?;
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(AFTERWARDS).await;
        self.stages[n].signal("STOP")?;
        Ok(Cpu::now(&[pid])? - before)
    }

    async fn is_quiet(&mut self) -> Result<bool, String> {
        for n in 0..STAGES.len() {
            if !self.is_done(n, self.end(n)?).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where what a stage reads ends, summed over all partitions.
    fn end(&self, n: usize) -> Result<i64, String> {
        let mut sum = 0;
        for topic in STAGES[n].1 {
            let metadata = self.kafka.fetch_metadata(Some(topic), REQUEST).map_err(|e| e.to_string())?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                let marks = self.kafka.fetch_watermarks(topic, partition.id(), REQUEST).map_err(|e| e.to_string())?;
                sum += marks.1;
            }
        }
        Ok(sum)
    }

    /// Whether a stage has come to this end and has nothing in hand.
    async fn is_done(&mut self, n: usize, end: i64) -> Result<bool, String> {
        const OUTBOX: &str = "select not exists (select from cpq.outbox_event)";
        const DUTIES: &str = "select not exists (select from cpq.workflow_duty where kind = 'RENDER_ARTIFACT')";
        const POSITION: &str =
            "select coalesce(sum(next_offset), 0) = $2 from cpq.consumer_position where consumer = $1";
        let database = |e: sqlx::Error| format!("PostgreSQL: {e}");
        if n == RELAY {
            return sqlx::query_scalar(OUTBOX).fetch_one(&mut self.truth).await.map_err(database);
        }
        let position = sqlx::query_scalar(POSITION).bind(STAGES[n].0).bind(end);
        let read: bool = position.fetch_one(&mut self.truth).await.map_err(database)?;
        if n != DOCUMENT || !read {
            return Ok(read);
        }
        sqlx::query_scalar(DUTIES).fetch_one(&mut self.truth).await.map_err(database)
    }

    /// How many orders the view shows.
    async fn orders(&mut self) -> Result<i64, String> {
        let count = sqlx::query_scalar("select count(*) from cpq.order_operations_view");
        count.fetch_one(&mut self.truth).await.map_err(|e| format!("PostgreSQL: {e}"))
    }

    /// All stages together: the rate at which orders come into their view.
    async fn together(&mut self) -> Result<Whole, String> {
        let pids: Vec<u32> = self.stages.iter().map(Own::pid).chain([self.gateway]).collect();
        let used = || Ok::<_, String>((Cpu::now(&pids)?, cpu_seconds(std::process::id())?));
        let before = self.orders().await?;
        let selling = tokio::spawn(sell(std::mem::take(&mut self.sellers), DEALS_EACH, Part::Whole));
        let (began, mut first, mut last) = (Instant::now(), None, None);
        while last.is_none() {
            in_time(began, "the spine")?;
            tokio::time::sleep(LOOK).await;
            let done = (self.orders().await? - before) as f64;
            if first.is_none() && done >= FROM * DEALS as f64 {
                first = Some((Instant::now(), done, used()?));
            }
            if done >= TO * DEALS as f64 {
                last = Some((Instant::now(), done, used()?));
            }
        }
        self.sellers = selling.await.map_err(|e| e.to_string())??;
        match (first, last) {
            (Some((t0, d0, (c0, g0))), Some((t1, d1, (c1, g1)))) if d1 > d0 => {
                let deals = d1 - d0;
                let cpu = (c1 - c0).per(deals as usize);
                Ok(Whole { rate: deals / (t1 - t0).as_secs_f64(), cpu, generator: (g1 - g0) / deals })
            }
            _ => Err("the deals were done before they could be measured".to_owned()),
        }
    }

    async fn sell(&mut self, each: usize, part: Part) -> Result<(), String> {
        self.sellers = sell(std::mem::take(&mut self.sellers), each, part).await?;
        Ok(())
    }
}

/// What is done with a deal.
#[derive(Clone, Copy)]
enum Part {
    Open,
    Close,
    Whole,
}

/// So many deals of each seller, all sellers at once.
async fn sell(sellers: Vec<Seller>, each: usize, part: Part) -> Result<Vec<Seller>, String> {
    let mut selling = JoinSet::new();
    for mut seller in sellers {
        selling.spawn(async move {
            for _ in 0..each {
                if !matches!(part, Part::Close) {
                    seller.open().await?;
                }
                if !matches!(part, Part::Open) {
                    seller.close().await?;
                }
            }
            Ok::<_, String>(seller)
        });
    }
    // The first that fails ends it.
    let mut sellers = Vec::new();
    while let Some(sold) = selling.join_next().await {
        sellers.push(sold.map_err(|e| e.to_string())??);
    }
    Ok(sellers)
}

fn in_time(began: Instant, who: &str) -> Result<(), String> {
    if began.elapsed() < PATIENCE {
        return Ok(());
    }
    Err(format!("{who} is not done in {} s; see the logs of the stack", PATIENCE.as_secs()))
}
