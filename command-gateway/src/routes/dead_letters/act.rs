//! `POST /dead-letters/{deadLetterId}/redrive` and `/discard`: what it would mean (`dryRun`), and doing it. Dead letters
//! have no processor of their own: the action is accepted, recorded and audited here in one transaction, and the
//! consumer that parked the key goes on from there.

use super::{dead_letter_id, not_found};
use crate::answer::Answer;
use crate::call::Call;
use crate::form::{Field, Kind, Object, Pattern, Text};
use crate::operation::{Parameter, Reply};
use crate::problem::Problem;
use crate::reading;
use crate::submit::REPLAYED;
use cpq_domain::rejection::{ErrorCode, FieldCode, FieldError, Rejection};
use cpq_runtime::dead_letters::{self, Act, By, Done, Preview, Refusal, judge, preview};
use cpq_state_stores::commands::{self, Scope, StoredCommand};
use cpq_state_stores::operations::parked::act::{self, Request, Told};
use cpq_state_stores::operations::parked::{self, DeadLetter, DeadLetterQuery};
use cpq_state_stores::{StoreError, Tx};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

/// The constraint that two audit entries of one chain at once run into.
const AUDIT_CHAIN: &str = "audit_pkey";

/// Why something is done, in several lines perhaps.
const REASON: Kind = Kind::Text(Text {
    min: 1,
    max: 2000,
    pattern: Some(Pattern { regex: r"\S", matches: |text| !text.trim().is_empty() && !text.contains('\0') }),
});

pub static BODY: Object = Object {
    name: "DeadLetterAction",
    describes: "What is to be done with the first record of a dead letter.",
    fields: &[
        Field::optional("reason", REASON, "Why; it goes into the audit. Required unless it is a dry run."),
        Field::with_default("dryRun", Kind::Boolean, "false", "Say what it would mean, and change nothing."),
        Field::with_default("force", Kind::Boolean, "false", "Do it also where `DEAD_LETTER_NEEDS_FORCE` refuses it."),
    ],
    also: None,
    example: r#"{"reason": "the price list is mended", "dryRun": false}"#,
};

pub static QUERY: [Parameter; 1] = [Parameter {
    name: "dryRun",
    describes: "The same as in the body; a dry run is one where either says so.",
    choices: &["true", "false"],
}];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    reason: Option<String>,
    dry_run: bool,
    force: bool,
}

/// What was done with a dead letter, or would be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterResult {
    pub dead_letter_id: String,
    /// REDRIVE or DISCARD.
    pub action: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Names the action under `actions` of the dead letter; null for a dry run.
    pub action_id: Option<String>,
    /// What it means, in one sentence.
    pub summary: String,
    /// What to think of.
    pub warnings: Vec<String>,
    /// Records that waited behind the first and are released after it.
    pub behind: i64,
    /// Where it stands after this: PARKED, REDRIVING or RELEASED.
    pub status: String,
    /// Of a dry run: the code and the reason with which it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<DeadLetterRefusal>,
}

/// Why it would be refused.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterRefusal {
    pub error_code: ErrorCode,
    pub detail: String,
}

pub async fn redrive(call: Call) -> Reply {
    handle(call, Act::Redrive).await
}

pub async fn discard(call: Call) -> Reply {
    handle(call, Act::Discard).await
}

async fn handle(call: Call, act: Act) -> Reply {
    if call.if_match.is_some() {
        let detail = "If-Match cannot hold for a dead letter, which has no revision: leave it out.";
        return Err(Problem::new(ErrorCode::PreconditionFailed, detail));
    }
    let form: Form = call.read()?;
    let id = dead_letter_id(&call)?;
    if form.dry_run || call.query("dryRun") == Some("true") {
        return dry_run(&call, id, act, form.force).await;
    }
    let Some(reason) = form.reason.as_deref() else {
        let detail = "is required: say why, for the audit";
        return Err(Problem::invalid(vec![FieldError::new("/reason", FieldCode::Required, detail)]));
    };
    let scope = Scope {
        tenant_id: call.tenant().clone(),
        actor_id: call.caller.claims.actor_id.clone(),
        operation: call.operation.id,
        key: call.idempotency_key.clone(),
    };
    match attempt(&call, &scope, id, act, reason, form.force).await {
        // Its chain has grown at the same time.
        Err(Failure::Store(StoreError::Constraint(name))) if name == AUDIT_CHAIN => {
            Err(Problem::unavailable("Something else happened to it at the same time: try again."))
        }
        Err(Failure::Store(error)) => Err(error.into()),
        Err(Failure::Problem(problem)) => Err(*problem),
        Ok(answer) => Ok(answer),
    }
}

enum Failure {
    Store(StoreError),
    Problem(Box<Problem>),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

async fn dry_run(call: &Call, id: &str, act: Act, force: bool) -> Reply {
    let mut tx = call.begin().await?;
    let letter = letter(&mut tx, call, id).await?.ok_or_else(not_found)?;
    tx.commit().await?;
    let Preview { summary, warnings, .. } = preview(&letter, act, force);
    let refusal = judge(&letter, act, force)
        .err()
        .map(|refusal| DeadLetterRefusal { error_code: code(&refusal), detail: detail(&refusal) });
    let result = DeadLetterResult {
        action: act.as_str().to_owned(),
        dry_run: true,
        action_id: None,
        summary,
        warnings,
        behind: letter.behind(),
        status: letter.status,
        dead_letter_id: letter.dead_letter_id,
        refusal,
    };
    Ok(Answer::ok(&result).build())
}

async fn letter(tx: &mut Tx, call: &Call, id: &str) -> Result<Option<DeadLetter>, StoreError> {
    let tenant = Some(call.tenant().as_str());
    let query = DeadLetterQuery { dead_letter_id: Some(id), tenant, ..DeadLetterQuery::default() };
    Ok(parked::dead_letters(tx, &query).await?.pop())
}

async fn attempt(
    call: &Call,
    scope: &Scope,
    id: &str,
    act: Act,
    reason: &str,
    force: bool,
) -> Result<axum::response::Response, Failure> {
    let mut tx = call.begin().await?;
    if let Some(stored) = commands::by_scope(&mut tx, &[scope]).await?.remove(scope) {
        return answer_again(call, tx, &stored).await;
    }
    let (now, command_id) = (reading::now().into_inner(), &call.command_id);
    let claims = serde_json::to_string(&call.caller.claims)
        .map_err(|error| StoreError::corrupt("the caller's claims", error))?;
    let by = By {
        action_id: command_id.as_str(),
        actor_id: call.caller.claims.actor_id.as_str(),
        actor_type: call.caller.claims.actor_type.as_str(),
        claims: &claims,
        correlation_id: call.exchange.correlation_id.as_str(),
        reason,
        force,
        at: now,
    };
    let done = dead_letters::carry_out(&mut tx, id, Some(call.tenant().as_str()), act, &by).await?;
    let done = done.map_err(|refusal| problem(&refusal))?;
    let request = Request {
        scope,
        command_id,
        fingerprint: call.fingerprint,
        correlation_id: &call.exchange.correlation_id,
        received_at: call.received_at,
        dead_letter_id: id,
        message_key: &done.letter.message_key,
    };
    if !act::accept(&mut tx, &request, now).await? {
        // The same request at the same time was first; this one is undone and answered as that one.
        tx.rollback().await?;
        let mut tx = call.begin().await?;
        let stored = commands::by_scope(&mut tx, &[scope]).await?.remove(scope);
        let stored = stored.ok_or_else(|| StoreError::Corrupt("a command's key is taken by no command".to_owned()))?;
        return answer_again(call, tx, &stored).await;
    }
    tx.commit().await?;
    tracing::Span::current().record("command_id", command_id.as_str());
    let Done { letter, told, answered, .. } = done;
    info!(dead_letter_id = id, action = act.as_str(), business_key = letter.message_key, "dead letter let go");
    call.gateway.hints.redrive();
    call.gateway.hints.decided(answered.into_iter().collect());
    Ok(answer(id, act.as_str(), command_id.as_str(), letter.behind(), told))
}

/// The answer to a retry, as it was.
async fn answer_again(call: &Call, mut tx: Tx, stored: &StoredCommand) -> Result<axum::response::Response, Failure> {
    tracing::Span::current().record("command_id", stored.command_id.as_str());
    if stored.fingerprint != call.fingerprint {
        let detail = "This Idempotency-Key was sent before with another request: use a new key for a new command.";
        return Err(Problem::new(ErrorCode::IdempotencyKeyReused, detail).into());
    }
    let action = parked::action(&mut tx, stored.command_id.as_str()).await?;
    tx.commit().await?;
    let action = action.ok_or_else(|| StoreError::Corrupt("an action on a dead letter is not there".to_owned()))?;
    let told = action.told.0;
    let mut response = answer(&action.dead_letter_id, &action.action, &action.action_id, action.behind, told);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// 200 where nothing of it is parked any more, else 202.
fn answer(id: &str, action: &str, action_id: &str, behind: i64, told: Told) -> axum::response::Response {
    let status = if told.status == "RELEASED" { StatusCode::OK } else { StatusCode::ACCEPTED };
    let result = DeadLetterResult {
        dead_letter_id: id.to_owned(),
        action: action.to_owned(),
        dry_run: false,
        action_id: Some(action_id.to_owned()),
        summary: told.summary,
        warnings: told.warnings,
        behind,
        status: told.status,
        refusal: None,
    };
    Answer::json(status, &result).location(&format!("/dead-letters/{id}")).build()
}

fn problem(refusal: &Refusal) -> Problem {
    let rejection = Rejection::new(code(refusal), detail(refusal));
    if matches!(refusal, Refusal::Busy) { rejection.retryable().into() } else { rejection.into() }
}

fn code(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::NotFound => ErrorCode::DeadLetterNotFound,
        Refusal::Busy => ErrorCode::DeadLetterBusy,
        Refusal::Looped(_) | Refusal::NeedsForce(_) => ErrorCode::DeadLetterNeedsForce,
        Refusal::Impossible(_) => ErrorCode::DeadLetterNotDiscardable,
    }
}

fn detail(refusal: &Refusal) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
