/// `rolePattern` or `userPattern`: an ARN whose last field may hold `*` and `?`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArnPattern(Box<str>);

/// Why text is not an [`ArnPattern`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a pattern")]
pub struct PatternFault;

/// The role that IAM Identity Center made for a permission set in an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SsoRole(Box<str>);

/// Why an `sso` entry is not one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an sso entry")]
pub struct SsoFault;

impl PatternFault {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        "write a pattern"
    }
}

impl ArnPattern {
    /// A pattern for roles.
    ///
    /// # Errors
    /// It is none.
    pub fn role(text: &str) -> Result<Self, PatternFault> {
        text.starts_with("arn:").then(|| Self(text.into())).ok_or(PatternFault)
    }

    /// A pattern for users.
    ///
    /// # Errors
    /// It is none.
    pub fn user(text: &str) -> Result<Self, PatternFault> {
        Self::role(text)
    }
}

impl SsoRole {
    /// The role of a permission set in an account.
    ///
    /// # Errors
    /// One of them is not what it should be.
    pub fn new(
        permission_set: &str,
        account: &str,
        partition: Option<&str>,
    ) -> Result<Self, SsoFault> {
        let account: crate::identity::AccountId = account.parse().map_err(|_| SsoFault)?;
        if permission_set.is_empty() {
            return Err(SsoFault);
        }
        Ok(Self(format!("{} {account} {permission_set}", partition.unwrap_or("aws")).into()))
    }
}
