//! `POST /orders/{orderId}/cancellation`.

use crate::call::Call;
use crate::form::{CODE, Field, Object, PROSE, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::order::OrderCommand;

pub static BODY: Object = Object {
    name: "CancelOrderRequest",
    describes: "Asks for the order's end; what was done is undone step by step.",
    fields: &[
        Field::required("orderRevision", REVISION, "The revision that the caller has seen."),
        Field::required("reasonCode", CODE, "Why."),
        Field::optional("comment", PROSE, "In the caller's words."),
    ],
    also: None,
    example: r#"{"orderRevision": 1, "reasonCode": "CUSTOMER_REQUEST"}"#,
};

pub async fn handle(call: Call) -> Reply {
    let order = call.order_id()?;
    let command = call.read()?;
    submit::to_order(call, order, OrderCommand::CancelOrder(command), Shape::ChangedOrder).await
}
