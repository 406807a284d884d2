//! The schema registry over its Confluent API: registering the schemas of this build, checking them, and
//! asking for those of other builds. Nothing here runs inside a transaction.

mod client;
mod source;

pub use client::{Check, Registered, Registry, RegistryError};
pub use source::RegistrySource;

use std::time::Duration;

/// How long one call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The compatibility that every subject has: old and new builds read each other's records, whatever the
/// versions.
pub const COMPATIBILITY: &str = "FULL_TRANSITIVE";
