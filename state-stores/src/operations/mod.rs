//! What operators ask the store, and the few things they change in it. Reads span tenants (`Db::begin_system`)
//! and are paged or bounded; what they mean is the command line's matter.

pub mod backlog;
pub mod ledger;
pub mod migration;
pub mod parked;
pub mod proofs;
pub mod rebuild;
pub mod schemas;
pub mod shadow;
pub mod story;
pub mod swap;
pub mod tenants;
