//! A value that files can replace while the program runs.
//!
//! [`Reloader`] turns bytes into a value and publishes it, [`Live`] reads it, [`Watch`] tells when
//! the files may have changed, and [`follow()`] is the loop that ties the three together. Nothing
//! here knows what the bytes mean, and nothing logs: the caller is handed a [`Report`].

mod content;
mod eyes;
mod follow;
mod trail;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use ring::digest;

pub use content::{ReadFault, read};
pub use eyes::WatchFault;
pub use follow::{Report, Unread, follow};
pub use watch::{Cause, Sight, Trigger, Watch, WatchOptions};

/// The writing end. Holds the parser, so nothing unparsed is ever published.
pub struct Reloader<T, E> {
    parse: Parse<T, E>,
    live: Live<T>,
    /// What the last good content looked like. One offer at a time, so that values are published
    /// in the order of their offers.
    held: Mutex<Option<Fingerprint>>,
}

/// SHA-256 of a content, so that the same bytes are parsed once and need not be kept.
type Fingerprint = [u8; digest::SHA256_OUTPUT_LEN];

type Parse<T, E> = Box<dyn Fn(&[u8]) -> Result<T, E> + Send + Sync>;

/// The reading end: cheap to clone and to read, and empty only until the first good content.
pub struct Live<T>(Arc<ArcSwapOption<T>>);

/// What an offered content did.
#[derive(Debug, Eq, PartialEq)]
pub enum Reload<E> {
    /// It parsed to something else (or to the first value), which is now what readers see.
    Replaced,
    /// It parsed to the same value; readers keep the one they have.
    Same,
    /// It did not parse; readers go on with the last good value, if there was one.
    Kept(E),
}

impl<T: PartialEq, E> Reloader<T, E> {
    /// Starts without a value. Whoever needs one before going on offers the first content itself
    /// and looks at the answer.
    pub fn new(parse: impl Fn(&[u8]) -> Result<T, E> + Send + Sync + 'static) -> Self {
        Self {
            parse: Box::new(parse),
            live: Live(Arc::new(ArcSwapOption::empty())),
            held: Mutex::new(None),
        }
    }

    /// Parses `content` and publishes the value if it differs from the present one.
    pub fn offer(&self, content: &[u8]) -> Reload<E> {
        self.take(content, &mut self.turn())
    }

    /// The same, unless these very bytes are what the present value was made of: then nothing is
    /// parsed, and the answer is `None`.
    fn offer_unless_held(&self, content: &[u8]) -> Option<Reload<E>> {
        let mut held = self.turn();
        if *held == Some(fingerprint(content)) { None } else { Some(self.take(content, &mut held)) }
    }

    // A parser that panicked published nothing, so there is nothing half done to fear.
    fn turn(&self) -> MutexGuard<'_, Option<Fingerprint>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, content: &[u8], held: &mut Option<Fingerprint>) -> Reload<E> {
        let next = match (self.parse)(content) {
            Err(error) => return Reload::Kept(error),
            Ok(next) => next,
        };
        *held = Some(fingerprint(content));
        if self.live.get().is_some_and(|now| *now == next) {
            return Reload::Same;
        }
        self.live.0.store(Some(Arc::new(next)));
        Reload::Replaced
    }
}

fn fingerprint(content: &[u8]) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, content).as_ref());
    fingerprint
}

impl<T, E> Reloader<T, E> {
    /// A reading end.
    pub fn live(&self) -> Live<T> {
        self.live.clone()
    }
}

impl<T, E> fmt::Debug for Reloader<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

impl<T> Live<T> {
    /// The value of this moment; `None` until a content has parsed. A request takes it once and
    /// keeps it to its end, so that a reload never mixes two files in one answer.
    pub fn get(&self) -> Option<Arc<T>> {
        self.0.load_full()
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Says whether there is a value, and never what it is: it may hold a key.
impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.load().is_some() { "Live(..)" } else { "Live(empty)" })
    }
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use super::*;

    fn number(text: &[u8]) -> Result<u32, ParseIntError> {
        String::from_utf8_lossy(text).trim().parse()
    }

    #[test]
    fn a_bad_content_never_takes_effect() {
        let reloader = Reloader::new(number);
        let live = reloader.live();
        assert_eq!(reloader.offer(b"1"), Reload::Replaced);
        let (held, other) = (live.get().unwrap(), live.clone());
        assert_eq!(reloader.offer(b"x"), Reload::Kept(number(b"x").unwrap_err()));
        assert_eq!(live.get().as_deref(), Some(&1));
        assert_eq!(reloader.offer(b"1\n"), Reload::Same);
        assert!(Arc::ptr_eq(&held, &live.get().unwrap()));
        assert_eq!(reloader.offer(b"2"), Reload::Replaced);
        assert_eq!((*held, *live.get().unwrap(), *other.get().unwrap()), (1, 2, 2));
    }

    #[test]
    fn a_bad_first_content_leaves_it_empty_until_the_repair() {
        let reloader = Reloader::new(number);
        let live = reloader.live();
        assert_eq!(reloader.offer(b""), Reload::Kept(number(b"").unwrap_err()));
        assert_eq!(live.get(), None);
        assert_eq!(reloader.offer(b"3"), Reload::Replaced);
        assert_eq!(live.get().as_deref(), Some(&3));
    }

    #[test]
    fn bytes_that_the_value_was_made_of_are_not_parsed_again() {
        let parsed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&parsed);
        let reloader = Reloader::new(move |text: &[u8]| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            number(text)
        });
        let times = || parsed.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!((reloader.offer(b"1"), times()), (Reload::Replaced, 1));
        assert_eq!((reloader.offer_unless_held(b"1"), times()), (None, 1));
        assert_eq!((reloader.offer_unless_held(b"1\n"), times()), (Some(Reload::Same), 2));
        assert_eq!((reloader.offer(b"1\n"), times()), (Reload::Same, 3));
        // What was refused is not held, and does not push out what is.
        let refused = Some(Reload::Kept(number(b"x").unwrap_err()));
        assert_eq!((reloader.offer_unless_held(b"x"), times()), (refused, 4));
        assert_eq!((reloader.offer_unless_held(b"1\n"), times()), (None, 4));
    }

    #[test]
    fn debug_does_not_print_the_value() {
        let reloader = Reloader::new(number);
        assert_eq!(format!("{:?}", reloader.live()), "Live(empty)");
        assert_eq!(reloader.offer(b"4711"), Reload::Replaced);
        assert_eq!(format!("{:?}{:?}", reloader.live(), reloader), "Live(..)Reloader { .. }");
    }

    #[test]
    fn a_parser_that_panics_leaves_the_value_and_the_reloader_usable() {
        let reloader = Arc::new(Reloader::new(|text: &[u8]| {
            assert_ne!(text, b"bomb");
            number(text)
        }));
        assert_eq!(reloader.offer(b"1"), Reload::Replaced);
        let other = Arc::clone(&reloader);
        let panic = std::thread::spawn(move || other.offer(b"bomb")).join().unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.starts_with("assertion `left != right` failed"), "{text}");
        assert_eq!(reloader.live().get().as_deref(), Some(&1));
        assert_eq!(reloader.offer(b"2"), Reload::Replaced);
    }
}
