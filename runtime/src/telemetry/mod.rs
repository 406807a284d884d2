//! Logs, traces and metrics of a process, set up once at its start.

mod log;
mod otlp;
mod trace;

pub use log::LogLayer;
pub use trace::{TraceContext, join};

use crate::config::CommonConfig;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Bounds of duration histograms, in seconds.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds of size histograms, in records.
const RECORDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];
/// How often old histogram samples are folded, so that memory stays flat while nobody scrapes.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the log filter is not valid: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("a log subscriber is set already: {0}")]
    Subscriber(#[from] tracing_subscriber::util::TryInitError),
    #[error("metrics cannot be recorded: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("traces cannot be exported: {0}")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// What must live as long as the process.
pub struct Telemetry {
    pub metrics: PrometheusHandle,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets up everything for the process. Must run inside the tokio runtime.
    pub fn start(service: &'static str, config: &CommonConfig) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::try_new(&config.log_filter)?;
        let log = LogLayer::new(service, config.log_format).with_filter(filter);
        let traces = config.otlp_endpoint.as_deref().map(|endpoint| otlp::provider(service, endpoint)).transpose()?;
        let export = traces.as_ref().map(|provider| otlp::layer::<_>(provider, service));
        Registry::default().with(log).with(export).try_init()?;
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), RECORDS)?
            .install_recorder()?;
        let upkeep = metrics.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(METRICS_UPKEEP).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self { metrics, traces })
    }

    /// Sends what is still buffered. Call at the very end.
    pub async fn shutdown(self) {
        if let Some(traces) = self.traces {
            // It waits for the exporter, which needs the runtime's threads.
            let ended = tokio::task::spawn_blocking(move || traces.shutdown()).await;
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "the last traces were not exported");
            }
        }
    }
}
