//! The kernel's notice that a name in a directory changed: inotify, through the notify crate.
//!
//! Always the parent directory is watched, never the file, because a file that is replaced takes
//! its watch with it. What is not told here (changes on other machines, a parent's parent
//! replaced, mounts) is for [`Watch`](super::Watch) to find by looking.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::trail::{Dir, Trail};

/// Tries to watch a way that changes while it is being watched, before leaving the rest to the
/// next event.
const ARM_ATTEMPTS: usize = 4;

/// Someone closed a file that had been open for writing.
const WRITTEN: AccessKind = AccessKind::Close(AccessMode::Write);

/// Why events do not come, or not all of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WatchFault {
    /// This user has as many inotify instances as the system allows, or the process as many files.
    #[error("no inotify instance to be had (fs.inotify.max_user_instances or open files used up)")]
    Instances,
    /// This user has as many inotify watches as the system allows.
    #[error("no inotify watch to be had (fs.inotify.max_user_watches used up)")]
    Watches,
    /// A directory on the way cannot be listed, and so not watched.
    #[error("a directory on the way may not be read, and so not watched")]
    Denied,
    /// A network or FUSE file system, where changes made elsewhere make no event.
    #[error("the file system is one that does not tell of changes made elsewhere")]
    Remote,
    /// The watcher ended, or refuses for another reason.
    #[error("the watcher does not work")]
    Broken,
    /// A file system does not answer, as a network one whose server has gone does not.
    #[error("a file system on the way does not answer")]
    Stalled,
}

/// What has happened and not been answered yet.
#[derive(Debug, Default)]
pub(super) struct Signal {
    event: AtomicBool,
    trigger: AtomicBool,
    /// Names that someone writes to and has not closed.
    open: Mutex<HashSet<OsString>>,
    wake: Notify,
}

impl Signal {
    pub(super) fn event(&self) {
        self.event.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn trigger(&self) {
        self.trigger.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn take_event(&self) -> bool {
        self.event.swap(false, Ordering::AcqRel)
    }

    /// Whether someone is in the middle of writing, as far as the kernel has told.
    pub(super) fn is_being_written(&self) -> bool {
        !self.open().is_empty()
    }

    fn open(&self) -> MutexGuard<'_, HashSet<OsString>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_trigger(&self) -> bool {
        self.trigger.swap(false, Ordering::AcqRel)
    }

    /// Waits until something has happened since the last wait. May wake for nothing.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }
}

/// Makes a watcher that calls the [`Teller`]. The seam for a system that has none left.
pub(super) type Open = fn(Teller) -> notify::Result<Box<dyn Watcher + Send>>;

/// The watcher that suits the operating system.
pub(super) fn system(teller: Teller) -> notify::Result<Box<dyn Watcher + Send>> {
    Ok(Box::new(notify::recommended_watcher(teller)?))
}

/// The watcher, and the directories that it has been asked to watch.
pub(super) struct Eyes {
    open: Open,
    teller: Teller,
    watcher: Option<Box<dyn Watcher + Send>>,
    armed: Vec<Dir>,
    /// The watcher panicked, as it does where it cannot start its thread: not tried again.
    broken: bool,
}

impl Eyes {
    pub(super) fn new(open: Open, signal: Arc<Signal>) -> Self {
        let teller = Teller { signal, interest: Arc::default() };
        Self { open, teller, watcher: None, armed: Vec::new(), broken: false }
    }

    /// Watches every directory on the way to `paths`. What is read afterwards cannot change
    /// unnoticed, as far as the file system tells of changes at all.
    ///
    /// Answers with the way as it was once the watches were in place. Blocks.
    pub(super) fn look(&mut self, paths: &[PathBuf]) -> (Vec<Trail>, Option<WatchFault>) {
        let mut trails = Self::glance(paths);
        for _ in 0..ARM_ATTEMPTS {
            let fault = self.arm(&trails);
            let again = Self::glance(paths);
            let same_way = again.iter().map(Trail::entries).eq(trails.iter().map(Trail::entries));
            trails = again;
            if same_way {
                return (trails, fault);
            }
        }
        self.teller.signal.event();
        let fault = self.arm(&trails);
        (trails, fault)
    }

    /// How `paths` resolve now. Blocks.
    pub(super) fn glance(paths: &[PathBuf]) -> Vec<Trail> {
        paths.iter().map(|path| Trail::of(path)).collect()
    }

    /// Gives the watcher up for good.
    pub(super) fn give_up(&mut self) {
        self.broken = true;
        self.watcher = None;
        self.armed.clear();
    }

    fn arm(&mut self, trails: &[Trail]) -> Option<WatchFault> {
        let mut wanted = Vec::<Dir>::new();
        let mut interest = Interest::default();
        for entry in trails.iter().flat_map(Trail::entries) {
            interest.names.insert(entry.name.clone());
            interest.dirs.insert(entry.dir.path.clone());
            if !wanted.contains(&entry.dir) {
                wanted.push(entry.dir.clone());
            }
        }
        // Before the watches: an event that comes while they are being set must not be passed over.
        *self.teller.interest() = interest;
        if self.broken {
            return Some(WatchFault::Broken);
        }
        let mut fault = wanted.iter().any(Dir::is_remote).then_some(WatchFault::Remote);
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none @ None => match (self.open)(self.teller.clone()) {
                Ok(watcher) => none.insert(watcher),
                Err(_) => return Some(WatchFault::Instances),
            },
        };
        for gone in self.armed.iter().filter(|dir| !wanted.contains(dir)) {
            // It fails where the directory itself has gone, and its watch with it.
            drop(watcher.unwatch(&gone.path));
        }
        for dir in &wanted {
            // Also where it is watched already: the same inode number may be another directory
            // by now, and to watch a directory twice is to watch it once.
            if let Err(error) = watcher.watch(&dir.path, RecursiveMode::NonRecursive) {
                fault = fault_of(&error).or(fault);
            }
        }
        self.armed = wanted;
        fault
    }
}

/// `None` where the directory has gone meanwhile, which the next look takes up.
fn fault_of(error: &notify::Error) -> Option<WatchFault> {
    match &error.kind {
        ErrorKind::MaxFilesWatch => Some(WatchFault::Watches),
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => None,
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of kinds is open")]
        ErrorKind::Io(io) => match io.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => None,
            std::io::ErrorKind::PermissionDenied => Some(WatchFault::Denied),
            _ => Some(WatchFault::Broken),
        },
        ErrorKind::Generic(_) | ErrorKind::InvalidConfig(_) => Some(WatchFault::Broken),
    }
}

/// Hears every event of the watched directories and passes on the few that matter.
#[derive(Clone)]
pub(super) struct Teller {
    signal: Arc<Signal>,
    interest: Arc<Mutex<Interest>>,
}

#[derive(Default)]
struct Interest {
    names: HashSet<OsString>,
    dirs: HashSet<PathBuf>,
}

impl Interest {
    /// The name alone decides, in whichever directory: a directory that is mounted twice is told
    /// of under one of its paths only.
    fn concerns(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.names.contains(name)) || self.dirs.contains(path)
    }
}

impl Teller {
    fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl notify::EventHandler for Teller {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        let matters = match event {
            // Events were lost: anything may have happened.
            Ok(event) if event.need_rescan() => {
                self.signal.open().clear();
                true
            }
            // The others of this kind are made by our own reading.
            Ok(event) if matches!(event.kind, EventKind::Access(kind) if kind != WRITTEN) => false,
            Ok(event) => {
                let interest = self.interest();
                let mut ours = event.paths.iter().filter(|path| interest.concerns(path)).peekable();
                let matters = ours.peek().is_some();
                for name in ours.filter_map(|path| path.file_name()) {
                    match event.kind {
                        EventKind::Modify(ModifyKind::Data(_)) => {
                            self.signal.open().insert(name.to_owned());
                        }
                        // The name means another file from now on.
                        EventKind::Access(_)
                        | EventKind::Create(_)
                        | EventKind::Modify(ModifyKind::Name(_))
                        | EventKind::Remove(_) => {
                            self.signal.open().remove(name);
                        }
                        EventKind::Any | EventKind::Modify(_) | EventKind::Other => {}
                    }
                }
                matters
            }
            Err(_) => true,
        };
        if matters {
            self.signal.event();
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag};
    use notify::{Event, EventHandler};

    use super::*;

    #[test]
    fn a_teller_passes_on_what_concerns_the_way_and_nothing_else() {
        let signal = Arc::<Signal>::default();
        let interest = Interest {
            names: HashSet::from(["config".into(), "..data".into()]),
            dirs: HashSet::from(["/etc/cfg".into()]),
        };
        let interest = Arc::new(Mutex::new(interest));
        let mut teller = Teller { signal: Arc::clone(&signal), interest };
        let created = |path: &str| {
            Ok(Event::new(EventKind::Create(CreateKind::Any)).add_path(PathBuf::from(path)))
        };
        let read = Event::new(EventKind::Access(AccessKind::Any));
        let table = [
            (created("/etc/cfg/config"), true),
            (created("/etc/cfg/..data"), true),
            (created("/elsewhere/..data"), true),
            (created("/etc/cfg"), true),
            (created("/etc/cfg/config.swp"), false),
            (created("/etc/other"), false),
            (Ok(read.add_path(PathBuf::from("/etc/cfg/config"))), false),
            (Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)), true),
            (Err(notify::Error::generic("lost")), true),
        ];
        for (event, matters) in table {
            let text = format!("{event:?}");
            teller.handle_event(event);
            assert_eq!(signal.take_event(), matters, "{text}");
        }
    }

    #[test]
    fn a_file_counts_as_being_written_until_it_is_closed_or_gone() {
        let signal = Arc::<Signal>::default();
        let names = HashSet::from(["config".into()]);
        let interest = Arc::new(Mutex::new(Interest { names, ..Interest::default() }));
        let mut teller = Teller { signal: Arc::clone(&signal), interest };
        let wrote = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        let moved = EventKind::Modify(ModifyKind::Name(notify::event::RenameMode::To));
        let removed = EventKind::Remove(notify::event::RemoveKind::File);
        for (name, kind, being_written) in [
            ("other", wrote, false),
            ("config", wrote, true),
            ("config", read, true),
            ("other", EventKind::Access(WRITTEN), true),
            ("config", EventKind::Access(WRITTEN), false),
            ("config", wrote, true),
            ("config", moved, false),
            ("config", wrote, true),
            ("config", removed, false),
        ] {
            teller.handle_event(Ok(Event::new(kind).add_path(Path::new("/etc/cfg").join(name))));
            assert_eq!(signal.is_being_written(), being_written, "{name} {kind:?}");
        }
    }

    #[test]
    fn each_failure_of_the_watcher_has_its_fault() {
        let io = |kind: std::io::ErrorKind| notify::Error::io(kind.into());
        let table = [
            (notify::Error::new(ErrorKind::MaxFilesWatch), Some(WatchFault::Watches)),
            (io(std::io::ErrorKind::PermissionDenied), Some(WatchFault::Denied)),
            (io(std::io::ErrorKind::StaleNetworkFileHandle), Some(WatchFault::Broken)),
            (notify::Error::generic("?"), Some(WatchFault::Broken)),
            (notify::Error::path_not_found(), None),
            (io(std::io::ErrorKind::NotFound), None),
        ];
        for (error, expected) in table {
            assert_eq!(fault_of(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn no_watcher_to_be_had_is_a_fault_and_the_way_is_told_all_the_same() {
        let none: Open = |_| Err(notify::Error::io(std::io::ErrorKind::Other.into()));
        let mut eyes = Eyes::new(none, Arc::default());
        let paths = [PathBuf::from("/proc/self")];
        let (trails, fault) = eyes.look(&paths);
        assert_eq!((trails.len(), fault), (1, Some(WatchFault::Instances)));
    }

    #[test]
    fn directories_that_are_off_the_way_are_no_longer_watched() {
        static WATCHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
        struct Record;
        impl Watcher for Record {
            fn new<F: EventHandler>(_: F, _: notify::Config) -> notify::Result<Self> {
                Ok(Self)
            }
            fn watch(&mut self, path: &Path, _: RecursiveMode) -> notify::Result<()> {
                self.unwatch(path)?;
                WATCHED.lock().unwrap().push(path.to_owned());
                Ok(())
            }
            fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
                WATCHED.lock().unwrap().retain(|watched| watched != path);
                Ok(())
            }
            fn kind() -> notify::WatcherKind {
                notify::WatcherKind::NullWatcher
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mut eyes = Eyes::new(|_| Ok(Box::new(Record)), Arc::default());
        for version in ["a", "b", "c"] {
            std::fs::create_dir(root.join(version)).unwrap();
            std::os::unix::fs::symlink(version, root.join("new")).unwrap();
            std::fs::rename(root.join("new"), root.join("current")).unwrap();
            assert_eq!(eyes.look(&[root.join("current/config")]).1, None);
            let watched = WATCHED.lock().unwrap().clone();
            assert_eq!(watched, [root.clone(), root.join(version)]);
        }
    }

    #[test]
    fn a_watcher_that_takes_no_more_watches_is_a_fault() {
        struct Full;
        impl Watcher for Full {
            fn new<F: EventHandler>(_: F, _: notify::Config) -> notify::Result<Self> {
                Ok(Self)
            }
            fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
                Err(notify::Error::new(ErrorKind::MaxFilesWatch))
            }
            fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
                Ok(())
            }
            fn kind() -> notify::WatcherKind {
                notify::WatcherKind::NullWatcher
            }
        }
        let mut eyes = Eyes::new(|_| Ok(Box::new(Full)), Arc::default());
        assert_eq!(eyes.look(&[PathBuf::from("/proc/version")]).1, Some(WatchFault::Watches));
        eyes.give_up();
        assert_eq!(eyes.look(&[PathBuf::from("/proc/version")]).1, Some(WatchFault::Broken));
    }
}
