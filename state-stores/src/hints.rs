//! Hints over Redis: "the outbox has rows", "these commands are decided", "parked keys were let go", "a catalog was
//! published". They only make others look sooner; every listener has a sweep of its own, or looks when it needs to,
//! so that with Redis gone everything still works, later.

use cpq_domain::ids::{CommandId, TenantId};
use futures::StreamExt;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, broadcast, mpsc};
use tracing::{debug, warn};

/// Channel on which new outbox rows are hinted; the payload is who says so.
pub const OUTBOX_CHANNEL: &str = "cpq:hint:outbox";
/// Channel on which decided commands are hinted; the payload is their ids, comma-separated.
pub const OUTCOME_CHANNEL: &str = "cpq:hint:outcome";
/// Channel on which it is hinted that parked keys were let go; the payload is empty.
pub const REDRIVE_CHANNEL: &str = "cpq:hint:redrive";
/// Channel on which published catalogs are hinted; the payload is tenant and version, a line each.
pub const CATALOG_CHANNEL: &str = "cpq:hint:catalog";
/// Published catalogs that a listener may be behind before it loses some.
const MAX_CATALOGS: usize = 16;
/// Hints that wait for Redis; more are dropped.
const MAX_QUEUED: usize = 1024;
/// Ids in one message.
const MAX_IDS: usize = 1000;
/// Decided commands that a slow listener may be behind before it loses the oldest.
const MAX_UNHEARD: usize = 4096;
/// Longest wait for a connection or an answer.
const REDIS_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause before Redis is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

enum Hint {
    Outbox,
    Redrive,
    Decided(Vec<CommandId>),
    Catalog(TenantId, String),
}

/// Publishes hints, and hears those of others. Cheap to clone.
#[derive(Clone)]
pub struct Hints {
    client: Option<redis::Client>,
    /// Tells our own hints from those of others.
    origin: Arc<str>,
    queue: mpsc::Sender<Hint>,
}

impl Hints {
    /// Starts the publisher in the current runtime. A URL that is not Redis's is an error; a Redis that is not
    /// there is not.
    pub fn start(redis_url: &str) -> Result<Self, String> {
        let client = redis::Client::open(redis_url).map_err(|e| e.to_string())?;
        let (queue, hints) = mpsc::channel(MAX_QUEUED);
        let origin: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        tokio::spawn(publish(client.clone(), origin.clone(), hints));
        Ok(Self { client: Some(client), origin, queue })
    }

    /// Hints that go nowhere, for tools and tests.
    pub fn disabled() -> Self {
        Self { client: None, origin: Arc::default(), queue: mpsc::channel(1).0 }
    }

    /// The outbox has new rows. Never waits.
    pub fn outbox(&self) {
        self.send(Hint::Outbox);
    }

    /// Parked keys were let go. Never waits.
    pub fn redrive(&self) {
        self.send(Hint::Redrive);
    }

    /// These commands have an outcome. Never waits.
    pub fn decided(&self, commands: Vec<CommandId>) {
        if !commands.is_empty() {
            self.send(Hint::Decided(commands));
        }
    }

    /// The tenant has this catalog version now. Never waits.
    pub fn catalog(&self, tenant: &TenantId, version: &str) {
        self.send(Hint::Catalog(tenant.clone(), version.to_owned()));
    }

    fn send(&self, hint: Hint) {
        // Full or closed: the listener's sweep is the guarantee.
        let _ = self.queue.try_send(hint);
    }

    /// Wakes `wake` at each outbox hint of others, as long as it is used elsewhere. Whoever writes in this process
    /// wakes it without a detour.
    pub fn wake_on_outbox(&self, wake: &Arc<Notify>) {
        let origin = self.origin.clone();
        self.wake_on(OUTBOX_CHANNEL, wake, move |from| from != &*origin);
    }

    /// Wakes `wake` at each hint that parked keys were let go, as long as it is used elsewhere.
    pub fn wake_on_redrive(&self, wake: &Arc<Notify>) {
        self.wake_on(REDRIVE_CHANNEL, wake, |_| true);
    }

    fn wake_on(&self, channel: &'static str, wake: &Arc<Notify>, concerns: impl Fn(&str) -> bool + Send + 'static) {
        let Some(client) = self.client.clone() else { return };
        let wake = Arc::downgrade(wake);
        tokio::spawn(listen(client, channel, move |payload| match wake.upgrade() {
            Some(wake) => {
                if concerns(payload) {
                    wake.notify_one();
                }
                true
            }
            None => false,
        }));
    }

    /// The catalogs published anywhere, as they are hinted.
    pub fn catalogs(&self) -> mpsc::Receiver<(TenantId, String)> {
        let (sender, receiver) = mpsc::channel(MAX_CATALOGS);
        if let Some(client) = self.client.clone() {
            tokio::spawn(listen(client, CATALOG_CHANNEL, move |payload| {
                if let Some((tenant, version)) = payload.split_once('\n') {
                    // Full: whoever needs that catalog compiles it.
                    let _ = sender.try_send((TenantId::from(tenant), version.to_owned()));
                }
                !sender.is_closed()
            }));
        }
        receiver
    }

    /// The commands decided anywhere, as they are hinted.
    pub fn outcomes(&self) -> broadcast::Receiver<CommandId> {
        let (sender, receiver) = broadcast::channel(MAX_UNHEARD);
        if let Some(client) = self.client.clone() {
            tokio::spawn(listen(client, OUTCOME_CHANNEL, move |payload| {
                for id in payload.split(',').filter(|id| !id.is_empty()) {
                    if sender.send(CommandId::from(id)).is_err() {
                        return sender.receiver_count() > 0;
                    }
                }
                true
            }));
        }
        receiver
    }
}

/// Sends what is queued, taken together, until every [`Hints`] is gone.
async fn publish(client: redis::Client, origin: Arc<str>, mut hints: mpsc::Receiver<Hint>) {
    let mut connection = None;
    let mut batch = Vec::new();
    while hints.recv_many(&mut batch, MAX_QUEUED).await > 0 {
        let Coalesced { outbox, redrive, decided, catalogs } = coalesce(batch.drain(..));
        if connection.is_none() {
            connection = connect(&client).await;
        }
        let Some(redis) = connection.as_mut() else {
            // These hints are lost, and so are those that come in the pause beyond the queue's bound.
            tokio::time::sleep(RECONNECT_PAUSE).await;
            continue;
        };
        let mut pipeline = redis::pipe();
        if outbox {
            pipeline.publish(OUTBOX_CHANNEL, &*origin).ignore();
        }
        if redrive {
            pipeline.publish(REDRIVE_CHANNEL, "").ignore();
        }
        for ids in decided.chunks(MAX_IDS) {
            pipeline.publish(OUTCOME_CHANNEL, ids.join(",")).ignore();
        }
        for catalog in catalogs {
            pipeline.publish(CATALOG_CHANNEL, catalog).ignore();
        }
        match tokio::time::timeout(REDIS_TIMEOUT, pipeline.query_async::<()>(redis)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                debug!(%error, "hints were not published");
                connection = None;
            }
            Err(_) => connection = None,
        }
    }
}

async fn connect(client: &redis::Client) -> Option<redis::aio::MultiplexedConnection> {
    match tokio::time::timeout(REDIS_TIMEOUT, client.get_multiplexed_async_connection()).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            debug!(%error, "redis is not reachable; hints are dropped");
            None
        }
        Err(_) => None,
    }
}

/// Queued hints, each said once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Coalesced {
    outbox: bool,
    redrive: bool,
    decided: Vec<String>,
    /// Tenant and version, a line each.
    catalogs: Vec<String>,
}

fn coalesce(hints: impl Iterator<Item = Hint>) -> Coalesced {
    let mut coalesced = Coalesced::default();
    for hint in hints {
        match hint {
            Hint::Outbox => coalesced.outbox = true,
            Hint::Redrive => coalesced.redrive = true,
            Hint::Catalog(tenant, version) => coalesced.catalogs.push(format!("{tenant}\n{version}")),
            Hint::Decided(ids) => coalesced.decided.extend(ids.into_iter().map(CommandId::into_string)),
        }
    }
    coalesced
}

/// Hands each message of the channel to `heard` until that says to stop; connects again quietly.
async fn listen(client: redis::Client, channel: &'static str, heard: impl Fn(&str) -> bool + Send) {
    let mut was_connected = false;
    loop {
        let subscribed = tokio::time::timeout(REDIS_TIMEOUT, async {
            let mut pubsub = client.get_async_pubsub().await?;
            pubsub.subscribe(channel).await?;
            Ok::<_, redis::RedisError>(pubsub)
        })
        .await;
        if let Ok(Ok(pubsub)) = subscribed {
            debug!(channel, "listening for hints");
            was_connected = true;
            let mut messages = pubsub.into_on_message();
            // What happened while nobody listened: look once. An empty payload names no command.
            if !heard("") {
                return;
            }
            while let Some(message) = messages.next().await {
                if !heard(&message.get_payload::<String>().unwrap_or_default()) {
                    return;
                }
            }
        }
        if was_connected {
            warn!(channel, "redis connection lost; going on without hints until it is back");
            was_connected = false;
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queued_hints_are_sent_together() {
        let catalog = Hint::Catalog("t".into(), "1".to_owned());
        let (a, b) = (Hint::Decided(vec!["a".into()]), Hint::Decided(vec!["b".into()]));
        let decided = vec!["a".to_owned(), "b".to_owned()];
        let expected = Coalesced { outbox: true, redrive: false, decided, catalogs: vec!["t\n1".to_owned()] };
        assert_eq!(coalesce([Hint::Outbox, a, catalog, Hint::Outbox, b].into_iter()), expected);
    }

    #[tokio::test]
    async fn hints_without_redis_never_wait() {
        let hints = Hints::start("redis://127.0.0.1:1").unwrap();
        let wake = Arc::new(Notify::new());
        hints.wake_on_outbox(&wake);
        for _ in 0..10 * MAX_QUEUED {
            hints.outbox();
            hints.decided(vec!["c".into()]);
        }
    }
}
