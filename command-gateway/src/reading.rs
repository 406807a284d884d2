//! Reading one object as its truth: by id, in the caller's tenant, within the caller's accounts.

use crate::call::{Call, order_not_found, quote_not_found};
use crate::problem::Problem;
use cpq_domain::moment::Moment;
use cpq_domain::order::Order;
use cpq_domain::quote::Quote;
use cpq_state_stores::Tx;
use cpq_state_stores::aggregates;
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

pub fn now() -> Moment {
    Moment::new(OffsetDateTime::now_utc())
}
