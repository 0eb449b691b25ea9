//! Whole reviews over a scripted STS, as the API server, the log and the metrics see them.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iamgate::clock::UnixTime;
use iamgate::config::{self, Document, Policy, ServerOverrides};
use iamgate::ec2::{Ec2Fault, PrivateDns};
use iamgate::face::Face;
use iamgate::identity::AccountId;
use iamgate::log::{Format, Level, Lines};
use iamgate::mapping::InstanceId;
use iamgate::metrics::Metrics;
use iamgate::reload::{Live, Reload, Reloader};
use iamgate::secret::Secret;
use iamgate::server::{Asker, Authenticate, Authenticator};
use iamgate::token::{Malformed, Refusal, Reply, Stale, StsUnavailable, Verifier};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use super::script::Script;
use super::vector::{NOW, accept};

/// A server without its network. What it logs on this thread is kept.
pub(crate) struct Desk {
    authenticator: Authenticator<Script, UnixTime, NoInstances>,
    sts: Script,
    metrics: Arc<Metrics>,
    /// The metrics as they were last.
    before: Mutex<String>,
    log: Arc<Mutex<String>>,
    _logging: DefaultGuard,
}

/// What one review looked like from outside.
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Whole lines.
    pub(crate) log: String,
    /// The lines that the review changed.
    pub(crate) metrics: Vec<String>,
    /// How often STS was asked.
    pub(crate) asked: usize,
}

struct NoInstances;

impl PrivateDns for NoInstances {
    async fn lookup(&self, _: &InstanceId, _: AccountId) -> Result<Box<str>, Ec2Fault> {
        Err(Ec2Fault::NoSuchInstance)
    }
}

impl Desk {
    pub(crate) fn new(answers: impl IntoIterator<Item = Result<Reply, StsUnavailable>>) -> Self {
        let sts = Script::new(answers);
        let metrics = Arc::new(Metrics::new(NOW, || None));
        let before = Mutex::new(FRESH.get_or_init(|| metrics.encode()).clone());
        let policy = POLICY.get_or_init(policy).clone();
        let verifier = Verifier::new(sts.clone(), NOW);
        let authenticator = Authenticator::new(verifier, NoInstances, policy, Arc::clone(&metrics));
        let log = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&log);
        let write =
            move |line: &[u8]| lines.lock().unwrap().push_str(str::from_utf8(line).unwrap());
        let lines = Lines::new(Format::Text, Level::Trace, NOW, write);
        let logging = tracing::subscriber::set_default(lines);
        Self { authenticator, sts, metrics, before, log, _logging: logging }
    }

    /// One review of `token`. Fails where a part of it is told.
    pub(crate) async fn review(&self, token: &str) -> Seen {
        let question = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token},
        });
        let asked = self.sts.asked();
        let question = serde_json::to_vec(&question).unwrap();
        let response = self.authenticator.review(question.into(), ASKER).await;
        assert_eq!(response.headers().len(), 1, "a content type, and never Retry-After");
        let after = self.metrics.encode();
        let before = std::mem::replace(&mut *self.before.lock().unwrap(), after.clone());
        let before: HashSet<&str> = before.lines().collect();
        let changed = after.lines().filter(|line| !before.contains(line)).map(str::to_owned);
        let seen = Seen {
            status: response.status().as_u16(),
            body: serde_json::from_slice(response.body()).unwrap(),
            log: std::mem::take(&mut self.log.lock().unwrap()),
            metrics: changed.collect(),
            asked: self.sts.asked() - asked,
        };
        let told = format!("{}{}{}", seen.body, seen.log, seen.metrics.join("\n"));
        assert_tells_nothing_of(token, &told);
        seen
    }
}

fn policy() -> Live<Policy> {
    let reloader = Reloader::new(|content: &[u8]| -> Result<Policy, String> {
        let document = Document::read(content, Path::new("config.yaml"));
        let document = document.map_err(|faults| faults.to_string())?;
        let read = config::server(Some(document), &ServerOverrides::default(), Face::Own);
        Ok(read.map_err(|faults| faults.to_string())?.value.policy)
    });
    assert_eq!(reloader.offer(CONFIG.as_bytes()), Reload::Replaced);
    reloader.live()
}

impl Seen {
    /// The one reason of a denial, or of no decision.
    pub(crate) fn reason(&self) -> Option<&str> {
        let reason =
            if self.status == 200 { &self.body["status"]["error"] } else { &self.body["message"] };
        reason.as_str()
    }

    /// Whether `result` is what the review was counted as, and nothing else was counted.
    pub(crate) fn is_counted_as(&self, result: &str) -> bool {
        let count = format!(
            "aws_iam_authenticator_authenticate_latency_seconds_count{{result=\"{result}\"}} 1"
        );
        let label = format!("result=\"{result}\"");
        self.metrics.contains(&count) && self.metrics.iter().all(|line| line.contains(&label))
    }
}

/// The refusal of `token`: asked of the verifier, and of a whole review, which has to look as such
/// a refusal looks. STS is not asked, and no part of the token is told.
pub(crate) async fn refusal(token: &Secret) -> Refusal {
    let sts = Script::default();
    let verifier = Verifier::new(sts.clone(), NOW);
    let refusal = verifier.verify(token, &accept(&["test-cluster"])).await.unwrap_err();
    assert_eq!(sts.finish(), [], "STS was asked");
    assert_tells_nothing_of(token.expose(), &format!("{refusal} {refusal:?} {token:?}"));

    let reason = match refusal {
        Refusal::Malformed(Malformed::Prefix) => None,
        Refusal::Malformed(Malformed::Host(_)) => Some("sts_host_not_allowed"),
        Refusal::Malformed(_) => Some("token_malformed"),
        Refusal::Stale(Stale::Early(_)) => Some("token_not_yet_valid"),
        Refusal::Stale(_) => Some("token_expired"),
        Refusal::Denied(_)
        | Refusal::Throttled
        | Refusal::Busy
        | Refusal::Unavailable(_)
        | Refusal::Unreadable(_) => panic!("STS was not asked, and yet {refusal}"),
    };
    let seen = Desk::new([]).review(token.expose()).await;
    assert_eq!((seen.status, seen.reason(), seen.asked), (200, reason, 0), "{refusal}");
    let mut status = json!({"authenticated": false});
    if let Some(reason) = reason {
        status["error"] = reason.into();
    }
    assert_eq!(seen.body["status"], status);
    assert!(seen.is_counted_as("invalid_token"), "{refusal}: {:?}", seen.metrics);
    let level = if reason.is_some() { "level=warning" } else { "level=debug" };
    assert_eq!(seen.log.lines().count(), 1, "{refusal}: {}", seen.log);
    assert!(seen.log.contains(level) && seen.log.contains("access denied"), "{}", seen.log);
    refusal
}

/// No long run of the token's bytes, nor of the URL inside, stands in `told`. Shorter runs are
/// names and values that our own messages hold, such as `X-Amz-Security-Token`; the STS host that
/// was asked is told on purpose.
#[track_caller]
pub(crate) fn assert_tells_nothing_of(token: &str, told: &str) {
    const RUN: usize = 24;
    // Of a run of 31 bytes, one of 24 is looked for.
    const STEP: usize = 8;
    let told = told.replace("sts.us-west-2.amazonaws.com", "");
    let body = token.strip_prefix("k8s-aws-v1.").unwrap_or_default();
    let url = URL_SAFE_NO_PAD.decode(body).unwrap_or_default();
    for secret in [token.as_bytes(), &url] {
        let runs = secret.windows(RUN).step_by(STEP);
        let mut runs = runs.filter_map(|run| str::from_utf8(run).ok());
        // Without the text in the message: a failing test must not print it either.
        assert!(!runs.any(|run| told.contains(run)), "a part of the token was told");
    }
}

/// Made once: there are thousands of reviews.
static FRESH: OnceLock<String> = OnceLock::new();
static POLICY: OnceLock<Live<Policy>> = OnceLock::new();
const ASKER: Asker = Asker {
    client: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4321),
    known: false,
};
const CONFIG: &str = "\
clusterID: test-cluster
server:
  mapRoles:
  - roleARN: arn:aws:iam::123456789012:role/Admin
    username: admin:{{SessionName}}
    groups: [ops]
";
