//! The HTTP client under the AWS SDK, built when the first request needs it.
//!
//! Reading the system's root certificates takes several times as long as making a token, and most
//! tokens need no request at all. So `https` gets a TLS client on first use, and plain `http`
//! (container and instance metadata, a local stand-in) never pays for it and never goes through a
//! proxy. Redirects are not followed and answers are bounded.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use rustls::ClientConfig;

use crate::trust::{self, TrustFault};

/// A client whose expensive half is built on first use. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct LazyClient(Arc<Halves>);

struct Halves {
    ca_bundle: Option<Box<Path>>,
    plain: OnceLock<Result<reqwest::Client, ClientFault>>,
    secure: OnceLock<Result<reqwest::Client, ClientFault>>,
}

/// Says nothing of the proxies, whose URLs may hold passwords.
impl fmt::Debug for Halves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Halves").field("ca_bundle", &self.ca_bundle).finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the TLS client cannot be built: {0}")]
struct ClientFault(Box<str>);

impl LazyClient {
    /// `ca_bundle` (`AWS_CA_BUNDLE`, or `ca_bundle` of the profile) replaces the system's roots.
    pub(super) fn new(ca_bundle: Option<&str>) -> Self {
        let ca_bundle = ca_bundle.map(|path| Path::new(path).into());
        Self(Arc::new(Halves { ca_bundle, plain: OnceLock::new(), secure: OnceLock::new() }))
    }
}

impl HttpClient for LazyClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let limit = match (settings.connect_timeout(), settings.read_timeout()) {
            (Some(connect), Some(read)) => connect.saturating_add(read),
            (None, Some(read)) => read.saturating_add(CONNECT_TIMEOUT),
            (Some(_) | None, None) => EXCHANGE_TIMEOUT,
        };
        SharedHttpConnector::new(Connector { halves: Arc::clone(&self.0), limit })
    }
}

#[derive(Debug)]
struct Connector {
    halves: Arc<Halves>,
    limit: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (halves, limit) = (Arc::clone(&self.halves), self.limit);
        HttpConnectorFuture::new(async move {
            match tokio::time::timeout(limit, exchange(&halves, request)).await {
                Ok(answer) => answer,
                Err(elapsed) => Err(ConnectorError::timeout(elapsed.into())),
            }
        })
    }
}

async fn exchange(halves: &Halves, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let client = match request.uri().starts_with("https:") {
        true => halves.secure.get_or_init(|| secure(halves.ca_bundle.as_deref())),
        false => halves.plain.get_or_init(plain),
    };
    let client = client.as_ref().map_err(|fault| ConnectorError::user(fault.clone().into()))?;
    let request = request.try_into_http1x().map_err(|fault| ConnectorError::user(fault.into()))?;
    let request = request.map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
    let request = request.try_into().map_err(from_reqwest)?;
    let mut answer = client.execute(request).await.map_err(from_reqwest)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(from_reqwest)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let fault = format!("the answer is longer than {MAX_ANSWER} bytes");
            return Err(ConnectorError::user(fault.into()));
        }
        body.extend_from_slice(&chunk);
    }
    let mut whole = http::Response::new(SdkBody::from(body));
    *whole.status_mut() = answer.status();
    *whole.headers_mut() = std::mem::take(answer.headers_mut());
    whole.try_into().map_err(|fault| ConnectorError::user(BoxError::from(fault)))
}

/// The URL is cut off: SSO's holds what the user's account is called.
fn from_reqwest(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

fn plain() -> Result<reqwest::Client, ClientFault> {
    built(reqwest::Client::builder().no_proxy(), trust::nobody())
}

/// Proxies come from `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case.
fn secure(ca_bundle: Option<&Path>) -> Result<reqwest::Client, ClientFault> {
    #[cfg(test)]
    BUILT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    built(reqwest::Client::builder().https_only(true), trust::client(ca_bundle))
}

fn built(
    builder: reqwest::ClientBuilder,
    tls: Result<ClientConfig, TrustFault>,
) -> Result<reqwest::Client, ClientFault> {
    let tls = tls.map_err(|fault| ClientFault(told(&fault)))?;
    builder
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(|fault| ClientFault(told(&fault)))
}

fn told(fault: &dyn std::error::Error) -> Box<str> {
    match fault.source() {
        Some(cause) => format!("{fault}: {cause}").into(),
        None => fault.to_string().into(),
    }
}

/// Name look-up, TCP and TLS together; what AWS SDKs give, about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// One exchange where the SDK sets no limit of its own.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(12);
/// AWS's answers here are a few KiB; a session token is 4 KiB at most.
const MAX_ANSWER: usize = 1024 * 1024;

#[cfg(test)]
static BUILT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// How many TLS clients this process has built.
#[cfg(test)]
pub(crate) fn tls_clients_built() -> usize {
    BUILT.load(std::sync::atomic::Ordering::Relaxed)
}
