//! The folder of an export and its manifest: which records it is of, how far each partition has come, and which
//! files hold them. One run at a time; what a killed run left unfinished is cleared away by the next.

use super::file::{UNFINISHED, replace};
use crate::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// The manifest's name within its folder.
pub const MANIFEST: &str = "manifest.json";
/// The form of manifests and files that this build writes.
const FORMAT: u32 = 1;

/// Which records are exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub topic: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub from: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub to: Option<OffsetDateTime>,
    pub key: Option<String>,
}

impl Selection {
    pub fn new(topic: &str, from: Option<OffsetDateTime>, to: Option<OffsetDateTime>, key: Option<String>) -> Self {
        Self { topic: topic.to_owned(), from, to, key }
    }

    /// Whether a record of this timestamp (milliseconds) and key is wanted.
    pub fn wants(&self, timestamp: i64, key: Option<&[u8]>) -> bool {
        let at = i128::from(timestamp) * 1_000_000;
        self.from.is_none_or(|from| at >= from.unix_timestamp_nanos())
            && self.to.is_none_or(|to| at < to.unix_timestamp_nanos())
            && self.key.as_ref().is_none_or(|wanted| key == Some(wanted.as_bytes()))
    }
}

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    pub name: String,
    pub partition: i32,
    pub first_offset: i64,
    /// After its last record.
    pub next_offset: i64,
    pub records: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    format: u32,
    #[serde(flatten)]
    selection: Selection,
    /// Where each partition goes on.
    next_offsets: BTreeMap<i32, i64>,
    files: Vec<FileEntry>,
}

/// A folder that this run has for itself.
pub struct Folder {
    path: PathBuf,
    manifest: Manifest,
    /// Locked as long as it is open.
    _lock: File,
}

impl Folder {
    /// Opens the folder, new or of an earlier run with the same selection.
    pub fn open(path: &Path, selection: Selection) -> Result<Self, Failure> {
        let unusable = |cause: io::Error| Failure::failed(format!("{} cannot be used: {cause}", path.display()));
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::open(path).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::failed(format!("another export is writing to {}", path.display())));
            }
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        for file in fs::read_dir(path).map_err(unusable)? {
            let file = file.map_err(unusable)?;
            if file.file_name().to_string_lossy().ends_with(UNFINISHED) {
                fs::remove_file(file.path()).map_err(unusable)?;
            }
        }
        let manifest = match fs::read_to_string(path.join(MANIFEST)) {
            Ok(text) => known(&text, path, &selection)?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                Manifest { format: FORMAT, selection, next_offsets: BTreeMap::new(), files: Vec::new() }
            }
            Err(cause) => return Err(unusable(cause)),
        };
        Ok(Self { path: path.to_owned(), manifest, _lock: lock })
    }

    pub fn selection(&self) -> &Selection {
        &self.manifest.selection
    }

    pub fn files(&self) -> &[FileEntry] {
        &self.manifest.files
    }

    /// Where a partition goes on, if it was begun.
    pub fn next(&self, partition: i32) -> Option<i64> {
        self.manifest.next_offsets.get(&partition).copied()
    }

    /// The path of the file that begins with this offset. After a crash the same records get the same name again.
    pub fn file(&self, partition: i32, first_offset: i64) -> PathBuf {
        self.path.join(name(&self.manifest.selection.topic, partition, first_offset))
    }

    /// Notes how far a partition has come, with the file that took it there.
    pub fn advance(&mut self, partition: i32, next_offset: i64, file: Option<FileEntry>) -> Result<(), Failure> {
        self.manifest.next_offsets.insert(partition, next_offset);
        self.manifest.files.extend(file);
        let text = serde_json::to_vec_pretty(&self.manifest).map_err(Failure::because("this build is broken"))?;
        replace(&self.path.join(MANIFEST), &text)
    }
}

/// As Kafka Connect's sinks name their files.
pub fn name(topic: &str, partition: i32, first_offset: i64) -> String {
    format!("{topic}+{partition}+{first_offset:020}.parquet")
}

fn known(text: &str, path: &Path, selection: &Selection) -> Result<Manifest, Failure> {
    let broken = |cause: &dyn std::fmt::Display| {
        Failure::failed(format!("{}/{MANIFEST} is none of this build: {cause}", path.display()))
    };
    let manifest: Manifest = serde_json::from_str(text).map_err(|error| broken(&error))?;
    if manifest.format != FORMAT {
        return Err(broken(&format!("format {}", manifest.format)));
    }
    if manifest.selection != *selection {
        let holds = serde_json::to_string(&manifest.selection).map_err(|error| broken(&error))?;
        return Err(Failure::usage(format!(
            "{} holds another export, of {holds}; choose another --out",
            path.display()
        )));
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use time::macros::datetime;

    const NOON: i64 = 1_793_534_400_000;

    fn selection() -> Selection {
        let (from, to) = (datetime!(2026-11-01 12:00 UTC), datetime!(2026-11-01 13:00 UTC));
        Selection::new("t", Some(from), Some(to), Some("Q-1".to_owned()))
    }

    #[rstest]
    #[case::first(NOON, Some("Q-1"), true)]
    #[case::before(NOON - 1, Some("Q-1"), false)]
    #[case::last(NOON + 3_599_999, Some("Q-1"), true)]
    #[case::at_the_end(NOON + 3_600_000, Some("Q-1"), false)]
    #[case::another_key(NOON, Some("Q-12"), false)]
    #[case::no_key(NOON, None, false)]
    fn a_selection_is_from_inclusive_to_exclusive(#[case] at: i64, #[case] key: Option<&str>, #[case] wanted: bool) {
        assert_eq!(selection().wants(at, key.map(str::as_bytes)), wanted);
    }

    #[test]
    fn a_folder_goes_on_where_it_ended_and_holds_one_export_only() {
        let path = std::env::temp_dir().join(format!("cpq-export-{}", std::process::id()));
        let mut folder = Folder::open(&path, selection()).unwrap();
        assert_eq!(folder.next(3), None);
        folder.advance(3, 17, None).unwrap();
        assert!(Folder::open(&path, selection()).is_err_and(|failure| failure.message().contains("another export")));
        drop(folder);
        fs::write(path.join(format!("half{UNFINISHED}")), "x").unwrap();
        assert_eq!(Folder::open(&path, selection()).unwrap().next(3), Some(17));
        assert!(!path.join(format!("half{UNFINISHED}")).exists());
        let other = Selection { key: None, ..selection() };
        assert!(Folder::open(&path, other).is_err_and(|failure| failure.message().contains("holds another export")));
        fs::remove_dir_all(&path).unwrap();
    }
}
