//! The log and its producers in memory, as librdkafka's idempotent, gapless ones behave: each partition in order, a
//! lost acknowledgement is asked for again without a second copy, a failure for good stops the whole producer, and
//! what is on the way arrives though its producer is gone.

use crate::world::{Inner, Sickness, World};
use cpq_state_stores::outbox::{Pending, shard_of};
use fastrand::Rng;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use streams::relay::{Log, Producer, Refused, RelaySettings, Report, Reporter};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// Aggregates' events; each key has one writer at a time.
pub const FACTS: &str = "facts";
/// Whoever likes writes.
pub const COMMANDS: &str = "commands";
const PARTITIONS: i16 = 2;
/// Messages of one request, at most.
const MAX_BATCH: usize = 8;
/// Between learning that a topic is not there and learning that it is, at least.
const METADATA: Duration = Duration::from_millis(20);

type Place = (String, i16);

pub struct Broker {
    /// Takes nothing until then.
    pub away_until: Instant,
    /// Topics that are not there until then.
    pub gone_until: BTreeMap<&'static str, Instant>,
    clients: Vec<Client>,
}

impl Broker {
    pub fn new(now: Instant) -> Self {
        Self { away_until: now, gone_until: BTreeMap::new(), clients: Vec::new() }
    }
    fn is_gone(&self, topic: &str) -> bool {
        self.gone_until.get(topic).is_some_and(|until| *until > Instant::now())
    }
}

/// What a producer knows.
struct Client {
    process: usize,
    generation: u64,
    reporter: Reporter,
    queues: BTreeMap<Place, (VecDeque<Pending>, Arc<Notify>)>,
    /// Topics that are not there, and since when it knows.
    unknown: BTreeMap<String, Instant>,
    fatal: bool,
    ended: bool,
}

impl Client {
    fn report(&self, rows: &[Pending], failed: Option<Code>) {
        for row in rows {
            self.reporter.report(Report { generation: self.generation, id: row.id, failed });
        }
    }

    /// One after the other, as the client's thread comes to it.
    fn report_failures(&self, rows: Vec<(i64, Code)>, rng: &mut Rng) {
        let (reporter, generation) = (self.reporter.clone(), self.generation);
        let pauses: Vec<u64> = rows.iter().map(|_| if rng.u32(0..8) == 0 { rng.u64(1..4) } else { 0 }).collect();
        tokio::spawn(async move {
            for ((id, code), pause) in rows.into_iter().zip(pauses) {
                if pause > 0 {
                    sleep(Duration::from_millis(pause)).await;
                }
                reporter.report(Report { generation, id, failed: Some(code) });
            }
        });
    }
}

pub struct Brokers {
    pub world: Arc<World>,
    pub process: usize,
}

pub struct MemoryProducer {
    world: Arc<World>,
    process: usize,
    client: usize,
    most_queued: usize,
}

impl Log for Brokers {
    type Producer = MemoryProducer;
    fn producer(
        &self,
        _owner: &str,
        settings: &RelaySettings,
        generation: u64,
        reporter: Reporter,
    ) -> Result<MemoryProducer, KafkaError> {
        let (mut world, process) = (self.world.lock(), self.process);
        if world.chance(20) {
            world.landed("no producer", process);
            return Err(KafkaError::ClientCreation("simulated".to_owned()));
        }
        let (client, queues, unknown) = (world.broker.clients.len(), BTreeMap::new(), BTreeMap::new());
        let new = Client { process, generation, reporter, queues, unknown, fatal: false, ended: false };
        world.broker.clients.push(new);
        Ok(MemoryProducer { world: self.world.clone(), process, client, most_queued: settings.producer_queue })
    }
}

impl Producer for MemoryProducer {
    fn is_fatal(&self) -> bool {
        self.world.lock().broker.clients[self.client].fatal
    }

    fn send(&self, row: &Pending) -> Result<(), Refused> {
        let mut world = self.world.lock();
        if world.broker.clients[self.client].fatal {
            return Err(Refused::Fatal("simulated".to_owned()));
        }
        let queued: usize = world.broker.clients[self.client].queues.values().map(|(queue, _)| queue.len()).sum();
        if queued >= self.most_queued {
            world.landed("producer queue full", self.process);
            return Err(Refused::Full);
        }
        if world.is_unknown(self.client, &row.topic) {
            world.landed("topic refused at once", self.process);
            return Err(Refused::Topic("not there".to_owned()));
        }
        if world.sick.get(&row.id) == Some(&Sickness::RefusedAtOnce) {
            world.landed("message refused at once", self.process);
            return Err(Refused::Message("too large".to_owned()));
        }
        let place = (row.topic.clone(), shard_of(&row.message_key) % PARTITIONS);
        let queues = &mut world.broker.clients[self.client].queues;
        if !queues.contains_key(&place) {
            let filled = Arc::new(Notify::new());
            queues.insert(place.clone(), (VecDeque::new(), filled.clone()));
            tokio::spawn(transmit(self.world.clone(), self.client, place.clone(), filled));
        }
        let (queue, filled) = queues.get_mut(&place).unwrap();
        queue.push_back(row.clone());
        filled.notify_one();
        Ok(())
    }

    async fn end(self) {
        {
            let mut world = self.world.lock();
            world.broker.clients[self.client].ended = true;
        }
        self.world.moment(self.process).await;
    }
}

impl Inner {
    /// Whether the client knows now that the topic is not there.
    fn is_unknown(&mut self, client: usize, topic: &str) -> bool {
        let (gone, now) = (self.broker.is_gone(topic), Instant::now());
        let learns = gone && self.rng.u32(0..3) == 0;
        let unknown = &mut self.broker.clients[client].unknown;
        if learns {
            unknown.entry(topic.to_owned()).or_insert(now);
        }
        let knows = unknown.get(topic).is_some_and(|since| gone || *since + METADATA > now);
        if !knows {
            unknown.remove(topic);
        }
        knows
    }

    /// All that waits for the topic fails.
    fn fail_topic(&mut self, client: usize, topic: &str) {
        let process = self.broker.clients[client].process;
        self.landed("queued messages of a topic failed", process);
        let client = &mut self.broker.clients[client];
        client.unknown.insert(topic.to_owned(), Instant::now());
        let mut failed = Vec::new();
        for (_, (queue, _)) in client.queues.iter_mut().filter(|(place, _)| place.0 == topic) {
            failed.extend(queue.drain(..));
        }
        client.report(&failed, Some(Code::UnknownTopicOrPartition));
    }

    /// The producer is done for; what becomes of `batch` is told as `code`.
    fn fail_for_good(&mut self, client: usize, batch: &[Pending], code: Code) {
        let Self { broker, rng, .. } = self;
        let client = &mut broker.clients[client];
        client.fatal = true;
        let queued = client.queues.values_mut().flat_map(|(queue, _)| queue.drain(..));
        // Its owner waits for reports.
        let queued = queued.map(|row| (row.id, Code::PurgeQueue));
        let failed = batch.iter().map(|row| (row.id, code)).chain(queued).collect();
        client.report_failures(failed, rng);
    }

    /// Whether somebody still sends again what got no answer.
    fn is_served(&self, client: usize) -> bool {
        let client = &self.broker.clients[client];
        !client.ended && !client.fatal && !self.processes[client.process].dead
    }
}

/// The next request of a partition, once there is one.
fn next_batch(world: &mut Inner, client: usize, place: &Place) -> Vec<Pending> {
    let size = world.rng.usize(1..=MAX_BATCH);
    let Some((queue, _)) = world.broker.clients[client].queues.get_mut(place) else { return Vec::new() };
    let size = size.min(queue.len());
    queue.drain(..size).collect()
}

/// Sends what is queued for a partition, one request after the other.
async fn transmit(world: Arc<World>, client: usize, place: Place, filled: Arc<Notify>) {
    let process = world.lock().broker.clients[client].process;
    loop {
        world.moment(process).await;
        let (served, waits) = {
            let inner = world.lock();
            (inner.is_served(client), inner.broker.clients[client].queues[&place].0.len())
        };
        if !served {
            return;
        }
        if waits == 0 {
            filled.notified().await;
            continue;
        }
        if world.lock().broker.is_gone(&place.0) {
            world.pause(5..60).await;
            world.moment(process).await;
            let mut inner = world.lock();
            if inner.is_served(client) && inner.broker.is_gone(&place.0) {
                inner.fail_topic(client, &place.0);
            }
            continue;
        }
        let batch = {
            let mut inner = world.lock();
            let batch = next_batch(&mut inner, client, &place);
            if inner.chance(4) {
                inner.landed("fatal producer error", process);
                inner.fail_for_good(client, &batch, Code::Fatal);
                return;
            }
            batch
        };
        if request(&world, client, &place, batch).await.is_none() {
            return;
        }
    }
}

/// A request, on its way whatever becomes of its process. `None` once there is nothing more to send.
async fn request(world: &Arc<World>, client: usize, place: &Place, batch: Vec<Pending>) -> Option<()> {
    let process = world.lock().broker.clients[client].process;
    let delay = {
        let mut inner = world.lock();
        if inner.chance(25) {
            inner.landed("delivery delayed", process);
            inner.rng.u64(200..6_000)
        } else {
            inner.rng.u64(0..15)
        }
    };
    sleep(Duration::from_millis(delay)).await;
    loop {
        {
            let mut inner = world.lock();
            let gone = inner.broker.is_gone(&place.0);
            if !gone && inner.broker.away_until <= Instant::now() {
                break;
            }
            if !inner.is_served(client) {
                inner.landed("request lost with its producer", process);
                return None;
            }
            if gone {
                let (queue, _) = inner.broker.clients[client].queues.get_mut(place)?;
                batch.into_iter().rev().for_each(|row| queue.push_front(row));
                return Some(());
            }
        }
        world.pause(10..100).await;
    }
    {
        let mut inner = world.lock();
        if batch.iter().any(|row| inner.sick.get(&row.id) == Some(&Sickness::RefusedByBroker)) {
            inner.landed("batch refused for one message", process);
            inner.fail_for_good(client, &batch, Code::MessageSizeTooLarge);
            return None;
        }
        if !inner.is_served(client) {
            inner.landed("late arrival of a former producer", process);
        }
        batch.iter().for_each(|row| inner.publish(process, row));
        if inner.is_served(client) && inner.chance(10) {
            inner.landed("crash before an acknowledgement", process);
            inner.kill(process);
        }
    }
    acknowledge(world, client, &batch).await
}

async fn acknowledge(world: &Arc<World>, client: usize, batch: &[Pending]) -> Option<()> {
    let process = world.lock().broker.clients[client].process;
    let lost = world.lock().chance(30);
    if lost {
        world.lock().landed("acknowledgement lost", process);
        world.pause(100..2_000).await;
    }
    world.moment(process).await;
    let mut inner = world.lock();
    if lost && inner.chance(300) && inner.is_served(client) {
        inner.landed("outcome unknown, and done", process);
        inner.fail_for_good(client, batch, Code::GaplessGuarantee);
    }
    if !inner.is_served(client) {
        return None;
    }
    inner.broker.clients[client].report(batch, None);
    Some(())
}
