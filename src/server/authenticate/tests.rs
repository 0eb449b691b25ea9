//! Whole reviews over a scripted STS: what is answered, logged and counted, and what never is.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Poll;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::clock::UnixTime;
use crate::config::{self, Document, ServerOverrides};
use crate::face::Face;
use crate::identity::AccountId;
use crate::reload::{Reload, Reloader};
use crate::token::{Reply, StsRequest, StsUnavailable};

/// 2026-01-02T03:04:05Z, when every token here is signed and judged.
const NOW: UnixTime = UnixTime::from_secs(1_767_323_045);
const ASKER: Asker = Asker {
    client: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4321),
    known: false,
};
const SIGNATURE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const ADMIN: &str = "arn:aws:sts::123456789012:assumed-role/Admin/ann";

/// STS from a list. Each answer waits for a permit of `go`.
struct Script {
    answers: Mutex<VecDeque<Result<Reply, StsUnavailable>>>,
    asked: Mutex<Vec<String>>,
    go: Semaphore,
}

impl Sts for Arc<Script> {
    async fn ask(&self, request: &StsRequest<'_>) -> Result<Reply, StsUnavailable> {
        self.asked.lock().unwrap().push(request.cluster_id.as_str().to_owned());
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.expect("STS was asked once too often");
        self.go.acquire().await.unwrap().forget();
        answer
    }
}

struct Dns(Result<Box<str>, Ec2Fault>);

impl PrivateDns for Dns {
    async fn lookup(&self, _: &InstanceId, _: AccountId) -> Result<Box<str>, Ec2Fault> {
        self.0.clone()
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

struct Room {
    authenticator: Authenticator<Arc<Script>, UnixTime, Dns>,
    script: Arc<Script>,
    reloader: Reloader<Policy, String>,
    metrics: Arc<Metrics>,
    log: Log,
    _logging: tracing::subscriber::DefaultGuard,
}

fn parse(text: &[u8]) -> Result<Policy, String> {
    let document = Document::read(text, Path::new("config.yaml")).map_err(|e| e.to_string())?;
    let settings = config::server(Some(document), &ServerOverrides::default(), Face::Own);
    Ok(settings.map_err(|e| e.to_string())?.value.policy)
}

impl Room {
    fn new(config: &str, answers: impl IntoIterator<Item = Result<Reply, StsUnavailable>>) -> Self {
        Self::with_dns(config, answers, Err(Ec2Fault::Connect))
    }

    fn with_dns(
        config: &str,
        answers: impl IntoIterator<Item = Result<Reply, StsUnavailable>>,
        dns: Result<Box<str>, Ec2Fault>,
    ) -> Self {
        let script = Arc::new(Script {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
            go: Semaphore::new(0),
        });
        let reloader = Reloader::new(parse);
        if !config.is_empty() {
            assert_eq!(reloader.offer(config.as_bytes()), Reload::Replaced);
        }
        let metrics = Arc::new(Metrics::new(NOW, || None));
        let verifier = Verifier::new(Arc::clone(&script), NOW);
        let authenticator =
            Authenticator::new(verifier, Dns(dns), reloader.live(), Arc::clone(&metrics));
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        let logging = tracing::subscriber::set_default(subscriber);
        Self { authenticator, script, reloader, metrics, log, _logging: logging }
    }

    /// Lets STS answer at once.
    async fn decide(&self, token: &str) -> (u16, Value) {
        self.script.go.add_permits(1);
        self.review(token).await
    }

    async fn review(&self, token: &str) -> (u16, Value) {
        self.review_of(ASKER, token).await
    }

    async fn review_of(&self, asker: Asker, token: &str) -> (u16, Value) {
        read(&self.authenticator.review(question(token), asker).await)
    }

    fn asked(&self) -> Vec<String> {
        self.script.asked.lock().unwrap().clone()
    }

    fn logged(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.log.0.lock().unwrap())).unwrap()
    }

    fn counted(&self, line: &str) -> bool {
        let line = format!("aws_iam_authenticator_{line}");
        self.metrics.encode().lines().any(|have| have == line)
    }
}

fn read(response: &Response<Bytes>) -> (u16, Value) {
    assert_eq!(response.headers().len(), 1, "a content type, and never Retry-After");
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    let granted = response.extensions().get::<Granted>().is_some();
    assert_eq!(granted, body["status"]["authenticated"] == json!(true));
    (response.status().as_u16(), body)
}

fn question(token: &str) -> Bytes {
    let question = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
    });
    serde_json::to_vec(&question).unwrap().into()
}

fn token() -> String {
    signed(SIGNATURE)
}

fn signed(signature: &str) -> String {
    let url = format!(
        "https://sts.us-west-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15\
         &X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_request\
         &X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-Security-Token=verysecret\
         &X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature={signature}"
    );
    format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(url))
}

fn is(arn: &str, user_id: &str) -> Result<Reply, StsUnavailable> {
    let account = arn.split(':').nth(4).unwrap();
    let result = json!({"Account": account, "Arn": arn, "UserId": user_id});
    let body = json!({"GetCallerIdentityResponse": {"GetCallerIdentityResult": result}});
    Ok(Reply { status: 200, json: true, body: serde_json::to_vec(&body).unwrap() })
}

fn no(status: u16, code: &str) -> Result<Reply, StsUnavailable> {
    let body = json!({"Error": {"Code": code, "Message": "of the caller's choice"}});
    Ok(Reply { status, json: true, body: serde_json::to_vec(&body).unwrap() })
}

fn config(server: &str) -> String {
    format!("clusterID: c1\nserver:\n{server}")
}

fn admins() -> String {
    config(
        "  mapRoles:\n  - roleARN: arn:aws:iam::123456789012:role/Admin\n    username: \
         admin:{{SessionName}}\n    groups: [b, a, b]\n",
    )
}

#[tokio::test(start_paused = true)]
async fn while_all_places_are_taken_only_what_needs_sts_is_put_off() {
    let one = format!("{}  limits:\n    stsInFlight: 1\n", admins());
    let room = Room::new(&one, [is(ADMIN, "AROAEXAMPLE:ann")]);
    let token = token();
    let mut asking = Box::pin(room.review(&token));
    assert!((&mut asking).now_or_never().is_none());

    let (status, body) = room.review("k8s-aws-v1.AAAA").await;
    assert_eq!((status, &body["status"]["error"]), (200, &json!("token_malformed")));
    let (status, body) = room.review(&signed(&"f".repeat(64))).await;
    assert_eq!((status, &body["message"]), (429, &json!("too many requests to STS are under way")));
    assert!(room.counted("authenticate_latency_seconds_count{result=\"sts_throttling\"} 1"));

    room.script.go.add_permits(1);
    let (status, body) = asking.await;
    assert_eq!((status, &body["status"]["authenticated"]), (200, &json!(true)));
    assert_eq!(room.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_known_does_not_wait_in_a_stranger_s_place() {
    let one = format!("{}  limits:\n    stsInFlight: 1\n", admins());
    let ann = || is(ADMIN, "AROAEXAMPLE:ann");
    let room = Room::new(&one, [ann(), ann(), ann()]);
    let (first, token) = (signed(&"f".repeat(64)), token());
    let mut first = Box::pin(room.review(&first));
    assert!((&mut first).now_or_never().is_none());
    let mut stranger = Box::pin(room.review(&token));
    assert!((&mut stranger).now_or_never().is_none());
    let mut known = Box::pin(room.review_of(Asker { known: true, ..ASKER }, &token));
    assert!((&mut known).now_or_never().is_none());

    room.script.go.add_permits(2);
    assert_eq!(first.await.0, 200);
    assert_eq!(known.await.0, 200);

    assert!((&mut stranger).now_or_never().is_none());
    room.script.go.add_permits(1);
    assert_eq!(stranger.await.0, 200);
}

#[tokio::test]
async fn a_grant_is_answered_logged_and_counted_without_the_token() {
    let room = Room::new(&admins(), [is(ADMIN, "AROAEXAMPLE:ann")]);
    let (status, body) = room.decide(&token()).await;
    assert_eq!((status, &body["status"]["authenticated"]), (200, &json!(true)));
    let user = &body["status"]["user"];
    assert_eq!(user["username"], "admin:ann");
    assert_eq!(user["groups"], json!(["b", "a", "b"]), "as they stand in the file");
    assert!(room.counted("authenticate_latency_seconds_count{result=\"success\"} 1"));
    let told = format!("{}{body}{}", room.logged(), room.metrics.encode());
    assert!(told.contains("access granted") && told.contains("[b a b]"), "{told}");
    for secret in [SIGNATURE, "verysecret", "k8s-aws-v1.a", "X-Amz"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

#[tokio::test]
async fn each_no_has_its_status_reason_and_label() {
    let nowhere = StsUnavailable::Timeout;
    for (answer, status, told, result) in [
        (
            no(403, "SignatureDoesNotMatch"),
            200,
            "cluster_id_mismatch_or_bad_signature",
            "sts_error",
        ),
        (no(403, "ExpiredToken"), 200, "credentials_expired", "sts_error"),
        (no(403, "InvalidClientTokenId"), 200, "access_key_unknown", "sts_error"),
        (no(403, "AccessDenied"), 200, "sts_denied", "sts_error"),
        (no(400, "IncompleteSignature"), 200, "sts_denied", "sts_error"),
        (no(400, "Throttling"), 429, "STS is throttling requests", "sts_throttling"),
        (no(429, "x"), 429, "STS is throttling requests", "sts_throttling"),
        (no(500, "InternalFailure"), 504, "STS cannot be asked", "sts_error"),
        (Err(nowhere), 504, "STS cannot be asked", "sts_error"),
        (
            is("arn:aws-cn:iam::123456789012:root", "1"),
            504,
            "the answer of STS cannot be read",
            "sts_error",
        ),
        (
            is("arn:aws:sts::123456789012:assumed-role/Other/ann", "A:ann"),
            200,
            "identity_not_mapped",
            "uknown_user",
        ),
        (
            is("arn:aws:sts::210987654321:assumed-role/Admin/ann", "A:ann"),
            200,
            "identity_not_mapped",
            "uknown_user",
        ),
    ] {
        let throttled = result == "sts_throttling" && answer.is_ok();
        let room = Room::new(&admins(), [answer]);
        let (got, body) = room.decide(&token()).await;
        let reason = if got == 200 { &body["status"]["error"] } else { &body["message"] };
        assert_eq!((got, reason), (status, &json!(told)));
        assert_ne!(body["status"]["authenticated"], json!(true));
        assert!(!body.to_string().contains("choice"), "the text of STS is not told on: {body}");
        let count = format!("authenticate_latency_seconds_count{{result=\"{result}\"}} 1");
        assert!(room.counted(&count), "{told}");
        let count = room.counted("sts_throttling_total{StsRegion=\"us-west-2\"} 1");
        assert_eq!(count, throttled, "{told}");
        assert!(room.logged().contains("WARN"), "{told}");
    }
}

#[tokio::test]
async fn tokens_of_others_are_no_event_and_nobody_is_asked_about_bad_ones() {
    let room = Room::new(&admins(), []);
    for (token, error, level) in [
        ("eyJhbGciOi", None, "DEBUG"),
        ("", None, "DEBUG"),
        ("k8s-aws-v1.!", Some("token_malformed"), "WARN"),
    ] {
        let (status, body) = room.review(token).await;
        let mut want = json!({"authenticated": false});
        if let Some(error) = error {
            want["error"] = json!(error);
        }
        assert_eq!((status, &body["status"]), (200, &want), "{token:?}");
        let logged = room.logged();
        assert!(logged.trim().lines().all(|line| line.contains(level)), "{token:?}: {logged}");
    }
    assert!(room.counted("authenticate_latency_seconds_count{result=\"invalid_token\"} 3"));
    assert_eq!(room.asked(), [""; 0]);
}

#[tokio::test]
async fn a_body_that_is_no_question_is_a_bad_request_and_is_not_told_on() {
    let room = Room::new(&admins(), []);
    for body in ["", "{\"spec\":{\"token\":7}}", "{\"kind\":\"Pod\"} verysecret"] {
        let response = room.authenticator.review(Bytes::from(body), ASKER).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(response.body(), "expected a request body to be a TokenReview\n");
    }
    assert!(room.counted("authenticate_latency_seconds_count{result=\"malformed_request\"} 3"));
    let logged = room.logged();
    assert!(logged.contains("WARN") && !logged.contains("verysecret"), "{logged}");
}

#[tokio::test]
async fn before_there_is_a_configuration_nothing_can_be_said() {
    let room = Room::new("", []);
    let (status, body) = room.review(&token()).await;
    assert_eq!((status, &body["kind"]), (504, &json!("Status")));
    assert!(room.counted("authenticate_latency_seconds_count{result=\"sts_error\"} 1"));
}

#[tokio::test]
async fn a_scrubbed_account_shows_in_no_answer_no_log_and_no_metric() {
    let instance = "arn:aws:sts::123456789012:assumed-role/Admin/i-0123abcd";
    let mapped = |name: &str| {
        config(&format!(
            "  scrubbedAccounts: ['123456789012']\n  mapRoles:\n  - roleARN: \
             arn:aws:iam::123456789012:role/Admin\n    username: '{name}'\n"
        ))
    };
    for (config, arn, dns, status) in [
        (mapped("ops"), ADMIN, Err(Ec2Fault::Connect), 200),
        (mapped("ops"), "arn:aws:sts::123456789012:assumed-role/Other/ann", Ok("d".into()), 200),
        (mapped("{{SessionName}}x{{EC2PrivateDNSName}}"), ADMIN, Ok("d".into()), 200),
        (mapped("n:{{EC2PrivateDNSName}}"), instance, Ok("d".into()), 200),
        (mapped("n:{{EC2PrivateDNSName}}"), instance, Err(Ec2Fault::OtherAccount), 200),
        (mapped("n:{{EC2PrivateDNSName}}"), instance, Err(Ec2Fault::Throttled), 429),
        (mapped("n:{{EC2PrivateDNSName}}"), instance, Err(Ec2Fault::Connect), 504),
    ] {
        let session = arn.rsplit('/').next().unwrap();
        let room = Room::with_dns(&config, [is(arn, &format!("AROAEXAMPLE:{session}"))], dns);
        let (got, body) = room.decide(&token()).await;
        assert_eq!(got, status, "{config}");
        let told = format!("{body}{}{}", room.logged(), room.metrics.encode());
        for of_them in ["123456789012", "AROAEXAMPLE", "ASIAIOSF", session, "arn:aws"] {
            assert!(!told.contains(of_them), "{of_them}: {told}");
        }
    }
}

#[tokio::test]
async fn a_node_s_name_comes_from_ec2_and_its_absence_is_told_apart() {
    let node = config(
        "  mapRoles:\n  - roleARN: arn:aws:iam::123456789012:role/Node\n    username: \
         system:node:{{EC2PrivateDNSName}}\n",
    );
    let arn = |session| format!("arn:aws:sts::123456789012:assumed-role/Node/{session}");
    for (session, dns, status, told) in [
        ("i-0123abcd", Ok("ip-10-0-0-1.ec2.internal".into()), 200, "system:node:ip-10-0-0-1.ec2"),
        ("i-0123abcd", Err(Ec2Fault::OtherAccount), 200, "instance_not_accepted"),
        ("i-0123abcd", Err(Ec2Fault::NotRunning), 200, "instance_not_accepted"),
        ("i-0123abcd", Err(Ec2Fault::Busy), 429, "EC2 is asked too much"),
        ("i-0123abcd", Err(Ec2Fault::Forbidden), 504, "EC2 cannot be asked"),
        ("i-0123ABCD", Ok("ip-10-0-0-1".into()), 200, "username_not_allowed"),
        ("ann", Ok("ip-10-0-0-1".into()), 200, "username_not_allowed"),
    ] {
        let room = Room::with_dns(&node, [is(&arn(session), &format!("AROA:{session}"))], dns);
        let (got, body) = room.decide(&token()).await;
        assert_eq!(got, status, "{told}");
        assert!(body.to_string().contains(told), "{told}: {body}");
        assert_eq!(body["status"]["authenticated"] == json!(true), told.starts_with("system"));
    }
}

#[tokio::test]
async fn what_a_caller_chooses_is_substituted_once_and_never_becomes_system() {
    for (name, session, told) in [
        ("{{SessionNameRaw}}", "{{AccountID}}", "{{AccountID}}"),
        ("u:{{SessionName}}", "a@b", "u:a-b"),
        ("{{SessionName}}", "system:admin", "username_not_allowed"),
    ] {
        let config = config(&format!(
            "  mapRoles:\n  - roleARN: arn:aws:iam::123456789012:role/Admin\n    username: '{name}'\n"
        ));
        // No real session name has a colon; the id has, so such an answer of STS is not read.
        let unreadable = session.contains(':');
        let arn = format!("arn:aws:sts::123456789012:assumed-role/Admin/{session}");
        let room = Room::new(&config, [is(&arn, &format!("AROA:{session}"))]);
        let (status, body) = room.decide(&token()).await;
        assert_eq!(status, if unreadable { 504 } else { 200 }, "{body}");
        assert!(unreadable || body["status"]["user"]["username"] == told, "{body}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_the_answer_from_nobody_and_leaves_nothing() {
    let room = Room::new(&admins(), [is(ADMIN, "AROA:ann"), is(ADMIN, "AROA:ann")]);
    let token = token();
    let mut first = Box::pin(room.review(&token));
    let mut second = Box::pin(room.review(&token));
    assert!(pending(&mut first).await && pending(&mut second).await);
    assert_eq!(room.asked().len(), 1, "both reviews share one question");
    drop(first);
    room.script.go.add_permits(1);
    assert_eq!(second.await.1["status"]["authenticated"], json!(true));
    assert_eq!(room.asked().len(), 1);
    let mut alone = Box::pin(room.review(&token));
    assert!(pending(&mut alone).await);
    drop(alone);
    assert_eq!(room.authenticator.flights.under_way(), 0);
    assert!(room.counted("authenticate_latency_seconds_count{result=\"success\"} 1"));
}

#[tokio::test]
async fn a_review_keeps_the_policy_that_it_began_with_and_shares_none_of_another() {
    let room = Room::new(&admins(), [is(ADMIN, "AROA:ann"), no(403, "SignatureDoesNotMatch")]);
    let token = token();
    let mut old = Box::pin(room.review(&token));
    assert!(pending(&mut old).await);
    let moved = admins().replace("c1", "c2");
    assert_eq!(room.reloader.offer(moved.as_bytes()), Reload::Replaced);
    let mut new = Box::pin(room.review(&token));
    assert!(pending(&mut new).await);
    assert_eq!(room.asked(), ["c1", "c2"], "the same token, but another cluster ID");
    room.script.go.add_permits(2);
    assert_eq!(old.await.1["status"]["authenticated"], json!(true));
    assert_eq!(new.await.1["status"]["error"], "cluster_id_mismatch_or_bad_signature");
}

/// Whether it still waits after one look.
async fn pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}
