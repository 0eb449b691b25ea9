//! cli

pub(crate) mod token;
