//! The end of a server: one signal to all connections, and a limit to waiting for them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How serving ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// All that was in flight was finished.
    Clean,
    /// So many connections were cut at the deadline.
    Cut(usize),
}

/// The giving end of the signal.
#[derive(Debug)]
pub(super) struct Drain(watch::Sender<bool>);

/// The taking end of the signal, one per connection.
#[derive(Clone, Debug)]
pub(super) struct Draining(watch::Receiver<bool>);

impl Drain {
    pub(super) fn new() -> (Self, Draining) {
        let (tx, rx) = watch::channel(false);
        (Self(tx), Draining(rx))
    }

    /// Tells all connections, waits for them for at most `limit`, then cuts the rest.
    pub(super) async fn finish(self, mut connections: JoinSet<()>, limit: Duration) -> Ended {
        self.0.send_replace(true);
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(limit, all).await.is_ok() {
            return Ended::Clean;
        }
        let left = connections.len();
        connections.shutdown().await;
        Ended::Cut(left)
    }
}

impl Draining {
    /// Resolves once the server is to end.
    pub(super) async fn begun(&mut self) {
        // The other end is held until every connection has ended; were it gone, so is the server.
        let _gone = self.0.wait_for(|begun| *begun).await;
    }
}
