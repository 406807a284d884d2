//! Everything that is stored: the only crate with SQL, and with Redis.
//!
//! One file per table family. Callers get typed rows and never see a query; a transaction is a [`Tx`], which
//! knows its tenants. Redis is in `hints` and `cache`, and is never asked what is true.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod aggregates;
pub mod attempts;
pub mod cache;
pub mod commands;
pub mod db;
pub mod decisions;
pub mod evidence;
pub mod hints;
pub mod import;
pub mod lease;
pub mod notifications;
pub mod offerings;
pub mod operations;
pub mod outbox;
pub mod parked;
pub mod positions;
pub mod previews;
pub mod publication;
pub mod rate_limit;
pub mod reads;
pub mod reference;
pub mod schemas;
pub mod timers;
pub mod transitions;
pub mod views;
pub mod workflow;

pub use db::{Db, StoreError, SystemDb, Tx};
