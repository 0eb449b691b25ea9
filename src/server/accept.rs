//! From a listening socket to HTTP requests, and the watch over each connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use warp::reply::Response;

use super::drain::{Drain, Draining};
use super::limits::{self, Bodies, Handshakes, Quiet, Seat, Seats};
use super::routes::{self, Routes};
use super::{Authenticate, Certificate, Deadlines, Ended, Parts};
use crate::metrics::Port;

/// Pause after the system refused to hand out a connection (usually: no file descriptors left).
/// There is no event for "some were closed"; without a pause it would be asked without end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        bodies: Bodies::new(),
    });
    let plain_service = TowerToHyperService::new(warp::service(routes::health(&routes, face)));
    let tls_service = TowerToHyperService::new(warp::service(routes::webhook(routes)));
    let mut handshakes = Handshakes::new(limits().handshakes);
    let tls_seats = Seats::new(Port::Tls, &metrics);
    let health_seats = Seats::new(Port::Health, &metrics);
    let failures = Arc::new(Mutex::new(Quiet::default()));
    let mut refusals = Quiet::default();
    let (drain, draining) = Drain::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = shutdown.as_mut() => break,
            Some(_ended) = connections.join_next() => {}
            (stream, client) = accept(&tls) => {
                let now = limits();
                handshakes.follow(now.handshakes);
                let Some(seat) = tls_seats.take(now.connections) else {
                    tell_refusal(&mut refusals, client, now.connections);
                    continue;
                };
                let greeting = Greeting {
                    certificate: Arc::clone(&certificate),
                    queue: handshakes.queue(),
                    failures: Arc::clone(&failures),
                };
                let watch = Watch { deadlines, draining: draining.clone(), client, _seat: seat };
                connections.spawn(serve_tls(stream, greeting, watch, tls_service.clone()));
            }
            (stream, client) = accept_some(health_port.as_ref()) => {
                let Some(seat) = health_seats.take(limits::HEALTH_CONNECTIONS) else {
                    tell_refusal(&mut refusals, client, limits::HEALTH_CONNECTIONS);
                    continue;
                };
                let watch = Watch { deadlines, draining: draining.clone(), client, _seat: seat };
                connections.spawn(serve_plain(stream, watch, plain_service.clone()));
            }
        }
    }
    drop((tls, health_port, draining));
    drain.finish(connections, deadlines.drain).await
}

/// The next connection. Faults of one connection are that connection's; faults of the system pass.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                // Without it answers wait for the peer's acknowledgements; a socket that refuses
                // is gone already.
                drop(stream.set_nodelay(true));
                return (stream, client);
            }
            Err(error) if is_the_peer_s(&error) => {}
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
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

async fn accept_some(listener: Option<&TcpListener>) -> (TcpStream, SocketAddr) {
    match listener {
        Some(listener) => accept(listener).await,
        None => std::future::pending().await,
    }
}

fn tell_refusal(refusals: &mut Quiet, client: SocketAddr, limit: usize) {
    if let Some(more) = refusals.tell() {
        tracing::warn!(%client, limit, more, "closed a connection: too many are open");
    }
}

/// What a TLS handshake needs.
struct Greeting {
    certificate: Arc<Certificate>,
    queue: Arc<Semaphore>,
    failures: Arc<Mutex<Quiet>>,
}

/// What it takes to watch over one connection.
struct Watch {
    deadlines: Deadlines,
    draining: Draining,
    client: SocketAddr,
    _seat: Seat,
}

async fn serve_tls<S>(stream: TcpStream, greeting: Greeting, mut watch: Watch, service: S)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send,
{
    let Watch { deadlines, client, .. } = watch;
    let shaken = tokio::select! {
        shaken = handshake(stream, &greeting, deadlines) => shaken,
        () = async { watch.draining.begun().await; sleep(deadlines.unspoken).await } => return,
    };
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => {
            let told = greeting.failures.lock().unwrap_or_else(PoisonError::into_inner).tell();
            if let Some(more) = told {
                tracing::warn!(http = "error", %client, %error, more, "TLS handshake failed");
            }
            return;
        }
    };
    drop(greeting);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(TokioIo::new(stream), watch, service).await;
    } else {
        serve_http1(TokioIo::new(stream), watch, service).await;
    }
}

async fn serve_plain<S>(stream: TcpStream, watch: Watch, service: S)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send,
{
    serve_http1(TokioIo::new(stream), watch, service).await;
}

/// The hello is awaited before there is a place in the queue, so that silent peers take none.
async fn handshake(
    stream: TcpStream,
    greeting: &Greeting,
    deadlines: Deadlines,
) -> io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let hello = timeout(deadlines.handshake, hello).await??;
    let queued = Arc::clone(&greeting.queue).acquire_owned();
    let Ok(_permit) = timeout(deadlines.first_request, queued).await? else {
        return Err(io::Error::other("the server has ended"));
    };
    let shaking = hello.into_stream(greeting.certificate.config());
    timeout(deadlines.handshake, shaking).await?
}

async fn serve_http1<I, S>(io: I, watch: Watch, service: S)
where
    I: Read + Write + Unpin,
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(watch.deadlines.idle)
        .max_buf_size(limits::H1_BUFFER_BYTES)
        .max_headers(limits::HEADER_COUNT);
    let (activity, service) = watched(service, watch.client);
    let connection = http.serve_connection(io, service);
    attend(connection, |connection| connection.graceful_shutdown(), &activity, watch).await;
}

async fn serve_http2<I, S>(io: I, watch: Watch, service: S)
where
    I: Read + Write + Unpin,
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
    let (activity, service) = watched(service, watch.client);
    let connection = http.serve_connection(io, service);
    attend(connection, |connection| connection.graceful_shutdown(), &activity, watch).await;
}

/// What a connection is doing, for the one who decides whether it may stay.
#[derive(Debug)]
struct Activity {
    spoken: AtomicBool,
    open: AtomicUsize,
    /// When the last answer was ready.
    rested: Mutex<Instant>,
}

/// One request under way.
struct Busy(Arc<Activity>);

impl Activity {
    fn begin(this: &Arc<Self>) -> Busy {
        this.spoken.store(true, Ordering::Relaxed);
        this.open.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(this))
    }

    /// Until when the connection may stay without another word; `None` if it never spoke.
    fn stays_until(&self, idle: Duration) -> Option<Instant> {
        if !self.spoken.load(Ordering::Relaxed) {
            None
        } else if self.open.load(Ordering::Relaxed) > 0 {
            Some(Instant::now() + idle)
        } else {
            Some(*self.rested.lock().unwrap_or_else(PoisonError::into_inner) + idle)
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        *self.0.rested.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// `service` with the peer's address on each request, and a record of what is under way.
fn watched<S>(
    service: S,
    client: SocketAddr,
) -> (
    Arc<Activity>,
    impl Service<
        Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future = Recorded<S::Future>,
    >,
)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    let activity = Arc::new(Activity {
        spoken: AtomicBool::new(false),
        open: AtomicUsize::new(0),
        rested: Mutex::new(Instant::now()),
    });
    let record = Arc::clone(&activity);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client);
        Recorded { _busy: Activity::begin(&record), answer: Box::pin(service.call(request)) }
    });
    (activity, service)
}

/// An answer being made. A named type, so that it is `Send` where the answer is.
struct Recorded<F> {
    _busy: Busy,
    answer: Pin<Box<F>>,
}

impl<F: Future> Future for Recorded<F> {
    type Output = F::Output;

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.answer.as_mut().poll(cx)
    }
}

/// Runs a connection to its end, or to the end of our patience with it.
async fn attend<C>(
    connection: C,
    wind_down: impl Fn(Pin<&mut C>),
    activity: &Activity,
    mut watch: Watch,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let deadlines = watch.deadlines;
    let mut connection = pin!(connection);
    let mut timer = pin!(sleep_until(Instant::now() + deadlines.first_request));
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(client = %watch.client, %error, "connection failed");
                }
                return;
            }
            () = watch.draining.begun(), if !leaving => {
                leaving = true;
                wind_down(connection.as_mut());
                let spoken = activity.stays_until(deadlines.idle).is_some();
                let patience = if spoken { deadlines.drain } else { deadlines.unspoken };
                timer.as_mut().reset(Instant::now() + patience);
            }
            () = timer.as_mut() => match activity.stays_until(deadlines.idle) {
                None => return,
                Some(_) if leaving => return,
                Some(until) if until > Instant::now() => timer.as_mut().reset(until),
                Some(_) => {
                    leaving = true;
                    wind_down(connection.as_mut());
                    timer.as_mut().reset(Instant::now() + deadlines.drain);
                }
            },
        }
    }
}
