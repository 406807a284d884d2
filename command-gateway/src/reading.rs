//! Reading one object as its truth: by id, in the caller's tenant, within the caller's accounts; and the reference
//! data that questions about a quote are judged by.

use crate::call::{Call, order_not_found, quote_not_found};
use crate::problem::Problem;
use cpq_domain::catalog::Catalog;
use cpq_domain::catalog::changes::{CatalogChanged, Use, changed};
use cpq_domain::command::CommandMeta;
use cpq_domain::moment::Moment;
use cpq_domain::order::Order;
use cpq_domain::quote::{Context, Quote};
use cpq_domain::reference::Customer;
use cpq_state_stores::reference::{self, TenantReference};
use cpq_state_stores::{StoreError, Tx, aggregates};
use std::sync::Arc;
use time::OffsetDateTime;

/// The quote of the path.
pub async fn quote(call: &Call, tx: &mut Tx) -> Result<Quote, Problem> {
    let key = (call.tenant().clone(), call.quote_id()?.into_string());
    let mut found = aggregates::load_quotes::<Quote>(tx, std::slice::from_ref(&key)).await?;
    found.remove(&key).filter(|quote| call.may_read(&quote.customer_account_id)).ok_or_else(quote_not_found)
}

/// The order of the path.
pub async fn order(call: &Call, tx: &mut Tx) -> Result<Order, Problem> {
    let key = (call.tenant().clone(), call.order_id()?.into_string());
    let mut found = aggregates::load_orders::<Order>(tx, std::slice::from_ref(&key)).await?;
    found.remove(&key).filter(|order| call.may_read(&order.snapshot.customer_account_id)).ok_or_else(order_not_found)
}

/// What a question about a quote is judged by.
pub struct Ground {
    pub meta: CommandMeta,
    pub now: Moment,
    tenant: TenantReference,
    customer: Option<Customer>,
}

impl Ground {
    pub async fn of(call: &Call, tx: &mut Tx, quote: &Quote) -> Result<Self, Problem> {
        let tenants =
            call.gateway.references.tenants(tx, std::slice::from_ref(call.tenant())).await?.remove(call.tenant());
        let tenant = tenants.ok_or_else(|| StoreError::Corrupt(format!("{} has a quote and no row", call.tenant())))?;
        let key = (call.tenant().clone(), quote.customer_account_id.clone());
        let customer = reference::customers(tx, std::slice::from_ref(&key)).await?.remove(&key);
        Ok(Self { meta: call.meta(), now: now(), tenant, customer })
    }

    /// The tenant's newest catalog.
    pub async fn newest_catalog(&self, call: &Call, tx: &mut Tx) -> Result<Option<Arc<Catalog>>, StoreError> {
        match &self.tenant.catalog_version {
            Some(version) => call.gateway.references.catalog(tx, call.tenant(), version).await,
            None => Ok(None),
        }
    }

    pub fn context<'a>(&'a self, newest: Option<&'a Catalog>) -> Context<'a> {
        Context {
            meta: &self.meta,
            now: self.now,
            tenant: &self.tenant.tenant,
            customer: self.customer.as_ref(),
            catalog: newest,
            configured_catalog: None,
            policy: &self.tenant.policy,
            authorities: &[],
            reserved_order: None,
            source: None,
        }
    }
}

/// What a newer catalog changes of what the quote uses. Asked of quotes alone that can still be configured again.
pub async fn catalog_changed(call: &Call, tx: &mut Tx, quote: &Quote) -> Result<Option<CatalogChanged>, Problem> {
    let Some(configuration) = quote.configuration().filter(|_| quote.is_alive(now())) else { return Ok(None) };
    let references = &call.gateway.references;
    let newest = references.tenants(tx, std::slice::from_ref(call.tenant())).await?.remove(call.tenant());
    let newest = newest.and_then(|tenant| tenant.catalog_version).filter(|v| *v != configuration.catalog_version);
    let Some(newest) = newest else { return Ok(None) };
    let older = references.catalog(tx, call.tenant(), &configuration.catalog_version).await?;
    let newer = references.catalog(tx, call.tenant(), &newest).await?;
    let (Some(older), Some(newer)) = (older, newer) else { return Ok(None) };
    let usage = Use { configuration, price_list_id: &quote.price_list_id, currency: quote.currency, at: now() };
    Ok(changed(&older, &newer, &usage))
}

pub fn now() -> Moment {
    Moment::new(OffsetDateTime::now_utc())
}
