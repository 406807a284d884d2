//! Rows on their way into a file: collected column by column until they are a row group, then written as one.
//! What a row group holds is all that an export keeps in memory.

use super::cell::{Cell, cell, is_empty, take};
use super::columns::{Column, Columns, Form};
use super::record::Decoded;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use std::fs::File;

/// Memory of a row besides its value: position, key, headers.
const ROW_BYTES: usize = 1024;
const MICROS_PER_MILLI: i64 = 1_000;
/// A header's value is there, within a header that is there.
const HEADER_VALUE: i16 = 2;
/// A header without a value.
const HEADER: i16 = 1;

/// A record as it stands on its topic.
pub struct Standing<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    pub value: Option<&'a [u8]>,
}

enum Values {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Boolean(Vec<bool>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

/// Values of a column that may be null: those that are there, and for each row whether it has one.
struct Cells {
    values: Values,
    there: Vec<i16>,
}

impl Cells {
    fn new(values: Values) -> Self {
        Self { values, there: Vec::new() }
    }

    fn of(form: Form) -> Self {
        Self::new(match form {
            Form::Text | Form::Json => Values::Bytes(Vec::new()),
            Form::Long | Form::Timestamp => Values::Int64(Vec::new()),
            Form::Boolean => Values::Boolean(Vec::new()),
            Form::Decimal { .. } => Values::Fixed(Vec::new()),
        })
    }

    fn bytes(&mut self, value: Option<Vec<u8>>) {
        self.there.push(i16::from(value.is_some()));
        if let (Values::Bytes(values), Some(value)) = (&mut self.values, value) {
            values.push(value.into());
        }
    }

    fn write(&self, writer: &mut SerializedColumnWriter<'_>, repeated: Option<&[i16]>) -> Result<()> {
        let there = Some(self.there.as_slice());
        match &self.values {
            Values::Int32(values) => writer.typed::<Int32Type>().write_batch(values, there, repeated),
            Values::Int64(values) => writer.typed::<Int64Type>().write_batch(values, there, repeated),
            Values::Boolean(values) => writer.typed::<BoolType>().write_batch(values, there, repeated),
            Values::Bytes(values) => writer.typed::<ByteArrayType>().write_batch(values, there, repeated),
            Values::Fixed(values) => writer.typed::<FixedLenByteArrayType>().write_batch(values, there, repeated),
        }?;
        Ok(())
    }
}

/// Rows that are not written yet.
pub struct Rows {
    columns: Vec<Column>,
    topic: Vec<ByteArray>,
    partition: Vec<i32>,
    offset: Vec<i64>,
    timestamp: Vec<i64>,
    key: Cells,
    header_names: Cells,
    header_values: Cells,
    /// 0 where a header is its record's first.
    repeated: Vec<i16>,
    schema_id: Cells,
    record_type: Cells,
    fields: Vec<Cells>,
    undecodable: Cells,
    raw_value: Cells,
    bytes: usize,
}

fn texts() -> Cells {
    Cells::new(Values::Bytes(Vec::new()))
}

impl Rows {
    pub fn new(columns: &Columns) -> Self {
        Self {
            columns: columns.fields.clone(),
            topic: Vec::new(),
            partition: Vec::new(),
            offset: Vec::new(),
            timestamp: Vec::new(),
            key: texts(),
            header_names: texts(),
            header_values: texts(),
            repeated: Vec::new(),
            schema_id: Cells::new(Values::Int32(Vec::new())),
            record_type: texts(),
            fields: columns.fields.iter().map(|column| Cells::of(column.form)).collect(),
            undecodable: texts(),
            raw_value: texts(),
            bytes: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.offset.len()
    }

    /// About how much memory the rows take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a record; tells whether its value could be decoded. One that could not is kept as it is, with the reason.
    pub fn push(&mut self, standing: &Standing<'_>, decoded: std::result::Result<Option<Decoded>, String>) -> bool {
        let mut faults = Vec::new();
        self.stand(standing, &mut faults);
        let fields = decoded.and_then(|decoded| decoded.map(|decoded| self.read(decoded)).transpose());
        let (id, name, values) = match fields {
            Ok(Some((id, name, values))) => (Some(id), Some(name.into_bytes()), values),
            Ok(None) => (None, None, Vec::new()),
            Err(fault) => {
                faults.push(fault);
                (None, None, Vec::new())
            }
        };
        self.schema_id.there.push(i16::from(id.is_some()));
        if let (Values::Int32(ids), Some(id)) = (&mut self.schema_id.values, id) {
            ids.push(id);
        }
        self.record_type.bytes(name);
        let mut values = values.into_iter();
        for cells in &mut self.fields {
            cells.put(values.next().flatten());
        }
        let fault = (!faults.is_empty()).then(|| faults.join("; "));
        self.raw_value.bytes(standing.value.filter(|_| fault.is_some()).map(<[u8]>::to_vec));
        let whole = fault.is_none();
        self.undecodable.bytes(fault.map(String::into_bytes));
        whole
    }

    /// Where the record stood. Keys and headers are text; bytes that are none are told as such.
    fn stand(&mut self, standing: &Standing<'_>, faults: &mut Vec<String>) {
        let mut text = |what: &str, bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| {
                faults.push(format!("the {what} is no text: {}", hex(bytes)));
                String::from_utf8_lossy(bytes).into_owned()
            })
        };
        let key = standing.key.map(|key| text("key", key).into_bytes());
        let headers: Vec<(Vec<u8>, Option<Vec<u8>>)> = standing
            .headers
            .iter()
            .map(|(name, value)| {
                let value = value.map(|value| text(&format!("header {name}"), value).into_bytes());
                (name.as_bytes().to_vec(), value)
            })
            .collect();
        self.bytes += standing.value.map_or(0, <[u8]>::len) + ROW_BYTES;
        self.topic.push(standing.topic.as_bytes().to_vec().into());
        self.partition.push(standing.partition);
        self.offset.push(standing.offset);
        self.timestamp.push(standing.timestamp.saturating_mul(MICROS_PER_MILLI));
        self.key.bytes(key);
        if headers.is_empty() {
            self.repeated.push(0);
            self.header_names.bytes(None);
            self.header_values.bytes(None);
        }
        for (index, (name, value)) in headers.into_iter().enumerate() {
            self.repeated.push(i16::from(index > 0));
            self.header_names.bytes(Some(name));
            let there = if value.is_some() { HEADER_VALUE } else { HEADER };
            self.header_values.bytes(value);
            self.header_values.there.pop();
            self.header_values.there.push(there);
        }
    }

    /// The values of the columns. What none of them takes must not get lost, so it is a fault.
    fn read(&self, decoded: Decoded) -> std::result::Result<(i32, String, Vec<Option<Cell>>), String> {
        let Decoded { schema_id, record_type, mut members } = decoded;
        let mut cells = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let value = take(&mut members, &column.path);
            cells.push(cell(column, value).map_err(|fault| format!("{record_type}: {fault}"))?);
        }
        match members.iter().find(|(_, value)| !is_empty(value)) {
            Some((name, _)) => Err(format!("{record_type} has a field {name}, which this build does not know")),
            None => Ok((schema_id, record_type, cells)),
        }
    }

    /// Writes everything as one row group, and is empty then.
    pub fn write(&mut self, columns: &Columns, file: &mut SerializedFileWriter<File>) -> Result<()> {
        let rows = std::mem::replace(self, Self::new(columns));
        let mut group = file.next_row_group()?;
        let mut column = |write: &mut dyn FnMut(&mut SerializedColumnWriter<'_>) -> Result<()>| {
            let next = group.next_column()?;
            let mut writer = next.ok_or_else(|| ParquetError::General("the schema has too few columns".to_owned()))?;
            write(&mut writer)?;
            writer.close()
        };
        column(&mut |w| w.typed::<ByteArrayType>().write_batch(&rows.topic, None, None).map(drop))?;
        column(&mut |w| w.typed::<Int32Type>().write_batch(&rows.partition, None, None).map(drop))?;
        column(&mut |w| w.typed::<Int64Type>().write_batch(&rows.offset, None, None).map(drop))?;
        column(&mut |w| w.typed::<Int64Type>().write_batch(&rows.timestamp, None, None).map(drop))?;
        column(&mut |w| rows.key.write(w, None))?;
        column(&mut |w| rows.header_names.write(w, Some(&rows.repeated)))?;
        column(&mut |w| rows.header_values.write(w, Some(&rows.repeated)))?;
        for cells in [&rows.schema_id, &rows.record_type].into_iter().chain(&rows.fields) {
            column(&mut |w| cells.write(w, None))?;
        }
        for cells in [&rows.undecodable, &rows.raw_value] {
            column(&mut |w| cells.write(w, None))?;
        }
        group.close()?;
        Ok(())
    }
}

impl Cells {
    fn put(&mut self, cell: Option<Cell>) {
        self.there.push(i16::from(cell.is_some()));
        match (&mut self.values, cell) {
            (Values::Int64(values), Some(Cell::Number(value))) => values.push(value),
            (Values::Boolean(values), Some(Cell::Boolean(value))) => values.push(value),
            (Values::Bytes(values), Some(Cell::Bytes(value))) => values.push(value.into()),
            (Values::Fixed(values), Some(Cell::Fixed(value))) => values.push(ByteArray::from(value).into()),
            // `cell` makes what its column's form asks for; a null has no value.
            _ => {}
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
