//! `GET /commands/{commandId}`: what became of a command.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::problem::{Problem, ProblemDocument};
use cpq_domain::command::Role;
use cpq_domain::ids::{CommandId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::ErrorCode;
use cpq_state_stores::commands::{self, StoredCommand};
use cpq_state_stores::{Tx, reads};
use serde::Serialize;
use utoipa::ToSchema;

/// A command and its outcome.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandView {
    pub command_id: String,
    /// The OpenAPI operation id, or the command's name where one of our processes sent it.
    pub operation: String,
    pub status: CommandStatus,
    pub aggregate_type: String,
    pub aggregate_id: String,
    /// The aggregate's revision after the decision.
    pub revision: Option<u32>,
    /// Why it was refused.
    #[schema(value_type = Option<ProblemDocument>)]
    pub problem: Option<ProblemDocument>,
    pub received_at: Moment,
    pub decided_at: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommandStatus {
    Pending,
    Applied,
    Rejected,
}

pub async fn handle(call: Call) -> Reply {
    let unknown = || Problem::new(ErrorCode::CommandNotFound, "There is no such command in this tenant.");
    let id = CommandId::new(call.usable_segment("commandId").ok_or_else(unknown)?);
    let mut tx = call.begin().await?;
    let (stored, outcome) = commands::load(&mut tx, call.tenant(), &id).await?.ok_or_else(unknown)?;
    if !may_see(&call, &mut tx, call.tenant(), &stored).await? {
        return Err(unknown());
    }
    tx.commit().await?;
    let refused = outcome.as_ref().and_then(|outcome| outcome.result.as_ref().err());
    let view = CommandView {
        command_id: stored.command_id.to_string(),
        operation: stored.operation,
        status: match (&outcome, refused) {
            (None, _) => CommandStatus::Pending,
            (Some(_), None) => CommandStatus::Applied,
            (Some(_), Some(_)) => CommandStatus::Rejected,
        },
        aggregate_type: stored.aggregate_type,
        aggregate_id: stored.aggregate_id,
        revision: outcome.as_ref().and_then(|outcome| outcome.revision),
        problem: refused.map(|rejection| Problem::document(rejection, &call.exchange)),
        received_at: stored.received_at,
        decided_at: outcome.as_ref().map(|outcome| outcome.decided_at),
    };
    Ok(Answer::ok(&view).build())
}

/// Whoever sent it, and whoever may read what it is about.
async fn may_see(call: &Call, tx: &mut Tx, tenant: &TenantId, stored: &StoredCommand) -> Result<bool, Problem> {
    let claims = &call.caller.claims;
    if stored.actor_id == claims.actor_id || claims.has(Role::Auditor) {
        return Ok(true);
    }
    let account = reads::account_of(tx, tenant, &stored.aggregate_id).await?;
    Ok(account.is_some_and(|account| call.may_read(&account)))
}
