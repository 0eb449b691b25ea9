//! From a listening socket to HTTP requests, and the watch over each connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use warp::reply::Response;

use super::answering::counted;
use super::drain::{Drain, Draining};
use super::fair::Fair;
use super::guests::{Full, Guests, Seat};
use super::limits::{self, Queue, Quiet};
use super::routes::{self, Routes};
use super::{Authenticate, Certificate, Deadlines, Ended, LimitsNow, Parts};
use crate::metrics::Port;

/// Pause after the system refused to hand out a connection (usually: no file descriptors left).
/// There is no event for "some were closed"; without a pause it would be asked without end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The same, where somebody leaves for the next: until the descriptor is free.
const ROOM_PAUSE: Duration = Duration::from_millis(2);

/// Accepts on both ports until `shutdown`, then drains.
pub(super) async fn run<A: Authenticate>(
    parts: Parts<A>,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    let Parts { tls, health_port, certificate, metrics, limits, deadlines, face, .. } = parts;
    let routes = Arc::new(Routes {
        authenticate: parts.authenticate,
        metrics: Arc::clone(&metrics),
        health: parts.health,
        certificate: Arc::clone(&certificate),
        limits: Arc::clone(&limits),
        deadlines,
        refusals: Mutex::default(),
    });
    let plain_service = TowerToHyperService::new(warp::service(routes::health(&routes, face)));
    let tls_service = TowerToHyperService::new(warp::service(routes::webhook(routes)));
    let greetings = Arc::new(Greetings {
        certificate,
        queue: Queue::new(limits().handshakes),
        limits: Arc::clone(&limits),
        failures: Mutex::default(),
    });
    let mut tls = Door::new(tls, Guests::new(Port::Tls, &metrics));
    let mut health = health_port.map(|port| Door::new(port, Guests::new(Port::Health, &metrics)));
    let (drain, draining) = Drain::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = shutdown.as_mut() => break,
            Some(_ended) = connections.join_next() => continue,
            (stream, client) = tls.accept() => {
                let now = limits();
                if let Ok(seat) = tls.seat(client, now.connections) {
                    let unasked = limits::UNASKED_BYTES.saturating_add(now.body.saturating_mul(2));
                    let watch = Watch { deadlines, draining: draining.clone(), unasked, seat };
                    let greetings = Arc::clone(&greetings);
                    connections.spawn(serve_tls(stream, greetings, watch, tls_service.clone()));
                }
            }
            (stream, client) = accept_some(health.as_mut()) => {
                let seat = health.as_mut().map(|door| door.seat(client, limits::HEALTH_CONNECTIONS));
                if let Some(Ok(seat)) = seat {
                    let unasked = limits::UNASKED_BYTES;
                    let watch = Watch { deadlines, draining: draining.clone(), unasked, seat };
                    connections.spawn(serve_plain(stream, watch, plain_service.clone()));
                }
            }
        }
        // Those who are inside get on before the next one comes in: a crowd at the door would
        // otherwise be let in, and out again, without a word.
        yield_now().await;
    }
    drop((tls, health, draining));
    drain.finish(connections, deadlines.drain).await
}

/// A listening socket, and those who came in by it.
struct Door {
    listener: TcpListener,
    guests: Guests,
    /// Closed until then. Kept here: whoever waits for a connection may stop and begin again.
    opens: Option<Instant>,
    faults: Quiet,
    refusals: Quiet,
}

impl Door {
    fn new(listener: TcpListener, guests: Guests) -> Self {
        Self { listener, guests, opens: None, faults: Quiet::default(), refusals: Quiet::default() }
    }

    /// The next connection. Faults of one connection are that connection's; faults of the system
    /// pass, and faster if somebody leaves.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(opens) = self.opens {
                sleep_until(opens).await;
                self.opens = None;
            }
            match self.listener.accept().await {
                Ok((stream, client)) => {
                    // Without it answers wait for the peer's acknowledgements; a socket that
                    // refuses is gone already.
                    drop(stream.set_nodelay(true));
                    return (stream, client);
                }
                Err(error) if is_the_peer_s(&error) => {}
                Err(error) => {
                    if let Some(more) = self.faults.tell() {
                        tracing::error!(%error, more, "could not accept a connection");
                    }
                    let left = self.guests.make_room();
                    let pause = if left { ROOM_PAUSE } else { ACCEPT_PAUSE };
                    self.opens = Some(Instant::now() + pause);
                }
            }
        }
    }

    fn seat(&mut self, client: SocketAddr, limit: usize) -> Result<Seat, Full> {
        self.guests.seat(client, limit).inspect_err(|_| {
            if let Some(more) = self.refusals.tell() {
                tracing::warn!(%client, limit, more, "closed a connection: too many are busy");
            }
        })
    }
}

/// The peer went away while it waited; accept(2) tells that as an error of its own.
fn is_the_peer_s(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

async fn accept_some(door: Option<&mut Door>) -> (TcpStream, SocketAddr) {
    match door {
        Some(door) => door.accept().await,
        None => std::future::pending().await,
    }
}

/// What TLS handshakes need.
struct Greetings {
    certificate: Arc<Certificate>,
    queue: Queue,
    limits: LimitsNow,
    failures: Mutex<Quiet>,
}

/// What it takes to watch over one connection.
struct Watch {
    deadlines: Deadlines,
    draining: Draining,
    /// How many bytes may come without a request.
    unasked: usize,
    seat: Seat,
}

impl Watch {
    fn fair<S>(&self, stream: S) -> Fair<S> {
        Fair::new(stream, self.seat.guest(), self.unasked)
    }
}

async fn serve_tls<S>(stream: TcpStream, greetings: Arc<Greetings>, mut watch: Watch, service: S)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send,
{
    let deadlines = watch.deadlines;
    let shaken = tokio::select! {
        // A connection's task keeps the size of its largest moment for as long as it lives: what is
        // large, or short-lived, is boxed.
        shaken = Box::pin(handshake(stream, &greetings, deadlines)) => shaken,
        () = watch.seat.guest().has_to_leave() => return,
        () = async { watch.draining.begun().await; sleep(deadlines.unspoken).await } => return,
    };
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => {
            let told = greetings.failures.lock().unwrap_or_else(PoisonError::into_inner).tell();
            if let Some(more) = told {
                let client = watch.seat.guest().client();
                tracing::warn!(http = "error", %client, %error, more, "TLS handshake failed");
            }
            return;
        }
    };
    drop(greetings);
    watch.seat.guest().greet();
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let Ok(_room) = watch.seat.guest().http2() else { return };
        serve_http2(watch.fair(stream), watch, service).await;
    } else {
        serve_http1(watch.fair(stream), watch, service).await;
    }
}

async fn serve_plain<S>(stream: TcpStream, watch: Watch, service: S)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send,
{
    serve_http1(watch.fair(stream), watch, service).await;
}

/// There is a place in the queue for those who are to be answered: it is taken with a whole hello,
/// and given back with our part of the handshake, since peers may let us wait for theirs.
async fn handshake(
    stream: TcpStream,
    greetings: &Greetings,
    deadlines: Deadlines,
) -> io::Result<Box<TlsStream<TcpStream>>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let hello = timeout(deadlines.handshake, hello).await??;
    let queue = greetings.queue.follow((greetings.limits)().handshakes);
    let Ok(place) = timeout(deadlines.first_request, queue.acquire()).await? else {
        return Err(io::Error::other("the server has ended"));
    };
    let mut shaking = pin!(hello.into_stream(greetings.certificate.config()));
    let answered = poll_fn(|cx| Poll::Ready(shaking.as_mut().poll(cx))).await;
    drop(place);
    let shaken = match answered {
        Poll::Ready(shaken) => shaken,
        Poll::Pending => timeout(deadlines.handshake, shaking).await?,
    };
    shaken.map(Box::new)
}

async fn serve_http1<I, S>(io: I, watch: Watch, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(watch.deadlines.idle)
        .max_buf_size(limits::H1_BUFFER_BYTES)
        .max_headers(limits::HEADER_COUNT);
    let service = counted(service, Arc::clone(watch.seat.guest()));
    let connection = Box::pin(http.serve_connection(TokioIo::new(io), service));
    attend(connection, |connection| connection.graceful_shutdown(), watch).await;
}

async fn serve_http2<I, S>(io: I, watch: Watch, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS)
        .max_header_list_size(limits::HEADER_BYTES)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
        .max_send_buf_size(limits::H2_SEND_BYTES)
        .max_pending_accept_reset_streams(limits::H2_PENDING_RESETS)
        .max_local_error_reset_streams(limits::H2_OUR_RESETS)
        .keep_alive_interval(limits::H2_PING_EVERY)
        .keep_alive_timeout(limits::H2_PING_WAIT);
    let service = counted(service, Arc::clone(watch.seat.guest()));
    let connection = Box::pin(http.serve_connection(TokioIo::new(io), service));
    attend(connection, |connection| connection.graceful_shutdown(), watch).await;
}

/// Runs a connection to its end, or to the end of our patience with it.
async fn attend<C>(mut connection: Pin<Box<C>>, wind_down: impl Fn(Pin<&mut C>), mut watch: Watch)
where
    C: Future<Output = hyper::Result<()>>,
{
    let deadlines = watch.deadlines;
    let guest = watch.seat.guest();
    let mut timer = pin!(sleep_until(Instant::now() + deadlines.first_request));
    let mut leaving = false;
    loop {
        tokio::select! {
            // A connection that always has something to say must not keep these from being heard.
            biased;
            // One that is known is idle, and may say goodbye.
            () = guest.has_to_leave() => {
                if leaving || !guest.is_known() {
                    return;
                }
                leaving = true;
                wind_down(connection.as_mut());
                timer.as_mut().reset(Instant::now() + deadlines.drain);
            }
            () = timer.as_mut() => match guest.stays_until(deadlines.idle) {
                None => return,
                Some(_) if leaving => return,
                Some(until) if until > Instant::now() => timer.as_mut().reset(until),
                Some(_) => {
                    leaving = true;
                    wind_down(connection.as_mut());
                    timer.as_mut().reset(Instant::now() + deadlines.drain);
                }
            },
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(client = %guest.client(), %error, "connection failed");
                }
                return;
            }
            () = watch.draining.begun(), if !leaving => {
                leaving = true;
                wind_down(connection.as_mut());
                let spoken = guest.stays_until(deadlines.idle).is_some();
                let patience = if spoken { deadlines.drain } else { deadlines.unspoken };
                timer.as_mut().reset(Instant::now() + patience);
            }
        }
    }
}
