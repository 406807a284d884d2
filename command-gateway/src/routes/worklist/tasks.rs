//! `GET /worklist/tasks`: what waits for the caller. A view, cached for a second: people reload it all the time.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::{Parameter, Reply};
use crate::page::{self, Page};
use crate::problem::Problem;
use crate::reading;
use crate::routes::search::{CURSOR, LIMIT};
use axum::body::Body;
use axum::response::Response;
use cpq_avro::topics;
use cpq_domain::approval::ApprovalLevel;
use cpq_domain::command::Role;
use cpq_domain::ids::{ActorId, OrderId, QuoteId, TaskId};
use cpq_domain::moment::{Moment, within};
use cpq_domain::quote::view::{TaskStatus, TaskType, TaskView};
use cpq_domain::rejection::ErrorCode;
use cpq_state_stores::cache::worklist_key;
use cpq_state_stores::reads::{self, TaskSearch};
use cpq_state_stores::views::TaskRow;
use cpq_state_stores::{Tx, reference};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use std::time::Duration;

/// How long an answer is shown again.
const CACHED: Duration = Duration::from_secs(1);

pub static FILTERS: [Parameter; 5] = [
    Parameter { name: "type", describes: "Of this type.", choices: &["APPROVAL", "FALLOUT"] },
    Parameter {
        name: "status",
        describes: "In this status; default: open and claimed ones.",
        choices: &["OPEN", "CLAIMED", "COMPLETED", "CANCELLED"],
    },
    Parameter { name: "assignee", describes: "`me`: those that the caller has claimed.", choices: &["me"] },
    LIMIT,
    CURSOR,
];

pub async fn handle(call: Call) -> Reply {
    let limit = page::limit(&call)?;
    let after = page::cursor::<String>(&call)?;
    let key = cache_key(&call);
    if let Some(cached) = call.gateway.redis.get(&key).await {
        return Ok(json(cached));
    }
    let mut tx = call.begin().await?;
    let page = look(&call, &mut tx, limit, after.as_deref()).await?;
    tx.commit().await?;
    let Ok(text) = serde_json::to_string(&page) else { return Ok(Answer::ok(&page).build()) };
    call.gateway.redis.put(&key, &text, CACHED).await;
    Ok(json(text))
}

/// All that an answer depends on: who asks, with which claims, for what.
fn cache_key(call: &Call) -> String {
    let claims = serde_json::to_string(&call.caller.claims).unwrap_or_default();
    let query = serde_json::to_string(&call.query).unwrap_or_default();
    worklist_key(call.tenant(), &[&claims, &query])
}

fn json(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn look(call: &Call, tx: &mut Tx, limit: usize, after: Option<&str>) -> Result<Page<TaskView>, Problem> {
    let roles = candidate_roles(call, tx).await?;
    let accounts = call.readable();
    let wanted = call.query("status");
    let statuses: Vec<&str> = wanted.map_or_else(|| vec!["OPEN", "CLAIMED"], |status| vec![status]);
    let search = TaskSearch {
        tenant: call.tenant(),
        accounts: &accounts,
        roles: roles.as_deref(),
        task_type: call.query("type"),
        statuses: &statuses,
        assignee: call.query("assignee").map(|_| call.caller.claims.actor_id.as_str()),
        after,
        limit: limit as i64 + 1,
    };
    let rows: Vec<TaskRow> = reads::tasks(tx, &search).await?;
    let as_of = reads::view_as_of(tx, &[topics::QUOTE_EVENTS, topics::ORDER_EVENTS]).await?;
    let items = rows.into_iter().map(task).collect::<Option<Vec<_>>>();
    let unreadable = || Problem::new(ErrorCode::Internal, "The failure is in our log under this correlation id.");
    let items = items.ok_or_else(unreadable)?;
    Ok(Page::of(items, limit, as_of, |last| last.task_id.to_string()))
}

/// The roles whose tasks are the caller's: approval levels by today's authorities, and the token's own roles,
/// which fallout is for. An auditor sees every task.
async fn candidate_roles(call: &Call, tx: &mut Tx) -> Result<Option<Vec<String>>, Problem> {
    let claims = &call.caller.claims;
    if claims.has(Role::Auditor) {
        return Ok(None);
    }
    let mut roles: Vec<String> = claims.roles.iter().map(|role| role.as_str().to_owned()).collect();
    if claims.has(Role::Approver) {
        let now = reading::now();
        let authorities = reference::authorities(tx, call.tenant(), &claims.actor_id).await?;
        let valid = authorities.into_iter().filter(|a| within(now, Some(a.valid_from), a.valid_to));
        roles.extend(valid.flat_map(|a| a.roles).map(|level: ApprovalLevel| level.as_str().to_owned()));
    }
    Ok(Some(roles))
}

/// A row as a task; `None` if the row holds what no build has written.
fn task(row: TaskRow) -> Option<TaskView> {
    Some(TaskView {
        task_id: TaskId::new(row.task_id),
        task_type: match row.r#type.as_str() {
            "APPROVAL" => TaskType::Approval,
            "FALLOUT" => TaskType::Fallout,
            _ => return None,
        },
        status: match row.status.as_str() {
            "OPEN" => TaskStatus::Open,
            "CLAIMED" => TaskStatus::Claimed,
            "COMPLETED" => TaskStatus::Completed,
            "CANCELLED" => TaskStatus::Cancelled,
            _ => return None,
        },
        quote_id: row.quote_id.map(QuoteId::new),
        order_id: row.order_id.map(OrderId::new),
        quote_revision: row.quote_revision,
        candidate_role: row.candidate_role,
        assignee: row.assignee.map(ActorId::new),
        requested_by: row.requested_by.map(ActorId::new),
        created_at: Moment::parse(&row.created_at)?,
        due_at: row.due_at.as_deref().and_then(Moment::parse),
        escalated: row.escalated,
    })
}
