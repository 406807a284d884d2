//! The command line on the real stack, as an operator calls it: a process, its answer, its exit code. Each test
//! has a database of its own, and topics or business keys of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod audit;
mod dlq;
mod import;
mod migrate;
mod notifications;
mod parked;
mod reconcile;
mod restore;
mod schemas;
mod support;
mod topics;
mod trace;
mod verify;
