//! Undoing what a cancelled fulfilment has done: first nothing new may begin, then what is in flight is found
//! out, then each effect is undone, the newest first. What cannot be undone is reported and left for a person.

use super::Outcome;
use super::report::Place;
use crate::bridge::Bridge;
use crate::downstream::{Answer, Asked, System, kept};
use crate::process::{About, Process};
use cpq_domain::canonical;
use cpq_domain::ids::StepId;
use cpq_domain::order::OrderCommand;
use cpq_domain::order::command::*;
use cpq_state_stores::attempts::{self, Attempt, CallOutcome, NewAttempt};
use cpq_state_stores::{StoreError, workflow};
use serde_json::json;
use std::time::Duration;
use tracing::{error, info, warn};

/// A call that was not answered may still take effect for so many times its time limit.
const SETTLING_TIMES: u32 = 2;
/// The reference of an undoing that found nothing to undo.
const NOTHING: &str = "none";

/// How far a compensation is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Everything is undone or reported.
    Ended,
    /// A call may still take effect; look again after the pause.
    Settling(Duration),
    /// A system is not there.
    Failed(String),
}

/// What is known of one effect.
struct Effect {
    system: &'static System,
    step_id: StepId,
    attempt: Attempt,
}

/// The external task.
pub async fn task(bridge: &Bridge, at: &Place<'_>) -> Result<Outcome, StoreError> {
    Ok(match run(bridge, &at.process, &at.task.id, &at.cause(), at.last_try).await? {
        Progress::Ended => Outcome::done(),
        Progress::Settling(pause) => Outcome::later(pause, "a call may still take effect"),
        Progress::Failed(message) => Outcome::failed(message),
    })
}

/// Undoes what can be undone now. With `last_try`, what cannot is reported as failed, and the rest goes on.
pub async fn run(
    bridge: &Bridge,
    process: &Process,
    task_id: &str,
    cause: &str,
    last_try: bool,
) -> Result<Progress, StoreError> {
    let (tenant, key) = (process.tenant_id.as_str(), process.business_key.as_str());
    let mut work = bridge.begin(&process.tenant_id).await?;
    workflow::stop(&mut work.tx, tenant, key).await?;
    work.commit().await?;
    let mut tx = bridge.db.begin(std::slice::from_ref(&process.tenant_id)).await?;
    let attempts = attempts::of_business_key(&mut tx, tenant, key).await?;
    tx.commit().await?;

    let undoing = Undoing { bridge, process, task_id, cause, last_try };
    let mut progress = Progress::Ended;
    // The newest first: what was built last rests on what was built before.
    for effect in attempts.iter().rev().filter_map(effect) {
        match undoing.settle_and_undo(&effect).await? {
            Progress::Ended => {}
            // The rest is not held up by one system that is not there.
            other => progress = worse(progress, other),
        }
    }
    if progress == Progress::Ended {
        undoing.report_end().await?;
    }
    Ok(progress)
}

/// A forward call; compensations are attempts, too, and are found by their effect's key.
fn effect(attempt: &Attempt) -> Option<Effect> {
    let system = const { &System::ALL }.iter().find(|system| system.operation == attempt.operation)?;
    let step_id = attempt.request["stepId"].as_str().map(StepId::from)?;
    Some(Effect { system, step_id, attempt: attempt.clone() })
}

fn worse(one: Progress, other: Progress) -> Progress {
    match (one, other) {
        (failed @ Progress::Failed(_), _) | (_, failed @ Progress::Failed(_)) => failed,
        (settling @ Progress::Settling(_), _) | (_, settling @ Progress::Settling(_)) => settling,
        _ => Progress::Ended,
    }
}

struct Undoing<'a> {
    bridge: &'a Bridge,
    process: &'a Process,
    task_id: &'a str,
    cause: &'a str,
    last_try: bool,
}

impl Undoing<'_> {
    async fn settle_and_undo(&self, effect: &Effect) -> Result<Progress, StoreError> {
        if effect.system.is_irreversible() {
            // Its token would have won over the cancellation.
            error!(step = %effect.step_id, "a cancelled order holds an irreversible effect");
            return Ok(Progress::Ended);
        }
        match effect.attempt.outcome {
            CallOutcome::Succeeded => {
                let reference = effect.attempt.external_reference.clone().unwrap_or_default();
                self.undo(effect, &reference).await
            }
            CallOutcome::Rejected | CallOutcome::Failed => {
                // Nothing is there, but the order may not have been told so: a step that was tried may be RUNNING.
                self.report_undone(effect, NOTHING).await?;
                Ok(Progress::Ended)
            }
            CallOutcome::Pending | CallOutcome::Unknown => self.find_out(effect).await,
        }
    }

    async fn find_out(&self, effect: &Effect) -> Result<Progress, StoreError> {
        let settled = self.bridge.downstream.timeout() * SETTLING_TIMES;
        match self.bridge.downstream.ask(effect.system, &effect.attempt.idempotency_key).await {
            Asked::Done { reference, body } => {
                self.settle(effect, &Answer::Done { reference: reference.clone(), body }).await?;
                self.undo(effect, &reference).await
            }
            Asked::Absent if effect.attempt.age < settled => Ok(Progress::Settling(settled - effect.attempt.age)),
            Asked::Absent => {
                let detail = format!("{} has nothing under {}", effect.system.name, effect.attempt.idempotency_key);
                self.settle(effect, &Answer::NotDone { detail }).await?;
                self.report_undone(effect, NOTHING).await?;
                Ok(Progress::Ended)
            }
            Asked::Silent { detail } => self.not_undone(effect, detail).await,
        }
    }

    async fn settle(&self, effect: &Effect, answer: &Answer) -> Result<(), StoreError> {
        let (outcome, reference) = match answer {
            Answer::Done { reference, .. } => (CallOutcome::Succeeded, Some(reference.as_str())),
            _ => (CallOutcome::Failed, None),
        };
        let mut work = self.bridge.begin(&self.process.tenant_id).await?;
        let response = kept(self.task_id, answer);
        attempts::settle(&mut work.tx, effect.attempt.id, outcome, Some(&response), reference).await?;
        work.commit().await
    }

    /// Undoing is a call like any other: written down before it is made.
    async fn undo(&self, effect: &Effect, reference: &str) -> Result<Progress, StoreError> {
        let process = self.process;
        let request = json!({ "stepId": effect.step_id, "reference": reference });
        let (key, hash) =
            (format!("{}:{}", effect.attempt.idempotency_key, effect.system.undo), canonical::hash(&request));
        let new = NewAttempt {
            tenant_id: process.tenant_id.as_str(),
            system: effect.system.name,
            operation: effect.system.undo,
            business_key: &process.business_key,
            idempotency_key: &key,
            request_hash: &hash,
            request: &request,
            correlation_id: process.correlation_id.as_str(),
        };
        let mut work = self.bridge.begin(&process.tenant_id).await?;
        if let Some(known) = attempts::find(&mut work.tx, &new).await?
            && known.outcome == CallOutcome::Succeeded
        {
            work.tx.rollback().await?;
            return Ok(Progress::Ended);
        }
        let attempt = attempts::begin(&mut work.tx, &new).await?;
        work.commit().await?;

        // Undoing by reference is idempotent: without an answer it is simply asked for again.
        let answer = self.bridge.downstream.undo(effect.system, reference, process.correlation_id.as_str()).await;
        let mut work = self.bridge.begin(&process.tenant_id).await?;
        let outcome = match &answer {
            Answer::Done { .. } => CallOutcome::Succeeded,
            Answer::Rejected { .. } => CallOutcome::Rejected,
            Answer::NotDone { .. } => CallOutcome::Failed,
            Answer::Unknown { .. } => CallOutcome::Unknown,
        };
        let response = kept(self.task_id, &answer);
        attempts::settle(&mut work.tx, attempt.id, outcome, Some(&response), Some(reference)).await?;
        if outcome == CallOutcome::Succeeded {
            self.tell_undone(&mut work, effect, reference)?;
        }
        work.commit().await?;
        match answer {
            Answer::Done { .. } => {
                info!(step = %effect.step_id, reference, "undone");
                Ok(Progress::Ended)
            }
            Answer::Rejected { detail, .. } => self.report_failed(effect, detail).await,
            Answer::NotDone { detail } | Answer::Unknown { detail } => self.not_undone(effect, detail).await,
        }
    }

    async fn not_undone(&self, effect: &Effect, detail: String) -> Result<Progress, StoreError> {
        if self.last_try {
            return self.report_failed(effect, detail).await;
        }
        Ok(Progress::Failed(detail))
    }

    fn tell_undone(
        &self,
        work: &mut crate::work::Work<'_>,
        effect: &Effect,
        reference: &str,
    ) -> Result<(), StoreError> {
        let (step_id, external_reference) = (effect.step_id.clone(), reference.to_owned());
        let report = OrderCommand::RecordStepCompensated(RecordStepCompensated { step_id, external_reference });
        work.tell_order(self.process, self.cause, format!("{}:compensated", effect.attempt.idempotency_key), report)
    }

    async fn report_undone(&self, effect: &Effect, reference: &str) -> Result<(), StoreError> {
        let mut work = self.bridge.begin(&self.process.tenant_id).await?;
        self.tell_undone(&mut work, effect, reference)?;
        work.commit().await
    }

    async fn report_failed(&self, effect: &Effect, detail: String) -> Result<Progress, StoreError> {
        warn!(step = %effect.step_id, detail, "not undone: a person must look");
        let mut work = self.bridge.begin(&self.process.tenant_id).await?;
        let report = RecordCompensationFailed { step_id: effect.step_id.clone(), detail };
        let once = format!("{}:compensationFailed", effect.attempt.idempotency_key);
        work.tell_order(self.process, self.cause, once, OrderCommand::RecordCompensationFailed(report))?;
        work.commit().await?;
        Ok(Progress::Ended)
    }

    async fn report_end(&self) -> Result<(), StoreError> {
        let About::Fulfilment(start) = &self.process.about else { return Ok(()) };
        let mut work = self.bridge.begin(&self.process.tenant_id).await?;
        let report = RecordFulfilmentCancelled { plan_version: start.plan_version };
        let once = format!("{}:cancelled", self.process.business_key);
        work.tell_order(self.process, self.cause, once, OrderCommand::RecordFulfilmentCancelled(report))?;
        work.commit().await
    }
}
