//! cpq
