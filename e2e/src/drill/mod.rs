//! Failure drills against the running stack: each breaks something while deals are on their way, says what was
//! seen, mends it, and asks the history checker. Rows of the fault catalogue are named by number.

mod broker;
mod fleet;
mod kills;
mod order_worker;
mod plan;
mod rolling_restart;
mod storm;
mod three_brokers;
mod under_fire;

use crate::checker;
use crate::history::History;
use crate::load::{self, Load};
use crate::services::{Verb, stack};
use std::collections::HashSet;
use std::time::Duration;

/// Longest that a drill may take, with its waits for everything to drain.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// And for each second of load: its work must be fulfilled and checked too.
const DEADLINE_PER_SECOND: Duration = Duration::from_secs(3);
/// All that a drill may have taken away.
const PARTS: [&str; 8] =
    ["postgres", "redis", "kafka", "engine", "simulators", "command-gateway", "streams", "camunda-bridge"];

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Deals of load, where it is counted.
    pub deals: usize,
    /// Seconds of load, where it is timed.
    pub seconds: u64,
    /// Quotes that several clients change at once, a few of them hot.
    pub keys: usize,
    /// What is left to chance follows from it.
    pub seed: u64,
}

impl Default for Extent {
    fn default() -> Self {
        Self { deals: 200, seconds: plan::SHORTEST, keys: 100, seed: rand::random() }
    }
}

/// A drill by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drill {
    /// Fault 51.
    AcceptQuoteTimeout,
    /// Fault 24.
    BrokerDown,
    /// Faults 1, 2, 7, 8, 13, 16.
    KillServices,
    /// Fault 34.
    RedisDown,
    /// Fault 35.
    EngineDown,
    /// Fault 17.
    PostgresRestart,
    /// Faults 6, 15.
    RollingRestart,
    /// Faults 1, 2, 5–10, 13, 15, 16, 18, by chance.
    UnderFire,
    /// Fault 25.
    ThreeBrokers,
}

impl Drill {
    pub const ALL: [Self; 9] = [
        Self::AcceptQuoteTimeout,
        Self::BrokerDown,
        Self::KillServices,
        Self::RedisDown,
        Self::EngineDown,
        Self::PostgresRestart,
        Self::RollingRestart,
        Self::UnderFire,
        Self::ThreeBrokers,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptQuoteTimeout => "accept-quote-timeout",
            Self::BrokerDown => "broker-down",
            Self::KillServices => "kill-services",
            Self::RedisDown => "redis-down",
            Self::EngineDown => "engine-down",
            Self::PostgresRestart => "postgres-restart",
            Self::RollingRestart => "rolling-restart",
            Self::UnderFire => "under-fire",
            Self::ThreeBrokers => "three-brokers",
        }
    }

    pub fn about(self) -> &'static str {
        match self {
            Self::AcceptQuoteTimeout => "the order worker is down when a quote is accepted (fault 51)",
            Self::BrokerDown => "Kafka is down while commands come in (fault 24)",
            Self::KillServices => {
                "gateway, streams, bridge and simulators are killed in mid-flight (faults 1, 2, 7, 8, 13, 16)"
            }
            Self::RedisDown => "Redis is gone for a while (fault 34)",
            Self::EngineDown => "the workflow engine is gone for a while (fault 35)",
            Self::PostgresRestart => "PostgreSQL is restarted in immediate mode (fault 17)",
            Self::RollingRestart => "a streams process is added, then all are restarted in turn (faults 6, 15)",
            Self::UnderFire => "a seeded plan of faults hits everything that runs (faults 1, 2, 5-10, 13, 15, 16, 18)",
            Self::ThreeBrokers => "of three brokers in network namespaces the busiest is killed (fault 25; root)",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|drill| drill.name() == name)
    }

    /// Runs it. Gives the checker's report. What it has taken away runs again afterwards, however it went.
    pub async fn run(self, extent: Extent) -> Result<String, String> {
        if self == Self::ThreeBrokers && !three_brokers::here() {
            return three_brokers::elsewhere(extent).await;
        }
        let deadline = DEADLINE
            .saturating_add(DEADLINE_PER_SECOND.saturating_mul(u32::try_from(extent.seconds).unwrap_or(u32::MAX)));
        let late = |_| Err(format!("the drill {} was not over after {} s", self.name(), deadline.as_secs()));
        let result = tokio::time::timeout(deadline, self.break_and_check(extent)).await.unwrap_or_else(late);
        // The stack with three brokers is thrown away.
        if result.is_err() && self != Self::ThreeBrokers {
            stack(Verb::Start, &PARTS).await?;
        }
        result
    }

    async fn break_and_check(self, extent: Extent) -> Result<String, String> {
        let (history, deals) = (History::default(), extent.deals);
        let quotes = match self {
            Self::AcceptQuoteTimeout => order_worker::run(&history).await?,
            Self::BrokerDown => broker::run(&history, deals).await?,
            Self::KillServices => kills::services(&history, deals).await?,
            Self::RedisDown => kills::part(&history, deals, "redis").await?,
            Self::EngineDown => kills::part(&history, deals, "engine").await?,
            Self::PostgresRestart => kills::part(&history, deals, "postgres").await?,
            Self::RollingRestart => rolling_restart::run(&history).await?,
            Self::UnderFire => under_fire::run(&history, extent).await?,
            Self::ThreeBrokers => three_brokers::run(&history, deals).await?,
        };
        say(&format!("waiting until the orders of {} quotes are fulfilled", quotes.len()));
        let crm = load::sales(&history)?;
        let mut orders = HashSet::new();
        for quote in &quotes {
            if !orders.insert(load::fulfilled(&crm, quote).await?) {
                return Err(format!("{quote} shares its order with another quote"));
            }
        }
        say("everything is fulfilled; asking the history checker");
        checker::check(&history).await?.verdict()
    }
}

/// Tells what happens.
fn say(what: &str) {
    println!("drill: {what}");
}

/// Starts the load and waits until it is well under way.
async fn under_load(history: &History, deals: usize) -> Result<Load, String> {
    /// The load's clients.
    const CLIENTS: usize = 8;
    let mut load = Load::start(CLIENTS, deals, history)?;
    load.reaches(deals / 10).await?;
    say(&format!("{deals} deals of {CLIENTS} clients are on their way"));
    Ok(load)
}
