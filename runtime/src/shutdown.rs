//! The end of a process: SIGTERM and SIGINT cancel a token, and work in hand gets a bounded time to finish.

use std::{future::Future, io, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Longest time that a process takes to finish what it has in hand.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// A token that SIGTERM or SIGINT cancels.
pub fn on_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "shutting down: finishing what is in hand");
        cancelled.cancel();
    });
    Ok(token)
}

/// Runs `work` to its end, but no longer than [`DRAIN_LIMIT`] after the token is cancelled; `None` then.
pub async fn drain<T>(token: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => return Some(result),
        () = token.cancelled() => {}
    }
    let result = tokio::time::timeout(DRAIN_LIMIT, work).await.ok();
    if result.is_none() {
        warn!(
            seconds = DRAIN_LIMIT.as_secs(),
            "work was still in hand at the end of the drain; it is tried again later"
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_left_after_the_limit() {
        let token = CancellationToken::new();
        token.cancel();
        assert_eq!(drain(&token, std::future::pending::<()>()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_in_hand_finishes_within_the_limit() {
        let token = CancellationToken::new();
        token.cancel();
        assert_eq!(drain(&token, async { tokio::time::sleep(DRAIN_LIMIT / 2).await }).await, Some(()));
    }
}
