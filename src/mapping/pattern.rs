/// `rolePattern` or `userPattern`: an ARN whose last field may hold `*` and `?`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArnPattern(Box<str>);

/// Why text is not an [`ArnPattern`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a pattern")]
pub struct PatternFault;

/// The role that IAM Identity Center made for a permission set in an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SsoRole(Box<str>);

/// Why an `sso` entry is not one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an sso entry")]
pub struct SsoFault;
