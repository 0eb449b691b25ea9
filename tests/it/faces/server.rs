//! The server as a process: what it says, binds and writes under each name, and how it ends.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::timeout;

use super::program::{OLD_REFERENCE, OWN, PATIENCE, Program, REFERENCE};

/// What the product promises from a change to its effect.
const LIVE_WITHIN: Duration = Duration::from_secs(1);

/// The arguments of the DaemonSet that `aws-iam-authenticator` documents, with its absolute paths
/// below the test's directory, and a free port.
const DAEMON_SET: [&str; 5] = [
    "server",
    "--config=etc/aws-iam-authenticator/config.yaml",
    "--state-dir=var/aws-iam-authenticator",
    "--generate-kubeconfig=etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml",
    "--port=0",
];
const CONFIG: &str = "etc/aws-iam-authenticator/config.yaml";
const STATE: &str = "var/aws-iam-authenticator";
const KUBECONFIG: &str = "etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml";

/// The configuration of that DaemonSet's ConfigMap, but for a free health port.
const DOCUMENTED: &str = "\
# a unique-per-cluster identifier to prevent replay attacks
# (good choices are a random token or a domain name that will be unique to your cluster)
clusterID: my-dev-cluster.example.com
server:
  healthAddress: 127.0.0.1:0
  # each mapRoles entry maps an IAM role to a username and set of groups
  mapRoles:
  # statically map arn:aws:iam::000000000000:role/KubernetesAdmin to a cluster admin
  - roleARN: arn:aws:iam::000000000000:role/KubernetesAdmin
    username: kubernetes-admin
    groups:
    - system:masters
  - roleARN: arn:aws:iam::000000000000:role/KubernetesNode
    username: aws:{{AccountID}}:instance:{{SessionName}}
    groups:
    - system:bootstrappers
    - aws:instances
  - roleARN: arn:aws:iam::000000000000:role/KubernetesAdmin
    username: admin:{{SessionName}}
    groups:
    - system:masters
  - roleARN: arn:aws:iam::000000000000:role/KubernetesOtherAdmin
    username: \"{{SessionName}}\"
    groups:
    - system:masters
  - roleARN: arn:aws:iam::000000000000:role/KubernetesUsers
    username: \"{{SessionNameRaw}}\"
    groups:
    - developers
  # each mapUsers entry maps an IAM role to a static username and set of groups
  mapUsers:
  - userARN: arn:aws:iam::000000000000:user/Alice
    username: alice
    groups:
    - system:masters
  # automatically map IAM ARN from these accounts to username.
  # NOTE: Always use quotes to avoid the account numbers being recognized as numbers
  # instead of strings by the yaml parser.
  mapAccounts:
  # - \"<AWS_ACCOUNT_ID>\"
";

/// A host's directories, with that configuration.
fn host(name: &str, config: &str) -> Program {
    let program = Program::named(name);
    for file in [CONFIG, KUBECONFIG] {
        fs::create_dir_all(program.dir().join(file).parent().unwrap()).unwrap();
    }
    fs::create_dir_all(program.dir().join(STATE)).unwrap();
    program.write(CONFIG, config);
    program
}

/// A server that runs.
struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    log: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
    client: reqwest::Client,
}

impl Running {
    fn start(program: &Program, words: &[&str]) -> Self {
        // Err where another test was quicker, with the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut child = program.command(words).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        // The tests compare the certificate that was shown with the file.
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_info(true)
            .tls_danger_accept_invalid_certs(true)
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self { child, out, log, said: Vec::new(), client }
    }

    /// Reads the log up to a line that has this in it.
    async fn log(&mut self, part: &str) -> String {
        let read = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.said.push(line.clone());
                if line.contains(part) {
                    return Some(line);
                }
            }
            None
        };
        let line = timeout(PATIENCE, read).await.ok().flatten();
        line.unwrap_or_else(|| panic!("no {part:?} in the log: {:#?}", self.said))
    }

    async fn address(&mut self, part: &str) -> SocketAddr {
        let line = self.log(part).await;
        let (_, rest) = line.split_once(part).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    }

    /// The plain health port, then the port of the webhook. Signals are heeded from before this.
    async fn addresses(&mut self) -> (SocketAddr, SocketAddr) {
        let health = self.address("\"health listening on ").await;
        let webhook = self.address("\"listening on ").await;
        (health, webhook)
    }

    async fn look(&self, url: &str) -> (u16, String) {
        let answer = self.client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn review(&self, webhook: SocketAddr) -> (u16, String) {
        let question = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"k8s-aws-v1.aGk"}}"#;
        let url = format!("https://{webhook}/authenticate");
        let answer = self.client.post(url).body(question).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    async fn end(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.expect("the server ends when it is told to").unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn leaf(program: &Program) -> Vec<u8> {
    let pem = fs::read(program.dir().join(STATE).join("cert.pem")).unwrap();
    pem::parse(pem).unwrap().into_contents()
}

#[tokio::test]
async fn the_documented_daemon_set_starts_unchanged() {
    for name in [REFERENCE, OLD_REFERENCE] {
        let program = host(name, DOCUMENTED);
        let mut server = Running::start(&program, &DAEMON_SET);
        let said = timeout(PATIENCE, server.out.next_line()).await.unwrap().unwrap().unwrap();
        let version = concat!("v", env!("CARGO_PKG_VERSION"));
        assert_eq!(said, format!("Authenticator Version: {version:?}, \"\""));

        let (health, webhook) = server.addresses().await;
        assert_eq!(webhook.ip().to_string(), "127.0.0.1");
        let hint = server.log("--authentication-token-webhook-config-file=").await;
        assert!(hint.contains(&format!("={KUBECONFIG}`")), "{hint}");
        for path in ["healthz", "livez", "readyz"] {
            let (status, _) = server.look(&format!("http://{health}/{path}")).await;
            assert_eq!(status, 200, "{path}");
        }
        let healthz = server.look(&format!("https://{webhook}/healthz")).await;
        assert_eq!(healthz, (200, "ok".to_owned()));
        let (status, metrics) = server.look(&format!("https://{webhook}/metrics")).await;
        assert_eq!(status, 200);
        assert!(metrics.contains("aws_iam_authenticator_authenticate_latency_seconds"));
        assert_eq!(server.end().await.code(), Some(0));
    }
}

#[tokio::test]
async fn the_first_start_writes_certificate_key_and_kubeconfig() {
    let program = host(REFERENCE, DOCUMENTED);
    let mut server = Running::start(&program, &DAEMON_SET);
    let (_, webhook) = server.addresses().await;
    let answer = server.client.get(format!("https://{webhook}/livez")).send().await.unwrap();
    let shown = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap().peer_certificate();
    assert_eq!(shown, Some(&*leaf(&program)));

    let state = program.dir().join(STATE);
    assert_eq!(mode(&state.join("key.pem")), 0o600);
    assert_eq!(mode(&state.join("cert.pem")), 0o644);
    assert_eq!(mode(&program.dir().join(KUBECONFIG)), 0o644);

    let text = fs::read_to_string(program.dir().join(KUBECONFIG)).unwrap();
    let data = STANDARD.encode(fs::read(state.join("cert.pem")).unwrap());
    let text = text
        .replace(&data, "<base64 of cert.pem>")
        .replace(&format!(":{}/", webhook.port()), ":<port>/");
    assert_golden("webhook-kubeconfig.yaml", &text);

    // The next start finds the pair, and keeps it.
    let before = leaf(&program);
    assert_eq!(server.end().await.code(), Some(0));
    let mut server = Running::start(&program, &DAEMON_SET);
    server.addresses().await;
    assert_eq!(leaf(&program), before);
    assert_eq!(server.end().await.code(), Some(0));
}

/// `BLESS=1` writes the golden and fails this once, so that what was written is looked at.
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
        panic!("{} is written: look at it, then run again", path.display());
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap(), "BLESS=1 writes {}", path.display());
}

#[tokio::test]
async fn a_pregenerated_kubeconfig_is_left_alone() {
    for name in [OWN, REFERENCE] {
        let flags: [&[&str]; 3] = [
            &["--kubeconfig-pregenerated"],
            &["--kubeconfig-pregenerated=true"],
            &["--kubeconfig-pregenerated=false", "--kubeconfig-pregenerated=1", "surplus"],
        ];
        for flags in flags {
            let program = host(name, DOCUMENTED);
            let mut server = Running::start(&program, &[&DAEMON_SET, flags].concat());
            server.addresses().await;
            assert!(!program.dir().join(KUBECONFIG).exists(), "{name} {flags:?}");
            assert_eq!(server.end().await.code(), Some(0));
        }
    }
}

#[tokio::test]
async fn log_lines_have_the_references_members() {
    let program = host(REFERENCE, DOCUMENTED);
    let words = [&DAEMON_SET[..], &["--log-format", "text", "-l=json"]].concat();
    let mut server = Running::start(&program, &words);
    server.addresses().await;
    for line in &server.said {
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        for member in ["level", "msg", "time"] {
            assert!(line[member].is_string(), "{line:?}");
        }
    }
    assert_eq!(server.end().await.code(), Some(0));

    let mut server = Running::start(&program, &DAEMON_SET);
    server.addresses().await;
    for line in &server.said {
        let (time, rest) = line.strip_prefix("time=\"").unwrap().split_once("\" ").unwrap();
        assert_eq!(time.len(), "2006-01-02T15:04:05Z".len(), "{line}");
        assert!(rest.starts_with("level=info msg=") || rest.starts_with("level=warning msg="));
    }
    assert_eq!(server.end().await.code(), Some(0));
}

#[tokio::test]
async fn flags_of_server_beat_the_file_and_lists_grow() {
    let config = DOCUMENTED.replace("server:\n", "server:\n  port: 1\n  backendMode: [CRD]\n");
    let program = host(REFERENCE, &config);
    let words = [&DAEMON_SET[..], &["--port=1", "--port=0", "--backend-mode=MountedFile"]].concat();
    let mut server = Running::start(&program, &words);
    server.addresses().await;
    assert_eq!(server.end().await.code(), Some(0));

    let words = [&DAEMON_SET[..], &["--backend-mode=One,Two", "--backend-mode", "Three"]].concat();
    let ran = program.run(&words).await;
    assert_eq!(ran.code, Some(1));
    for mode in ["One", "Two", "Three"] {
        assert!(ran.err.contains(&format!("backend-mode {mode:?} is not a valid mode")), "{ran:?}");
    }
}

#[tokio::test]
async fn a_broken_file_ends_the_references_server() {
    let table = [
        ("server: [\n", ":1:9: "),
        ("server: {}\n", "cluster ID cannot be empty"),
        ("clusterID: c\nserver: {partition: moon}\n", "moon"),
        ("clusterID: c\nserver: {mapRoles: [{username: ann}]}\n", "mapRoles[0]"),
    ];
    for (config, told) in table {
        let program = host(REFERENCE, config);
        let ran = program.run(&DAEMON_SET).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(told), "{config}: {ran:?}");
        assert!(ran.out.starts_with("Authenticator Version: "), "{ran:?}");
    }
    let ran = Program::named(REFERENCE).run(&["server", "--port=0"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("cluster ID cannot be empty"), "{ran:?}");
    let ran = Program::named(REFERENCE).run(&DAEMON_SET).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("Can't read configuration file"), "{ran:?}");
}

/// With no file to say otherwise this server tries our own health port, which another program may
/// hold; it goes on without. So the test asks at the webhook's port, which answers as well.
#[tokio::test]
async fn under_our_name_a_broken_file_is_waited_out_and_its_repair_taken() {
    let program = host(OWN, "clusterID: c\nserver: [\n");
    let mut server = Running::start(&program, &DAEMON_SET);
    let webhook = server.address("\"listening on ").await;
    let url = |path: &str| format!("https://{webhook}/{path}");
    assert_eq!(server.look(&url("livez")).await.0, 200);
    let (status, detail) = server.look(&url("readyz")).await;
    assert_eq!(status, 503);
    assert!(detail.contains("config.yaml:2:9: "), "{detail}");
    assert_eq!(server.review(webhook).await.0, 504);

    let repaired = Instant::now();
    program.write(CONFIG, DOCUMENTED);
    let answer = loop {
        let (status, answer) = server.review(webhook).await;
        let waited = repaired.elapsed();
        assert!(waited < LIVE_WITHIN, "{status} after {waited:?}");
        if status != 504 {
            break (status, answer);
        }
    };
    assert_eq!(answer.0, 200, "{answer:?}");
    let review: serde_json::Value = serde_json::from_str(&answer.1).unwrap();
    assert_ne!(review["status"]["authenticated"], true, "{review}");
    assert!(review["status"]["error"].is_string(), "{review}");
    assert_eq!(server.look(&url("readyz")).await.0, 200);
    assert_eq!(server.end().await.code(), Some(0));
}

#[tokio::test]
async fn our_own_server_says_nothing_on_standard_output() {
    let program = host(OWN, DOCUMENTED);
    let mut server = Running::start(&program, &DAEMON_SET);
    server.addresses().await;
    server.signal(Signal::TERM);
    let said = timeout(PATIENCE, server.out.next_line()).await.unwrap().unwrap();
    assert_eq!(said, None);
    assert_eq!(timeout(PATIENCE, server.child.wait()).await.unwrap().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_hangup_makes_the_server_look_at_its_files_and_a_bad_one_changes_nothing() {
    for name in [OWN, REFERENCE] {
        let program = host(name, DOCUMENTED);
        let mut server = Running::start(&program, &DAEMON_SET);
        let (health, webhook) = server.addresses().await;
        server.signal(Signal::HUP);
        server.log("SIGHUP: reading configuration and certificate again").await;

        program.write(CONFIG, "clusterID: [\n");
        server.signal(Signal::HUP);
        server.log("configuration not reloaded; the last good one stays").await;
        let (status, detail) = server.look(&format!("http://{health}/readyz")).await;
        assert_eq!(status, 200);
        assert!(detail.contains("keeping the last good"), "{detail}");
        assert_eq!(server.review(webhook).await.0, 200);
        assert_eq!(server.end().await.code(), Some(0));
    }
}
