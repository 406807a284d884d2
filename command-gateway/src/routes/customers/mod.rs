//! `/customers`.

pub mod timeline;
