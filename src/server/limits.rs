//! How much the server takes on, and how long it waits.
//!
//! What an operator may set comes from the configuration, afresh each time; the rest are constants
//! here, each with its reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::metrics::{Metrics, Port};

/// Requests of one HTTP/2 connection at a time. kube-apiserver sends all of its reviews over one
/// connection; 100 is what RFC 9113 asks servers to allow.
pub(super) const H2_STREAMS: u32 = 100;
/// A TokenReview request has some 300 bytes of headers.
pub(super) const HEADER_BYTES: u32 = 16 * 1024;
/// As [`HEADER_BYTES`], for HTTP/1's buffer, which holds headers and the body's pieces.
pub(super) const H1_BUFFER_BYTES: usize = 16 * 1024;
/// kube-apiserver sends six.
pub(super) const HEADER_COUNT: usize = 64;
/// One largest body: a stream never has to wait for the window.
pub(super) const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// Two largest bodies; a connection's unread data stays below this.
pub(super) const H2_CONNECTION_WINDOW: u32 = 128 * 1024;
/// Answers take a few KiB; the metrics some 20.
pub(super) const H2_SEND_BYTES: usize = 64 * 1024;
/// How often an HTTP/2 peer is asked whether it is still there; below the 60 s after which some
/// load balancers forget a quiet connection.
pub(super) const H2_PING_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to say so.
pub(super) const H2_PING_WAIT: Duration = Duration::from_secs(10);
/// Streams that the peer opened and reset before we saw them ("rapid reset", CVE-2023-44487).
pub(super) const H2_PENDING_RESETS: usize = 20;
/// Streams that we reset for the peer's faults; an honest peer causes none.
pub(super) const H2_OUR_RESETS: usize = 64;
/// Connections to the health port, on top of the webhook's: probes and scrapers are few, and
/// neither port can take the other's place.
pub(super) const HEALTH_CONNECTIONS: usize = 16;
/// Bodies being held, all requests together: 64 of the largest, or some 1,500 of the usual. HTTP/2
/// streams times connections would be hundreds of MiB.
const BODIES_BYTES: usize = 4 * 1024 * 1024;
/// One line about refused or failed connections in this time: peers must not fill the log.
const QUIET: Duration = Duration::from_secs(5);

/// How long peers, and we, may take. [`Deadlines::default`] is for use; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For the client hello, and again for the rest of a TLS handshake. One over a slow link takes
    /// under 1 s.
    pub handshake: Duration,
    /// From the connection to the head of its first request, and so to its first byte. API servers
    /// connect when they have something to ask.
    pub first_request: Duration,
    /// Between requests, or for the head of a later one. Below the 90 s that Go's client keeps an
    /// idle connection: reopening takes a few ms.
    pub idle: Duration,
    /// For a whole request body.
    pub body: Duration,
    /// For an answer: what kube-apiserver waits for a webhook. A review has shorter ones inside.
    pub review: Duration,
    /// For all that is in flight when the server is to end. Kubelet gives 30 s.
    pub drain: Duration,
    /// At the server's end, for connections that have asked nothing yet.
    pub unspoken: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(10),
            review: Duration::from_secs(30),
            drain: Duration::from_secs(5),
            unspoken: Duration::from_millis(500),
        }
    }
}

/// The open connections of one port.
#[derive(Debug)]
pub(super) struct Seats {
    taken: Arc<AtomicUsize>,
    port: Port,
    metrics: Arc<Metrics>,
}

/// One open connection; its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    taken: Arc<AtomicUsize>,
    port: Port,
    metrics: Arc<Metrics>,
}

impl Seats {
    pub(super) fn new(port: Port, metrics: &Arc<Metrics>) -> Self {
        Self { taken: Arc::default(), port, metrics: Arc::clone(metrics) }
    }

    /// A place among at most `limit`, or none. There is one taker, so nobody comes between the
    /// look and the taking.
    pub(super) fn take(&self, limit: usize) -> Option<Seat> {
        if self.taken.load(Ordering::Relaxed) >= limit {
            self.metrics.connection_refused(self.port);
            return None;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.metrics.connection_opened(self.port);
        let metrics = Arc::clone(&self.metrics);
        Some(Seat { taken: Arc::clone(&self.taken), port: self.port, metrics })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connection_closed(self.port);
    }
}

/// The TLS handshakes under way; each takes tens of KiB and a quarter of a millisecond of CPU.
#[derive(Debug)]
pub(super) struct Handshakes {
    permits: Arc<Semaphore>,
    /// How many permits there are, free and taken.
    size: usize,
}

impl Handshakes {
    pub(super) fn new(limit: usize) -> Self {
        let size = limit.max(1);
        Self { permits: Arc::new(Semaphore::new(size)), size }
    }

    /// Follows the configuration. Fewer take effect as far as permits are free now, and fully
    /// with the next calls.
    pub(super) fn follow(&mut self, limit: usize) {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        if limit > self.size {
            self.permits.add_permits(limit - self.size);
            self.size = limit;
        } else {
            self.size -= self.permits.forget_permits(self.size - limit);
        }
    }

    pub(super) fn queue(&self) -> Arc<Semaphore> {
        Arc::clone(&self.permits)
    }
}

/// The bytes of request bodies that are held at the moment.
#[derive(Clone, Debug)]
pub(super) struct Bodies(Arc<Semaphore>);

/// One body's share; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Bodies,
    held: Option<OwnedSemaphorePermit>,
}

/// All bodies together take what there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

impl Bodies {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BODIES_BYTES)))
    }

    pub(super) fn share(&self) -> Share {
        Share { of: self.clone(), held: None }
    }
}

impl Share {
    /// Adds `bytes` to the share.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = u32::try_from(bytes).map_err(|_| Full)?;
        let more = Arc::clone(&self.of.0).try_acquire_many_owned(bytes).map_err(|_| Full)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

/// Lets one in a while through and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    last: Option<Instant>,
    hushed: u64,
}

impl Quiet {
    /// How many were held back since the last that was told, if this one is to be told.
    pub(super) fn tell(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < QUIET) {
            self.hushed = self.hushed.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.hushed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;

    #[test]
    fn seats_follow_the_limit_of_the_moment() {
        let metrics = Arc::new(Metrics::new(UnixTime::from_secs(0), || None));
        let seats = Seats::new(Port::Tls, &metrics);
        let (first, second) = (seats.take(2), seats.take(2));
        assert!(first.is_some() && second.is_some() && seats.take(2).is_none());
        assert!(seats.take(3).is_some());
        drop(second);
        assert!(seats.take(1).is_none() && seats.take(2).is_some());
    }

    #[test]
    fn handshakes_follow_the_limit_as_far_as_they_are_free() {
        let mut handshakes = Handshakes::new(2);
        let queue = handshakes.queue();
        let held = Arc::clone(&queue).try_acquire_many_owned(2).unwrap();
        handshakes.follow(1);
        drop(held);
        assert_eq!(queue.available_permits(), 2);
        handshakes.follow(1);
        assert_eq!(queue.available_permits(), 1);
        handshakes.follow(16);
        assert_eq!(queue.available_permits(), 16);
        handshakes.follow(0);
        assert_eq!(queue.available_permits(), 1);
    }

    #[test]
    fn bodies_share_what_there_is() {
        let bodies = Bodies::new();
        let (mut one, mut other) = (bodies.share(), bodies.share());
        assert_eq!(one.grow(BODIES_BYTES - 1), Ok(()));
        assert_eq!(other.grow(1), Ok(()));
        assert_eq!(other.grow(1), Err(Full));
        drop(one);
        assert_eq!(other.grow(BODIES_BYTES - 1), Ok(()));
    }
}
