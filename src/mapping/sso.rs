use std::fmt;

use super::instance::is_lower_hex;
use crate::identity::{AccountId, Arn, Partition, Principal, Subject};

/// The role that IAM Identity Center made for a permission set in an account:
/// `AWSReservedSSO_<permission set>_<16 hexadecimal digits>`.
///
/// Source: IAM Identity Center User Guide, "Referencing permission sets in resource policies".
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SsoRole {
    permission_set: Box<str>,
    account: AccountId,
    partition: Partition,
}

/// Why an `sso` entry is not one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SsoFault {
    #[error("an account id has twelve digits, and {0:?} has not")]
    Account(Box<str>),
    #[error("{0:?} is not an AWS partition")]
    Partition(Box<str>),
    #[error(
        "{0:?} is not the name of a permission set: 1 to 32 characters, letters, digits and _+=,.@-"
    )]
    PermissionSet(Box<str>),
}

impl SsoRole {
    /// The role of `permission_set` in `account`; without a `partition`, of the partition `aws`.
    ///
    /// # Errors
    /// One of the three is not what it should be.
    pub fn new(
        permission_set: &str,
        account: &str,
        partition: Option<&str>,
    ) -> Result<Self, SsoFault> {
        let account = account.parse().map_err(|_| SsoFault::Account(cut(account)))?;
        let partition = match partition {
            None => Partition::Aws,
            Some(name) => name.parse().map_err(|_| SsoFault::Partition(cut(name)))?,
        };
        let named = (1..=32).contains(&permission_set.len())
            && permission_set
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
        if !named {
            return Err(SsoFault::PermissionSet(cut(permission_set)));
        }
        Ok(Self { permission_set: permission_set.into(), account, partition })
    }

    /// The permission set, as the file spelt it.
    pub fn permission_set(&self) -> &str {
        &self.permission_set
    }

    /// The account that the role is in.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The partition that the role is in.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// What all such roles have before their suffix, as a subject to look up by.
    pub(super) fn stem(&self) -> Option<Subject> {
        stem(self.partition, self.account, &format!("{PREFIX}{}", self.permission_set))
    }

    /// Whether it is about `subject` when anything may follow the permission set's name.
    pub(super) fn begins(&self, subject: &Subject) -> bool {
        let rest = self.stem().and_then(|stem| {
            subject.as_str().strip_prefix(stem.as_str()).map(|rest| rest.starts_with('_'))
        });
        rest.unwrap_or(false)
    }
}

impl fmt::Display for SsoRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { permission_set, account, partition } = self;
        write!(f, "arn:{partition}:iam::{account}:role/{PREFIX}{permission_set}_*")
    }
}

/// The stem of the role that IAM Identity Center would have made under this very name; `None` for
/// any other principal.
pub(super) fn stem_of(arn: &Arn) -> Option<Subject> {
    let (Principal::Role { name } | Principal::AssumedRole { role: name, .. }) = arn.principal()
    else {
        return None;
    };
    let name = name.rsplit_once('/').map_or(&**name, |(_, last)| last);
    let set = permission_set_of(name)?;
    stem(arn.partition(), arn.account(), &format!("{PREFIX}{set}"))
}

/// The permission set that a role of this name was made for.
pub(super) fn permission_set_of(name: &str) -> Option<&str> {
    let (head, suffix) = name.rsplit_once('_')?;
    let made = suffix.len() == SUFFIX_LEN && suffix.bytes().all(is_lower_hex);
    if made && is_reserved(head) { head.get(PREFIX.len()..) } else { None }
}

/// Whether a role name has the prefix of IAM Identity Center.
pub(super) fn is_reserved(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
}

fn stem(partition: Partition, account: AccountId, name: &str) -> Option<Subject> {
    let arn = format!("arn:{partition}:iam::{account}:role/{name}").parse::<Arn>();
    arn.ok().map(|arn| arn.subject())
}

fn cut(text: &str) -> Box<str> {
    text.chars().take(80).collect()
}

const PREFIX: &str = "AWSReservedSSO_";
/// The digits that IAM Identity Center puts after the permission set's name.
const SUFFIX_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn stem_of(text: &str) -> Option<Subject> {
        super::stem_of(&text.parse().unwrap())
    }

    #[test]
    fn a_made_role_is_known_by_its_suffix() {
        let entry = SsoRole::new("View", "123456789012", None).unwrap();
        for (arn, same) in [
            ("arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdef", true),
            ("arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/a", true),
            ("arn:aws:iam::123456789012:role/awsreservedsso_VIEW_0123456789abcdef", true),
            (
                "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-west-1/\
                 AWSReservedSSO_View_0123456789abcdef",
                true,
            ),
            ("arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789ABCDEF", false),
            ("arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcde", false),
            ("arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdef0", false),
            ("arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdeg", false),
            ("arn:aws:iam::123456789012:role/AWSReservedSSO_View_Only_0123456789abcdef", false),
            ("arn:aws:iam::123456789012:role/AWSReservedSSO_View", false),
            ("arn:aws:iam::123456789012:role/xAWSReservedSSO_View_0123456789abcdef", false),
            ("arn:aws:iam::123456789012:role/AWSReservedSAML_View_0123456789abcdef", false),
            ("arn:aws:iam::123456789012:role/AWSReservedSSO-View_0123456789abcdef", false),
            ("arn:aws:iam::123456789012:role/AWSReservedSSO__View_0123456789abcdef", false),
            ("arn:aws:iam::123456789012:role/View_0123456789abcdef", false),
            ("arn:aws:iam::210987654321:role/AWSReservedSSO_View_0123456789abcdef", false),
            ("arn:aws-cn:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdef", false),
            ("arn:aws:iam::123456789012:user/AWSReservedSSO_View_0123456789abcdef", false),
        ] {
            assert_eq!(stem_of(arn) == entry.stem(), same, "{arn}");
        }
    }

    #[test]
    fn every_partition_has_permission_sets() {
        for partition in Partition::ALL {
            let entry = SsoRole::new("A.b@c", "012345678901", Some(partition.as_str())).unwrap();
            let arn =
                format!("arn:{partition}:iam::012345678901:role/AWSReservedSSO_A.b@c_{:016x}", 7);
            assert_eq!(stem_of(&arn), entry.stem(), "{arn}");
            assert!(entry.stem().is_some());
        }
    }

    #[test]
    fn each_fault_is_the_one_that_is_named() {
        let account = "123456789012";
        let long = "a".repeat(33);
        for (set, account, partition, fault) in [
            ("View", "1234567890", None, SsoFault::Account("1234567890".into())),
            ("View", "*", None, SsoFault::Account("*".into())),
            ("View", account, Some("aws-nk"), SsoFault::Partition("aws-nk".into())),
            ("View", account, Some(""), SsoFault::Partition("".into())),
            ("", account, None, SsoFault::PermissionSet("".into())),
            ("View*", account, None, SsoFault::PermissionSet("View*".into())),
            ("a/b", account, None, SsoFault::PermissionSet("a/b".into())),
            ("Vïew", account, None, SsoFault::PermissionSet("Vïew".into())),
            (&long, account, None, SsoFault::PermissionSet(long.as_str().into())),
        ] {
            assert_eq!(SsoRole::new(set, account, partition), Err(fault), "{set} {account}");
        }
    }
}
