//! Whole files: written at once or not at all, read up to a limit.
//!
//! It creates no directory, follows no plan and keeps no backup.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::process::{Gid, Uid};
use tempfile::TempPath;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It holds more than the caller is ready to take.
    #[error("expected at most {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
}

/// Puts `bytes` at `path` so that a reader sees the old file or the new one, never a part, and
/// never with another mode than `mode` (the umask has no say).
///
/// The bytes are on disk when this returns. A symlink at `path` is replaced, not followed. Until
/// the last step the content lies in a temporary file with a leading dot, mode 0600, beside
/// `path`: kubelet skips such names.
///
/// # Errors
/// Whatever the operating system says; `path` is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    stage(path, bytes, &Attributes { mode, owner: None, label: None })?.commit()
}

/// What a file has besides its content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// User and group; `None` leaves both as the system gives them.
    pub owner: Option<Owner>,
    /// SELinux's label; `None` leaves it as the system gives it.
    pub label: Option<&'static str>,
}

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Attributes {
    /// Gives them to an open file or directory: owner first, since a change of owner may clear
    /// bits of the mode.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set(&self, file: &File) -> io::Result<()> {
        if let Some(Owner { uid, gid }) = self.owner {
            rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))?;
        if let Some(label) = self.label {
            rustix::fs::fsetxattr(file, LABEL, label.as_bytes(), XattrFlags::empty())?;
        }
        Ok(())
    }
}

/// A file that is whole, on disk and invisible: one rename from its place. Dropped, it is gone.
#[derive(Debug)]
pub struct Staged {
    file: TempPath,
    path: PathBuf,
}

/// Writes `bytes` beside `path`, as [`write_whole`] does, up to the last step.
///
/// # Errors
/// Whatever the operating system says; nothing is left then.
pub fn stage(path: &Path, bytes: &[u8], attributes: &Attributes) -> io::Result<Staged> {
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(directory(path))?;
    attributes.set(file.as_file())?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // Closed now: a close after the rename would be one more event on the file's own name.
    Ok(Staged { file: file.into_temp_path(), path: path.into() })
}

impl Staged {
    /// The last step: puts the file in its place.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn commit(self) -> io::Result<()> {
        self.file.persist(&self.path)?;
        // The rename itself survives a power cut only once the directory is on disk.
        File::open(directory(&self.path))?.sync_all()
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    }
}

/// How names of temporary files begin: what a killed run left can be told by it.
pub const TEMPORARY: &str = ".iamgate-";
/// Where SELinux keeps labels.
const LABEL: &str = "security.selinux";

/// The content of `path`, if that is at most `limit` bytes.
///
/// # Errors
/// [`ReadFault::TooLong`] beyond the limit; else what the operating system says.
pub fn read_capped(path: &Path, limit: usize) -> Result<Vec<u8>, ReadFault> {
    read_to_cap(&File::open(path)?, limit)
}

/// [`read_capped`] for a file that is open already.
///
/// # Errors
/// As [`read_capped`].
pub fn read_to_cap(file: &File, limit: usize) -> Result<Vec<u8>, ReadFault> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(one_more).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(ReadFault::TooLong { limit }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_with_its_mode_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for (bytes, mode) in [(&b"one"[..], 0o644), (b"two", 0o600), (b"", 0o666)] {
            write_whole(&path, bytes, mode).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let fault = write_whole(&dir.path().join("no/f"), b"x", 0o600).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_limit_is_the_last_length_that_passes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_whole(&path, b"12345", 0o600).unwrap();
        assert_eq!(read_capped(&path, 5).unwrap(), b"12345");
        assert!(matches!(read_capped(&path, 4), Err(ReadFault::TooLong { limit: 4 })));
    }
}
