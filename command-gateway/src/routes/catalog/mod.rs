//! `/catalog`.

pub mod offerings;
pub mod versions;
