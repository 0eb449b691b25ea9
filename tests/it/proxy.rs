//! Which way the program takes to STS: through the environment's proxy, or past it where the file
//! says an address. Run as a child, since its environment is what this is about.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use iamgate::clock::{Clock, SystemClock};
use iamgate::secret::Secret;
use iamgate::token::{Credentials, Endpoint, sign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const HOST: &str = "sts.us-west-2.amazonaws.com";

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn token() -> Secret {
    let credentials = Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        session_token: None,
    };
    let endpoint = Endpoint::of("us-west-2", false, false).unwrap();
    sign(&credentials, &endpoint, &"c".parse().unwrap(), SystemClock.now()).unwrap().text
}

/// Runs `iamgate verify`; `variables` are all of its environment.
async fn verify(config: &Path, token: &Secret, variables: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iamgate"));
    command.arg("verify").arg("--config").arg(config).args(["-i", "c", "-t", token.expose()]);
    command.env_clear().envs(variables.iter().map(|(name, value)| (*name, value)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    timeout(PATIENCE, command.output()).await.expect("an end of the command").unwrap()
}

/// Up to the end of the head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.expect("a head").unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// What the program says, on both streams.
fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let Output { stdout, stderr, .. } = output;
    format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
}

#[tokio::test]
async fn the_environment_s_proxy_is_asked_for_a_tunnel_and_learns_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.yaml");
    std::fs::write(&config, "clusterID: c\n").unwrap();
    let token = token();
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let (proxy, address) = listener().await;
        let url = format!("http://gate:hunter2@{address}");
        let variables = [(variable, url)];
        let asked = async {
            let (mut stream, _) = proxy.accept().await.unwrap();
            let asked = head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            asked
        };
        let (output, asked) = tokio::join!(verify(&config, &token, &variables), asked);
        assert!(asked.starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\n")), "{asked}");
        assert!(asked.to_ascii_lowercase().contains("proxy-authorization: basic "), "{asked}");
        for ours in ["X-Amz", "x-k8s-aws-id", "AKIA"] {
            assert!(!asked.contains(ours), "{asked}");
        }
        let said = said(&output);
        assert!(said.contains("STS cannot be reached"), "{said}");
        for secret in ["hunter2", "X-Amz", &address.port().to_string()] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[tokio::test]
async fn a_host_that_the_file_gives_an_address_is_dialled_past_the_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.yaml");
    let (direct, address) = listener().await;
    let (proxy, proxy_address) = listener().await;
    let file =
        format!("clusterID: c\nserver:\n  sts:\n    connectTo:\n      {HOST}: \"{address}\"\n");
    std::fs::write(&config, file).unwrap();
    let variables = [
        ("HTTPS_PROXY", format!("http://{proxy_address}")),
        ("ALL_PROXY", format!("http://{proxy_address}")),
    ];
    let token = token();
    let dialled = async {
        let (mut stream, _) = direct.accept().await.unwrap();
        timeout(PATIENCE, stream.read_u8()).await.expect("a byte").unwrap()
    };
    let both = async { tokio::join!(verify(&config, &token, &variables), dialled) };
    let (output, first) = tokio::select! {
        both = both => both,
        _ = proxy.accept() => panic!("the proxy was asked"),
    };
    assert_eq!(first, 22, "a TLS handshake record");
    assert!(said(&output).contains("STS"), "{output:?}");
}
