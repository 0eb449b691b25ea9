//! Caller to Kubernetes user: rules, patterns, templates. Pure: no I/O, no wire formats.

mod pattern;
mod rules;
mod template;

pub use self::pattern::{ArnPattern, PatternFault, SsoFault, SsoRole};
pub use self::rules::{Found, Mapping, NotMapped, RuleKind, Rules, RulesInput, Who};
pub use self::template::{RenderFault, Template, TemplateFault};

/// What the API server will be told about a caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// The user name.
    pub name: Box<str>,
    /// The groups, in the file's order.
    pub groups: Vec<Box<str>>,
}
