//! cli

pub(crate) mod explain;
