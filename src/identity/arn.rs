use std::fmt;
use std::str::FromStr;

use super::{AccountId, Partition};

/// An IAM principal's name, taken apart, with its text as it came.
///
/// Source of the forms: IAM User Guide, "IAM identifiers".
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arn {
    text: Box<str>,
    partition: Partition,
    account: AccountId,
    principal: Principal,
}

/// What kinds of principal can sign a token.
///
/// A `name` keeps its IAM path, if it has one: `team/ann` for `user/team/ann`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the variants and fields are IAM's own words")]
pub enum Principal {
    AssumedRole { role: Box<str>, session: Box<str> },
    FederatedUser { name: Box<str> },
    Role { name: Box<str> },
    Root,
    User { name: Box<str> },
}

/// What mapping rules are written about: the lower-cased canonical ARN.
///
/// IAM names are unique without regard to case within an account, so lower-casing loses nothing.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subject(Box<str>);

/// Says which text was refused and what was wrong with it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{input:?} does not name an IAM principal: {fault}")]
pub struct ArnError {
    /// The refused text, cut to a length fit for a log line.
    pub input: Box<str>,
    /// What was wrong.
    pub fault: ArnFault,
}

/// What can be wrong with an ARN.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ArnFault {
    #[error("the account is not twelve digits")]
    Account,
    #[error("it holds a character that is not printable ASCII")]
    Character,
    #[error("it has {0} of the six `:`-separated fields")]
    Fields(usize),
    #[error("it is longer than {max} bytes", max = Arn::MAX_LEN)]
    Length,
    #[error("the principal has no name")]
    Name,
    #[error("the partition is not one this build knows")]
    Partition,
    #[error("the region field is not empty")]
    Region,
    #[error("no such kind of principal in that service")]
    Resource,
    #[error("it does not begin with `arn:`")]
    Scheme,
    #[error("an assumed-role ARN ends in a role and a session")]
    Session,
}

impl Arn {
    /// The longest ARN, in bytes (IAM and STS API references).
    pub const MAX_LEN: usize = 2048;

    /// The text as STS or the file spelt it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which AWS it is.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Whose principal it is.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Which principal of the account.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The canonical ARN: a session stands for the role that it assumed; all else is unchanged.
    pub fn canonical(&self) -> Box<str> {
        match &self.principal {
            Principal::AssumedRole { role, .. } => self.role(role),
            Principal::FederatedUser { .. }
            | Principal::Role { .. }
            | Principal::Root
            | Principal::User { .. } => self.text.clone(),
        }
    }

    /// What rules are looked up by.
    pub fn subject(&self) -> Subject {
        Subject::lower(self.canonical())
    }

    /// The subject of a role as STS names its sessions: without the IAM path, which STS never
    /// tells. `None` for anything but a role with a path.
    pub fn pathless_role(&self) -> Option<Subject> {
        let (Principal::Role { name: role } | Principal::AssumedRole { role, .. }) =
            &self.principal
        else {
            return None;
        };
        let (_, last) = role.rsplit_once('/')?;
        Some(Subject::lower(self.role(last)))
    }

    /// The ARN of a role of the same account.
    fn role(&self, name: &str) -> Box<str> {
        let (partition, account) = (self.partition.as_str(), self.account.as_str());
        ["arn:", partition, ":iam::", account, ":role/", name].concat().into()
    }
}

impl Subject {
    fn lower(mut arn: Box<str>) -> Self {
        arn.make_ascii_lowercase();
        Self(arn)
    }

    /// The lower-cased canonical ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|fault| ArnError { input: text.chars().take(80).collect(), fault })
    }
}

fn parse(text: &str) -> Result<Arn, ArnFault> {
    if text.len() > Arn::MAX_LEN {
        return Err(ArnFault::Length);
    }
    if !text.starts_with("arn:") {
        return Err(ArnFault::Scheme);
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ArnFault::Character);
    }
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = fields[..] else {
        return Err(ArnFault::Fields(fields.len()));
    };
    let partition = partition.parse().map_err(|_| ArnFault::Partition)?;
    let principal = principal(service, resource)?;
    if !region.is_empty() {
        return Err(ArnFault::Region);
    }
    let account = account.parse().map_err(|_| ArnFault::Account)?;
    Ok(Arn { text: text.into(), partition, account, principal })
}

fn principal(service: &str, resource: &str) -> Result<Principal, ArnFault> {
    let (kind, rest) = resource.split_once('/').unwrap_or((resource, ""));
    let name = |rest: &str| -> Result<Box<str>, ArnFault> {
        let named = !rest.is_empty() && rest.split('/').all(|part| !part.is_empty());
        if named { Ok(rest.into()) } else { Err(ArnFault::Name) }
    };
    Ok(match (service, kind) {
        ("iam", "root") if resource == "root" => Principal::Root,
        ("iam", "role") => Principal::Role { name: name(rest)? },
        ("iam", "user") => Principal::User { name: name(rest)? },
        ("sts", "federated-user") => Principal::FederatedUser { name: name(rest)? },
        ("sts", "assumed-role") => {
            let (role, session) = rest.rsplit_once('/').ok_or(ArnFault::Session)?;
            Principal::AssumedRole { role: name(role)?, session: name(session)? }
        }
        _ => return Err(ArnFault::Resource),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_judged_as_its_role() {
        let arn: Arn = "arn:aws:sts::123456789012:assumed-role/Admin/i-0abc".parse().unwrap();
        assert_eq!(&*arn.canonical(), "arn:aws:iam::123456789012:role/Admin");
        assert_eq!(arn.subject().as_str(), "arn:aws:iam::123456789012:role/admin");
        assert_eq!(arn.as_str(), "arn:aws:sts::123456789012:assumed-role/Admin/i-0abc");
    }

    #[test]
    fn everyone_else_is_judged_as_written() {
        for text in [
            "arn:aws:iam::123456789012:user/team/Ann",
            "arn:aws:iam::123456789012:role/Org/Team/Admin",
            "arn:aws:iam::123456789012:root",
            "arn:aws:sts::123456789012:federated-user/Bob",
            "arn:aws-iso-b:iam::123456789012:user/Alice",
        ] {
            assert_eq!(&*text.parse::<Arn>().unwrap().canonical(), text);
        }
    }

    #[test]
    fn only_a_role_with_a_path_has_a_pathless_form() {
        let pathless = |text: &str| text.parse::<Arn>().unwrap().pathless_role();
        let subject = pathless("arn:aws:iam::123456789012:role/Org/Team/Admin").unwrap();
        assert_eq!(subject.as_str(), "arn:aws:iam::123456789012:role/admin");
        assert_eq!(pathless("arn:aws:iam::123456789012:role/Admin"), None);
        assert_eq!(pathless("arn:aws:iam::123456789012:user/a/b"), None);
    }

    #[test]
    fn each_fault_is_the_one_that_is_named() {
        for (text, fault) in [
            ("", ArnFault::Scheme),
            ("arn", ArnFault::Scheme),
            ("urn:aws:iam::123456789012:root", ArnFault::Scheme),
            ("ARN:aws:iam::123456789012:root", ArnFault::Scheme),
            ("arn:aws:iam::123456789012", ArnFault::Fields(5)),
            ("arn:aws-x:iam::123456789012:root", ArnFault::Partition),
            ("arn::iam::123456789012:root", ArnFault::Partition),
            ("arn:aws:iam:us-east-1:123456789012:root", ArnFault::Region),
            ("arn:aws:iam::12345678901:root", ArnFault::Account),
            ("arn:aws:iam::12345678901x:root", ArnFault::Account),
            ("arn:aws:iam::1234567890123:root", ArnFault::Account),
            ("arn:aws:iam::*:role/x", ArnFault::Account),
            ("arn:aws:iam::123456789012:group/x", ArnFault::Resource),
            ("arn:aws:iam::123456789012:Role/x", ArnFault::Resource),
            ("arn:aws:iam::123456789012:root/x", ArnFault::Resource),
            ("arn:aws:iam::123456789012:assumed-role/a/b", ArnFault::Resource),
            ("arn:aws:sts::123456789012:role/a", ArnFault::Resource),
            ("arn:aws:ec2::123456789012:role/a", ArnFault::Resource),
            ("arn:aws:s3:::bucket", ArnFault::Resource),
            ("arn:aws:iam::123456789012:role", ArnFault::Name),
            ("arn:aws:iam::123456789012:role/", ArnFault::Name),
            ("arn:aws:iam::123456789012:role//x", ArnFault::Name),
            ("arn:aws:sts::123456789012:assumed-role//b", ArnFault::Name),
            ("arn:aws:sts::123456789012:assumed-role/a/", ArnFault::Name),
            ("arn:aws:sts::123456789012:assumed-role/only", ArnFault::Session),
            ("arn:aws:iam::123456789012:role/a b", ArnFault::Character),
            ("arn:aws:iam::123456789012:role/a\n", ArnFault::Character),
            ("arn:aws:iam::123456789012:user/ｒoot", ArnFault::Character),
        ] {
            assert_eq!(text.parse::<Arn>().unwrap_err().fault, fault, "{text:?}");
        }
    }

    #[test]
    fn an_arn_of_the_greatest_length_is_read_and_told_as_it_came() {
        let head = "arn:aws:iam::123456789012:user/";
        let text = format!("{head}{}", "a".repeat(Arn::MAX_LEN - head.len()));
        assert_eq!(text.parse::<Arn>().unwrap().to_string(), text);
        let longer = format!("{text}a").parse::<Arn>().unwrap_err();
        assert_eq!(longer.fault, ArnFault::Length);
    }

    #[test]
    fn the_message_is_one_short_printable_line() {
        let error = format!("arn:\n{}", "x".repeat(9_000)).parse::<Arn>().unwrap_err();
        assert_eq!(error.fault, ArnFault::Length);
        assert_eq!(error.to_string().lines().count(), 1);
        assert!(error.to_string().len() < 200, "{error}");
    }
}
