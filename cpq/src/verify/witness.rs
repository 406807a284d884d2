//! The heads of the audit chains as an earlier run has seen them, kept in a file away from the database: whoever
//! can rewrite the whole table can chain it again, but not what was noted elsewhere.

use super::findings::Findings;
use crate::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// The newest entry of a chain: one line of the file, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    pub tenant_id: String,
    pub aggregate_id: String,
    pub entry: i64,
    pub entry_hash: String,
}

/// Heads by tenant and aggregate.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Witness {
    heads: BTreeMap<(String, String), (i64, String)>,
}

impl Witness {
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let place = path.display();
        let file = File::open(path).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
        let mut witness = Self::default();
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(Failure::because(place.to_string()))?;
            let head: Head = serde_json::from_str(&line).map_err(|error| {
                Failure::usage(format!("{place} line {}: not the head of a chain: {error}", index + 1))
            })?;
            witness.note(head);
        }
        Ok(witness)
    }

    /// Writes the file anew, wholly or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let place = path.display().to_string();
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let written = || -> std::io::Result<()> {
            let mut out = BufWriter::new(File::create(&unfinished)?);
            for ((tenant_id, aggregate_id), (entry, entry_hash)) in &self.heads {
                let (tenant_id, aggregate_id) = (tenant_id.clone(), aggregate_id.clone());
                let head = Head { tenant_id, aggregate_id, entry: *entry, entry_hash: entry_hash.clone() };
                serde_json::to_writer(&mut out, &head)?;
                out.write_all(b"\n")?;
            }
            out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&unfinished, path)
        };
        written().map_err(Failure::because(place))
    }

    /// Notes the head of a chain; a later one takes its place.
    pub fn note(&mut self, head: Head) {
        self.heads.insert((head.tenant_id, head.aggregate_id), (head.entry, head.entry_hash));
    }

    /// Compares an entry with the head that was seen at its place, if one was.
    pub fn meet(&mut self, met: &Head, findings: &mut Findings) {
        let key = (met.tenant_id.clone(), met.aggregate_id.clone());
        if self.heads.get(&key).is_some_and(|(entry, _)| *entry == met.entry)
            && let Some((entry, hash)) = self.heads.remove(&key)
            && hash != met.entry_hash
        {
            findings.add(place(&key, entry), "is not the entry that the witness has seen: the chain was made anew");
        }
    }

    /// What was seen and has not been met is gone.
    pub fn close(self, findings: &mut Findings) {
        for (key, (entry, _)) in self.heads {
            findings.add(place(&key, entry), "was seen by the witness and is not there: the chain was cut off");
        }
    }
}

fn place((tenant, aggregate): &(String, String), entry: i64) -> String {
    format!("{tenant} {aggregate} entry {entry}")
}
