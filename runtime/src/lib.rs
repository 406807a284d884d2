//! What every service runs on, written once: configuration, telemetry, health, shutdown, and the consumer
//! loop that turns a topic into effects that happen once.
//!
//! The order *dedupe → apply → outbox → position → commit* stands in `consumer` and nowhere else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod admin;
mod allocator;
pub mod backoff;
pub mod config;
pub mod consumer;
pub mod dead_letters;
pub mod instance;
pub mod outbound;
pub mod processor;
pub mod schema_ids;
pub mod shutdown;
pub mod telemetry;
pub mod wake;
