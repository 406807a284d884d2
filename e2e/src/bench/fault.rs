//! R7: what the whole pipe carries after its services were killed, against what it carried before.

use super::pipe::{self, Ends, Load, OnFailure};
use super::{Extent, Question, Ratio, Target, Turn};
use crate::services::{Verb, stack};
use cpq_avro::topics::QUOTE_EVENTS;
use std::time::{Duration, Instant};

/// What is killed, one right after the other.
const KILLED: [&str; 2] = ["streams", "command-gateway"];
/// Both sides are measured for so many times the seconds of a turn: what a fault leaves is less than short turns differ.
const TIMES: u64 = 3;
/// Load before anything is measured.
const WARM_UP: Duration = Duration::from_secs(10);
/// The rate over so long tells whether the pipe is steady again.
const STEADY_OVER: Duration = Duration::from_secs(3);
/// It is at this share of the rate before.
const STEADY: f64 = 0.95;
/// Longest wait for that; what is carried then is measured all the same.
const PATIENCE: Duration = Duration::from_secs(60);

const QUESTION: Question = Question {
    id: "R7",
    numerator: "facts published by the whole pipe once it is steady after SIGKILL of streams and gateway and their restart",
    denominator: "the same before",
    unit: "facts/s",
    target: Target::AtLeast(0.95),
};

/// Measures it.
pub async fn measure(extent: Extent) -> Result<Ratio, String> {
    pipe::settle().await?;
    let (facts, during) = (Ends::of(QUOTE_EVENTS)?, Duration::from_secs(extent.seconds * TIMES));
    let mut load = Load::start(OnFailure::Reconnect).await?;
    tokio::time::sleep(WARM_UP).await;
    let (mut turns, mut ready, mut steady) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..extent.repeats {
        let denominator = facts.rate(during).await?;
        let killed = Instant::now();
        stack(Verb::Kill, &KILLED).await?;
        stack(Verb::Start, &KILLED).await?;
        ready.push(killed.elapsed().as_secs_f64());
        steady.push(until_steady(&facts, denominator, killed).await?.as_secs_f64());
        turns.push(Turn { numerator: facts.rate(during).await?, denominator });
        load.check()?;
    }
    load.stop().await?;
    pipe::settle().await?;
    let longest = steady.iter().copied().fold(0.0, f64::max);
    let notes = vec![format!(
        "seconds from the kill: {:.1} until both say that they are ready, {:.1} until the rate over {} s is at {STEADY} of \
         that before (longest {longest:.1})",
        super::median(ready),
        super::median(steady),
        STEADY_OVER.as_secs()
    )];
    Ok(QUESTION.answer(turns, notes))
}

/// How long after the kill the pipe began to carry again what it carried before.
async fn until_steady(facts: &Ends, before: f64, killed: Instant) -> Result<Duration, String> {
    loop {
        let began = killed.elapsed();
        if facts.rate(STEADY_OVER).await? >= STEADY * before || began > PATIENCE {
            return Ok(began);
        }
    }
}
