//! The whole pipe under full load: commands over HTTP, the relay, the processors, the relay of what they decided; and
//! how far all of it has come.

use super::http::{CREATE, Client, Wait};
use crate::settings::variable;
use crate::truth::over_all_tenants;
use cpq_avro::topics::{ORDER_COMMANDS, ORDER_EVENTS, QUOTE_COMMANDS, QUOTE_EVENTS};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ulid::Ulid;

/// Clients of the load.
const CLIENTS: usize = 32;
/// A client waits for the outcome of one command in so many: what is under way stays bounded, whatever the pipe carries.
const AWAITED: usize = 32;
/// Between two tries of a client that was cut off.
const RETRY: Duration = Duration::from_millis(200);
/// Longest wait until everything has come to its end.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(200);
/// All is at its end when it was found so as often in a row: a record may be on its way between two tables.
const QUIET_LOOKS: usize = 3;
/// Longest wait for an answer of Kafka.
const REQUEST: Duration = Duration::from_secs(15);

/// What a client does when a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends the run.
    Fail,
    /// It comes back, as a client does whose gateway is started anew.
    Reconnect,
}

/// Clients that create quotes as fast as the pipe carries them.
pub struct Load {
    over: Arc<AtomicBool>,
    running: JoinSet<Result<(), String>>,
}

impl Load {
    pub async fn start(on_failure: OnFailure) -> Result<Self, String> {
        let (over, mut running) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for n in 0..CLIENTS {
            let client = Client::connect(n).await?;
            running.spawn(create(client, n, on_failure, over.clone()));
        }
        Ok(Self { over, running })
    }

    /// An error if a client has failed.
    pub fn check(&mut self) -> Result<(), String> {
        self.running.try_join_next().map_or(Ok(()), |ended| ended.map_err(|e| e.to_string())?)
    }

    /// Lets each client end what it has begun.
    pub async fn stop(self) -> Result<(), String> {
        self.over.store(true, Ordering::Relaxed);
        self.running.join_all().await.into_iter().collect()
    }
}

async fn create(mut client: Client, n: usize, on_failure: OnFailure, over: Arc<AtomicBool>) -> Result<(), String> {
    let mut sent = 0_usize;
    while !over.load(Ordering::Relaxed) {
        sent += 1;
        let created = match sent.is_multiple_of(AWAITED) {
            true => create_decided(&mut client).await,
            false => client.create_quote("bench-pipe", Wait::Accepted).await,
        };
        match (created, on_failure) {
            (Ok(()), _) => {}
            (Err(error), OnFailure::Fail) => return Err(error),
            (Err(_), OnFailure::Reconnect) => client = connected_again(n).await?,
        }
    }
    Ok(())
}

/// Creates a quote and waits for the outcome, for as long as the gateway lets anybody wait.
async fn create_decided(client: &mut Client) -> Result<(), String> {
    let key = Ulid::generate().to_string();
    let request = Request::post("/quotes").header("idempotency-key", key).header("prefer", "wait=30");
    client.send(request, Bytes::from_static(CREATE.as_bytes()), StatusCode::CREATED).await.map(drop)
}

async fn connected_again(n: usize) -> Result<Client, String> {
    let began = Instant::now();
    loop {
        tokio::time::sleep(RETRY).await;
        match Client::connect(n).await {
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
            connected => return connected,
        }
    }
}

/// Where a topic ends, as any client sees it.
#[derive(Clone)]
pub struct Ends {
    consumer: Arc<BaseConsumer>,
    topic: &'static str,
    partitions: i32,
}

impl Ends {
    pub fn of(topic: &'static str) -> Result<Self, String> {
        let brokers = variable("CPQ_KAFKA_BROKERS")?;
        let config = ClientConfig::new().set("bootstrap.servers", brokers).clone();
        let consumer: BaseConsumer = config.create().map_err(|e| e.to_string())?;
        let metadata = consumer.fetch_metadata(Some(topic), REQUEST).map_err(|e| e.to_string())?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32);
        Ok(Self { consumer: Arc::new(consumer), topic, partitions })
    }

    /// The first offset of each partition, and the one after the last.
    pub async fn each(&self) -> Result<Vec<(i64, i64)>, String> {
        let Self { consumer, topic, partitions } = self.clone();
        let ask = move || (0..partitions).map(|n| consumer.fetch_watermarks(topic, n, REQUEST)).collect();
        let asked: Result<Vec<_>, _> = tokio::task::spawn_blocking(ask).await.map_err(|e| e.to_string())?;
        asked.map_err(|e| format!("{topic}: {e}"))
    }

    /// The ends of all partitions, summed.
    pub async fn sum(&self) -> Result<i64, String> {
        Ok(self.each().await?.into_iter().map(|(_, end)| end).sum())
    }

    /// Records per second that come in during this time.
    pub async fn rate(&self, during: Duration) -> Result<f64, String> {
        let (began, before) = (Instant::now(), self.sum().await?);
        tokio::time::sleep(during).await;
        Ok((self.sum().await? - before) as f64 / began.elapsed().as_secs_f64())
    }
}

/// Waits until everything that was accepted is decided, published and shown.
pub async fn settle() -> Result<(), String> {
    let readers = [
        ("quote", Ends::of(QUOTE_COMMANDS)?),
        ("order", Ends::of(ORDER_COMMANDS)?),
        ("projection", Ends::of(QUOTE_EVENTS)?),
        ("projection", Ends::of(ORDER_EVENTS)?),
    ];
    let mut truth = over_all_tenants().await?;
    let (began, mut quiet) = (Instant::now(), 0);
    while quiet < QUIET_LOOKS {
        if began.elapsed() > PATIENCE {
            return Err(format!(
                "the pipe is not at its end after {} s; see the logs of the stack",
                PATIENCE.as_secs()
            ));
        }
        tokio::time::sleep(LOOK).await;
        let outbox = sqlx::query_scalar("select not exists (select from cpq.outbox_event)");
        let mut done: bool = outbox.fetch_one(&mut truth).await.map_err(|e| format!("PostgreSQL: {e}"))?;
        for (consumer, ends) in &readers {
            let position = sqlx::query_scalar::<_, i64>(
                "select coalesce(sum(next_offset), 0)::bigint from cpq.consumer_position where consumer = $1 and topic = $2",
            );
            let position = position.bind(consumer).bind(ends.topic).fetch_one(&mut truth).await;
            done &= position.map_err(|e| format!("PostgreSQL: {e}"))? == ends.sum().await?;
        }
        quiet = if done { quiet + 1 } else { 0 };
    }
    Ok(())
}
