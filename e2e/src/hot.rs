//! Quotes that several clients change at once: each reads a quote and changes what it has read, and of those who
//! have read the same revision one wins and the others are told so.

use crate::crm::{Crm, Request};
use crate::load::insist;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::json;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;
use ulid::Ulid;

/// So many of the quotes are hot,
const HOT: usize = 4;
/// and this share of all changes goes to them.
const HOT_SHARE: f64 = 0.6;
/// Clients that make the quotes at the beginning.
const MAKERS: usize = 8;

/// Clients at work.
pub struct Hot {
    clients: JoinSet<Result<(), String>>,
    shared: Arc<Shared>,
}

struct Shared {
    quotes: Vec<String>,
    stop: AtomicBool,
    won: AtomicUsize,
    lost: AtomicUsize,
    /// The revisions that somebody was told to have made. Two who made the same have overwritten one another.
    made: Mutex<HashSet<(String, u64)>>,
}

impl Hot {
    /// Makes so many quotes, and lets each of these clients change them until it is told to stop. The seed decides
    /// what each client does first, second, and so on.
    pub async fn start(clients: &[Crm], quotes: usize, seed: u64) -> Result<Self, String> {
        let maker = clients.first().ok_or("hot quotes need clients")?;
        let quotes = make(maker, quotes).await?;
        let (stop, won, lost) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { quotes, stop, won, lost, made: Mutex::default() });
        let mut set = JoinSet::new();
        for (n, crm) in clients.iter().cloned().enumerate() {
            let (shared, random) = (shared.clone(), StdRng::seed_from_u64(seed.wrapping_add(n as u64)));
            set.spawn(async move { shared.play(&crm, random).await });
        }
        Ok(Self { clients: set, shared })
    }

    /// Changes that were made, and those that somebody else was faster than.
    pub fn counts(&self) -> (usize, usize) {
        (self.shared.won.load(Ordering::SeqCst), self.shared.lost.load(Ordering::SeqCst))
    }

    /// One of the hot quotes.
    pub fn quote(&self) -> &str {
        &self.shared.quotes[0]
    }

    /// An error if a client has failed.
    pub fn healthy(&mut self) -> Result<(), String> {
        while let Some(ended) = self.clients.try_join_next() {
            ended.map_err(|e| e.to_string())??;
        }
        Ok(())
    }

    /// Lets each client finish what it has begun; the counts.
    pub async fn end(mut self) -> Result<(usize, usize), String> {
        self.shared.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.map_err(|e| e.to_string())??;
        }
        Ok(self.counts())
    }
}

async fn make(crm: &Crm, quotes: usize) -> Result<Vec<String>, String> {
    let left = Arc::new(AtomicUsize::new(quotes));
    let mut makers = JoinSet::new();
    for _ in 0..MAKERS {
        let (crm, left) = (crm.clone(), left.clone());
        makers.spawn(async move {
            let mut made = Vec::new();
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 12});
                let answer = insist(&crm, &Request::command(Method::POST, "/quotes", "hot-quotes", body)).await?;
                let quote = answer.body["quoteId"].as_str().filter(|_| answer.status == 201);
                made.push(quote.ok_or_else(|| format!("/quotes: {} {}", answer.status, answer.body))?.to_owned());
            }
            Ok::<_, String>(made)
        });
    }
    let mut all = Vec::new();
    while let Some(made) = makers.join_next().await {
        all.extend(made.map_err(|e| e.to_string())??);
    }
    Ok(all)
}

/// What a client does to a quote.
struct Change {
    /// Prices it; else configures it anew.
    price: bool,
    /// Says `If-Match` too.
    strict: bool,
    quantity: u32,
}

impl Shared {
    async fn play(&self, crm: &Crm, mut random: StdRng) -> Result<(), String> {
        while !self.stop.load(Ordering::SeqCst) {
            let among = if random.random_bool(HOT_SHARE) { HOT.min(self.quotes.len()) } else { self.quotes.len() };
            let quote = &self.quotes[random.random_range(0..among)];
            let change = Change {
                price: random.random_bool(0.4),
                strict: random.random_bool(0.5),
                quantity: random.random_range(1..=50),
            };
            self.make(crm, quote, &change).await?;
        }
        Ok(())
    }

    /// Reads the quote and changes what was read. Where somebody was faster, 409 names the revision in the body, 412
    /// that of `If-Match`; pricing what is not configured is a 409 too.
    async fn make(&self, crm: &Crm, quote: &str, change: &Change) -> Result<(), String> {
        let correlation = format!("hot-{}", Ulid::generate());
        let path = format!("/quotes/{quote}");
        let seen = insist(crm, &Request::get(&path, &correlation)).await?;
        let revision = seen.body["revision"].as_u64().filter(|_| seen.status == 200);
        let revision = revision.ok_or_else(|| format!("{path}: {} {}", seen.status, seen.body))?;
        let (path, method, body) = if change.price {
            (format!("{path}/pricing"), Method::POST, json!({"quoteRevision": revision}))
        } else {
            let quantity = change.quantity.to_string();
            let line =
                json!({"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": quantity, "action": "ADD"});
            (format!("{path}/configuration"), Method::PUT, json!({"quoteRevision": revision, "lines": [line]}))
        };
        let mut request = Request::command(method, &path, &correlation, body);
        request.if_match = change.strict.then_some(revision);
        let answer = insist(crm, &request).await?;
        match (answer.status, answer.body["revision"].as_u64()) {
            (409 | 412, _) => {
                self.lost.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            (200..300, Some(made)) => {
                self.won.fetch_add(1, Ordering::SeqCst);
                let first = self.made.lock().unwrap_or_else(PoisonError::into_inner).insert((quote.to_owned(), made));
                first.then_some(()).ok_or_else(|| format!("two clients were told that they made {quote} {made}"))
            }
            (status, _) => Err(format!("{path}: {status} {}", answer.body)),
        }
    }
}
