//! Avro binary to JSON: written by one schema, read as another (fields by name, the reader's defaults for
//! what the writer did not know). Bytes are hostile until they have been read.

use super::plan::{RecordType, Type};
use super::primitive::{DecimalText, Input, decimal_text};
use cpq_domain::moment::Moment;
use cpq_domain::money::Currency;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::ptr;

/// Items of all arrays and maps of one record together. A byte can stand for an item, and an item takes some
/// hundred bytes of memory, so without it a record of 8 MiB could ask for a gigabyte.
pub const MAX_ITEMS: usize = 1_000_000;
/// The field whose value says how many minor units the amounts beside and below it have.
pub const CURRENCY_FIELD: &str = "currency";
/// The years that RFC 3339 can write.
const RFC_3339_YEARS: RangeInclusive<i32> = 0..=9999;
/// Decimals of a computed percentage.
const PERCENT_DECIMALS: u32 = 2;

/// Bytes that are not what their schema says, with the place in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {cause}")]
pub struct ReadError {
    pub path: String,
    pub cause: String,
}

impl From<String> for ReadError {
    fn from(cause: String) -> Self {
        Self { path: String::new(), cause }
    }
}

impl ReadError {
    fn at(mut self, segment: &str) -> Self {
        self.path.insert_str(0, segment);
        self.path.insert(0, '/');
        self
    }
}

/// Reads one record. All bytes must be used.
pub fn read_record(writer: &RecordType, reader: &RecordType, bytes: &[u8]) -> Result<Map<String, Value>, ReadError> {
    let mut source = Reader { input: Input::new(bytes), items: 0, minor_units: 0 };
    let record = source.record(writer, reader)?;
    match source.input.remaining() {
        0 => Ok(record),
        left => Err(format!("has {left} bytes after its end").into()),
    }
}

struct Reader<'a> {
    input: Input<'a>,
    items: usize,
    /// Of the currency that holds here.
    minor_units: u32,
}

impl Reader<'_> {
    fn record(&mut self, writer: &RecordType, reader: &RecordType) -> Result<Map<String, Value>, ReadError> {
        let outer = self.minor_units;
        let mut members = Map::with_capacity(reader.fields.len());
        for (index, field) in writer.fields.iter().enumerate() {
            let target = reader.field(&field.name, index);
            // A field that the reader does not know is read as written, to get past it.
            let ty = target.map_or(&field.ty, |target| &target.ty);
            let value = self.value(&field.ty, ty).map_err(|error| error.at(&field.name))?;
            if field.name == CURRENCY_FIELD
                && let Some(currency) = value.as_str().and_then(Currency::parse)
            {
                self.minor_units = currency.minor_units();
            }
            if target.is_some() {
                members.insert(field.name.clone(), value);
            }
        }
        self.minor_units = outer;
        if !ptr::eq(writer, reader) {
            fill(reader, &mut members)?;
        }
        Ok(members)
    }

    fn value(&mut self, writer: &Type, reader: &Type) -> Result<Value, ReadError> {
        if let Type::Union(branches) = writer {
            let index = self.input.long()?;
            let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
            let branch = branch.ok_or_else(|| format!("has branch {index} of a union of {}", branches.len()))?;
            return self.value(branch, reader);
        }
        let reader = match reader {
            Type::Union(branches) => branches.iter().find(|branch| readable(writer, branch)),
            other => Some(other).filter(|other| readable(writer, other)),
        };
        let reader =
            reader.ok_or_else(|| format!("was written as {}, which is not what is read here", writer.kind()))?;
        Ok(match (writer, reader) {
            (Type::Boolean, _) => match self.input.byte()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(format!("is a boolean of {other}").into()),
            },
            (Type::Long, _) => Value::from(self.input.long()?),
            (Type::String, _) => Value::from(self.input.text()?),
            (Type::Timestamp, _) => {
                let micros = self.input.long()?;
                let at = Moment::from_unix_micros(micros).filter(|at| RFC_3339_YEARS.contains(&at.year()));
                Value::from(at.ok_or_else(|| format!("is no instant: {micros}"))?.to_string())
            }
            (Type::Decimal { precision, scale, .. }, Type::Decimal { text, .. }) => {
                let unscaled = self.input.decimal(*precision)?;
                Value::from(decimal_text(unscaled, *scale, self.decimals(*text)))
            }
            (Type::Array(written), Type::Array(read)) => self.array(written, read)?,
            (Type::Map(written), Type::Map(read)) => self.map(written, read)?,
            (Type::Record(written), Type::Record(read)) => Value::Object(self.record(written, read)?),
            // `readable` has let nothing else through but null, which has no bytes.
            _ => Value::Null,
        })
    }

    fn decimals(&self, text: DecimalText) -> u32 {
        match text {
            DecimalText::Money => self.minor_units,
            DecimalText::Percent => PERCENT_DECIMALS,
            DecimalText::Shortest => 0,
        }
    }

    fn array(&mut self, writer: &Type, reader: &Type) -> Result<Value, ReadError> {
        let mut values = Vec::new();
        loop {
            let count = self.block()?;
            if count == 0 {
                return Ok(Value::Array(values));
            }
            for _ in 0..count {
                let value = self.value(writer, reader).map_err(|error| error.at(&values.len().to_string()))?;
                values.push(value);
            }
        }
    }

    fn map(&mut self, writer: &Type, reader: &Type) -> Result<Value, ReadError> {
        let mut members = Map::new();
        loop {
            let count = self.block()?;
            if count == 0 {
                return Ok(Value::Object(members));
            }
            for _ in 0..count {
                let name = self.input.text()?;
                let value = self.value(writer, reader).map_err(|error| error.at(name))?;
                members.insert(name.to_owned(), value);
            }
        }
    }

    /// The number of items in the next block. A negative number is followed by the block's size in bytes.
    fn block(&mut self) -> Result<usize, ReadError> {
        let count = self.input.long()?;
        if count < 0 {
            self.input.long()?;
        }
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        self.items = self.items.saturating_add(count);
        if self.items > MAX_ITEMS {
            return Err(format!("has more than {MAX_ITEMS} items").into());
        }
        Ok(count)
    }
}

/// The reader's defaults for what the writer did not write.
fn fill(reader: &RecordType, members: &mut Map<String, Value>) -> Result<(), ReadError> {
    if members.len() == reader.fields.len() {
        return Ok(());
    }
    for field in &reader.fields {
        if !members.contains_key(&field.name) {
            let default = field.default.clone();
            let default = default.ok_or_else(|| ReadError::from("was not written, and has no default".to_owned()));
            members.insert(field.name.clone(), default.map_err(|error| error.at(&field.name))?);
        }
    }
    Ok(())
}

fn readable(writer: &Type, reader: &Type) -> bool {
    match (writer, reader) {
        (Type::Record(written), Type::Record(read)) => written.full_name == read.full_name,
        _ => writer.kind() == reader.kind(),
    }
}
