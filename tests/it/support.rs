//! What several tests share: a fixed moment, good tokens to spoil, a scripted STS, whole reviews.

pub(crate) mod review;
pub(crate) mod script;
pub(crate) mod vector;

use std::path::PathBuf;

/// The binary under test: `IAMGATE_BIN`, or the one that cargo built beside the tests.
pub(crate) fn binary() -> PathBuf {
    let given = std::env::var_os("IAMGATE_BIN");
    let path = given.map_or_else(|| env!("CARGO_BIN_EXE_iamgate").into(), PathBuf::from);
    path.canonicalize().unwrap_or_else(|error| panic!("no binary at {}: {error}", path.display()))
}
