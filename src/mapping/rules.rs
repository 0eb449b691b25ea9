use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::index::Index;
use super::rule::{Kept, Rule};
use super::template::{render, variables};
use super::{ArnPattern, Mappings, RenderFault, SsoRole, Template, User, Variable, sso};
use crate::identity::{AccountId, Arn, Identity, Subject};

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
    pub roles: Mappings,
    /// `mapUsers`, in the file's order.
    pub users: Mappings,
    /// `mapAccounts`.
    pub accounts: Vec<AccountId>,
    /// Prefixes that a rendered user name must not have (`reservedPrefixConfig`).
    pub reserved_prefixes: Vec<Box<str>>,
    /// Whether SSO entries take part (feature gate `SSORoleMatch`).
    pub sso: bool,
    /// Whether anything may follow the permission set's name in a role's name, as in the
    /// reference. Off, only what IAM Identity Center makes: 16 hexadecimal digits.
    pub any_sso_suffix: bool,
}

/// Who becomes whom.
///
/// The order, whatever the order of the file: `mapRoles`, `mapUsers`, `mapAccounts`. Within a list:
/// 1. the entry with the caller's ARN, letter case aside; of two, the later;
/// 2. for roles, the entry that has it when its path is left out, as STS leaves it out; of two,
///    the later;
/// 3. the SSO entry; of two for one permission set, the later;
/// 4. the first pattern that fits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules {
    roles: List,
    users: List,
    accounts: BTreeSet<AccountId>,
    reserved_prefixes: Box<[Box<str>]>,
    sso: Sso,
}

/// The rule that is about a caller.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Which list it stands in.
    pub kind: RuleKind,
    /// The entry; `None` for an account.
    pub(super) rule: Option<Rule<'a>>,
    /// By what the entry was found, and where it stands in its list; `None` for an account.
    pub(super) hit: Option<Hit>,
    reserved_prefixes: &'a [Box<str>],
}

/// By what an entry was found, and where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hit {
    pub(super) by: By,
    pub(super) position: usize,
}

/// By what an entry was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum By {
    Arn,
    ArnWithoutPath,
    Sso,
    Pattern,
}

/// No rule is about the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("identity is not mapped")]
pub struct NotMapped;

/// How SSO entries take part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sso {
    Off,
    MadeSuffix,
    AnySuffix,
}

impl Rules {
    /// Indexes the rules.
    pub fn new(input: RulesInput) -> Self {
        let RulesInput { roles, users, accounts, reserved_prefixes, sso, any_sso_suffix } = input;
        Self {
            roles: List::new(roles.finish()),
            users: List::new(users.finish()),
            accounts: accounts.into_iter().collect(),
            reserved_prefixes: reserved_prefixes.into(),
            sso: match (sso, any_sso_suffix) {
                (false, _) => Sso::Off,
                (true, false) => Sso::MadeSuffix,
                (true, true) => Sso::AnySuffix,
            },
        }
    }

    /// The rule that is about `identity`: always the same one, found in a time that does not
    /// depend on how many ARNs are listed (patterns are tried one by one).
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, identity: &Identity) -> Result<Found<'_>, NotMapped> {
        let asked = Asked::of(identity);
        let lists = [(RuleKind::MapRoles, &self.roles), (RuleKind::MapUsers, &self.users)];
        // Who is named comes before who is only described, whichever list it stands in.
        for step in [List::named, List::described] {
            for (kind, list) in lists {
                if let Some(hit) = step(list, &asked, self.sso) {
                    return Ok(self.found(kind, list.entries.get(hit.position), Some(hit)));
                }
            }
        }
        match self.accounts.contains(&identity.account) {
            true => Ok(self.found(RuleKind::MapAccounts, None, None)),
            false => Err(NotMapped),
        }
    }

    /// How many rules there are: roles, users, accounts.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.roles.entries.len(), self.users.entries.len(), self.accounts.len())
    }

    /// Whether SSO entries are there but take no part.
    pub fn leaves_sso_out(&self) -> bool {
        self.sso == Sso::Off && !self.roles.sso.is_empty()
    }

    /// Every entry of `kind`, in the file's order: whom it is about, the user name, the groups.
    /// None for accounts, which have neither.
    pub fn listed(&self, kind: RuleKind) -> impl Iterator<Item = (String, &str, String)> {
        self.entries(kind).map(Rule::told)
    }

    /// The listed accounts.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.accounts.iter().copied()
    }

    pub(super) fn entries(&self, kind: RuleKind) -> impl Iterator<Item = Rule<'_>> {
        let list = match kind {
            RuleKind::MapRoles => Some(&self.roles),
            RuleKind::MapUsers => Some(&self.users),
            RuleKind::MapAccounts => None,
        };
        list.into_iter().flat_map(|list| list.entries.iter())
    }

    pub(super) fn sso(&self) -> Sso {
        self.sso
    }

    pub(super) fn has_account(&self, account: AccountId) -> bool {
        self.accounts.contains(&account)
    }

    fn found<'a>(&'a self, kind: RuleKind, rule: Option<Rule<'a>>, hit: Option<Hit>) -> Found<'a> {
        Found { kind, rule, hit, reserved_prefixes: &self.reserved_prefixes }
    }
}

impl Found<'_> {
    /// Whether rendering needs `{{EC2PrivateDNSName}}`, which costs a call to EC2.
    pub fn needs_private_dns(&self) -> bool {
        let templates = self.rule.into_iter();
        let mut templates =
            templates.flat_map(|rule| std::iter::once(rule.username()).chain(rule.groups()));
        let is_dns = |variable| variable == Variable::Ec2PrivateDnsName;
        templates.any(|text| variables(text).any(is_dns))
    }

    /// The user that `identity` becomes.
    ///
    /// A listed account's callers are named by their canonical ARN, have no groups, and are not
    /// held against the reserved prefixes.
    ///
    /// # Errors
    /// A template does not apply to this identity, or the rendered name is not allowed.
    pub fn render(
        &self,
        identity: &Identity,
        private_dns: Option<&str>,
    ) -> Result<User, RenderFault> {
        let Some(rule) = self.rule else {
            return Ok(User { name: identity.arn.canonical(), groups: Vec::new() });
        };
        let name = render(rule.username(), identity, private_dns)?;
        if name.is_empty() {
            return Err(RenderFault::Empty);
        }
        let groups = rule.groups().map(|group| render(group, identity, private_dns));
        let groups = groups.collect::<Result<_, _>>()?;
        let mut prefixes = self.reserved_prefixes.iter().filter(|prefix| !prefix.is_empty());
        match prefixes.find(|prefix| name.starts_with(&***prefix)) {
            Some(prefix) => Err(RenderFault::ReservedPrefix(prefix.clone())),
            None => Ok(User { name, groups }),
        }
    }
}

/// What a caller is looked up by.
pub(super) struct Asked {
    /// The canonical ARN.
    pub(super) subject: Subject,
    /// The same without its path; the subject itself if it has none. Role names are unique in an
    /// account (IAM User Guide, "IAM identifiers"), so both name the same role.
    pub(super) pathless: Subject,
    pub(super) has_path: bool,
    stem: Option<Subject>,
}

impl Asked {
    pub(super) fn of(identity: &Identity) -> Self {
        let subject = identity.arn.subject();
        let pathless = identity.arn.pathless_role();
        Self {
            has_path: pathless.is_some(),
            pathless: pathless.unwrap_or_else(|| subject.clone()),
            subject,
            stem: sso::stem_of(&identity.arn),
        }
    }

    /// Whether IAM Identity Center would give the caller's name to `role`.
    pub(super) fn is_made_for(&self, role: &SsoRole) -> bool {
        self.stem.is_some() && self.stem == role.stem()
    }
}

/// One list of the file with its indices.
#[derive(Clone, Debug)]
struct List {
    entries: Kept,
    by_subject: Index,
    by_pathless: Index,
    by_stem: Index,
    sso: Box<[usize]>,
    patterns: Box<[usize]>,
}

impl List {
    fn new(entries: Kept) -> Self {
        let index = |key: Key| Index::new(entries.len(), |at| entries.get(at).and_then(key));
        let positions = |wanted: fn(Rule<'_>) -> bool| {
            let all = entries.iter().enumerate();
            all.filter(|(_, entry)| wanted(*entry)).map(|(at, _)| at).collect()
        };
        Self {
            by_subject: index(SUBJECT),
            by_pathless: index(PATHLESS),
            by_stem: index(STEM),
            sso: positions(|rule| rule.sso().is_some()),
            patterns: positions(|rule| rule.pattern().is_some()),
            entries,
        }
    }

    /// The entry with the caller's ARN.
    fn named(&self, asked: &Asked, _: Sso) -> Option<Hit> {
        let exact = self.by_subject.find(&asked.subject, self.keys(SUBJECT));
        exact
            .map(|position| Hit { by: By::Arn, position })
            .or_else(|| Some(Hit { by: By::ArnWithoutPath, position: self.without_path(asked)? }))
    }

    /// The permission set or the pattern that the caller fits.
    fn described(&self, asked: &Asked, sso: Sso) -> Option<Hit> {
        self.permission_set(asked, sso)
            .map(|position| Hit { by: By::Sso, position })
            .or_else(|| Some(Hit { by: By::Pattern, position: self.pattern(asked)? }))
    }

    /// A caller with a path is not taken for an entry with another path: STS tells none, so there
    /// is nothing that such a pair could mean.
    fn without_path(&self, asked: &Asked) -> Option<usize> {
        match asked.has_path {
            true => self.by_subject.find(&asked.pathless, self.keys(SUBJECT)),
            false => self.by_pathless.find(&asked.pathless, self.keys(PATHLESS)),
        }
    }

    fn permission_set(&self, asked: &Asked, sso: Sso) -> Option<usize> {
        if sso == Sso::Off {
            return None;
        }
        let made = asked.stem.as_ref();
        let made = made.and_then(|stem| self.by_stem.find(stem, self.keys(STEM)));
        match sso {
            Sso::AnySuffix if made.is_none() => {
                let begins = |role: &SsoRole| role.begins(&asked.pathless);
                self.first(&self.sso, |rule| rule.sso().is_some_and(begins))
            }
            Sso::AnySuffix | Sso::MadeSuffix | Sso::Off => made,
        }
    }

    fn pattern(&self, asked: &Asked) -> Option<usize> {
        let matches = |pattern: &ArnPattern| pattern.matches(&asked.pathless);
        self.first(&self.patterns, |rule| rule.pattern().is_some_and(matches))
    }

    fn first(&self, positions: &[usize], fits: impl Fn(Rule<'_>) -> bool) -> Option<usize> {
        positions.iter().copied().find(|at| self.entries.get(*at).is_some_and(&fits))
    }

    fn keys(&self, key: Key) -> impl Fn(usize) -> Option<Subject> {
        move |at| self.entries.get(at).and_then(key)
    }
}

/// What an index finds an entry by.
type Key = fn(Rule<'_>) -> Option<Subject>;

const SUBJECT: Key = |rule| rule.subject();
const PATHLESS: Key = |rule| rule.pathless();
const STEM: Key = |rule| rule.stem();

/// The indices follow from the entries.
impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for List {}

#[cfg(test)]
mod tests;
