//! `/quotes`: one file per verb.

pub mod acceptance;
pub mod approval_decisions;
pub mod approval_submission;
pub mod approval_withdrawal;
pub mod artifacts;
pub mod clone;
pub mod configuration;
pub mod configuration_check;
pub mod create;
pub mod explanation;
pub mod get;
pub mod history;
pub mod list;
pub mod price_preview;
pub mod price_trace;
pub mod pricing;
pub mod revision;
pub mod revision_diff;
pub mod withdrawal;
