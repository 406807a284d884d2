//! The topology as a table: which role runs which processors and workers. A process runs any subset of the
//! roles, and any number of processes run each.

use crate::aggregate::AggregateProcessor;
use crate::document::{self, ArtifactStore, Documents, Renderer};
use crate::notification::Notifier;
use crate::notification::sender::{Sender, Sink};
use crate::order::Orders;
use crate::projection::Projection;
use crate::quote::Quotes;
use crate::timer::{TimerKeeper, TimerSettings, TimerStatus};
use cpq_avro::Encoder;
use cpq_runtime::processor::Processor;
use cpq_runtime::wake::Wake;
use cpq_state_stores::Db;
use cpq_state_stores::reference::ReferenceCache;
use futures::future::BoxFuture;
use std::{fmt, str::FromStr, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What a process may be told to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Relay,
    Quote,
    Order,
    Document,
    Projection,
    Notification,
}

impl Role {
    pub const ALL: [Self; 6] =
        [Self::Relay, Self::Quote, Self::Order, Self::Document, Self::Projection, Self::Notification];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Quote => "quote",
            Self::Order => "order",
            Self::Document => "document",
            Self::Projection => "projection",
            Self::Notification => "notification",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|role| role.as_str() == name).ok_or_else(|| format!("expected one of {}", known()))
    }
}

/// What processors are made of.
pub struct Services {
    pub db: Db,
    pub encoder: Arc<Encoder>,
    pub wake: Wake,
    /// Compiled reference data, shared by the roles.
    pub cache: ReferenceCache,
    pub artifacts: ArtifactStore,
    pub mail: Sink,
}

/// A loop of a role's own, beside its processor.
pub type Worker = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// Whether a worker does its work, and how it stands.
pub type Check = Box<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What the roles of a process consist of; the relay apart, which `main` starts.
#[derive(Default)]
pub struct Parts {
    pub processors: Vec<Arc<dyn Processor>>,
    pub workers: Vec<(&'static str, Worker)>,
    /// Of the workers whose standing readiness tells.
    pub checks: Vec<(&'static str, Check)>,
}

/// The table: what each role runs.
pub fn parts(roles: &[Role], services: Services) -> Parts {
    let Services { db, encoder, wake, cache, artifacts, mail } = services;
    let mut parts = Parts::default();
    let mut mail = Some(mail);
    for role in roles {
        match role {
            Role::Relay => {}
            Role::Quote => {
                parts.process(AggregateProcessor::new(Quotes::new(cache.clone()), encoder.clone()));
                let (status, settings) = (TimerStatus::default(), TimerSettings::default());
                let (encoder, wake) = (encoder.clone(), wake.clone());
                let keeper = TimerKeeper { db: db.clone(), encoder, settings, status: status.clone() };
                parts.work("quote-timer", move |stop| Box::pin(async move { keeper.run(&wake, stop).await }));
                parts.checks.push(("quote-timer", Box::new(move || status.check())));
            }
            Role::Order => parts.process(AggregateProcessor::new(Orders, encoder.clone())),
            Role::Document => {
                parts.process(Documents);
                let renderer = Renderer {
                    db: db.clone(),
                    encoder: encoder.clone(),
                    cache: cache.clone(),
                    store: artifacts.clone(),
                    wake: wake.handle(document::WAKE),
                };
                parts.work("document-renderer", move |stop| Box::pin(renderer.run(stop)));
            }
            Role::Projection => parts.process(Projection),
            Role::Notification => {
                parts.process(Notifier);
                if let Some(sink) = mail.take() {
                    let sender = Sender { db: db.clone(), sink, wake: wake.handle("notification") };
                    parts.work("notification-sender", move |stop| Box::pin(sender.run(stop)));
                }
            }
        }
    }
    parts
}

impl Parts {
    fn process(&mut self, processor: impl Processor) {
        self.processors.push(Arc::new(processor));
    }
    fn work(
        &mut self,
        name: &'static str,
        worker: impl FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send + 'static,
    ) {
        self.workers.push((name, Box::new(worker)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_known_by_its_name() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("gateway".parse::<Role>().unwrap_err().contains("relay, quote"));
    }
}
