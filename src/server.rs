//! The webhook's two ports: accept, TLS, HTTP, routes, drain. What a review decides is not here;
//! that is behind [`Authenticate`].
//!
//! Everything that a peer can make the server hold is bounded: connections, handshakes, headers,
//! streams, bodies, and how long each may take. The numbers are in `limits`.
//!
//! # Why not warp's own server
//! It speaks no TLS. Its filters pick the route; the transport is tokio-rustls and hyper's HTTP/1
//! and HTTP/2, chosen by ALPN. hyper-util's automatic choice waits without a deadline for a peer's
//! first byte.

mod accept;
mod answering;
mod authenticate;
mod counted;
mod drain;
mod fair;
mod flights;
mod guests;
mod health;
mod limits;
mod places;
mod routes;
mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tokio::net::TcpListener;

pub use self::authenticate::Authenticator;
pub use self::counted::Counted;
pub use self::drain::Ended;
pub use self::health::Health;
pub use self::limits::Deadlines;
pub use self::tls::{Certificate, CertificateFault, Renewal};
use crate::config::Limits;
use crate::face::Face;
use crate::metrics::Metrics;

/// Answers one TokenReview.
pub trait Authenticate: Send + Sync + 'static {
    /// The answer to the request `body`, which is whole and within the limit, of `asker`; one that
    /// lets somebody in has [`Granted`] among its extensions.
    ///
    /// A panic costs this review and no other. The future is dropped where the peer goes away.
    fn review(&self, body: Bytes, asker: Asker) -> impl Future<Output = Response<Bytes>> + Send;
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The connection's other end.
    pub client: SocketAddr,
    /// Whether a review of this connection has been granted before. API servers share one port with
    /// whoever else can reach it; those who have shown nothing yet wait behind those who have.
    pub known: bool,
}

/// The mark of an answer that lets somebody in: it makes its connection known.
#[derive(Clone, Copy, Debug)]
pub struct Granted;

/// The limits in force at the moment of the call.
pub type LimitsNow = Arc<dyn Fn() -> Limits + Send + Sync>;

/// What a server is made of.
pub struct Parts<A> {
    /// The webhook's port, bound.
    pub tls: TcpListener,
    /// The plain port for health and metrics, bound; see [`bind_health`].
    pub health_port: Option<TcpListener>,
    /// What the webhook's port presents, and what it demands of API servers.
    pub certificate: Arc<Certificate>,
    /// The reviews.
    pub authenticate: Arc<A>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the health paths say.
    pub health: Arc<Health>,
    /// Followed while the server runs.
    pub limits: LimitsNow,
    /// How long peers may take.
    pub deadlines: Deadlines,
    /// Under the reference's name its health port answers every path.
    pub face: Face,
}

impl<A> fmt::Debug for Parts<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Serves until `shutdown` resolves; then accepts nothing more, finishes what is in flight within
/// [`Deadlines::drain`], and says how it ended.
///
/// Runs on any tokio runtime; one thread is enough and takes the least memory.
pub async fn serve<A: Authenticate>(parts: Parts<A>, shutdown: impl Future<Output = ()>) -> Ended {
    accept::run(parts, shutdown).await
}

/// Binds the webhook's port.
///
/// # Errors
/// The operating system's, for the caller to say that the TLS listener could not be opened.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Binds the port for health and metrics. Where that fails it is logged and the server does
/// without, as the reference does: a taken health port must not stop sign-in.
pub async fn bind_health(address: SocketAddr) -> Option<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::error!(%address, %error, "healthz server exited");
            None
        }
    }
}

#[cfg(test)]
mod tests;
