//! What every service runs on, written once: configuration, telemetry, health, shutdown, and the consumer
//! loop that turns a topic into effects that happen once.
//!
//! The order *dedupe → apply → outbox → position → commit* stands in `consumer` and nowhere else.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod processor;
