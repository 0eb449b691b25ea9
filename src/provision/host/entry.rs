//! What stands at a path: its kind, mode, owner, and by what it is known again.

use std::fs::File;
use std::io;

use rustix::fs::FileType;

use crate::files::Owner;

/// What stands at a path, a symlink not followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// In bytes.
    pub size: u64,
    /// Which file it is, and when it was last written: a file that was not touched has the same.
    pub stamp: Stamp,
}

/// The kinds of entries that we tell apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Directory,
    File,
    Symlink,
    Other,
}

/// Identity and last write of a file, as `git`'s index uses them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: u64,
}

impl Stamp {
    /// When it was last written, in seconds since 1970.
    pub fn written(&self) -> u64 {
        u64::try_from(self.seconds).unwrap_or(0)
    }
}

impl Entry {
    pub(super) fn of(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Kind::Other,
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            owner: Owner { uid: stat.st_uid, gid: stat.st_gid },
            size,
            stamp: Stamp {
                device: stat.st_dev,
                inode: stat.st_ino,
                size,
                seconds: stat.st_mtime,
                nanoseconds: stat.st_mtime_nsec,
            },
        }
    }

    /// The same about a file of this machine, wherever the root is.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn of_file(file: &File) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::fstat(file)?))
    }
}
