//! The server as its peers see it: real sockets on loopback, short deadlines, no sleeps.

mod room;
mod stage;

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use self::stage::*;
use super::*;
use crate::files::write_whole;
use crate::keypair::KeyPairFault;

#[tokio::test]
async fn each_path_of_the_webhook_s_port_has_its_answer() {
    let server = Server::start(Options::default()).await;
    server.health.config_loaded();
    for (method, path, status, body) in [
        ("POST", "/authenticate", 200, "review"),
        ("GET", "/authenticate", 405, "expected POST\n"),
        ("PUT", "/authenticate", 405, "expected POST\n"),
        ("GET", "/healthz", 200, "ok"),
        ("POST", "/healthz", 200, "ok"),
        ("GET", "/livez", 200, "ok"),
        ("GET", "/readyz", 200, "ok"),
        ("GET", "/", 404, "404 page not found\n"),
        ("POST", "/authenticate/", 404, "404 page not found\n"),
        ("POST", "//authenticate", 404, "404 page not found\n"),
        ("POST", "/%61uthenticate", 404, "404 page not found\n"),
        ("POST", "/Authenticate", 404, "404 page not found\n"),
    ] {
        let (got, answer) = server.ask(&request(method, path, "review")).await;
        assert_eq!(
            (got, answer.split_once("\r\n\r\n").unwrap().1),
            (status, body),
            "{method} {path}"
        );
        let plain = answer.contains("content-type: text/plain; charset=utf-8\r\n")
            && answer.contains("x-content-type-options: nosniff\r\n");
        assert_eq!(plain, path != "/authenticate" || status == 405, "{method} {path}: {answer}");
    }
    let (status, answer) = server.ask(&request("GET", "/metrics", "")).await;
    assert_eq!(status, 200);
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(answer.contains("latency_seconds_count{result=\"malformed_request\"} 2\n"), "{answer}");
    let expiry = server.certificate.not_after().as_secs();
    assert!(answer.contains(&format!("certificate_expiry_timestamp_seconds {expiry}\n")));
}

#[tokio::test]
async fn no_session_is_resumed() {
    let server = Server::start(Options::default()).await;
    // Clones share what they remember of sessions.
    let config = server.client_config(b"http/1.1");
    for _ in 0..2 {
        let mut stream = server.connect_with(config.clone()).await.unwrap();
        stream.write_all(request("POST", "/authenticate", "review").as_bytes()).await.unwrap();
        assert!(to_end(&mut stream).await.ends_with("review"));
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn http2_serves_many_reviews_on_one_connection() {
    let server = Server::start(Options::default()).await;
    let client = server.http2();
    // The first request opens the connection that the others then share.
    assert_eq!(client.get(server.url("/none")).send().await.unwrap().status(), 404);
    let asks = (0..300).map(|n| {
        let ask = client.post(server.url("/authenticate")).body(format!("review {n}")).send();
        async move {
            let answer = ask.await.unwrap();
            assert_eq!(answer.version(), http::Version::HTTP_2);
            assert_eq!(answer.text().await.unwrap(), format!("review {n}"));
        }
    });
    futures_util::future::join_all(asks).await;
    assert!(server.counted("connections{port=\"tls\"} 1"));
}

#[tokio::test]
async fn the_plain_port_tells_health_and_metrics_and_under_the_reference_s_name_always_ok() {
    for (face, status, body) in
        [(Face::Own, 404, "404 page not found\n"), (Face::Reference, 200, "ok")]
    {
        let server = Server::start(Options { face, ..Options::default() }).await;
        for path in ["/", "/anything", "/authenticate"] {
            let (got, answer) = server.ask_plain(&request("POST", path, "")).await;
            assert_eq!((got, answer.split_once("\r\n\r\n").unwrap().1), (status, body), "{path}");
        }
        for path in ["/healthz", "/livez", "/metrics"] {
            assert_eq!(server.ask_plain(&request("GET", path, "")).await.0, 200, "{path}");
        }
        assert_eq!(server.ask_plain(&request("GET", "/readyz", "")).await.0, 503);
        server.health.config_kept("line 3");
        let (status, answer) = server.ask_plain(&request("GET", "/readyz", "")).await;
        assert_eq!(status, 200);
        assert!(answer.ends_with("[-]config: keeping the last good: line 3\nok\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_taken_health_port_is_done_without() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    assert!(bind_health(taken.local_addr().unwrap()).await.is_none());
}

#[tokio::test]
async fn bodies_pass_up_to_the_limit_of_the_moment() {
    let server = Server::start(Options::default()).await;
    server.limits.lock().unwrap().body = 1000;
    let chunked = |length: usize| {
        let (one, two) = ("x".repeat(length / 2), "x".repeat(length - length / 2));
        format!(
            "POST /authenticate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: \
             chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        )
    };
    let whole = |length: usize| request("POST", "/authenticate", &"x".repeat(length));
    for (ask, status) in
        [(whole(1000), 200), (whole(1001), 413), (chunked(1000), 200), (chunked(1001), 413)]
    {
        let (got, answer) = server.ask(&ask).await;
        assert_eq!(got, status);
        if status == 200 {
            assert!(answer.ends_with(&"x".repeat(1000)));
        }
    }
    server.limits.lock().unwrap().body = 2000;
    assert_eq!(server.ask(&whole(1001)).await.0, 200);
    // Refused by its announced length: nothing of it is awaited.
    let announced = "POST /authenticate HTTP/1.1\r\nhost: x\r\ncontent-length: 10485760\r\n\r\n";
    assert_eq!(server.ask(announced).await.0, 413);
    let huge = "x".repeat(1 << 20);
    let answer = server.http2().post(server.url("/authenticate")).body(huge).send().await;
    assert_eq!(answer.unwrap().status(), 413);
}

#[tokio::test]
async fn large_and_many_headers_are_refused() {
    let server = Server::start(Options::default()).await;
    let large = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(80));
    for ask in [large, many] {
        assert_eq!(server.ask(&ask).await.0, 431);
    }
}

#[tokio::test]
async fn a_peer_that_dawdles_is_closed_by_its_deadline() {
    let short = |change: fn(&mut Deadlines)| {
        let mut deadlines = Deadlines::default();
        change(&mut deadlines);
        Options { deadlines, ..Options::default() }
    };
    // Before TLS, and within it.
    let server = Server::start(short(|d| d.handshake = SHORT)).await;
    for sent in [&b""[..], b"\x16\x03\x01"] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(sent).await.unwrap();
        assert_eq!(to_end(&mut tcp).await, "");
    }
    // After TLS: nothing, or half a request head; in HTTP/2, nothing.
    let server = Server::start(short(|d| d.first_request = SHORT)).await;
    for sent in ["", "POST /authenticate HT", "POST /authenticate HTTP/1.1\r\nhost:"] {
        let mut stream = server.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert_eq!(to_end(&mut stream).await, "", "{sent:?}");
    }
    let mut silent = server.connect_with(server.client_config(b"h2")).await.unwrap();
    drop(
        timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await.expect("the server to close"),
    );
    let mut plain = TcpStream::connect(server.health_address).await.unwrap();
    assert_eq!(to_end(&mut plain).await, "");
    // Half a body.
    let server = Server::start(short(|d| d.body = SHORT)).await;
    let half = "POST /authenticate HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
    assert_eq!(server.ask(half).await.0, 408);
    // Between requests.
    let server = Server::start(short(|d| d.idle = SHORT)).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(to_end(&mut stream).await.ends_with("ok"));
    // A review that never ends.
    let server = Server::start(short(|d| d.review = SHORT)).await;
    assert_eq!(server.ask(&request("POST", "/authenticate", "wait")).await.0, 504);
}

#[tokio::test]
async fn an_idle_http2_connection_ends_and_a_busy_one_stays() {
    // The first look is when the first request has to be there.
    let first_request = Duration::from_secs(1);
    let deadlines = Deadlines { first_request, idle: SHORT, ..Deadlines::default() };
    let server = Server::start(Options { deadlines, ..Options::default() }).await;
    let client = server.http2();
    let ask = |body| client.post(server.url("/authenticate")).body(body).send();
    let waiting = tokio::spawn(ask("wait"));
    server.echo.arrived().await;
    // Time has to pass here: nothing may happen in it.
    tokio::time::sleep(first_request + SHORT * 2).await;
    server.echo.go.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    let gone = async {
        while !server.counted("connections{port=\"tls\"} 0") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the idle connection to end");
    assert_eq!(ask("again").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_panic_costs_one_review() {
    let server = Server::start(Options::default()).await;
    let client = server.http2();
    let ask = |body| client.post(server.url("/authenticate")).body(body).send();
    let (bad, good) = tokio::join!(ask("panic"), ask("review"));
    assert_eq!((bad.unwrap().status().as_u16(), good.unwrap().status().as_u16()), (500, 200));
    assert_eq!(server.ask(&request("POST", "/authenticate", "panic")).await.0, 500);
    assert!(server.counted("authenticate_latency_seconds_count{result=\"sts_error\"} 2"));
    assert_eq!(server.ask(&request("POST", "/authenticate", "review")).await.0, 200);
}

#[tokio::test]
async fn a_new_leaf_is_served_without_dropping_a_connection() {
    let server = Server::start(Options::default()).await;
    let leaf =
        |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let mut open = server.connect().await;
    assert_eq!(server.certificate.reload().unwrap(), Renewal::Same);

    let cert = server.dir.path().join("cert.pem");
    let key = server.dir.path().join("key.pem");
    let (old_cert, old_key) = (fs::read(&cert).unwrap(), fs::read(&key).unwrap());
    let other = tempfile::tempdir().unwrap();
    new_pair(other.path());
    fs::rename(other.path().join("cert.pem"), &cert).unwrap();
    let half = server.certificate.reload().unwrap_err();
    assert!(matches!(half, CertificateFault::KeyPair(KeyPairFault::Mismatch { .. })));
    // Still the old leaf, which a client that trusts the new one alone refuses.
    let refused = server.connect_with(server.client_config(b"http/1.1")).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    fs::rename(other.path().join("key.pem"), &key).unwrap();
    assert_eq!(server.certificate.reload().unwrap(), Renewal::Replaced);
    let fresh = server.connect().await;
    assert_ne!(leaf(&fresh), leaf(&open));

    open.write_all(request("POST", "/authenticate", "review").as_bytes()).await.unwrap();
    assert!(to_end(&mut open).await.ends_with("review"));
    write_whole(&key, &old_key, 0o644).unwrap();
    write_whole(&cert, &old_cert, 0o644).unwrap();
    let exposed = server.certificate.reload().unwrap_err();
    assert!(matches!(
        exposed,
        CertificateFault::KeyPair(KeyPairFault::KeyExposed { mode: 0o644, .. })
    ));
}

#[tokio::test]
async fn with_a_client_ca_only_its_peers_get_through() {
    let server = Server::start(Options { client_ca: true, ..Options::default() }).await;
    // TLS 1.3 tells a client of its refusal only after the handshake.
    let mut stranger = server.connect().await;
    drop(stranger.write_all(request("POST", "/authenticate", "review").as_bytes()).await);
    assert_eq!(to_end(&mut stranger).await, "");
    // Health and metrics stay open on the other port.
    assert_eq!(server.ask_plain(&request("GET", "/healthz", "")).await.0, 200);

    let (ca_key, client_key) =
        (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(params, ca_key);
    let mut leaf = rcgen::CertificateParams::new(vec!["kube-apiserver".to_owned()]).unwrap();
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = leaf.signed_by(&client_key, &issuer).unwrap();
    write_whole(&server.dir.path().join("client-ca.pem"), ca.pem().as_bytes(), 0o644).unwrap();
    assert_eq!(server.certificate.reload().unwrap(), Renewal::Replaced);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.dir.path().join("cert.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(client_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let mut known = server.connect_with(config).await.unwrap();
    known.write_all(request("POST", "/authenticate", "review").as_bytes()).await.unwrap();
    assert!(to_end(&mut known).await.ends_with("review"));
}

#[tokio::test]
async fn a_client_ca_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    new_pair(dir.path());
    let path = dir.path().join("ca.pem");
    let load = || Certificate::load(dir.path(), Some(&path)).unwrap_err();
    assert!(matches!(load(), CertificateFault::Read { .. }));
    write_whole(&path, b"none", 0o644).unwrap();
    assert!(matches!(load(), CertificateFault::NoClientCa { .. }));
}

#[tokio::test]
async fn the_end_finishes_what_is_in_flight_and_accepts_no_more() {
    let server = Server::start(Options::default()).await;
    let mut busy = server.connect().await;
    let keep_alive = "POST /authenticate HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nwait";
    busy.write_all(keep_alive.as_bytes()).await.unwrap();
    let client = server.http2();
    let ask = tokio::spawn(client.post(server.url("/authenticate")).body("wait").send());
    server.echo.arrived().await;
    server.echo.arrived().await;
    let silent = server.connect().await;
    let (echo, address) = (Arc::clone(&server.echo), server.address);
    let ended = tokio::spawn(server.stop());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!ended.is_finished());
    echo.go.add_permits(2);
    assert!(until(&mut busy, "\r\n\r\nwait").await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(ask.await.unwrap().unwrap().status(), 200);
    assert_eq!(ended.await.unwrap(), Ended::Clean);
    drop(silent);
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let deadlines = Deadlines { drain: SHORT, ..Deadlines::default() };
    let server = Server::start(Options { deadlines, ..Options::default() }).await;
    let mut busy = server.connect().await;
    busy.write_all(request("POST", "/authenticate", "wait").as_bytes()).await.unwrap();
    server.echo.arrived().await;
    assert_ne!(server.stop().await, Ended::Cut(0));
    assert_eq!(to_end(&mut busy).await, "");
}

#[tokio::test]
async fn tls_1_1_and_below_are_not_offered() {
    let server = Server::start(Options::default()).await;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // TLS 1.2 gets as far as the certificate, which this client does not trust.
    let fault = server.connect_with(config).await.unwrap_err().to_string();
    assert!(fault.contains("UnknownIssuer"), "{fault}");
    // A TLS 1.1 hello, spoken by hand: no extensions, version 3.2.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x13, 1, 0]);
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    drop(timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.expect("the server to close"));
    assert!(answer.is_empty() || answer[0] == 0x15, "an alert or nothing: {answer:?}");
}
