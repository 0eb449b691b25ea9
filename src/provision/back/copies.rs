//! Copies of what we replaced, once everything is taken back: those that the host has the same of
//! again go, with what a killed run left among them. The rest is somebody's data, and stays.

use super::remove_empty;
use crate::files::TEMPORARY;
use crate::provision::host::{Host, HostFault, Kind, NodePath};
use crate::provision::look::leftovers;
use crate::provision::{LARGEST, paths};

/// Removes what is not needed any more of our state directory, and that itself if nothing is left.
///
/// # Errors
/// What the operating system says.
pub(super) fn remove_needless(host: &Host) -> Result<(), HostFault> {
    let all = paths::snapshots();
    for name in host.list(&all)? {
        let Ok(snapshot) = all.join(&name) else { continue };
        remove_the_same(host, &snapshot, &NodePath::root())?;
    }
    for temporary in leftovers(host, &paths::state())? {
        host.remove_file(&temporary)?;
    }
    remove_empty(host, &all)?;
    remove_empty(host, &paths::state())
}

fn remove_the_same(host: &Host, copy: &NodePath, original: &NodePath) -> Result<(), HostFault> {
    match host.find(copy)?.map(|entry| entry.kind) {
        Some(Kind::Directory) => {
            for name in host.list(copy)? {
                if let (Ok(copy), Ok(original)) = (copy.join(&name), original.join(&name)) {
                    remove_the_same(host, &copy, &original)?;
                }
            }
            remove_empty(host, copy)
        }
        Some(Kind::File) => {
            let needless = copy.name().starts_with(TEMPORARY)
                || is_file(host, original)?
                    && host.read(original, LARGEST)? == host.read(copy, LARGEST)?;
            if needless { host.remove_file(copy) } else { Ok(()) }
        }
        Some(Kind::Symlink | Kind::Other) | None => Ok(()),
    }
}

fn is_file(host: &Host, path: &NodePath) -> Result<bool, HostFault> {
    Ok(host.find(path)?.is_some_and(|entry| entry.kind == Kind::File))
}
