//! Flags, mounts and annotations into a manifest: one transaction.

use serde_json::{Map, Value, json};

use super::added::{Added, AddedAnnotation, AddedFlag, AddedMount, Parent, Previous};
use super::draft::Draft;
use super::mounts::{self, Mounted};
use super::refusal::{Refusal, Shown};
use super::wanted::{Edit, Policy, WantedAnnotation, WantedFlag, WantedMount, Warning};
use super::{Manifest, flags};

/// What came of an edit or a removal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edited {
    /// The manifest; the bytes of before if nothing was to be changed.
    pub text: Vec<u8>,
    /// Whether they differ.
    pub changed: bool,
    /// What an edit added; empty of a removal.
    pub added: Added,
    /// What is to be told.
    pub warnings: Vec<Warning>,
}

impl Manifest {
    /// Adds what is wanted and not there yet. Nothing else changes, and nothing at all if one thing
    /// cannot be.
    ///
    /// # Errors
    /// Something stands in the way, with line and cure; or the result could not be proved.
    pub fn edit(&self, wanted: &Edit) -> Result<Edited, Refusal> {
        wanted.check()?;
        let mut work = Work { draft: Draft::of(self)?, added: Added::default(), warnings: vec![] };
        // Read before any line moves, so that warnings and refusals name the lines of the file.
        let missing = wanted.flags.iter().map(|flag| self.lacks(flag, &mut work.warnings));
        let missing: Vec<bool> = missing.collect::<Result<_, _>>()?;
        let uncovered = wanted.mounts.iter().map(|mount| self.uncovered(mount, &mut work.warnings));
        let uncovered: Vec<bool> = uncovered.collect::<Result<_, _>>()?;

        let flags = wanted.flags.iter().zip(missing).filter(|(_, missing)| *missing);
        for (after, (flag, _)) in flags.enumerate() {
            work.flag(flag, after)?;
        }
        let mounts = wanted.mounts.iter().zip(uncovered).filter(|(_, uncovered)| *uncovered);
        for (mount, _) in mounts {
            work.mount(mount, self)?;
        }
        for annotation in &wanted.annotations {
            work.annotation(annotation)?;
        }
        work.finish(self)
    }

    /// Whether a flag is to be added.
    fn lacks(&self, wanted: &WantedFlag, warnings: &mut Vec<Warning>) -> Result<bool, Refusal> {
        let WantedFlag { name, value, policy } = wanted;
        let there = self.occurrences(name);
        let Some(first) = there.first() else { return Ok(true) };
        if let Some(second) = there.get(1) {
            return Err(Refusal::DuplicateFlag {
                line: second.line,
                name: name.as_str().into(),
                first: first.line,
            });
        }
        // A flag without value is on.
        if first.value.unwrap_or("true") == value {
            return Ok(false);
        }
        let (line, name) = (first.line, name.as_str().into());
        let found = Shown::new(first.value.unwrap_or_default());
        let wanted = Shown::new(value);
        match policy {
            Policy::Must => Err(Refusal::PointsElsewhere { line, name, value: found, wanted }),
            Policy::Keep => {
                warnings.push(Warning::Kept { line, name, value: found, wanted });
                Ok(false)
            }
        }
    }

    /// Whether a mount is to be added.
    fn uncovered(
        &self,
        wanted: &WantedMount,
        warnings: &mut Vec<Warning>,
    ) -> Result<bool, Refusal> {
        let WantedMount { host_path, mount_path, read_only, .. } = wanted;
        let mounted = mounts::all(&self.root, &self.container);
        for deeper in mounts::inside(&mounted, mount_path) {
            let below = mounts::within(&deeper.mount_path, mount_path).unwrap_or_default();
            if deeper.host_path != Some(format!("{host_path}{below}")) {
                return Err(Refusal::Hidden {
                    line: deeper.line,
                    mount_path: Shown::new(&deeper.mount_path),
                    there: Shown::new(deeper.shows()),
                });
            }
            let mount_path = Shown::new(&deeper.mount_path);
            warnings.push(Warning::OwnMount { line: deeper.line, mount_path });
        }
        let Some(holder) = mounts::holder(&mounted, mount_path) else { return Ok(true) };
        let same = holder.host_path_of(mount_path).as_ref() == Some(host_path);
        if same && (*read_only || !holder.read_only) {
            return Ok(false);
        }
        if holder.mount_path == *mount_path {
            return Err(taken(holder, wanted, same));
        }
        // Ours goes into it; the directory to put it on is there if both show the same.
        if holder.read_only && !same {
            return Err(Refusal::ParentReadOnly {
                line: holder.line,
                mount_path: Shown::new(&holder.mount_path),
                there: Shown::new(holder.shows()),
            });
        }
        Ok(true)
    }
}

fn taken(holder: &Mounted, wanted: &WantedMount, same: bool) -> Refusal {
    let (line, mount_path) = (holder.line, Shown::new(&holder.mount_path));
    if same {
        return Refusal::ReadOnly { line, mount_path };
    }
    let there = Shown::new(holder.shows());
    Refusal::MountTaken { line, mount_path, there, wanted: Shown::new(&wanted.host_path) }
}

struct Work {
    draft: Draft,
    added: Added,
    warnings: Vec<Warning>,
}

impl Work {
    /// Adds a flag behind the API server's own word and those that were added before. If that word
    /// ends the command and flags are in `args`, they are the first there: the runtime puts `args`
    /// behind `command`.
    fn flag(&mut self, flag: &WantedFlag, after: usize) -> Result<(), Refusal> {
        let container = &self.draft.manifest().container;
        let words = &container.words;
        let own = words.get(container.own).map_or(("command", 0), |word| (word.list, word.index));
        let next = words.get(container.own + 1);
        let (list, index) = match next {
            Some(next) if next.list != own.0 => (next.list, after),
            _ => (own.0, own.1 + 1 + after),
        };
        let path = format!("{}/{list}", container.path);
        self.draft.insert_item(&path, index, Value::from(flags::word(&flag.name, &flag.value)))?;
        self.added.flags.push(AddedFlag { name: flag.name.clone(), value: flag.value.clone() });
        Ok(())
    }

    fn mount(&mut self, wanted: &WantedMount, original: &Manifest) -> Result<(), Refusal> {
        let (name, with_volume) = self.volume_name(wanted, original)?;
        if with_volume {
            let volume = volume(&name, wanted, self.name_first("/spec/volumes"));
            let before = self.draft.append("/spec", "volumes", volume)?;
            note(&mut self.added.parents.volumes, before);
        }
        let container = self.draft.manifest().container.path.clone();
        let first = self.name_first(&format!("{container}/volumeMounts"));
        let item = volume_mount(&name, &wanted.mount_path, wanted.read_only, first);
        let before = self.draft.append(&container, "volumeMounts", item)?;
        note(&mut self.added.parents.volume_mounts, before);
        self.added.mounts.push(AddedMount {
            volume: name,
            host_path: wanted.host_path.clone(),
            mount_path: wanted.mount_path.clone(),
            read_only: wanted.read_only,
            host_type: wanted.host_type,
            with_volume,
        });
        Ok(())
    }

    /// The name that our volume can have, and whether it is to be added: not if one of that name is
    /// the same as ours would be.
    fn volume_name(
        &mut self,
        wanted: &WantedMount,
        original: &Manifest,
    ) -> Result<(String, bool), Refusal> {
        const MOST_NAMES: usize = 9;
        let line = |name: &str| {
            let volumes = original.root.at("/spec/volumes");
            let named = volumes?.items().iter().find(|item| item.key_text("name") == Some(name))?;
            Some(named.line)
        };
        for number in 1..=MOST_NAMES {
            let name = match number {
                1 => wanted.volume.clone(),
                _ => format!("{}-{number}", wanted.volume),
            };
            let volumes = self.draft.value("/spec/volumes").and_then(Value::as_array);
            let same_name =
                |volume: &&Value| volume.get("name") == Some(&Value::from(name.as_str()));
            let holder = volumes.and_then(|all| all.iter().find(same_name));
            let free = holder.is_none();
            if free || holder == Some(&volume(&name, wanted, false)) {
                // One that has no line was added in this edit: the caller knows both.
                if let Some(line) = line(&wanted.volume).filter(|_| number > 1) {
                    let (name, ours) = (Shown::new(&wanted.volume), Shown::new(&name));
                    self.warnings.push(Warning::VolumeName { line, name, ours });
                }
                return Ok((name, free));
            }
        }
        Err(Refusal::VolumeNames {
            line: line(&wanted.volume).unwrap_or_default(),
            name: Shown::new(&wanted.volume),
        })
    }

    fn annotation(&mut self, wanted: &WantedAnnotation) -> Result<(), Refusal> {
        const PATH: &str = "/metadata/annotations";
        let WantedAnnotation { key, value } = wanted;
        let there = self.draft.at(PATH).and_then(|map| map.key(key));
        let Some(there) = there else {
            let before =
                self.draft.add("/metadata", "annotations", key, Value::from(value.as_str()))?;
            note(&mut self.added.parents.annotations, before);
            self.added.annotations.push(AddedAnnotation {
                key: key.clone(),
                value: value.clone(),
                previous: None,
            });
            return Ok(());
        };
        if there.text() == Some(value) {
            return Ok(());
        }
        let (start, end) = (there.start, there.end);
        let Some(text) = there.text() else {
            return Err(Refusal::Shape {
                line: there.line,
                path: format!("{PATH}/{key}").into(),
                wanted: "a text",
            });
        };
        let source = self.draft.manifest().text.get(start..end).unwrap_or_default();
        let previous = Previous { value: text.to_owned(), source: source.to_owned() };
        self.draft.replace(PATH, key, value)?;
        self.added.annotations.push(AddedAnnotation {
            key: key.clone(),
            value: value.clone(),
            previous: Some(previous),
        });
        Ok(())
    }

    /// Whether the last item of a list begins with its name; otherwise ours is in the order of the
    /// alphabet, which is kubeadm's.
    fn name_first(&self, path: &str) -> bool {
        let last = self.draft.at(path).and_then(|list| list.items().last());
        let first = last.and_then(|item| item.entries().first());
        first.is_some_and(|entry| entry.key.text() == Some("name"))
    }

    fn finish(self, original: &Manifest) -> Result<Edited, Refusal> {
        let text = self.draft.finish()?;
        Ok(Edited {
            changed: text != original.text,
            text: text.into_bytes(),
            added: self.added,
            warnings: self.warnings,
        })
    }
}

/// The first that was found is what was there before all of them.
fn note(known: &mut Parent, before: Parent) {
    if *known == Parent::Kept {
        *known = before;
    }
}

/// Our volume.
pub(super) fn volume(name: &str, wanted: &WantedMount, name_first: bool) -> Value {
    let host = json!({"path": wanted.host_path, "type": wanted.host_type.name()});
    ordered(name, [("hostPath", host)], name_first)
}

/// Our mount.
pub(super) fn volume_mount(name: &str, path: &str, read_only: bool, name_first: bool) -> Value {
    let mut item = ordered(name, [("mountPath", Value::from(path))], name_first);
    if let Some(map) = item.as_object_mut().filter(|_| read_only) {
        map.insert("readOnly".to_owned(), Value::Bool(true));
    }
    item
}

fn ordered(name: &str, others: [(&str, Value); 1], name_first: bool) -> Value {
    let mut map = Map::new();
    let named = ("name", Value::from(name));
    let (before, after) = if name_first { (Some(named), None) } else { (None, Some(named)) };
    for (key, value) in before.into_iter().chain(others).chain(after) {
        map.insert(key.to_owned(), value);
    }
    Value::Object(map)
}
