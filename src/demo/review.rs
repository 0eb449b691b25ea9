//! The API server's side: asks the webhook who a token is, as kube-apiserver does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::outcome::Failure;
use crate::secret::Secret;

/// Asks one server.
#[derive(Clone)]
pub(super) struct Reviewer {
    client: reqwest::Client,
    tls: Arc<ClientConfig>,
    address: SocketAddr,
}

/// What the API server is told.
#[derive(Debug)]
pub(super) enum Answer {
    Granted { username: String, groups: Vec<String> },
    Denied(Option<String>),
    Undecided(u16),
}

impl Reviewer {
    pub(super) fn new(ca: &str, address: SocketAddr) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .no_proxy()
            .timeout(REVIEW)
            .build()?;
        Ok(Self { client, tls: Arc::new(tls), address })
    }

    pub(super) async fn ask(&self, token: &Secret) -> Result<(Answer, Duration), Failure> {
        let began = Instant::now();
        let question = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.expose()},
        });
        let url = format!("https://{}/authenticate", self.address);
        let sent = self.client.post(url).body(question.to_string()).send().await?;
        let status = sent.status().as_u16();
        if status != 200 {
            return Ok((Answer::Undecided(status), began.elapsed()));
        }
        let Told { status } = serde_json::from_slice(&sent.bytes().await?)?;
        let answer = match (status.authenticated, status.user) {
            (true, Some(user)) => Answer::Granted { username: user.username, groups: user.groups },
            (true, None) | (false, _) => Answer::Denied(status.error),
        };
        Ok((answer, began.elapsed()))
    }

    /// Asks again and again until the answer is a grant; the time since `began`.
    pub(super) async fn until_granted(
        &self,
        token: &Secret,
        began: Instant,
    ) -> Result<Duration, Failure> {
        while began.elapsed() < PATIENCE {
            if let (Answer::Granted { .. }, _) = self.ask(token).await? {
                return Ok(began.elapsed());
            }
        }
        Err("the change of the mapping file had no effect".into())
    }

    /// The certificate that a new connection is shown.
    pub(super) async fn leaf(&self) -> Result<CertificateDer<'static>, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(ServerName::from(self.address.ip()), stream).await?;
        let (_, connection) = stream.get_ref();
        let leaf = connection.peer_certificates().and_then(|chain| chain.first());
        Ok(leaf.ok_or("the server showed no certificate")?.clone().into_owned())
    }

    /// Waits until new connections are shown another certificate than `before`.
    pub(super) async fn until_leaf_differs(
        &self,
        before: &CertificateDer<'_>,
        began: Instant,
    ) -> Result<(), Failure> {
        while began.elapsed() < PATIENCE {
            if self.leaf().await?.as_ref() != before.as_ref() {
                return Ok(());
            }
        }
        Err("the new certificate is not served".into())
    }

    /// Starts asking about `token` from several connections at once.
    pub(super) fn load(&self, token: &Secret) -> Load {
        let counts = Arc::new(Counts::default());
        let tasks = (0..CLIENTS).map(|_| {
            let (reviewer, token, counts) = (self.clone(), token.clone(), Arc::clone(&counts));
            tokio::spawn(async move {
                while !counts.stop.load(Ordering::Relaxed) {
                    let granted =
                        matches!(reviewer.ask(&token).await, Ok((Answer::Granted { .. }, _)));
                    counts.asked.fetch_add(1, Ordering::Relaxed);
                    counts.failed.fetch_add(usize::from(!granted), Ordering::Relaxed);
                }
            })
        });
        Load { tasks: tasks.collect(), counts }
    }
}

/// Reviews that go on until [`Load::finish`].
pub(super) struct Load {
    tasks: Vec<JoinHandle<()>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    /// Stops; how many were asked, and how many of them failed.
    pub(super) async fn finish(self) -> (usize, usize) {
        self.counts.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let ended = task.await;
            self.counts.failed.fetch_add(usize::from(ended.is_err()), Ordering::Relaxed);
        }
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        (count(&self.counts.asked), count(&self.counts.failed))
    }
}

#[derive(Deserialize)]
struct Told {
    status: ToldStatus,
}

#[derive(Deserialize)]
struct ToldStatus {
    #[serde(default)]
    authenticated: bool,
    user: Option<ToldUser>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct ToldUser {
    username: String,
    #[serde(default)]
    groups: Vec<String>,
}

const REVIEW: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);
const CLIENTS: usize = 4;
