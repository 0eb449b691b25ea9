//! One whole, settled content of a file, or the reason why there is none.
//!
//! Reading blocks: call it where blocking is allowed. It never waits for a writer, and it opens
//! nothing but regular files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// How often a file that changes under the reader is read anew before giving up for the moment.
/// A writer that outlasts this many reads makes another event, and so another try.
const ATTEMPTS: usize = 5;

/// Why a file gives no content.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReadFault {
    /// There is no such file, or a directory on the way to it is missing.
    #[error("the file does not exist")]
    Missing,
    /// Nothing in it but white space: what a truncation or a failed copy leaves behind.
    #[error("the file is empty")]
    Empty,
    /// The permissions of the file or of a directory on the way forbid it.
    #[error("permission denied, expected a file that this process may read")]
    Denied,
    /// A directory, FIFO, socket or device.
    #[error("not a regular file")]
    NotRegular,
    /// The symbolic links lead nowhere.
    #[error("the symbolic links form a loop")]
    Loop,
    /// More bytes than the caller takes.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The caller's limit, in bytes.
        limit: u64,
    },
    /// It changed during each of several reads.
    #[error("the file keeps changing while it is read")]
    Unsettled,
    /// Any other answer of the operating system.
    #[error("cannot be read: {0}")]
    Io(io::ErrorKind),
}

impl ReadFault {
    /// The fault may pass without anything that a watch could see, so it is worth asking again.
    pub(super) fn may_pass(self) -> bool {
        match self {
            Self::Unsettled | Self::Io(_) => true,
            Self::Missing
            | Self::Empty
            | Self::Denied
            | Self::NotRegular
            | Self::Loop
            | Self::TooLarge { .. } => false,
        }
    }
}

impl From<io::Error> for ReadFault {
    fn from(error: io::Error) -> Self {
        if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return Self::Loop;
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of kinds is open")]
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            kind => Self::Io(kind),
        }
    }
}

/// Reads the whole of a regular file of at most `limit` bytes, white space alone counting as
/// nothing. A file that changes during the read is read again, a few times.
///
/// A write that is under way may still be caught halfway, since a file's times tell of its
/// beginning only. Its end makes another event, so a follower soon reads again.
///
/// # Errors
/// See [`ReadFault`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadFault> {
    let content = settled(|| read_once(path, limit))?;
    if content.trim_ascii().is_empty() { Err(ReadFault::Empty) } else { Ok(content) }
}

fn settled(
    mut once: impl FnMut() -> Result<Option<Vec<u8>>, ReadFault>,
) -> Result<Vec<u8>, ReadFault> {
    for _ in 0..ATTEMPTS {
        if let Some(content) = once()? {
            return Ok(content);
        }
    }
    Err(ReadFault::Unsettled)
}

/// The content, or `None` when the file changed meanwhile.
fn read_once(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, ReadFault> {
    // Looked at before it is opened, since opening a FIFO or a device is felt at its other end;
    // and again afterwards, since the name may lead elsewhere by then.
    regular(&fs::metadata(path)?)?;
    let mut file = open(path)?;
    let before = file.metadata()?;
    regular(&before)?;
    if before.len() > limit {
        return Err(ReadFault::TooLarge { limit });
    }
    let mut content = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0) + 1);
    file.by_ref().take(limit.saturating_add(1)).read_to_end(&mut content)?;
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    if size > limit {
        return Err(ReadFault::TooLarge { limit });
    }
    let after = file.metadata()?;
    let settled = Stamp::of(&before) == Stamp::of(&after) && size == after.len();
    Ok(settled.then_some(content))
}

fn regular(metadata: &Metadata) -> Result<(), ReadFault> {
    if metadata.is_file() { Ok(()) } else { Err(ReadFault::NotRegular) }
}

/// Opens without waiting: for the writer of a FIFO, or for the holder of a lease.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// What tells two states of a file apart without reading it. The change time cannot be set by
/// hand, so a copy that keeps the modification time differs too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const LIMIT: u64 = 8;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the tests write as any program would")]
    fn only_a_regular_file_within_the_limit_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("full"), "12345678").unwrap();
        fs::write(at("over"), "123456789").unwrap();
        fs::write(at("empty"), "").unwrap();
        fs::write(at("blank"), " \n\t\n").unwrap();
        fs::create_dir(at("dir")).unwrap();
        symlink("full", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("round", at("round")).unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let table = [
            ("full", Ok(b"12345678".to_vec())),
            ("link", Ok(b"12345678".to_vec())),
            ("over", Err(ReadFault::TooLarge { limit: 8 })),
            ("empty", Err(ReadFault::Empty)),
            ("blank", Err(ReadFault::Empty)),
            ("dir", Err(ReadFault::NotRegular)),
            ("fifo", Err(ReadFault::NotRegular)),
            ("socket", Err(ReadFault::NotRegular)),
            ("dangling", Err(ReadFault::Missing)),
            ("absent", Err(ReadFault::Missing)),
            ("full/below", Err(ReadFault::Missing)),
            ("round", Err(ReadFault::Loop)),
        ];
        for (name, expected) in table {
            assert_eq!(read(&at(name), LIMIT), expected, "{name}");
        }
        assert_eq!(read(Path::new("/dev/null"), LIMIT), Err(ReadFault::NotRegular));
    }

    #[test]
    fn a_file_that_changes_is_read_again_but_not_for_ever() {
        let changing = |times: usize| {
            let mut left = times;
            move || {
                let done = left == 0;
                left = left.saturating_sub(1);
                Ok(done.then(|| b"x".to_vec()))
            }
        };
        assert_eq!(settled(changing(ATTEMPTS - 1)), Ok(b"x".to_vec()));
        assert_eq!(settled(changing(ATTEMPTS)), Err(ReadFault::Unsettled));
        assert_eq!(settled(|| Err(ReadFault::Denied)), Err(ReadFault::Denied));
    }

    #[test]
    fn faults_are_one_line_that_says_what_was_expected() {
        let faults = [
            ReadFault::Missing,
            ReadFault::Empty,
            ReadFault::Denied,
            ReadFault::NotRegular,
            ReadFault::Loop,
            ReadFault::TooLarge { limit: 8 },
            ReadFault::Unsettled,
            ReadFault::Io(io::ErrorKind::StaleNetworkFileHandle),
        ];
        for fault in faults {
            let text = fault.to_string();
            assert!(text.len() < 80 && !text.contains('\n'), "{text}");
        }
    }
}
