//! The typed approval policy: from the inputs of a submission to the levels that must approve it, with the
//! matched rules and the policy's version as evidence. The table's format is `dmn`'s, its cells are `feel`'s.

use super::compile::{CompiledRule, compile_rules};
use super::dmn;
use crate::money::{Amount, Currency, Percent};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The decision that a policy file must hold.
pub const DECISION_ID: &str = "approval-policy";
/// The policy of a tenant that brings none of its own: the file that is also deployed to the engine.
pub const BUILT_IN_DMN: &str = include_str!("../../../camunda-bridge/models/approval-policy.dmn");
/// The highest `order` of a step; orders become sequential groups of the approval process.
pub const MAX_ORDER: u32 = 100;
/// The longest `slaHours`: one year.
pub const MAX_SLA_HOURS: u32 = 8760;
/// The longest `reasonCode`.
pub const MAX_REASON_CODE_LENGTH: usize = 64;

/// Who may be asked to approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApprovalLevel {
    SalesManager,
    SalesDirector,
    Finance,
    Legal,
}

impl ApprovalLevel {
    /// Every level, in the order in which steps of equal `order` are listed.
    pub const ALL: [Self; 4] = [Self::SalesManager, Self::SalesDirector, Self::Finance, Self::Legal];

    /// The level's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SalesManager => "SALES_MANAGER",
            Self::SalesDirector => "SALES_DIRECTOR",
            Self::Finance => "FINANCE",
            Self::Legal => "LEGAL",
        }
    }

    /// The level of that name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

impl fmt::Display for ApprovalLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the policy judges: the facts of a priced quote at its submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInputs {
    pub effective_discount_percent: Percent,
    pub total_amount: Amount,
    pub currency: Currency,
    /// Unknown unless every charged price has a cost; then no test of it matches.
    pub margin_percent: Option<Percent>,
    pub term_months: u32,
    pub segment: String,
    pub has_manual_override: bool,
}

/// A rule that matched, with what it demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchedRule {
    pub rule_id: String,
    pub level: ApprovalLevel,
    /// Levels of equal order are asked in parallel, others ascending.
    pub order: u32,
    pub reason_code: String,
    pub sla_hours: u32,
    pub escalate_to: ApprovalLevel,
}

/// The evidence of one evaluation: by which policy, from what, which rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEvaluation {
    /// `approval-policy@sha256:…`, the hash of the policy file's bytes.
    pub policy_version: String,
    pub inputs: PolicyInputs,
    /// In the table's order; empty if nobody need approve.
    pub matched: Vec<MatchedRule>,
}

/// One level that must approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    pub level: ApprovalLevel,
    pub order: u32,
    pub reasons: Vec<String>,
    pub sla_hours: u32,
    pub escalate_to: ApprovalLevel,
}

impl PolicyEvaluation {
    /// The steps that follow, one per level: its lowest order, all of its reasons, its shortest SLA and the
    /// escalation of that SLA's rule. Sorted by order, then level.
    pub fn steps(&self) -> Vec<PlannedStep> {
        let mut steps: Vec<PlannedStep> = Vec::new();
        for rule in &self.matched {
            match steps.iter_mut().find(|step| step.level == rule.level) {
                Some(step) => step.merge(rule),
                None => steps.push(PlannedStep::of(rule)),
            }
        }
        steps.sort_by_key(|step| (step.order, step.level));
        steps
    }
}

impl PlannedStep {
    fn of(rule: &MatchedRule) -> Self {
        Self {
            level: rule.level,
            order: rule.order,
            reasons: vec![rule.reason_code.clone()],
            sla_hours: rule.sla_hours,
            escalate_to: rule.escalate_to,
        }
    }

    fn merge(&mut self, rule: &MatchedRule) {
        self.order = self.order.min(rule.order);
        if rule.sla_hours < self.sla_hours {
            self.sla_hours = rule.sla_hours;
            self.escalate_to = rule.escalate_to;
        }
        if !self.reasons.contains(&rule.reason_code) {
            self.reasons.push(rule.reason_code.clone());
        }
    }
}

/// A policy file that cannot be used, with every reason found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the approval policy is invalid: {}", faults.join("; "))]
pub struct InvalidPolicy {
    pub faults: Vec<String>,
}

/// A compiled policy: immutable, shared between threads, evaluated without I/O.
#[derive(Clone, Debug)]
pub struct ApprovalPolicy {
    version: String,
    rules: Vec<CompiledRule>,
}

impl ApprovalPolicy {
    /// Compiles the text of a DMN 1.3 file. Whatever could not be evaluated later is refused here.
    pub fn compile(dmn_xml: &str) -> Result<Self, InvalidPolicy> {
        let table = dmn::decision_table(dmn_xml, DECISION_ID).map_err(|faults| InvalidPolicy { faults })?;
        let version = format!("{DECISION_ID}@sha256:{}", hex::encode(Sha256::digest(dmn_xml.as_bytes())));
        let rules = compile_rules(&table).map_err(|faults| InvalidPolicy { faults })?;
        Ok(Self { version, rules })
    }

    /// The policy of the contract's table.
    pub fn built_in() -> Result<Self, InvalidPolicy> {
        Self::compile(BUILT_IN_DMN)
    }

    /// `approval-policy@sha256:…`: two policies are the same policy only if their files are the same bytes.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which rules match. Total, as every cell was checked when the policy was compiled.
    pub fn evaluate(&self, inputs: &PolicyInputs) -> PolicyEvaluation {
        let matched = self.rules.iter().filter(|rule| rule.matches(inputs));
        PolicyEvaluation {
            policy_version: self.version.clone(),
            inputs: inputs.clone(),
            matched: matched.map(|rule| rule.demands.clone()).collect(),
        }
    }
}
