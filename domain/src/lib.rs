//! The commercial core of CPQ Streams: quotes, orders, catalog, configuration, pricing and approval
//! policy as pure functions over values.
//!
//! Nothing here reads a clock, draws a random number, performs I/O or is async; time, actor and new ids
//! come in through a context. The stream processor of an aggregate is the only caller of its `decide`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod approval;
pub mod canonical;
pub mod catalog;
pub mod command;
pub mod configuration;
pub mod follow_up;
pub mod ids;
pub mod json;
pub mod moment;
pub mod money;
#[cfg(feature = "openapi")]
mod openapi;
pub mod order;
pub mod pointer;
pub mod pricing;
pub mod quote;
pub mod reference;
pub mod rejection;
mod shape;
pub mod workflow;
