//! From a reader's events to a tree, within limits.

use std::collections::{HashMap, HashSet};

use super::{Kind, MOST_DEPTH, MOST_NODES, Place, Raw, Tree, What};
use crate::config::fault::{Quoted, Wrong};

/// A file that is no tree, with the place that shows it.
#[derive(Debug)]
pub(in crate::config) struct Broken {
    pub(in crate::config) place: Option<Place>,
    pub(in crate::config) wrong: Wrong,
}

/// Makes a [`Tree`] from a reader's events. All offsets are bytes of the source.
pub(in crate::config) struct Builder<'a> {
    source: &'a str,
    nodes: Vec<Raw>,
    text: String,
    /// Keys come again and again: each spelling's text is kept once.
    keys: HashMap<Box<str>, (u32, u32)>,
    open: Vec<Open>,
    /// Values so far, aliases at their full size.
    total: u64,
}

/// A finished value, as an alias needs to know it.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Extent {
    index: u32,
    size: u64,
    height: usize,
}

struct Open {
    index: u32,
    before: u64,
    height: usize,
    keys: Vec<u32>,
    /// The keys in lower case, once they are too many to compare one by one.
    many: Option<HashSet<String>>,
}

/// Up to this many keys are compared one by one, which is what nearly every map has.
const FEW_KEYS: usize = 24;

impl<'a> Builder<'a> {
    pub(in crate::config) fn new(source: &'a str) -> Self {
        Self {
            source,
            nodes: Vec::new(),
            text: String::new(),
            keys: HashMap::new(),
            open: Vec::new(),
            total: 0,
        }
    }

    pub(in crate::config) fn source(&self) -> &'a str {
        self.source
    }

    pub(in crate::config) fn broken(&self, offset: usize, wrong: Wrong) -> Broken {
        Broken { place: Some(place_in(self.source, offset)), wrong }
    }

    pub(in crate::config) fn null(&mut self, offset: usize) -> Result<Extent, Broken> {
        self.leaf(offset, What::Null, 0, 0)
    }

    pub(in crate::config) fn text(&mut self, offset: usize, text: &str) -> Result<Extent, Broken> {
        let from = self.text.len() as u32;
        self.text.push_str(text);
        self.leaf(offset, What::Text, from, text.len() as u32)
    }

    /// Stands for a finished value once more.
    pub(in crate::config) fn alias(
        &mut self,
        offset: usize,
        target: Extent,
    ) -> Result<Extent, Broken> {
        if self.open.len() + target.height > MOST_DEPTH {
            return Err(self.broken(offset, Wrong::Deep));
        }
        // One of them is counted with the node itself.
        self.total = self.total.saturating_add(target.size.saturating_sub(1));
        let link = self.leaf(offset, What::Alias, target.index, 0)?;
        if let Some(open) = self.open.last_mut() {
            open.height = open.height.max(target.height);
        }
        Ok(Extent { index: link.index, ..target })
    }

    pub(in crate::config) fn key(&mut self, offset: usize, key: &str) -> Result<(), Broken> {
        self.key_of(offset, key, What::Key)
    }

    /// A key `<<`, whose value is merged into the map.
    pub(in crate::config) fn merge_key(&mut self, offset: usize) -> Result<(), Broken> {
        self.key_of(offset, "<<", What::Merge)
    }

    pub(in crate::config) fn begin_list(&mut self, offset: usize) -> Result<(), Broken> {
        self.begin(offset, What::List)
    }

    pub(in crate::config) fn begin_map(&mut self, offset: usize) -> Result<(), Broken> {
        self.begin(offset, What::Map)
    }

    /// Ends the innermost list or map.
    pub(in crate::config) fn end(&mut self) -> Extent {
        let after = self.nodes.len() as u32;
        let Some(open) = self.open.pop() else {
            return Extent { index: 0, size: 0, height: 0 };
        };
        if let Some(raw) = self.nodes.get_mut(open.index as usize) {
            raw.from = after;
        }
        let height = open.height + 1;
        if let Some(parent) = self.open.last_mut() {
            parent.height = parent.height.max(height);
        }
        Extent { index: open.index, size: self.total - open.before, height }
    }

    /// The tree, once every container is ended.
    pub(in crate::config) fn finish(mut self) -> Result<Tree, Broken> {
        if self.nodes.is_empty() {
            self.null(0)?;
        }
        let source = self.source;
        set_places(&mut self.nodes, source);
        let tree = Tree { nodes: self.nodes.into(), text: self.text.into() };
        for (index, raw) in tree.nodes.iter().enumerate() {
            if raw.what == What::Merge {
                let value = tree.node(index as u32 + 1);
                let maps = match value.kind() {
                    Kind::Map => true,
                    Kind::List => value.items().all(|item| item.kind() == Kind::Map),
                    Kind::Null | Kind::Text => false,
                };
                if !maps {
                    return Err(Broken { place: Some(value.place()), wrong: Wrong::Merge });
                }
            }
        }
        Ok(tree)
    }

    fn key_of(&mut self, offset: usize, key: &str, what: What) -> Result<(), Broken> {
        if let Some(first) = self.first(key) {
            let line = place_in(self.source, first as usize).line;
            return Err(self.broken(offset, Wrong::DuplicateKey { key: Quoted::new(key), line }));
        }
        let (from, len) = match self.keys.get(key) {
            Some(kept) => *kept,
            None => {
                let kept = (self.text.len() as u32, key.len() as u32);
                self.text.push_str(key);
                self.keys.insert(key.into(), kept);
                kept
            }
        };
        let index = self.push(offset, what, from, len)?;
        if let Some(open) = self.open.last_mut() {
            open.keys.push(index);
            if let Some(many) = &mut open.many {
                many.insert(key.to_ascii_lowercase());
            }
        }
        Ok(())
    }

    /// The offset of the same key in the innermost map, if it is there already.
    fn first(&mut self, key: &str) -> Option<u32> {
        let Self { nodes, text, open, .. } = self;
        let open = open.last_mut()?;
        let spelt = |index: &u32| {
            let raw = nodes.get(*index as usize)?;
            Some((text.get(raw.from as usize..(raw.from + raw.len) as usize)?, raw.place.line))
        };
        if open.many.is_none() && open.keys.len() >= FEW_KEYS {
            let keys = open.keys.iter().filter_map(spelt);
            open.many = Some(keys.map(|(key, _)| key.to_ascii_lowercase()).collect());
        }
        if open.many.as_ref().is_some_and(|many| !many.contains(&key.to_ascii_lowercase())) {
            return None;
        }
        let mut keys = open.keys.iter().filter_map(spelt);
        keys.find(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, offset)| offset)
    }

    fn begin(&mut self, offset: usize, what: What) -> Result<(), Broken> {
        if self.open.len() >= MOST_DEPTH {
            return Err(self.broken(offset, Wrong::Deep));
        }
        self.count_in_parent();
        let before = self.total;
        let index = self.push(offset, what, 0, 0)?;
        self.open.push(Open { index, before, height: 0, keys: Vec::new(), many: None });
        Ok(())
    }

    fn leaf(&mut self, offset: usize, what: What, from: u32, len: u32) -> Result<Extent, Broken> {
        self.count_in_parent();
        let index = self.push(offset, what, from, len)?;
        Ok(Extent { index, size: 1, height: 0 })
    }

    fn count_in_parent(&mut self) {
        let parent = self.open.last().and_then(|open| self.nodes.get_mut(open.index as usize));
        if let Some(parent) = parent {
            parent.len += 1;
        }
    }

    fn push(&mut self, offset: usize, what: What, from: u32, len: u32) -> Result<u32, Broken> {
        self.total += 1;
        if self.total > MOST_NODES {
            return Err(self.broken(offset, Wrong::Nodes));
        }
        let index = self.nodes.len() as u32;
        // Until `finish`, a place is an offset.
        let place = Place { line: offset as u32, column: 0 };
        self.nodes.push(Raw { place, from, len, what });
        Ok(index)
    }
}

/// Turns offsets into places, in one sweep over the source: a look-up for each would be quadratic
/// in a file that is one long line.
fn set_places(nodes: &mut [Raw], source: &str) {
    let mut order: Vec<u32> = (0..nodes.len() as u32).collect();
    order.sort_by_key(|index| nodes.get(*index as usize).map(|raw| raw.place.line));
    let mut sweep = Sweep::new(source);
    for index in order {
        if let Some(raw) = nodes.get_mut(index as usize) {
            raw.place = sweep.to(raw.place.line as usize);
        }
    }
}

/// The place of one offset.
pub(in crate::config) fn place_in(source: &str, offset: usize) -> Place {
    Sweep::new(source).to(offset)
}

struct Sweep<'a> {
    bytes: &'a [u8],
    offset: usize,
    place: Place,
}

impl<'a> Sweep<'a> {
    fn new(source: &'a str) -> Self {
        Self { bytes: source.as_bytes(), offset: 0, place: Place { line: 1, column: 1 } }
    }

    /// The place of `offset`, which must not be before the last one.
    fn to(&mut self, offset: usize) -> Place {
        while self.offset < offset {
            let Some(byte) = self.bytes.get(self.offset) else { break };
            self.offset += 1;
            let next = self.bytes.get(self.offset);
            match byte {
                b'\r' if next == Some(&b'\n') => {}
                b'\n' | b'\r' => self.place = Place { line: self.place.line + 1, column: 1 },
                // The further bytes of a character.
                0x80..=0xBF => {}
                _ => self.place.column += 1,
            }
        }
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = "a\r\nbé: x\rz\n\nq";
        for (at, line, column) in [("a", 1, 1), ("b", 2, 1), ("x", 2, 5), ("z", 3, 1), ("q", 5, 1)]
        {
            let offset = source.find(at).unwrap();
            assert_eq!(place_in(source, offset), Place { line, column }, "{at}");
        }
        assert_eq!(place_in(source, 1_000), Place { line: 5, column: 2 });
    }

    #[test]
    fn a_map_of_very_many_keys_is_still_checked_for_the_same_key_in_another_case() {
        let source = "x".repeat(5_000);
        let mut builder = Builder::new(&source);
        builder.begin_map(0).unwrap();
        for n in 0..2_000 {
            builder.key(n, &format!("key{n}")).unwrap();
            builder.null(n).unwrap();
        }
        let broken = builder.key(4_000, "KEY1234").unwrap_err();
        let expected = Wrong::DuplicateKey { key: Quoted::new("KEY1234"), line: 1 };
        assert_eq!((broken.wrong, broken.place.unwrap().column), (expected, 4_001));
    }

    #[test]
    fn merged_maps_give_what_the_map_does_not_have_itself_the_first_of_them_first() {
        let mut builder = Builder::new("");
        builder.begin_map(0).unwrap();
        builder.key(0, "a").unwrap();
        builder.begin_map(0).unwrap();
        for (key, value) in [("x", "first"), ("y", "first")] {
            builder.key(0, key).unwrap();
            builder.text(0, value).unwrap();
        }
        let first = builder.end();
        builder.key(0, "b").unwrap();
        builder.begin_map(0).unwrap();
        for (key, value) in [("Y", "second"), ("z", "second")] {
            builder.key(0, key).unwrap();
            builder.text(0, value).unwrap();
        }
        let second = builder.end();
        builder.key(0, "c").unwrap();
        builder.begin_map(0).unwrap();
        builder.merge_key(0).unwrap();
        builder.begin_list(0).unwrap();
        builder.alias(0, first).unwrap();
        builder.alias(0, second).unwrap();
        builder.end();
        builder.key(0, "X").unwrap();
        builder.text(0, "own").unwrap();
        builder.end();
        builder.end();
        let tree = builder.finish().unwrap();
        let entries = tree.root().entries();
        let merged = entries.iter().find(|entry| entry.key == "c").unwrap().value.entries();
        let texts: Vec<_> =
            merged.iter().map(|entry| (entry.key, entry.value.text().unwrap())).collect();
        assert_eq!(texts, [("X", "own"), ("y", "first"), ("z", "second")]);
    }
}
