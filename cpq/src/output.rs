//! How an answer looks: text for a person (aligned, coloured on a terminal) or JSON for a program. What an
//! answer says is the matter of the command that made it.

use crate::Failure;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// The form of an answer on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For a person.
    Text,
    /// For a program: one JSON document.
    Json,
}

/// What a command has to say.
#[derive(Debug)]
pub struct Answer {
    /// The whole answer for a program.
    pub json: Value,
    /// The same for a person, without a closing line feed.
    pub text: String,
    /// Whether something was found that should not be: exit code 1.
    pub finding: bool,
}

impl Answer {
    /// An answer that found nothing amiss.
    pub fn new(report: &impl Serialize, text: impl Into<String>) -> Result<Self, Failure> {
        let json = serde_json::to_value(report).map_err(|e| Failure::failed(format!("the answer is not JSON: {e}")))?;
        Ok(Self { json, text: text.into(), finding: false })
    }

    /// The same answer; a finding if `found`.
    pub fn finding_if(mut self, found: bool) -> Self {
        self.finding = found;
        self
    }

    /// Writes the answer to standard output. A reader that has gone (`| head`) is no fault.
    pub fn print(&self, format: OutputFormat) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let written = match format {
            OutputFormat::Text => writeln!(out, "{}", self.text),
            OutputFormat::Json => writeln!(out, "{:#}", self.json),
        };
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Style {
    /// The ANSI SGR parameter (ECMA-48).
    fn sgr(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Red => Some("31"),
            Self::Green => Some("32"),
            Self::Yellow => Some("33"),
            Self::Blue => Some("34"),
            Self::Magenta => Some("35"),
            Self::Cyan => Some("36"),
        }
    }
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// Colours on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    pub fn detect() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        Self(wanted && able && io::stdout().is_terminal())
    }

    /// The text in that style.
    pub fn apply(self, style: Style, text: &str) -> String {
        match style.sgr() {
            Some(code) if self.0 => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// A progress line on standard error, there while the work lasts and only on a terminal.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// A line, if standard error is a terminal.
    pub fn start() -> Self {
        Self { shown: io::stderr().is_terminal() }
    }

    /// Replaces the line. That it cannot be written stops no work.
    pub fn say(&self, line: &str) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
