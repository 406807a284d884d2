//! The models of this build, compiled in: what `cpq workflow deploy` puts into the engine, and the keys by
//! which the bridge starts processes.

use crate::engine::Resource;

/// Key of the process that walks an approval through its steps.
pub const QUOTE_APPROVAL: &str = "quote-approval";
/// Key of the process that fulfils an order.
pub const ORDER_FULFILLMENT: &str = "order-fulfillment";
/// The processes of this product.
pub const PROCESS_KEYS: [&str; 2] = [QUOTE_APPROVAL, ORDER_FULFILLMENT];
/// Name of the deployment that holds them; the engine compares new files with the newest deployment of it.
pub const DEPLOYMENT: &str = "cpq-streams";

const FILES: [(&str, &str); 3] = [
    ("quote-approval.bpmn", include_str!("../models/quote-approval.bpmn")),
    ("order-fulfillment.bpmn", include_str!("../models/order-fulfillment.bpmn")),
    // For people and their tools; the product evaluates the policy itself.
    ("approval-policy.dmn", include_str!("../models/approval-policy.dmn")),
];

/// The files.
pub fn resources() -> Vec<Resource> {
    FILES.iter().map(|(name, content)| Resource { name: (*name).to_owned(), content: (*content).to_owned() }).collect()
}
