//! The product from outside: a small CRM client over real HTTP, and the operator's command line, as the demo
//! and the end-to-end tests use them.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod crm;
pub mod deal;
pub mod operator;
