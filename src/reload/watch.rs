//! When files may have changed. Says that they may have, and never what is in them.
//!
//! Three ways to know, each for what the one before misses: events of the kernel; a glance at the
//! files' metadata, cheap and often; a look at the content, for the caller to take, seldom where
//! there are events and often where there are none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};

use super::eyes::{Eyes, Open, Signal, WatchFault, system};
use super::trail::Trail;

/// How long nothing must have happened before a change counts as finished: long enough that a
/// file truncated and then written is seen whole, short against the second that a change may take.
const QUIET: Duration = Duration::from_millis(50);

/// How long a file that is open for writing must have been left alone: half a file may parse, and
/// would turn people away until the other half is there. Leaves room within the second for a
/// writer who never closes.
const PAUSE: Duration = Duration::from_millis(400);

/// How long a writer who goes on and on is waited for.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// How long a file that never comes to rest is waited for.
const SETTLE_LIMIT: Duration = Duration::from_millis(300);

/// How often [`Watch::changed`] answers without an event, and how often it glances for itself.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// Time between two looks at the content where events tell of changes.
    pub poll: Duration,
    /// The same where events do not come: no inotify to be had, or a network file system; also
    /// the time after which a passing fault of reading is tried again.
    pub quick_poll: Duration,
    /// Time between two glances at the metadata; a few system calls per file. Not done on network
    /// file systems, where each might be a question to the server.
    pub glance: Duration,
    /// How long a file system may take to answer such a question before it counts as stalled.
    pub stall: Duration,
}

impl Default for WatchOptions {
    /// 30 s, 2 s, 300 ms and 5 s. A glance and the time to settle together leave room within a
    /// second, so on a local file system that much holds without events too.
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(30),
            quick_poll: Duration::from_secs(2),
            glance: Duration::from_millis(300),
            stall: Duration::from_secs(5),
        }
    }
}

/// Why [`Watch::changed`] answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The first answer: from now on changes are noticed.
    Start,
    /// The kernel told of a change on the way to the file.
    Event,
    /// The metadata, or the way to the file, differs.
    Glance,
    /// It is time to look at the content; nothing is known to have changed.
    Poll,
    /// Someone asked for it with a [`Trigger`].
    Trigger,
}

/// By what changes are found at present.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sight {
    /// By events.
    Events,
    /// By looking, because events do not come.
    Polling(WatchFault),
}

/// Asks a [`Watch`] to answer now; what SIGHUP does.
#[derive(Clone, Debug)]
pub struct Trigger(Arc<Signal>);

impl Trigger {
    /// Asks. Several before the watch answers count as one.
    pub fn pull(&self) {
        self.0.trigger();
    }
}

/// Follows one or more files, whatever is done to them and to the directories and symbolic links
/// on the way to them.
pub struct Watch {
    paths: Arc<[PathBuf]>,
    options: WatchOptions,
    signal: Arc<Signal>,
    eyes: Arc<Mutex<Eyes>>,
    /// How the paths resolved at the last look; the next glance compares with it.
    seen: Vec<Trail>,
    sight: Sight,
    next_poll: Option<Instant>,
    /// An answer that was under way when its future was dropped.
    pending: Option<Cause>,
}

impl Watch {
    /// A watch over `paths`, which need not exist. It does nothing until it is asked.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>, options: WatchOptions) -> Self {
        Self::with_watcher(paths, options, system)
    }

    fn with_watcher(
        paths: impl IntoIterator<Item = PathBuf>,
        options: WatchOptions,
        open: Open,
    ) -> Self {
        let signal = Arc::<Signal>::default();
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self {
            paths: paths.into_iter().map(absolute).collect(),
            options,
            eyes: Arc::new(Mutex::new(Eyes::new(open, Arc::clone(&signal)))),
            signal,
            seen: Vec::new(),
            sight: Sight::Events,
            next_poll: None,
            pending: None,
        }
    }

    /// The files, by absolute paths.
    pub fn paths(&self) -> Arc<[PathBuf]> {
        Arc::clone(&self.paths)
    }

    /// By what changes were found at the last answer.
    pub fn sight(&self) -> Sight {
        self.sight
    }

    /// A handle to make this watch answer.
    pub fn trigger(&self) -> Trigger {
        Trigger(Arc::clone(&self.signal))
    }

    /// Waits until the files may have changed and have come to rest: for 5 s at most where a file
    /// is being written, for 300 ms otherwise. The first call answers as soon as changes are
    /// noticed, so: ask first, read then.
    ///
    /// The future may be dropped at any time; the next call answers for it. Needs a tokio runtime
    /// with time; file systems are asked on its blocking threads, since one of them may hang.
    pub async fn changed(&mut self) -> Cause {
        let mut cause = match self.pending {
            Some(cause) => cause,
            None => self.next_cause().await,
        };
        self.pending = Some(cause);
        if matches!(cause, Cause::Event | Cause::Glance) {
            self.settle().await;
        }
        if self.signal.take_trigger() {
            cause = Cause::Trigger;
            self.pending = Some(cause);
        }
        self.look().await;
        self.pending = None;
        cause
    }

    /// Makes the next poll come after [`WatchOptions::quick_poll`] at the latest.
    pub(super) fn ask_again_soon(&mut self) {
        let soon = Instant::now() + self.options.quick_poll;
        self.next_poll = self.next_poll.map(|at| at.min(soon));
    }

    async fn next_cause(&self) -> Cause {
        let Some(next_poll) = self.next_poll else {
            return Cause::Start;
        };
        loop {
            if self.signal.take_trigger() {
                return Cause::Trigger;
            }
            if self.signal.take_event() {
                return Cause::Event;
            }
            let now = Instant::now();
            if now >= next_poll {
                return Cause::Poll;
            }
            let glances = match self.sight {
                Sight::Polling(WatchFault::Remote | WatchFault::Stalled) => false,
                Sight::Events | Sight::Polling(_) => true,
            };
            let glance = if glances { now + self.options.glance } else { next_poll };
            tokio::select! {
                () = self.signal.wait() => {}
                () = sleep_until(next_poll.min(glance)) => {
                    if glances && self.glance().await != self.seen {
                        return Cause::Glance;
                    }
                }
            }
        }
    }

    /// Waits until nobody is in the middle of writing, and there was neither an event nor a
    /// difference for `QUIET`.
    async fn settle(&self) {
        let patience = Instant::now() + WRITE_LIMIT;
        while self.signal.is_being_written() && Instant::now() < patience {
            // The close wakes, as every write does.
            if timeout(PAUSE, self.signal.wait()).await.is_err() {
                break;
            }
        }
        let limit = Instant::now() + SETTLE_LIMIT;
        let mut before = self.glance().await;
        loop {
            let until = limit.min(Instant::now() + QUIET);
            sleep_until(until).await;
            let events = self.signal.take_event();
            let after = self.glance().await;
            if (!events && after == before) || until == limit {
                return;
            }
            before = after;
        }
    }

    /// How the paths resolve now; empty where that cannot be found out.
    async fn glance(&self) -> Vec<Trail> {
        let paths = self.paths();
        self.ask(move || Eyes::glance(&paths)).await.unwrap_or_default()
    }

    /// Watches the way as it is now.
    async fn look(&mut self) {
        let (paths, eyes) = (self.paths(), Arc::clone(&self.eyes));
        let look = move || eyes.lock().unwrap_or_else(PoisonError::into_inner).look(&paths);
        let fault;
        (self.seen, fault) = match self.ask(look).await {
            Ok(found) => found,
            Err(Unanswered::Late) => (Vec::new(), Some(WatchFault::Stalled)),
            Err(Unanswered::Panicked) => {
                self.eyes.lock().unwrap_or_else(PoisonError::into_inner).give_up();
                (self.glance().await, Some(WatchFault::Broken))
            }
        };
        self.sight = fault.map_or(Sight::Events, Sight::Polling);
        let period = match self.sight {
            Sight::Events => self.options.poll,
            Sight::Polling(_) => self.options.quick_poll,
        };
        self.next_poll = Some(Instant::now() + period);
    }

    /// Does `question` on a blocking thread. One that is late is left to itself: it cannot be
    /// called back.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        match timeout(self.options.stall, spawn_blocking(question)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_panic() => Err(Unanswered::Panicked),
            // The runtime is shutting down.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => Err(Unanswered::Late),
        }
    }
}

enum Unanswered {
    Late,
    Panicked,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("paths", &self.paths)
            .field("sight", &self.sight)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREQUENT: WatchOptions = WatchOptions {
        poll: Duration::from_millis(10),
        quick_poll: Duration::from_millis(10),
        glance: Duration::from_millis(10),
        stall: Duration::from_secs(10),
    };

    fn watch(options: WatchOptions, open: Open) -> Watch {
        Watch::with_watcher([PathBuf::from("/proc/self/status")], options, open)
    }

    #[tokio::test]
    async fn the_first_answer_comes_at_once_and_the_next_when_it_is_time() {
        let options = WatchOptions { glance: Duration::from_secs(3600), ..FREQUENT };
        let mut watch = Watch::new([std::env::current_exe().unwrap()], options);
        assert_eq!(watch.changed().await, Cause::Start);
        assert_eq!(watch.changed().await, Cause::Poll);
        watch.trigger().pull();
        watch.trigger().pull();
        assert_eq!(watch.changed().await, Cause::Trigger);
        assert_eq!(watch.changed().await, Cause::Poll);
    }

    #[tokio::test]
    async fn a_watcher_that_cannot_be_had_is_asked_for_again_with_each_poll() {
        static HAD: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        let mut watch = watch(FREQUENT, |teller| {
            if HAD.load(std::sync::atomic::Ordering::Acquire) {
                return system(teller);
            }
            Err(notify::Error::io(std::io::ErrorKind::Other.into()))
        });
        for _ in 0..3 {
            watch.changed().await;
            assert_eq!(watch.sight(), Sight::Polling(WatchFault::Instances));
        }
        HAD.store(true, std::sync::atomic::Ordering::Release);
        watch.changed().await;
        assert_eq!(watch.sight(), Sight::Events);
    }

    #[tokio::test]
    async fn a_watcher_that_panics_is_done_without() {
        let mut watch = watch(FREQUENT, |_| panic!("no thread to be had"));
        for _ in 0..3 {
            watch.changed().await;
            assert_eq!(watch.sight(), Sight::Polling(WatchFault::Broken));
        }
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_is_told_of_and_the_watch_goes_on() {
        static HANGS: Mutex<()> = Mutex::new(());
        let hanging = HANGS.lock();
        let options = WatchOptions { stall: Duration::from_millis(50), ..FREQUENT };
        let mut watch = watch(options, |teller| {
            drop(HANGS.lock());
            system(teller)
        });
        watch.changed().await;
        assert_eq!(watch.sight(), Sight::Polling(WatchFault::Stalled));
        drop(hanging);
        while watch.sight() != Sight::Events {
            assert_eq!(watch.changed().await, Cause::Poll);
        }
    }
}
