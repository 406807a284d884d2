//! One Parquet file in the making: written beside its name, and under its name only once it is whole and on disk.

use super::columns::Columns;
use super::rows::Rows;
use crate::Failure;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the name of a file in the making ends with.
pub const UNFINISHED: &str = ".tmp";
/// Rows that are written together; also what a reader must take into memory at once.
const ROW_GROUP_ROWS: usize = 50_000;
/// Bytes of records that are written together, however few rows they are.
const ROW_GROUP_BYTES: usize = 48 * 1024 * 1024;
/// A file of this size is full.
const FILE_BYTES: usize = 256 * 1024 * 1024;

/// A file that is not there yet.
pub struct OpenFile {
    path: PathBuf,
    columns: Columns,
    rows: Rows,
    writer: SerializedFileWriter<File>,
    pub first_offset: i64,
    pub records: u64,
}

fn unwritable<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Failure {
    Failure::because(format!("{} cannot be written", path.display()))
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

impl OpenFile {
    pub fn create(path: PathBuf, columns: &Columns, first_offset: i64) -> Result<Self, Failure> {
        let file = File::create(unfinished(&path)).map_err(unwritable(&path))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("cpq ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(file, columns.schema.clone(), Arc::new(properties));
        let writer = writer.map_err(unwritable(&path))?;
        Ok(Self { path, columns: columns.clone(), rows: Rows::new(columns), writer, first_offset, records: 0 })
    }

    /// Adds what `push` puts into the rows; tells whether the file is full.
    pub fn add(&mut self, push: impl FnOnce(&mut Rows)) -> Result<bool, Failure> {
        push(&mut self.rows);
        self.records += 1;
        if self.rows.len() >= ROW_GROUP_ROWS || self.rows.bytes() >= ROW_GROUP_BYTES {
            self.rows.write(&self.columns, &mut self.writer).map_err(unwritable(&self.path))?;
        }
        Ok(self.writer.bytes_written() >= FILE_BYTES)
    }

    /// Ends the file, and gives it its name; returns its size.
    pub fn finish(mut self) -> Result<u64, Failure> {
        if self.rows.len() > 0 {
            self.rows.write(&self.columns, &mut self.writer).map_err(unwritable(&self.path))?;
        }
        let file = self.writer.into_inner().map_err(unwritable(&self.path))?;
        file.sync_all().map_err(unwritable(&self.path))?;
        let bytes = file.metadata().map_err(unwritable(&self.path))?.len();
        publish(&self.path)?;
        Ok(bytes)
    }
}

/// Gives what was written beside this name that name, so that it lasts.
fn publish(path: &Path) -> Result<(), Failure> {
    fs::rename(unfinished(path), path).map_err(unwritable(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable(folder))
}

/// Replaces a file in one step.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let beside = unfinished(path);
    let write = || {
        fs::write(&beside, content)?;
        File::open(&beside)?.sync_all()
    };
    write().map_err(unwritable(path))?;
    publish(path)
}
