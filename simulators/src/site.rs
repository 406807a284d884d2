//! What one system does with a well-formed request, with or without a fault. Leaves the form to the API and what is
//! remembered to the ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use time::OffsetDateTime;

use crate::fault::{FaultKind, FaultRule, Faults};
use crate::ledger::{Created, Ledger};
use crate::problem::Problem;
use crate::resource::{CreateRequest, Resource};
use crate::system::System;

/// What all handlers of one system share.
#[derive(Clone)]
pub(crate) struct Site {
    pub system: System,
    pub ledger: Arc<Mutex<Ledger>>,
    pub faults: Arc<Mutex<Faults>>,
}

/// A lock that a panic elsewhere cannot take away: both states are whole after every single change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A create request that has passed the form.
#[derive(Clone)]
pub(crate) struct Creation {
    pub key: String,
    pub request: CreateRequest,
    pub correlation_id: Option<String>,
}

impl Site {
    pub(crate) async fn create_under(&self, rule: Option<FaultRule>, creation: Creation) -> Response {
        let Some(rule) = rule else { return self.apply(creation) };
        self.log_fault(&rule, &creation.request, Some(&creation.key));
        match rule.kind {
            FaultKind::Reject => self.rejection(&creation.request).into_response(),
            FaultKind::Error5xx => unavailable("the system is out of order").into_response(),
            FaultKind::Delay => {
                tokio::time::sleep(rule.pause()).await;
                self.apply(creation)
            }
            FaultKind::Hang => self.keep_silent(&rule).await,
            FaultKind::ApplyThenTimeout => {
                self.apply(creation);
                self.keep_silent(&rule).await
            }
            FaultKind::ApplyTwiceReply => {
                self.apply(creation.clone());
                self.apply(creation)
            }
            // Such a rule is about queries only and never hits a creation.
            FaultKind::QueryUnavailable => self.apply(creation),
        }
    }

    fn apply(&self, creation: Creation) -> Response {
        let Creation { key, request, correlation_id } = creation;
        let about = request.clone();
        let created =
            lock(&self.ledger).create(self.system, &key, request, correlation_id.clone(), OffsetDateTime::now_utc());
        let (outcome, response) = match created {
            Created::New(resource) => {
                ("CREATED", (StatusCode::CREATED, self.location(&resource), Json(resource)).into_response())
            }
            Created::Replayed(resource) => {
                let replayed = [("idempotency-replayed", "true")];
                ("REPLAYED", (StatusCode::OK, replayed, Json(resource)).into_response())
            }
            Created::KeyReused => ("IDEMPOTENCY_KEY_REUSED", key_reused().into_response()),
            Created::Full => ("FULL", full().into_response()),
            Created::NotStored(error) => {
                tracing::error!(system = self.system.name(), %error, "state cannot be written");
                ("NOT_STORED", unavailable("the state cannot be written").into_response())
            }
        };
        tracing::info!(
            system = self.system.name(),
            outcome,
            tenantId = about.tenant_id,
            orderId = about.order_id,
            lineNumber = about.line_number,
            stepId = about.step_id,
            idempotencyKey = key,
            correlationId = correlation_id,
            "create"
        );
        response
    }

    fn location(&self, resource: &Resource) -> [(&'static str, String); 1] {
        [("location", format!("/{}/{}/{}", self.system.name(), self.system.collection(), resource.id))]
    }

    fn rejection(&self, request: &CreateRequest) -> Problem {
        let (status, code) = self.system.rejection();
        let detail = format!(
            "{} refuses offering {} for order {}",
            self.system.name(),
            request.product_offering_id,
            request.order_id
        );
        Problem::new(status, code, detail)
    }

    /// No answer within any sensible client's patience; a gateway's time-out in the end, so that nothing is held
    /// for ever.
    async fn keep_silent(&self, rule: &FaultRule) -> Response {
        tokio::time::sleep(rule.pause()).await;
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "NO_ANSWER", "the system did not answer").into_response()
    }

    fn log_fault(&self, rule: &FaultRule, request: &CreateRequest, key: Option<&str>) {
        tracing::warn!(
            system = self.system.name(),
            fault = ?rule.kind,
            hit = rule.hits,
            tenantId = request.tenant_id,
            orderId = request.order_id,
            lineNumber = request.line_number,
            stepId = request.step_id,
            idempotencyKey = key,
            "fault"
        );
    }

    pub(crate) async fn compensate_under(&self, rule: Option<FaultRule>, resource: Resource) -> Response {
        let Some(rule) = rule else { return self.undo(&resource) };
        self.log_fault(&rule, &resource.request, Some(&resource.idempotency_key));
        match rule.kind {
            FaultKind::Reject => self.rejection(&resource.request).into_response(),
            FaultKind::Error5xx => unavailable("the system is out of order").into_response(),
            FaultKind::Delay => {
                tokio::time::sleep(rule.pause()).await;
                self.undo(&resource)
            }
            FaultKind::Hang => self.keep_silent(&rule).await,
            FaultKind::ApplyThenTimeout => {
                self.undo(&resource);
                self.keep_silent(&rule).await
            }
            FaultKind::ApplyTwiceReply => {
                self.undo(&resource);
                self.undo(&resource)
            }
            FaultKind::QueryUnavailable => self.undo(&resource),
        }
    }

    fn undo(&self, resource: &Resource) -> Response {
        let undone = lock(&self.ledger).compensate(self.system, &resource.id, OffsetDateTime::now_utc());
        let (outcome, response) = match undone {
            Ok(Some(resource)) => ("COMPENSATED", Json(resource).into_response()),
            Ok(None) => ("NOT_FOUND", not_found(&resource.id).into_response()),
            Err(error) => {
                tracing::error!(system = self.system.name(), %error, "state cannot be written");
                ("NOT_STORED", unavailable("the state cannot be written").into_response())
            }
        };
        tracing::info!(
            system = self.system.name(),
            outcome,
            tenantId = resource.request.tenant_id,
            orderId = resource.request.order_id,
            stepId = resource.request.step_id,
            id = resource.id,
            "compensate"
        );
        response
    }
}

pub(crate) fn unavailable(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE", detail)
}

fn key_reused() -> Problem {
    let detail = "the Idempotency-Key was used with another body";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", detail)
}

fn full() -> Problem {
    let detail = "the simulator remembers no more; start it with an empty state";
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, "SIMULATOR_FULL", detail)
}

pub(crate) fn not_found(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("{id} does not exist"))
}
