//! What an edit added, out of the manifest again, as far as it is still exactly that.
//!
//! The manifest may have been written anew by its installer, or edited by hand, in the meantime.
//! What is gone is gone; what was changed is somebody else's, and is left with a warning.

use serde_json::Value;

use super::added::{Added, AddedAnnotation, AddedFlag, AddedMount, Parent};
use super::draft::Draft;
use super::edit::{Edited, volume, volume_mount};
use super::refusal::{Refusal, Shown};
use super::wanted::{WantedMount, Warning};
use super::{Manifest, flags};

impl Manifest {
    /// Takes out what was added and is still as it was added.
    ///
    /// # Errors
    /// It is written in a way that we do not edit; or the result could not be proved.
    pub fn remove(&self, added: &Added) -> Result<Edited, Refusal> {
        let mut work = Work { draft: Draft::of(self)?, original: self, warnings: Vec::new() };
        // Last in, first out: so an edit is undone to the byte.
        for annotation in added.annotations.iter().rev() {
            work.annotation(annotation, &added.parents.annotations)?;
        }
        for mount in added.mounts.iter().rev() {
            work.mount(mount, added)?;
        }
        for flag in added.flags.iter().rev() {
            work.flag(flag)?;
        }
        let text = work.draft.finish()?;
        Ok(Edited {
            changed: text != self.text,
            text: text.into_bytes(),
            added: Added::default(),
            warnings: work.warnings,
        })
    }
}

struct Work<'a> {
    draft: Draft,
    original: &'a Manifest,
    warnings: Vec<Warning>,
}

impl Work<'_> {
    fn flag(&mut self, flag: &AddedFlag) -> Result<(), Refusal> {
        let ours = flags::word(&flag.name, &flag.value);
        let container = &self.draft.manifest().container;
        let Some(word) = container.flags().iter().find(|word| word.text == ours) else {
            if let Some(changed) = self.original.flag(&flag.name) {
                let name = flag.name.as_str().into();
                self.warnings.push(Warning::FlagChanged { line: changed.line, name });
            }
            return Ok(());
        };
        let (list, index, path) = (word.list, word.index, container.path.clone());
        self.draft.take_item(&path, list, index, &Parent::Kept)
    }

    fn mount(&mut self, mount: &AddedMount, added: &Added) -> Result<(), Refusal> {
        let container = self.draft.manifest().container.path.clone();
        let path = format!("{container}/volumeMounts");
        let ours = volume_mount(&mount.volume, &mount.mount_path, mount.read_only, false);
        match self.index_of(&path, &mount.volume, &ours) {
            Found::Ours(at) => {
                let before = &added.parents.volume_mounts;
                self.draft.take_item(&container, "volumeMounts", at, before)?;
            }
            Found::Changed => return self.changed(&path, mount),
            Found::Nothing => {}
        }
        if !mount.with_volume {
            return Ok(());
        }
        let wanted = WantedMount {
            volume: mount.volume.clone(),
            host_path: mount.host_path.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only,
            host_type: mount.host_type,
        };
        match self.index_of("/spec/volumes", &mount.volume, &volume(&mount.volume, &wanted, false))
        {
            Found::Ours(_) if self.is_mounted(&mount.volume) => {
                let line = self.line("/spec/volumes", &mount.volume);
                let volume = Shown::new(&mount.volume);
                self.warnings.push(Warning::VolumeInUse { line, volume });
                Ok(())
            }
            Found::Ours(at) => self.draft.take_item("/spec", "volumes", at, &added.parents.volumes),
            Found::Changed => self.changed("/spec/volumes", mount),
            Found::Nothing => Ok(()),
        }
    }

    fn annotation(&mut self, note: &AddedAnnotation, before: &Parent) -> Result<(), Refusal> {
        const PATH: &str = "/metadata/annotations";
        let there = self.draft.at(PATH).and_then(|map| map.key(&note.key));
        let Some(there) = there else { return Ok(()) };
        if there.text() != Some(&note.value) {
            let line = self.original.root.at(PATH).and_then(|map| map.key(&note.key));
            let line = line.map_or(0, |node| node.line);
            self.warnings.push(Warning::AnnotationChanged { line, key: Shown::new(&note.key) });
            return Ok(());
        }
        match &note.previous {
            None => self.draft.take_entry("/metadata", "annotations", &note.key, before),
            Some(previous) => self
                .draft
                .restore(PATH, &note.key, &previous.value, &previous.source)
                .or_else(|_| self.draft.replace(PATH, &note.key, &previous.value)),
        }
    }

    fn index_of(&self, path: &str, name: &str, ours: &Value) -> Found {
        let items = self.draft.value(path).and_then(Value::as_array);
        let Some(items) = items else { return Found::Nothing };
        if let Some(at) = items.iter().rposition(|item| item == ours) {
            return Found::Ours(at);
        }
        let named = items.iter().any(|item| item.get("name").and_then(Value::as_str) == Some(name));
        if named { Found::Changed } else { Found::Nothing }
    }

    /// Whether a container of any sort mounts a volume.
    fn is_mounted(&self, name: &str) -> bool {
        let sorts = ["/spec/containers", "/spec/initContainers"].into_iter();
        let containers = sorts.filter_map(|sort| self.draft.value(sort)?.as_array()).flatten();
        let mounts = containers.filter_map(|container| container.get("volumeMounts")?.as_array());
        mounts.flatten().any(|mount| mount.get("name").and_then(Value::as_str) == Some(name))
    }

    fn changed(&mut self, path: &str, mount: &AddedMount) -> Result<(), Refusal> {
        let line = self.line(path, &mount.volume);
        self.warnings.push(Warning::MountChanged { line, volume: Shown::new(&mount.volume) });
        Ok(())
    }

    /// The line of the item of this name, in the manifest as it was given.
    fn line(&self, path: &str, name: &str) -> usize {
        let items = self.original.root.at(path).map_or(&[][..], |list| list.items());
        let named = items.iter().find(|item| item.key_text("name") == Some(name));
        named.map_or(0, |item| item.line)
    }
}

/// What of ours is in a list.
enum Found {
    Ours(usize),
    /// Something of our name that is not as we added it.
    Changed,
    Nothing,
}
