//! The activities of an approval: opening the steps of a group, and escalating one whose SLA has passed.

use super::Outcome;
use super::report::Place;
use crate::bridge::Bridge;
use crate::engine::{EngineError, Variables};
use crate::process::About;
use cpq_domain::approval::{ApprovalLevel, PlannedStep};
use cpq_domain::ids::TaskId;
use cpq_domain::moment::Moment;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::EscalateApprovalStep;
use cpq_domain::workflow::{StartApproval, UserTaskCreated, UserTaskEscalated, WorkflowEvent};
use cpq_state_stores::{StoreError, workflow};

/// The steps that are asked in parallel, group after group.
pub fn groups(steps: &[PlannedStep]) -> Vec<Vec<&PlannedStep>> {
    let mut orders: Vec<u32> = steps.iter().map(|step| step.order).collect();
    orders.sort_unstable();
    orders.dedup();
    orders.iter().map(|order| steps.iter().filter(|step| step.order == *order).collect()).collect()
}

/// One fact per level: a level is one step of an approval.
pub fn created_fact(level: ApprovalLevel) -> String {
    format!("UserTaskCreated/{level}")
}

pub async fn open_group(bridge: &Bridge, at: &Place<'_>) -> Result<Outcome, StoreError> {
    let About::Approval(start) = &at.process.about else { return Ok(Outcome::failed("this process approves nothing")) };
    let groups = groups(&start.steps);
    let index = at.task.variables.long("loopCounter").and_then(|index| usize::try_from(index).ok());
    let Some(group) = index.and_then(|index| groups.get(index)) else {
        return Ok(Outcome::failed(format!("there is no group {index:?}; the approval has {}", groups.len())));
    };
    let mut work = bridge.begin(&at.process.tenant_id).await?;
    let (tenant, key) = (at.process.tenant_id.as_str(), at.process.business_key.as_str());
    let opened = workflow::facts(&mut work.tx, tenant, key).await?;
    let mut steps = Vec::new();
    for step in group {
        let fact = created_fact(step.level);
        // Opened before a crash: the step keeps the due date that was published.
        let before = opened.iter().find(|known| known.fact == fact);
        let before = before.and_then(|known| serde_json::from_value::<WorkflowEvent>(known.event.clone()).ok());
        let due_at = match before {
            Some(WorkflowEvent::UserTaskCreated(UserTaskCreated { due_at: Some(due_at), .. })) => due_at,
            _ => work.now().plus_hours(i64::from(step.sla_hours)),
        };
        let event = WorkflowEvent::UserTaskCreated(created(start, step, &at.task.process_instance_id, due_at));
        work.publish(&at.process, &at.cause(), &fact, event).await?;
        steps.push((*step, due_at));
    }
    work.commit().await?;
    Ok(match variables(start, &steps) {
        Ok(variables) => Outcome::Done(variables),
        Err(error) => Outcome::failed(error.to_string()),
    })
}

fn created(start: &StartApproval, step: &PlannedStep, instance: &str, due_at: Moment) -> UserTaskCreated {
    UserTaskCreated {
        quote_id: start.quote_id.clone(),
        approval_request_id: start.approval_request_id.clone(),
        task_id: TaskId::approval(&start.approval_request_id, step.level.as_str()),
        level: step.level,
        process_instance_id: instance.to_owned(),
        due_at: Some(due_at),
    }
}

/// What the model's steps read: everything with the step's number.
fn variables(start: &StartApproval, steps: &[(&PlannedStep, Moment)]) -> Result<Variables, EngineError> {
    let count = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let mut variables = Variables::new().with_long("stepCount", count);
    for (n, (step, due_at)) in steps.iter().enumerate() {
        let task = TaskId::approval(&start.approval_request_id, step.level.as_str());
        variables = variables
            .with_text(format!("taskId_{n}"), task.as_str())?
            .with_text(format!("level_{n}"), step.level.as_str())?
            .with_text(format!("slaDuration_{n}"), format!("PT{}H", step.sla_hours))?
            .with_text(format!("dueDate_{n}"), whole_seconds(*due_at).to_string())?;
    }
    Ok(variables)
}

/// The engine reads no microseconds.
fn whole_seconds(at: Moment) -> Moment {
    Moment::new(at.into_inner().replace_nanosecond(0).unwrap_or(at.into_inner()))
}

pub async fn escalate(bridge: &Bridge, at: &Place<'_>) -> Result<Outcome, StoreError> {
    let About::Approval(start) = &at.process.about else { return Ok(Outcome::failed("this process approves nothing")) };
    let level = at.task.variables.text("level").and_then(ApprovalLevel::parse);
    let Some(step) = start.steps.iter().find(|step| Some(step.level) == level) else {
        return Ok(Outcome::failed(format!("the approval has no step {level:?}")));
    };
    let mut work = bridge.begin(&at.process.tenant_id).await?;
    let escalated = UserTaskEscalated {
        quote_id: start.quote_id.clone(),
        approval_request_id: start.approval_request_id.clone(),
        task_id: TaskId::approval(&start.approval_request_id, step.level.as_str()),
        level: step.level,
        escalated_to: step.escalate_to,
        process_instance_id: at.task.process_instance_id.clone(),
    };
    let command = EscalateApprovalStep { approval_request_id: start.approval_request_id.clone(), level: step.level };
    let fact = format!("UserTaskEscalated/{}", step.level);
    work.publish(&at.process, &at.cause(), &fact, WorkflowEvent::UserTaskEscalated(escalated)).await?;
    let once = format!("{}:{}", at.process.business_key, step.level);
    work.tell_quote(&at.process, &at.cause(), once, QuoteCommand::EscalateApprovalStep(command))?;
    work.commit().await?;
    Ok(Outcome::done())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(level: ApprovalLevel, order: u32) -> PlannedStep {
        PlannedStep { level, order, reasons: vec!["R".to_owned()], sla_hours: 24, escalate_to: ApprovalLevel::Finance }
    }

    #[test]
    fn steps_of_equal_order_are_one_group_and_groups_ascend() {
        use ApprovalLevel::{Finance, Legal, SalesDirector, SalesManager};
        let steps = [step(Legal, 3), step(SalesDirector, 2), step(SalesManager, 1), step(Finance, 2)];
        let levels: Vec<Vec<_>> = groups(&steps).iter().map(|g| g.iter().map(|s| s.level).collect()).collect();
        assert_eq!(levels, [vec![SalesManager], vec![SalesDirector, Finance], vec![Legal]]);
    }
}
