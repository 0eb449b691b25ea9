//! Brings a control-plane host to IAM sign-in, and back: look, plan, change, report.

pub mod apiserver;
pub mod certificates;
pub mod host;
pub mod render;
