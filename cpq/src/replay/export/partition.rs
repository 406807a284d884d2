//! One partition after the other into files, with progress.

use super::columns::Columns;
use super::file::OpenFile;
use super::manifest::{FileEntry, Folder, name};
use super::record::Records;
use super::rows::Standing;
use crate::Failure;
use crate::kafka::{Reader, Stretch};
use crate::output::Progress;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};
use std::time::Instant;

/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 1_000;

/// An export at work.
pub struct Export<'a> {
    pub reader: &'a Reader,
    pub columns: Columns,
    pub records: Records,
    pub folder: Folder,
    pub progress: Progress,
    pub began: Instant,
    /// Records that are still to be read.
    pub left: i64,
    pub read: u64,
    pub written: u64,
    pub undecodable: u64,
}

impl Export<'_> {
    /// Exports what the partition holds of this stretch.
    pub fn partition(&mut self, stretch: &Stretch) -> Result<(), Failure> {
        if stretch.start >= stretch.end {
            return Ok(());
        }
        let mut open: Option<OpenFile> = None;
        let reader = self.reader;
        reader.read(std::slice::from_ref(stretch), |message| {
            self.tell(message);
            let timestamp = message.timestamp().to_millis().unwrap_or_default();
            if !self.folder.selection().wants(timestamp, message.key()) {
                return Ok(());
            }
            let mut file = match open.take() {
                Some(file) => file,
                None => {
                    let path = self.folder.file(stretch.partition, message.offset());
                    OpenFile::create(path, &self.columns, message.offset())?
                }
            };
            if self.add(&mut file, message, timestamp)? {
                self.finish(file, stretch.partition, message.offset() + 1)?;
            } else {
                open = Some(file);
            }
            Ok(())
        })?;
        match open {
            Some(file) => self.finish(file, stretch.partition, stretch.end),
            None => self.folder.advance(stretch.partition, stretch.end, None),
        }
    }

    /// Adds the record to the file; tells whether the file is full.
    fn add(&mut self, file: &mut OpenFile, message: &BorrowedMessage<'_>, timestamp: i64) -> Result<bool, Failure> {
        let standing = Standing {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp,
            key: message.key(),
            headers: message.headers().into_iter().flat_map(|h| h.iter()).map(|h| (h.key, h.value)).collect(),
            value: message.payload(),
        };
        let decoded = match standing.value {
            Some(value) => self.records.decode(value)?.map(Some),
            // A tombstone.
            None => Ok(None),
        };
        self.written += 1;
        file.add(|rows| {
            if !rows.push(&standing, decoded) {
                self.undecodable += 1;
            }
        })
    }

    fn finish(&mut self, file: OpenFile, partition: i32, next_offset: i64) -> Result<(), Failure> {
        let (first_offset, records) = (file.first_offset, file.records);
        let name = name(&self.folder.selection().topic, partition, first_offset);
        let bytes = file.finish()?;
        let entry = FileEntry { name, partition, first_offset, next_offset, records, bytes };
        self.folder.advance(partition, next_offset, Some(entry))
    }

    fn tell(&mut self, message: &BorrowedMessage<'_>) {
        self.read += 1;
        self.left -= 1;
        if self.read.is_multiple_of(PROGRESS_EVERY) {
            let rate = self.read as f64 / self.began.elapsed().as_secs_f64();
            let (topic, partition) = (message.topic(), message.partition());
            self.progress.say(&format!("{topic}[{partition}]: {} records, {rate:.0}/s, {} left", self.read, self.left));
        }
    }
}
