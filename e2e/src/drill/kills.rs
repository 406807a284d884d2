//! Processes killed under load, and started again as an operator would.

use super::{say, under_load};
use crate::history::History;
use crate::load::Load;
use crate::services::{Verb, stack};
use std::time::Duration;

/// How long a part stays away.
const AWAY: Duration = Duration::from_secs(5);

/// Each service in turn.
pub async fn services(history: &History, deals: usize) -> Result<Vec<String>, String> {
    let kills = ["command-gateway", "streams", "camunda-bridge", "streams", "simulators", "command-gateway"];
    let mut load = under_load(history, deals).await?;
    for (n, service) in kills.into_iter().enumerate() {
        load.reaches((n + 1) * deals / 10).await?;
        kill_and_start(&load, service, Duration::ZERO).await?;
    }
    load.end().await
}

/// One part of the stack, away for a while.
pub async fn part(history: &History, deals: usize, part: &str) -> Result<Vec<String>, String> {
    let load = under_load(history, deals).await?;
    kill_and_start(&load, part, AWAY).await?;
    if part == "postgres" {
        // The registry's pool hands out each connection that Postgres has ended once more, and answers 500 with it. Ours
        // wait such answers out; whoever reads the topics from outside need not.
        stack(Verb::Stop, &["registry"]).await?;
        stack(Verb::Start, &["registry"]).await?;
        say("started the schema registry anew, which keeps broken connections");
    }
    load.end().await
}

async fn kill_and_start(load: &Load, name: &str, away: Duration) -> Result<(), String> {
    // A fault that lands when all work is done proves nothing.
    if !load.in_flight() {
        return Err(format!("all deals were done before {name} was killed: run with more deals"));
    }
    stack(Verb::Kill, &[name]).await?;
    tokio::time::sleep(away).await;
    stack(Verb::Start, &[name]).await?;
    say(&format!("killed {name} and started it again after {} s", away.as_secs()));
    Ok(())
}
