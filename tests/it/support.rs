//! What several tests share: a fixed moment, good tokens to spoil, a scripted STS.

pub(crate) mod script;
pub(crate) mod vector;
