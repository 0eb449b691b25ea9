use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use tokio::time::{Instant, sleep};

/// A file that only its owner can read, replaced as a whole.
///
/// Writers hold a lock on `<name>.lock`. The file that `aws-iam-authenticator` writes is locked
/// itself as well, shared to read and exclusive to write, as that program does.
#[derive(Debug)]
pub(super) struct PrivateFile {
    path: PathBuf,
    locks_itself: bool,
}

/// Why the cache is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheFault {
    #[error("neither AWS_IAM_AUTHENTICATOR_CACHE_FILE nor HOME is set")]
    NoHome,
    #[error("cache file {} is not private", .0.display())]
    NotPrivate(PathBuf),
    #[error("unable to open file {}: {fault}", path.display())]
    Open { path: PathBuf, fault: io::Error },
    #[error("unable to read lock file {}: held by another process for {} ms", .0.display(), LOCK_LIMIT.as_millis())]
    Locked(PathBuf),
    #[error("cache file {} is longer than {MAX_FILE} bytes", .0.display())]
    Length(PathBuf),
    #[error("unable to parse file {}: {why}", path.display())]
    Content { path: PathBuf, why: String },
    #[error("unable to write file {}: {fault}", path.display())]
    Write { path: PathBuf, fault: io::Error },
}

impl PrivateFile {
    pub(super) fn locked_itself(path: PathBuf) -> Self {
        Self { path, locks_itself: true }
    }

    pub(super) fn locked_beside(path: PathBuf) -> Self {
        Self { path, locks_itself: false }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn unreadable(&self, why: String) -> CacheFault {
        CacheFault::Content { path: self.path.clone(), why }
    }

    /// The content; `None` where there is no file.
    pub(super) async fn read(&self) -> Result<Option<String>, CacheFault> {
        let Some(file) = opened(&self.path, OFlags::RDONLY)? else {
            return Ok(None);
        };
        if self.locks_itself {
            lock(&file, &self.path, FlockOperation::NonBlockingLockShared).await?;
        }
        self.content(file).map(Some)
    }

    /// Replaces the content by what `change` makes of it; of nothing, if there is no file.
    pub(super) async fn update(
        &self,
        change: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<(), CacheFault> {
        let unwritten = |fault| CacheFault::Write { path: self.path.clone(), fault };
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unwritten)?;
        let beside = with_suffix(&self.path, ".lock");
        let guard = created(&beside)?;
        lock(&guard, &beside, FlockOperation::NonBlockingLockExclusive).await?;
        let file = match self.locks_itself {
            true => Some(self.own_lock().await?),
            false => opened(&self.path, OFlags::RDONLY)?,
        };
        let old = match &file {
            Some(file) => self.content(file)?,
            None => String::new(),
        };
        let new = change(&old).map_err(|why| self.unreadable(why))?;
        if new.len() > MAX_FILE {
            return Err(CacheFault::Length(self.path.clone()));
        }
        // Mode 0600 from the start; removed again if anything fails.
        let mut whole = tempfile::Builder::new()
            .prefix(".iamgate-")
            .tempfile_in(directory)
            .map_err(unwritten)?;
        whole.write_all(new.as_bytes()).map_err(unwritten)?;
        whole.persist(&self.path).map_err(|fault| unwritten(fault.error))?;
        Ok(())
    }

    /// Locks the file at our path, which another writer may have replaced while we waited.
    async fn own_lock(&self) -> Result<File, CacheFault> {
        let start = Instant::now();
        loop {
            let file = created(&self.path)?;
            lock(&file, &self.path, FlockOperation::NonBlockingLockExclusive).await?;
            let inode = |data: std::fs::Metadata| (data.dev(), data.ino());
            let (held, there) = (file.metadata(), self.path.symlink_metadata());
            if held.map(inode).ok() == there.map(inode).ok() {
                return Ok(file);
            }
            if start.elapsed() > LOCK_LIMIT {
                return Err(CacheFault::Locked(self.path.clone()));
            }
        }
    }

    fn content(&self, file: impl Read) -> Result<String, CacheFault> {
        let mut text = String::new();
        let read = file.take(MAX_FILE as u64 + 1).read_to_string(&mut text);
        read.map_err(|fault| CacheFault::Open { path: self.path.clone(), fault })?;
        match text.len() <= MAX_FILE {
            true => Ok(text),
            false => Err(CacheFault::Length(self.path.clone())),
        }
    }
}

fn created(path: &Path) -> Result<File, CacheFault> {
    let file = opened(path, OFlags::RDWR | OFlags::CREATE)?;
    file.ok_or_else(|| CacheFault::Open { path: path.into(), fault: Errno::NOENT.into() })
}

/// Opens a file that nobody else can have written or can read: ours, a plain file, closed to the
/// group and to others, and not at the end of a symbolic link.
fn opened(path: &Path, how: OFlags) -> Result<Option<File>, CacheFault> {
    let how = how | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, how, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(CacheFault::NotPrivate(path.into())),
        Err(fault) => {
            return Err(CacheFault::Open { path: path.into(), fault: fault.into() });
        }
    };
    let data = file.metadata().map_err(|fault| CacheFault::Open { path: path.into(), fault })?;
    let is_ours = data.uid() == rustix::process::geteuid().as_raw();
    match data.is_file() && is_ours && data.mode() & 0o077 == 0 {
        true => Ok(Some(file)),
        false => Err(CacheFault::NotPrivate(path.into())),
    }
}

async fn lock(file: &File, path: &Path, how: FlockOperation) -> Result<(), CacheFault> {
    let start = Instant::now();
    loop {
        match rustix::fs::flock(file, how) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) if start.elapsed() < LOCK_LIMIT => {
                sleep(LOCK_RETRY).await;
            }
            Err(Errno::WOULDBLOCK) => return Err(CacheFault::Locked(path.into())),
            Err(fault) => {
                return Err(CacheFault::Open { path: path.into(), fault: fault.into() });
            }
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `flock` has no way to wait with a limit; these are `aws-iam-authenticator`'s numbers.
const LOCK_RETRY: Duration = Duration::from_millis(250);
const LOCK_LIMIT: Duration = Duration::from_secs(1);
/// An entry is about 2 KiB: several hundred roles.
const MAX_FILE: usize = 1024 * 1024;
