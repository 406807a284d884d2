//! `/commands`.

pub mod get;
