//! The consumer of workflow commands: each becomes a ledger row or a duty, nothing more. What they ask for is
//! done by the loops that are woken.

use crate::bridge::{DUTIES, STARTER};
use crate::duties::{CANCEL_FULFILMENT, COMPLETE_USER_TASK, END_APPROVAL};
use crate::process::LedgerRequest;
use crate::{FULFILMENT, QUOTE_APPROVAL};
use async_trait::async_trait;
use cpq_avro::{AggregateType, Command, Record, topics};
use cpq_domain::command::CommandMeta;
use cpq_domain::workflow::WorkflowCommand;
use cpq_runtime::processor::{AfterCommit, Delivery, Processor, StepError};
use cpq_state_stores::workflow::{self, NewInstance};
use cpq_state_stores::{StoreError, Tx};
use serde::Serialize;
use serde_json::{Value, json};

/// The consumer.
pub struct WorkflowCommands;

#[async_trait]
impl Processor for WorkflowCommands {
    fn consumer(&self) -> &'static str {
        "camunda-bridge"
    }
    fn topics(&self) -> &'static [&'static str] {
        &[topics::WORKFLOW_COMMANDS]
    }

    fn concerns(&self, record: &Record) -> bool {
        // The document role's commands stand on the same topic.
        !matches!(record, Record::Command(.., Command::Workflow(WorkflowCommand::RenderArtifact(_))))
    }

    async fn apply(&self, tx: &mut Tx, batch: &[&Delivery], after: &mut AfterCommit) -> Result<(), StepError> {
        for delivery in batch {
            let Record::Command(meta, _, _, Command::Workflow(command)) = &delivery.record else {
                let cause = "not a workflow command".to_owned();
                return Err(StepError::Poison { offset: delivery.offset, cause });
            };
            accept(tx, meta, command, after).await?;
        }
        Ok(())
    }
}

async fn accept(
    tx: &mut Tx,
    meta: &CommandMeta,
    command: &WorkflowCommand,
    after: &mut AfterCommit,
) -> Result<(), StoreError> {
    match command {
        WorkflowCommand::StartApproval(_) => request(tx, meta, command, QUOTE_APPROVAL, after).await,
        WorkflowCommand::StartFulfilment(_) => request(tx, meta, command, FULFILMENT, after).await,
        WorkflowCommand::CompleteApprovalStep(body) => owe(tx, meta, command, COMPLETE_USER_TASK, body, after).await,
        WorkflowCommand::EndApproval(body) => owe(tx, meta, command, END_APPROVAL, body, after).await,
        WorkflowCommand::CancelFulfilment(body) => owe(tx, meta, command, CANCEL_FULFILMENT, body, after).await,
        // Passed over, unless it stands among others.
        WorkflowCommand::RenderArtifact(_) => Ok(()),
    }
}

async fn request(
    tx: &mut Tx,
    meta: &CommandMeta,
    command: &WorkflowCommand,
    process_key: &str,
    after: &mut AfterCommit,
) -> Result<(), StoreError> {
    let request = json!(LedgerRequest { command: command.clone(), traceparent: meta.traceparent.clone() });
    let new = NewInstance {
        tenant_id: meta.tenant_id.as_str(),
        process_key,
        business_key: &command.aggregate_id(),
        aggregate_type: AggregateType::of_workflow(command).as_str(),
        request: &request,
        correlation_id: meta.correlation_id.as_str(),
    };
    workflow::request_instance(tx, &new).await?;
    wake(after, STARTER);
    Ok(())
}

/// Duties of one business key are settled in the order of their ids, which is that of the commands' ULIDs.
async fn owe(
    tx: &mut Tx,
    meta: &CommandMeta,
    command: &WorkflowCommand,
    kind: &str,
    body: &impl Serialize,
    after: &mut AfterCommit,
) -> Result<(), StoreError> {
    let body: Value = json!(body);
    let (tenant, key) = (meta.tenant_id.as_str(), command.aggregate_id());
    workflow::add_duty(tx, tenant, &key, meta.command_id.as_str(), kind, &body).await?;
    wake(after, DUTIES);
    Ok(())
}

fn wake(after: &mut AfterCommit, name: &'static str) {
    if !after.wake.contains(&name) {
        after.wake.push(name);
    }
}
