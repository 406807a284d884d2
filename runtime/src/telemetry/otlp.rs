//! Export of spans over OTLP/HTTP. The exporter's client needs tokio, the batch processor's thread has none:
//! [`OnRuntime`] brings the two together.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter as Export, Tracer},
};
use std::{future::poll_fn, pin::pin, time::Duration};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{Layer, filter::LevelFilter, registry::LookupSpan};

/// Longest time for one batch of spans.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The signal's path under the endpoint (OTLP specification, "OTLP/HTTP").
const TRACES_PATH: &str = "v1/traces";

/// A provider that sends batches of spans to the endpoint.
pub fn provider(
    service: &'static str,
    endpoint: &str,
) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/{TRACES_PATH}", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let exporter = OnRuntime { exporter, runtime: tokio::runtime::Handle::current() };
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        .with_batch_exporter(exporter)
        .build())
}

/// The layer that turns spans of level info and above into exported ones.
pub fn layer<S>(provider: &SdkTracerProvider, service: &'static str) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    OpenTelemetryLayer::<S, Tracer>::new(provider.tracer(service)).with_filter(LevelFilter::INFO)
}

/// Runs the exporter's futures inside the tokio runtime, whichever thread polls them.
#[derive(Debug)]
struct OnRuntime {
    exporter: SpanExporter,
    runtime: tokio::runtime::Handle,
}

impl Export for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut export = pin!(self.exporter.export(batch));
        poll_fn(|context| {
            let _inside = self.runtime.enter();
            export.as_mut().poll(context)
        })
        .await
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
