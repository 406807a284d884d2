//! One fault of one file: where it is and what is wrong there.

use serde::Serialize;
use serde_path_to_error::{Path, Segment};
use std::fmt;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `tenant-acme/catalog.json`.
    pub file: String,
    /// RFC 6901; empty for the whole file.
    pub pointer: String,
    pub detail: String,
}

impl Fault {
    pub fn new(file: &str, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { file: file.to_owned(), pointer: pointer.into(), detail: detail.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, pointer, detail } = self;
        match pointer.as_str() {
            "" => write!(f, "{file}: {detail}"),
            pointer => write!(f, "{file}#{pointer}: {detail}"),
        }
    }
}

/// The JSON pointer of where a deserializer stood.
pub fn pointer(prefix: &str, path: &Path) -> String {
    path.iter().fold(prefix.to_owned(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } | Segment::Enum { variant: key } => {
            format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
        }
        Segment::Unknown => pointer,
    })
}
