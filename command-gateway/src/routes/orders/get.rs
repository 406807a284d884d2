//! `GET /orders/{orderId}`: the truth, not a view.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::reading;
use cpq_domain::order::view::OrderView;

pub async fn handle(call: Call) -> Reply {
    let mut tx = call.begin().await?;
    let order = reading::order(&call, &mut tx).await?;
    tx.commit().await?;
    Ok(Answer::ok(&OrderView::of(&order, Some(&call.caller.claims))).revision(order.revision).build())
}
