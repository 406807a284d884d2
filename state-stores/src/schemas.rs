//! The schema ids that `cpq schemas register` got from the registry, so that producers never wait for it.

use crate::{Db, StoreError};
use cpq_avro::Schemas;
use sqlx::Row;
use std::collections::HashMap;

/// The registered ids of exactly this build's schemas, by subject (`<topic>-<record full name>`). A subject
/// whose newest schema is another build's is not there unless this build's was registered too.
pub async fn load_schema_ids(db: &Db, schemas: &Schemas) -> Result<HashMap<String, i32>, StoreError> {
    let mut tx = db.begin(&[]).await?;
    let rows = sqlx::query(
        "select subject, schema_id from cpq.registered_schema \
         where (subject, fingerprint) in (select * from unnest($1::text[], $2::text[]))",
    )
    .bind(schemas.iter().map(|schema| schema.subject.as_str()).collect::<Vec<_>>())
    .bind(schemas.iter().map(|schema| schema.fingerprint.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    tx.commit().await?;
    rows.into_iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
