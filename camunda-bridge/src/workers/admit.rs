//! The first activity of every process: it claims the ledger's row, so that at most one instance of a business
//! key ever has an effect.

use super::Outcome;
use super::report::Place;
use crate::bridge::Bridge;
use crate::process::{About, Process};
use crate::starter;
use cpq_domain::order::OrderCommand;
use cpq_domain::order::command::RecordFulfilmentStarted;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::RecordApprovalStarted;
use cpq_domain::workflow::{ProcessStarted, WorkflowEvent};
use cpq_state_stores::StoreError;
use cpq_state_stores::workflow::{self, Admission};

/// The model ends an instance that gets this before any effect.
const NOT_ADMITTED: &str = "NOT_ADMITTED";

pub fn refuse(message: impl Into<String>) -> Outcome {
    Outcome::Refused { code: NOT_ADMITTED, message: message.into() }
}

pub async fn admit(bridge: &Bridge, at: &Place<'_>) -> Result<Outcome, StoreError> {
    let process = &at.process;
    let instance = &at.task.process_instance_id;
    let mut work = bridge.begin(&process.tenant_id).await?;
    let (tenant, key) = (process.tenant_id.as_str(), process.business_key.as_str());
    match workflow::admit(&mut work.tx, tenant, key, instance).await? {
        Admission::Refused => {
            work.tx.rollback().await?;
            metrics::counter!("cpq_bridge_instances_refused_total").increment(1);
            return Ok(refuse(format!("{key} is run by another instance, or has ended")));
        }
        Admission::AlreadyAdmitted => work.tx.rollback().await?,
        Admission::Admitted => {
            // Whatever the start's own answer was, this instance is there.
            starter::found(&mut work.tx, process, instance).await?;
            let cause = at.cause();
            work.publish(process, &cause, "ProcessStarted", WorkflowEvent::ProcessStarted(fact(process, instance)))
                .await?;
            let once = format!("{key}:{instance}");
            match &process.about {
                About::Approval(start) => {
                    let started = RecordApprovalStarted {
                        approval_request_id: start.approval_request_id.clone(),
                        process_instance_id: instance.clone(),
                    };
                    work.tell_quote(process, &cause, once, QuoteCommand::RecordApprovalStarted(started))?;
                }
                About::Fulfilment(start) => {
                    let started = RecordFulfilmentStarted {
                        plan_version: start.plan_version,
                        process_instance_id: instance.clone(),
                    };
                    work.tell_order(process, &cause, once, OrderCommand::RecordFulfilmentStarted(started))?;
                }
            }
            work.commit().await?;
        }
    }
    Ok(Outcome::done())
}

fn fact(process: &Process, instance: &str) -> ProcessStarted {
    ProcessStarted {
        process_key: process.key().to_owned(),
        business_key: process.business_key.clone(),
        process_instance_id: instance.to_owned(),
        quote_id: process.quote_id().cloned(),
        order_id: process.order_id().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Caught;
    use rstest::rstest;

    /// Fault 41.
    #[rstest]
    #[case::approval(include_str!("../../models/quote-approval.bpmn"))]
    #[case::fulfilment(include_str!("../../models/order-fulfillment.bpmn"))]
    fn every_model_ends_an_instance_that_is_not_admitted(#[case] model: &str) {
        assert!(Caught::read(model).unwrap().catches("admit", NOT_ADMITTED));
    }
}
