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
mod tests;
