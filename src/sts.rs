//! The network behind [`Sts`]: one HTTPS exchange with limits, no redirects, no retries.
//!
//! Reads no token and judges no answer; it carries bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use reqwest::Client;
use rustls::ClientConfig;

use crate::token::{Reply, Sts, StsFault, StsRequest, StsUnavailable};
use crate::trust::{self, TrustFault};

/// STS over HTTPS, through the environment's proxy where one is set.
#[derive(Debug)]
pub struct HttpsSts {
    config: Config,
    direct: OnceLock<Client>,
    regular: OnceLock<Client>,
    passing: OnceLock<Client>,
    regulars: Regulars,
    tls: ClientConfig,
    under_way: AtomicUsize,
    limit: AtomicUsize,
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
    /// Exchanges under way; beyond, [`StsFault::Busy`].
    pub limit: usize,
}

impl HttpsSts {
    /// Loads the roots; connects to nobody.
    ///
    /// # Errors
    /// `ca_file` cannot be read or holds no certificate.
    pub fn new(config: Config) -> Result<Self, TrustFault> {
        let tls = trust::client(config.ca_file.as_deref())?;
        let limit = AtomicUsize::new(config.limit);
        Ok(Self {
            config,
            direct: OnceLock::new(),
            regular: OnceLock::new(),
            passing: OnceLock::new(),
            regulars: Regulars::default(),
            tls,
            under_way: AtomicUsize::new(0),
            limit,
        })
    }

    /// Changes how many exchanges may be under way at once.
    pub fn allow(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn client(&self, host: &str) -> Result<&Client, StsUnavailable> {
        let (slot, way) = if self.config.connect_to.contains_key(host) {
            (&self.direct, Way::Direct)
        } else if self.regulars.know(host) {
            (&self.regular, Way::Regular)
        } else {
            (&self.passing, Way::Passing)
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = self.build(way).map_err(|_| StsUnavailable::Connect)?;
        Ok(slot.get_or_init(|| client))
    }

    fn build(&self, way: Way) -> reqwest::Result<Client> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut client = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .default_headers(headers)
            .user_agent(concat!("iamgate/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            // All that is needed; an answer in HTTP/2 has more ways to be endless.
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT.min(self.config.timeout))
            .timeout(self.config.timeout)
            .pool_max_idle_per_host(match way {
                Way::Direct | Way::Regular => IDLE_CONNECTIONS,
                Way::Passing => PASSING_CONNECTIONS,
            })
            .pool_idle_timeout(IDLE);
        if way == Way::Direct {
            client = client.no_proxy();
            for (host, address) in &self.config.connect_to {
                client = client.resolve(host, *address);
            }
        }
        client.build()
    }

    async fn exchange(&self, request: &StsRequest<'_>) -> Result<Reply, StsUnavailable> {
        let host = request.host.as_str();
        let url = format!("https://{host}{}", request.target.expose());
        let cluster_id = HeaderValue::from_str(request.cluster_id.as_str());
        let cluster_id = cluster_id.map_err(|_| StsUnavailable::Connect)?;
        let sent = self.client(host)?.get(url).header("x-k8s-aws-id", cluster_id).send().await;
        let mut response = sent.map_err(|error| fault(&error))?;
        if !is_framed_once(response.headers()) {
            return Err(StsUnavailable::Broken);
        }
        let json = is_json(response.headers());
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
            if body.len() + chunk.len() > BODY {
                return Err(StsUnavailable::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        if status == 200 {
            self.regulars.welcome(host);
        }
        Ok(Reply { status, json, body })
    }
}

impl Sts for HttpsSts {
    async fn ask(&self, request: &StsRequest<'_>) -> Result<Reply, StsFault> {
        let _place = Place::take(&self.under_way, self.limit.load(Ordering::Relaxed))?;
        Ok(self.exchange(request).await?)
    }
}

impl<S: Sts> Sts for Arc<S> {
    async fn ask(&self, request: &StsRequest<'_>) -> Result<Reply, StsFault> {
        (**self).ask(request).await
    }
}

/// How a host is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// At the address that the configuration gives, past any proxy.
    Direct,
    /// By its name, with connections kept for the next reviews.
    Regular,
    /// By its name, with hardly any connection kept. Tokens choose among more than a hundred hosts,
    /// and anybody may send tokens: idle connections to all of them would be hundreds of MiB.
    Passing,
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
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(under_way: &'a AtomicUsize, limit: usize) -> Result<Self, StsFault> {
        let place = Self(under_way);
        if under_way.fetch_add(1, Ordering::Relaxed) < limit {
            Ok(place)
        } else {
            Err(StsFault::Busy)
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn fault(error: &reqwest::Error) -> StsUnavailable {
    if error.is_timeout() {
        StsUnavailable::Timeout
    } else if error.is_connect() {
        StsUnavailable::Connect
    } else {
        StsUnavailable::Broken
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

/// A `GetCallerIdentity` answer has about 500 bytes.
const BODY: usize = 64 * 1024;
/// Leaves a second of the default 4 s for the answer.
const CONNECT: Duration = Duration::from_secs(3);
/// As many as may be under way by default: fewer, and each burst opens connections anew.
const IDLE_CONNECTIONS: usize = 64;
/// To a host that is none of the first few.
const PASSING_CONNECTIONS: usize = 1;
/// A region, the one that users' laptops are set to, and either's dual-stack host.
const REGULAR_HOSTS: usize = 4;
/// Below the idle limits of load balancers, so that a connection is not used as it is being closed.
const IDLE: Duration = Duration::from_secs(50);

#[cfg(test)]
mod tests;
