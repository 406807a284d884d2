//! Work that computes for longer than a moment, beside the tasks that serve others.

use crate::problem::Problem;
use cpq_domain::rejection::ErrorCode;
use tracing::error;

/// Runs the work on a thread of its own.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await.map_err(|panicked| {
        error!(error = %panicked, "work ended without an answer");
        Problem::new(ErrorCode::Internal, "The failure is in our log under this correlation id.")
    })
}
