//! From nodes to plain values: a map whose keys are known, and what is found wrong on the way.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::fault::{At, Doubt, Findings, Path, Quoted, Wrong};
use super::keys::{Key, meant};
use super::tree::{Entry, Kind, Node, Place};

/// A map of the file, or an absent one, which has no keys.
pub(super) struct Section<'a> {
    path: Path<'a>,
    place: Option<Place>,
    entries: Vec<Entry<'a>>,
    keys: &'static [Key],
}

/// A value that is text, of the file or of a flag.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) at: At<'a>,
}

impl<'a> Section<'a> {
    /// Nothing is set.
    pub(super) fn absent(path: Path<'a>, keys: &'static [Key]) -> Self {
        Self { path, place: None, entries: Vec::new(), keys }
    }

    /// Reads `node` as a map. A blank one is empty.
    pub(super) fn open(
        node: Node<'a>,
        path: Path<'a>,
        keys: &'static [Key],
        found: &mut Findings,
    ) -> Self {
        let place = Some(node.place());
        match node.kind() {
            Kind::Map | Kind::Null => {}
            kind @ (Kind::List | Kind::Text) => {
                let wrong = Wrong::Shape { expected: "a mapping", found: kind };
                found.fault(At { path, place }, wrong);
            }
        }
        Self { path, place, entries: node.entries(), keys }
    }

    /// Warns of each key that is not in the table.
    pub(super) fn warn_of_unknown_keys(&self, found: &mut Findings) {
        for Entry { key, place, .. } in &self.entries {
            if !self.keys.iter().any(|known| known.is(key)) {
                let path = Path::Key(&self.path, key);
                // A guess costs more than a message; beyond the limit there is neither.
                let guess = found.has_room().then(|| meant(key, self.keys)).flatten();
                found.warn(At { path, place: Some(*place) }, Doubt::UnknownKey(guess));
            }
        }
    }

    /// Where the map itself stands.
    pub(super) fn at(&self) -> At<'_> {
        At { path: self.path, place: self.place }
    }

    /// Where `key` is missing.
    pub(super) fn at_missing(&self, key: &'static str) -> At<'_> {
        At { path: self.path_of(key), place: self.place }
    }

    /// Where the value of `key` stands, or where it is missing.
    pub(super) fn at_value(&self, key: &'static str) -> At<'_> {
        let place = self.node(key).map(Node::place).or(self.place);
        At { path: self.path_of(key), place }
    }

    /// The path of `key`, for what is in its value.
    pub(super) fn path_of(&self, key: &'static str) -> Path<'_> {
        Path::Key(&self.path, key)
    }

    /// The value of `key`, unless it is blank or missing.
    pub(super) fn node(&self, key: &'static str) -> Option<Node<'_>> {
        let known = self.keys.iter().find(|known| known.name == key);
        debug_assert!(known.is_some(), "{key} is not in the table of keys");
        let mut spellings = [Some(key), known.and_then(|known| known.alias)].into_iter().flatten();
        let spelt = |name: &str| {
            let mut entries = self.entries.iter();
            entries.find(|entry| entry.key.eq_ignore_ascii_case(name)).map(|entry| entry.value)
        };
        spellings.find_map(spelt).filter(|node| node.kind() != Kind::Null)
    }

    pub(super) fn text(&self, key: &'static str, found: &mut Findings) -> Option<Text<'_>> {
        text(self.node(key)?, self.path_of(key), found)
    }

    /// Text that is not empty; an empty one counts as missing.
    pub(super) fn some_text(&self, key: &'static str, found: &mut Findings) -> Option<Text<'_>> {
        self.text(key, found).filter(|text| !text.text.is_empty())
    }

    pub(super) fn flag(&self, key: &'static str, found: &mut Findings) -> Option<bool> {
        self.text(key, found)?.flag(found)
    }

    pub(super) fn number(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        found: &mut Findings,
    ) -> Option<u64> {
        self.text(key, found)?.number(range, found)
    }

    pub(super) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        found: &mut Findings,
    ) -> Option<Duration> {
        self.text(key, found)?.duration(range, found)
    }

    pub(super) fn path(&self, key: &'static str, found: &mut Findings) -> Option<PathBuf> {
        self.text(key, found)?.not_empty(found).map(|text| text.text.into())
    }

    /// The map at `key`; an absent one if it is missing. Warns of its unknown keys.
    pub(super) fn section<'b>(
        &'b self,
        key: &'static str,
        keys: &'static [Key],
        found: &mut Findings,
    ) -> Section<'b> {
        let path = self.path_of(key);
        match self.node(key) {
            Some(node) => {
                let section = Section::open(node, path, keys, found);
                section.warn_of_unknown_keys(found);
                section
            }
            None => Section::absent(path, keys),
        }
    }

    /// The list of maps at `key`: none if it is blank or an empty map, one if it is a map.
    pub(super) fn maps(&self, key: &'static str, found: &mut Findings) -> Vec<Node<'_>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        match node.kind() {
            Kind::List => node.items().collect(),
            Kind::Map if node.len() == 0 => Vec::new(),
            Kind::Map => vec![node],
            Kind::Text if node.text() == Some("") => Vec::new(),
            kind @ (Kind::Null | Kind::Text) => {
                let wrong = Wrong::Shape { expected: "a list of mappings", found: kind };
                found.fault(At { path: self.path_of(key), place: Some(node.place()) }, wrong);
                Vec::new()
            }
        }
    }

    /// Calls `each` for every text of the list at `key`. One text is split at `separators`.
    pub(super) fn texts(
        &self,
        key: &'static str,
        separators: &[char],
        found: &mut Findings,
        mut each: impl FnMut(Text<'_>, &mut Findings),
    ) {
        let path = self.path_of(key);
        let Some(node) = self.node(key) else { return };
        let place = Some(node.place());
        match node.kind() {
            Kind::List => {
                for (index, item) in node.items().enumerate() {
                    let path = Path::Index(&path, index);
                    let at = At { path, place: Some(item.place()) };
                    match item.kind() {
                        Kind::Null => each(Text { text: "", at }, found),
                        Kind::List | Kind::Map | Kind::Text => {
                            if let Some(text) = text(item, path, found) {
                                each(text, found);
                            }
                        }
                    }
                }
            }
            Kind::Map if node.len() == 0 => {}
            Kind::Text => {
                let parts = node.text().unwrap_or_default().split(separators).map(str::trim);
                for text in parts.filter(|part| !part.is_empty()) {
                    each(Text { text, at: At { path, place } }, found);
                }
            }
            kind @ (Kind::Map | Kind::Null) => {
                let wrong = Wrong::Shape { expected: "a list of texts", found: kind };
                found.fault(At { path, place }, wrong);
            }
        }
    }

    /// The entries of the free-form map at `key`: each key, and the text that it has.
    pub(super) fn pairs(
        &self,
        key: &'static str,
        found: &mut Findings,
        mut each: impl FnMut(Text<'_>, Text<'_>, &mut Findings),
    ) {
        let path = self.path_of(key);
        let Some(node) = self.node(key) else { return };
        if node.kind() != Kind::Map {
            let wrong = Wrong::Shape { expected: "a mapping", found: node.kind() };
            return found.fault(At { path, place: Some(node.place()) }, wrong);
        }
        for Entry { key, place, value } in node.entries() {
            let path = Path::Key(&path, key);
            let name = Text { text: key, at: At { path, place: Some(place) } };
            if let Some(value) = text(value, path, found) {
                each(name, value, found);
            }
        }
    }
}

fn text<'a>(node: Node<'a>, path: Path<'a>, found: &mut Findings) -> Option<Text<'a>> {
    let at = At { path, place: Some(node.place()) };
    if node.text().is_none() {
        found.fault(at, Wrong::Shape { expected: "text", found: node.kind() });
    }
    node.text().map(|text| Text { text, at })
}

/// The spellings that Go's `strconv.ParseBool` reads: existing files and command lines have them.
/// YAML 1.1's others have never been read as true, so they are refused rather than guessed at.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

impl<'a> Text<'a> {
    /// What a flag was given.
    pub(super) fn flag_value(name: &'static str, text: &'a str) -> Self {
        Self { text, at: At { path: Path::Flag(name), place: None } }
    }

    /// Reads it by its type's own rules.
    pub(super) fn parse<T: FromStr>(
        self,
        found: &mut Findings,
        wrong: impl FnOnce(T::Err) -> Wrong,
    ) -> Option<T> {
        self.text.parse().map_err(|error| found.fault(self.at, wrong(error))).ok()
    }

    pub(super) fn ip(self, found: &mut Findings) -> Option<IpAddr> {
        self.parse(found, |_| Wrong::Ip(Quoted::new(self.text)))
    }

    pub(super) fn socket(self, found: &mut Findings) -> Option<SocketAddr> {
        self.parse(found, |_| Wrong::Socket(Quoted::new(self.text)))
    }

    /// A DNS name as it stands in a certificate, in lower case.
    pub(super) fn host(self, found: &mut Findings) -> Option<Box<str>> {
        let name = rustls_pki_types::DnsName::try_from(self.text);
        // A final dot is right in DNS; but names are compared as bytes, and none of ours has one.
        let dotted = self.text.ends_with('.');
        if name.is_err() || dotted || self.text.bytes().any(|b| b.is_ascii_uppercase()) {
            found.fault(self.at, Wrong::Host(Quoted::new(self.text)));
            return None;
        }
        Some(self.text.into())
    }

    pub(super) fn not_empty(self, found: &mut Findings) -> Option<Self> {
        if self.text.is_empty() {
            found.fault(self.at, Wrong::Empty);
            return None;
        }
        Some(self)
    }

    fn flag(self, found: &mut Findings) -> Option<bool> {
        let flag = boolean(self.text);
        if flag.is_none() {
            found.fault(self.at, Wrong::Bool(Quoted::new(self.text)));
        }
        flag
    }

    fn number(self, range: RangeInclusive<u64>, found: &mut Findings) -> Option<u64> {
        let number = decimal(self.text).filter(|number| range.contains(number));
        if number.is_none() {
            found.fault(self.at, Wrong::Number { found: Quoted::new(self.text), range });
        }
        number
    }

    fn duration(self, range: RangeInclusive<u64>, found: &mut Findings) -> Option<Duration> {
        let millis = match (self.text.strip_suffix("ms"), self.text.strip_suffix('s')) {
            (Some(millis), _) => decimal(millis),
            (None, Some(seconds)) => decimal(seconds).and_then(|s| s.checked_mul(1_000)),
            (None, None) => decimal(self.text).and_then(|s| s.checked_mul(1_000)),
        };
        let millis = millis.filter(|millis| range.contains(millis));
        if millis.is_none() {
            found.fault(self.at, Wrong::Duration { found: Quoted::new(self.text), range });
        }
        millis.map(Duration::from_millis)
    }
}

/// One spelling: digits alone, and no leading zero, which YAML 1.1 takes for octal.
fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}
