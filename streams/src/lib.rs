//! streams

pub mod document;
