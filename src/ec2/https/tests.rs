use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// 2026-01-02T03:04:05Z.
const NOW: UnixTime = UnixTime::from_secs(1_767_323_045);

/// A host that takes one request for each of `answers`, and hands back what it was sent.
async fn stub(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !complete(&request) {
                let mut part = [0; 4096];
                let count = stream.read(&mut part).await.unwrap();
                assert_ne!(count, 0, "the request broke off");
                request.extend_from_slice(&part[..count]);
            }
            requests.push(String::from_utf8(request).unwrap());
            // The client may have heard enough.
            drop(stream.write_all(answer.as_bytes()).await);
        }
        requests
    });
    (url, served)
}

fn complete(request: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(request) else { return false };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    body.len() >= length.unwrap().parse::<usize>().unwrap()
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn ec2(url: &str, credentials: impl ProvideCredentials + 'static) -> HttpsEc2<UnixTime> {
    let endpoint = Endpoint::at(url, "us-west-2").unwrap();
    let credentials = SharedCredentialsProvider::new(credentials);
    let client = reqwest::Client::builder().no_proxy();
    // TLS is not used here, but a client has to be told how.
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    HttpsEc2::new(client.tls_backend_preconfigured(tls), endpoint, credentials, NOW).unwrap()
}

fn keys() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "secretEXAMPLE", Some("tokenEXAMPLE".into()), None, "test")
}

#[tokio::test]
async fn a_call_is_a_signed_form() {
    let (url, served) = stub(vec![answer("200 OK", "<x/>")]).await;
    let reply = ec2(&url, keys()).ask("Action=DescribeInstances&Version=2016-11-15").await.unwrap();
    assert_eq!(reply, Reply { status: 200, body: b"<x/>".to_vec() });
    let request = served.await.unwrap().remove(0);
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\nAction=DescribeInstances&Version=2016-11-15"), "{request}");
    for part in [
        "content-type: application/x-www-form-urlencoded; charset=utf-8\r\n",
        "x-amz-date: 20260102T030405Z\r\n",
        "x-amz-security-token: tokenEXAMPLE\r\n",
        "authorization: AWS4-HMAC-SHA256 \
         Credential=AKIDEXAMPLE/20260102/us-west-2/ec2/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
    assert!(!request.contains("secretEXAMPLE"));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n";
    let (url, served) = stub(vec![moved.to_owned()]).await;
    let reply = ec2(&url, keys()).ask("a=b").await.unwrap();
    assert_eq!(reply, Reply { status: 302, body: vec![] });
    served.await.unwrap();
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let whole = "x".repeat(HttpsEc2::<UnixTime>::MAX_ANSWER);
    let (url, served) =
        stub(vec![answer("200 OK", &whole), answer("200 OK", &format!("{whole}x"))]).await;
    let ec2 = ec2(&url, keys());
    assert_eq!(ec2.ask("a=b").await.unwrap().body.len(), whole.len());
    assert_eq!(ec2.ask("a=b").await, Err(Ec2Fault::TooLarge));
    served.await.unwrap();
}

#[tokio::test]
async fn an_answer_is_bounded_however_it_is_framed() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
    let much = "x".repeat(2 * HttpsEc2::<UnixTime>::MAX_ANSWER);
    let length = much.len();
    let (url, served) = stub(vec![
        format!("{HEAD}\r\n{much}"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{much}\r\n0\r\n\r\n"),
        format!("{HEAD}x: {much}\r\n\r\n"),
        format!("{HEAD}{}\r\n", "x: y\r\n".repeat(1000)),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n1;{much}"),
    ])
    .await;
    let ec2 = ec2(&url, keys());
    for fault in [
        Ec2Fault::TooLarge,
        Ec2Fault::TooLarge,
        Ec2Fault::Broken,
        Ec2Fault::Broken,
        Ec2Fault::Broken,
    ] {
        assert_eq!(ec2.ask("a=b").await, Err(fault));
    }
    served.await.unwrap();
}

#[tokio::test]
async fn each_fault_is_the_one_that_is_named() {
    let (url, served) = stub(vec![
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nshort".to_owned(),
        "no http at all".to_owned(),
    ])
    .await;
    let ec2 = ec2(&url, keys());
    assert_eq!(ec2.ask("a=b").await, Err(Ec2Fault::Broken));
    assert_eq!(ec2.ask("a=b").await, Err(Ec2Fault::Broken));
    served.await.unwrap();
    // The listener is gone.
    assert_eq!(ec2.ask("a=b").await, Err(Ec2Fault::Connect));
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    #[derive(Debug)]
    struct Nobody;
    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            use aws_credential_types::provider::error::CredentialsError;
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none")))
        }
    }
    let (url, served) = stub(vec![answer("200 OK", "")]).await;
    assert_eq!(ec2(&url, Nobody).ask("a=b").await, Err(Ec2Fault::Credentials));
    assert!(!served.is_finished());
    served.abort();
}

#[test]
fn endpoints_are_those_of_the_regions_partition() {
    for (region, url) in [
        ("us-west-2", "https://ec2.us-west-2.amazonaws.com/"),
        ("us-gov-west-1", "https://ec2.us-gov-west-1.amazonaws.com/"),
        ("cn-north-1", "https://ec2.cn-north-1.amazonaws.com.cn/"),
        ("eusc-de-east-1", "https://ec2.eusc-de-east-1.amazonaws.eu/"),
    ] {
        assert_eq!(Endpoint::of(region).unwrap().to_string(), format!("{url} ({region})"));
    }
    for region in ["", "nowhere", "us-west-2.evil.test/"] {
        assert_eq!(Endpoint::of(region), Err(EndpointFault::Region(region.into())));
    }
    for url in ["", "/path", "host", "https://"] {
        assert_eq!(Endpoint::at(url, "us-west-2"), Err(EndpointFault::Url(url.into())), "{url}");
    }
}
