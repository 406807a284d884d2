//! Why a command could not do its work, and the exit code that says so.

use cpq_state_stores::StoreError;
use std::process::ExitCode;

/// Exit code of a finding or a failure.
pub const EXIT_FINDING: u8 = 1;
/// Exit code of a wrong command line or setting, and of a comparison that could not be made.
pub const EXIT_USAGE: u8 = 2;

/// Why there is no answer. The text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The command line or a setting is wrong.
    Usage(String),
    /// The work could not be done.
    Failed(String),
    /// A comparison could not be made, which is neither "the same" nor "different".
    Incomparable(String),
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// For `map_err`: what was tried, then the cause.
    pub fn because<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |cause| Self::Failed(format!("{what}: {cause}"))
    }

    pub fn message(&self) -> &str {
        match self {
            Self::Usage(message) | Self::Failed(message) | Self::Incomparable(message) => message,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::Incomparable(_) => EXIT_USAGE,
            Self::Failed(_) => EXIT_FINDING,
        })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Transient(_) => Self::failed(format!("{error}; is it running, and is CPQ_DATABASE_URL right?")),
            // 42P01: there is no such table.
            StoreError::Defect(cause) if cause.to_string().contains("does not exist") => {
                Self::failed(format!("{error}; `cpq migrate` brings the schema up to this build"))
            }
            _ => Self::failed(error.to_string()),
        }
    }
}
