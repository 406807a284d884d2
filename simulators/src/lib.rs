//! Simulators of the downstream systems inventory, activation and billing: real HTTP servers that remember
//! idempotency keys, can be asked, can be compensated, and fail on command. For demo, tests and drills.
//!
//! They know nothing of the product: their contract is plain HTTP, as a real downstream system's would be.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod api;
pub mod config;
pub mod fault;
pub mod ledger;
pub mod problem;
pub mod resource;
pub mod server;
pub mod system;

mod journal;
mod site;

pub use config::{Config, ConfigError};
pub use server::{Simulators, StartError, start};
pub use system::System;
