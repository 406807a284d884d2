//! From a stored outcome to the answer: the aggregate is folded from its transitions up to the outcome's
//! sequence, so a retry gets the same answer whatever has happened since.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::problem::Problem;
use axum::response::Response;
use cpq_domain::command::Applied;
use cpq_domain::ids::{ArtifactId, OrderId, QuoteId, TaskId, TenantId};
use cpq_domain::order::view::OrderView;
use cpq_domain::order::{self, Order, OrderEvent};
use cpq_domain::quote::view::{ArtifactView, QuoteView, TaskStatus, TaskView};
use cpq_domain::quote::{self, Phase, Quote, QuoteEvent};
use cpq_state_stores::commands::Outcome;
use cpq_state_stores::{StoreError, Tx, transitions};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// What the answer to an applied command shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 200, or 201 with its place where it was made.
    Quote,
    /// 202: the quote and the command's id.
    AcceptedQuote,
    /// 201 or 200: one artifact of the quote.
    Artifact,
    /// 201 or 200: the order of the quote.
    OrderOfQuote,
    /// 202: the order and the command's id.
    ChangedOrder,
    /// 200.
    Task(TaskId),
    /// 200: the task's status and its quote.
    CompletedTask(TaskId),
}

/// A decided command whose effect goes on: the object with the command's id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedQuote {
    pub command_id: String,
    #[serde(flatten)]
    pub quote: QuoteView,
}

/// As [`AcceptedQuote`], of an order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedOrder {
    pub command_id: String,
    #[serde(flatten)]
    pub order: OrderView,
}

/// A task that was decided, with the quote as it is then.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompletedTask {
    pub task_id: TaskId,
    pub status: TaskStatus,
    pub quote: QuoteView,
}

/// The answer to a decided command.
pub async fn outcome(call: &Call, outcome: &Outcome, shape: &Shape) -> Reply {
    let applied = outcome.result.as_ref().map_err(|rejection| Problem::from(rejection.clone()))?;
    let mut tx = call.begin().await?;
    let response = applied_outcome(call, &mut tx, outcome, applied, shape).await?;
    tx.commit().await?;
    Ok(response)
}

async fn applied_outcome(call: &Call, tx: &mut Tx, outcome: &Outcome, applied: &Applied, shape: &Shape) -> Reply {
    let claims = Some(&call.caller.claims);
    if *shape == Shape::ChangedOrder {
        let order = order_of_outcome(tx, call.tenant(), outcome).await?;
        let body = ChangedOrder { command_id: outcome.command_id.to_string(), order: OrderView::of(&order, claims) };
        return Ok(Answer::json(StatusCode::ACCEPTED, &body).revision(order.revision).build());
    }
    let quote = quote_of_outcome(tx, call.tenant(), outcome).await?;
    let view = || QuoteView::of(&quote, outcome.decided_at, claims);
    let answer = match shape {
        Shape::Quote if applied.created => {
            Answer::json(StatusCode::CREATED, &view()).location(&format!("/quotes/{}", quote.quote_id))
        }
        Shape::Quote => Answer::ok(&view()),
        Shape::AcceptedQuote => {
            let body = AcceptedQuote { command_id: outcome.command_id.to_string(), quote: view() };
            Answer::json(StatusCode::ACCEPTED, &body)
        }
        Shape::Artifact => artifact(&quote, applied)?,
        Shape::OrderOfQuote => return order_of_quote(call, tx, outcome, applied).await,
        Shape::Task(task) => Answer::ok(&task_view(&quote, task)?),
        Shape::CompletedTask(task) => {
            let status = task_view(&quote, task)?.status;
            Answer::ok(&CompletedTask { task_id: task.clone(), status, quote: view() })
        }
        Shape::ChangedOrder => return Err(broken("an order's answer was asked of a quote").into()),
    };
    Ok(answer.revision(quote.revision).build())
}

fn artifact(quote: &Quote, applied: &Applied) -> Result<Answer, Problem> {
    let id = ArtifactId::new(applied.subject.clone().unwrap_or_default());
    let artifact =
        artifact_named(quote, &id).ok_or_else(|| broken("the outcome names an artifact that is not there"))?;
    let view = ArtifactView::of(artifact);
    let place = format!("/quotes/{}/artifacts/{id}", quote.quote_id);
    let status = if applied.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer::json(status, &view).location(&place))
}

fn artifact_named<'a>(quote: &'a Quote, id: &ArtifactId) -> Option<&'a quote::Artifact> {
    match &quote.phase {
        Phase::Approved { artifacts, .. } => artifacts.iter().find(|artifact| artifact.artifact_id == *id),
        _ => quote.artifact().filter(|artifact| artifact.artifact_id == *id),
    }
}

fn task_view(quote: &Quote, task: &TaskId) -> Result<TaskView, Problem> {
    TaskView::of(quote, task).ok_or_else(|| broken("the outcome is of a task that is not there").into())
}

/// The order that a quote led to. One that this command saw made is shown as it was made; one that was there
/// before, as it was when the command was decided.
async fn order_of_quote(call: &Call, tx: &mut Tx, outcome: &Outcome, applied: &Applied) -> Result<Response, Problem> {
    let id = OrderId::new(applied.subject.clone().unwrap_or_default());
    let events = transitions::load::<OrderEvent>(tx, call.tenant(), id.as_str(), None).await?;
    let shown = events.iter().filter(|t| t.sequence == 1 || (!applied.created && t.at <= outcome.decided_at));
    let order = order::fold(call.tenant(), &id, shown.map(|t| (&t.event, t.at)))
        .ok_or_else(|| broken("the outcome names an order that is not there"))?;
    let view = OrderView::of(&order, Some(&call.caller.claims));
    let status = if applied.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer::json(status, &view).revision(order.revision).location(&format!("/orders/{id}")).build())
}

async fn quote_of_outcome(tx: &mut Tx, tenant: &TenantId, outcome: &Outcome) -> Result<Quote, StoreError> {
    let id = QuoteId::new(outcome.aggregate_id.as_str());
    let events = transitions::load::<QuoteEvent>(tx, tenant, id.as_str(), outcome.sequence).await?;
    quote::fold(tenant, &id, events.iter().map(|t| (&t.event, t.at)))
        .ok_or_else(|| broken("the outcome is of a quote without events"))
}

async fn order_of_outcome(tx: &mut Tx, tenant: &TenantId, outcome: &Outcome) -> Result<Order, StoreError> {
    let id = OrderId::new(outcome.aggregate_id.as_str());
    let events = transitions::load::<OrderEvent>(tx, tenant, id.as_str(), outcome.sequence).await?;
    order::fold(tenant, &id, events.iter().map(|t| (&t.event, t.at)))
        .ok_or_else(|| broken("the outcome is of an order without events"))
}

fn broken(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}
