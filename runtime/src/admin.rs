//! The operator's port of a process: `/healthz` (it lives), `/readyz` (each named check with its state),
//! `/metrics` (Prometheus).

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use futures::future::{BoxFuture, join_all};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// A check that takes longer counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// The named checks that decide whether a process is ready.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(String, Check)>,
}

impl Readiness {
    /// Adds a check: `Ok` says how it stands, `Err` what is missing.
    #[must_use]
    pub fn with<F, Fut>(mut self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.checks.push((name.into(), Arc::new(move || Box::pin(check()))));
        self
    }

    /// All checks at once: whether all are well, and the state of each.
    pub async fn state(&self) -> (bool, Value) {
        let results = join_all(self.checks.iter().map(|(_, check)| async move {
            tokio::time::timeout(CHECK_TIMEOUT, check()).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
        }))
        .await;
        let ready = results.iter().all(Result::is_ok);
        let checks: Map<String, Value> = self
            .checks
            .iter()
            .zip(results)
            .map(|((name, _), result)| {
                let (status, detail) = match result {
                    Ok(detail) => ("UP", detail),
                    Err(detail) => ("DOWN", detail),
                };
                (name.clone(), json!({ "status": status, "detail": detail }))
            })
            .collect();
        (ready, json!({ "status": if ready { "UP" } else { "DOWN" }, "checks": checks }))
    }
}

/// What the three routes show.
#[derive(Clone)]
pub struct Admin {
    pub readiness: Readiness,
    pub metrics: PrometheusHandle,
}

/// The routes, for a server of their own or inside another.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "UP" })) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(|State(admin): State<Admin>| async move { admin.metrics.render() }))
        .with_state(admin)
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let (ready, state) = admin.readiness.state().await;
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(state))
}

/// Serves the routes until shutdown. Binding comes first, so that a taken port ends the start.
pub async fn serve(
    address: SocketAddr,
    admin: Admin,
    shutdown: CancellationToken,
) -> io::Result<tokio::task::JoinHandle<io::Result<()>>> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    tracing::info!(%address, "admin port is open");
    Ok(tokio::spawn(async move {
        axum::serve(listener, router(admin)).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_failed_check_makes_the_process_unready_and_is_named() {
        let readiness = Readiness::default()
            .with("database", || async { Ok("answers".to_owned()) })
            .with("kafka", || async { Err("no broker".to_owned()) });
        let (ready, state) = readiness.state().await;
        assert!(!ready);
        assert_eq!(state["checks"]["database"]["status"], "UP");
        assert_eq!(state["checks"]["kafka"], json!({ "status": "DOWN", "detail": "no broker" }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_without_an_answer_counts_as_failed() {
        let readiness = Readiness::default().with("slow", std::future::pending);
        assert!(!readiness.state().await.0);
    }
}
