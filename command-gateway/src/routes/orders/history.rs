//! `GET /orders/{orderId}/history`.

use crate::call::Call;
use crate::operation::Reply;
use crate::reading;
use crate::routes::history;

pub async fn handle(call: Call) -> Reply {
    let mut tx = call.begin().await?;
    let order = reading::order(&call, &mut tx).await?;
    history::answer(&call, tx, order.order_id.as_str(), order.revision).await
}
