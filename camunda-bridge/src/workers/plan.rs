//! Which steps a line has, and what it waits for, as the order says.
//!
//! Work goes from the leaves up: a line begins when everything under it stands, since a bundle is installed on its
//! parts. What cannot be undone comes last: it waits until everything else of the whole order stands, so that an
//! order can be cancelled for as long as anything may still go wrong.

use super::Outcome;
use super::report::Place;
use crate::bridge::Bridge;
use crate::downstream::System;
use crate::engine::{EngineError, Variables};
use crate::process::{About, Process};
use cpq_domain::order::snapshot::OrderLineSnapshot;
use cpq_domain::order::{Order, OrderLine, Phase, is_irreversible};
use cpq_state_stores::{StoreError, Tx, aggregates};
use std::time::Duration;

/// Pause of whoever waits for a fallout to be resolved, which takes a person.
const FALLOUT_PAUSE: Duration = Duration::from_secs(10);

/// The step variables of the model, by step type: its flag and its id.
const VARIABLES: [(&str, &str, &str); 3] = [
    ("RESERVE_INVENTORY", "reserveInventory", "inventoryStepId"),
    ("ACTIVATE_SERVICE", "activateService", "activationStepId"),
    ("START_BILLING", "startBilling", "billingStepId"),
];

/// The process's order, if it still follows this plan.
pub async fn order(tx: &mut Tx, process: &Process) -> Result<Result<Order, String>, StoreError> {
    let About::Fulfilment(start) = &process.about else { return Ok(Err("this process fulfils nothing".to_owned())) };
    let key = (process.tenant_id.clone(), start.order_id.to_string());
    let mut found = aggregates::load_orders::<Order>(tx, std::slice::from_ref(&key)).await?;
    Ok(match found.remove(&key) {
        Some(order) if order.plan_version == start.plan_version => Ok(order),
        Some(order) => Err(format!("order {} follows plan {} now", order.order_id, order.plan_version)),
        None => Err(format!("there is no order {}", start.order_id)),
    })
}

async fn read(bridge: &Bridge, process: &Process) -> Result<Result<Order, String>, StoreError> {
    let mut tx = bridge.db.begin(std::slice::from_ref(&process.tenant_id)).await?;
    let order = order(&mut tx, process).await?;
    tx.commit().await?;
    Ok(order)
}

pub async fn plan_line(bridge: &Bridge, at: &Place<'_>) -> Result<Outcome, StoreError> {
    let order = match read(bridge, &at.process).await? {
        Ok(order) => order,
        Err(reason) => return Ok(Outcome::failed(reason)),
    };
    let index = at.task.variables.long("lineIndex").and_then(|index| usize::try_from(index).ok());
    let Some(line) = index.and_then(|index| order.lines.get(index)) else {
        return Ok(Outcome::failed(format!("order {} has no line at {index:?}", order.order_id)));
    };
    if let Some(step) = line.steps.iter().find(|step| System::of_step(&step.step_type).is_none()) {
        return Ok(Outcome::failed(format!("nobody does steps of type {}", step.step_type)));
    }
    Ok(match plan(line) {
        Ok(variables) => Outcome::Done(variables),
        Err(error) => Outcome::failed(error.to_string()),
    })
}

/// What is left to do for a line; what an earlier plan has done is not done again.
fn plan(line: &OrderLine) -> Result<Variables, EngineError> {
    let mut variables = Variables::new().with_text("lineNumber", line.line_number.as_str())?;
    for (step_type, flag, id) in VARIABLES {
        let step = line.steps.iter().find(|step| step.step_type == step_type && !step.status.is_done());
        variables = variables.with_boolean(flag, step.is_some());
        if let Some(step) = step {
            variables = variables.with_text(id, step.step_id.as_str())?;
        }
    }
    Ok(variables)
}

pub async fn await_dependencies(bridge: &Bridge, at: &Place<'_>) -> Result<Outcome, StoreError> {
    let order = match read(bridge, &at.process).await? {
        Ok(order) => order,
        Err(reason) => return Ok(Outcome::failed(reason)),
    };
    let Some(number) = at.task.variables.text("lineNumber") else {
        return Ok(Outcome::failed("the line was planned without its number"));
    };
    let is_child = |line: &OrderLineSnapshot| line.parent_line_number.as_ref().is_some_and(|p| p.as_str() == number);
    let children: Vec<_> = order.snapshot.lines.iter().filter(|line| is_child(line)).map(|l| &l.line_number).collect();
    let missing = order.lines.iter().find(|line| children.contains(&&line.line_number) && !stands(line));
    Ok(match missing {
        None => Outcome::done(),
        Some(line) => Outcome::later(pause(bridge, &order), format!("line {} does not stand yet", line.line_number)),
    })
}

/// Why what cannot be undone has to wait, and for how long.
pub fn wait_for_all(bridge: &Bridge, order: &Order) -> Option<Outcome> {
    let missing = order.lines.iter().find(|line| !stands(line))?;
    let reason = format!("line {} does not stand yet", missing.line_number);
    Some(Outcome::later(pause(bridge, order), reason))
}

/// Whether everything of the line that could be undone is done.
fn stands(line: &OrderLine) -> bool {
    line.steps.iter().all(|step| step.status.is_done() || is_irreversible(&step.step_type))
}

fn pause(bridge: &Bridge, order: &Order) -> Duration {
    let waits_for_a_person = order.open_cases().next().is_some() || matches!(order.phase, Phase::Cancelling { .. });
    if waits_for_a_person { FALLOUT_PAUSE } else { bridge.timing.dependency_pause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpq_domain::ids::{LineNumber, StepId};
    use cpq_domain::order::StepStatus;
    use rstest::rstest;

    fn line(steps: &[(&str, StepStatus)]) -> OrderLine {
        let number = LineNumber::from("1");
        let step = |(step_type, status): &(&str, StepStatus)| {
            serde_json::from_value(serde_json::json!({
                "stepId": StepId::of(&number, step_type), "stepType": step_type, "status": status, "attempts": 0,
                "externalReference": null,
            }))
            .unwrap()
        };
        OrderLine { line_number: number.clone(), steps: steps.iter().map(step).collect() }
    }

    #[rstest]
    #[case(&[], true)]
    #[case(&[("RESERVE_INVENTORY", StepStatus::Completed), ("START_BILLING", StepStatus::Pending)], true)]
    #[case(&[("RESERVE_INVENTORY", StepStatus::Skipped)], true)]
    #[case(&[("RESERVE_INVENTORY", StepStatus::Running)], false)]
    #[case(&[("ACTIVATE_SERVICE", StepStatus::Rejected), ("START_BILLING", StepStatus::Pending)], false)]
    fn a_line_stands_when_all_that_could_be_undone_is_done(
        #[case] steps: &[(&str, StepStatus)],
        #[case] expected: bool,
    ) {
        assert_eq!(stands(&line(steps)), expected);
    }

    #[test]
    fn a_plan_names_the_steps_that_are_left_and_no_others() {
        let line = line(&[("RESERVE_INVENTORY", StepStatus::Completed), ("START_BILLING", StepStatus::Pending)]);
        let variables = plan(&line).unwrap();
        assert_eq!(variables.boolean("reserveInventory"), Some(false));
        assert_eq!(variables.boolean("activateService"), Some(false));
        assert_eq!(variables.boolean("startBilling"), Some(true));
        assert_eq!(variables.text("billingStepId"), Some("1:START_BILLING"));
        assert_eq!(variables.text("inventoryStepId"), None);
    }

    #[test]
    fn every_system_has_its_variables() {
        let types: Vec<_> = VARIABLES.iter().map(|(step_type, ..)| *step_type).collect();
        assert_eq!(types, System::ALL.each_ref().map(|system| system.step_type));
    }
}
