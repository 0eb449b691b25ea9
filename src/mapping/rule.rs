use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroU32;

use hashbrown::HashTable;

use super::{ArnPattern, Mapping, SsoRole, Template, Who};
use crate::identity::Subject;

/// One list of mappings as it is kept: 24 bytes each and their texts in one string, since a hundred
/// thousand have to fit beside everything else in a small memory limit. Equal user names, groups
/// and beginnings of ARNs are there once. An ARN is taken apart when it is compared.
#[derive(Clone, Default)]
pub struct Mappings {
    kept: Kept,
    seen: Seen,
}

/// The texts of one list take more than 4 GiB.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many mappings")]
pub struct Full;

/// [`Mappings`] to which nothing is added any more.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Kept {
    rules: Vec<Raw>,
    text: String,
    heads: Vec<Span>,
    /// The groups of each entry, as a range of `members`.
    groups: Vec<Span>,
    members: Vec<Span>,
    patterns: Vec<ArnPattern>,
    sso: Vec<SsoRole>,
}

/// What has come already, and where it is kept.
#[derive(Clone, Default)]
struct Seen {
    texts: HashTable<Span>,
    heads: HashMap<Box<str>, u16>,
    groups: HashMap<Box<[Span]>, u32>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Span {
    from: u32,
    len: u32,
}

/// One entry. Its numbers are places in [`Kept`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Raw {
    line: Option<NonZeroU32>,
    /// An ARN's text behind its head, or the place of a pattern or SSO role.
    whom: u32,
    username: u32,
    groups: u32,
    whom_len: u16,
    username_len: u16,
    /// From 1; 0 for an ARN that is kept whole.
    head: u16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Arn,
    Pattern,
    Sso,
}

/// One entry of a list.
#[derive(Clone, Copy)]
pub(super) struct Rule<'a> {
    kept: &'a Kept,
    raw: &'a Raw,
}

impl Mappings {
    /// Adds one at the end.
    ///
    /// # Errors
    /// There is no room; the list is as it was.
    pub fn push(&mut self, mapping: Mapping) -> Result<(), Full> {
        let Mapping { who, username, groups, line } = mapping;
        let Self { kept, seen } = self;
        let username = kept.shared(username.as_str(), seen)?;
        let groups = kept.group_list(&groups, seen)?;
        let (kind, head, whom, whom_len) = match who {
            Who::Arn(arn) => {
                let (head, tail) = kept.head_of(arn.as_str(), seen)?;
                let tail = kept.added(tail)?;
                (Kind::Arn, head, tail.from, short(tail.len)?)
            }
            Who::Pattern(pattern) => {
                let at = number(kept.patterns.len())?;
                kept.patterns.push(pattern);
                (Kind::Pattern, 0, at, 0)
            }
            Who::Sso(role) => {
                let at = number(kept.sso.len())?;
                kept.sso.push(role);
                (Kind::Sso, 0, at, 0)
            }
        };
        let username_len = short(username.len)?;
        let username = username.from;
        kept.rules.push(Raw { line, whom, username, groups, whom_len, username_len, head, kind });
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whom the entry at `position` is about.
    pub fn who(&self, position: usize) -> Option<Who> {
        self.kept.get(position)?.who()
    }

    /// The same where it may be an ARN with a path, which costs less to tell.
    pub fn who_with_path(&self, position: usize) -> Option<Who> {
        self.kept.get(position).filter(|rule| rule.may_have_path())?.who()
    }

    /// Whether one of them is about a permission set.
    pub fn has_sso(&self) -> bool {
        !self.kept.sso.is_empty()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Mapping> {
        self.kept.iter().filter_map(|rule| {
            Some(Mapping {
                who: rule.who()?,
                username: Template::known(rule.username()),
                groups: rule.groups().map(Template::known).collect(),
                line: rule.line(),
            })
        })
    }

    pub(super) fn finish(self) -> Kept {
        let Self { mut kept, seen } = self;
        // First what is not needed any more: room for what is copied.
        drop(seen);
        kept.rules.shrink_to_fit();
        kept.text.shrink_to_fit();
        kept
    }
}

impl FromIterator<Mapping> for Mappings {
    /// As many as there is room for.
    fn from_iter<I: IntoIterator<Item = Mapping>>(mappings: I) -> Self {
        let mut list = Self::default();
        for mapping in mappings {
            if list.push(mapping).is_err() {
                break;
            }
        }
        list
    }
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    pub(super) fn get(&self, position: usize) -> Option<Rule<'_>> {
        self.rules.get(position).map(|raw| Rule { kept: self, raw })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Rule<'_>> {
        self.rules.iter().map(|raw| Rule { kept: self, raw })
    }

    fn text(&self, span: Span) -> &str {
        let Span { from, len } = span;
        // A span that is out of range cannot be made; it would read as nothing.
        self.text.get(from as usize..from as usize + len as usize).unwrap_or_default()
    }

    fn added(&mut self, text: &str) -> Result<Span, Full> {
        let span = Span { from: number(self.text.len())?, len: number(text.len())? };
        span.from.checked_add(span.len).ok_or(Full)?;
        self.text.push_str(text);
        Ok(span)
    }

    fn shared(&mut self, text: &str, seen: &mut Seen) -> Result<Span, Full> {
        let hash = hash(text);
        if let Some(span) = seen.texts.find(hash, |span| self.text(*span) == text) {
            return Ok(*span);
        }
        let span = self.added(text)?;
        seen.texts.insert_unique(hash, span, |span| self::hash(self.text(*span)));
        Ok(span)
    }

    fn group_list(&mut self, groups: &[Template], seen: &mut Seen) -> Result<u32, Full> {
        let spans = groups.iter().map(|group| self.shared(group.as_str(), seen));
        let spans = spans.collect::<Result<Box<[Span]>, _>>()?;
        if let Some(at) = seen.groups.get(&spans) {
            return Ok(*at);
        }
        let at = number(self.groups.len())?;
        let list = Span { from: number(self.members.len())?, len: number(spans.len())? };
        self.groups.push(list);
        self.members.extend_from_slice(&spans);
        seen.groups.insert(spans, at);
        Ok(at)
    }

    /// The number of what stands before the principal's name, which most entries have in common,
    /// and the rest.
    fn head_of<'t>(&mut self, arn: &'t str, seen: &mut Seen) -> Result<(u16, &'t str), Full> {
        let Some((head, tail)) = arn.find('/').and_then(|slash| arn.split_at_checked(slash + 1))
        else {
            return Ok((0, arn));
        };
        if let Some(known) = seen.heads.get(head) {
            return Ok((*known, tail));
        }
        // Beyond, entries are kept whole.
        let Ok(next) = u16::try_from(self.heads.len() + 1) else { return Ok((0, arn)) };
        let span = self.added(head)?;
        self.heads.push(span);
        seen.heads.insert(head.into(), next);
        Ok((next, tail))
    }
}

impl<'a> Rule<'a> {
    /// Whom it is about, the user name, and the groups as Go prints a list.
    pub(super) fn told(self) -> (String, &'a str, String) {
        let groups: Vec<&str> = self.groups().collect();
        (self.whom(), self.username(), format!("[{}]", groups.join(" ")))
    }

    /// Whom it is about, as text.
    pub(super) fn whom(self) -> String {
        match (self.raw.kind, self.pattern(), self.sso()) {
            (Kind::Arn, ..) => self.arn(),
            (_, Some(pattern), _) => pattern.to_string(),
            (_, None, role) => role.map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// Whom it is about. Never `None`: the text was an ARN when it came.
    pub(super) fn who(self) -> Option<Who> {
        match self.raw.kind {
            Kind::Arn => self.arn().parse().ok().map(Who::Arn),
            Kind::Pattern => self.pattern().cloned().map(Who::Pattern),
            Kind::Sso => self.sso().cloned().map(Who::Sso),
        }
    }

    pub(super) fn pattern(self) -> Option<&'a ArnPattern> {
        let is = self.raw.kind == Kind::Pattern;
        is.then(|| self.kept.patterns.get(self.raw.whom as usize)).flatten()
    }

    pub(super) fn sso(self) -> Option<&'a SsoRole> {
        let is = self.raw.kind == Kind::Sso;
        is.then(|| self.kept.sso.get(self.raw.whom as usize)).flatten()
    }

    pub(super) fn line(self) -> Option<NonZeroU32> {
        self.raw.line
    }

    pub(super) fn subject(self) -> Option<Subject> {
        match self.raw.kind {
            Kind::Arn => self.who()?.subject(),
            Kind::Pattern | Kind::Sso => None,
        }
    }

    pub(super) fn pathless(self) -> Option<Subject> {
        if self.may_have_path() { self.who()?.pathless() } else { None }
    }

    /// Without a slash in the name there is no path: spares taking most ARNs apart.
    fn may_have_path(self) -> bool {
        self.raw.kind == Kind::Arn && (self.raw.head == 0 || self.tail().contains('/'))
    }

    pub(super) fn stem(self) -> Option<Subject> {
        self.sso()?.stem()
    }

    fn arn(self) -> String {
        let head = usize::from(self.raw.head).checked_sub(1);
        let head = head.and_then(|at| self.kept.heads.get(at)).map(|span| self.kept.text(*span));
        [head.unwrap_or_default(), self.tail()].concat()
    }

    fn tail(self) -> &'a str {
        self.kept.text(Span { from: self.raw.whom, len: self.raw.whom_len.into() })
    }

    /// The text of a template.
    pub(super) fn username(self) -> &'a str {
        self.kept.text(Span { from: self.raw.username, len: self.raw.username_len.into() })
    }

    /// The texts of templates.
    pub(super) fn groups(self) -> impl Iterator<Item = &'a str> {
        let list = self.kept.groups.get(self.raw.groups as usize);
        let members = list.and_then(|Span { from, len }| {
            self.kept.members.get(*from as usize..*from as usize + *len as usize)
        });
        members.unwrap_or_default().iter().map(move |span| self.kept.text(*span))
    }
}

fn number(size: usize) -> Result<u32, Full> {
    u32::try_from(size).map_err(|_| Full)
}

/// ARNs and templates have at most 2,048 bytes.
fn short(len: u32) -> Result<u16, Full> {
    u16::try_from(len).map_err(|_| Full)
}

/// Without a random seed: whoever writes the mappings owns the cluster.
fn hash(text: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(text)
}

impl PartialEq for Mappings {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept
    }
}

impl Eq for Mappings {}

impl fmt::Debug for Mappings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kept.iter()).finish()
    }
}

impl fmt::Debug for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.line()).field(&self.told()).finish()
    }
}

#[cfg(test)]
mod tests;
