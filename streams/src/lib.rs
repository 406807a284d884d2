//! The stream processors and the relay: what turns committed commands into decided state, and decided state
//! into messages. Roles and their processors are listed in `topology`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

#[cfg(all(feature = "unguarded", not(debug_assertions)))]
compile_error!("`unguarded` writes no audit: it is for benchmarks alone, never for a release");

pub mod aggregate;
pub mod config;
pub mod document;
pub mod notification;
pub mod order;
pub mod projection;
pub mod quote;
pub mod relay;
pub mod timer;
pub mod topology;
