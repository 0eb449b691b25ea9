//! The way to an STS host: its address from the configuration, the environment's proxy, or its
//! name; then TLS. A connection is ready within a limit, or not at all.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec::IntoIter;

use http::Uri;
use hyper::rt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

/// Makes connections for hyper's client.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    tls: HttpsConnector<Road>,
    limit: Duration,
}

type Fault = Box<dyn Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send>>;
type Tcp = TokioIo<TcpStream>;

impl Dial {
    /// `connect_to` are hosts that are dialled at an address, past any proxy. Connects to nobody.
    pub(super) fn new(
        tls: &ClientConfig,
        connect_to: &BTreeMap<Box<str>, SocketAddr>,
        limit: Duration,
    ) -> Self {
        let mut plain = HttpConnector::new_with_resolver(Names(Arc::new(Semaphore::new(LOOKUPS))));
        plain.set_nodelay(true);
        plain.enforce_http(false);
        let secure = || HttpsConnectorBuilder::new().with_tls_config(tls.clone());
        let road = Road(Arc::new(Roads {
            connect_to: connect_to.clone(),
            proxies: Matcher::from_env(),
            to_proxy: secure().https_or_http().enable_http1().wrap_connector(plain.clone()),
            plain,
        }));
        Self { tls: secure().https_only().enable_http1().wrap_connector(road), limit }
    }
}

impl Service<Uri> for Dial {
    type Response = MaybeHttpsStream<Line>;
    type Error = Fault;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.tls.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.limit, self.tls.call(uri));
        let wanted = WANTED.try_with(Arc::clone);
        Box::pin(async move {
            let Ok(wanted) = wanted else { return connecting.await? };
            tokio::select! {
                connected = connecting => connected?,
                _closed = wanted.acquire() => Err("the exchange is over".into()),
            }
        })
    }
}

tokio::task_local! {
    /// Closed when the exchange is over.
    static WANTED: Arc<Semaphore>;
}

/// Runs an exchange. Connections that were begun for it, and are not ready at its end, are given up.
///
/// hyper's client begins one for each request that finds none idle, and goes on with it when another
/// request hands one back in time: at an STS that is slow to accept there would be ever more.
pub(super) async fn within<T>(exchange: impl Future<Output = T>) -> T {
    struct Over(Arc<Semaphore>);
    impl Drop for Over {
        fn drop(&mut self) {
            self.0.close();
        }
    }
    let over = Over(Arc::new(Semaphore::new(0)));
    WANTED.scope(Arc::clone(&over.0), exchange).await
}

/// What TLS to STS is spoken over.
#[derive(Clone)]
struct Road(Arc<Roads>);

/// Looks names up, a few at once.
///
/// Tokens choose among many hosts, also such that exist nowhere, and a look-up cannot be stopped: it
/// holds a thread until the resolver gives up, long after the exchange.
#[derive(Clone)]
struct Names(Arc<Semaphore>);

/// Each takes a thread; a resolver that answers takes some milliseconds for one.
const LOOKUPS: usize = 32;

impl Service<Name> for Names {
    type Response = IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let lookups = Arc::clone(&self.0);
        Box::pin(async move {
            let turn = lookups.acquire_owned().await.map_err(io::Error::other)?;
            // In a task of its own: whoever gives up leaves the turn with the thread.
            let lookup = tokio::spawn(async move {
                let found = lookup_host((name.as_str(), 0)).await;
                drop(turn);
                found.map(|found| found.collect::<Vec<_>>().into_iter())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// A connection straight to STS, or through a proxy. The latter's TLS is boxed: it would double the
/// size of every connection.
pub(super) enum Line {
    Direct(Tcp),
    Tunnel(Box<MaybeHttpsStream<Tcp>>),
}

struct Roads {
    connect_to: BTreeMap<Box<str>, SocketAddr>,
    proxies: Matcher,
    to_proxy: HttpsConnector<HttpConnector<Names>>,
    plain: HttpConnector<Names>,
}

impl Service<Uri> for Road {
    type Response = Line;
    type Error = Fault;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(())) // none of the parts has to be waited for
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let roads = Arc::clone(&self.0);
        Box::pin(async move { roads.connect(uri).await })
    }
}

impl Roads {
    async fn connect(&self, uri: Uri) -> Result<Line, Fault> {
        if let Some(address) = uri.host().and_then(|host| self.connect_to.get(host)) {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            return Ok(Line::Direct(TokioIo::new(stream)));
        }
        let Some(proxy) = self.proxies.intercept(&uri) else {
            return Ok(Line::Direct(self.plain.clone().call(uri).await?));
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        // Boxed: without a proxy, no connection carries its state.
        Ok(Line::Tunnel(Box::new(Box::pin(tunnel.call(uri)).await?)))
    }
}

impl Line {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut (dyn Stream + Unpin)> {
        match self.get_mut() {
            Self::Direct(stream) => Pin::new(stream),
            Self::Tunnel(stream) => Pin::new(&mut **stream),
        }
    }
}

trait Stream: rt::Read + rt::Write {}

impl<S: rt::Read + rt::Write> Stream for S {}

impl Connection for Line {
    fn connected(&self) -> Connected {
        match self {
            Self::Direct(stream) => stream.connected(),
            Self::Tunnel(stream) => stream.connected(),
        }
    }
}

impl rt::Read for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl rt::Write for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_in_turn_and_who_leaves_takes_no_turn_away() {
        let turns = Arc::new(Semaphore::new(1));
        let mut names = Names(Arc::clone(&turns));
        let mut localhost = || names.call("localhost".parse().unwrap());
        assert!(localhost().await.unwrap().all(|address| address.ip().is_loopback()));

        let held = turns.acquire().await.unwrap();
        let mut waiting = localhost();
        assert!((&mut waiting).now_or_never().is_none());
        for _ in 0..3 {
            drop(lookup_host(("localhost", 0)).await.unwrap());
        }
        assert!((&mut waiting).now_or_never().is_none(), "it has no turn yet");
        drop((held, waiting));

        let mut given_up = localhost();
        assert!((&mut given_up).now_or_never().is_none());
        drop(given_up);
        // Its look-up goes on, and then gives back its turn.
        assert_eq!(turns.available_permits(), 0);
        assert!(localhost().await.unwrap().count() > 0);
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_connection_is_given_up_with_the_exchange_that_it_was_begun_for() {
        let patience = Duration::from_secs(20);
        // Accepts, and never says a word of TLS.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let host: Box<str> = "sts.us-west-2.amazonaws.com".into();
        let connect_to = BTreeMap::from([(host, listener.local_addr().unwrap())]);
        let tls = crate::trust::nobody().unwrap();
        let mut dial = Dial::new(&tls, &connect_to, patience * 3);
        let uri = Uri::from_static("https://sts.us-west-2.amazonaws.com/");

        let (connecting, peer) = within(async {
            let connecting = tokio::spawn(dial.call(uri));
            (connecting, listener.accept().await.unwrap().0)
        })
        .await;

        let fault = timeout(patience, connecting).await.unwrap().unwrap().err().unwrap();
        assert_eq!(fault.to_string(), "the exchange is over");
        drop(peer);
    }
}
