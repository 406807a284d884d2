//! R1: commands accepted over HTTP against pgbench writing the same rows, one transaction per command.

use super::http::{Client, Wait};
use super::{Extent, Question, Ratio, Target, Turn, floor};
use crate::services::{Verb, cpu_seconds, pid_of, stack};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Clients of both sides.
const CLIENTS: usize = 32;

const QUESTION: Question = Question {
    id: "R1",
    numerator: "commands accepted by the gateway over HTTP (respond-async, JWT checked), 32 clients, processors stopped",
    denominator: "pgbench, one transaction per command writing the same rows in one statement, 32 clients",
    unit: "commands/s",
    target: Target::AtLeast(1.0),
};

/// Measures it.
pub async fn measure(extent: Extent) -> Result<Ratio, String> {
    stack(Verb::Stop, &["streams", "camunda-bridge"]).await?;
    let mut owner = floor::owner().await?;
    floor::empty(&mut owner).await?;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        clients.push(Client::connect(n).await?);
    }
    clients[0].create_quote("bench-sample", Wait::Accepted).await?;
    let statement = floor::statement_like_the_gateways().await?;
    let (mut turns, mut generator, mut gateway) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..extent.repeats {
        floor::empty(&mut owner).await?;
        let before = (cpu_seconds(std::process::id())?, cpu_seconds(pid_of("command-gateway")?)?);
        let numerator;
        (clients, numerator) = accepted(clients, extent.seconds).await?;
        generator.push((cpu_seconds(std::process::id())? - before.0) / extent.seconds as f64);
        gateway.push((cpu_seconds(pid_of("command-gateway")?)? - before.1) / extent.seconds as f64);
        floor::empty(&mut owner).await?;
        let (statement, seconds) = (statement.clone(), extent.seconds);
        let floor = tokio::task::spawn_blocking(move || floor::pgbench(&statement, CLIENTS, seconds));
        turns.push(Turn { numerator, denominator: floor.await.map_err(|e| e.to_string())?? });
    }
    floor::empty(&mut owner).await?;
    stack(Verb::Start, &["streams", "camunda-bridge"]).await?;
    let cores = |cpu: Vec<f64>| super::median(cpu);
    let notes = vec![format!(
        "cores used while the gateway was loaded: load generator {:.2}, gateway {:.2}; the rest is PostgreSQL's",
        cores(generator),
        cores(gateway)
    )];
    Ok(QUESTION.answer(turns, notes))
}

/// Commands per second that these clients get accepted, each sending the next when it has the answer.
pub(super) async fn accepted(clients: Vec<Client>, seconds: u64) -> Result<(Vec<Client>, f64), String> {
    let (count, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut running = JoinSet::new();
    let began = Instant::now();
    for mut client in clients {
        let (count, over) = (count.clone(), over.clone());
        running.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                client.create_quote("bench-accept", Wait::Accepted).await?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, String>(client)
        });
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let rate = count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let clients = running.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok((clients, rate))
}
