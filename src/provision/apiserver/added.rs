//! What an edit added to a manifest: the note by which it is taken out again.

use serde::{Deserialize, Serialize};

use super::wanted::DirectoryType;

/// Everything that one edit, or several in a row, added. Empty if nothing was. For a ledger.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Flags that were not there.
    pub flags: Vec<AddedFlag>,
    /// Mounts, and their volumes.
    pub mounts: Vec<AddedMount>,
    /// Annotations that were not there or had another value.
    pub annotations: Vec<AddedAnnotation>,
    /// The collections that they are in.
    pub parents: Parents,
}

/// `--name=value`, one word.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddedFlag {
    /// Without dashes.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A mount of the API server's container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddedMount {
    /// The volume's name.
    pub volume: String,
    /// On the host.
    pub host_path: String,
    /// In the container.
    pub mount_path: String,
    /// Whether the container may only read there.
    pub read_only: bool,
    /// The volume's `type`.
    pub host_type: DirectoryType,
    /// Whether the volume was added too; false if one of this name and path was there.
    pub with_volume: bool,
}

/// An annotation of the pod.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddedAnnotation {
    /// Its key.
    pub key: String,
    /// What it was set to.
    pub value: String,
    /// What it was before, if it was there.
    pub previous: Option<Previous>,
}

/// The value that an annotation had before.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// What it was.
    pub value: String,
    /// How that was written, with its quotes.
    pub source: String,
}

/// What the collections were that things were added to.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parents {
    /// `spec.volumes`.
    pub volumes: Parent,
    /// `volumeMounts` of the container.
    pub volume_mounts: Parent,
    /// `metadata.annotations`.
    pub annotations: Parent,
}

/// What a collection was before something was added to it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Parent {
    /// There, or not needed.
    #[default]
    Kept,
    /// Not there: its key was added.
    Created,
    /// `null` in this spelling; empty for a key with nothing behind it.
    Null(String),
}

impl Added {
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty() && self.mounts.is_empty() && self.annotations.is_empty()
    }

    /// What this edit and one after it added together.
    pub fn then(mut self, later: Self) -> Self {
        for flag in later.flags {
            self.flags.retain(|known| known.name != flag.name);
            self.flags.push(flag);
        }
        for mut mount in later.mounts {
            // Ours of before may have been found again, and its mount lost.
            let known = self.mounts.iter().position(|known| known.volume == mount.volume);
            if let Some(known) = known.map(|at| self.mounts.remove(at)) {
                mount.with_volume |= known.with_volume && known.host_path == mount.host_path;
            }
            self.mounts.push(mount);
        }
        for mut note in later.annotations {
            let known = self.annotations.iter().position(|known| known.key == note.key);
            if let Some(known) = known.map(|at| self.annotations.remove(at)) {
                // What was replaced is ours; what ours replaced is what was there.
                if note.previous.as_ref().is_some_and(|previous| previous.value == known.value) {
                    note.previous = known.previous;
                }
            }
            self.annotations.push(note);
        }
        self.parents = Parents {
            volumes: self.parents.volumes.then(later.parents.volumes),
            volume_mounts: self.parents.volume_mounts.then(later.parents.volume_mounts),
            annotations: self.parents.annotations.then(later.parents.annotations),
        };
        self
    }
}

impl Parent {
    fn then(self, later: Self) -> Self {
        match later {
            Self::Kept => self,
            Self::Created | Self::Null(_) => later,
        }
    }
}
