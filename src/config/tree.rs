//! What YAML, JSON and TOML have in common: a tree of texts, lists and maps, with places.
//!
//! A file with 100,000 mappings has about a million values, and a tree of them would take more
//! memory than the file. So each mapping is handed over as soon as it is read, and forgotten; but
//! from an anchor on all is kept, since it may be meant again. What is kept lives in one arena.
//! Aliases are links; a limit counts them as often as they are used.

use std::collections::HashSet;
use std::fmt;

pub(super) use self::builder::{Broken, Builder, Extent};
pub(super) use self::places::place_in;
use super::fault::Wrong;
use super::mappings::List;

mod builder;
mod places;

/// The most values of a file. 32 MiB of ordinary mappings hold 1.5 million.
pub(super) const MOST_NODES: u64 = 4_000_000;

/// The deepest nesting, through aliases too. A real file has seven levels.
pub(super) const MOST_DEPTH: usize = 64;

/// A file's content, but for what was handed over while it was read.
#[derive(Default)]
pub(super) struct Tree {
    nodes: Vec<Raw>,
    text: String,
    /// Keys come again and again: each spelling's text is kept once.
    keys: String,
}

/// Is handed each entry of a list of mappings, in order, and no other.
pub(super) type Take<'t> = dyn FnMut(List, Node<'_>) + 't;

/// Where a value begins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: u32,
    /// From 1, in characters.
    pub(super) column: u32,
}

/// One value of a tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    tree: &'a Tree,
    index: u32,
}

/// One entry of a map.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    /// The key as it is spelt.
    pub(super) key: &'a str,
    /// Where the key stands.
    pub(super) place: Place,
    /// The value.
    pub(super) value: Node<'a>,
}

/// What a value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    List,
    Map,
    Null,
    Text,
}

impl Tree {
    /// The value that the file is.
    pub(super) fn root(&self) -> Node<'_> {
        self.node(0)
    }

    fn node(&self, index: u32) -> Node<'_> {
        let index = match self.raw(index) {
            Raw { what: What::Alias, from, .. } => *from,
            Raw { .. } => index,
        };
        Node { tree: self, index }
    }

    fn raw(&self, index: u32) -> &Raw {
        // An index that is out of range cannot be made; it would read as nothing.
        self.nodes.get(index as usize).unwrap_or(&NOTHING)
    }

    fn text(&self, raw: &Raw) -> &str {
        let of = match raw.what {
            What::Key | What::Merge => &self.keys,
            What::Alias | What::List | What::Map | What::Null | What::Text => &self.text,
        };
        of.get(raw.from as usize..(raw.from + raw.len) as usize).unwrap_or_default()
    }

    /// Whether what every `<<` from `index` on is followed by can be merged.
    fn check_merges(&self, index: u32) -> Result<(), Broken> {
        let nodes = self.nodes.get(index as usize..).unwrap_or_default();
        for (key, raw) in (index..).zip(nodes) {
            if raw.what != What::Merge {
                continue;
            }
            let value = self.node(key + 1);
            let maps = match value.kind() {
                Kind::Map => true,
                Kind::List => value.items().all(|item| item.kind() == Kind::Map),
                Kind::Null | Kind::Text => false,
            };
            if !maps {
                return Err(Broken { place: Some(value.place()), wrong: Wrong::Merge });
            }
        }
        Ok(())
    }

    /// The index after the value at `index` and all that is in it.
    fn after(&self, index: u32) -> u32 {
        match self.raw(index) {
            Raw { what: What::List | What::Map, from, .. } => *from,
            Raw { .. } => index + 1,
        }
    }
}

impl<'a> Node<'a> {
    pub(super) fn kind(self) -> Kind {
        match self.raw().what {
            What::List => Kind::List,
            What::Map => Kind::Map,
            What::Text => Kind::Text,
            What::Alias | What::Key | What::Merge | What::Null => Kind::Null,
        }
    }

    pub(super) fn place(self) -> Place {
        self.raw().place
    }

    /// The text as it is written, escapes resolved; `None` for anything but text.
    pub(super) fn text(self) -> Option<&'a str> {
        (self.kind() == Kind::Text).then(|| self.tree.text(self.raw()))
    }

    /// The elements of a list; nothing for anything else.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let len = if self.kind() == Kind::List { self.raw().len } else { 0 };
        let mut next = self.index + 1;
        (0..len).map(move |_| {
            let item = self.tree.node(next);
            next = self.tree.after(next);
            item
        })
    }

    /// The entries of a map, in order; then those of the maps that it merges and does not have
    /// itself. Nothing for anything else.
    pub(super) fn entries(self) -> Vec<Entry<'a>> {
        let mut entries = Vec::with_capacity(self.len());
        let mut merged = Vec::new();
        self.own_entries(&mut entries, &mut merged);
        if !merged.is_empty() {
            let mut seen: HashSet<String> =
                entries.iter().map(|entry| entry.key.to_ascii_lowercase()).collect();
            for map in merged {
                for entry in map.entries() {
                    if seen.insert(entry.key.to_ascii_lowercase()) {
                        entries.push(entry);
                    }
                }
            }
        }
        entries
    }

    /// How many elements or entries there are.
    pub(super) fn len(self) -> usize {
        match self.kind() {
            Kind::List | Kind::Map => self.raw().len as usize,
            Kind::Null | Kind::Text => 0,
        }
    }

    fn own_entries(self, entries: &mut Vec<Entry<'a>>, merged: &mut Vec<Self>) {
        let mut next = self.index + 1;
        for _ in 0..if self.kind() == Kind::Map { self.len() } else { 0 } {
            let key = self.tree.raw(next);
            let value = self.tree.node(next + 1);
            next = self.tree.after(next + 1);
            match (key.what, value.kind()) {
                (What::Merge, Kind::List) => merged.extend(value.items()),
                (What::Merge, _) => merged.push(value),
                _ => entries.push(Entry { key: self.tree.text(key), place: key.place, value }),
            }
        }
    }

    fn raw(self) -> &'a Raw {
        self.tree.raw(self.index)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "a list",
            Self::Map => "a mapping",
            Self::Null => "nothing",
            Self::Text => "text",
        })
    }
}

/// A node of the arena. A container is followed by its content: values, or keys and values by turns.
#[derive(Clone, Copy)]
struct Raw {
    place: Place,
    /// Text: where it begins. Container: the index after its content. Alias: its target.
    from: u32,
    /// Text: bytes. Container: elements or entries.
    len: u32,
    what: What,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Alias,
    Key,
    List,
    Map,
    Merge,
    Null,
    Text,
}

const NOTHING: Raw = Raw { place: Place { line: 1, column: 1 }, from: 0, len: 0, what: What::Null };
