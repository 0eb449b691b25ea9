//! All that can be wrong with a configuration, or doubtful about it: messages and cures.
//!
//! Messages say what was expected, in the words that programs sharing the file use where they have
//! some.

use std::fmt;
use std::ops::RangeInclusive;

use super::tree::Kind;
use crate::identity::{ArnError, ClusterIdError, Partition, PartitionError};
use crate::mapping::{PatternFault, SsoFault, TemplateFault};
use crate::token::TokenAgeError;

/// Text from outside, cut and escaped for a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Quoted(Box<str>);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("{0}")]
    Age(TokenAgeError),
    /// A doubt that `--strict` refuses.
    #[error("{0}")]
    Doubtful(Doubt),
    #[error("{0}")]
    Arn(ArnError),
    #[error("backend {0} is not part of this version")]
    BackendAbsent(&'static str),
    #[error("backend-mode {0} is listed twice")]
    BackendTwice(Quoted),
    #[error("backend-mode {0} is not a valid mode")]
    BackendUnknown(Quoted),
    #[error("at least one backend-mode must be specified")]
    BackendNone,
    #[error("a file that switches backend modes is not part of this version")]
    BackendSwitch,
    #[error("expected true or false, found {0}")]
    Bool(Quoted),
    #[error("{0}")]
    ClusterId(ClusterIdError),
    #[error("{0} cluster IDs are accepted; at most {max} may be, for each costs a call to STS", max = super::MOST_CLUSTER_IDS)]
    ClusterIds(usize),
    #[error("nested deeper than {max} levels", max = super::tree::MOST_DEPTH)]
    Deep,
    #[error("a second document begins here; a configuration is one document")]
    Documents,
    #[error("expected {}, found {found}", DurationRange(.range))]
    Duration { found: Quoted, range: RangeInclusive<u64> },
    #[error("key {key} is there already, on line {line}; case does not matter in keys")]
    DuplicateKey { key: Quoted, line: u32 },
    #[error("dynamicfile is not set in backend-mode but dynamicfilepath is set")]
    DynamicFileMode,
    #[error("dynamicfile is set in backend-mode but dynamicfilepath is not set")]
    DynamicFilePath,
    #[error("must not be empty")]
    Empty,
    #[error(
        "unsupported config type {0}; expected a name that ends in .yaml, .yml, .json or .toml"
    )]
    Extension(Quoted),
    #[error("expected a host name in lower case, without scheme and port, found {0}")]
    Host(Quoted),
    #[error("expected an IP address, found {0}")]
    Ip(Quoted),
    #[error("a key must be plain text")]
    KeyNotText,
    #[error("it holds {0} bytes; at most {max} are read", max = super::Document::MAX_LEN)]
    Large(usize),
    #[error("expected a mapping or a list of mappings after `<<`")]
    Merge,
    #[error("more than {max} values, aliases counted as often as they are used", max = super::tree::MOST_NODES)]
    Nodes,
    #[error("{0} is not a valid arn")]
    NotArn(Quoted),
    #[error("expected a whole number from {} to {}, found {found}", .range.start(), .range.end())]
    Number { found: Quoted, range: RangeInclusive<u64> },
    #[error("{0}")]
    Partition(PartitionError),
    #[error("{0}")]
    Pattern(PatternFault),
    #[error("expected a region such as us-west-2, found {0}")]
    Region(Quoted),
    #[error("one of rolearn or SSO must be supplied")]
    RoleMissing,
    #[error("only one of rolearn or SSO can be supplied")]
    RoleTwice,
    #[error("an anchor's own content cannot refer to it")]
    SelfAlias,
    #[error("expected {expected}, found {found}")]
    Shape { expected: &'static str, found: Kind },
    #[error("expected an IP address and a port such as 127.0.0.1:21363, found {0}")]
    Socket(Quoted),
    #[error("{0}")]
    Sso(SsoFault),
    #[error("{0}")]
    Syntax(Box<str>),
    #[error("tag {0} has no meaning here")]
    Tag(Quoted),
    #[error("{0}")]
    Template(TemplateFault),
    #[error("value for userarn must be supplied")]
    UserMissing,
    #[error("only one of userarn or userPattern can be supplied")]
    UserTwice,
    #[error("not UTF-8")]
    Utf8,
}

/// Why an entry maps nobody, ever.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Never {
    #[error("the account is not twelve digits")]
    Account,
    #[error("it holds a character that no ARN holds")]
    Character,
    #[error("it is longer than any ARN")]
    Length,
    #[error("the principal has no name")]
    Name,
    #[error("the region field is not empty")]
    Region,
    #[error("`*` and `?` are literal here")]
    Star,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Doubt {
    #[error("backend-mode {old:?} is deprecated, use {new:?} instead")]
    BackendDeprecated { old: &'static str, new: &'static str },
    #[error("a burst of 0 would let no call through; 1 is used")]
    Burst,
    #[error("an empty group is left out")]
    EmptyGroup,
    #[error("the user name is empty, so nobody who is mapped here is let in")]
    EmptyUsername,
    #[error("group system:masters bypasses RBAC and cannot be taken back by it")]
    Masters,
    #[error("this can never match: {0}")]
    Never(Never),
    #[error("nobody is mapped: mapRoles, mapUsers and mapAccounts hold no usable entry")]
    Nobody,
    #[error("has no effect in a file")]
    NoEffect,
    #[error("{0} is not a region of partition {1}")]
    OtherPartition(Quoted, Partition),
    #[error("maps the same principal as line {0}; this later entry wins")]
    Repeated(u32),
    #[error("no backend is called {0}, so these prefixes are not used")]
    ReservedFor(Quoted),
    #[error("has the same last element as the role on line {0}, and STS never tells a role's path")]
    SameLastElement(u32),
    #[error("the caller chooses this whole group")]
    SessionGroup,
    #[error("the caller chooses this whole user name")]
    SessionOnly,
    #[error("SSO entries take no part: the feature gate SSORoleMatch is not set")]
    SsoOff,
    #[error("the caller chooses part of a name that begins with `system:`")]
    SystemWithSession,
    #[error("unknown key{}", Suggestion(.0.as_deref()))]
    UnknownKey(Option<Box<str>>),
}

struct Suggestion<'a>(Option<&'a str>);
struct DurationRange<'a>(&'a RangeInclusive<u64>);

impl Wrong {
    /// What the person can do about it, where the message does not say so itself.
    pub(super) fn cure(&self) -> Option<&'static str> {
        match self {
            Self::Age(_) => None,
            Self::Doubtful(doubt) => doubt.cure(),
            Self::Arn(_) => Some("write the ARN as IAM shows it"),
            Self::BackendAbsent(_) => Some("use MountedFile"),
            Self::BackendTwice(_) => Some("name each mode once"),
            Self::BackendUnknown(_) => {
                Some("known are MountedFile, EKSConfigMap, CRD, DynamicFile")
            }
            Self::BackendNone => Some("use MountedFile"),
            Self::BackendSwitch => Some("remove the key and set server.backendMode"),
            Self::Bool(_) => Some("write true or false"),
            Self::ClusterId(ClusterIdError::Empty) => Some("set clusterID, or give --cluster-id"),
            Self::ClusterId(_) => None,
            Self::ClusterIds(_) => Some("remove those that no client uses"),
            Self::Deep => Some("flatten it"),
            Self::Documents => Some("remove it"),
            Self::Duration { .. } => Some("write it as 4s, 500ms or 4"),
            Self::DuplicateKey { .. } => Some("keep one of them"),
            Self::DynamicFileMode => Some("remove server.dynamicfilepath"),
            Self::DynamicFilePath => Some("set server.dynamicfilepath"),
            Self::Empty => Some("write a value, or remove the key"),
            Self::Extension(_) => Some("rename the file"),
            Self::Host(_) => Some("write it as sts.us-west-2.amazonaws.com"),
            Self::Ip(_) => Some("write it as 127.0.0.1"),
            Self::KeyNotText => None,
            Self::Large(_) => Some("use rolePattern or sso entries that cover many roles"),
            Self::Merge => None,
            Self::Nodes => Some("write fewer aliases"),
            Self::NotArn(_) => Some("write it as arn:aws:iam::111122223333:role/name"),
            Self::Number { .. } => Some("write it in decimal, without leading zeros"),
            Self::Partition(_) | Self::Region(_) => None,
            Self::Pattern(fault) => Some(fault.hint()),
            Self::RoleMissing => Some("give one of roleARN, rolePattern and sso"),
            Self::RoleTwice => Some("keep one of roleARN, rolePattern and sso"),
            Self::SelfAlias => None,
            Self::Shape { .. } => None,
            Self::Socket(_) => None,
            Self::Sso(_) => None,
            Self::Syntax(_) => None,
            Self::Tag(_) => Some("remove it"),
            Self::Template(_) => None,
            Self::UserMissing => Some("give one of userARN and userPattern"),
            Self::UserTwice => Some("keep one of them"),
            Self::Utf8 => Some("save the file as UTF-8"),
        }
    }
}

impl Doubt {
    /// Whether `--strict` refuses it.
    pub(super) fn is_strict(&self) -> bool {
        matches!(self, Self::UnknownKey(_) | Self::Repeated(_))
    }

    /// What the person can do about it, where the message does not say so itself.
    pub(super) fn cure(&self) -> Option<&'static str> {
        match self {
            Self::BackendDeprecated { .. }
            | Self::Burst
            | Self::EmptyGroup
            | Self::OtherPartition(..)
            | Self::UnknownKey(_) => None,
            Self::EmptyUsername => Some("set username"),
            Self::Masters => Some("bind a group of your own to a ClusterRole"),
            Self::Never(Never::Star) => Some("write rolePattern or userPattern for a pattern"),
            Self::Never(Never::Account) => Some("quote account ids, so that no zero is lost"),
            Self::Never(_) => Some("write the ARN as IAM shows it"),
            Self::Nobody => Some("add an entry under server"),
            Self::NoEffect => Some("give the flag"),
            Self::Repeated(_) => Some("remove one of them"),
            Self::ReservedFor(_) => Some("known are MountedFile, EKSConfigMap, CRD, DynamicFile"),
            Self::SameLastElement(_) => Some("write the role that is there without its path"),
            Self::SessionGroup | Self::SessionOnly => Some("put a literal prefix before it"),
            Self::SystemWithSession => {
                Some("leave the session's name out, or begin with a prefix of your own")
            }
            Self::SsoOff => Some("give --feature-gates=SSORoleMatch=true"),
        }
    }
}

impl Quoted {
    pub(super) fn new(text: &str) -> Self {
        let mut cut: String = text.chars().take(MOST_QUOTED).collect();
        if cut.len() < text.len() {
            cut.push('…');
        }
        Self(cut.into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(known) => write!(f, "; did you mean {known}?"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for DurationRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.0.start(), self.0.end() / 1_000);
        match least % 1_000 {
            0 => write!(f, "a duration from {}s to {most}s", least / 1_000),
            _ => write!(f, "a duration from {least}ms to {most}s"),
        }
    }
}

/// The longest quotation of what a file or flag says, in characters: fit for a log line.
pub(super) const MOST_QUOTED: usize = 80;
