//! A server in this process, with a reviewer that echoes, and a client that may behave badly.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::*;
use crate::clock::UnixTime;
use crate::files::write_whole;

pub(super) const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);
/// Nothing here takes longer unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const SHORT: Duration = Duration::from_millis(150);

/// What the echo answers as a grant.
pub(super) const GRANT: &str = "grant";

/// Answers with the request's body; `panic` panics; `wait` waits for a permit of `go`.
pub(super) struct Echo {
    pub(super) arrived: Semaphore,
    pub(super) go: Semaphore,
    /// Of each review that was answered, whether its connection was known.
    pub(super) known: Mutex<Vec<bool>>,
}

impl Echo {
    pub(super) async fn arrived(&self) {
        let arrived = timeout(PATIENCE, self.arrived.acquire()).await;
        arrived.expect("a review to arrive").unwrap().forget();
    }
}

impl Authenticate for Echo {
    async fn review(&self, body: Bytes, asker: Asker) -> Response<Bytes> {
        assert!(asker.client.ip().is_loopback());
        match &body[..] {
            b"panic" => panic!("as asked"),
            b"wait" => {
                self.arrived.add_permits(1);
                self.go.acquire().await.unwrap().forget();
            }
            _ => {}
        }
        self.known.lock().unwrap().push(asker.known);
        let mut response = Response::new(body);
        if response.body() == GRANT {
            response.extensions_mut().insert(Granted);
        }
        response
    }
}

pub(super) struct Server {
    pub(super) dir: TempDir,
    pub(super) address: SocketAddr,
    pub(super) health_address: SocketAddr,
    pub(super) echo: Arc<Echo>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) certificate: Arc<Certificate>,
    pub(super) limits: Arc<Mutex<Limits>>,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) task: JoinHandle<Ended>,
}

pub(super) struct Options {
    pub(super) deadlines: Deadlines,
    pub(super) face: Face,
    pub(super) client_ca: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { deadlines: Deadlines::default(), face: Face::Own, client_ca: false }
    }
}

/// A leaf that is its own root. (rustls takes no CA for a leaf, so not the one that `KeyPair` makes.)
pub(super) fn new_pair(dir: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let pem = leaf.self_signed(&key).unwrap().pem();
    write_whole(&dir.join("cert.pem"), pem.as_bytes(), 0o644).unwrap();
    write_whole(&dir.join("key.pem"), key.serialize_pem().as_bytes(), 0o600).unwrap();
}

impl Server {
    pub(super) async fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        new_pair(dir.path());
        let ca = dir.path().join("client-ca.pem");
        fs::copy(dir.path().join("cert.pem"), &ca).unwrap();
        let client_ca = options.client_ca.then_some(ca.as_path());
        let certificate = Arc::new(Certificate::load(dir.path(), client_ca).unwrap());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (tls, plain) = (bind(any).await.unwrap(), bind_health(any).await.unwrap());
        let limits = Arc::new(Mutex::new(Limits::default()));
        let now = Arc::clone(&limits);
        let (stop, stopped) = oneshot::channel();
        let echo = Arc::new(Echo {
            arrived: Semaphore::new(0),
            go: Semaphore::new(0),
            known: Mutex::default(),
        });
        let metrics = Arc::new(Metrics::new(NOW, || None));
        let health = Arc::new(Health::default());
        let (address, health_address) = (tls.local_addr().unwrap(), plain.local_addr().unwrap());
        let parts = Parts {
            tls,
            health_port: Some(plain),
            certificate: Arc::clone(&certificate),
            authenticate: Arc::clone(&echo),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            limits: Arc::new(move || *now.lock().unwrap()),
            deadlines: options.deadlines,
            face: options.face,
        };
        let task = tokio::spawn(serve(parts, async {
            stopped.await.unwrap();
        }));
        Self {
            dir,
            address,
            health_address,
            echo,
            metrics,
            health,
            certificate,
            limits,
            stop,
            task,
        }
    }

    pub(super) fn client_config(&self, alpn: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.dir.path().join("cert.pem")).unwrap())
            .unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }

    pub(super) async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_with(self.client_config(b"http/1.1")).await.unwrap()
    }

    pub(super) async fn connect_with(
        &self,
        config: ClientConfig,
    ) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let shaking = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        timeout(PATIENCE, shaking).await.expect("a handshake or its refusal")
    }

    /// One request on a connection of its own: the status and the whole answer.
    pub(super) async fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        split(to_end(&mut stream).await)
    }

    pub(super) async fn ask_plain(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.health_address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        split(to_end(&mut stream).await)
    }

    pub(super) fn http2(&self) -> reqwest::Client {
        self.http2_with_window(None)
    }

    /// With leave to send so many bytes of each answer, until they are read.
    pub(super) fn http2_with_window(&self, window: Option<u32>) -> reqwest::Client {
        reqwest::Client::builder()
            .http2_initial_stream_window_size(window)
            .tls_backend_preconfigured(self.client_config(b"h2"))
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(super) async fn stop(self) -> Ended {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    pub(super) fn counted(&self, line: &str) -> bool {
        let line = format!("aws_iam_authenticator_{line}");
        self.metrics.encode().lines().any(|have| have == line)
    }
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: \
         {length}\r\n\r\n{body}"
    )
}

/// Until the server closes. A reset or a cut TLS stream is an end too.
pub(super) async fn to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut all = Vec::new();
    drop(timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the server to close"));
    String::from_utf8(all).unwrap()
}

/// Up to and with `end`.
pub(super) async fn until(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer").unwrap();
        all.push(byte);
    }
    String::from_utf8(all).unwrap()
}

pub(super) fn split(answer: String) -> (u16, String) {
    let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}"));
    (status.parse().unwrap(), answer)
}
