//! The life of quotes and orders, as sentences: every rule is a line "given, command, outcome" that one `check`
//! per aggregate plays through `decide` and `evolve`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod closing;
mod diffing;
mod matrix;
mod order_rules;
mod orders;
mod properties;
mod quote_rules;
mod quotes;
mod revising;
mod views;
mod world;
