//! command-gateway
