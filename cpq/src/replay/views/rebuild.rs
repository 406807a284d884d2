//! The rebuild itself: filled from the topics up to where the live projection stands, caught up with it, and
//! swapped. Where events come from is `source`'s matter, the tables and the swap are the store's.

use super::{Left, Report};
use crate::Failure;
use crate::kafka::Stretch;
use crate::output::Progress;
use crate::replay::source::{Batch, Source};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_state_stores::operations::swap::{self, Scope, Shown, Swapped};
use cpq_state_stores::{Db, StoreError, Tx};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use streams::projection::Projection;

/// The live projection is held once it is no more than so many records ahead.
const SMALL_LAG: i64 = 500;
/// After so many rounds it is held anyway, however far ahead: it then cannot run away any more.
const MAX_ROUNDS: u32 = 20;
/// So often the swap is tried, where the views are locked by others or an event turns out to be inapplicable.
const SWAP_ATTEMPTS: u32 = 20;
/// Between two tries.
const SWAP_PAUSE: Duration = Duration::from_millis(250);
/// More quotes or orders than these are not left out: the build does not fit the topic.
const MAX_LEFT: usize = 10_000;

/// Next offset by topic and partition.
type Positions = BTreeMap<(String, i32), i64>;

/// Views in the making.
pub struct Rebuild {
    session: Db,
    source: Source,
    at: Positions,
    /// Cause by quote or order.
    left: BTreeMap<String, String>,
    events: u64,
    began: Instant,
    progress: Progress,
}

/// How applying a batch ended.
enum Applied {
    Done,
    /// What was written in this transaction must go: an event cannot be applied, and is left out from now on.
    LeftOut,
}

impl Rebuild {
    /// Empty views, at the beginning of the topics, which must still be there.
    pub async fn begin(database_url: &str, source: Source) -> Result<Self, Failure> {
        for topic in Projection.topics() {
            if let Some(cut) = source.stretches(topic, None).await?.iter().find(|stretch| stretch.start > 0) {
                return Err(Failure::failed(format!(
                    "{}[{}] begins at offset {}: views cannot be made again from it",
                    cut.topic, cut.partition, cut.start
                )));
            }
        }
        let session = swap::open(database_url, "cpq-replay-views").await?;
        let (at, left) = (Positions::new(), BTreeMap::new());
        Ok(Self { session, source, at, left, events: 0, began: Instant::now(), progress: Progress::start() })
    }

    pub async fn run(mut self, views: &[String], tenant: Option<&str>) -> Result<Report, Failure> {
        for _ in 0..MAX_ROUNDS {
            let mut tx = self.session.begin_system().await?;
            let shown = swap::shown(&mut tx, Projection.consumer()).await?;
            tx.rollback().await?;
            let stretches = self.missing(&shown)?;
            if lag(&stretches) <= SMALL_LAG {
                break;
            }
            self.catch_up(stretches).await?;
        }
        let (views, in_motion, held) = self.swap(views, tenant).await?;
        let seconds = self.began.elapsed().as_secs_f64();
        let left = self.left.into_iter().map(|(id, cause)| Left { id, cause }).collect();
        let events_per_second = self.events as f64 / seconds;
        let held_seconds = held.as_secs_f64();
        Ok(Report { events: self.events, seconds, events_per_second, held_seconds, views, left, in_motion })
    }

    /// What the live projection has applied and the rebuild has not.
    fn missing(&self, shown: &[Shown]) -> Result<Vec<Stretch>, Failure> {
        let mut stretches = Vec::new();
        for Shown { topic, partition, next_offset } in shown {
            let start = self.at.get(&(topic.clone(), *partition)).copied().unwrap_or(0);
            if start > *next_offset {
                return Err(Failure::failed(format!(
                    "the projection went back in {topic}[{partition}], from {start} to {next_offset}; try again"
                )));
            }
            stretches.push(Stretch { topic: topic.clone(), partition: *partition, start, end: *next_offset });
        }
        Ok(stretches)
    }

    /// Applies these stretches, each batch in a transaction of its own.
    async fn catch_up(&mut self, stretches: Vec<Stretch>) -> Result<(), Failure> {
        let (mut ahead, reached) = (lag(&stretches), ends(&stretches));
        let mut incoming = self.source.read(stretches);
        while let Some(mut batch) = incoming.next().await? {
            loop {
                let mut tx = self.session.begin_system().await?;
                match self.apply(&mut tx, &mut batch).await? {
                    Applied::Done => break tx.commit().await?,
                    Applied::LeftOut => tx.rollback().await?,
                }
            }
            ahead -= batch.records;
            self.count(&batch, ahead);
        }
        self.at.extend(reached);
        Ok(())
    }

    fn count(&mut self, batch: &Batch, ahead: i64) {
        self.events += batch.deliveries.len() as u64;
        let rate = self.events as f64 / self.began.elapsed().as_secs_f64();
        self.progress.say(&format!("{} events, {rate:.0}/s, {ahead} records behind the live views", self.events));
    }

    async fn apply(&mut self, tx: &mut Tx, batch: &mut Batch) -> Result<Applied, Failure> {
        for record in batch.unreadable.drain(..) {
            let cause = record.to_string();
            self.leave(record.key, cause)?;
        }
        batch.deliveries.retain(|delivery| !self.left.contains_key(&delivery.key));
        let deliveries: Vec<&Delivery> = batch.deliveries.iter().collect();
        // Hints are for live views.
        match Projection.apply(tx, &deliveries, &mut AfterCommit::default()).await {
            Ok(()) => Ok(Applied::Done),
            Err(StepError::Store(error)) => Err(error.into()),
            Err(StepError::Poison { offset, cause }) => {
                let refused = batch.deliveries.iter().find(|delivery| delivery.offset == offset);
                let Delivery { topic, partition, key, .. } =
                    refused.ok_or_else(|| Failure::failed(format!("offset {offset}, not in this batch: {cause}")))?;
                self.leave(key.clone(), format!("{topic}[{partition}]@{offset}: {cause}"))?;
                Ok(Applied::LeftOut)
            }
        }
    }

    /// Leaves a quote or order as the live views show it. The first cause stays.
    fn leave(&mut self, id: String, cause: String) -> Result<(), Failure> {
        self.left.entry(id).or_insert(cause);
        match self.left.len() > MAX_LEFT {
            true => Err(Failure::failed(format!("more than {MAX_LEFT} quotes and orders have inapplicable events"))),
            false => Ok(()),
        }
    }

    /// Holds the live projection, works off the rest, swaps; and how long that took.
    async fn swap(&mut self, views: &[String], tenant: Option<&str>) -> Result<(Vec<Swapped>, i64, Duration), Failure> {
        let mut attempt = 1;
        loop {
            match self.try_swap(views, tenant).await {
                Ok(Some(swapped)) => return Ok(swapped),
                // An event more is left out: each attempt leaves one, and MAX_LEFT bounds them.
                Ok(None) => {}
                Err(Attempt::Busy(cause)) if attempt < SWAP_ATTEMPTS => {
                    self.progress.say(&format!("the live views are locked by others, trying again: {cause}"));
                    attempt += 1;
                    tokio::time::sleep(SWAP_PAUSE).await;
                }
                Err(Attempt::Busy(cause)) => return Err(cause.into()),
                Err(Attempt::Failed(failure)) => return Err(failure),
            }
        }
    }

    async fn try_swap(
        &mut self,
        views: &[String],
        tenant: Option<&str>,
    ) -> Result<Option<(Vec<Swapped>, i64, Duration)>, Attempt> {
        let events = self.events;
        let mut tx = self.session.begin_system().await.map_err(Failure::from)?;
        let began = Instant::now();
        let shown = match swap::hold(&mut tx, Projection.consumer()).await {
            Err(error @ StoreError::Transient(_)) => return Err(Attempt::Busy(error)),
            other => other.map_err(Failure::from)?,
        };
        let stretches = self.missing(&shown)?;
        let mut ahead = lag(&stretches);
        let mut incoming = self.source.read(stretches);
        while let Some(mut batch) = incoming.next().await? {
            if let Applied::LeftOut = self.apply(&mut tx, &mut batch).await? {
                incoming.stop().await;
                tx.rollback().await.map_err(Failure::from)?;
                self.events = events;
                return Ok(None);
            }
            ahead -= batch.records;
            self.count(&batch, ahead);
        }
        self.progress.say(&format!("{} events; swapping", self.events));
        let left: Vec<&str> = self.left.keys().map(String::as_str).collect();
        let scope = Scope { views, tenant, left: &left };
        let (views, in_motion) = swap::swap(&mut tx, Projection.consumer(), &scope).await.map_err(Failure::from)?;
        tx.commit().await.map_err(Failure::from)?;
        Ok(Some((views, in_motion, began.elapsed())))
    }
}

/// Why an attempt to swap has not come to its end.
enum Attempt {
    /// Others hold the views.
    Busy(StoreError),
    Failed(Failure),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn lag(stretches: &[Stretch]) -> i64 {
    stretches.iter().map(|stretch| stretch.end - stretch.start).sum()
}

fn ends(stretches: &[Stretch]) -> Positions {
    stretches.iter().map(|s| ((s.topic.clone(), s.partition), s.end)).collect()
}
