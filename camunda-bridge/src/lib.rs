//! The bridge between the commercial core and the workflow engine. The engine runs steps; it is never asked
//! what is true.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod engine;
pub mod models;
