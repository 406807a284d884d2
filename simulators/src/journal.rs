//! The append-only file that lets a simulator that was killed remember. A line is written before the answer goes out,
//! so what a client was told is never forgotten; the operating system keeps it when the process is killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

use crate::resource::Resource;
use crate::system::System;

/// One thing that happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub(crate) enum Entry {
    Created {
        system: System,
        resource: Box<Resource>,
    },
    Compensated {
        system: System,
        id: String,
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

/// Why the state file cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file cannot be opened or read.
    #[error("state file {path}: {cause}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A whole line is no entry: the file is another's or damaged.
    #[error("state file {path}, line {line}: not an entry of a simulator's state: {cause}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
}

pub(crate) struct Journal {
    file: File,
}

impl Journal {
    /// Opens the file and reads what it holds. A last line without its end was never answered for: it is cut off.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>), JournalError> {
        let io = |cause| JournalError::Io { path: path.to_owned(), cause };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            tracing::warn!(bytes = bytes.len() - whole, "cutting off an entry that was not written whole");
            file.set_len(whole as u64).map_err(io)?;
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let entries = bytes[..whole]
            .split_inclusive(|byte| *byte == b'\n')
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_slice(line).map_err(|error| JournalError::Damaged {
                    path: path.to_owned(),
                    line: index + 1,
                    cause: error.to_string(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok((Self { file }, entries))
    }

    /// Appends one entry. If the disk takes only a part, the part is cut off again, so that later entries stay whole.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
        line.push(b'\n');
        let start = self.file.stream_position()?;
        if let Err(cause) = self.file.write_all(&line) {
            self.file.set_len(start)?;
            self.file.seek(SeekFrom::Start(start))?;
            return Err(cause);
        }
        Ok(())
    }
}
