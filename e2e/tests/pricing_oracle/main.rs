//! Two pricings of one contract, the product's and one in Python that shares no code with it, on random quotes over
//! random catalogs: they agree to the last digit. Needs Python 3 and nothing else.
//! `CPQ_ORACLE_SEED` repeats a run, `CPQ_ORACLE_QUOTES` makes it longer or shorter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calendar;
mod catalogs;
mod conditions;
mod dice;
mod laws;
mod oracle;
mod prices;
mod product;
mod quotes;
mod shrink;
mod tally;

use cpq_e2e::settings::number;
use dice::Dice;
use laws::Broken;
use oracle::Oracle;
use product::{Asked, Priced, Shop};
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use tally::Tally;

const QUOTES: usize = 100_000;
/// So many that making the catalog does not count, so few that there are hundreds of catalogs.
const QUOTES_PER_CATALOG: usize = 150;
/// With fewer quotes than this a rare feature may be absent by chance.
const ENOUGH: usize = 50_000;
/// Every so many quotes, those beside it are priced, too.
const WITH_NEIGHBOURS: usize = 8;
/// Pairs of our pricing and an oracle, at most.
const MAX_WORKERS: usize = 8;

#[test]
fn an_independent_oracle_prices_every_random_quote_to_the_same_digit() {
    let seed = number("CPQ_ORACLE_SEED", rand::random::<u32>() as usize).unwrap() as u64;
    let wanted = number("CPQ_ORACLE_QUOTES", QUOTES).unwrap();
    show(&format!("pricing oracle: CPQ_ORACLE_SEED={seed}, {wanted} quotes\n"));
    let began = Instant::now();
    let (next, total, found) = (AtomicUsize::new(0), Mutex::new(Tally::default()), Mutex::new(None));
    let batches = wanted.div_ceil(QUOTES_PER_CATALOG);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let (mut oracle, mut tally) = (Oracle::start(), Tally::default());
                loop {
                    let batch = next.fetch_add(1, Ordering::Relaxed);
                    if batch >= batches {
                        break;
                    }
                    if let Some(case) = play(seed.rotate_left(32) ^ batch as u64, &mut oracle, &mut tally) {
                        next.store(batches, Ordering::Relaxed);
                        *found.lock().unwrap() = Some((batch, case));
                    }
                }
                total.lock().unwrap().add(tally);
            });
        }
    });
    let tally = total.into_inner().unwrap();
    show(&format!("{tally}in {:.1} s\n", began.elapsed().as_secs_f64()));
    if let Some((batch, case)) = found.into_inner().unwrap() {
        panic!("seed {seed}, batch {batch}\n{}", told(case));
    }
    let absent = tally.absent();
    assert!(wanted < ENOUGH || absent.is_empty(), "seed {seed}: a run without {absent:?} shows too little");
}

/// Past the test harness, which keeps what a passing test prints to itself.
fn show(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

/// One catalog and its quotes, by a seed of their own; the first case that is wrong: `{reference, quote}`.
fn play(seed: u64, oracle: &mut Oracle, tally: &mut Tally) -> Option<Value> {
    let mut dice = Dice::new(seed);
    let (shelf, mut reference) = catalogs::random(&mut dice);
    let shop = publish(&mut reference, tally);
    tally.count("catalog: published");
    let quotes: Vec<Value> = (0..QUOTES_PER_CATALOG).map(|id| quotes::random(&mut dice, &shelf, id)).collect();
    let ours = || -> Vec<(Asked, Priced)> {
        let price = |quote: &Value| {
            let asked = shop.ask(quote).unwrap_or_else(|why| panic!("{why}\n{quote}\n{reference}"));
            let priced = shop.price(&asked);
            (asked, priced)
        };
        quotes.iter().map(price).collect()
    };
    let (answers, ours) = oracle.ask(&reference, &quotes, ours).expect("the oracle answers to the end");
    for (i, (quote, (asked, priced))) in quotes.iter().zip(&ours).enumerate() {
        if wrong(&shop, asked, priced, &answers[i], i % WITH_NEIGHBOURS == 0).is_some() {
            return Some(json!({"reference": reference, "quote": quote}));
        }
        tally.quote(&shop, asked, priced);
        tally.left_open(quote, &answers[i]);
    }
    None
}

/// Publishes a catalog, without the prices that are refused because they tie with others.
fn publish(reference: &mut Value, tally: &mut Tally) -> Shop {
    loop {
        let faults = match Shop::open(reference) {
            Ok(shop) => return shop,
            Err(faults) => faults,
        };
        let mut tied: Vec<usize> = faults
            .iter()
            .map(|fault| {
                let index = fault.pointer.strip_prefix("/prices/").filter(|_| fault.detail.starts_with("ties with"));
                index.and_then(|index| index.parse().ok()).unwrap_or_else(|| panic!("{fault:?}\n{reference}"))
            })
            .collect();
        tied.sort_unstable();
        tied.dedup();
        for index in tied.into_iter().rev() {
            tally.count("catalog: tie refused");
            reference["catalog"]["prices"].as_array_mut().unwrap().remove(index);
        }
    }
}

/// Why the product's answer is not right, if it is not.
fn wrong(shop: &Shop, asked: &Asked, priced: &Priced, answer: &Value, neighbours: bool) -> Option<String> {
    if !oracle::agrees(&product::shown(priced), answer) {
        return Some("the oracle says otherwise".to_owned());
    }
    let mut broken = Broken::default();
    if let Ok((price, trace)) = priced {
        laws::of_one(price, trace, &mut broken);
        if neighbours {
            laws::of_neighbours(shop, asked, price, &mut broken);
        }
    }
    (!broken.0.is_empty()).then(|| broken.0.join("; "))
}

/// A case with both answers to it.
struct Dispute {
    why: String,
    product: Value,
    oracle: Value,
}

impl Dispute {
    /// What stays the same while a case shrinks, so that it does not become another one.
    fn kind(&self) -> (&str, &Value, Vec<&Value>) {
        let faults = self.oracle["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut codes: Vec<&Value> = faults.iter().map(|fault| &fault["code"]).collect();
        codes.dedup();
        (&self.why, &self.product["errorCode"], codes)
    }
}

/// A case, judged by itself; none if nothing is wrong with it, or if it is no case at all.
fn judged(case: &Value, oracle: &mut Oracle) -> Option<Dispute> {
    let shop = Shop::open(&case["reference"]).ok()?;
    let asked = shop.ask(&case["quote"]).ok()?;
    let priced = shop.price(&asked);
    let Some((answers, ())) = oracle.ask(&case["reference"], std::slice::from_ref(&case["quote"]), || ()) else {
        // It was no case for the oracle either, and ended it.
        *oracle = Oracle::start();
        return None;
    };
    let why = wrong(&shop, &asked, &priced, &answers[0], true)?;
    Some(Dispute { why, product: product::shown(&priced), oracle: answers[0].clone() })
}

/// The smallest case like this one, with both answers.
fn told(case: Value) -> String {
    let mut oracle = Oracle::start();
    let Some(first) = judged(&case, &mut oracle) else { return format!("wrong in its batch alone: {case}") };
    let smallest = shrink::shrink(case, |smaller| {
        judged(smaller, &mut oracle).is_some_and(|dispute| dispute.kind() == first.kind())
    });
    let last = judged(&smallest, &mut oracle).unwrap_or(first);
    format!("{}\ncase: {smallest:#}\nproduct: {:#}\noracle: {:#}", last.why, last.product, last.oracle)
}
