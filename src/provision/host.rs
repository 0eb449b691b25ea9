//! The host under our hands: files, read and written inside one root directory.
//!
//! The root is a wall. Below a root that is not `/`, every path is resolved by the kernel with that
//! directory as its root (`openat2` with `RESOLVE_IN_ROOT`, Linux 5.6), symlinks included, so that
//! nothing outside is read or written. Decides nothing: what to write is `plan`'s work.

mod entry;
mod path;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, ResolveFlags, StatVfsMountFlags};
use rustix::io::Errno;

pub use self::entry::{Entry, Kind, Stamp};
pub use self::path::{NodePath, NodePathError};
use crate::files::{self, Attributes, ReadFault, Staged};

/// The host's file system, from its root down.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    dir: OwnedFd,
    superuser: bool,
}

/// The host said no.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct HostFault {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: ReadFault,
}

/// Why there is no host to work on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NoHost {
    #[error("cannot open the root directory {}", root.display())]
    Unopened { root: PathBuf, source: io::Error },
    #[error("this kernel cannot keep a run inside {} (openat2 is missing: Linux 5.6 has it)", root.display())]
    NoWall { root: PathBuf },
    #[error("another run holds the lock on {}", root.display())]
    Locked { root: PathBuf },
}

/// Keeps other runs away until it is dropped. It is a lock on the root directory itself, so that
/// a run leaves no file behind for it.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Host {
    /// The host whose files are below `root`.
    ///
    /// # Errors
    /// `root` cannot be opened, or the kernel cannot confine to it.
    pub fn open(root: &Path) -> Result<Self, NoHost> {
        let unopened = |error: Errno| NoHost::Unopened { root: root.into(), source: error.into() };
        let dir = rustix::fs::open(root, DIRECTORY, Mode::empty()).map_err(unopened)?;
        let superuser = rustix::process::geteuid().is_root();
        let root = std::path::absolute(root).unwrap_or_else(|_| root.into());
        let host = Self { root, dir, superuser };
        match host.confined(Path::new("."), DIRECTORY) {
            Ok(_) => Ok(host),
            Err(Errno::NOSYS | Errno::PERM) => Err(NoHost::NoWall { root: host.root }),
            Err(error) => Err(NoHost::Unopened { root: host.root, source: error.into() }),
        }
    }

    /// The directory that paths are below.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this is the running system itself.
    pub fn is_running(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Whether we may give files away.
    pub fn can_own(&self) -> bool {
        self.superuser
    }

    /// Where `path` is for whoever looks from outside the root.
    pub fn outside(&self, path: &NodePath) -> PathBuf {
        self.root.join(path.relative())
    }

    /// Waits for its turn among runs on this host, up to `patience`; `waiting` is called once if
    /// there is something to wait for.
    ///
    /// # Errors
    /// Another run has not ended by then.
    pub fn lock(&self, patience: Duration, waiting: impl FnOnce()) -> Result<Lock, NoHost> {
        let unopened = |source| NoHost::Unopened { root: self.root.clone(), source };
        let file = File::open(&self.root).map_err(unopened)?;
        let mut waiting = Some(waiting);
        let began = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock(file)),
                Err(Errno::WOULDBLOCK) if began.elapsed() < patience => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    std::thread::sleep(LOCK_POLL);
                }
                Err(Errno::WOULDBLOCK) => return Err(NoHost::Locked { root: self.root.clone() }),
                Err(error) => return Err(unopened(error.into())),
            }
        }
    }

    /// What stands at `path`; `None` where nothing does.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn find(&self, path: &NodePath) -> Result<Option<Entry>, HostFault> {
        if *path == NodePath::root() {
            return self.resolve(path);
        }
        let found = self
            .parent(path)
            .and_then(|dir| rustix::fs::statat(&dir, path.name(), AtFlags::SYMLINK_NOFOLLOW));
        self.present(found, "look at", path).map(|stat| stat.as_ref().map(Entry::of))
    }

    /// What `path` leads to, symlinks followed inside the root; `None` where that is nothing.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn resolve(&self, path: &NodePath) -> Result<Option<Entry>, HostFault> {
        let opened = self.confined(path.relative(), OFlags::PATH | OFlags::CLOEXEC);
        let found = opened.and_then(rustix::fs::fstat);
        self.present(found, "look at", path).map(|stat| stat.as_ref().map(Entry::of))
    }

    /// The content of the file at `path`, symlinks followed inside the root; `None` where nothing
    /// is.
    ///
    /// # Errors
    /// It is not a file, is longer than `limit` bytes, or the operating system says no.
    pub fn read(&self, path: &NodePath, limit: usize) -> Result<Option<Vec<u8>>, HostFault> {
        // Without O_NONBLOCK, opening a pipe waits for its other end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = self.confined(path.relative(), flags);
        let Some(file) = self.present(opened, "read", path)? else { return Ok(None) };
        let file = File::from(file);
        let fault = |source: ReadFault| self.fault("read", path, source);
        let kind = file.metadata().map_err(|error| fault(error.into()))?.file_type();
        if kind.is_dir() {
            return Err(fault(io::Error::from(Errno::ISDIR).into()));
        }
        if !kind.is_file() {
            return Err(fault(io::Error::other("it is not a file").into()));
        }
        files::read_to_cap(&file, limit).map(Some).map_err(fault)
    }

    /// Where the symlink at `path` points, as it is written.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn read_link(&self, path: &NodePath) -> Result<PathBuf, HostFault> {
        let target =
            self.parent(path).and_then(|dir| rustix::fs::readlinkat(&dir, path.name(), Vec::new()));
        match target {
            Ok(target) => {
                Ok(PathBuf::from(String::from_utf8_lossy(target.as_bytes()).into_owned()))
            }
            Err(error) => Err(self.fault("read", path, io::Error::from(error).into())),
        }
    }

    /// The names in a directory, sorted; empty where there is no directory. Names that are not
    /// UTF-8 are nobody's that we look for.
    ///
    /// # Errors
    /// What the operating system says, or too many names.
    pub fn list(&self, path: &NodePath) -> Result<Vec<String>, HostFault> {
        let opened = self.confined(path.relative(), DIRECTORY);
        let Some(dir) = self.present(opened, "list", path)? else { return Ok(Vec::new()) };
        let fault = |error: Errno| self.fault("list", path, io::Error::from(error).into());
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
            if names.len() > MOST_NAMES {
                return Err(fault(Errno::TOOBIG));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// `path`, or the first of `path-2`, `path-3` and so on that nothing is at: two runs may be made
    /// in one second, and the second must not write over what the first keeps.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn unused(&self, path: &NodePath) -> Result<NodePath, HostFault> {
        let later = (2..).filter_map(|number| format!("{path}-{number}").parse().ok());
        for path in std::iter::once(path.clone()).chain(later) {
            if self.find(&path)?.is_none() {
                return Ok(path);
            }
        }
        Ok(path.clone())
    }

    /// Whether the file system that `path` would be on can only be read. Asks about the nearest
    /// directory above it that exists.
    pub fn is_read_only(&self, path: &NodePath) -> bool {
        path.ancestors()
            .find_map(|above| self.confined(above.relative(), DIRECTORY).ok())
            .is_some_and(|dir| {
                rustix::fs::fstatvfs(&dir)
                    .is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY))
            })
    }

    /// Makes the directory `path`. Its parent has to be there.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn make_directory(&self, path: &NodePath, with: &Attributes) -> Result<(), HostFault> {
        // Closed at first, so that it is never open to more people than it should be.
        let made =
            self.parent(path).and_then(|dir| rustix::fs::mkdirat(&dir, path.name(), Mode::RWXU));
        made.map_err(|error| self.fault("create", path, io::Error::from(error).into()))?;
        self.set_attributes(path, with)?;
        self.sync_parent(path)
    }

    /// Gives the file or directory at `path` its mode and owner. A symlink is refused.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_attributes(&self, path: &NodePath, with: &Attributes) -> Result<(), HostFault> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let set = self
            .parent(path)
            .and_then(|dir| rustix::fs::openat(&dir, path.name(), flags, Mode::empty()));
        let set = set.map_err(io::Error::from).and_then(|fd| {
            let file = File::from(fd);
            self.possible(with).set(&file)?;
            file.sync_all()
        });
        set.map_err(|error| self.fault("set mode and owner of", path, error.into()))
    }

    /// Writes what will be the file at `path`; [`Staged::commit`] puts it there.
    ///
    /// # Errors
    /// What the operating system says; nothing is left then.
    pub fn stage(
        &self,
        path: &NodePath,
        bytes: &[u8],
        with: &Attributes,
    ) -> Result<Placed, HostFault> {
        let staged = self.parent(path).map_err(io::Error::from).and_then(|dir| {
            // The descriptor, not the name, says which directory it is.
            let below = match self.is_running() {
                true => path.parent().to_string().into(),
                false => PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())),
            };
            let staged = files::stage(&below.join(path.name()), bytes, &self.possible(with))?;
            Ok(Placed { staged, path: self.outside(path), _dir: dir })
        });
        staged.map_err(|error| self.fault("write", path, error.into()))
    }

    /// Removes the file or symlink at `path`; fine if it is gone.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn remove_file(&self, path: &NodePath) -> Result<(), HostFault> {
        self.unlink(path, AtFlags::empty())
    }

    /// Removes the directory at `path` if it is empty; fine if it is gone.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn remove_directory(&self, path: &NodePath) -> Result<(), HostFault> {
        self.unlink(path, AtFlags::REMOVEDIR)
    }

    fn unlink(&self, path: &NodePath, flags: AtFlags) -> Result<(), HostFault> {
        let removed =
            self.parent(path).and_then(|dir| rustix::fs::unlinkat(&dir, path.name(), flags));
        match self.present(removed, "remove", path)? {
            Some(()) => self.sync_parent(path),
            None => Ok(()),
        }
    }

    fn sync_parent(&self, path: &NodePath) -> Result<(), HostFault> {
        let synced = self.parent(path).and_then(rustix::fs::fsync);
        synced.map_err(|error| self.fault("write", path, io::Error::from(error).into()))
    }

    /// Only root gives files away; who is not root, and works on a tree of its own, keeps them.
    fn possible(&self, with: &Attributes) -> Attributes {
        match self.superuser {
            true => with.clone(),
            false => Attributes { owner: None, label: None, ..with.clone() },
        }
    }

    fn parent(&self, path: &NodePath) -> Result<OwnedFd, Errno> {
        self.confined(path.parent().relative(), DIRECTORY)
    }

    fn confined(&self, relative: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let relative = match relative.as_os_str().is_empty() {
            true => Path::new("."),
            false => relative,
        };
        if self.is_running() {
            return rustix::fs::openat(self.dir.as_fd(), relative, flags, Mode::empty());
        }
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.dir, relative, flags, Mode::empty(), inside) {
                // A rename elsewhere on the way; the kernel asks to try again.
                Err(Errno::AGAIN) => {}
                done => return done,
            }
        }
    }

    fn present<T>(
        &self,
        done: Result<T, Errno>,
        verb: &'static str,
        path: &NodePath,
    ) -> Result<Option<T>, HostFault> {
        match done {
            Ok(value) => Ok(Some(value)),
            // Nothing is below a file either; whoever wants it to be a directory says so.
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(self.fault(verb, path, io::Error::from(error).into())),
        }
    }

    fn fault(&self, verb: &'static str, path: &NodePath, source: ReadFault) -> HostFault {
        HostFault { verb, path: self.outside(path), source }
    }
}

/// A staged file with the directory that it is in.
#[derive(Debug)]
pub struct Placed {
    staged: Staged,
    path: PathBuf,
    _dir: OwnedFd,
}

impl Placed {
    /// Puts the file in its place, by one rename.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn commit(self) -> Result<(), HostFault> {
        let Self { staged, path, _dir } = self;
        staged.commit().map_err(|error| HostFault {
            verb: "put in its place",
            path,
            source: error.into(),
        })
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// More files than this in one of our directories mean that it is not what we think.
const MOST_NAMES: usize = 10_000;
/// Somebody who waits for another run does not notice this.
const LOCK_POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
