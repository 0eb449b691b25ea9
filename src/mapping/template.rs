use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::InstanceId;
use crate::identity::Identity;

/// A user name or group with placeholders such as `{{SessionName}}`.
///
/// A clone shares the text.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Template(Arc<str>);

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Variable {
    /// The private DNS name of the EC2 instance that the session is named after.
    Ec2PrivateDnsName,
    /// The twelve digits of the account.
    AccountId,
    /// The session's name with `-` for every `@`. Empty for users and root.
    SessionName,
    /// The session's name.
    SessionNameRaw,
    /// The access key id that signed the token.
    AccessKeyId,
}

/// Why text is not a [`Template`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TemplateFault {
    #[error(
        "unknown template variable {0:?}: known are {{{{EC2PrivateDNSName}}}}, {{{{AccountID}}}}, \
         {{{{SessionName}}}}, {{{{SessionNameRaw}}}} and {{{{AccessKeyID}}}}, in this spelling"
    )]
    Unknown(Box<str>),
    #[error("a template may be {max} bytes long, not {0}", max = Template::MAX_LEN)]
    Length(usize),
}

/// Why a template cannot be rendered for a caller. Each is a denial.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RenderFault {
    #[error("the value of {0} holds a character that is not printable ASCII")]
    Character(Variable),
    #[error("the user name is empty")]
    Empty,
    #[error("a name is longer than {max} bytes", max = Template::MAX_RENDERED)]
    Length,
    #[error("the session name is not an EC2 instance id")]
    NotAnInstance,
    #[error("the private DNS name was not looked up")]
    PrivateDnsMissing,
    #[error("the user name begins with the reserved prefix {0:?}")]
    ReservedPrefix(Box<str>),
    #[error("a name begins with `system:` by way of a substituted value")]
    System,
}

impl Template {
    /// The longest template, in bytes: as long as the longest ARN.
    pub const MAX_LEN: usize = 2048;

    /// The longest name that a template may become, in bytes: the longest template with room for
    /// its values, so that a reply to the API server stays small.
    pub const MAX_RENDERED: usize = 4096;

    /// Text that was a template when it came.
    pub(super) fn known(text: &str) -> Self {
        Self(text.into())
    }

    /// The text as the file spelt it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no placeholder, so that everyone gets the same name.
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// Whether it is nothing but the session's name, which whoever assumes the role may choose.
    pub fn is_session_only(&self) -> bool {
        matches!(&*self.0, "{{SessionName}}" | "{{SessionNameRaw}}")
    }

    /// Whether it begins with a literal `system:` and lets the caller choose some of what follows.
    pub fn is_system_with_session(&self) -> bool {
        let chosen = [Variable::SessionName, Variable::SessionNameRaw];
        head(&self.0).starts_with(SYSTEM) && self.variables().any(|one| chosen.contains(&one))
    }

    /// Its placeholders, in order.
    pub fn variables(&self) -> impl Iterator<Item = Variable> {
        variables(&self.0)
    }
}

/// The placeholders of a template's text, in order.
pub(super) fn variables(text: &str) -> impl Iterator<Item = Variable> {
    Pieces(text).filter_map(|piece| match piece {
        Piece::Variable(variable) => Some(variable),
        Piece::Literal(_) | Piece::Unknown(_) => None,
    })
}

/// The name that `identity` gets by a template's text.
///
/// One pass: what a value holds is never looked at again.
pub(super) fn render(
    text: &str,
    identity: &Identity,
    private_dns: Option<&str>,
) -> Result<Box<str>, RenderFault> {
    let mut name = String::with_capacity(text.len());
    for piece in Pieces(text) {
        match piece {
            Piece::Literal(text) | Piece::Unknown(text) => name.push_str(text),
            Piece::Variable(variable) => variable.value(identity, private_dns, &mut name)?,
        }
        if name.len() > Template::MAX_RENDERED {
            return Err(RenderFault::Length);
        }
    }
    if name.starts_with(SYSTEM) && !head(text).starts_with(SYSTEM) {
        return Err(RenderFault::System);
    }
    Ok(name.into())
}

/// What stands before the first placeholder.
fn head(text: &str) -> &str {
    match Pieces(text).next() {
        Some(Piece::Literal(head)) => head,
        Some(Piece::Variable(_) | Piece::Unknown(_)) | None => "",
    }
}

impl Variable {
    const ALL: [Self; 5] = [
        Self::Ec2PrivateDnsName,
        Self::AccountId,
        Self::SessionName,
        Self::SessionNameRaw,
        Self::AccessKeyId,
    ];

    /// Its name between the braces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ec2PrivateDnsName => "EC2PrivateDNSName",
            Self::AccountId => "AccountID",
            Self::SessionName => "SessionName",
            Self::SessionNameRaw => "SessionNameRaw",
            Self::AccessKeyId => "AccessKeyID",
        }
    }

    fn value(
        self,
        identity: &Identity,
        private_dns: Option<&str>,
        name: &mut String,
    ) -> Result<(), RenderFault> {
        let text = match self {
            Self::Ec2PrivateDnsName => {
                InstanceId::of(identity).ok_or(RenderFault::NotAnInstance)?;
                private_dns
                    .filter(|found| !found.is_empty())
                    .ok_or(RenderFault::PrivateDnsMissing)?
            }
            Self::AccountId => identity.account.as_str(),
            Self::SessionName | Self::SessionNameRaw => &identity.session_name,
            Self::AccessKeyId => &identity.access_key_id,
        };
        // STS allows no others in session names; this is for the day that it does.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RenderFault::Character(self));
        }
        match self {
            Self::SessionName => {
                name.extend(text.chars().map(|c| if c == '@' { '-' } else { c }));
            }
            Self::Ec2PrivateDnsName
            | Self::AccountId
            | Self::SessionNameRaw
            | Self::AccessKeyId => name.push_str(text),
        }
        Ok(())
    }
}

impl InstanceId {
    /// The instance that the session is named after, as EC2 names the sessions of instances.
    pub fn of(identity: &Identity) -> Option<Self> {
        identity.session_name.parse().ok()
    }
}

impl FromStr for Template {
    type Err = TemplateFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_LEN {
            return Err(TemplateFault::Length(text.len()));
        }
        for piece in Pieces(text) {
            if let Piece::Unknown(variable) = piece {
                return Err(TemplateFault::Unknown(variable.chars().take(80).collect()));
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{}}}}}", self.as_str())
    }
}

/// The pieces of the text that is left.
struct Pieces<'a>(&'a str);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Piece<'a> {
    Literal(&'a str),
    Variable(Variable),
    /// With its braces. A [`Template`] has none.
    Unknown(&'a str),
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let text = self.0;
        let (piece, rest) = match first_placeholder(text) {
            None if text.is_empty() => return None,
            None => (Piece::Literal(text), ""),
            Some(("", placeholder, rest)) => (read(placeholder), rest),
            Some((before, ..)) => (Piece::Literal(before), text.get(before.len()..)?),
        };
        self.0 = rest;
        Some(piece)
    }
}

/// The first `}}` that has a `{{` before it, and the nearest such `{{`: what is before, the
/// placeholder with its braces, what is after. Lone braces are text.
fn first_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    // Most groups have none; preparing to search for two characters costs more than they are long.
    if !text.contains('{') {
        return None;
    }
    let from = text.find("{{")? + 2;
    let close = from + text.get(from..)?.find("}}")?;
    // The braces are one byte each, so these are character boundaries.
    let (inside, rest) = text.split_at_checked(close + 2)?;
    let open = inside.get(..close)?.rfind("{{")?;
    let (before, placeholder) = inside.split_at_checked(open)?;
    Some((before, placeholder, rest))
}

fn read(placeholder: &str) -> Piece<'_> {
    let name = placeholder.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let known = Variable::ALL.into_iter().find(|variable| Some(variable.as_str()) == name);
    known.map_or(Piece::Unknown(placeholder), Piece::Variable)
}

/// What Kubernetes keeps for its own users and groups.
const SYSTEM: &str = "system:";

#[cfg(test)]
mod tests;
