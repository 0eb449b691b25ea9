//! The network behind [`Sts`]: one HTTPS exchange with limits, no redirects, no retries.
//!
//! Reads no token and judges no answer; it carries bytes.

mod dial;

use std::collections::BTreeMap;
use std::error::Error;
use std::iter;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use http_body_util::{BodyExt, Empty};
use hyper_util::client;
use hyper_util::client::legacy::Builder;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::yield_now;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use self::dial::Dial;

use crate::token::{Reply, Sts, StsRequest, StsUnavailable};
use crate::trust::{self, TrustFault};

/// STS over HTTPS, through the environment's proxy where one is set.
#[derive(Debug)]
pub struct HttpsSts {
    config: Config,
    steady: OnceLock<Client>,
    burst: OnceLock<Client>,
    passing: OnceLock<Client>,
    regulars: Regulars,
    dial: Dial,
    under_way: AtomicUsize,
}

/// How STS is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// STS host to address: dialled directly, past any proxy; TLS name and `Host` stay.
    pub connect_to: BTreeMap<Box<str>, SocketAddr>,
    /// Roots that replace the system's.
    pub ca_file: Option<PathBuf>,
    /// The whole exchange.
    pub timeout: Duration,
}

impl HttpsSts {
    /// Loads the roots; connects to nobody.
    ///
    /// # Errors
    /// `ca_file` cannot be read or holds no certificate.
    pub fn new(config: Config) -> Result<Self, TrustFault> {
        let tls = trust::client(config.ca_file.as_deref())?;
        let dial = Dial::new(&tls, &config.connect_to, CONNECT.min(config.timeout));
        Ok(Self {
            config,
            steady: OnceLock::new(),
            burst: OnceLock::new(),
            passing: OnceLock::new(),
            regulars: Regulars::default(),
            dial,
            under_way: AtomicUsize::new(0),
        })
    }

    /// The client for the exchange that is the `nth`, from 0, of those under way.
    fn client(&self, host: &str, nth: usize) -> &Client {
        let regular = self.config.connect_to.contains_key(host) || self.regulars.know(host);
        let (slot, kept, idle) = match regular {
            true if nth < STEADY => (&self.steady, STEADY, STEADY_IDLE),
            true => (&self.burst, BURST, BURST_IDLE),
            false => (&self.passing, PASSING, STEADY_IDLE),
        };
        slot.get_or_init(|| {
            Builder::new(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_max_idle_per_host(kept)
                .pool_idle_timeout(idle)
                // STS speaks HTTP/1.1 alone; and an answer in HTTP/2 has more ways to be endless.
                .http1_read_buf_exact_size(HEAD)
                .build(self.dial.clone())
        })
    }

    async fn exchange(
        &self,
        request: &StsRequest<'_>,
        nth: usize,
    ) -> Result<Reply, StsUnavailable> {
        let host = request.host.as_str();
        let cluster_id = HeaderValue::from_str(request.cluster_id.as_str());
        let request = Request::get(format!("https://{host}{}", request.target.expose()))
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("iamgate/", env!("CARGO_PKG_VERSION")))
            .header("x-k8s-aws-id", cluster_id.map_err(|_| StsUnavailable::Connect)?)
            .body(Empty::new())
            .map_err(|_| StsUnavailable::Connect)?;
        let response =
            self.client(host, nth).request(request).await.map_err(|error| fault(&error))?;
        let (head, mut rest) = response.into_parts();
        if !is_framed_once(&head.headers) {
            return Err(StsUnavailable::Broken);
        }
        let mut body = Vec::new();
        while let Some(frame) = rest.frame().await {
            let frame = frame.map_err(|_| StsUnavailable::Broken)?;
            let Ok(piece) = frame.into_data() else { continue };
            if body.len() + piece.len() > BODY {
                return Err(StsUnavailable::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        // The connection's own task runs now, and hands the connection back: whoever asks next finds
        // it instead of opening another one.
        yield_now().await;
        let status = head.status.as_u16();
        if status == 200 {
            self.regulars.welcome(host);
        }
        Ok(Reply { status, json: is_json(&head.headers), body })
    }
}

impl Sts for HttpsSts {
    async fn ask(&self, request: &StsRequest<'_>) -> Result<Reply, StsUnavailable> {
        let place = Place::take(&self.under_way);
        let exchange = dial::within(self.exchange(request, place.nth));
        let exchange = timeout(self.config.timeout, exchange);
        exchange.await.map_err(|_| StsUnavailable::Timeout)?
    }
}

/// The first few hosts that vouched for somebody: a cluster's users sign for one or two.
#[derive(Debug, Default)]
struct Regulars([OnceLock<Box<str>>; REGULAR_HOSTS]);

impl Regulars {
    fn know(&self, host: &str) -> bool {
        self.0.iter().any(|known| known.get().is_some_and(|known| **known == *host))
    }

    /// Takes `host` in, if it is not known and there is room.
    fn welcome(&self, host: &str) {
        for place in &self.0 {
            if &**place.get_or_init(|| host.into()) == host {
                return;
            }
        }
    }
}

/// One of the exchanges under way; given back when dropped, also when the exchange is cancelled.
struct Place<'a> {
    under_way: &'a AtomicUsize,
    nth: usize,
}

impl<'a> Place<'a> {
    fn take(under_way: &'a AtomicUsize) -> Self {
        Self { under_way, nth: under_way.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// hyper's client for HTTP, over connections of ours.
type Client = client::legacy::Client<Dial, Empty<Bytes>>;

fn fault(error: &client::legacy::Error) -> StsUnavailable {
    if !error.is_connect() {
        return StsUnavailable::Broken;
    }
    let mut causes = iter::successors(error.source(), |&cause| cause.source());
    match causes.any(|cause| cause.is::<Elapsed>()) {
        true => StsUnavailable::Timeout,
        false => StsUnavailable::Connect,
    }
}

/// Whether the answer says in one way where it ends: two ways are how one answer becomes two
/// (RFC 9112, section 6.1), and a coding beside `chunked` is one that we cannot undo.
fn is_framed_once(headers: &HeaderMap) -> bool {
    match only(headers, &TRANSFER_ENCODING) {
        Some(coding) => {
            coding.eq_ignore_ascii_case("chunked") && !headers.contains_key(CONTENT_LENGTH)
        }
        None => !headers.contains_key(TRANSFER_ENCODING),
    }
}

/// JSON is UTF-8 (RFC 8259, section 8.1): an answer in another charset is not read as if it were.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = only(headers, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let mut parts = kind.split(';').map(str::trim);
    let plain = !headers.contains_key(CONTENT_ENCODING);
    plain
        && ["application/json", "application/x-amz-json-1.1"]
            .contains(&parts.next().unwrap_or_default())
        && parts.all(|part| {
            part.strip_prefix("charset=").is_none_or(|name| name.trim_matches('"') == "utf-8")
        })
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// STS's heads have less than 1 KiB. Every kept connection has so much to read into.
const HEAD: usize = 4 * 1024;
/// A `GetCallerIdentity` answer has about 500 bytes.
const BODY: usize = 64 * 1024;
/// Leaves a second of the default 4 s for the answer.
const CONNECT: Duration = Duration::from_secs(3);
/// Connections that are kept for whoever comes next, a few seconds or logins later.
const STEADY: usize = 8;
/// Connections that are kept, beyond those, as long as a burst goes on: as many as may be under way
/// by default. Each takes some 40 KiB.
const BURST: usize = 64;
const BURST_IDLE: Duration = Duration::from_millis(500);
/// Connections to a host that is none of the first few. Tokens choose among more than a hundred
/// hosts, and anybody may send tokens: idle connections to all of them would be hundreds of MiB.
const PASSING: usize = 1;
/// A region, the one that users' laptops are set to, and either's dual-stack host.
const REGULAR_HOSTS: usize = 4;
/// Below the idle limits of load balancers, so that a connection is not used as it is being closed.
const STEADY_IDLE: Duration = Duration::from_secs(50);

#[cfg(test)]
mod tests;
