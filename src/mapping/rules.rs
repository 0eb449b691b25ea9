use std::num::NonZeroU32;

use super::{ArnPattern, RenderFault, SsoRole, Template, User};
use crate::identity::{AccountId, Arn, Identity};

/// One entry of `mapRoles` or `mapUsers`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    /// Whom it is about.
    pub who: Who,
    /// The user name to give.
    pub username: Template,
    /// The groups to give, in order.
    pub groups: Vec<Template>,
    /// The line of the file on which the entry begins, for `explain` and warnings.
    pub line: Option<NonZeroU32>,
}

/// Whom a mapping is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    /// One principal. A role's session stands for the role; a role's path may be there or not.
    Arn(Arn),
    /// `rolePattern` or `userPattern`.
    Pattern(ArnPattern),
    /// The role that IAM Identity Center made for a permission set.
    Sso(SsoRole),
}

/// Which list of the file an entry stands in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the variants are the file's keys")]
pub enum RuleKind {
    MapRoles,
    MapUsers,
    MapAccounts,
}

/// What [`Rules`] are made of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RulesInput {
    /// `mapRoles`, in the file's order.
    pub roles: Vec<Mapping>,
    /// `mapUsers`, in the file's order.
    pub users: Vec<Mapping>,
    /// `mapAccounts`.
    pub accounts: Vec<AccountId>,
    /// Prefixes that a rendered user name must not have (`reservedPrefixConfig`).
    pub reserved_prefixes: Vec<Box<str>>,
    /// Whether SSO entries take part (feature gate `SSORoleMatch`).
    pub sso: bool,
    /// Whether an SSO entry matches any suffix (`server.compat.anySSOSuffix`).
    pub any_sso_suffix: bool,
}

/// Who becomes whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules(RulesInput);

/// The rule that is about a caller.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Which list it stands in.
    pub kind: RuleKind,
    /// The entry; `None` for an account.
    pub mapping: Option<&'a Mapping>,
}

/// No rule is about the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("identity is not mapped")]
pub struct NotMapped;

impl Rules {
    /// Indexes the rules.
    pub fn new(input: RulesInput) -> Self {
        Self(input)
    }

    /// The rule that is about `identity`.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, _identity: &Identity) -> Result<Found<'_>, NotMapped> {
        Err(NotMapped)
    }

    /// How many rules there are: roles, users, accounts.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.0.roles.len(), self.0.users.len(), self.0.accounts.len())
    }
}

impl Found<'_> {
    /// Whether rendering needs `{{EC2PrivateDNSName}}`, which costs a call to EC2.
    pub fn needs_private_dns(&self) -> bool {
        false
    }

    /// The user that `identity` becomes.
    ///
    /// # Errors
    /// A template does not apply to this identity, or the rendered name is not allowed.
    pub fn render(
        &self,
        _identity: &Identity,
        _private_dns: Option<&str>,
    ) -> Result<User, RenderFault> {
        Err(RenderFault::PrivateDnsMissing)
    }
}
