//! Caller to Kubernetes user: rules, patterns, templates. Pure: no I/O, no wire formats.
//!
//! It does not read files, does not ask EC2 (it only says when that is needed), and does not judge
//! whether a file is wise: [`Template`] has what a lint needs.

mod explain;
mod index;
mod instance;
mod pattern;
mod rule;
mod rules;
mod sso;
mod template;
mod who;

pub use self::explain::{Explanation, Likeness, NearMiss, Place, Reason, Winner, explain};
pub use self::instance::{InstanceId, InstanceIdFault};
pub use self::pattern::{ArnPattern, PatternFault};
pub use self::rule::{Full, Mappings};
pub use self::rules::{Found, Mapping, NotMapped, RuleKind, Rules, RulesInput, Who};
pub use self::sso::{SsoFault, SsoRole};
pub use self::template::{RenderFault, Template, TemplateFault, Variable};

/// What the API server will be told about a caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// The user name.
    pub name: Box<str>,
    /// The groups, in the file's order.
    pub groups: Vec<Box<str>>,
}
