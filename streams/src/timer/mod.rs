//! The timer keeper: when a quote's validity is over, it sends the quote the command to expire. It sleeps until
//! the earliest timer is due; any number of keepers may run. Whether the quote then expires, the quote decides.

mod changes;

pub use changes::TimerChanges;

use cpq_avro::Encoder;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::ExpireQuote;
use cpq_runtime::backoff::Backoff;
use cpq_runtime::outbound::{Cause, Outbound};
use cpq_runtime::wake::{self, Wake};
use cpq_state_stores::timers::{self, Fired};
use cpq_state_stores::{Db, StoreError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The name under which the keeper is woken when a timer is set.
pub const WAKE: &str = "quote-timer";
/// Pause while all that is due is in another keeper's hands.
const BEHIND_OTHERS: Duration = Duration::from_millis(200);
/// The actor of the commands that it sends.
const SENDER: &str = "cpq-streams/timer";

/// What may be set differently, for tests and odd machines.
#[derive(Clone, Debug)]
pub struct TimerSettings {
    /// Timers taken in one transaction, which holds a command and a message for each.
    pub batch: i64,
    /// Longest sleep: so late an expiry can be whose timer another process has set meanwhile.
    pub longest_sleep: Duration,
}

impl Default for TimerSettings {
    fn default() -> Self {
        Self { batch: 500, longest_sleep: Duration::from_secs(5) }
    }
}

/// How the keeper stands, for readiness.
#[derive(Clone, Debug, Default)]
pub struct TimerStatus {
    state: Arc<Mutex<Option<Result<String, String>>>>,
}

impl TimerStatus {
    pub fn check(&self) -> Result<String, String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone().unwrap_or_else(|| Err("starting".to_owned()))
    }
    fn set(&self, state: Result<String, String>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }
}

/// A keeper.
pub struct TimerKeeper {
    pub db: Db,
    pub encoder: Arc<Encoder>,
    pub settings: TimerSettings,
    pub status: TimerStatus,
}

/// What one look at the timers has led to.
struct Round {
    fired: usize,
    /// How long there is nothing to do.
    sleep: Duration,
}

impl TimerKeeper {
    /// Fires timers until it is told to stop.
    pub async fn run(self, wake: &Wake, stop: CancellationToken) {
        let woken = wake.handle(WAKE);
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            let sleep = match self.round().await {
                Ok(round) => {
                    backoff.reset();
                    self.status.set(Ok("waits for the next".to_owned()));
                    if round.fired > 0 {
                        metrics::counter!("cpq_quote_timers_fired_total").increment(round.fired as u64);
                        wake.notify(wake::OUTBOX);
                    }
                    round.sleep
                }
                Err(error) => {
                    tracing::warn!(%error, "no quote expires while the timers cannot be read");
                    self.status.set(Err(error.to_string()));
                    backoff.pause()
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = woken.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Takes the timers that are due and sends their commands, both or neither.
    async fn round(&self) -> Result<Round, StoreError> {
        let mut tx = self.db.begin_system().await?;
        let fired = timers::take_due(&mut tx, self.settings.batch).await?;
        let mut outbound = Outbound::new(&self.encoder);
        for fired in &fired {
            send(&mut outbound, fired)?;
        }
        outbound.write(&mut tx).await?;
        let next = timers::until_next(&mut tx, self.settings.longest_sleep).await?;
        tx.commit().await?;
        let sleep = if fired.is_empty() && next.is_zero() { BEHIND_OTHERS } else { next };
        Ok(Round { fired: fired.len(), sleep })
    }
}

/// One command for each end of validity of a quote, however often its timer fires.
fn send(outbound: &mut Outbound, Fired { timer, at }: &Fired) -> Result<(), StoreError> {
    let cause = Cause {
        tenant_id: &timer.tenant_id,
        sender: SENDER,
        correlation_id: &timer.correlation_id,
        causation_id: &timer.causation_id,
        traceparent: None,
        at: *at,
    };
    let key = format!("{}:{}", timer.quote_id, timer.due_at);
    let expire = QuoteCommand::ExpireQuote(ExpireQuote { valid_until: timer.due_at });
    outbound.command(&cause, key, FollowUp::Quote(timer.quote_id.clone(), expire))
}
