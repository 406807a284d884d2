//! Keeps the relay's shards: renews their leases, takes its fair share of free ones, and gives back what is
//! too much, once the pump has nothing of it in hand.

use super::{Host, Store, StoreTx};
use cpq_state_stores::StoreError;
use cpq_state_stores::lease::HeldShard;
use cpq_state_stores::outbox::SHARDS;
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Leases are renewed so many times before they would expire.
const RENEWALS_PER_LEASE: u32 = 5;
/// This part of a lease is kept as distance to its end, for whoever acts on it.
const MARGIN_PART: u32 = 5;

/// What the relay holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub held: BTreeSet<HeldShard>,
    /// Those of `held` that are to be given back.
    pub surplus: BTreeSet<HeldShard>,
    /// By this process's clock, counted from before the database was asked; `None` before the first answer.
    pub valid_until: Option<Instant>,
}

/// See the module.
pub struct Keeper<S> {
    store: S,
    owner: String,
    lease: Duration,
    view: watch::Sender<View>,
}

impl<S: Store> Keeper<S> {
    pub fn new<L>(relay: &Host<S, L>, view: watch::Sender<View>) -> Self {
        Self { store: relay.store.clone(), owner: relay.owner.clone(), lease: relay.settings.lease, view }
    }

    /// Keeps until stopped; shards named in `drained` are given back.
    pub async fn run(self, mut drained: mpsc::UnboundedReceiver<Vec<HeldShard>>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.lease / RENEWALS_PER_LEASE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.keep().await,
                shards = drained.recv() => match shards {
                    Some(shards) => self.give_back(&shards).await,
                    None => {
                        warn!("the pump is gone without a word; its leases are left to expire");
                        return;
                    }
                },
            };
            if let Err(error) = result {
                warn!(%error, "the relay's leases could not be kept now");
            }
        }
        let held: Vec<HeldShard> = self.view.borrow().held.iter().copied().collect();
        let left = async {
            let mut tx = self.store.begin_system().await?;
            tx.release(&self.owner, &held).await?;
            tx.leave(&self.owner).await?;
            tx.commit().await
        };
        match left.await {
            Ok(()) => info!(shards = held.len(), "relay has given its shards back"),
            Err(error) => warn!(%error, "the relay's shards were not given back; their leases expire"),
        }
    }

    async fn keep(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let held: Vec<HeldShard> = self.view.borrow().held.iter().copied().collect();
        let mut tx = self.store.begin_system().await?;
        let live = tx.announce(&self.owner, self.lease).await?;
        let mut kept: BTreeSet<HeldShard> = tx.renew(&self.owner, &held, self.lease).await?.into_iter().collect();
        let fair = (SHARDS as usize).div_ceil(live);
        if kept.len() < fair {
            let taken = tx.take(&self.owner, fair - kept.len(), self.lease).await?;
            if !taken.is_empty() {
                info!(shards = taken.len(), relays = live, "relay has taken shards");
            }
            kept.extend(taken);
        }
        tx.commit().await?;
        if kept.len() < held.len() {
            warn!(lost = held.iter().filter(|h| !kept.contains(h)).count(), "relay has lost shards");
        }
        let surplus = kept.iter().rev().take(kept.len().saturating_sub(fair)).copied().collect();
        metrics::gauge!("cpq_relay_shards").set(kept.len() as f64);
        metrics::gauge!("cpq_relay_epoch_max").set(kept.iter().map(|h| h.epoch).max().unwrap_or(0) as f64);
        let valid_until = Some(asked + self.lease - self.lease / MARGIN_PART);
        self.view.send_replace(View { held: kept, surplus, valid_until });
        Ok(())
    }

    /// Those that are still too much. If it fails, the pump names them again when the next view comes.
    async fn give_back(&self, shards: &[HeldShard]) -> Result<(), StoreError> {
        let surplus = self.view.borrow().surplus.clone();
        let shards: Vec<HeldShard> = shards.iter().filter(|held| surplus.contains(held)).copied().collect();
        if shards.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin_system().await?;
        tx.release(&self.owner, &shards).await?;
        tx.commit().await?;
        info!(shards = shards.len(), "relay has given shards to another");
        self.view.send_modify(|view| {
            view.held.retain(|held| !shards.contains(held));
            view.surplus.retain(|held| !shards.contains(held));
        });
        Ok(())
    }
}
