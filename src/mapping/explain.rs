use super::rule::Rule;
use super::rules::{Asked, By, Sso};
use super::{ArnPattern, RenderFault, RuleKind, Rules, SsoRole, User, Who, sso};
use crate::identity::{AccountId, Arn, Identity, Partition, Principal};
use std::num::NonZeroU32;

/// Which rule is about a caller and why, and which rules nearly are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// The canonical ARN that rules are looked up by.
    pub canonical: Box<str>,
    /// The rule that decides; `None` when the caller is not mapped.
    pub winner: Option<Winner>,
    /// Other rules that are about this caller too, or look as if they were meant to be.
    /// Rules that are come first; at most [`Explanation::MAX_NEAR_MISSES`].
    pub near_misses: Vec<NearMiss>,
    /// How many near misses were left out.
    pub left_out: usize,
}

/// The rule that decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Winner {
    /// Where it stands.
    pub place: Place,
    /// Why it is about the caller.
    pub reason: Reason,
    /// Whether EC2 would be asked for `{{EC2PrivateDNSName}}`, which then stands for itself in
    /// `user`.
    pub asks_ec2: bool,
    /// What the caller becomes, or why it is denied all the same.
    pub user: Result<User, RenderFault>,
}

/// Where a rule stands in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// In which list.
    pub kind: RuleKind,
    /// At which place of it, from 0; `None` for an account.
    pub position: Option<usize>,
    /// On which line it begins, where that is known.
    pub line: Option<NonZeroU32>,
    /// Whom it is about: an ARN, a pattern, or an account.
    pub entry: Box<str>,
}

/// Why a rule is about the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the descriptions say it")]
pub enum Reason {
    Arn,
    ArnWithoutPath,
    PermissionSet,
    Pattern,
    Account,
}

/// A rule that does not decide, but nearly does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NearMiss {
    /// Where it stands.
    pub place: Place,
    /// What it has in common with the caller, and what not.
    pub likeness: Likeness,
}

/// What a rule has in common with the caller, and what not. In the order in which they are told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the descriptions say it")]
pub enum Likeness {
    Duplicate,
    LaterInOrder,
    SsoOff,
    SsoSuffix,
    OtherPath,
    OtherKind,
    OtherAccount,
    OtherPartition,
    PatternTooNarrow,
    CloseName,
}

impl Explanation {
    /// As many as fit on a screen.
    pub const MAX_NEAR_MISSES: usize = 10;
}

impl Reason {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Arn => "it names this principal",
            Self::ArnWithoutPath => "it names this role, but for the path, which STS never tells",
            Self::PermissionSet => "the role was made for this permission set",
            Self::Pattern => "the pattern fits, and no entry names the principal itself",
            Self::Account => "the account is listed, and no entry fits",
        }
    }
}

impl Likeness {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Duplicate => {
                "names the same principal, but of two such entries the later one wins"
            }
            Self::LaterInOrder => "fits too, but comes later in the order of rules",
            Self::SsoOff => "would fit, but SSO entries take no part (feature gate SSORoleMatch)",
            Self::SsoSuffix => {
                "is about this permission set's name, but the role's name does not end in the \
                 suffix that IAM Identity Center made"
            }
            Self::OtherPath => "has the same name under another path",
            Self::OtherKind => "has the same name, but is another kind of principal",
            Self::OtherAccount => "has the same name in another account",
            Self::OtherPartition => "has the same name in another partition",
            Self::PatternTooNarrow => "is a pattern that the name only contains",
            Self::CloseName => "has a name that differs in one or two characters",
        }
    }
}

/// Explains what `rules` make of `identity`. Nothing is asked of anyone.
///
/// Takes a time in proportion to the number of rules; for people, not for requests.
pub fn explain(rules: &Rules, identity: &Identity) -> Explanation {
    let asked = Asked::of(identity);
    let found = rules.find(identity).ok();
    let winner = found.map(|found| {
        let asks_ec2 = found.needs_private_dns();
        Winner {
            place: match (found.rule, found.hit) {
                (Some(rule), Some(hit)) => Place::of(found.kind, hit.position, rule),
                (None, _) | (_, None) => Place::account(identity.account),
            },
            reason: found.hit.map_or(Reason::Account, |hit| hit.by.into()),
            asks_ec2,
            user: found.render(identity, asks_ec2.then_some(PRIVATE_DNS)),
        }
    });
    let mut near_misses = Vec::new();
    for kind in [RuleKind::MapRoles, RuleKind::MapUsers] {
        for (position, entry) in rules.entries(kind).enumerate() {
            let Some(who) = entry.who() else { continue };
            let place = Place::of(kind, position, entry);
            if winner.as_ref().is_some_and(|winner| winner.place == place) {
                continue;
            }
            let likeness = match who.fits(&asked, rules.sso()) {
                Some(by) => Some(match &winner {
                    Some(winner) if winner.reason == by.into() && kind == winner.place.kind => {
                        twin(&who, &asked)
                    }
                    Some(_) | None => Likeness::LaterInOrder,
                }),
                None => likeness(&who, &asked, &identity.arn, rules.sso()),
            };
            near_misses.extend(likeness.map(|likeness| NearMiss { place, likeness }));
        }
    }
    let by_account = winner.as_ref().is_some_and(|winner| winner.reason == Reason::Account);
    if rules.has_account(identity.account) && !by_account {
        let place = Place::account(identity.account);
        near_misses.push(NearMiss { place, likeness: Likeness::LaterInOrder });
    }
    near_misses.sort_by_key(|miss| miss.likeness);
    let left_out = near_misses.len().saturating_sub(Explanation::MAX_NEAR_MISSES);
    near_misses.truncate(Explanation::MAX_NEAR_MISSES);
    Explanation { canonical: identity.arn.canonical(), winner, near_misses, left_out }
}

/// What an entry is to the winner that is about the caller for the same reason.
fn twin(who: &Who, asked: &Asked) -> Likeness {
    match who {
        Who::Arn(_) => Likeness::Duplicate,
        Who::Sso(role) if asked.is_made_for(role) => Likeness::Duplicate,
        // Where any suffix will do, the first permission set whose name fits decides.
        Who::Sso(_) | Who::Pattern(_) => Likeness::LaterInOrder,
    }
}

/// What an entry that does not fit has in common with the caller.
fn likeness(who: &Who, asked: &Asked, caller: &Arn, sso: Sso) -> Option<Likeness> {
    match who {
        Who::Arn(arn) => likeness_of_arn(arn, caller),
        Who::Pattern(pattern) => likeness_of_pattern(pattern, caller),
        Who::Sso(role) => likeness_of_sso(role, asked, caller, sso),
    }
}

fn likeness_of_arn(entry: &Arn, caller: &Arn) -> Option<Likeness> {
    let (ours, theirs) = (Name::of(entry), Name::of(caller));
    if ours.last.eq_ignore_ascii_case(theirs.last) {
        let elsewhere = elsewhere(entry.partition(), entry.account(), caller);
        return match (ours.kind == theirs.kind, elsewhere) {
            (true, Some(elsewhere)) => Some(elsewhere),
            (true, None) => Some(Likeness::OtherPath),
            (false, None) => Some(Likeness::OtherKind),
            (false, Some(_)) => None,
        };
    }
    let at_home = elsewhere(entry.partition(), entry.account(), caller).is_none();
    if ours.kind != theirs.kind || !at_home {
        return None;
    }
    let set = |name: Name<'_>| match sso::is_reserved(name.last) {
        true => name.last.rsplit_once('_').map(|(head, _)| head.to_ascii_lowercase()),
        false => None,
    };
    match (set(ours), set(theirs)) {
        (Some(ours), Some(theirs)) if ours == theirs => Some(Likeness::SsoSuffix),
        _ => is_close(ours.last, theirs.last).then_some(Likeness::CloseName),
    }
}

fn likeness_of_pattern(pattern: &ArnPattern, caller: &Arn) -> Option<Likeness> {
    let entry: Arn = pattern.as_str().parse().ok()?;
    let (ours, theirs) = (Name::of(&entry), Name::of(caller));
    let elsewhere = elsewhere(entry.partition(), entry.account(), caller);
    match (pattern.matches_name(theirs.whole), ours.kind == theirs.kind, elsewhere) {
        (true, true, Some(elsewhere)) => Some(elsewhere),
        (true, false, None) => Some(Likeness::OtherKind),
        (false, true, None) if pattern.within_name(theirs.whole) => {
            Some(Likeness::PatternTooNarrow)
        }
        _ => None,
    }
}

fn likeness_of_sso(role: &SsoRole, asked: &Asked, caller: &Arn, sso: Sso) -> Option<Likeness> {
    let Name { kind: Kind::Role, last: name, .. } = Name::of(caller) else { return None };
    if sso == Sso::Off && asked.is_made_for(role) {
        return Some(Likeness::SsoOff);
    }
    let elsewhere = elsewhere(role.partition(), role.account(), caller);
    let set = sso::permission_set_of(name);
    match (elsewhere, set) {
        (Some(elsewhere), Some(set)) => {
            set.eq_ignore_ascii_case(role.permission_set()).then_some(elsewhere)
        }
        (None, Some(set)) if is_close(set, role.permission_set()) => Some(Likeness::CloseName),
        (None, _) => role.begins(&asked.pathless).then_some(Likeness::SsoSuffix),
        (Some(_), None) => None,
    }
}

fn elsewhere(partition: Partition, account: AccountId, caller: &Arn) -> Option<Likeness> {
    if account != caller.account() {
        return Some(Likeness::OtherAccount);
    }
    (partition != caller.partition()).then_some(Likeness::OtherPartition)
}

/// One or two characters apart, and more alike than not.
fn is_close(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let apart = strsim::osa_distance(&one, &other);
    apart <= 2 && apart * 2 < one.len().min(other.len())
}

/// A principal's name, with its path and without.
#[derive(Clone, Copy)]
struct Name<'a> {
    kind: Kind,
    whole: &'a str,
    last: &'a str,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Role,
    User,
    FederatedUser,
    Root,
}

impl<'a> Name<'a> {
    fn of(arn: &'a Arn) -> Self {
        let (kind, whole) = match arn.principal() {
            Principal::Role { name } | Principal::AssumedRole { role: name, .. } => {
                (Kind::Role, &**name)
            }
            Principal::User { name } => (Kind::User, &**name),
            Principal::FederatedUser { name } => (Kind::FederatedUser, &**name),
            Principal::Root => (Kind::Root, "root"),
        };
        let last = whole.rsplit_once('/').map_or(whole, |(_, last)| last);
        Self { kind, whole: if kind == Kind::Role { last } else { whole }, last }
    }
}

impl Place {
    fn of(kind: RuleKind, position: usize, rule: Rule<'_>) -> Self {
        let entry = rule.whom().into();
        Self { kind, position: Some(position), line: rule.line(), entry }
    }

    fn account(account: AccountId) -> Self {
        let entry = account.as_str().into();
        Self { kind: RuleKind::MapAccounts, position: None, line: None, entry }
    }
}

impl From<By> for Reason {
    fn from(by: By) -> Self {
        match by {
            By::Arn => Self::Arn,
            By::ArnWithoutPath => Self::ArnWithoutPath,
            By::Sso => Self::PermissionSet,
            By::Pattern => Self::Pattern,
        }
    }
}

/// Stands for the name that EC2 would tell.
const PRIVATE_DNS: &str = "{{EC2PrivateDNSName}}";

#[cfg(test)]
mod tests;
