//! The way of a command: look its idempotency key up, commit it with its message, wait for what becomes of it,
//! and answer. Nothing is decided here.

use crate::call::Call;
use crate::operation::Reply;
use crate::problem::Problem;
use crate::render::{self, Shape};
use axum::body::Body;
use axum::response::Response;
use cpq_avro::{AggregateType, Command, headers, topics};
use cpq_domain::ids::{CommandId, OrderId, QuoteId};
use cpq_domain::order::OrderCommand;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::rejection::ErrorCode;
use cpq_state_stores::cache::{Redis, idempotency_key};
use cpq_state_stores::commands::{self, Accepted, NewCommand, Outcome, Scope, StoredCommand};
use cpq_state_stores::outbox::OutboxRow;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use tracing::{error, info};
use utoipa::ToSchema;

/// Marks the answer to a retry of a decided command.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The 202 of a command that is not decided yet.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"commandId": "01JZ1R6S8T7XK4A5Q9ZQ8Y6T4Q", "status": "PENDING", "aggregateType": "QUOTE", "aggregateId": "Q-2026-000123"}))]
pub struct PendingCommand {
    pub command_id: String,
    /// Always PENDING.
    pub status: &'static str,
    /// QUOTE or ORDER.
    pub aggregate_type: String,
    pub aggregate_id: String,
}

/// Sends a command to a quote and answers in this shape.
pub async fn to_quote(call: Call, quote: QuoteId, command: QuoteCommand, shape: Shape) -> Reply {
    let command = Command::Quote(command);
    send(call, AggregateType::Quote, topics::QUOTE_COMMANDS, quote.into_string(), command, shape).await
}

/// Sends a command to an order and answers in this shape.
pub async fn to_order(call: Call, order: OrderId, command: OrderCommand, shape: Shape) -> Reply {
    let command = Command::Order(command);
    send(call, AggregateType::Order, topics::ORDER_COMMANDS, order.into_string(), command, shape).await
}

async fn send(
    call: Call,
    aggregate: AggregateType,
    topic: &str,
    aggregate_id: String,
    command: Command,
    shape: Shape,
) -> Reply {
    let scope = Scope {
        tenant_id: call.tenant().clone(),
        actor_id: call.caller.claims.actor_id.clone(),
        operation: call.operation.id,
        key: call.idempotency_key.clone(),
    };
    if let Some((stored, outcome)) = hinted(&call, &scope).await {
        return answer_again(call, stored, outcome, shape).await;
    }
    let new = message(&call, scope, aggregate, topic, aggregate_id, &command)?;
    let (id, aggregate_id) = (new.command_id.clone(), new.aggregate_id.clone());
    let hint = hint_key(&new.scope);
    match call.gateway.writer.accept(new).await? {
        Accepted::New => {
            if call.named_before.is_some() {
                // The hint named a command that never came to be.
                remember(&call.gateway.redis, hint, &id);
            }
            tracing::Span::current().record("command_id", id.as_str());
            info!(command = command.name(), aggregate_id, "command accepted");
            let outcome = call.gateway.outcomes.wait(call.tenant(), &id, call.wait.time).await;
            match outcome {
                Some(outcome) => render::outcome(&call, &outcome, &shape).await,
                None => Ok(pending(&call, &id, aggregate.as_str(), &aggregate_id)),
            }
        }
        Accepted::Before(stored) => {
            remember(&call.gateway.redis, hint, &stored.command_id);
            let outcome = decided(&call, &stored).await?;
            answer_again(call, *stored, outcome, shape).await
        }
    }
}

/// The command row and its outbox row.
fn message(
    call: &Call,
    scope: Scope,
    aggregate: AggregateType,
    topic: &str,
    aggregate_id: String,
    command: &Command,
) -> Result<NewCommand, Problem> {
    let meta = call.meta();
    let name = command.name();
    let value = call.gateway.encoder.command(&meta, aggregate, &aggregate_id, command).map_err(|error| {
        error!(%error, command = name, "a command cannot be encoded");
        Problem::new(ErrorCode::Internal, "The failure is in our log under this correlation id.")
    })?;
    let message = OutboxRow::new(
        &meta.tenant_id,
        topic,
        &aggregate_id,
        meta.command_id.as_str(),
        aggregate.as_str(),
        None,
        headers::command(&meta, aggregate, &aggregate_id, name),
        value,
    );
    Ok(NewCommand {
        scope,
        command_id: meta.command_id,
        fingerprint: call.fingerprint,
        aggregate_type: aggregate.as_str(),
        aggregate_id,
        correlation_id: meta.correlation_id,
        received_at: meta.received_at,
        message,
    })
}

/// A retry: the same answer again if the command is decided, else the retry waits as the first does.
async fn answer_again(call: Call, stored: StoredCommand, outcome: Option<Outcome>, shape: Shape) -> Reply {
    tracing::Span::current().record("command_id", stored.command_id.as_str());
    if stored.fingerprint != call.fingerprint {
        return Err(Problem::new(
            ErrorCode::IdempotencyKeyReused,
            "This Idempotency-Key was sent before with another request: use a new key for a new command.",
        ));
    }
    if let Some(outcome) = outcome {
        let mut response = match render::outcome(&call, &outcome, &shape).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(&call.exchange),
        };
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        return Ok(response);
    }
    match call.gateway.outcomes.wait(call.tenant(), &stored.command_id, call.wait.time).await {
        Some(outcome) => render::outcome(&call, &outcome, &shape).await,
        None => Ok(pending(&call, &stored.command_id, &stored.aggregate_type, &stored.aggregate_id)),
    }
}

async fn decided(call: &Call, stored: &StoredCommand) -> Result<Option<Outcome>, Problem> {
    let mut tx = call.begin().await?;
    let found = commands::load(&mut tx, call.tenant(), &stored.command_id).await?;
    tx.commit().await?;
    Ok(found.and_then(|(_, outcome)| outcome))
}

/// The command that Redis says this key names, if Postgres says so too. Saves a retry the write.
async fn hinted(call: &Call, scope: &Scope) -> Option<(StoredCommand, Option<Outcome>)> {
    let id = call.named_before.as_ref()?;
    let mut tx = call.begin().await.ok()?;
    let found = commands::load(&mut tx, call.tenant(), id).await.ok().flatten();
    tx.commit().await.ok()?;
    found.filter(|(stored, _)| {
        stored.actor_id == scope.actor_id && stored.operation == scope.operation && stored.idempotency_key == scope.key
    })
}

fn hint_key(scope: &Scope) -> String {
    idempotency_key(&scope.tenant_id, scope.operation, scope.actor_id.as_str(), &scope.key)
}

/// Leaves the hint without making the client wait for it.
fn remember(redis: &Redis, key: String, command: &CommandId) {
    let (redis, command) = (redis.clone(), command.clone());
    tokio::spawn(async move { redis.hint_command(&key, command.as_str()).await });
}

fn pending(call: &Call, command: &CommandId, aggregate_type: &str, aggregate_id: &str) -> Response {
    let body = PendingCommand {
        command_id: command.to_string(),
        status: "PENDING",
        aggregate_type: aggregate_type.to_owned(),
        aggregate_id: aggregate_id.to_owned(),
    };
    let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(place) = HeaderValue::from_str(&format!("/commands/{command}")) {
        headers.insert(LOCATION, place);
    }
    if let Some(applied) = call.wait.applied.header().and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    response
}
