//! The schema ids that `cpq schemas register` got from the registry, so that producers never wait for it.

use crate::{Db, StoreError};
use sqlx::Row;
use std::collections::HashMap;

/// The newest registered schema id of each subject (`<topic>-<record full name>`).
pub async fn load_schema_ids(db: &Db) -> Result<HashMap<String, i32>, StoreError> {
    let mut tx = db.begin(&[]).await?;
    let rows = sqlx::query(
        "select distinct on (subject) subject, schema_id from cpq.registered_schema \
         order by subject, registered_at desc, schema_id desc",
    )
    .fetch_all(tx.connection())
    .await?;
    tx.commit().await?;
    rows.into_iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
