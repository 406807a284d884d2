//! One fulfilment step: written down before it is called for, settled after. No answer is not a failure: the
//! system is asked by idempotency key before anything else, and if it cannot say either, a person must look.

use super::Outcome;
use super::plan;
use super::report::Place;
use crate::bridge::Bridge;
use crate::downstream::{Answer, Asked, System, kept};
use crate::process::Process;
use cpq_domain::canonical;
use cpq_domain::ids::StepId;
use cpq_domain::order::command::*;
use cpq_domain::order::{Order, OrderCommand, Phase, Step};
use cpq_runtime::backoff::Backoff;
use cpq_state_stores::StoreError;
use cpq_state_stores::attempts::{self, Attempt, CallOutcome, NewAttempt};
use cpq_state_stores::evidence::{self, TokenHolder};
use cpq_state_stores::workflow::{self, Hold};
use serde_json::{Value, json};
use std::time::Duration;
use tracing::{info, warn};

/// The model's code for a step whose outcome nobody knows.
pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
/// How often a system is asked what became of a call before the task is given back.
const ASK_TRIES: u32 = 3;
/// How often the outcome of a call is written before it is left to be asked for.
const SETTLE_TRIES: u32 = 5;
/// Pause of a step that a cancellation is about to interrupt.
const CANCELLATION_PAUSE: Duration = Duration::from_secs(5);

/// What a step is and where it is recorded.
pub struct Call {
    pub system: &'static System,
    pub step_id: StepId,
    /// `<orderId>:<planVersion>:<stepId>`, the same for ever.
    pub key: String,
    pub request: Value,
}

/// What to do with a step that came in.
enum Next {
    /// Nothing more: this is what the engine is to hear.
    Tell(Outcome),
    /// Call for it: the attempt is written.
    Call(Call, Attempt),
    /// It was called for before, and nobody knows what came of it.
    Ask(Call, Attempt),
}

pub async fn run(bridge: &Bridge, at: &Place<'_>) -> Result<Outcome, StoreError> {
    match prepare(bridge, at).await? {
        Next::Tell(outcome) => Ok(outcome),
        Next::Ask(call, attempt) => reconcile(bridge, at, &call, &attempt).await,
        Next::Call(call, attempt) => {
            let correlation = at.process.correlation_id.as_str();
            let answer = bridge.downstream.create(call.system, &call.key, correlation, &call.request).await;
            metrics::counter!("cpq_bridge_calls_total", "system" => call.system.name, "outcome" => label(&answer))
                .increment(1);
            settle(bridge, at, &call, &attempt, &answer).await?;
            match answer {
                Answer::Done { .. } => Ok(Outcome::done()),
                Answer::Rejected { detail, .. } => Ok(rejected(call.system, detail)),
                Answer::NotDone { detail } => Ok(Outcome::failed(detail)),
                Answer::Unknown { detail } => {
                    warn!(system = call.system.name, step = %call.step_id, detail, "no answer; asking what became of the call");
                    reconcile(bridge, at, &call, &attempt).await
                }
            }
        }
    }
}

/// Decides by what is recorded, and writes the attempt down if the system is to be called.
async fn prepare(bridge: &Bridge, at: &Place<'_>) -> Result<Next, StoreError> {
    let process = &at.process;
    let mut work = bridge.begin(&process.tenant_id).await?;
    let (tenant, key) = (process.tenant_id.as_str(), process.business_key.as_str());
    // Held until the attempt is committed: a compensation that begins meanwhile waits, and then sees it.
    let row = workflow::find_instance(&mut work.tx, tenant, key, Hold::Shared).await?;
    let order = match plan::order(&mut work.tx, process).await? {
        Ok(order) => order,
        Err(reason) => return Ok(Next::Tell(Outcome::failed(reason))),
    };
    if row.is_none_or(|row| row.stopping)
        || !matches!(order.phase, Phase::Fulfilling { .. } | Phase::AwaitingFulfilment)
    {
        let reason = format!("order {} is {}", order.order_id, order.status());
        return Ok(Next::Tell(Outcome::later(CANCELLATION_PAUSE, reason)));
    }
    let (call, status) = match call(at, &order) {
        Ok(call) => call,
        Err(reason) => return Ok(Next::Tell(Outcome::failed(reason))),
    };
    if status.is_done() {
        return Ok(Next::Tell(Outcome::done()));
    }
    let hash = canonical::hash(&call.request);
    let new = new_attempt(process, &call, &hash);
    if let Some(known) = attempts::find(&mut work.tx, &new).await? {
        let told = known.response.as_ref().and_then(|response| response["taskId"].as_str()) == Some(&at.task.id);
        match known.outcome {
            CallOutcome::Succeeded => return Ok(Next::Tell(Outcome::done())),
            // Of this very task: the engine has not heard it yet. Of another: somebody wants it tried again.
            CallOutcome::Rejected if told => {
                let detail = known.response.as_ref().and_then(|r| r["body"]["detail"].as_str()).unwrap_or_default();
                return Ok(Next::Tell(rejected(call.system, detail)));
            }
            CallOutcome::Pending | CallOutcome::Unknown => return Ok(Next::Ask(call, known)),
            CallOutcome::Rejected | CallOutcome::Failed => {}
        }
    }
    if call.system.is_irreversible() {
        if let Some(wait) = plan::wait_for_all(bridge, &order) {
            return Ok(Next::Tell(wait));
        }
        let holder = TokenHolder::Step(call.step_id.clone());
        let holder = evidence::claim_order_token(&mut work.tx, &process.tenant_id, &order.order_id, &holder).await?;
        // Held by another step: the order is past its point of no return already, and this step may go too.
        if holder == TokenHolder::Cancellation {
            return Ok(Next::Tell(Outcome::later(CANCELLATION_PAUSE, "the order is being cancelled")));
        }
    }
    let attempt = attempts::begin(&mut work.tx, &new).await?;
    let started = RecordStepStarted { step_id: call.step_id.clone(), attempt: attempt.attempts };
    let once = once(&call, &attempt, "started");
    work.tell_order(process, &at.cause(), once, OrderCommand::RecordStepStarted(started))?;
    work.commit().await?;
    Ok(Next::Call(call, attempt))
}

/// The call of the task's step, and how far the order says that the step is.
fn call(at: &Place<'_>, order: &Order) -> Result<(Call, cpq_domain::order::StepStatus), String> {
    let id = at.task.variables.text("fulfillmentStepId").ok_or("the task names no step")?;
    let step_id = StepId::from(id);
    let (line, step) = order.step(&step_id).ok_or_else(|| format!("order {} has no step {id}", order.order_id))?;
    let system =
        System::of_step(&step.step_type).ok_or_else(|| format!("nobody does steps of type {}", step.step_type))?;
    let sold = order.snapshot.lines.iter().find(|sold| sold.line_number == line.line_number);
    let sold = sold.ok_or_else(|| format!("line {} was never sold", line.line_number))?;
    let request = json!({
        "tenantId": order.tenant_id,
        "orderId": order.order_id,
        "planVersion": order.plan_version,
        "lineNumber": line.line_number,
        "stepId": step_id,
        "productOfferingId": sold.product_offering_id,
        "productOfferingVersion": sold.product_offering_version,
        "quantity": sold.quantity,
        "action": sold.action,
        "characteristics": sold.characteristics,
        "assetId": sold.asset_id,
        "requestedDate": sold.requested_date,
        "customerAccountId": order.snapshot.customer_account_id,
        "currency": order.snapshot.currency,
        "termMonths": order.snapshot.term_months,
        "charges": sold.charges,
    });
    Ok((Call { system, key: key(order, step), step_id, request }, step.status))
}

fn key(order: &Order, step: &Step) -> String {
    format!("{}:{}:{}", order.order_id, order.plan_version, step.step_id)
}

fn new_attempt<'a>(process: &'a Process, call: &'a Call, hash: &'a str) -> NewAttempt<'a> {
    NewAttempt {
        tenant_id: process.tenant_id.as_str(),
        system: call.system.name,
        operation: call.system.operation,
        business_key: &process.business_key,
        idempotency_key: &call.key,
        request_hash: hash,
        request: &call.request,
        correlation_id: process.correlation_id.as_str(),
    }
}

/// One report per attempt and kind.
fn once(call: &Call, attempt: &Attempt, kind: &str) -> String {
    format!("{}:{}:{kind}", call.key, attempt.attempts)
}

fn rejected(system: &System, detail: impl Into<String>) -> Outcome {
    // The same table as the BPMN errors of the model.
    Outcome::Refused { code: system.rejection, message: detail.into() }
}

fn label(answer: &Answer) -> &'static str {
    match answer {
        Answer::Done { .. } => "done",
        Answer::Rejected { .. } => "rejected",
        Answer::NotDone { .. } => "notDone",
        Answer::Unknown { .. } => "unknown",
    }
}

/// Records what became of the call and reports it, in one transaction. A database that is not there for a
/// moment must not cost the answer.
async fn settle(
    bridge: &Bridge,
    at: &Place<'_>,
    call: &Call,
    attempt: &Attempt,
    answer: &Answer,
) -> Result<(), StoreError> {
    let mut backoff = Backoff::default();
    let mut tries = 1;
    loop {
        match write(bridge, at, call, attempt, answer).await {
            Err(error) if error.is_transient() && tries < SETTLE_TRIES => {
                tries += 1;
                tokio::time::sleep(backoff.pause()).await;
            }
            result => return result,
        }
    }
}

async fn write(
    bridge: &Bridge,
    at: &Place<'_>,
    call: &Call,
    attempt: &Attempt,
    answer: &Answer,
) -> Result<(), StoreError> {
    let mut work = bridge.begin(&at.process.tenant_id).await?;
    let step_id = call.step_id.clone();
    let (outcome, reference, report) = match answer {
        Answer::Done { reference, .. } => {
            let external_reference = reference.clone();
            let report = OrderCommand::RecordStepCompleted(RecordStepCompleted { step_id, external_reference });
            (CallOutcome::Succeeded, Some(reference.as_str()), Some(("completed", report)))
        }
        Answer::Rejected { code, detail, .. } => {
            let (code, detail) = (code.clone(), detail.clone());
            let report = OrderCommand::RecordStepRejected(RecordStepRejected { step_id, code, detail });
            (CallOutcome::Rejected, None, Some(("rejected", report)))
        }
        Answer::Unknown { detail } => {
            let report = OrderCommand::RecordStepUnknown(RecordStepUnknown { step_id, detail: detail.clone() });
            (CallOutcome::Unknown, None, Some(("unknown", report)))
        }
        Answer::NotDone { .. } => (CallOutcome::Failed, None, None),
    };
    attempts::settle(&mut work.tx, attempt.id, outcome, Some(&kept(&at.task.id, answer)), reference).await?;
    if let Some((kind, report)) = report {
        work.tell_order(&at.process, &at.cause(), once(call, attempt, kind), report)?;
    }
    work.commit().await
}

/// Finds out what became of a call that was not answered.
async fn reconcile(bridge: &Bridge, at: &Place<'_>, call: &Call, attempt: &Attempt) -> Result<Outcome, StoreError> {
    let detail = match ask(bridge, call).await {
        Asked::Done { reference, body } => {
            info!(system = call.system.name, step = %call.step_id, reference, "the call had its effect");
            settle(bridge, at, call, attempt, &Answer::Done { reference, body }).await?;
            return Ok(Outcome::done());
        }
        // A call that is still under way may have its effect yet: the next one has the same key, so that the
        // system takes both for one.
        Asked::Absent => {
            let detail = format!("{} has nothing under {}", call.system.name, call.key);
            settle(bridge, at, call, attempt, &Answer::NotDone { detail: detail.clone() }).await?;
            return Ok(Outcome::failed(detail));
        }
        Asked::Silent { detail } => detail,
    };
    let detail = format!("what became of the call could not be found out: {detail}");
    // Also where the call was begun by a process that died, so that nobody has said it yet.
    settle(bridge, at, call, attempt, &Answer::Unknown { detail: detail.clone() }).await?;
    if at.last_try {
        give_up(bridge, at, call, attempt, &detail).await?;
        return Ok(Outcome::Refused { code: OUTCOME_UNKNOWN, message: detail });
    }
    Ok(Outcome::failed(detail))
}

async fn ask(bridge: &Bridge, call: &Call) -> Asked {
    let mut backoff = Backoff::default();
    let mut asked = bridge.downstream.ask(call.system, &call.key).await;
    for _ in 1..ASK_TRIES {
        if !matches!(asked, Asked::Silent { .. }) {
            break;
        }
        tokio::time::sleep(backoff.pause()).await;
        asked = bridge.downstream.ask(call.system, &call.key).await;
    }
    asked
}

async fn give_up(
    bridge: &Bridge,
    at: &Place<'_>,
    call: &Call,
    attempt: &Attempt,
    detail: &str,
) -> Result<(), StoreError> {
    let mut work = bridge.begin(&at.process.tenant_id).await?;
    let failed = RecordStepFailed { step_id: call.step_id.clone(), detail: detail.to_owned(), incident_id: None };
    work.tell_order(&at.process, &at.cause(), once(call, attempt, "failed"), OrderCommand::RecordStepFailed(failed))?;
    work.commit().await
}
