//! cli

#[allow(dead_code, reason = "main does not call it yet")]
pub(crate) mod config;
