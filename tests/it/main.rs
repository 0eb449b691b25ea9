//! All integration tests, in one binary so that they link once.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "clippy's allow-in-tests stops at #[test] functions; helpers are tests too"
)]

mod architecture;
mod callers;
mod cli;
mod differential;
mod faces;
mod manifests;
mod one_spelling;
mod provision;
mod proxy;
mod readme;
mod reload;
mod rendered;
mod supervised;
mod support;
mod token_corpus;
mod vectors;
mod verify;
