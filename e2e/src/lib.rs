//! The product from outside: a small CRM client over real HTTP, the operator's command line, and the stack's
//! processes, as the demo, the drills, the benchmarks and the end-to-end tests use them.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod bench;
pub mod checker;
pub mod crm;
pub mod deal;
pub mod drill;
pub mod history;
pub mod hot;
pub mod load;
pub mod operator;
pub mod services;
pub mod settings;
pub mod truth;
