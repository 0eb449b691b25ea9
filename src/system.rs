//! The world as an argument: environment variables. Only [`ProcessEnvironment`] asks the process.

use std::collections::BTreeMap;

/// Environment variables.
pub trait Environment: Send + Sync {
    /// The variable's value; `None` when it is unset, **empty** or not UTF-8, which the programs of
    /// this field treat alike.
    fn var(&self, name: &str) -> Option<String>;
}

/// The process's own environment.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

/// A fixed set of variables.
impl Environment for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty()).cloned()
    }
}
