//! The wire: schemas, the codec between the domain's types and Confluent-framed Avro, message headers, the
//! list of topics and the schema registry. The only place that knows wire names; it opens no Kafka
//! connection and holds no business rule.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod decoder;
mod encoder;
pub mod headers;
mod inline;
mod record;
pub mod registry;
mod schemas;
pub mod topics;
pub mod wire;

pub use decoder::{DecodeError, Decoder, MAX_CACHED_SCHEMAS, SchemaSource, SourceError};
pub use encoder::{EncodeError, Encoder, MAX_RECORD_BYTES, UnregisteredSchemas};
pub use record::{AggregateType, Command, Event, EventEnvelope, Record};
pub use schemas::{Family, Kind, Schema, SchemaError, Schemas};
