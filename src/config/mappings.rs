//! `mapRoles`, `mapUsers`, `mapAccounts`: entries to rules' input, and what is odd about them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::num::NonZeroU32;

use super::fault::{At, Doubt, Findings, Never, Path, Wrong};
use super::keys::{Key, MAP_ROLES, MAP_USERS, SSO};
use super::section::{Section, Text};
use super::tree::{Node, Place};
use crate::identity::{AccountId, Arn, ArnFault, Partition, Principal};
use crate::mapping::{ArnPattern, Full, Mapping, Mappings, SsoRole, Template, Who};

/// Which list of mappings is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum List {
    Roles,
    Users,
}

/// The entries of one list that have been read so far: a whole list need never be there as nodes.
#[derive(Default)]
pub(super) struct Pile {
    mappings: Mappings,
    /// As many as mappings, without entries that can never match.
    stands: Vec<Stand>,
    entries: u32,
}

/// What a server's file holds in both lists.
#[derive(Default)]
pub(super) struct Piles {
    roles: Pile,
    users: Pile,
}

/// `server.mapRoles`, in the file's order, without entries that can never match.
pub(super) fn roles(server: &Section<'_>, piles: &mut Piles, found: &mut Findings) -> Mappings {
    finish(server, List::Roles, mem::take(&mut piles.roles), found)
}

/// `server.mapUsers`, likewise.
pub(super) fn users(server: &Section<'_>, piles: &mut Piles, found: &mut Findings) -> Mappings {
    finish(server, List::Users, mem::take(&mut piles.users), found)
}

/// A list of account ids; those that are none are left out with a warning, as no caller has them.
pub(super) fn accounts(
    server: &Section<'_>,
    key: &'static str,
    found: &mut Findings,
) -> Vec<AccountId> {
    let mut accounts = Vec::new();
    server.texts(key, &[','], found, |text, found| match text.text.parse::<AccountId>() {
        Ok(account) => accounts.push(account),
        Err(_) => found.warn(text.at, Doubt::Never(Never::Account)),
    });
    accounts
}

impl List {
    /// The list that is at `key`, in any case.
    pub(super) fn at(key: &str) -> Option<Self> {
        [Self::Roles, Self::Users].into_iter().find(|list| list.key().eq_ignore_ascii_case(key))
    }

    fn key(self) -> &'static str {
        match self {
            Self::Roles => "mapRoles",
            Self::Users => "mapUsers",
        }
    }

    fn keys(self) -> &'static [Key] {
        match self {
            Self::Roles => MAP_ROLES,
            Self::Users => MAP_USERS,
        }
    }
}

/// Where a kept mapping stands, for what is only seen once all are read. Small: there may be
/// 100,000.
struct Stand {
    index: u32,
    place: Place,
}

impl Piles {
    /// Takes the next entry of a list. It is not looked at again.
    pub(super) fn take(&mut self, list: List, node: Node<'_>, found: &mut Findings) {
        let server = Path::Key(&Path::Root, "server");
        let path = Path::Key(&server, list.key());
        match list {
            List::Roles => self.roles.take(node, &path, list, found),
            List::Users => self.users.take(node, &path, list, found),
        }
    }
}

impl Pile {
    fn take(&mut self, node: Node<'_>, list: &Path<'_>, kind: List, found: &mut Findings) {
        let index = self.entries;
        self.entries += 1;
        let path = Path::Index(list, index as usize);
        let Some(mapping) = entry(node, path, kind, found) else { return };
        match self.mappings.push(mapping) {
            Ok(()) => self.stands.push(Stand { index, place: node.place() }),
            Err(Full) => found.fault(At { path, place: Some(node.place()) }, Wrong::Nodes),
        }
    }
}

/// Adds what is there as nodes to what has been read already, which stood before.
fn finish(server: &Section<'_>, list: List, mut pile: Pile, found: &mut Findings) -> Mappings {
    let path = server.path_of(list.key());
    for node in server.maps(list.key(), found) {
        pile.take(node, &path, list, found);
    }
    let Pile { mappings, stands, entries: _ } = pile;
    warn_of_repeats(&mappings, &stands, &path, found);
    warn_of_same_last_elements(&mappings, &stands, &path, found);
    mappings
}

fn entry(node: Node<'_>, path: Path<'_>, list: List, found: &mut Findings) -> Option<Mapping> {
    let entry = Section::open(node, path, list.keys(), found);
    entry.warn_of_unknown_keys(found);
    let who = match list {
        List::Roles => role(&entry, found),
        List::Users => user(&entry, found),
    };
    let username = username(&entry, found);
    let groups = groups(&entry, found);
    let _ = entry.text("userid", found);
    Some(Mapping {
        who: who?,
        username: username?,
        groups,
        line: NonZeroU32::new(node.place().line),
    })
}

fn role(entry: &Section<'_>, found: &mut Findings) -> Option<Who> {
    let arn = entry.some_text("roleARN", found);
    let pattern = entry.some_text("rolePattern", found);
    let sso = entry.node("sso");
    match (arn, pattern, sso) {
        (Some(text), None, None) => principal(text, found).map(Who::Arn),
        (None, Some(text), None) => ArnPattern::role(text.text)
            .map_err(|fault| found.fault(text.at, Wrong::Pattern(fault)))
            .map(Who::Pattern)
            .ok(),
        (None, None, Some(node)) => sso_role(node, entry.path_of("sso"), found).map(Who::Sso),
        (None, None, None) => {
            found.fault(entry.at(), Wrong::RoleMissing);
            None
        }
        _ => {
            found.fault(entry.at(), Wrong::RoleTwice);
            None
        }
    }
}

fn user(entry: &Section<'_>, found: &mut Findings) -> Option<Who> {
    let arn = entry.some_text("userARN", found);
    let pattern = entry.some_text("userPattern", found);
    match (arn, pattern) {
        (Some(text), None) => principal(text, found).map(Who::Arn),
        (None, Some(text)) => ArnPattern::user(text.text)
            .map_err(|fault| found.fault(text.at, Wrong::Pattern(fault)))
            .map(Who::Pattern)
            .ok(),
        (None, None) => {
            found.fault(entry.at(), Wrong::UserMissing);
            None
        }
        (Some(_), Some(_)) => {
            found.fault(entry.at(), Wrong::UserTwice);
            None
        }
    }
}

/// An ARN. One that names no kind of principal is a fault; one whose kind is right and that still
/// no caller can have is left out with a warning, since existing files hold such and work.
fn principal(text: Text<'_>, found: &mut Findings) -> Option<Arn> {
    // Case does not matter in matching, so it does not in reading.
    let arn = text.text.parse::<Arn>();
    let arn = arn.or_else(|error| text.text.to_ascii_lowercase().parse().map_err(|_| error));
    let doubt = match arn {
        Ok(arn) if arn.as_str().contains(['*', '?']) => Never::Star,
        Ok(arn) => return Some(arn),
        Err(error) => match error.fault {
            ArnFault::Account => Never::Account,
            ArnFault::Character => Never::Character,
            ArnFault::Length => Never::Length,
            ArnFault::Name => Never::Name,
            ArnFault::Region => Never::Region,
            ArnFault::Fields(_)
            | ArnFault::Partition
            | ArnFault::Resource
            | ArnFault::Scheme
            | ArnFault::Session => {
                found.fault(text.at, Wrong::Arn(error));
                return None;
            }
        },
    };
    found.warn(text.at, Doubt::Never(doubt));
    None
}

fn sso_role(node: Node<'_>, path: Path<'_>, found: &mut Findings) -> Option<SsoRole> {
    let sso = Section::open(node, path, SSO, found);
    sso.warn_of_unknown_keys(found);
    let set = sso.text("permissionSetName", found);
    let account = sso.text("accountID", found);
    let partition = sso.some_text("partition", found);
    if let Some(text) = partition {
        text.parse::<Partition>(found, Wrong::Partition)?;
    }
    let text = |text: Option<Text<'_>>| text.map_or(String::new(), |text| text.text.to_owned());
    SsoRole::new(&text(set), &text(account), partition.map(|text| text.text))
        .map_err(|fault| found.fault(sso.at(), Wrong::Sso(fault)))
        .ok()
}

fn username(entry: &Section<'_>, found: &mut Findings) -> Option<Template> {
    let Some(text) = entry.some_text("username", found) else {
        if entry.node("username").is_none_or(|node| node.text() == Some("")) {
            found.warn(entry.at_missing("username"), Doubt::EmptyUsername);
        }
        return "".parse().ok();
    };
    template(text, Doubt::SessionOnly, found)
}

fn groups(entry: &Section<'_>, found: &mut Findings) -> Vec<Template> {
    let mut groups = Vec::new();
    entry.texts("groups", &[','], found, |text, found| {
        match text.text {
            "" => return found.warn(text.at, Doubt::EmptyGroup),
            "system:masters" => found.warn(text.at, Doubt::Masters),
            _ => {}
        }
        groups.extend(template(text, Doubt::SessionGroup, found));
    });
    groups
}

/// Whoever may assume a role may call the session `masters`, or as somebody else's user or group.
fn template(text: Text<'_>, session_only: Doubt, found: &mut Findings) -> Option<Template> {
    let template = text.parse::<Template>(found, Wrong::Template)?;
    if template.is_session_only() {
        found.warn(text.at, session_only);
    }
    if template.is_system_with_session() {
        found.warn(text.at, Doubt::SystemWithSession);
    }
    Some(template)
}

/// The same principal twice: the last entry is the one that counts.
fn warn_of_repeats(mappings: &Mappings, stands: &[Stand], path: &Path<'_>, found: &mut Findings) {
    let key = |index: usize| match mappings.who(index)? {
        Who::Arn(arn) => Some(arn.subject().as_str().to_owned()),
        Who::Pattern(pattern) => Some(format!("{pattern:?}")),
        Who::Sso(sso) => Some(format!("{sso:?}")),
    };
    for_equals(mappings.len(), key, |earlier, later| {
        if let (Some(earlier), Some(later)) = (stands.get(earlier), stands.get(later)) {
            let at = At { path: Path::Index(path, later.index as usize), place: Some(later.place) };
            found.warn(at, Doubt::Repeated(earlier.place.line));
        }
    });
}

/// Two roles that differ only in a path cannot be told apart by a session's ARN.
fn warn_of_same_last_elements(
    mappings: &Mappings,
    stands: &[Stand],
    path: &Path<'_>,
    found: &mut Findings,
) {
    let key = |index: usize| match mappings.who_with_path(index)? {
        Who::Arn(arn) if matches!(arn.principal(), Principal::Role { .. }) => {
            arn.pathless_role().map(|subject| subject.as_str().to_owned())
        }
        Who::Arn(_) | Who::Pattern(_) | Who::Sso(_) => None,
    };
    let subject = |index: usize| mappings.who(index)?.subject();
    for_equals(mappings.len(), key, |earlier, later| {
        if subject(earlier) == subject(later) {
            return;
        }
        if let (Some(earlier), Some(later)) = (stands.get(earlier), stands.get(later)) {
            let at = At { path: Path::Index(path, later.index as usize), place: Some(later.place) };
            found.warn(at, Doubt::SameLastElement(earlier.place.line));
        }
    });
}

/// Calls `pair` for each mapping and the nearest one before it that has the same key, in the
/// file's order. Holds 8 bytes for each that has a key, not the keys.
fn for_equals(
    count: usize,
    key: impl Fn(usize) -> Option<String>,
    mut pair: impl FnMut(usize, usize),
) {
    let mut hashes: Vec<(u32, u32)> = (0..count)
        .filter_map(|index| {
            let mut hasher = DefaultHasher::new();
            key(index)?.hash(&mut hasher);
            // Half of the hash: what only seems to be equal is compared once more below.
            Some(((hasher.finish() >> 32) as u32, index as u32))
        })
        .collect();
    hashes.sort_unstable();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for same in hashes.chunk_by(|(a, _), (b, _)| a == b) {
        for (at, (_, later)) in same.iter().enumerate() {
            let (before, later) = (same.get(..at).unwrap_or_default(), *later as usize);
            let mut before = before.iter().rev().map(|(_, earlier)| *earlier as usize);
            pairs.extend(before.find(|earlier| key(*earlier) == key(later)).map(|at| (later, at)));
        }
    }
    pairs.sort_unstable();
    for (later, earlier) in pairs {
        pair(earlier, later);
    }
}
