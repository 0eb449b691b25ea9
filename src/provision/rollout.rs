//! Waits until what was changed runs: the authenticator, the API server.
//!
//! An API server counts from the moment that a process of it that began after the change has said
//! several times on end that it is ready; the one before may answer for up to 30 s more. Looks, and
//! changes nothing.

mod logs;
mod pinned;
mod processes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::Instant;

pub(super) use self::logs::last_lines;
use self::pinned::Pinned;
pub(super) use self::processes::{Listener, Moment, listeners, now};
use super::host::{Host, NodePath};

/// How long to wait, and whom to tell meanwhile.
pub(super) struct Patience<'a> {
    /// For each of the two.
    pub limit: Duration,
    /// Is given a line now and then.
    pub tell: &'a mut dyn FnMut(&str),
}

/// What has to run.
#[derive(Debug)]
pub(super) struct Authenticator {
    /// Where it answers about its health, in plain HTTP.
    pub health: SocketAddr,
    /// Where it answers the API server.
    pub webhook: SocketAddr,
    /// Its certificate as it should be, in PEM.
    pub leaf: String,
    /// It has to have started after this.
    pub since: Option<Moment>,
}

/// What has to run.
#[derive(Clone, Debug)]
pub(super) struct ApiServer {
    /// Where it answers.
    pub address: SocketAddr,
    /// The file of its certificate; without it, it is not known which is right.
    pub certificate: Option<NodePath>,
    /// Files of a certificate and key that it knows, for where nobody anonymous is answered.
    pub client: Option<(NodePath, NodePath)>,
    /// It has to have started after this.
    pub since: Moment,
}

/// It does not run, after all that time.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not ready after {} s: {last}", waited.as_secs())]
pub(super) struct NotReady {
    what: &'static str,
    waited: Duration,
    last: Box<str>,
}

impl NotReady {
    /// Whether it is the API server.
    pub(super) fn is_apiserver(&self) -> bool {
        self.what == APISERVER
    }
}

/// Waits for the authenticator.
///
/// # Errors
/// It is not ready in time.
pub(super) async fn authenticator(
    wanted: &Authenticator,
    patience: &mut Patience<'_>,
) -> Result<(), NotReady> {
    wait("iamgate", 1, patience, async || {
        if let Some(since) = wanted.since {
            started("iamgate", &["server"], since)?;
        }
        let plain = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::trust::nobody().map_err(|fault| fault.to_string())?)
            .no_proxy()
            .timeout(POLL_LIMIT)
            .build();
        let plain = plain.map_err(|error| told(&error))?;
        ready(&plain, &format!("http://{}/readyz", wanted.health)).await?;
        let leaf = CertificateDer::from_pem_slice(wanted.leaf.as_bytes())
            .map_err(|_| "its certificate cannot be read".to_owned())?;
        let pinned = client(Some(leaf), None)?;
        ready(&pinned, &format!("https://{}/livez", wanted.webhook)).await
    })
    .await
}

/// Waits for the API server.
///
/// # Errors
/// It is not ready in time.
pub(super) async fn apiserver(
    wanted: &ApiServer,
    host: &Host,
    patience: &mut Patience<'_>,
) -> Result<(), NotReady> {
    wait(APISERVER, READY_ON_END, patience, async || {
        started(APISERVER, &[], wanted.since)?;
        // Read each time: an installer may renew them.
        let read = |path: &NodePath| {
            let bytes = host.read(path, PEM_LIMIT).ok().flatten();
            bytes.ok_or_else(|| format!("{path} cannot be read"))
        };
        let leaf = match &wanted.certificate {
            Some(path) => Some(
                CertificateDer::from_pem_slice(&read(path)?)
                    .map_err(|_| format!("{path} holds no certificate"))?,
            ),
            None => None,
        };
        // To a server that is not known, no certificate of ours is shown.
        let identity = match &wanted.client {
            Some((certificate, key)) if leaf.is_some() => {
                let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|_| format!("{certificate} holds no certificate"))?;
                let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                    .map_err(|_| format!("{key} holds no key"))?;
                Some((chain, key))
            }
            Some(_) | None => None,
        };
        let client = client(leaf, identity)?;
        ready(&client, &format!("https://{}/readyz", wanted.address)).await
    })
    .await
}

/// Polls until `check` has succeeded `times` times on end.
async fn wait(
    what: &'static str,
    times: u32,
    patience: &mut Patience<'_>,
    mut check: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), NotReady> {
    let began = Instant::now();
    let mut on_end = 0;
    let mut next_line = QUIET;
    loop {
        let last = match check().await {
            Ok(()) => {
                on_end += 1;
                if on_end >= times {
                    return Ok(());
                }
                "it has only just become ready".to_owned()
            }
            Err(why) => {
                on_end = 0;
                why
            }
        };
        let waited = began.elapsed();
        if waited >= patience.limit {
            return Err(NotReady { what, waited, last: last.into() });
        }
        if waited >= next_line {
            next_line = waited.saturating_add(QUIET_BETWEEN);
            let limit = patience.limit.as_secs();
            (patience.tell)(&format!(
                "waiting for {what}, {} s of at most {limit} s: {last}",
                waited.as_secs()
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a process of this program began after `since`.
fn started(program: &str, words: &[&str], since: Moment) -> Result<(), String> {
    match processes::started_since(program, words, since) {
        Ok(true) => Ok(()),
        Ok(false) => Err("it has not been started yet".to_owned()),
        Err(error) => Err(format!("processes cannot be listed: {error}")),
    }
}

async fn ready(client: &reqwest::Client, url: &str) -> Result<(), String> {
    let answer = client.get(url).send().await.map_err(|error| told(&error))?;
    match answer.status().as_u16() {
        200 => Ok(()),
        status => Err(format!("{url} answers with status {status}")),
    }
}

/// The innermost cause: `Connection refused` tells more than `error sending request`.
fn told(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn client(
    leaf: Option<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<reqwest::Client, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned::new(leaf, &provider)));
    let config = match identity {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
        }
        None => builder.with_no_client_auth(),
    };
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(POLL_LIMIT)
        .build()
        .map_err(|error| told(&error))
}

/// The directory of container logs that kubelet keeps.
pub(super) fn pod_logs() -> PathBuf {
    PathBuf::from("/var/log/pods")
}

const APISERVER: &str = "kube-apiserver";
/// Between two looks: an API server takes some 10 s to start.
const POLL: Duration = Duration::from_millis(300);
/// For one look.
const POLL_LIMIT: Duration = Duration::from_secs(5);
/// An API server that is going down answers, too, now and then.
const READY_ON_END: u32 = 3;
/// A wait that is over by then needs no line.
const QUIET: Duration = Duration::from_secs(2);
/// Between two lines.
const QUIET_BETWEEN: Duration = Duration::from_secs(10);
/// As for our own certificates.
const PEM_LIMIT: usize = 256 * 1024;
