//! The ids of this build's schemas, which a producer needs before its first record.

use crate::backoff::Backoff;
use cpq_avro::Schemas;
use cpq_state_stores::{Db, StoreError, schemas};
use std::collections::HashMap;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The registered ids, as soon as the database gives them; `None` at shutdown.
pub async fn await_ids(
    db: &Db,
    schemas_of_build: &Schemas,
    shutdown: &CancellationToken,
) -> Result<Option<HashMap<String, i32>>, StoreError> {
    let mut backoff = Backoff::default();
    loop {
        match schemas::load_schema_ids(db, schemas_of_build).await {
            Ok(ids) => return Ok(Some(ids)),
            Err(error) if error.is_transient() => warn!(%error, "schema ids wait for the database"),
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(backoff.pause()) => {}
        }
    }
}
