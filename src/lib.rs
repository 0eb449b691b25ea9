//! iamgate: AWS IAM sign-in for self-managed Kubernetes control planes.
//!
//! Arrows point at what a module may use; `tests/it/architecture.rs` holds the code to it.
//!
//! ```text
//!        main -- cli -- demo                     (wiring: may use all)
//!          +------+------+
//!   server   client   provision                    (adapters: tokio, hyper, rustls, files)
//!          |      |      |
//!   review  reload  sts  ec2  config              (one step out)
//!   metrics  log  keypair  trust  files
//!          +------+------+
//!       mapping        token                      (core: no async, no I/O, no wire format)
//!          +- identity . clock . secret . json +
//!   outcome . face . system                       (plain values that all may know)
//! ```

pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod ec2;
pub mod face;
pub mod files;
pub mod identity;
mod json;
pub mod keypair;
pub mod log;
pub mod mapping;
pub mod metrics;
pub mod outcome;
pub mod provision;
pub mod reload;
pub mod review;
pub mod secret;
pub mod server;
pub mod sts;
pub mod system;
pub mod token;
pub mod trust;
