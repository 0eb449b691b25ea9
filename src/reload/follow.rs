//! The loop from file to value: wait, read, parse, publish, report.
//!
//! It never ends by itself and never takes a value away: whatever happens to the file, readers
//! keep the last good one.

use std::convert::Infallible;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Cause, ReadFault, Reload, Reloader, Sight, Watch, content};

/// What has become known. A fault is reported once, until there is another or none.
#[derive(Debug, Eq, PartialEq)]
pub enum Report<E> {
    /// A new value is live.
    Replaced,
    /// The content changed, or a fault has passed, or a trigger asked; the value is as it was.
    Same,
    /// The content did not parse; the last good value, if any, stays.
    Kept(E),
    /// A file gave no content; the last good value, if any, stays.
    Unread(Unread),
    /// The parser panicked; the last good value, if any, stays.
    Crashed,
    /// Changes are now found in another way. Reported first if it is not by events.
    Sight(Sight),
}

/// Which file gave no content, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct Unread {
    /// The file, by its absolute path.
    pub path: PathBuf,
    /// What was wrong with it.
    pub fault: ReadFault,
}

/// Keeps the reloader's value up to the files of `watch`, for ever, telling `report` what happens.
///
/// Of several files the parser gets the contents as one, in the order of their paths, with a
/// newline between where the one before ends without. `limit` is the most bytes of each.
/// Reading and parsing are done on the runtime's blocking threads.
pub async fn follow<T, E>(
    mut watch: Watch,
    limit: u64,
    reloader: Arc<Reloader<T, E>>,
    mut report: impl FnMut(Report<E>),
) -> Infallible
where
    T: PartialEq + Send + Sync + 'static,
    E: Display + Send + 'static,
{
    let paths = watch.paths();
    let mut sight = Sight::Events;
    let mut standing = Standing::Begun;
    loop {
        let cause = watch.changed().await;
        if watch.sight() != sight {
            sight = watch.sight();
            report(Report::Sight(sight));
        }
        if cause == Cause::Trigger {
            standing = Standing::Unknown;
        }
        // What is wrong may be more than the bytes, such as a key's mode: the same ones may do now.
        // And that a fault has passed is to be reported.
        let again = !matches!(standing, Standing::Begun | Standing::Good);
        let (paths, reloader) = (Arc::clone(&paths), Arc::clone(&reloader));
        let step = spawn_blocking(move || step(&paths, limit, &reloader, again)).await;
        standing = match step {
            Ok(Step::Unchanged) => continue,
            Ok(Step::Offered(Reload::Replaced)) => {
                report(Report::Replaced);
                Standing::Good
            }
            Ok(Step::Offered(Reload::Same)) => {
                report(Report::Same);
                Standing::Good
            }
            Ok(Step::Offered(Reload::Kept(error))) => {
                let next = Standing::Bad(error.to_string());
                if standing != next {
                    report(Report::Kept(error));
                }
                next
            }
            Ok(Step::Unread(unread)) => {
                if unread.fault.may_pass() {
                    watch.ask_again_soon();
                }
                let next = Standing::Unread(unread.clone());
                if standing != next {
                    report(Report::Unread(unread));
                }
                next
            }
            Err(error) if error.is_panic() => {
                if standing != Standing::Crashed {
                    report(Report::Crashed);
                }
                Standing::Crashed
            }
            // The runtime is shutting down.
            Err(_) => std::future::pending().await,
        };
    }
}

/// What was last reported about the content.
#[derive(Debug, Eq, PartialEq)]
enum Standing {
    /// Nothing yet: whoever offered a content before knows what became of it.
    Begun,
    Unknown,
    Good,
    Bad(String),
    Unread(Unread),
    Crashed,
}

enum Step<E> {
    Unchanged,
    Offered(Reload<E>),
    Unread(Unread),
}

/// `again` has the content parsed even if it is what the present value was made of.
fn step<T: PartialEq, E>(
    paths: &[PathBuf],
    limit: u64,
    reloader: &Reloader<T, E>,
    again: bool,
) -> Step<E> {
    let content = match read_all(paths, limit) {
        Ok(content) => content,
        Err(unread) => return Step::Unread(unread),
    };
    match again {
        true => Step::Offered(reloader.offer(&content)),
        false => reloader.offer_unless_held(&content).map_or(Step::Unchanged, Step::Offered),
    }
}

fn read_all(paths: &[PathBuf], limit: u64) -> Result<Vec<u8>, Unread> {
    let read = |path: &Path| {
        content::read(path, limit).map_err(|fault| Unread { path: path.to_owned(), fault })
    };
    let Some((first, others)) = paths.split_first() else {
        return Ok(Vec::new());
    };
    let mut whole = read(first)?;
    for path in others {
        if whole.last() != Some(&b'\n') {
            whole.push(b'\n');
        }
        whole.extend(read(path)?);
    }
    Ok(whole)
}
