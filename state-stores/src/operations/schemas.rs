//! Writing what the schema registry gave; reading it is [`crate::schemas`].

use crate::{StoreError, Tx};

/// A schema as registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// `<topic>-<record full name>`.
    pub subject: String,
    pub record_name: String,
    pub fingerprint: String,
    pub schema_id: i32,
    pub schema: String,
}

/// Makes these the newest of their subjects. Returns the subjects that changed; those whose newest schema was
/// this one already are left alone.
pub async fn store_schemas(tx: &mut Tx, schemas: &[RegisteredSchema]) -> Result<Vec<String>, StoreError> {
    let changed = sqlx::query_scalar(
        "insert into cpq.registered_schema (subject, record_name, fingerprint, schema_id, schema, registered_at) \
         select s.subject, s.record_name, s.fingerprint, s.schema_id, s.schema, clock_timestamp() \
         from unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[]) \
           as s(subject, record_name, fingerprint, schema_id, schema) \
         where (s.fingerprint, s.schema_id) is distinct from (select (n.fingerprint, n.schema_id) from cpq.registered_schema n \
           where n.subject = s.subject order by n.registered_at desc, n.schema_id desc limit 1) \
         on conflict (subject, fingerprint) do update set schema_id = excluded.schema_id, schema = excluded.schema, \
           registered_at = excluded.registered_at \
         returning subject",
    )
    .bind(schemas.iter().map(|s| s.subject.as_str()).collect::<Vec<_>>())
    .bind(schemas.iter().map(|s| s.record_name.as_str()).collect::<Vec<_>>())
    .bind(schemas.iter().map(|s| s.fingerprint.as_str()).collect::<Vec<_>>())
    .bind(schemas.iter().map(|s| s.schema_id).collect::<Vec<_>>())
    .bind(schemas.iter().map(|s| s.schema.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    Ok(changed)
}
