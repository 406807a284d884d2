//! `/worklist`.

pub mod tasks;
