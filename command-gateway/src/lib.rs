//! The command gateway: HTTP in front of the processors. It checks who calls, the form of what they send and
//! its idempotency, commits the command with its message, and waits for what becomes of it. It never decides.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

#[cfg(all(feature = "unguarded", not(debug_assertions)))]
compile_error!("`unguarded` lets everybody in: it is for benchmarks alone, never for a release");

pub mod answer;
pub mod artifacts;
mod aside;
pub mod auth;
pub mod call;
pub mod config;
mod docs;
pub mod exchange;
pub mod form;
pub mod gateway;
pub mod headers;
mod judge;
mod numbers;
pub mod openapi;
pub mod operation;
pub mod outcome;
mod page;
pub mod problem;
mod reading;
pub mod render;
pub mod router;
pub mod routes;
pub mod server;
pub mod start;
pub mod submit;
pub mod system;
pub mod writer;
