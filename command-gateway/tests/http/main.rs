//! The API over the real router, Postgres and Redis, without a processor of its own unless a test plays one.
//! Files mirror URLs; what holds for every URL is in `judgement`, `auth`, `idempotency`, `limits`, `isolation`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod auth;
mod catalog;
mod check;
mod commit;
mod dead_letters;
mod idempotency;
mod isolation;
mod judgement;
mod limits;
mod orders;
mod preview;
mod quotes;
mod revisions;
mod snapshots;
mod support;
mod system;
mod tasks;
mod withdrawal;
