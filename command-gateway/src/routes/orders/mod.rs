//! `/orders`: one file per verb.

pub mod cancellation;
pub mod create;
pub mod get;
pub mod history;
pub mod list;
