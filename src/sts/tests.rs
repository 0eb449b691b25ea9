//! The exchange as STS sees it: a TLS stub on loopback that keeps what it was sent, byte for byte.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::identity::{ClusterId, Partition};
use crate::secret::Secret;
use crate::token::{HostPolicy, StsHost};

mod framing;

const HOST: &str = "sts.us-west-2.amazonaws.com";
const TARGET: &str = "/?Action=GetCallerIdentity&X-Amz-Credential=AKIA%2Fx&X-Amz-Signature=0123";
/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// For exchanges that are to run into their limit.
const SHORT: Duration = Duration::from_millis(400);

/// What the stub does with a connection once it has a whole request.
#[derive(Clone, Copy)]
enum Act {
    /// Sends this and closes.
    Send(&'static str),
    /// Sends this and then nothing more.
    Stall(&'static str),
    /// Sends this, then this again and again.
    Repeat(&'static str, &'static str),
    /// Sends this, then one byte each time that the client could have read the one before.
    Drip(&'static str),
    /// A declared body of so many bytes.
    Body(usize),
}

/// What the stub's certificate is like.
enum Leaf {
    Good,
    OtherName,
    Expired,
}

struct Stub {
    dir: TempDir,
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stub {
    async fn new(act: Act) -> Self {
        Self::with(Leaf::Good, act).await
    }

    async fn with(leaf: Leaf, act: Act) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Arc::new(server_config(dir.path(), leaf));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = TlsAcceptor::from(Arc::clone(&config));
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    request.push(byte);
                }
                kept.lock().unwrap().push(String::from_utf8(request).unwrap());
                // The client may leave at any byte.
                drop(act.play(&mut stream).await);
            }
        });
        Self { dir, address, requests, task }
    }

    fn sts(&self, limit: Duration) -> HttpsSts {
        self.sts_trusting(limit, self.dir.path())
    }

    fn sts_trusting(&self, timeout: Duration, dir: &Path) -> HttpsSts {
        HttpsSts::new(Config {
            connect_to: BTreeMap::from([(HOST.into(), self.address)]),
            ca_file: Some(dir.join("ca.pem")),
            timeout,
        })
        .unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Act {
    async fn play(
        self,
        stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    ) -> std::io::Result<()> {
        match self {
            Self::Send(text) => stream.write_all(text.as_bytes()).await?,
            Self::Stall(text) => {
                stream.write_all(text.as_bytes()).await?;
                stream.flush().await?;
                drop(stream.read_u8().await);
            }
            Self::Repeat(head, again) => {
                stream.write_all(head.as_bytes()).await?;
                loop {
                    stream.write_all(again.as_bytes()).await?;
                }
            }
            Self::Drip(head) => {
                stream.write_all(head.as_bytes()).await?;
                let mut tick = tokio::time::interval(SHORT / 8);
                loop {
                    tick.tick().await;
                    stream.write_all(b"x").await?;
                    stream.flush().await?;
                }
            }
            Self::Body(length) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&vec![b'x'; length]).await?;
            }
        }
        stream.flush().await?;
        stream.shutdown().await
    }
}

/// A leaf that is its own root: rustls takes no CA for a leaf.
fn server_config(dir: &Path, leaf: Leaf) -> ServerConfig {
    let name = if matches!(leaf, Leaf::OtherName) { "sts.us-east-1.amazonaws.com" } else { HOST };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    if matches!(leaf, Leaf::Expired) {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::File::create(dir.join("ca.pem"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, pem.as_bytes()))
        .unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap()
}

fn host() -> StsHost {
    HostPolicy::new(Partition::Aws).judge(HOST).unwrap()
}

async fn ask(sts: &HttpsSts) -> Result<Reply, StsUnavailable> {
    let (host, target) = (host(), Secret::new(TARGET));
    let cluster_id: ClusterId = "test~cluster".parse().unwrap();
    let request = StsRequest { host: &host, target: &target, cluster_id: &cluster_id };
    timeout(PATIENCE, sts.ask(&request)).await.expect("an end to the exchange")
}

#[tokio::test]
async fn the_request_is_exactly_this_and_nothing_of_anybody_else_s() {
    let stub = Stub::new(Act::Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await;
    let reply = ask(&stub.sts(PATIENCE)).await.unwrap();
    assert_eq!((reply.status, reply.json, &*reply.body), (200, false, &b"{}"[..]));
    let [request] = &stub.requests()[..] else { panic!("{:?}", stub.requests()) };
    let (line, headers) = request.split_once("\r\n").unwrap();
    assert_eq!(line, format!("GET {TARGET} HTTP/1.1"));
    let mut headers: Vec<_> = headers.split("\r\n").filter(|line| !line.is_empty()).collect();
    headers.sort_unstable();
    let agent = concat!("user-agent: iamgate/", env!("CARGO_PKG_VERSION"));
    let host = format!("host: {HOST}");
    assert_eq!(headers, ["accept: application/json", &host, agent, "x-k8s-aws-id: test~cluster"]);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let stub = Stub::new(Act::Send(
        "HTTP/1.1 302 Found\r\nlocation: https://sts.us-west-2.amazonaws.com/evil\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    ))
    .await;
    let reply = ask(&stub.sts(PATIENCE)).await.unwrap();
    assert_eq!((reply.status, reply.json), (302, true));
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let stub = Stub::new(Act::Send(
        "HTTP/1.1 200 OK\r\nset-cookie: a=b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let sts = stub.sts(PATIENCE);
    for _ in 0..2 {
        assert_eq!(ask(&sts).await.unwrap().status, 200);
    }
    let requests = stub.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn an_encoded_answer_is_left_as_it_is_and_counts_as_no_json() {
    let stub = Stub::new(Act::Send(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\
         content-length: 2\r\n\r\n{}",
    ))
    .await;
    let reply = ask(&stub.sts(PATIENCE)).await.unwrap();
    assert_eq!((reply.json, &*reply.body), (false, &b"{}"[..]));
}

#[tokio::test]
async fn whatever_is_slow_ends_at_the_limit() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for act in [
        Act::Stall(""),
        Act::Stall("HTTP/1.1 200 OK\r\ncontent-"),
        Act::Stall(CHUNKED),
        Act::Stall("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"),
        Act::Drip("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"),
        Act::Drip("HTTP/1.1 200 OK\r\nx: "),
    ] {
        let stub = Stub::new(act).await;
        let sts = stub.sts(SHORT);
        assert_eq!(ask(&sts).await, Err(StsUnavailable::Timeout));
        assert_eq!(sts.under_way.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_peer_that_takes_the_connection_and_is_silent_ends_at_the_limit() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stub = Stub::new(Act::Stall("")).await;
    let sts = HttpsSts::new(Config {
        connect_to: BTreeMap::from([(HOST.into(), listener.local_addr().unwrap())]),
        ca_file: Some(stub.dir.path().join("ca.pem")),
        timeout: SHORT,
    })
    .unwrap();
    let (fault, silent) = tokio::join!(ask(&sts), listener.accept());
    assert_eq!(fault, Err(StsUnavailable::Timeout));
    drop(silent);
}

#[tokio::test]
async fn a_body_has_a_limit_declared_or_not() {
    let stub = Stub::new(Act::Body(BODY)).await;
    assert_eq!(ask(&stub.sts(PATIENCE)).await.unwrap().body.len(), BODY);
    for act in [
        Act::Body(BODY + 1),
        Act::Repeat("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "4\r\nxxxx\r\n"),
        Act::Repeat("HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxx"),
    ] {
        let stub = Stub::new(act).await;
        assert_eq!(ask(&stub.sts(PATIENCE)).await, Err(StsUnavailable::TooLarge));
    }
}

#[tokio::test]
async fn only_a_certificate_that_the_roots_vouch_for_is_asked() {
    let other = Stub::new(Act::Stall("")).await;
    for (leaf, roots) in
        [(Leaf::Good, Some(&other)), (Leaf::OtherName, None), (Leaf::Expired, None)]
    {
        let stub = Stub::with(leaf, Act::Stall("")).await;
        let dir = roots.unwrap_or(&stub).dir.path();
        let fault = ask(&stub.sts_trusting(PATIENCE, dir)).await;
        assert_eq!(fault, Err(StsUnavailable::Connect));
        assert_eq!(stub.requests(), [""; 0]);
    }
}

#[tokio::test]
async fn a_peer_without_tls_gets_no_plain_request() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stub = Stub::new(Act::Stall("")).await;
    let sts = HttpsSts::new(Config {
        connect_to: BTreeMap::from([(HOST.into(), listener.local_addr().unwrap())]),
        ca_file: Some(stub.dir.path().join("ca.pem")),
        timeout: PATIENCE,
    })
    .unwrap();
    let plain = async {
        let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        let first = stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        first
    };
    let (fault, first) = tokio::join!(ask(&sts), plain);
    assert_eq!(fault, Err(StsUnavailable::Connect));
    assert_eq!(first, 22, "a TLS handshake record");
}

#[tokio::test]
async fn the_place_of_one_who_left_is_free() {
    let stub = Stub::new(Act::Stall("")).await;
    let sts = stub.sts(PATIENCE);
    let mut first = Box::pin(ask(&sts));
    assert_eq!(first.as_mut().now_or_never(), None);
    assert_eq!(sts.under_way.load(Ordering::Relaxed), 1);
    drop(first);
    assert_eq!(sts.under_way.load(Ordering::Relaxed), 0);
}

#[test]
fn the_first_hosts_that_vouch_for_somebody_are_the_regulars() {
    let regulars = Regulars::default();
    assert!(!regulars.know(HOST));
    for _ in 0..9 {
        regulars.welcome(HOST);
    }
    let more = |n| format!("sts.us-west-{n}.amazonaws.com");
    for n in 3..9 {
        regulars.welcome(&more(n));
    }
    let known: Vec<_> = (3..9).filter(|n| regulars.know(&more(*n))).collect();
    assert_eq!((regulars.know(HOST), &*known), (true, &[3, 4, 5][..]));
}

#[tokio::test]
async fn only_a_host_that_vouches_for_somebody_becomes_a_regular() {
    for (text, regular) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", false),
    ] {
        let stub = Stub::new(Act::Send(text)).await;
        let sts = stub.sts(PATIENCE);
        drop(ask(&sts).await);
        assert_eq!(sts.regulars.know(HOST), regular, "{text:?}");
    }
}

#[test]
fn only_plain_json_counts_as_json() {
    let headers = |kind: &str, encoding: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        encoding.map(|name| headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name)));
        headers
    };
    assert!(is_json(&headers("application/json", None)));
    assert!(is_json(&headers("Application/JSON; charset=utf-8", None)));
    assert!(!is_json(&headers("text/html", None)));
    assert!(!is_json(&headers("text/xml", None)));
    assert!(!is_json(&headers("application/json", Some("gzip"))));
    assert!(!is_json(&headers("application/json", Some("identity"))));
    assert!(is_json(&headers("application/json;charset=\"UTF-8\"", None)));
    assert!(is_json(&headers("application/json; version=1", None)));
    for charset in ["utf-16", "iso-8859-1", "", "utf-8; charset=utf-16"] {
        assert!(!is_json(&headers(&format!("application/json; charset={charset}"), None)));
    }
    assert!(!is_json(&HeaderMap::new()));
    let mut twice = headers("application/json", None);
    twice.append(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    assert!(!is_json(&twice));
}
