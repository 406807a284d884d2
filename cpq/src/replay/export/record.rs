//! Records as an outsider reads them: by the schema that they were written with, which the registry knows, and as
//! JSON with the same digits and times as in the product's API.

use crate::Failure;
use cpq_avro::registry::RegistrySource;
use cpq_avro::wire::plan::{RecordType, compile};
use cpq_avro::wire::read::read_record;
use cpq_avro::{MAX_CACHED_SCHEMAS, SchemaSource as _, SourceError};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Magic byte and schema id.
const FRAME_BYTES: usize = 5;

/// A value that could be read.
pub struct Decoded {
    pub schema_id: i32,
    /// `cpq.quote.QuotePriced`.
    pub record_type: String,
    pub members: Map<String, Value>,
}

/// Decodes values; each schema is asked for once. Blocks: not for async threads.
pub struct Records {
    source: RegistrySource,
    runtime: Handle,
    schemas: HashMap<i32, Result<Arc<RecordType>, String>>,
}

impl Records {
    pub fn new(source: RegistrySource, runtime: Handle) -> Self {
        Self { source, runtime, schemas: HashMap::new() }
    }

    /// The record; the inner error is the value's own fault.
    pub fn decode(&mut self, value: &[u8]) -> Result<Result<Decoded, String>, Failure> {
        let Some(([0, id @ ..], body)) = value.split_first_chunk::<FRAME_BYTES>() else {
            return Ok(Err("the value is not in Confluent's wire format".to_owned()));
        };
        let schema_id = i32::from_be_bytes(*id);
        let record = match self.schema(schema_id)? {
            Ok(record) => record,
            Err(fault) => return Ok(Err(fault)),
        };
        // Read as it was written: a field that this build does not know is not lost.
        let members = read_record(&record, &record, body).map_err(|error| format!("{}{error}", record.full_name));
        Ok(members.map(|members| Decoded { schema_id, record_type: record.full_name.clone(), members }))
    }

    fn schema(&mut self, id: i32) -> Result<Result<Arc<RecordType>, String>, Failure> {
        if let Some(known) = self.schemas.get(&id) {
            return Ok(known.clone());
        }
        let record = match self.runtime.block_on(self.source.schema(id)) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| format!("schema {id} is not JSON: {error}"))
                .and_then(|json: Value| compile(&json).map_err(|error| format!("schema {id}: {error}"))),
            Err(SourceError::Unknown(id)) => Err(format!("schema {id} is not in the registry")),
            Err(SourceError::Unavailable(cause)) => {
                return Err(Failure::failed(format!("the schema registry cannot be asked: {cause}")));
            }
        };
        if self.schemas.len() < MAX_CACHED_SCHEMAS {
            self.schemas.insert(id, record.clone());
        }
        Ok(record)
    }
}
