//! The difference between what should be and what is, as a list of changes. Pure.
//!
//! A [`Target`] says what should stand at a path, a [`Found`] what does; where they differ there is
//! a [`Change`]. Nothing here reads or writes.

use ring::digest::{SHA256, digest};

use super::host::{Entry, Kind, NodePath};
use crate::files::{Attributes, Owner};
use crate::secret::Secret;

/// What should stand at a path.
#[derive(Debug)]
pub(super) struct Target {
    /// Where.
    pub path: NodePath,
    /// When, and what depends on it.
    pub phase: Phase,
    /// What.
    pub want: Want,
}

/// The parts of a run, which follow one another; between them the host is waited for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    Files,
    Authenticator,
    ApiServer,
}

/// What should be there.
#[derive(Debug)]
pub(super) enum Want {
    /// A directory.
    Directory {
        /// With these attributes.
        with: Attributes,
        /// How closely.
        fit: Fit,
    },
    /// A file.
    File {
        /// That says this.
        content: Content,
        /// With these attributes.
        with: Attributes,
    },
    /// A file of somebody else's, which keeps its content but has to be readable for a group.
    Readable {
        /// Whose group.
        owner: Owner,
    },
    /// A file that is known to say what it should.
    Kept {
        /// With these attributes.
        with: Attributes,
    },
    /// Nothing.
    Gone,
    /// The file, somewhere else.
    Moved {
        /// Where to.
        to: NodePath,
    },
}

/// How closely the attributes of a directory have to fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fit {
    /// Exactly: it is ours.
    Exact,
    /// It was there before us: as long as this user or group gets in, it stays as it is.
    Enough(Owner),
}

/// What a file says, and how much of that may be told.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text that anybody may see.
    Text(Vec<u8>),
    /// Text that differs from run to run, told by what it means.
    Made {
        /// The bytes.
        bytes: Vec<u8>,
        /// What they mean, a line each.
        meaning: String,
    },
    /// Told by its length alone.
    Secret(Secret),
    /// A program.
    Program(Vec<u8>),
}

/// What stands at a path.
#[derive(Debug)]
pub struct Found {
    /// What it is.
    pub entry: Entry,
    /// What it says, if it is a file.
    pub bytes: Option<Vec<u8>>,
}

/// One step of a plan.
#[derive(Debug)]
pub struct Change {
    /// What to do.
    pub action: Action,
    /// To what.
    pub path: NodePath,
    /// In which part of the run.
    pub phase: Phase,
    /// What will be there, if it is a file.
    pub content: Option<Content>,
    /// The attributes that it will have.
    pub with: Option<Attributes>,
    /// What was there.
    pub before: Option<Found>,
    /// Where it goes, if it is moved.
    pub to: Option<NodePath>,
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Chmod,
    Chown,
    Create,
    Mkdir,
    Move,
    Remove,
    Rmdir,
    Update,
}

impl Target {
    /// What it takes to get from `found` to here; `None` if nothing does.
    ///
    /// Ownership is compared only where `owned`, since who is not root cannot set it.
    pub(super) fn change(self, found: Option<Found>, owned: bool) -> Option<Change> {
        let Self { path, phase, want } = self;
        let change = |action, content, with, before| {
            Some(Change { action, path: path.clone(), phase, content, with, before, to: None })
        };
        match (want, found) {
            (Want::Directory { with, .. }, None) => change(Action::Mkdir, None, Some(with), None),
            (Want::Directory { with, fit }, Some(found)) => {
                let fits = matches!(fit, Fit::Enough(whom) if lets_in(&found.entry, whom));
                let drift = drift(&found.entry, &with, owned).filter(|_| !fits)?;
                change(drift, None, Some(with), Some(found))
            }
            (Want::File { content, with }, None) => {
                change(Action::Create, Some(content), Some(with), None)
            }
            (Want::File { content, with }, Some(found)) => {
                if found.bytes.as_deref() != Some(content.bytes()) {
                    return change(Action::Update, Some(content), Some(with), Some(found));
                }
                let drift = drift(&found.entry, &with, owned)?;
                change(drift, None, Some(with), Some(found))
            }
            (Want::Readable { owner }, Some(found)) => {
                let with = readable(&found.entry, owner, owned)?;
                let drift = drift(&found.entry, &with, owned)?;
                change(drift, None, Some(with), Some(found))
            }
            (Want::Kept { with }, Some(found)) => {
                let drift = drift(&found.entry, &with, owned)?;
                change(drift, None, Some(with), Some(found))
            }
            (Want::Gone, Some(found)) => {
                let action = match found.entry.kind {
                    Kind::Directory => Action::Rmdir,
                    Kind::File | Kind::Symlink | Kind::Other => Action::Remove,
                };
                change(action, None, None, Some(found))
            }
            (Want::Moved { to }, Some(found)) => {
                let mut change = change(Action::Move, None, None, Some(found))?;
                change.to = Some(to);
                Some(change)
            }
            (Want::Readable { .. } | Want::Kept { .. } | Want::Gone | Want::Moved { .. }, None) => {
                None
            }
        }
    }
}

/// Whether the user, or the group, may look into the directory as it is.
fn lets_in(entry: &Entry, Owner { uid, gid }: Owner) -> bool {
    // Whoever follows a file has to read its directory, too (inotify(7)).
    let rx = 0o005;
    uid == 0
        || entry.mode & rx == rx
        || (entry.owner.gid == gid && (entry.mode >> 3) & rx == rx)
        || (entry.owner.uid == uid && (entry.mode >> 6) & rx == rx)
}

/// The attributes with which the group can read; `None` if it can as things are.
fn readable(entry: &Entry, Owner { uid, gid }: Owner, owned: bool) -> Option<Attributes> {
    let r = 0o4;
    let reads = entry.mode & r != 0
        || (entry.owner.gid == gid && (entry.mode >> 3) & r != 0)
        || (entry.owner.uid == uid && (entry.mode >> 6) & r != 0);
    if reads || (!owned && (entry.mode >> 3) & r != 0) {
        return None;
    }
    let owner = Owner { uid: entry.owner.uid, gid };
    Some(Attributes { mode: entry.mode | 0o440, owner: Some(owner), label: None })
}

fn drift(entry: &Entry, with: &Attributes, owned: bool) -> Option<Action> {
    let owner = with.owner.filter(|_| owned);
    if owner.is_some_and(|owner| owner != entry.owner) {
        return Some(Action::Chown);
    }
    (entry.mode != with.mode).then_some(Action::Chmod)
}

impl Content {
    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) | Self::Made { bytes, .. } | Self::Program(bytes) => bytes,
            Self::Secret(text) => text.expose().as_bytes(),
        }
    }
}

/// The SHA-256 of `bytes`, in lower-case hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in digest(&SHA256, bytes).as_ref() {
        // Writing to a string cannot fail.
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::host::Kind;

    const ROOT: Owner = Owner { uid: 0, gid: 0 };
    const OURS: Owner = Owner { uid: 10000, gid: 10000 };
    const OF_GROUP: Owner = Owner { uid: 0, gid: 10000 };

    fn with(mode: u32, owner: Owner) -> Attributes {
        Attributes { mode, owner: Some(owner), label: None }
    }

    fn found(kind: Kind, mode: u32, owner: Owner, bytes: &[u8]) -> Option<Found> {
        let entry = Entry { kind, mode, owner, size: 0, stamp: Default::default() };
        Some(Found { entry, bytes: (kind == Kind::File).then(|| bytes.to_vec()) })
    }

    fn action(want: Want, found: Option<Found>) -> Option<Action> {
        let target = Target { path: "/f".parse().unwrap(), phase: Phase::Files, want };
        target.change(found, true).map(|change| change.action)
    }

    #[test]
    fn a_file_changes_when_its_bytes_mode_or_owner_differ_and_not_otherwise() {
        let want = || Want::File { content: Content::Text(b"x".into()), with: with(0o640, OURS) };
        for (found, expected) in [
            (None, Some(Action::Create)),
            (found(Kind::File, 0o640, OURS, b"x"), None),
            (found(Kind::File, 0o640, OURS, b"y"), Some(Action::Update)),
            (found(Kind::File, 0o600, OURS, b"x"), Some(Action::Chmod)),
            (found(Kind::File, 0o640, ROOT, b"x"), Some(Action::Chown)),
            (found(Kind::File, 0o600, ROOT, b"x"), Some(Action::Chown)),
        ] {
            let told = format!("{found:?}");
            assert_eq!(action(want(), found), expected, "{told}");
        }
    }

    #[test]
    fn a_directory_that_was_there_before_stays_as_long_as_the_group_gets_in() {
        let want = |fit| Want::Directory { with: with(0o750, OF_GROUP), fit };
        for (mode, owner, enough) in [
            (0o755, ROOT, None),
            (0o750, OF_GROUP, None),
            (0o700, OURS, None),
            (0o700, ROOT, Some(Action::Chown)),
            (0o711, ROOT, Some(Action::Chown)),
            (0o750, ROOT, Some(Action::Chown)),
            (0o700, OF_GROUP, Some(Action::Chmod)),
        ] {
            let found = || found(Kind::Directory, mode, owner, b"");
            assert_eq!(action(want(Fit::Enough(OURS)), found()), enough, "{mode:o} {owner:?}");
            let exact = (mode, owner) != (0o750, OF_GROUP);
            assert_eq!(action(want(Fit::Exact), found()).is_some(), exact, "{mode:o} {owner:?}");
        }
    }

    #[test]
    fn a_file_of_somebody_elses_is_opened_no_further_than_the_group_needs() {
        for (mode, owner, opened) in [
            (0o600, ROOT, Some((0o640, OF_GROUP))),
            (0o400, ROOT, Some((0o440, OF_GROUP))),
            (0o640, ROOT, Some((0o640, OF_GROUP))),
            (0o640, OF_GROUP, None),
            (0o644, ROOT, None),
            (0o600, OURS, None),
        ] {
            let target = Target {
                path: "/f".parse().unwrap(),
                phase: Phase::Files,
                want: Want::Readable { owner: OURS },
            };
            let change = target.change(found(Kind::File, mode, owner, b""), true);
            let with = change.and_then(|change| change.with);
            let got = with.map(|with| (with.mode, with.owner.unwrap()));
            assert_eq!(got, opened, "{mode:o} {owner:?}");
        }
    }

    #[test]
    fn what_is_gone_stays_gone() {
        assert_eq!(action(Want::Gone, None), None);
        assert_eq!(action(Want::Gone, found(Kind::File, 0, ROOT, b"")), Some(Action::Remove));
        assert_eq!(action(Want::Gone, found(Kind::Directory, 0, ROOT, b"")), Some(Action::Rmdir));
    }

    #[test]
    fn whoever_cannot_give_files_away_does_not_try_to() {
        let want = Want::File { content: Content::Text(b"x".into()), with: with(0o640, OURS) };
        let target = Target { path: "/f".parse().unwrap(), phase: Phase::Files, want };
        assert!(target.change(found(Kind::File, 0o640, ROOT, b"x"), false).is_none());
    }
}
