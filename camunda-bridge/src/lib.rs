//! The bridge between the commercial core and the workflow engine. The engine runs steps; it is never asked
//! what is true.
//!
//! Commands become ledger rows and duties (`commands`); loops of their own start processes (`starter`), work on
//! external tasks (`workers`), settle duties (`duties`) and watch the engine (`watch`, `incidents`). Whatever the
//! bridge learns goes back as commands and facts, in the transaction that records it (`work`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod bridge;
pub mod commands;
pub mod config;
pub mod downstream;
pub mod duties;
pub mod engine;
pub mod incidents;
pub mod models;
mod names;
mod process;
pub mod starter;
pub mod watch;
mod work;
pub mod workers;

pub use bridge::{Bridge, Timing};
pub use names::{EngineNames, FULFILMENT, QUOTE_APPROVAL};
pub use process::{LedgerRequest, Process};
