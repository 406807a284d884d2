//! `/catalog`.

pub mod offerings;
