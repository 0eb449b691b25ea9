//! A plan becomes the host: in order, each file at once and whole, and back again if need be.
//!
//! Of each phase, everything that can fail for want of room or rights is done before the first
//! file is put in its place, so that such a failure leaves the host as it was.

use super::host::{Host, HostFault, NodePath, Placed};
use super::ledger::Ledger;
use super::paths;
use super::plan::{Action, Change, Found};
use crate::clock::UnixTime;
use crate::files::{Attributes, Owner};

/// A run that changes a host.
#[derive(Debug)]
pub(super) struct Run<'a> {
    host: &'a Host,
    ledger: Ledger,
    /// The ledger's text as it was found.
    before: Option<Vec<u8>>,
    /// Where this run's copies go.
    snapshot: NodePath,
    /// What was done, in order.
    done: Vec<Change>,
    /// How many of those can be seen.
    visible: usize,
}

impl<'a> Run<'a> {
    /// Nothing is done yet. `before` is the ledger's file as it is.
    pub(super) fn new(
        host: &'a Host,
        ledger: Ledger,
        before: Option<Vec<u8>>,
        now: UnixTime,
    ) -> Self {
        let snapshot = paths::snapshot(now);
        Self { host, ledger, before, snapshot, done: Vec::new(), visible: 0 }
    }

    /// What was done so far, in order.
    pub(super) fn done(&self) -> &[Change] {
        &self.done
    }

    /// Copies what `changes` will replace, and writes down what will be done. Makes the state
    /// directory, and takes the changes that do so out of `changes`.
    ///
    /// # Errors
    /// What the operating system says; the host is then as it was.
    pub(super) fn announce(&mut self, changes: &mut Vec<Change>) -> Result<(), HostFault> {
        let state = paths::state();
        let (first, rest): (Vec<_>, _) = std::mem::take(changes)
            .into_iter()
            .partition(|change| change.action == Action::Mkdir && state.is_within(&change.path));
        *changes = rest;
        for change in &first {
            self.ledger.note(change, None);
        }
        let announced = self.phase(first).and_then(|()| {
            self.snapshot = self.host.unused(&self.snapshot)?;
            for change in &*changes {
                let snapshot = self.copy(change)?;
                self.ledger.note(change, snapshot);
            }
            self.write_ledger()
        });
        announced.inspect_err(|_| self.abandon())
    }

    /// Makes the changes of one phase.
    ///
    /// # Errors
    /// What the operating system says. Where nothing could be seen of this run yet, nothing is
    /// left of it; else the rest of the plan is left to the next run.
    pub(super) fn phase(&mut self, changes: Vec<Change>) -> Result<(), HostFault> {
        let made = self.make(changes);
        if made.is_err() && self.visible == 0 {
            self.abandon();
        }
        made
    }

    fn make(&mut self, changes: Vec<Change>) -> Result<(), HostFault> {
        let mut steps: Vec<(Change, Option<Placed>)> = Vec::with_capacity(changes.len());
        for change in changes {
            match (change.action, &change.with, &change.content, &change.before) {
                (Action::Mkdir, Some(with), _, _) => {
                    let made = self.host.make_directory(&change.path, with);
                    self.tell(change, made)?;
                }
                (Action::Create | Action::Update, Some(with), Some(content), _) => {
                    let placed = self.host.stage(&change.path, content.bytes(), with)?;
                    steps.push((change, Some(placed)));
                }
                (Action::Move, _, _, Some(Found { entry, bytes: Some(bytes) })) => {
                    let with =
                        Attributes { mode: entry.mode, owner: Some(entry.owner), label: None };
                    let to = change.to.as_ref().unwrap_or(&change.path);
                    let placed = self.host.stage(to, bytes, &with)?;
                    steps.push((change, Some(placed)));
                }
                _ => steps.push((change, None)),
            }
        }
        for (change, placed) in steps {
            self.visible += 1;
            let stepped = self.step(&change, placed);
            self.tell(change, stepped)?;
        }
        Ok(())
    }

    fn step(&self, change: &Change, placed: Option<Placed>) -> Result<(), HostFault> {
        if let Some(placed) = placed {
            placed.commit()?;
        }
        match (change.action, &change.with) {
            (Action::Chmod | Action::Chown, Some(with)) => {
                self.host.set_attributes(&change.path, with)
            }
            (Action::Remove | Action::Move, _) => self.host.remove_file(&change.path),
            (Action::Rmdir, _) => self.host.remove_directory(&change.path),
            (
                Action::Chmod | Action::Chown | Action::Create | Action::Mkdir | Action::Update,
                _,
            ) => Ok(()),
        }
    }

    /// Counts `change` among what was done, if it was: a file may have its new name and the disk not
    /// know of it, or a directory be there with the mode of the moment.
    fn tell(&mut self, change: Change, came: Result<(), HostFault>) -> Result<(), HostFault> {
        if came.is_ok() || self.can_be_seen(&change) {
            self.done.push(change);
        }
        came
    }

    fn can_be_seen(&self, change: &Change) -> bool {
        // Where not even that can be told, nothing is told.
        let Ok(now) = self.host.find(&change.path) else { return false };
        match (change.action, now, &change.before) {
            (Action::Create | Action::Mkdir, now, _) => now.is_some(),
            (Action::Move | Action::Remove | Action::Rmdir, now, _) => now.is_none(),
            (Action::Update, Some(now), Some(before)) => now.stamp != before.entry.stamp,
            (Action::Chmod | Action::Chown, Some(now), Some(before)) => {
                (now.mode, now.owner) != (before.entry.mode, before.entry.owner)
            }
            (Action::Chmod | Action::Chown | Action::Update, _, _) => false,
        }
    }

    /// Takes back what was done of `phases` on, the last first, and the ledger with the first.
    ///
    /// # Errors
    /// What the operating system says; the rest stays done.
    pub(super) fn undo(&mut self, mut which: impl FnMut(&Change) -> bool) -> Result<(), HostFault> {
        let mut kept = Vec::new();
        while let Some(change) = self.done.pop() {
            if which(&change) {
                self.take_back(&change)?;
            } else {
                kept.push(change);
            }
        }
        kept.reverse();
        self.done = kept;
        Ok(())
    }

    /// Puts the ledger back as it was found, for a run that was taken back as a whole.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn forget(&mut self) -> Result<(), HostFault> {
        self.remove_tree(&self.snapshot)?;
        // The directory of snapshots, if there is nothing else in it.
        let snapshots = self.snapshot.parent();
        if self.host.list(&snapshots)?.is_empty() {
            self.host.remove_directory(&snapshots)?;
        }
        let path = paths::ledger();
        match &self.before {
            Some(text) => self.host.stage(&path, text, &PRIVATE)?.commit(),
            None if self.host.find(&path)?.is_some() => self.host.remove_file(&path),
            None => Ok(()),
        }
    }

    /// Best effort: whoever calls has an error to tell already.
    fn abandon(&mut self) {
        drop(self.forget());
        drop(self.undo(|_| true));
    }

    fn take_back(&self, change: &Change) -> Result<(), HostFault> {
        let path = &change.path;
        match (change.action, &change.before) {
            (Action::Create, _) => self.host.remove_file(path),
            (Action::Mkdir, _) => self.host.remove_directory(path),
            (Action::Chmod | Action::Chown, Some(found)) => {
                self.host.set_attributes(path, &attributes(found))
            }
            (Action::Rmdir, Some(found)) => self.host.make_directory(path, &attributes(found)),
            (Action::Update | Action::Remove, Some(found)) => self.write_back(path, found),
            (Action::Move, Some(found)) => {
                self.write_back(path, found)?;
                change.to.as_ref().map_or(Ok(()), |to| self.host.remove_file(to))
            }
            // Of what was there before, there is always a finding.
            (_, None) => Ok(()),
        }
    }

    fn write_back(&self, path: &NodePath, found: &Found) -> Result<(), HostFault> {
        let bytes = found.bytes.as_deref().unwrap_or_default();
        self.host.stage(path, bytes, &attributes(found))?.commit()
    }

    /// A copy of what `change` replaces or removes, if that is not what we left there ourselves.
    fn copy(&self, change: &Change) -> Result<Option<NodePath>, HostFault> {
        let replaced = matches!(change.action, Action::Update | Action::Remove);
        let Some(Found { bytes: Some(bytes), .. }) = change.before.as_ref().filter(|_| replaced)
        else {
            return Ok(None);
        };
        let leftover = change.path.name().starts_with(crate::files::TEMPORARY);
        let program = change.path.is_within(&paths::programs());
        if leftover || program || self.ledger.left(&change.path, bytes) {
            return Ok(None);
        }
        let Ok(to) = self.snapshot.join(change.path.as_str()) else { return Ok(None) };
        self.make_directories(&to.parent())?;
        self.host.stage(&to, bytes, &PRIVATE)?.commit()?;
        Ok(Some(to))
    }

    fn make_directories(&self, path: &NodePath) -> Result<(), HostFault> {
        let mut missing: Vec<_> = path.ancestors().collect();
        missing.reverse();
        for path in missing {
            if self.host.find(&path)?.is_none() {
                self.host.make_directory(&path, &PRIVATE_DIRECTORY)?;
            }
        }
        Ok(())
    }

    /// Gives the ledger the last word about something, such as what was seen after the changes;
    /// `with` says whether it did.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn amend(
        &mut self,
        with: impl FnOnce(&mut Ledger, &[Change]) -> bool,
    ) -> Result<(), HostFault> {
        if with(&mut self.ledger, &self.done) { self.write_ledger() } else { Ok(()) }
    }

    fn write_ledger(&self) -> Result<(), HostFault> {
        let text = self.ledger.text();
        self.host.stage(&paths::ledger(), text.as_bytes(), &PRIVATE)?.commit()
    }

    /// Removes snapshots beyond the newest few, but for those that are needed to go back.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn prune(&self) -> Result<(), HostFault> {
        let all = paths::snapshots();
        let mut names = self.host.list(&all)?;
        names.truncate(names.len().saturating_sub(KEPT_SNAPSHOTS));
        for name in names {
            let Ok(snapshot) = all.join(&name) else { continue };
            let needed = self.ledger.entries.values().any(|record| {
                let copy = record.before.as_ref().and_then(|before| before.snapshot.as_ref());
                copy.is_some_and(|copy| copy.is_within(&snapshot))
            });
            if !needed {
                self.remove_tree(&snapshot)?;
            }
        }
        Ok(())
    }

    fn remove_tree(&self, path: &NodePath) -> Result<(), HostFault> {
        remove_tree(self.host, path)
    }
}

/// Removes `path` and all below it. Meant for our own state directory: follows no symlink.
///
/// # Errors
/// What the operating system says.
pub(super) fn remove_tree(host: &Host, path: &NodePath) -> Result<(), HostFault> {
    use super::host::Kind;
    match host.find(path)?.map(|entry| entry.kind) {
        None => Ok(()),
        Some(Kind::File | Kind::Symlink | Kind::Other) => host.remove_file(path),
        Some(Kind::Directory) => {
            for name in host.list(path)? {
                if let Ok(below) = path.join(&name) {
                    remove_tree(host, &below)?;
                }
            }
            host.remove_directory(path)
        }
    }
}

fn attributes(found: &Found) -> Attributes {
    Attributes { mode: found.entry.mode, owner: Some(found.entry.owner), label: None }
}

const ROOT: Owner = Owner { uid: 0, gid: 0 };
const PRIVATE: Attributes = Attributes { mode: 0o600, owner: Some(ROOT), label: None };
const PRIVATE_DIRECTORY: Attributes = Attributes { mode: 0o700, owner: Some(ROOT), label: None };
/// A few weeks of changes on a host that is cared for.
const KEPT_SNAPSHOTS: usize = 10;
