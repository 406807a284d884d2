//! Why a command could not do its work, and the exit code that says so.

use std::process::ExitCode;

/// Exit code of a finding or a failure.
pub const EXIT_FINDING: u8 = 1;
/// Exit code of a wrong command line or setting.
pub const EXIT_USAGE: u8 = 2;

/// Why there is no answer. The text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The command line or a setting is wrong.
    Usage(String),
    /// The work could not be done.
    Failed(String),
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
            Self::Usage(message) | Self::Failed(message) => message,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Failed(_) => EXIT_FINDING,
        })
    }
}
