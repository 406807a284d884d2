//! The producer: idempotent, never out of order, never giving a message up by itself. What became of each
//! message is reported back by its row id. Kafka's in production, one in memory in simulations.

use super::{MAX_MESSAGE_BYTES, RelaySettings};
use cpq_state_stores::outbox::Pending;
use rdkafka::{
    ClientConfig, ClientContext,
    config::FromClientConfigAndContext as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

/// What became of a message.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Which producer it was given to.
    pub generation: u64,
    pub id: i64,
    pub failed: Option<RDKafkaErrorCode>,
}

/// Where producers report to.
#[derive(Clone)]
pub struct Reporter {
    reports: mpsc::UnboundedSender<Report>,
    failed: Arc<AtomicBool>,
}

impl Reporter {
    pub fn report(&self, report: Report) {
        if self.reports.send(report).is_err() {
            debug!("nobody waits for this report any more");
        }
        if report.failed.is_some() {
            self.failed.store(true, Ordering::Release);
        }
    }
}

/// Takes what producers report.
pub struct Reports {
    reports: mpsc::UnboundedReceiver<Report>,
    failed: Arc<AtomicBool>,
}

impl Reports {
    pub fn new() -> (Reporter, Self) {
        let (sender, reports) = mpsc::unbounded_channel();
        let failed = Arc::new(AtomicBool::new(false));
        (Reporter { reports: sender, failed: failed.clone() }, Self { reports, failed })
    }

    /// Whether a message has failed of which [`Reports::take`] has not told.
    pub fn has_failure(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Adds all that has come.
    pub fn take(&mut self, to: &mut Vec<Report>) {
        self.failed.store(false, Ordering::Release);
        while let Ok(report) = self.reports.try_recv() {
            to.push(report);
        }
    }

    /// Waits until something comes, and adds up to `limit` of it.
    pub async fn wait(&mut self, to: &mut Vec<Report>, limit: usize) {
        self.reports.recv_many(to, limit).await;
    }
}

/// Why a message was not taken.
#[derive(Debug)]
pub enum Refused {
    /// The queue is full: wait, and give the same one again.
    Full,
    /// The topic cannot be written to now.
    Topic(String),
    /// This message can never be sent.
    Message(String),
    /// The producer is done for.
    Fatal(String),
}

/// What a failure means, whether it comes at once or later.
pub fn meaning(code: RDKafkaErrorCode) -> Refused {
    use RDKafkaErrorCode as Code;
    match code {
        Code::QueueFull => Refused::Full,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidRecord => {
            Refused::Message(code.to_string())
        }
        Code::Fatal | Code::GaplessGuarantee | Code::PurgeQueue | Code::PurgeInflight => {
            Refused::Fatal(code.to_string())
        }
        other => Refused::Topic(other.to_string()),
    }
}

/// What the relay writes to.
pub trait Log: Send + Sync + 'static {
    type Producer: Producer;
    /// A new producer, which reports to `reporter`.
    fn producer(
        &self,
        owner: &str,
        settings: &RelaySettings,
        generation: u64,
        reporter: Reporter,
    ) -> Result<Self::Producer, KafkaError>;
}

/// See the module.
pub trait Producer: Send + Sync + 'static {
    /// Whether it has failed for good.
    fn is_fatal(&self) -> bool;
    /// Queues the row. The report comes later.
    fn send(&self, row: &Pending) -> Result<(), Refused>;
    /// Throws away what is queued; what is on the way may still arrive.
    fn end(self) -> impl Future<Output = ()> + Send;
}

/// Kafka.
pub struct Kafka {
    pub brokers: String,
}

impl Log for Kafka {
    type Producer = KafkaProducer;
    fn producer(
        &self,
        owner: &str,
        settings: &RelaySettings,
        generation: u64,
        reporter: Reporter,
    ) -> Result<KafkaProducer, KafkaError> {
        let fatal = Arc::new(AtomicBool::new(false));
        let context = Context { generation, reporter, fatal: fatal.clone() };
        let config = configuration(&self.brokers, owner, settings);
        Ok(KafkaProducer { inner: ThreadedProducer::from_config_and_context(&config, context)?, fatal })
    }
}

/// librdkafka's producer.
pub struct KafkaProducer {
    inner: ThreadedProducer<Context>,
    fatal: Arc<AtomicBool>,
}

struct Context {
    generation: u64,
    reporter: Reporter,
    fatal: Arc<AtomicBool>,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            error!(%error, reason, "the producer has failed for good; a new one takes over");
            self.fatal.store(true, Ordering::Release);
        } else {
            warn!(%error, reason, "kafka cannot be written to now");
        }
    }
}

impl ProducerContext for Context {
    /// The row's id; 64 bits on every machine this runs on.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, id: usize) {
        let failed = result.as_ref().err().map(|(error, _)| match error.rdkafka_error_code() {
            Some(code) => code,
            None => RDKafkaErrorCode::Unknown,
        });
        self.reporter.report(Report { generation: self.generation, id: id as i64, failed });
    }
}

impl Producer for KafkaProducer {
    fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Acquire)
    }

    fn send(&self, row: &Pending) -> Result<(), Refused> {
        let headers = row.headers.iter().fold(OwnedHeaders::new_with_capacity(row.headers.len()), |headers, (k, v)| {
            headers.insert(Header { key: k, value: Some(v) })
        });
        let record = BaseRecord::with_opaque_to(&row.topic, row.id as usize)
            .key(row.message_key.as_bytes())
            .payload(&row.value)
            .headers(headers);
        self.inner.send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(code) => meaning(code),
            None => Refused::Message(error.to_string()),
        })
    }

    async fn end(self) {
        // Waits for its thread.
        if let Err(error) = tokio::task::spawn_blocking(move || drop(self)).await {
            error!(%error, "a producer could not be ended");
        }
    }
}

fn configuration(brokers: &str, owner: &str, settings: &RelaySettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", owner)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // A message that fails for good stops the producer rather than letting its successors pass.
        .set("enable.gapless.guarantee", "true")
        // A time-out would be such a failure: the outbox waits as long as it takes.
        .set("message.timeout.ms", "0")
        // Java's partitioner: one key, one partition, whoever writes.
        .set("partitioner", "murmur2_random")
        .set("compression.type", "zstd")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .set("linger.ms", "0")
        .set("queue.buffering.max.messages", settings.producer_queue.to_string())
        .set("queue.buffering.max.kbytes", "262144")
        // A topic that is not there is reported soon, so that its rows do not fill what is in hand.
        .set("topic.metadata.propagation.max.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "30000");
    config
}
