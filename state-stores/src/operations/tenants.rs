//! Which tenants there are.

use crate::{StoreError, Tx};

/// Every tenant's id, in order.
pub async fn tenant_ids(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar("select tenant_id from cpq.tenant order by tenant_id").fetch_all(tx.connection()).await?)
}
