//! A process as the bridge works with it: the ledger's row with its request read.

use crate::{FULFILMENT, QUOTE_APPROVAL};
use cpq_domain::ids::{CorrelationId, OrderId, QuoteId, TenantId};
use cpq_domain::workflow::{StartApproval, StartFulfilment, WorkflowCommand};
use cpq_state_stores::StoreError;
use cpq_state_stores::workflow::{Instance, InstanceStatus};
use serde::{Deserialize, Serialize};

/// The `request` column of the ledger: the command that asked for the process, and the trace that it is part of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerRequest {
    pub command: WorkflowCommand,
    pub traceparent: Option<String>,
}

/// What a process is about.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    Approval(StartApproval),
    Fulfilment(StartFulfilment),
}

/// A process that was asked for.
#[derive(Clone, Debug)]
pub struct Process {
    pub tenant_id: TenantId,
    /// The ledger's and the engine's key, and the id of the process's events.
    pub business_key: String,
    pub status: InstanceStatus,
    pub started_instance_id: Option<String>,
    pub admitted_instance_id: Option<String>,
    /// How often its start was tried.
    pub attempts: i32,
    /// Whether what it did is being undone.
    pub stopping: bool,
    pub about: About,
    pub correlation_id: CorrelationId,
    pub traceparent: Option<String>,
}

impl Process {
    pub fn read(row: Instance) -> Result<Self, StoreError> {
        let unreadable =
            |e: &dyn std::fmt::Display| StoreError::corrupt(&format!("request of {}", row.business_key), e);
        let request: LedgerRequest = serde_json::from_value(row.request.clone()).map_err(|e| unreadable(&e))?;
        let about = match request.command {
            WorkflowCommand::StartApproval(start) => About::Approval(start),
            WorkflowCommand::StartFulfilment(start) => About::Fulfilment(start),
            other => return Err(unreadable(&format!("{} starts no process", other.name()))),
        };
        Ok(Self {
            tenant_id: TenantId::new(row.tenant_id),
            business_key: row.business_key,
            status: row.status,
            started_instance_id: row.started_instance_id,
            admitted_instance_id: row.admitted_instance_id,
            attempts: row.attempts,
            stopping: row.stopping,
            about,
            correlation_id: CorrelationId::new(row.correlation_id),
            traceparent: request.traceparent,
        })
    }

    /// The process's key, without prefix.
    pub fn key(&self) -> &'static str {
        match self.about {
            About::Approval(_) => QUOTE_APPROVAL,
            About::Fulfilment(_) => FULFILMENT,
        }
    }

    /// 1 of an approval, the plan version of a fulfilment.
    pub fn revision(&self) -> u32 {
        match &self.about {
            About::Approval(_) => 1,
            About::Fulfilment(start) => start.plan_version,
        }
    }

    pub fn quote_id(&self) -> Option<&QuoteId> {
        match &self.about {
            About::Approval(start) => Some(&start.quote_id),
            About::Fulfilment(_) => None,
        }
    }

    pub fn order_id(&self) -> Option<&OrderId> {
        match &self.about {
            About::Approval(_) => None,
            About::Fulfilment(start) => Some(&start.order_id),
        }
    }
}
