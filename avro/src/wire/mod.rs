//! The codec's core: JSON values to Avro binary and back, guided by compiled schemas. It knows Avro and
//! nothing of quotes or orders.
//!
//! JSON stands between the domain's types and the wire because apache-avro's own serde support neither
//! resolves ordinary decimals against a reader schema nor promotes unions; here a text decimal becomes
//! `bytes` and comes back with the digits that its kind has.

pub mod plan;
pub mod primitive;
pub mod read;
pub mod write;

#[cfg(test)]
mod tests;
