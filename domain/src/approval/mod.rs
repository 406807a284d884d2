//! Approval policy: which levels must approve a submitted quote, and why. A DMN decision table (`dmn`, whose
//! cells `feel` tests) is checked and compiled once (`compile`) into a typed policy (`policy`) and evaluated in the submission's own
//! transaction. Who may decide a step is the quote's; running the steps is the engine's.

mod compile;
mod dmn;
mod feel;
pub mod policy;

pub use policy::{
    ApprovalLevel, ApprovalPolicy, InvalidPolicy, MatchedRule, PlannedStep, PolicyEvaluation, PolicyInputs,
};

#[cfg(test)]
mod tests;
