//! The document role: takes requests to render into duties, and does them outside any quote's batch.
//! A stored artifact is reported to the quote by command; only the quote says whether it counts.

use super::source::render_input;
use super::store::ArtifactStore;
use super::{RenderError, render};
use async_trait::async_trait;
use cpq_avro::{Command, Encoder, Record, topics};
use cpq_domain::canonical;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{CorrelationId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::quote::command::RecordArtifact;
use cpq_domain::quote::{Artifact, Phase, Quote, QuoteCommand, QuoteEvent, evolve};
use cpq_domain::workflow::{RenderArtifact, WorkflowCommand};
use cpq_runtime::outbound::{Cause, Outbound};
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_state_stores::reference::ReferenceCache;
use cpq_state_stores::workflow::{self, Duty};
use cpq_state_stores::{Db, StoreError, Tx, parked, transitions};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// The name under which the worker is woken.
pub const WAKE: &str = "document";
/// The consumer's name, under which impossible requests are parked.
const CONSUMER: &str = "document";
const KIND: &str = "RENDER_ARTIFACT";
const SENDER: &str = "cpq-streams/document";
/// Duties taken at once.
const BATCH: i64 = 16;
/// A duty taken by a worker that died is taken again after this.
const LEASE: Duration = Duration::from_secs(60);
/// How often the table is asked where nobody wakes the worker.
const SWEEP: Duration = Duration::from_secs(1);
/// Longest pause between attempts.
const MAX_PAUSE_SECONDS: f64 = 60.0;
/// A request that the database refuses is tried so often before it is parked: a refusal may come from something
/// that is being mended.
const MAX_REFUSALS: i32 = 3;

/// The consumer of requests to render.
#[derive(Default)]
pub struct Documents;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    command_id: String,
    correlation_id: CorrelationId,
    traceparent: Option<String>,
    render: RenderArtifact,
}

#[async_trait]
impl Processor for Documents {
    fn consumer(&self) -> &'static str {
        CONSUMER
    }
    fn topics(&self) -> &'static [&'static str] {
        &[topics::WORKFLOW_COMMANDS]
    }

    fn concerns(&self, record: &Record) -> bool {
        // The bridge's commands stand on the same topic.
        matches!(record, Record::Command(.., Command::Workflow(WorkflowCommand::RenderArtifact(_))))
    }

    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError> {
        for delivery in batch {
            let Record::Command(meta, _, _, Command::Workflow(WorkflowCommand::RenderArtifact(render))) =
                &delivery.record
            else {
                continue;
            };
            let request = Request {
                command_id: meta.command_id.to_string(),
                correlation_id: meta.correlation_id.clone(),
                traceparent: meta.traceparent.clone(),
                render: render.clone(),
            };
            let body = serde_json::to_value(&request).map_err(|e| StoreError::corrupt("render request", e))?;
            let (tenant, artifact) = (meta.tenant_id.as_str(), render.artifact_id.as_str());
            workflow::add_duty(tx, tenant, artifact, meta.command_id.as_str(), KIND, &body).await?;
            after.wake.push(WAKE);
        }
        Ok(())
    }
}

/// Why an artifact could not be made now.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the object store: {0}")]
    ObjectStore(#[from] object_store::Error),
    #[error("rendering: {0}")]
    Render(#[from] RenderError),
    /// Somebody has to add something first.
    #[error("{0}")]
    NotYet(String),
    #[error("{0}")]
    Impossible(String),
}

impl Failure {
    /// Whether trying again cannot help, as far as can be told after so many attempts.
    fn is_permanent(&self, attempts: i32) -> bool {
        match self {
            Self::Store(StoreError::Corrupt(_)) | Self::Render(_) | Self::Impossible(_) => true,
            Self::Store(error) => !error.is_transient() && attempts >= MAX_REFUSALS,
            Self::ObjectStore(_) | Self::NotYet(_) => false,
        }
    }
}

/// The loop that renders, stores and reports.
pub struct Renderer {
    pub db: Db,
    pub encoder: Arc<Encoder>,
    pub cache: ReferenceCache,
    pub store: ArtifactStore,
    pub wake: Arc<Notify>,
}

impl Renderer {
    /// Works until it is told to stop. What fails is put off and tried again, with growing pauses; what can never
    /// succeed is parked.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.round().await {
                Ok(count) if count == BATCH as usize => continue,
                Ok(_) => {}
                Err(error) => warn!(%error, "documents wait for the database"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }

    async fn round(&self) -> Result<usize, StoreError> {
        let mut tx = self.db.begin_system().await?;
        let due = workflow::claim_duties(&mut tx, &[KIND], Some(CONSUMER), LEASE.as_secs_f64(), BATCH).await?;
        tx.commit().await?;
        for duty in &due {
            if let Err(error) = self.one(duty).await {
                metrics::counter!("cpq_documents_failed_total").increment(1);
                self.failed(duty, &error).await?;
            }
        }
        Ok(due.len())
    }

    /// Puts the request off, or parks its key: an artifact's key has this request alone, and nothing waits behind
    /// it. Once the key is let go, the request is tried again.
    async fn failed(&self, duty: &Duty, error: &Failure) -> Result<(), StoreError> {
        let (tenant, key, cause) = (duty.tenant_id.as_str(), duty.business_key.as_str(), error.to_string());
        let attempts = duty.attempts;
        let permanent = error.is_permanent(attempts);
        let mut tx = self.db.begin_system().await?;
        let pause = if permanent { 0.0 } else { 2_f64.powi(attempts.min(6)).min(MAX_PAUSE_SECONDS) };
        workflow::put_off_duty(&mut tx, duty, &cause, pause).await?;
        if permanent {
            parked::park_key(&mut tx, CONSUMER, topics::WORKFLOW_COMMANDS, key, Some(tenant), &cause).await?;
        }
        tx.commit().await?;
        if permanent {
            metrics::counter!("cpq_consumer_parked_total", "consumer" => CONSUMER).increment(1);
            error!(
                tenant_id = tenant,
                business_key = key,
                attempts,
                cause,
                "key parked: its artifact can never be made"
            );
        } else {
            warn!(tenant_id = tenant, business_key = key, attempts, cause, "artifact not made yet");
        }
        Ok(())
    }

    async fn one(&self, duty: &Duty) -> Result<(), Failure> {
        let request: Request =
            serde_json::from_value(duty.body.clone()).map_err(|e| StoreError::corrupt("render request", e))?;
        let tenant = TenantId::new(duty.tenant_id.as_str());
        let artifact = self.make(&tenant, &request.render).await?;
        let mut tx = self.db.begin(std::slice::from_ref(&tenant)).await?;
        let mut outbound = Outbound::new(&self.encoder);
        let cause = Cause {
            tenant_id: &tenant,
            sender: SENDER,
            correlation_id: &request.correlation_id,
            causation_id: &request.command_id,
            traceparent: request.traceparent.as_deref(),
            at: Moment::new(OffsetDateTime::now_utc()),
        };
        let key = request.command_id.clone();
        let report = QuoteCommand::RecordArtifact(RecordArtifact { artifact });
        outbound.command(&cause, key, FollowUp::Quote(request.render.quote_id.clone(), report))?;
        outbound.write(&mut tx).await?;
        workflow::finish_duty(&mut tx, duty).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Renders the revision as it was approved and stores the bytes. Doing it again stores the same bytes.
    async fn make(&self, tenant: &TenantId, request: &RenderArtifact) -> Result<Artifact, Failure> {
        let mut tx = self.db.begin(std::slice::from_ref(tenant)).await?;
        let quote = approved_revision(&mut tx, tenant, request).await?;
        let tenants = self.cache.tenants(&mut tx, std::slice::from_ref(tenant)).await?;
        tx.commit().await?;
        let name = tenants.get(tenant).map(|t| t.tenant.name.clone());
        let name = name.ok_or_else(|| Failure::NotYet(format!("tenant {tenant} has no reference data")))?;
        let input = render_input(&quote, &name, request).ok_or_else(|| {
            Failure::Impossible(format!("{} has no price at revision {}", quote.quote_id, quote.revision))
        })?;
        let input_hash = input.input_hash().map_err(|e| Failure::Impossible(e.to_string()))?;
        let bytes = tokio::task::spawn_blocking(move || render(&input))
            .await
            .map_err(|e| Failure::Impossible(e.to_string()))??;
        let content_hash = canonical::sha256(&bytes);
        let size_bytes = bytes.len() as u64;
        let path = format!("{tenant}/{}/r{}/{}.pdf", quote.quote_id, quote.revision, request.artifact_id);
        let storage_uri = self.store.put(&path, bytes).await?;
        Ok(Artifact {
            artifact_id: request.artifact_id.clone(),
            quote_revision: request.quote_revision,
            artifact_type: request.artifact_type,
            template_id: request.template_id.clone(),
            template_version: request.template_version.clone(),
            input_hash,
            content_hash,
            storage_uri,
            size_bytes,
            generated_by: request.requested_by.clone(),
            generated_at: Moment::new(OffsetDateTime::now_utc()),
        })
    }
}

/// The quote as it was when the requested revision was approved: from its transitions, so that a quote that has
/// moved on still gets the document that was asked for (and then says itself that it is too late).
async fn approved_revision(tx: &mut Tx, tenant: &TenantId, request: &RenderArtifact) -> Result<Quote, Failure> {
    let transitions = transitions::load::<QuoteEvent>(tx, tenant, request.quote_id.as_str(), None).await?;
    let mut state = None;
    for transition in transitions {
        state = evolve(state, tenant, &request.quote_id, &transition.event, transition.at);
        if let Some(quote) = &state
            && quote.revision == request.quote_revision
            && matches!(quote.phase, Phase::Approved { .. })
        {
            return Ok(quote.clone());
        }
    }
    Err(Failure::Impossible(format!("{} was never approved at revision {}", request.quote_id, request.quote_revision)))
}
