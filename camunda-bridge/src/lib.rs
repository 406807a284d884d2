//! camunda-bridge
