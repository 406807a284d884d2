//! A storm of connections on one gateway: hundreds that say nothing, and hundreds of clients that each open a new one
//! per request. It must answer or say that it is busy, and be there afterwards.

use crate::operator;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Connections that are opened and say nothing.
const SILENT: usize = 400;
/// Clients that ask at once: far more than the gateway has connections to the database.
const ASKING: usize = 150;
/// How long they go on.
const LENGTH: Duration = Duration::from_secs(3);
/// Longest wait for one answer: above the gateway's own bounded wait.
const ANSWER: Duration = Duration::from_secs(30);

/// Blows; says how often what was answered. An error if something was answered that is neither the quote nor a request
/// to come later.
pub async fn blow(gateway: SocketAddr, quote: &str) -> Result<String, String> {
    let token = operator::token("tenant-acme", "storm", &["sales-rep"])?;
    let mut opening = JoinSet::new();
    (0..SILENT).for_each(|_| drop(opening.spawn(TcpStream::connect(gateway))));
    let mut silent = Vec::new();
    while let Some(opened) = opening.join_next().await {
        silent.extend(opened.map_err(|e| e.to_string())?.ok());
    }
    let until = Instant::now() + LENGTH;
    let mut asking = JoinSet::new();
    for _ in 0..ASKING {
        asking.spawn(ask(format!("http://{gateway}/quotes/{quote}"), token.clone(), until));
    }
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(met) = asking.join_next().await {
        for (kind, n) in met.map_err(|e| e.to_string())?? {
            *kinds.entry(kind).or_default() += n;
        }
    }
    let list: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
    Ok(format!("{} silent connections, {ASKING} clients: {}", silent.len(), list.join(", ")))
}

async fn ask(url: String, token: String, until: Instant) -> Result<BTreeMap<String, usize>, String> {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(ANSWER).build();
    let client = client.map_err(|e| e.to_string())?;
    let mut kinds = BTreeMap::new();
    while Instant::now() < until {
        let kind = match client.get(&url).bearer_auth(&token).send().await {
            Err(error) if error.is_connect() => "no connection".to_owned(),
            // Another fault may have come meanwhile.
            Err(_) => "no answer".to_owned(),
            Ok(answer) => match (answer.status().as_u16(), answer.headers().contains_key("Retry-After")) {
                (200, _) => "200".to_owned(),
                (status @ (429 | 503), true) => format!("{status} with Retry-After"),
                (status, _) => return Err(format!("{url}: {status} {}", answer.text().await.unwrap_or_default())),
            },
        };
        *kinds.entry(kind).or_default() += 1;
    }
    Ok(kinds)
}
