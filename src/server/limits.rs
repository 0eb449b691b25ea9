//! How much the server takes on, and how long it waits.
//!
//! What an operator may set comes from the configuration, afresh each time; the rest are constants
//! here, each with its reason.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Requests of one HTTP/2 connection at a time: as many as may ask STS at once, by default.
/// kube-apiserver sends its reviews over one connection, and opens another beyond. RFC 9113, section
/// 6.5.2, recommends 100, for which the tables of streams alone would take twice the memory.
pub(super) const H2_STREAMS: u32 = 64;
/// A TokenReview request has some 300 bytes of headers.
pub(super) const HEADER_BYTES: u32 = 8 * 1024;
/// As [`HEADER_BYTES`], for HTTP/1's buffer, which holds headers and the body's pieces.
pub(super) const H1_BUFFER_BYTES: usize = 8 * 1024;
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
/// Requests whose answer has not been sent; each takes up to 20 KiB, and HTTP/2 streams times
/// connections would be hundreds of MiB. Three API servers have 300 at most.
pub(super) const REQUESTS: Bound = Bound { all: 512, strangers: 128 };
/// Bytes of bodies being held, of requests and of answers: 64 of the largest, or some 1,000 of the
/// usual. A stranger's may be as large as the configuration allows; 40 scrapes of the metrics take
/// as much.
pub(super) const BODIES: Bound = Bound { all: 4 * 1024 * 1024, strangers: 1024 * 1024 };
/// What a handshake takes at most within a region, on a busy machine. Who takes longer goes first
/// where there is no room; who has not had the time yet must not, or a crowd of newcomers would keep
/// each other from ever greeting.
pub(super) const GREETING: Duration = Duration::from_millis(250);
/// Answers to a stranger, after which its next question protects it no longer. An API server whose
/// users may sign in has had a review granted by then.
pub(super) const PERSISTENT: usize = 8;
/// Bytes that a connection may send after the last of its requests began, on top of two largest
/// bodies: a hundred ordinary requests whose heads came first. HTTP/2 has frames that ask nothing.
pub(super) const UNASKED_BYTES: usize = 1024 * 1024;
/// Reviews of either kind that wait to ask STS, each of some 10 KiB: beyond, only the first of a
/// connection may join.
pub(super) const STS_QUEUE: usize = 192;
/// How long they wait: five times as long as a full queue takes at an STS of 20 ms. After it
/// kube-apiserver, which is told to come again, does so within a second.
pub(super) const STS_QUEUE_WAIT: Duration = Duration::from_millis(500);
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

/// How much there is of something, and how much of it strangers may have together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) all: usize,
    pub(super) strangers: usize,
}

/// Of so many connections, those that may be of HTTP/2. One takes up to 120 KiB, three times as
/// much as HTTP/1's; a cluster has as many as API servers, and each is a stranger's until its first
/// review has been granted.
pub(super) const fn http2(connections: usize) -> Bound {
    Bound { all: connections, strangers: connections.div_ceil(2) }
}

/// Of so many questions to STS, those that strangers, or those who are known, may ask at once where
/// the others ask too.
pub(super) const fn share(sts_in_flight: usize) -> usize {
    sts_in_flight - sts_in_flight / 4
}

/// Places that are waited for in turn. Their number follows the configuration.
#[derive(Debug)]
pub(super) struct Queue {
    permits: Arc<Semaphore>,
    /// How many places there are, free and taken.
    size: Mutex<usize>,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        let size = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(size)), size: Mutex::new(size) }
    }

    /// Follows the configuration. Fewer take effect as far as places are free now, and fully with
    /// the next calls.
    pub(super) fn follow(&self, limit: usize) -> &Arc<Semaphore> {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if limit > *size {
            self.permits.add_permits(limit - *size);
            *size = limit;
        } else if limit < *size {
            *size -= self.permits.forget_permits(*size - limit);
        }
        &self.permits
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

    #[test]
    fn a_queue_follows_the_limit_as_far_as_its_places_are_free() {
        let queue = Queue::new(2);
        let held = Arc::clone(queue.follow(2)).try_acquire_many_owned(2).unwrap();
        queue.follow(1);
        drop(held);
        assert_eq!(queue.permits.available_permits(), 2);
        assert_eq!(queue.follow(1).available_permits(), 1);
        assert_eq!(queue.follow(16).available_permits(), 16);
        assert_eq!(queue.follow(0).available_permits(), 1);
    }

    #[test]
    fn a_part_of_the_questions_is_left_to_others_where_there_are_enough() {
        assert_eq!([1, 2, 4, 64].map(share), [1, 2, 3, 48]);
    }
}
