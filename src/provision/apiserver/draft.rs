//! A manifest in the making: its text, and beside it the object that it must come out as.
//!
//! Each step changes both, the text by its places and the object as an object, and the text is read
//! anew. What a step cannot place is refused; `finish` holds the text to the object.

use serde_json::Value;

use super::Manifest;
use super::added::Parent;
use super::proof;
use super::refusal::Refusal;
use super::splice;
use super::tree::{Kind, Node};

pub(super) struct Draft {
    manifest: Manifest,
    expected: Value,
}

impl Draft {
    pub(super) fn of(manifest: &Manifest) -> Result<Self, Refusal> {
        let expected = proof::decode(&manifest.text)?;
        Ok(Self { manifest: Manifest::of(manifest.text.clone())?, expected })
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn at(&self, path: &str) -> Option<&Node> {
        self.manifest.root.at(path)
    }

    /// The object at a path.
    pub(super) fn value(&self, path: &str) -> Option<&Value> {
        self.expected.pointer(path)
    }

    /// Inserts an item into a list that is there, or is null.
    pub(super) fn insert_item(
        &mut self,
        path: &str,
        index: usize,
        item: Value,
    ) -> Result<(), Refusal> {
        let text = &self.manifest.text;
        let text = splice::insert_item(text, &self.manifest.root, path, index, &item);
        let list = self.expected.pointer_mut(path);
        match list {
            Some(Value::Array(list)) if index <= list.len() => list.insert(index, item),
            Some(nothing @ Value::Null) => *nothing = Value::Array(vec![item]),
            _ => return Err(self.unknown(path)),
        }
        self.go_on(text, path)
    }

    /// Inserts an entry into a map that is there, or is null.
    pub(super) fn insert_entry(
        &mut self,
        path: &str,
        key: &str,
        value: Value,
    ) -> Result<(), Refusal> {
        let text = &self.manifest.text;
        let text = splice::insert_entry(text, &self.manifest.root, path, key, &value);
        match self.expected.pointer_mut(path) {
            Some(Value::Object(map)) if !map.contains_key(key) => {
                map.insert(key.to_owned(), value);
            }
            Some(nothing @ Value::Null) => {
                *nothing = Value::Object([(key.to_owned(), value)].into_iter().collect());
            }
            _ => return Err(self.unknown(path)),
        }
        self.go_on(text, path)
    }

    /// Appends an item to the list that is, or becomes, the value of a key; says what was there.
    pub(super) fn append(
        &mut self,
        parent: &str,
        key: &str,
        item: Value,
    ) -> Result<Parent, Refusal> {
        let path = format!("{parent}/{key}");
        let before = self.before(&path);
        match before {
            Parent::Created => self.insert_entry(parent, key, Value::Array(vec![item]))?,
            Parent::Kept | Parent::Null(_) => {
                let end = self.at(&path).map_or(0, |list| list.items().len());
                self.insert_item(&path, end, item)?;
            }
        }
        Ok(before)
    }

    /// Adds an entry to the map that is, or becomes, the value of a key; says what was there.
    pub(super) fn add(
        &mut self,
        parent: &str,
        key: &str,
        name: &str,
        value: Value,
    ) -> Result<Parent, Refusal> {
        let path = format!("{parent}/{key}");
        let before = self.before(&path);
        match before {
            Parent::Created => {
                let map = [(name.to_owned(), value)].into_iter().collect();
                self.insert_entry(parent, key, Value::Object(map))?;
            }
            Parent::Kept | Parent::Null(_) => self.insert_entry(&path, name, value)?,
        }
        Ok(before)
    }

    /// Takes an item out of a list, and the list itself if it was ours and holds nothing now.
    pub(super) fn take_item(
        &mut self,
        parent: &str,
        key: &str,
        index: usize,
        before: &Parent,
    ) -> Result<(), Refusal> {
        let path = format!("{parent}/{key}");
        if self.at(&path).is_some_and(|list| list.items().len() == 1)
            && self.take_parent(parent, key, before)?
        {
            return Ok(());
        }
        let Manifest { text, root, .. } = &self.manifest;
        let text = splice::remove_item(text, root, &path, index);
        let in_block = root.at(&path).is_some_and(|list| !list.is_flow());
        let Some(list) = self.expected.pointer_mut(&path) else { return Err(self.unknown(&path)) };
        match list.as_array_mut() {
            Some(items) if index < items.len() => drop(items.remove(index)),
            _ => return Err(self.unknown(&path)),
        }
        // Of a list of lines without lines, the key is left.
        if in_block && list.as_array().is_some_and(Vec::is_empty) {
            *list = Value::Null;
        }
        self.go_on(text, &path)
    }

    /// Takes an entry out of a map, and the map itself if it was ours and holds nothing now.
    pub(super) fn take_entry(
        &mut self,
        parent: &str,
        key: &str,
        name: &str,
        before: &Parent,
    ) -> Result<(), Refusal> {
        let path = format!("{parent}/{key}");
        if self.at(&path).is_some_and(|map| map.entries().len() == 1)
            && self.take_parent(parent, key, before)?
        {
            return Ok(());
        }
        let Manifest { text, root, .. } = &self.manifest;
        let text = splice::remove_entry(text, root, &path, name);
        let in_block = root.at(&path).is_some_and(|map| !map.is_flow());
        let Some(map) = self.expected.pointer_mut(&path) else { return Err(self.unknown(&path)) };
        let Some(entries) = map.as_object_mut() else { return Err(self.unknown(&path)) };
        entries.shift_remove(name);
        if in_block && entries.is_empty() {
            *map = Value::Null;
        }
        self.go_on(text, &path)
    }

    /// Puts another text in the place of one.
    pub(super) fn replace(&mut self, parent: &str, key: &str, with: &str) -> Result<(), Refusal> {
        self.put(parent, key, with, |text, node| splice::replace_text(text, node, with))
    }

    /// The same, in a given spelling.
    pub(super) fn restore(
        &mut self,
        parent: &str,
        key: &str,
        with: &str,
        source: &str,
    ) -> Result<(), Refusal> {
        self.put(parent, key, with, |text, node| splice::replace_source(text, node, source))
    }

    /// The text, if it says what it should.
    pub(super) fn finish(self) -> Result<String, Refusal> {
        proof::prove(&self.manifest.text, &self.expected)?;
        Ok(self.manifest.text)
    }

    fn put(
        &mut self,
        parent: &str,
        key: &str,
        with: &str,
        splice: impl FnOnce(&str, &Node) -> Option<String>,
    ) -> Result<(), Refusal> {
        let node = self.at(parent).and_then(|map| map.key(key));
        let text = node.and_then(|node| splice(&self.manifest.text, node));
        let map = self.expected.pointer_mut(parent).and_then(Value::as_object_mut);
        let Some(value) = map.and_then(|map| map.get_mut(key)) else {
            return Err(self.unknown(parent));
        };
        *value = Value::from(with);
        self.go_on(text, parent)
    }

    /// What is at a path, as the parent of something to be added.
    fn before(&self, path: &str) -> Parent {
        match self.at(path) {
            None => Parent::Created,
            Some(Node { kind: Kind::Null, start, end, .. }) => {
                Parent::Null(self.manifest.text.get(*start..*end).unwrap_or_default().to_owned())
            }
            Some(_) => Parent::Kept,
        }
    }

    /// Makes a collection what it was before. False if that is not to be done, or cannot be.
    fn take_parent(&mut self, parent: &str, key: &str, before: &Parent) -> Result<bool, Refusal> {
        let path = format!("{parent}/{key}");
        let Manifest { text, root, .. } = &self.manifest;
        let Some(node) = root.at(&path) else { return Ok(false) };
        let text = match before {
            Parent::Kept => return Ok(false),
            Parent::Null(source) if source.is_empty() || !node.is_flow() => return Ok(false),
            Parent::Null(source) => splice::replace_source(text, node, source),
            Parent::Created => splice::remove_entry(text, root, parent, key),
        };
        let Some(text) = text else { return Ok(false) };
        let holder = self.expected.pointer_mut(parent).and_then(Value::as_object_mut);
        match (holder, before) {
            (Some(holder), Parent::Created) => drop(holder.shift_remove(key)),
            (Some(holder), Parent::Kept | Parent::Null(_)) => {
                holder.insert(key.to_owned(), Value::Null);
            }
            (None, _) => return Err(self.unknown(&path)),
        }
        self.go_on(Some(text), &path)?;
        Ok(true)
    }

    fn go_on(&mut self, text: Option<String>, path: &str) -> Result<(), Refusal> {
        let text = text.ok_or_else(|| self.unknown(path))?;
        self.manifest = Manifest::of(text)
            .map_err(|_| Refusal::Unproved { reason: "it is no manifest any more" })?;
        Ok(())
    }

    fn unknown(&self, path: &str) -> Refusal {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let node = self.at(path).or_else(|| self.at(parent)).unwrap_or(&self.manifest.root);
        Refusal::Shape {
            line: node.line,
            path: path.into(),
            wanted: "written in a form that can be edited line by line",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_does_not_say_what_it_should_is_not_finished() {
        let text = "kind: Pod\nmetadata: {}\nspec: {containers: [{command: [kube-apiserver]}]}\n";
        let manifest = Manifest::read(text.as_bytes()).unwrap();
        let mut draft = Draft::of(&manifest).unwrap();
        draft.insert_item("/spec/containers/0/command", 1, Value::from("--a")).unwrap();
        draft.manifest = Manifest::of(draft.manifest.text.replace("--a", "--b")).unwrap();
        let refusal = Refusal::Unproved { reason: "it says something else" };
        assert_eq!(draft.finish(), Err(refusal));
    }
}
