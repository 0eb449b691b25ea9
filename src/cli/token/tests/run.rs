//! One run of the command, in a process of its own: this test binary again, with the environment
//! that a test names and no other. The official chain reads the process's own environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stand_in::StandIn;
use super::*;
use crate::clock::SystemClock;
use crate::system::ProcessEnvironment;

/// A person who knows the code, or is not there.
struct Person {
    code: Option<String>,
    asked: AtomicUsize,
}

impl Prompt for Person {
    fn ask(&self, question: &str) -> Result<Secret, client::PromptFault> {
        assert_eq!(question, "Assume Role MFA token code: ");
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.code.clone().map(Secret::new).ok_or(client::PromptFault::NoTerminal)
    }
}

/// The run itself, in the process that [`Run::go`] starts.
#[test]
#[ignore = "run by the others, in a process of its own"]
fn child() {
    let env = ProcessEnvironment;
    let (Some(args), Some(result)) = (env.var("T_ARGS"), env.var("T_RESULT")) else { return };
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    log.with_max_level(tracing::Level::DEBUG).init();
    let args: Vec<String> = serde_json::from_str(&args).unwrap();
    let args = typed(&args.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let text = |value: Option<String>| value.map(String::into_boxed_str);
    let request = Request {
        cluster_id: env.var("T_CLUSTER").map(|id| id.parse().unwrap()),
        region: text(args.region),
        role: text(args.role),
        external_id: text(args.external_id),
        session_name: text(args.session_name),
        forward_session_name: args.forward_session_name.unwrap_or_default(),
        token_only: args.token_only.unwrap_or_default(),
        cache: args.cache.unwrap_or_default(),
    };
    let person = Person { code: env.var("T_CODE"), asked: AtomicUsize::new(0) };
    let mut out = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(run_with(request, &env, &SystemClock, &person, &mut out));
    let told = json!({
        "out": String::from_utf8(out).unwrap(),
        "failure": ended.as_ref().err().map(ToString::to_string),
        "debug": ended.as_ref().err().map(|failure| format!("{failure:?}")),
        "exit": ended.as_ref().err().map(|failure| format!("{:?}", failure.exit())),
        "asked": person.asked.load(Ordering::Relaxed),
        "tls": client::tls_clients_built(),
    });
    fs::File::create(result).unwrap().write_all(told.to_string().as_bytes()).unwrap();
}

/// One run of the command to be.
pub(super) struct Run {
    pub(super) home: TempDir,
    pub(super) env: BTreeMap<String, String>,
}

pub(super) struct Ended {
    pub(super) told: Value,
    pub(super) log: String,
    pub(super) took: Duration,
}

impl Run {
    /// A machine without AWS: no files, instance metadata at a port that nobody listens on.
    pub(super) fn new() -> Self {
        let home = TempDir::new().unwrap();
        let run = Self { env: BTreeMap::new(), home };
        run.set("T_CLUSTER", "dev").set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn keys(self) -> Self {
        self.set("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT").set("AWS_SECRET_ACCESS_KEY", "hushkey")
    }

    pub(super) fn in_region(self) -> Self {
        self.set("AWS_REGION", "eu-west-1")
    }

    pub(super) fn profile(self, text: &str) -> Self {
        self.file(".aws/config", text);
        self
    }

    pub(super) fn sts(self, at: &StandIn) -> Self {
        self.set("AWS_ENDPOINT_URL_STS", &at.url())
    }

    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    pub(super) fn go(&self, args: &[&str]) -> Ended {
        let result = self.home.path().join("result.json");
        let start = Instant::now();
        let Output { status, stdout, stderr } = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cli::token::tests::run::child", "--ignored", "--nocapture"])
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .envs(&self.env)
            .env("T_ARGS", json!(args).to_string())
            .env("T_RESULT", &result)
            .output()
            .unwrap();
        let took = start.elapsed();
        let log = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{log}{}", String::from_utf8_lossy(&stdout));
        let told = serde_json::from_slice(&fs::read(result).unwrap()).unwrap();
        let ended = Ended { told, log, took };
        ended.hush();
        ended
    }
}

impl Ended {
    /// Whatever happened: what is secret is in nothing but the token.
    fn hush(&self) {
        for text in [&self.log, self.text("failure"), self.text("debug")] {
            assert!(!text.contains("hush"), "{text}");
            assert!(!text.contains("k8s-aws-v1."), "{text}");
        }
    }

    pub(super) fn text(&self, key: &str) -> &String {
        static NONE: String = String::new();
        if let Value::String(text) = &self.told[key] { text } else { &NONE }
    }

    pub(super) fn failed(&self, with: &str) {
        let failure = self.text("failure");
        assert!(failure.contains(with), "{failure}\n{}", self.log);
        assert!(failure.contains("hint: "), "{failure}");
        assert_eq!(self.text("out"), "");
    }

    /// The URL that the token stands for.
    pub(super) fn url(&self) -> url::Url {
        let out = self.text("out");
        assert_eq!(self.told["failure"], Value::Null, "{}", self.log);
        assert!(out.ends_with('\n') && out.matches('\n').count() == 1, "{out:?}");
        let token = match out.strip_prefix("k8s-aws-v1.") {
            Some(token) => token.trim_end().to_owned(),
            None => {
                let credential: Value = serde_json::from_str(out).unwrap();
                let token = credential["status"]["token"].as_str().unwrap();
                token.strip_prefix("k8s-aws-v1.").unwrap().to_owned()
            }
        };
        String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap().parse().unwrap()
    }

    /// Host of the token, and the access key id and region in it.
    pub(super) fn token(&self) -> (String, String, String) {
        let url = self.url();
        let host = url.host_str().unwrap().to_owned();
        let scope = url.query_pairs().find(|(name, _)| name == "X-Amz-Credential").unwrap().1;
        let mut parts = scope.split('/');
        let id = parts.next().unwrap().to_owned();
        (host, id, parts.nth(1).unwrap().to_owned())
    }

    pub(super) fn is(&self, host: &str, id: &str, region: &str) {
        assert_eq!(self.token(), (host.to_owned(), id.to_owned(), region.to_owned()));
    }
}
