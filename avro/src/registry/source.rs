//! Writer schemas by id, for the decoder.

use super::CALL_TIMEOUT;
use crate::decoder::{SchemaSource, SourceError};
use async_trait::async_trait;
use schema_registry_converter::async_impl::schema_registry::{SrSettings, get_schema_by_id};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::RawError;
use std::error::Error;
use std::time::Duration;

/// The registry's code for an id that it does not know.
const SCHEMA_NOT_FOUND: u32 = 40403;
/// How often it is asked before it counts as unavailable: a kept connection that its end closes, or a moment
/// without an answer, is no outage.
const ATTEMPTS: u32 = 4;
/// The pause after a first failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Asks the registry.
#[derive(Clone, Debug)]
pub struct RegistrySource {
    settings: SrSettings,
}

impl RegistrySource {
    /// `url` is the base of the Confluent API, `…/apis/ccompat/v7`.
    pub fn new(url: &str) -> Result<Self, SourceError> {
        let url = url.trim_end_matches('/').to_owned();
        let settings = SrSettings::new_builder(url).set_timeout(CALL_TIMEOUT).build();
        Ok(Self { settings: settings.map_err(|error| SourceError::Unavailable(error.to_string()))? })
    }
}

#[async_trait]
impl SchemaSource for RegistrySource {
    async fn schema(&self, id: i32) -> Result<String, SourceError> {
        let unsigned = u32::try_from(id).map_err(|_| SourceError::Unknown(id))?;
        let (mut attempt, mut pause) = (1, FIRST_PAUSE);
        loop {
            match get_schema_by_id(unsigned, &self.settings).await {
                Ok(schema) => return Ok(schema.schema),
                Err(error) if is_not_found(&error) => return Err(SourceError::Unknown(id)),
                Err(error) if attempt == ATTEMPTS => return Err(SourceError::Unavailable(error.to_string())),
                Err(_) => tokio::time::sleep(pause).await,
            }
            (attempt, pause) = (attempt + 1, pause * 2);
        }
    }
}

/// Only the registry's own "not found" condemns a record. Any other failure, a proxy's 404 page included, may
/// pass.
fn is_not_found(error: &SRCError) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<RawError>())
        .is_some_and(|raw| raw.error_code == SCHEMA_NOT_FOUND)
}
