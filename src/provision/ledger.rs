//! The ledger: what we created or changed on a host, and what was there before.
//!
//! It is written before the changes that it tells of, so that a run that is killed has told
//! everything; whoever reads it looks at what is really there. Pure: a value to and from JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::apiserver::Added;
use super::host::{Kind, NodePath, Stamp};
use super::plan::{Action, Change, sha256};
use crate::files::{Attributes, Owner};

/// Everything that we did to a host.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    schema: Schema,
    /// What we did to each path.
    pub entries: BTreeMap<NodePath, Record>,
    /// What we added to the API server's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apiserver: Option<Manifest>,
    /// The content hash that the API server was last given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// The CA bundle, numbered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Generation>,
    /// The program that was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
enum Schema {
    #[serde(rename = "iamgate/v1")]
    V1,
}

/// What we did to one path.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Whether it is a directory.
    #[serde(default)]
    pub directory: bool,
    /// What was there before us; `None` if nothing was.
    pub before: Option<Before>,
    /// SHA-256 of what we left there, the last one last: while a change is under way there are two.
    #[serde(default)]
    pub left: Vec<String>,
    /// The attributes that we left it with.
    pub mode: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What was at a path before us.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    /// Its permission bits.
    pub mode: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The copy that we took; `None` where we changed no more than its attributes.
    pub snapshot: Option<NodePath>,
}

/// What we added to the API server's manifest.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// Which file.
    pub path: NodePath,
    /// What.
    pub added: Added,
}

/// A CA bundle and how many there were.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generation {
    /// SHA-256 of the bundle.
    pub sha256: String,
    /// From 1.
    pub number: u32,
}

/// A program that was installed, and the file that it was copied from: one that has not been
/// touched since need not be read again to know that it is the same.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    /// SHA-256 of the program.
    pub sha256: String,
    /// The file that it was copied from.
    pub source: Stamp,
    /// The copy; `None` until it has been seen.
    #[serde(default)]
    pub copy: Option<Stamp>,
}

/// The ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("expected a ledger of this program (iamgate/v1)")]
pub(super) struct Unreadable(#[from] serde_json::Error);

impl Default for Ledger {
    fn default() -> Self {
        Self {
            schema: Schema::V1,
            entries: BTreeMap::new(),
            apiserver: None,
            config_hash: None,
            ca: None,
            program: None,
        }
    }
}

impl Ledger {
    /// Reads it.
    ///
    /// # Errors
    /// It is not JSON, or not of this version.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        // Keys are strings and no value can fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether what is at `path` was not there before us.
    pub(super) fn made(&self, path: &NodePath) -> bool {
        self.entries.get(path).is_some_and(|record| record.before.is_none())
    }

    /// Whether `bytes` is what we left at `path`.
    pub(super) fn left(&self, path: &NodePath, bytes: &[u8]) -> bool {
        let hash = sha256(bytes);
        self.entries.get(path).is_some_and(|record| record.left.contains(&hash))
    }

    /// The number of the bundle with this hash: the same as long as it is the same bundle.
    pub(super) fn generation(&self, sha256: &str) -> u32 {
        match &self.ca {
            Some(ca) if ca.sha256 == sha256 => ca.number,
            Some(ca) => ca.number.saturating_add(1),
            None => 1,
        }
    }

    /// Notes that `change` is about to be made; `snapshot` is where what it replaces was copied to.
    pub(super) fn note(&mut self, change: &Change, snapshot: Option<NodePath>) {
        let directory = match &change.before {
            Some(found) => found.entry.kind == Kind::Directory,
            None => change.action == Action::Mkdir,
        };
        let found = change.before.as_ref();
        let Some(with) = &change.with else {
            // It goes, and until it has gone it is as it was: a run may be killed before.
            return;
        };
        let known = self.entries.remove(&change.path);
        let untouched = found.is_none_or(|found| match (&known, &found.bytes) {
            (Some(known), Some(bytes)) => known.left.contains(&sha256(bytes)),
            (known, _) => known.is_some(),
        });
        let Owner { uid, gid } = with
            .owner
            .unwrap_or_else(|| found.map_or(Owner { uid: 0, gid: 0 }, |found| found.entry.owner));
        let mut left: Vec<_> = known
            .iter()
            .filter(|_| untouched)
            .flat_map(|known| known.left.last().cloned())
            .collect();
        if let Some(content) = &change.content {
            left.push(sha256(content.bytes()));
        } else if left.is_empty() {
            left.extend(found.and_then(|found| found.bytes.as_deref()).map(sha256));
        }
        let before = match (known, found) {
            // Where only the attributes were changed so far, the content is still the first one.
            (Some(known), _) if untouched => known
                .before
                .map(|before| Before { snapshot: before.snapshot.or(snapshot), ..before }),
            (_, Some(found)) => Some(Before {
                mode: found.entry.mode,
                uid: found.entry.owner.uid,
                gid: found.entry.owner.gid,
                snapshot,
            }),
            (_, None) => None,
        };
        let record = Record { directory, before, left, mode: with.mode, uid, gid };
        self.entries.insert(change.path.clone(), record);
    }

    /// Notes that `change` was made, if that is all there is to tell: nothing is there any more.
    /// Says whether there is something new to write.
    pub(super) fn gone(&mut self, change: &Change) -> bool {
        let goes = matches!(change.action, Action::Move | Action::Remove | Action::Rmdir);
        goes && self.entries.remove(&change.path).is_some()
    }
}

impl Before {
    /// As attributes to set.
    pub(super) fn attributes(&self) -> Attributes {
        let owner = Some(Owner { uid: self.uid, gid: self.gid });
        Attributes { mode: self.mode, owner, label: None }
    }
}
