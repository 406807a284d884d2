//! The pump: claims pending rows, gives them to the producer, and marks what the broker has acknowledged.
//! One task, so that what is in hand has one owner.

use super::cursor::Cursor;
use super::keeper::View;
use super::producer::{Log, Producer, Refused, Report, Reporter, Reports, meaning};
use super::{DRAIN_LIMIT, Host, MAX_CLAIM_BYTES, MAX_IN_HAND_BYTES, MAX_MARK_ROWS, Store, StoreTx};
use cpq_runtime::backoff::Backoff;
use cpq_state_stores::StoreError;
use cpq_state_stores::lease::HeldShard;
use cpq_state_stores::outbox::{Claim, Claimed, Pending};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Pause before a row is offered again to a full producer queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);
/// A topic that cannot be written to is left alone for so long at first, twice as long each further time …
const TOPIC_PAUSE: Duration = Duration::from_secs(1);
/// … and never longer than this.
const MAX_TOPIC_PAUSE: Duration = Duration::from_secs(30);
/// Reports taken at once while waiting.
const REPORTS_AT_ONCE: usize = 10_000;
/// A producer that is thrown away gets so long to end.
const PRODUCER_END: Duration = Duration::from_secs(5);
/// So many acknowledged rows are marked at once …
const MARK_AT_ONCE: usize = 500;
/// … and fewer when the oldest has waited so long: rows that trickle do not cost a statement each.
const MARK_DELAY: Duration = Duration::from_millis(20);
/// A full sweep takes at most this part of the time between two.
const SWEEP_SHARE: u32 = 100;

/// A row that the producer has, or that is acknowledged and not yet marked.
struct InHand {
    shard: i16,
    tenant_id: String,
    topic: String,
    message_key: String,
    bytes: usize,
}

/// A topic that could not be written to.
struct Blocked {
    until: Instant,
    pause: Duration,
    /// The pause is over, and nothing is known yet of how it stands now.
    on_trial: bool,
}

/// How far a claim's rows got.
struct Sent {
    rows: usize,
    /// `None`: all are dealt with; else the last one that is, if any.
    stopped_after: Option<Option<i64>>,
}

type Marking = JoinHandle<(Vec<i64>, Result<u64, StoreError>)>;

/// See the module.
pub struct Pump<S, L: Log> {
    relay: Host<S, L>,
    leases: watch::Receiver<View>,
    /// What was last followed.
    view: View,
    drained: mpsc::UnboundedSender<Vec<HeldShard>>,
    woken: Arc<Notify>,
    /// Shards that are held and worked for.
    mine: BTreeSet<HeldShard>,
    /// Those of them that are to stay.
    claimable: BTreeSet<HeldShard>,
    cursor: Cursor,
    /// The parked keys by which the cursor passed rows over, as the last claim named them; `None`: others.
    parked: Option<String>,
    /// Whether the outbox may hold rows that no claim has seen.
    unseen: bool,
    in_hand: BTreeMap<i64, InHand>,
    bytes_in_hand: usize,
    producer: Option<L::Producer>,
    generation: u64,
    reporter: Reporter,
    reports: Reports,
    heard: Vec<Report>,
    acked: Vec<i64>,
    /// When `acked` is to be marked however little it is; without meaning while it is empty.
    mark_due: Instant,
    /// Marks failed: none before this.
    mark_after: Instant,
    mark_backoff: Backoff,
    marking: Option<Marking>,
    /// Rows that failed in company; each is tried alone before its key is parked.
    suspects: HashSet<i64>,
    blocked: HashMap<String, Blocked>,
    next_sweep: Instant,
    next_full_sweep: Instant,
    backoff: Backoff,
}

impl<S: Store, L: Log> Pump<S, L> {
    pub fn new(
        relay: Host<S, L>,
        leases: watch::Receiver<View>,
        drained: mpsc::UnboundedSender<Vec<HeldShard>>,
        woken: Arc<Notify>,
    ) -> Self {
        let (reporter, reports) = Reports::new();
        let now = Instant::now();
        let (next_sweep, next_full_sweep) = (now + relay.settings.sweep, now + relay.settings.full_sweep);
        Self {
            relay,
            leases,
            view: View::default(),
            drained,
            woken,
            mine: BTreeSet::new(),
            claimable: BTreeSet::new(),
            parked: None,
            cursor: Cursor::default(),
            unseen: true,
            in_hand: BTreeMap::new(),
            bytes_in_hand: 0,
            producer: None,
            generation: 0,
            reporter,
            reports,
            heard: Vec::new(),
            acked: Vec::new(),
            mark_due: now,
            mark_after: now,
            mark_backoff: Backoff::default(),
            marking: None,
            suspects: HashSet::new(),
            blocked: HashMap::new(),
            next_sweep,
            next_full_sweep,
            backoff: Backoff::default(),
        }
    }

    /// Pumps until shutdown, then waits, bounded, for what is in hand.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            self.follow_leases().await;
            self.take_reports().await;
            self.mark().await;
            self.unblock();
            match self.claim_and_send().await {
                Ok(0) => self.wait(&shutdown).await,
                Ok(_) => self.backoff.reset(),
                Err(error) => {
                    warn!(%error, "the outbox cannot be read now");
                    self.relay.status.set(Err(error.to_string()));
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(self.backoff.pause()) => {}
                    }
                }
            }
        }
        self.drain().await;
    }

    /// Takes up what is newly held, lets go what is lost, and hands over what is too much once it is empty.
    async fn follow_leases(&mut self) {
        let view = self.leases.borrow_and_update().clone();
        let renewed = view != self.view;
        if !renewed && self.mine.len() == self.claimable.len() {
            return;
        }
        self.view = view.clone();
        if self.mine.iter().any(|held| !view.held.contains(held)) {
            self.begin_again("a lease was lost").await;
            self.mine.retain(|held| view.held.contains(held));
        }
        let claimable: BTreeSet<HeldShard> = view.held.difference(&view.surplus).copied().collect();
        if !claimable.is_subset(&self.claimable) {
            // What the former holder left behind, or the cursor passed over meanwhile, may be anywhere.
            self.look_again();
        }
        self.mine.extend(&claimable);
        self.claimable = claimable;
        let busy: HashSet<i16> = self.in_hand.values().map(|row| row.shard).collect();
        let empty: Vec<HeldShard> = view
            .surplus
            .iter()
            // With a new view also those that were handed over: the keeper may have failed to give them back.
            .filter(|held| (renewed || self.mine.contains(held)) && !busy.contains(&held.shard))
            .copied()
            .collect();
        if !empty.is_empty() {
            self.mine.retain(|held| !empty.contains(held));
            // The keeper lives longer than the pump.
            let _ = self.drained.send(empty);
        }
    }

    /// Whether the leases are surely still held.
    fn lease_is_valid(&self) -> bool {
        self.leases.borrow().valid_until.is_some_and(|until| Instant::now() < until)
    }

    async fn take_reports(&mut self) {
        self.reports.take(&mut self.heard);
        let mut begin_again = self.producer.as_ref().is_some_and(Producer::is_fatal).then(|| "fatal error".to_owned());
        let mut failed_topics = HashSet::new();
        for Report { generation, id, failed } in std::mem::take(&mut self.heard) {
            if generation != self.generation || !self.in_hand.contains_key(&id) {
                continue;
            }
            let Some(code) = failed else {
                self.suspects.remove(&id);
                if !self.blocked.is_empty()
                    && let Some(row) = self.in_hand.get(&id)
                    // One that is not on trial has rows that the cursor passed over.
                    && !self.is_blocked(&row.topic)
                {
                    self.blocked.remove(&row.topic);
                }
                if self.acked.is_empty() {
                    self.mark_due = Instant::now() + MARK_DELAY;
                }
                self.acked.push(id);
                continue;
            };
            match meaning(code) {
                Refused::Message(cause) if self.suspects.remove(&id) => {
                    self.park_in_hand(id, &cause).await;
                    begin_again = Some(cause);
                }
                Refused::Message(cause) => {
                    // Messages sent together fail together: this one may be innocent.
                    self.suspects.insert(id);
                    begin_again = Some(cause);
                }
                Refused::Topic(cause) => {
                    if let Some(row) = self.let_go(id) {
                        self.block(&row.topic, &cause);
                        failed_topics.insert(row.topic);
                    }
                }
                Refused::Fatal(cause) => begin_again = Some(cause),
                Refused::Full => {}
            }
        }
        if !failed_topics.is_empty() && self.in_hand.values().any(|row| failed_topics.contains(&row.topic)) {
            // Some of the topic's messages failed, and others may still get through: they must not overtake.
            begin_again.get_or_insert_with(|| "a topic failed for some messages".to_owned());
        }
        if let Some(reason) = begin_again {
            self.begin_again(&reason).await;
        }
    }

    /// The next claim begins with the first row.
    fn look_again(&mut self) {
        self.cursor.rewind();
        self.unseen = true;
    }

    fn let_go(&mut self, id: i64) -> Option<InHand> {
        let row = self.in_hand.remove(&id)?;
        self.bytes_in_hand -= row.bytes;
        Some(row)
    }

    /// Throws away the producer and everything in hand; the outbox still has it.
    async fn begin_again(&mut self, reason: &str) {
        if let Some(marking) = self.marking.take() {
            self.marked(marking.await.ok());
        }
        let unsure = self.in_hand.len();
        warn!(reason, unsure, "relay begins again from the first pending row");
        metrics::counter!("cpq_relay_restarts_total").increment(1);
        metrics::counter!("cpq_relay_repeats_total").increment(unsure as u64);
        self.in_hand.clear();
        self.bytes_in_hand = 0;
        self.acked.clear();
        self.look_again();
        self.generation += 1;
        if let Some(producer) = self.producer.take() {
            // What is on the way may still arrive, as a repeat.
            if tokio::time::timeout(PRODUCER_END, producer.end()).await.is_err() {
                warn!("the former producer has not ended yet");
            }
        }
    }

    /// Takes the result of the mark that is under way, if it has one, and starts the next.
    async fn mark(&mut self) {
        if let Some(marking) = self.marking.take_if(|marking| marking.is_finished()) {
            self.marked(marking.await.ok());
        }
        let now = Instant::now();
        let due = self.acked.len() >= MARK_AT_ONCE || now >= self.mark_due;
        if self.marking.is_some() || self.acked.is_empty() || !due || now < self.mark_after {
            return;
        }
        let ids: Vec<i64> = self.acked.drain(..self.acked.len().min(MAX_MARK_ROWS)).collect();
        let held: Vec<HeldShard> = self.mine.iter().copied().collect();
        let (store, owner) = (self.relay.store.clone(), self.relay.owner.clone());
        self.marking = Some(tokio::spawn(async move {
            let result = store.mark(&owner, &held, &ids).await;
            (ids, result)
        }));
    }

    fn marked(&mut self, result: Option<(Vec<i64>, Result<u64, StoreError>)>) {
        match result {
            Some((ids, Ok(marked))) => {
                metrics::counter!("cpq_relay_produced_total").increment(ids.len() as u64);
                if marked < ids.len() as u64 {
                    warn!(rows = ids.len(), marked, "rows were not marked: their shards have another holder");
                }
                for id in ids {
                    self.let_go(id);
                }
                self.mark_backoff.reset();
            }
            Some((ids, Err(error))) => {
                warn!(%error, rows = ids.len(), "sent rows cannot be marked now");
                self.acked.extend(ids);
                self.mark_after = Instant::now() + self.mark_backoff.pause();
            }
            None => error!("marking ended without a result; the rows are sent again"),
        }
    }

    /// Claims what fits and gives it to the producer; returns how many rows it got.
    async fn claim_and_send(&mut self) -> Result<usize, StoreError> {
        let shards: Vec<i16> = self.claimable.iter().map(|held| held.shard).collect();
        let room =
            self.relay.settings.in_hand_rows.saturating_sub(self.in_hand.len()).min(self.relay.settings.claim_rows);
        if shards.is_empty() || room == 0 || self.bytes_in_hand >= MAX_IN_HAND_BYTES || !self.lease_is_valid() {
            return Ok(0);
        }
        if self.suspects.iter().any(|id| self.in_hand.contains_key(id)) {
            // It is being tried alone.
            return Ok(0);
        }
        let started = Instant::now();
        let full_sweep = started >= self.next_full_sweep;
        if !self.unseen && !full_sweep {
            return Ok(0);
        }
        if full_sweep {
            self.cursor.rewind();
        }
        let mut claimed = self.claim(&shards, room).await?;
        if self.parked.as_ref() != Some(&claimed.parked) && !self.cursor.is_at_start() {
            // A key was let go: its rows may lie below the cursor, and what was claimed must not overtake them.
            self.cursor.rewind();
            claimed = self.claim(&shards, room).await?;
        }
        let Claimed { snapshot, parked, rows } = claimed;
        self.parked = Some(parked);
        let answered = Instant::now();
        // What is committed from here on is hinted, or found by the sweep.
        self.unseen = false;
        self.next_sweep = started + self.relay.settings.sweep;
        if full_sweep {
            let pause = self.relay.settings.full_sweep.max((answered - started) * SWEEP_SHARE);
            self.next_full_sweep = answered + pause;
        }
        self.relay.status.set(Ok(format!("{} shards", shards.len())));
        let (claimed, bytes) = (rows.len(), rows.iter().map(|row| row.value.len()).sum::<usize>());
        let (mut last, mut cut) = (rows.last().map(|row| row.id), claimed >= room || bytes >= MAX_CLAIM_BYTES);
        let generation = self.generation;
        let sent = self.send(rows).await;
        if let Some(dealt_with) = sent.stopped_after {
            (last, cut) = (dealt_with, true);
        }
        self.unseen |= cut;
        if generation == self.generation {
            self.cursor.claimed((started, answered), &snapshot, last, cut);
        }
        Ok(sent.rows)
    }

    async fn claim(&self, shards: &[i16], room: usize) -> Result<Claimed, StoreError> {
        let in_hand: Vec<i64> = self.in_hand.range(self.cursor.low_water() + 1..).map(|(id, _)| *id).collect();
        let without_topics: Vec<String> = self.blocked.keys().filter(|topic| self.is_blocked(topic)).cloned().collect();
        let claim = Claim {
            shards,
            low_water: self.cursor.low_water(),
            recent: self.cursor.recent(),
            holders: self.cursor.holders(),
            in_hand: &in_hand,
            without_topics: &without_topics,
            max_rows: room as i64,
            max_bytes: MAX_CLAIM_BYTES as i64,
        };
        self.relay.store.claim(&claim).await
    }

    /// Gives rows to the producer, in order.
    async fn send(&mut self, rows: Vec<Pending>) -> Sent {
        let mut sent = 0;
        let mut dealt_with = None;
        let mut parked = HashSet::new();
        for row in rows {
            let (id, alone) = (row.id, self.suspects.contains(&row.id));
            // A suspect goes after everything else; and what has failed must not be overtaken.
            if alone && !self.in_hand.is_empty() || self.reports.has_failure() {
                return Sent { rows: sent, stopped_after: Some(dealt_with) };
            }
            let key = (row.topic, row.message_key);
            let skipped = self.is_blocked(&key.0) || parked.contains(&key);
            let row = Pending { topic: key.0, message_key: key.1, ..row };
            if !skipped {
                match self.send_one(&row).await {
                    Ok(()) => {
                        self.take_in_hand(row);
                        sent += 1;
                    }
                    Err(Refused::Topic(cause)) => self.block(&row.topic, &cause),
                    Err(Refused::Message(cause)) => {
                        self.park(&row.tenant_id, row.shard, &row.topic, &row.message_key, &cause).await;
                        parked.insert((row.topic, row.message_key));
                    }
                    Err(Refused::Fatal(cause)) => {
                        self.begin_again(&cause).await;
                        return Sent { rows: sent, stopped_after: Some(dealt_with) };
                    }
                    // The lease is no longer sure.
                    Err(Refused::Full) => return Sent { rows: sent, stopped_after: Some(dealt_with) },
                }
            }
            dealt_with = Some(id);
            if alone {
                return Sent { rows: sent, stopped_after: Some(dealt_with) };
            }
        }
        Sent { rows: sent, stopped_after: None }
    }

    /// Waits while the producer's queue is full; [`Refused::Full`] only once the lease is no longer sure.
    async fn send_one(&mut self, row: &Pending) -> Result<(), Refused> {
        loop {
            if !self.lease_is_valid() {
                return Err(Refused::Full);
            }
            match self.producer()?.send(row) {
                Err(Refused::Full) => tokio::time::sleep(QUEUE_PAUSE).await,
                done => return done,
            }
        }
    }

    fn producer(&mut self) -> Result<&L::Producer, Refused> {
        if self.producer.is_none() {
            let Host { log, owner, settings, .. } = &self.relay;
            let made = log.producer(owner, settings, self.generation, self.reporter.clone());
            self.producer = Some(made.map_err(|error| Refused::Fatal(error.to_string()))?);
        }
        self.producer.as_ref().ok_or_else(|| Refused::Fatal("no producer".to_owned()))
    }

    fn take_in_hand(&mut self, row: Pending) {
        let Pending { id, shard, tenant_id, topic, message_key, value, .. } = row;
        self.bytes_in_hand += value.len();
        self.in_hand.insert(id, InHand { shard, tenant_id, topic, message_key, bytes: value.len() });
    }

    /// Leaves a topic alone for a while; the rows of others go on.
    fn block(&mut self, topic: &str, cause: &str) {
        let pause = match self.blocked.get(topic) {
            Some(blocked) if !blocked.on_trial => return,
            Some(blocked) => (blocked.pause * 2).min(MAX_TOPIC_PAUSE),
            None => TOPIC_PAUSE,
        };
        warn!(topic, cause, seconds = pause.as_secs(), "a topic cannot be written to; its rows wait");
        metrics::counter!("cpq_relay_blocked_topics_total", "topic" => topic.to_owned()).increment(1);
        self.blocked.insert(topic.to_owned(), Blocked { until: Instant::now() + pause, pause, on_trial: false });
    }

    fn is_blocked(&self, topic: &str) -> bool {
        self.blocked.get(topic).is_some_and(|blocked| !blocked.on_trial)
    }

    /// Tries the topics whose pause is over: their rows may lie anywhere.
    fn unblock(&mut self) {
        let (now, mut again) = (Instant::now(), false);
        for blocked in self.blocked.values_mut().filter(|blocked| !blocked.on_trial && blocked.until <= now) {
            blocked.on_trial = true;
            again = true;
        }
        if again {
            self.look_again();
        }
    }

    async fn park_in_hand(&mut self, id: i64, cause: &str) {
        if let Some(row) = self.let_go(id) {
            self.park(&row.tenant_id, row.shard, &row.topic, &row.message_key, cause).await;
        }
    }

    /// Nothing of this key goes out until somebody resolves it. If it cannot be written down now, the row
    /// is found pending again and fails again.
    async fn park(&mut self, tenant: &str, shard: i16, topic: &str, key: &str, cause: &str) {
        let Some(held) = self.mine.iter().find(|held| held.shard == shard).copied() else { return };
        // The claim under way passes its rows over, and somebody may let it go before the next.
        (self.parked, self.unseen) = (None, true);
        let attempt = async {
            let mut tx = self.relay.store.begin_system().await?;
            if !tx.holds(&self.relay.owner, held).await? {
                return Err(StoreError::Fenced(format!("shard {shard}")));
            }
            tx.park_key(topic, key, tenant, cause).await?;
            tx.commit().await
        };
        match attempt.await {
            Ok(()) => {
                metrics::counter!("cpq_relay_parked_total").increment(1);
                error!(
                    topic,
                    business_key = key,
                    tenant_id = tenant,
                    cause,
                    "key parked: it cannot be put on its topic"
                );
            }
            Err(error) => {
                warn!(%error, topic, business_key = key, "a key cannot be parked now");
            }
        }
    }

    /// Until something happens: a hint, a report, a mark, a lease; or the sweep is due.
    async fn wait(&mut self, shutdown: &CancellationToken) {
        let Self {
            relay, leases, woken, reports, heard, acked, mark_due, mark_after, marking, unseen, next_sweep, ..
        } = self;
        let mark_waits = marking.is_none() && !acked.is_empty();
        let marked = async {
            match marking.as_mut() {
                Some(marking) => marking.await.ok(),
                None => std::future::pending().await,
            }
        };
        let marked = tokio::select! {
            biased;
            marked = marked => Some(marked),
            () = shutdown.cancelled() => None,
            () = woken.notified() => {
                *unseen = true;
                None
            }
            _ = leases.changed() => None,
            () = reports.wait(heard, REPORTS_AT_ONCE) => None,
            () = tokio::time::sleep_until((*mark_due).max(*mark_after)), if mark_waits => None,
            () = tokio::time::sleep_until(*next_sweep) => {
                *next_sweep = Instant::now() + relay.settings.sweep;
                *unseen = true;
                None
            }
        };
        if let Some(marked) = marked {
            self.marking = None;
            self.marked(marked);
        }
    }

    /// Waits for the acknowledgements of what is in hand, and marks it.
    async fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_LIMIT;
        let never = CancellationToken::new();
        while !self.in_hand.is_empty() && Instant::now() < deadline {
            self.take_reports().await;
            self.mark().await;
            self.wait(&never).await;
        }
        info!(unsure = self.in_hand.len(), "relay has stopped");
        if let Some(producer) = self.producer.take() {
            let _ = tokio::time::timeout(PRODUCER_END, producer.end()).await;
        }
    }
}
