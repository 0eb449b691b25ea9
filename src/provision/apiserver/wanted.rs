//! What is to be in the manifest, and what an edit warns of.

use serde::{Deserialize, Serialize};

use super::mounts;
use super::refusal::{Refusal, Shown};

/// Flags, mounts and annotations that the manifest is to have: all of them, or it stays as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Edit {
    /// Of the API server, in the order in which they are added.
    pub flags: Vec<WantedFlag>,
    /// Of directories of the host.
    pub mounts: Vec<WantedMount>,
    /// Of the pod.
    pub annotations: Vec<WantedAnnotation>,
}

/// `--name=value`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WantedFlag {
    /// Without dashes.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What becomes of another value that is there.
    pub policy: Policy,
}

/// What becomes of another value of a flag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Policy {
    /// It is refused: the flag belongs to something else.
    Must,
    /// It stays, with a warning: somebody chose it.
    Keep,
}

/// A directory of the host, in the API server's container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WantedMount {
    /// The volume's name; where another volume has it, `NAME-2` and so on is taken.
    pub volume: String,
    /// Absolute, without `.` and `..`.
    pub host_path: String,
    /// Likewise, in the container.
    pub mount_path: String,
    /// Whether the container may only read there.
    pub read_only: bool,
    /// What kubelet asks of the host.
    pub host_type: DirectoryType,
}

/// A host path's `type`. A file is never mounted: its mount would show the old one for ever after
/// it was replaced by rename.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum DirectoryType {
    /// It must be there.
    Directory,
    /// kubelet makes it, 0755.
    DirectoryOrCreate,
}

/// An annotation of the pod. Another value of the same key is replaced: the key is ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WantedAnnotation {
    /// As `iamgate.config-hash`.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What is as it should not be, and does not stand in the way.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Warning {
    /// A flag keeps a value that is not the one that we would give it.
    #[error("--{name} stays {value}; {wanted} is what iamgate sets")]
    Kept {
        /// Of the flag.
        line: usize,
        /// Without dashes.
        name: Box<str>,
        /// What it is.
        value: Shown,
        /// What we would set.
        wanted: Shown,
    },
    /// A deeper mount shows the same as ours; if it is of a file, it shows the old one after a change
    /// until the pod is started anew.
    #[error(
        "{mount_path} is mounted on its own: a changed file there is seen after a restart only"
    )]
    OwnMount {
        /// Of that mount.
        line: usize,
        /// In the container.
        mount_path: Shown,
    },
    /// Our name for a volume was taken.
    #[error("the volume name {name} is taken; ours is called {ours}")]
    VolumeName {
        /// Of the volume that has it.
        line: usize,
        /// The name.
        name: Shown,
        /// What ours is called.
        ours: Shown,
    },
    /// A flag that we added was changed since, and is left.
    #[error("--{name} was changed since iamgate added it, and is left")]
    FlagChanged {
        /// Of the flag.
        line: usize,
        /// Without dashes.
        name: Box<str>,
    },
    /// A mount or volume that we added was changed since, and is left.
    #[error("the mount of {volume} was changed since iamgate added it, and is left")]
    MountChanged {
        /// Of the mount or volume.
        line: usize,
        /// The volume's name.
        volume: Shown,
    },
    /// A volume that we added is mounted by something else as well, and is left.
    #[error("the volume {volume} is mounted by something else as well, and is left")]
    VolumeInUse {
        /// Of the volume.
        line: usize,
        /// Its name.
        volume: Shown,
    },
    /// An annotation that we set was changed since, and is left.
    #[error("the annotation {key} was changed since iamgate set it, and is left")]
    AnnotationChanged {
        /// Of the annotation.
        line: usize,
        /// Its key.
        key: Shown,
    },
}

impl Warning {
    /// The line that it is about, from 1; of a removal, in the manifest as it was given.
    pub fn line(&self) -> usize {
        match self {
            Self::Kept { line, .. }
            | Self::OwnMount { line, .. }
            | Self::VolumeName { line, .. }
            | Self::FlagChanged { line, .. }
            | Self::MountChanged { line, .. }
            | Self::VolumeInUse { line, .. }
            | Self::AnnotationChanged { line, .. } => *line,
        }
    }
}

impl DirectoryType {
    /// As the manifest has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "Directory",
            Self::DirectoryOrCreate => "DirectoryOrCreate",
        }
    }
}

impl Edit {
    /// Refuses what no manifest can hold, or what would mean something else there.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        for WantedFlag { name, value, .. } in &self.flags {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let named =
                name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits);
            require(named, name, "a flag's name, without dashes before it")?;
            // kubelet puts an environment variable in the place of `$(NAME)`.
            require(is_line(value) && !value.contains("$("), value, "a flag's value, in one line")?;
        }
        for mount in &self.mounts {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let volume = &mount.volume;
            let named = (1..=MOST_VOLUME_NAME).contains(&volume.len())
                && volume.chars().all(fits)
                && !volume.starts_with('-')
                && !volume.ends_with('-');
            require(named, volume, "a volume's name of lower-case letters, digits and dashes")?;
            for path in [&mount.host_path, &mount.mount_path] {
                let plain = mounts::plain(path).as_ref() == Some(path);
                let fits = plain && path != "/" && is_line(path) && !path.contains([':', '$']);
                require(fits, path, "an absolute path below /, without `.`, `..`, `:` and `$`")?;
            }
        }
        for WantedAnnotation { key, value } in &self.annotations {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            let named =
                key.starts_with(|c: char| c.is_ascii_alphanumeric()) && key.chars().all(fits);
            require(named && key.len() <= MOST_KEY, key, "an annotation's key")?;
            require(is_line(value), value, "an annotation's value, in one line")?;
        }
        Ok(())
    }
}

/// A DNS label of 63, and room for what we put behind a name that is taken.
const MOST_VOLUME_NAME: usize = 61;

/// A prefix of 253, a slash and a name of 63.
const MOST_KEY: usize = 317;

fn require(fits: bool, what: &str, wanted: &'static str) -> Result<(), Refusal> {
    if fits { Ok(()) } else { Err(Refusal::Wanted { what: Shown::new(what), wanted }) }
}

/// Whether every reader takes a text for one line: no control characters, and none of those that
/// YAML 1.1 ends lines at.
fn is_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
}
