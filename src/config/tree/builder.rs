//! From a reader's events to a tree, within limits.

use std::collections::{HashMap, HashSet};

use super::places::{Places, place_in};
use super::{MOST_DEPTH, MOST_NODES, Place, Raw, Take, Tree, What};
use crate::config::fault::{Quoted, Wrong};
use crate::config::mappings::List;

/// A file that is no tree, with the place that shows it.
#[derive(Debug)]
pub(in crate::config) struct Broken {
    pub(in crate::config) place: Option<Place>,
    pub(in crate::config) wrong: Wrong,
}

/// Makes a [`Tree`] from a reader's events. All offsets are bytes of the source.
pub(in crate::config) struct Builder<'a> {
    source: &'a str,
    tree: Tree,
    places: Places<'a>,
    /// Where each key's text is.
    keys: HashMap<Box<str>, (u32, u32)>,
    open: Vec<Open>,
    /// Values so far, aliases at their full size.
    total: u64,
    /// What may be handed over is handed to; nobody once there is an anchor.
    take: Option<&'a mut Take<'a>>,
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
    /// The length of all text before.
    text: usize,
    /// Its elements are handed over.
    handed: Option<List>,
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
            tree: Tree::default(),
            places: Places::new(source),
            keys: HashMap::new(),
            open: Vec::new(),
            total: 0,
            take: None,
        }
    }

    /// Hands mappings over to `take`.
    pub(in crate::config) fn handing_to(mut self, take: &'a mut Take<'a>) -> Self {
        self.take = Some(take);
        self
    }

    /// What comes may be meant again, so from here on all is kept.
    pub(in crate::config) fn keep(&mut self) {
        self.take = None;
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
        let from = self.tree.text.len() as u32;
        self.tree.text.push_str(text);
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
        let handed = self.list_of_mappings();
        self.begin(offset, What::List, handed)
    }

    pub(in crate::config) fn begin_map(&mut self, offset: usize) -> Result<(), Broken> {
        self.begin(offset, What::Map, None)
    }

    /// Ends the innermost list or map.
    pub(in crate::config) fn end(&mut self) -> Result<Extent, Broken> {
        let after = self.tree.nodes.len() as u32;
        let Some(open) = self.open.pop() else {
            return Ok(Extent { index: 0, size: 0, height: 0 });
        };
        if let Some(raw) = self.tree.nodes.get_mut(open.index as usize) {
            raw.from = after;
        }
        let height = open.height + 1;
        if let Some(parent) = self.open.last_mut() {
            parent.height = parent.height.max(height);
        }
        self.hand_over(open.index, open.text)?;
        Ok(Extent { index: open.index, size: self.total - open.before, height })
    }

    /// The tree, once every container is ended.
    pub(in crate::config) fn finish(mut self) -> Result<Tree, Broken> {
        if self.tree.nodes.is_empty() {
            self.null(0)?;
        }
        self.set_places(0);
        self.tree.check_merges(0)?;
        self.tree.nodes.shrink_to_fit();
        Ok(self.tree)
    }

    /// Which list of mappings a list would be that began here.
    fn list_of_mappings(&self) -> Option<List> {
        let [root, server] = &*self.open else { return None };
        let key = |open: &Open| {
            let index = open.keys.last()?;
            Some(self.tree.text(self.tree.raw(*index)))
        };
        if key(root)?.eq_ignore_ascii_case("server") { List::at(key(server)?) } else { None }
    }

    /// Hands the value at `index` over, which is the last one and finished, if it is a mapping.
    fn hand_over(&mut self, index: u32, text: usize) -> Result<(), Broken> {
        let parent = self.open.last().and_then(|open| Some((open.index, open.handed?)));
        if let (Some((parent, list)), true) = (parent, self.take.is_some()) {
            self.set_places(index);
            self.tree.check_merges(index)?;
            if let Some(take) = &mut self.take {
                take(list, self.tree.node(index));
            }
            self.tree.nodes.truncate(index as usize);
            self.tree.text.truncate(text);
            if let Some(parent) = self.tree.nodes.get_mut(parent as usize) {
                parent.len -= 1;
            }
        }
        Ok(())
    }

    /// Turns the offsets of the nodes from `index` on into places.
    fn set_places(&mut self, index: u32) {
        for raw in self.tree.nodes.get_mut(index as usize..).unwrap_or_default() {
            raw.place = self.places.at(raw.place.line as usize);
        }
    }

    fn key_of(&mut self, offset: usize, key: &str, what: What) -> Result<(), Broken> {
        if let Some(first) = self.first(key) {
            let line = place_in(self.source, first as usize).line;
            return Err(self.broken(offset, Wrong::DuplicateKey { key: Quoted::new(key), line }));
        }
        let (from, len) = match self.keys.get(key) {
            Some(kept) => *kept,
            None => {
                let kept = (self.tree.keys.len() as u32, key.len() as u32);
                self.tree.keys.push_str(key);
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
        let Self { tree, open, .. } = self;
        let open = open.last_mut()?;
        let spelt = |index: &u32| {
            let raw = tree.raw(*index);
            (tree.text(raw), raw.place.line)
        };
        if open.many.is_none() && open.keys.len() >= FEW_KEYS {
            let keys = open.keys.iter().map(spelt);
            open.many = Some(keys.map(|(key, _)| key.to_ascii_lowercase()).collect());
        }
        if open.many.as_ref().is_some_and(|many| !many.contains(&key.to_ascii_lowercase())) {
            return None;
        }
        let mut keys = open.keys.iter().map(spelt);
        keys.find(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, offset)| offset)
    }

    fn begin(&mut self, offset: usize, what: What, handed: Option<List>) -> Result<(), Broken> {
        if self.open.len() >= MOST_DEPTH {
            return Err(self.broken(offset, Wrong::Deep));
        }
        self.count_in_parent();
        let (before, text) = (self.total, self.tree.text.len());
        let index = self.push(offset, what, 0, 0)?;
        let (keys, many) = (Vec::new(), None);
        self.open.push(Open { index, text, handed, before, height: 0, keys, many });
        Ok(())
    }

    fn leaf(&mut self, offset: usize, what: What, from: u32, len: u32) -> Result<Extent, Broken> {
        self.count_in_parent();
        let index = self.push(offset, what, from, len)?;
        // Of a leaf `len` bytes are text, the last ones.
        self.hand_over(index, self.tree.text.len().saturating_sub(len as usize))?;
        Ok(Extent { index, size: 1, height: 0 })
    }

    fn count_in_parent(&mut self) {
        let parent = self.open.last().and_then(|open| self.tree.nodes.get_mut(open.index as usize));
        if let Some(parent) = parent {
            parent.len += 1;
        }
    }

    fn push(&mut self, offset: usize, what: What, from: u32, len: u32) -> Result<u32, Broken> {
        self.total += 1;
        if self.total > MOST_NODES {
            return Err(self.broken(offset, Wrong::Nodes));
        }
        let index = self.tree.nodes.len() as u32;
        // Until it is finished or handed over, a place is an offset.
        let place = Place { line: offset as u32, column: 0 };
        self.tree.nodes.push(Raw { place, from, len, what });
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Node;
    use super::*;

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
        let first = builder.end().unwrap();
        builder.key(0, "b").unwrap();
        builder.begin_map(0).unwrap();
        for (key, value) in [("Y", "second"), ("z", "second")] {
            builder.key(0, key).unwrap();
            builder.text(0, value).unwrap();
        }
        let second = builder.end().unwrap();
        builder.key(0, "c").unwrap();
        builder.begin_map(0).unwrap();
        builder.merge_key(0).unwrap();
        builder.begin_list(0).unwrap();
        builder.alias(0, first).unwrap();
        builder.alias(0, second).unwrap();
        builder.end().unwrap();
        builder.key(0, "X").unwrap();
        builder.text(0, "own").unwrap();
        builder.end().unwrap();
        builder.end().unwrap();
        let tree = builder.finish().unwrap();
        let entries = tree.root().entries();
        let merged = entries.iter().find(|entry| entry.key == "c").unwrap().value.entries();
        let texts: Vec<_> =
            merged.iter().map(|entry| (entry.key, entry.value.text().unwrap())).collect();
        assert_eq!(texts, [("X", "own"), ("y", "first"), ("z", "second")]);
    }
    /// `{server: {KEY: [x, {a: b}, ..]}}`, an anchor before the element of that number.
    fn entries_of(key: &str, anchor: Option<usize>) -> (Vec<(List, String)>, Vec<String>) {
        let source = "0123456789";
        let text = |node: Node<'_>| match node.text() {
            Some(text) => format!("{text}@{}", node.place().column),
            None => node.entries().iter().map(|one| one.key).collect(),
        };
        let mut taken = Vec::new();
        let mut take = |list, node: Node<'_>| taken.push((list, text(node)));
        let mut builder = Builder::new(source).handing_to(&mut take);
        builder.begin_map(0).unwrap();
        builder.key(0, "Server").unwrap();
        builder.begin_map(0).unwrap();
        builder.key(0, key).unwrap();
        builder.begin_list(0).unwrap();
        for at in 0..4 {
            if anchor == Some(at) {
                builder.keep();
            }
            if at % 2 == 0 {
                builder.text(at, "x").unwrap();
            } else {
                builder.begin_map(at).unwrap();
                builder.key(at, &format!("key{at}")).unwrap();
                builder.text(at, "y").unwrap();
                builder.end().unwrap();
            }
        }
        builder.end().unwrap();
        builder.key(8, "after").unwrap();
        builder.text(9, "z").unwrap();
        builder.end().unwrap();
        builder.end().unwrap();
        let tree = builder.finish().unwrap();
        let server = tree.root().entries()[0].value.entries();
        assert_eq!((server[1].key, &*text(server[1].value)), ("after", "z@10"));
        (taken, server[0].value.items().map(text).collect())
    }

    #[test]
    fn mappings_are_handed_over_and_forgotten_and_kept_from_an_anchor_on() {
        let all = ["x@1", "key1", "x@3", "key3"];
        for (key, anchor, count) in [
            ("mapRoles", None, 4),
            ("MAPUSERS", None, 4),
            ("mapAccounts", None, 0),
            ("mapRoles", Some(0), 0),
            ("mapRoles", Some(1), 1),
            ("mapRoles", Some(2), 2),
            ("mapRoles", Some(3), 3),
        ] {
            let (taken, kept) = entries_of(key, anchor);
            let expected = List::at(key).unwrap_or(List::Roles);
            assert!(taken.iter().all(|(list, _)| *list == expected), "{key}");
            let texts: Vec<_> = taken.iter().map(|(_, text)| &**text).collect();
            assert_eq!(
                (&*texts, &*kept),
                (&all[..count], &all.map(String::from)[count..]),
                "{key}"
            );
        }
    }

    #[test]
    fn what_cannot_be_merged_is_told_before_it_is_handed_over() {
        let mut take = |_, _: Node<'_>| panic!("handed over");
        let mut builder = Builder::new("0123456789").handing_to(&mut take);
        for key in ["server", "mapRoles"] {
            builder.begin_map(0).unwrap();
            builder.key(0, key).unwrap();
        }
        builder.begin_list(0).unwrap();
        builder.begin_map(0).unwrap();
        builder.merge_key(1).unwrap();
        builder.text(4, "x").unwrap();
        let broken = builder.end().unwrap_err();
        assert_eq!((broken.wrong, broken.place.unwrap().column), (Wrong::Merge, 5));
    }
}
