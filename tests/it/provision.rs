//! `provision` and `unprovision` as processes, on directories as roots: what a run says, and what
//! hosts with a history become. Faults on the way are `tests/provision`'s.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::binary;

const APISERVER: &str = "etc/kubernetes/manifests/kube-apiserver.yaml";
const POD: &str = "etc/kubernetes/manifests/iamgate.yaml";
const CONFIG: &str = "etc/aws-iam-authenticator/config.yaml";
const KUBECONFIG: &str = "etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml";
const CA: &str = "etc/kubernetes/aws-iam-authenticator/ca.pem";
const LEAF: &str = "var/aws-iam-authenticator/cert.pem";
const KEY: &str = "var/aws-iam-authenticator/key.pem";

/// A host that is a directory.
struct Host(tempfile::TempDir);

impl Host {
    /// As kubeadm leaves it.
    fn kubeadm() -> Self {
        let host = Self::bare();
        host.put(APISERVER, &fixture());
        host
    }

    fn bare() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(host.path("etc/kubernetes/manifests")).unwrap();
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    fn run(&self, words: &[&str]) -> Output {
        // No program is copied: a debug build is large.
        let image: &[&str] = &["--image", "registry.example.com/iamgate:v1"];
        let own = words.iter().any(|word| ["unprovision", "--base-image"].contains(word));
        Command::new(binary())
            .args(words)
            .args(if own { &[] } else { image })
            .arg("--root")
            .arg(self.0.path())
            .env_clear()
            .output()
            .unwrap()
    }

    /// The report of a run that ended with `code`.
    fn report(&self, code: i32, words: &[&str]) -> Value {
        let ran = self.run(&[words, &["--output", "json"]].concat());
        let (out, err) = (text(&ran.stdout), text(&ran.stderr));
        assert_eq!(ran.status.code(), Some(code), "{words:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}: {out}{err}"))
    }

    fn provision(&self, words: &[&str]) -> Value {
        self.report(0, &[&["provision", "--cluster-id", "c1"], words].concat())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn fixture() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path.join("tests/manifests/kubeadm-1.34/kube-apiserver.yaml")).unwrap()
}

fn paths(report: &Value) -> Vec<String> {
    let changes = report["changes"].as_array().unwrap().iter();
    changes
        .map(|change| {
            let text = |key: &str| change[key].as_str().unwrap().to_owned();
            format!("{} {}", text("action"), text("path"))
        })
        .collect()
}

fn warnings(report: &Value) -> String {
    let all = report["warnings"].as_array().unwrap().iter();
    all.map(|warning| warning.as_str().unwrap().to_owned() + "\n").collect()
}

#[test]
fn one_command_does_the_whole_job_and_a_second_nothing() {
    let host = Host::kubeadm();
    let report = host.provision(&[]);
    assert_eq!(report["restart_required"], json!(["iamgate", "kube-apiserver"]));
    for path in [POD, CONFIG, KUBECONFIG, CA, LEAF, KEY] {
        assert!(host.has(path), "{path}");
    }
    let again = host.provision(&[]);
    assert_eq!((&again["changed"], &again["changes"]), (&json!(false), &json!([])));
    assert_eq!(again["msg"], "nothing to change");
    assert_eq!(again["fingerprint"], report["fingerprint"]);
    let back = host.report(0, &["unprovision"]);
    assert_eq!(back["changed"], true);
    assert_eq!(host.text(APISERVER), fixture());
    let left: Vec<_> =
        fs::read_dir(host.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["etc"]);
    let again = host.report(0, &["unprovision"]);
    assert_eq!(again["changed"], false);
}

#[test]
fn reports_and_specs_are_as_their_published_schemas_say() {
    for (which, file) in [("spec", "provision-spec"), ("report", "provision-report")] {
        let ran = Command::new(binary()).args(["provision", "--schema", which]).output().unwrap();
        let path = format!("{}/docs/schema/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let published = fs::read_to_string(&path).unwrap_or_default();
        if text(&ran.stdout) != published {
            assert!(
                std::env::var_os("BLESS").is_some(),
                "{path} is not what --schema prints; BLESS=1 writes it"
            );
            fs::write(&path, &ran.stdout).unwrap();
            panic!("{path} is written; run again");
        }
    }
    let ran = Command::new(binary()).args(["provision", "--schema", "report"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let host = Host::kubeadm();
    let reports = [
        host.provision(&["--check", "--diff"]),
        host.provision(&["--diff"]),
        host.report(3, &["provision", "--cluster-id", "c2"]),
        Host::bare().provision(&["--apiserver", "later"]),
        host.report(2, &["provision", "--partition", "moon"]),
        host.report(0, &["unprovision", "--diff"]),
    ];
    for report in &reports {
        fits(report, &schema, "report");
    }
}

/// As much of JSON Schema as ours use.
fn fits(value: &Value, schema: &Value, at: &str) {
    if let Some(wanted) = schema.get("const") {
        assert_eq!(value, wanted, "{at}");
    }
    if let Some(choices) = schema.get("enum") {
        assert!(choices.as_array().unwrap().contains(value), "{at}: {value}");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let members = value.as_object().unwrap_or_else(|| panic!("{at}: {value}"));
            for key in schema["required"].as_array().into_iter().flatten() {
                assert!(members.contains_key(key.as_str().unwrap()), "{at} lacks {key}");
            }
            for (key, member) in members {
                let known = &schema["properties"][key];
                assert!(!known.is_null(), "{at} has {key}, which the schema has not");
                fits(member, known, &format!("{at}.{key}"));
            }
        }
        Some("array") => {
            for item in value.as_array().unwrap_or_else(|| panic!("{at}: {value}")) {
                fits(item, &schema["items"], &format!("{at}[]"));
            }
        }
        Some("string") => assert!(value.is_string(), "{at}: {value}"),
        Some("boolean") => assert!(value.is_boolean(), "{at}: {value}"),
        Some("integer") => assert!(value.is_u64(), "{at}: {value}"),
        Some(other) => panic!("{at}: a type {other} that this test does not know"),
        None => {}
    }
}

#[test]
fn an_api_server_that_is_still_to_come_is_given_everything_by_its_installer() {
    let host = Host::bare();
    let refused = host.report(3, &["provision", "--cluster-id", "c1"]);
    let cure = refused["refusals"][0]["cure"].as_str().unwrap();
    assert!(cure.contains("--apiserver later"), "{cure}");
    let report = host.provision(&["--apiserver", "later"]);
    assert!(host.has(POD) && !host.has(APISERVER));
    // What an installer makes of it: the flags and the mount, and no hash of ours.
    let mut manifest = fixture();
    let flags: String = report["installer"]["flags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| {
            format!(
                "    - --{}={}\n",
                flag["name"].as_str().unwrap(),
                flag["value"].as_str().unwrap()
            )
        })
        .collect();
    manifest =
        manifest.replacen("    - kube-apiserver\n", &format!("    - kube-apiserver\n{flags}"), 1);
    let volume = &report["installer"]["volumes"][0];
    let (name, path) = (volume["name"].as_str().unwrap(), volume["hostPath"].as_str().unwrap());
    manifest = manifest.replacen(
        "    volumeMounts:\n",
        &format!(
            "    volumeMounts:\n    - mountPath: {path}\n      name: {name}\n      readOnly: true\n"
        ),
        1,
    );
    manifest = manifest.replacen(
        "  volumes:\n",
        &format!("  volumes:\n  - hostPath:\n      path: {path}\n      type: Directory\n    name: {name}\n"),
        1,
    );
    host.put(APISERVER, &manifest);
    for words in [&["--apiserver", "later"][..], &[]] {
        let again = host.provision(words);
        assert_eq!(again["changes"], json!([]), "{words:?}");
    }
    // A new CA is read at a start only, so that now there is something to restart it for.
    let rotated = host.provision(&["--rotate", "ca"]);
    assert_eq!(rotated["restart_required"], json!(["kube-apiserver"]));
    assert!(host.text(APISERVER).contains("iamgate.config-hash: "));
    host.report(0, &["unprovision"]);
    assert_eq!(host.text(APISERVER), manifest);
}

#[test]
fn the_references_pair_is_kept_and_pinned_and_given_back() {
    let host = Host::kubeadm();
    host.put(CONFIG, "clusterID: c1\nserver: {mapAccounts: ['123456789012']}\n");
    fs::create_dir_all(host.path("var/aws-iam-authenticator")).unwrap();
    // `init` makes what the reference makes.
    let made = Command::new(binary())
        .args(["init", "--cluster-id", "c1"])
        .current_dir(host.path("var/aws-iam-authenticator"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    fs::remove_file(host.path("var/aws-iam-authenticator/aws-iam-authenticator.kubeconfig"))
        .unwrap();
    let theirs = "clusters: [] # the reference's\n";
    host.put(KUBECONFIG, theirs);
    let (leaf, key) = (host.text(LEAF), host.text(KEY));
    let report = host.provision(&[]);
    assert!(!paths(&report).iter().any(|path| path.contains("ca-key.pem")), "{report:#}");
    assert_eq!((host.text(LEAF), host.text(KEY)), (leaf.clone(), key.clone()));
    assert_eq!(host.text(CA), leaf);
    host.report(0, &["unprovision"]);
    assert_eq!(host.text(KUBECONFIG), theirs);
    assert_eq!((host.text(LEAF), host.text(KEY)), (leaf, key));
    assert!(!host.has(CA));
}

#[test]
fn a_configuration_that_is_there_decides_and_is_never_written() {
    let host = Host::kubeadm();
    let config = "# mine\nclusterID: c1\nserver:\n  port: 21372\n  healthAddress: 127.0.0.1:21373\n  \
                  stateDir: /srv/state\n  mapRoles: []\n";
    host.put(CONFIG, config);
    host.provision(&["--map-role", "arn:aws:iam::123456789012:role/Admin=admin"]);
    assert_eq!(host.text(CONFIG), config);
    assert!(host.has("srv/state/key.pem") && !host.has(KEY));
    assert!(host.text(KUBECONFIG).contains("server: https://127.0.0.1:21372/authenticate\n"));
    let pod = host.text(POD);
    for text in ["--port=21372", "--state-dir=/srv/state", "port: 21373"] {
        assert!(pod.contains(text), "{text}: {pod}");
    }
    let other = host.report(3, &["provision", "--cluster-id", "c2"]);
    let problem = other["refusals"][0]["problem"].as_str().unwrap();
    assert_eq!(problem, "it is for the cluster c1, and --cluster-id says c2");
    host.put(CONFIG, "clusterID: c1\nserver:\n  mapRoles:\n  - roleARN: moon\n    username: x\n");
    let wrong = host.report(3, &["provision"]);
    assert_eq!((&wrong["refusals"][0]["line"], &wrong["failed"]), (&json!(4), &json!(true)));
    assert_eq!(wrong["refusals"][0]["path"], "/etc/aws-iam-authenticator/config.yaml");
}

#[test]
fn a_configuration_without_a_cluster_gets_it_by_a_flag() {
    let host = Host::kubeadm();
    host.put(CONFIG, "server: {mapAccounts: ['123456789012']}\n");
    host.provision(&[]);
    assert!(host.text(POD).contains("--cluster-id=c1"));
}

#[test]
fn mappings_of_the_command_line_go_into_a_new_configuration_alone() {
    let host = Host::kubeadm();
    let role = "arn:aws:iam::123456789012:role/Admin=admin:{{SessionName}}=system:masters,b";
    host.provision(&["--map-role", role, "--map-user", "arn:aws:iam::123456789012:user/ann=ann"]);
    let explained = Command::new(binary())
        .args(["explain", "--config"])
        .arg(host.path(CONFIG))
        .arg("arn:aws:sts::123456789012:assumed-role/Admin/jane")
        .output()
        .unwrap();
    let told = text(&explained.stdout);
    assert!(told.contains("admin:jane") && told.contains("system:masters"), "{told}");
}

#[test]
fn a_symlinked_configuration_may_not_leave_its_directory() {
    for (target, fine) in
        [("..data/config.yaml", true), ("/srv/config.yaml", false), ("../x", false)]
    {
        let host = Host::kubeadm();
        host.put("etc/aws-iam-authenticator/2026/config.yaml", "clusterID: c1\nserver: {}\n");
        symlink("2026", host.path("etc/aws-iam-authenticator/..data")).unwrap();
        symlink(target, host.path(CONFIG)).unwrap();
        if fine {
            let report = host.provision(&[]);
            assert!(host.path(CONFIG).is_symlink(), "{report:#}");
        } else {
            let report = host.report(3, &["provision", "--cluster-id", "c1"]);
            let problem = report["refusals"][0]["problem"].as_str().unwrap();
            assert_eq!(problem, format!("it is a symlink that leaves its directory, to {target}"));
        }
    }
}

#[test]
fn the_workload_can_be_another_and_none() {
    let host = Host::kubeadm();
    host.provision(&[]);
    let report = host.provision(&["--workload", "systemd"]);
    assert!(paths(&report).contains(&"remove /etc/kubernetes/manifests/iamgate.yaml".to_owned()));
    assert!(host.has("etc/systemd/system/iamgate.service"));
    let report = host.provision(&["--workload", "none"]);
    assert!(!host.has("etc/systemd/system/iamgate.service"), "{report:#}");
    assert!(host.has(KUBECONFIG));
    let report = host.provision(&["--workload", "daemonset"]);
    assert!(warnings(&report).contains("kubectl apply"), "{report:#}");
    host.report(0, &["unprovision"]);
    assert_eq!(host.text(APISERVER), fixture());
}

#[test]
fn only_the_named_parts_are_looked_after() {
    let host = Host::kubeadm();
    let refused = host.report(3, &["provision", "--cluster-id", "c1", "--only", "apiserver"]);
    let problem = refused["refusals"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("would not start with a flag that names it"), "{problem}");
    host.provision(&["--only", "config,certificates,kubeconfig"]);
    assert_eq!(host.text(APISERVER), fixture());
    assert!(!host.has(POD) && host.has(KUBECONFIG));
    host.provision(&["--only", "apiserver"]);
    assert!(host.text(APISERVER).contains("--authentication-token-webhook-config-file="));
    assert!(!host.has(POD));
}

#[test]
fn an_audit_policy_comes_with_its_flags_mount_and_directory_in_one() {
    let host = Host::kubeadm();
    host.provision(&["--audit-policy", "default"]);
    let manifest = host.text(APISERVER);
    for flag in [
        "--audit-policy-file=/etc/kubernetes/aws-iam-authenticator/audit-policy.yaml",
        "--audit-log-path=/var/log/kubernetes/audit/audit.log",
    ] {
        assert!(manifest.contains(flag), "{manifest}");
    }
    assert!(host.has("etc/kubernetes/aws-iam-authenticator/audit-policy.yaml"));
    let mode = fs::metadata(host.path("var/log/kubernetes/audit")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    assert_eq!(host.provision(&["--audit-policy", "default"])["changed"], false);
    host.report(0, &["unprovision"]);
    assert_eq!(host.text(APISERVER), fixture());
}

#[test]
fn passwords_of_proxies_are_in_no_report() {
    let host = Host::kubeadm();
    let env = "HTTPS_PROXY=http://user:hunter2@proxy:3128";
    for words in [&["--check", "--diff"][..], &["--diff"], &["--diff", "--memory-limit", "32Mi"]] {
        let arguments = [&["provision", "--cluster-id", "c1", "--env", env], words].concat();
        for output in ["json", "text"] {
            let ran = host.run(&[&arguments[..], &["--output", output]].concat());
            let told = text(&ran.stdout) + &text(&ran.stderr);
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
    assert!(host.text(POD).contains("hunter2"));
}

#[test]
fn no_key_is_in_a_report() {
    let host = Host::kubeadm();
    let report = host.provision(&["--diff"]);
    let rotated = host.provision(&["--rotate", "leaf", "--diff"]);
    let back = host.report(0, &["unprovision", "--diff"]);
    for (report, withheld) in [(report, true), (rotated, true), (back, false)] {
        let told = report.to_string();
        assert!(!told.contains("PRIVATE KEY"), "{told}");
        assert_eq!(told.contains("withheld"), withheld, "{told}");
    }
}

#[test]
fn a_spec_file_says_what_flags_say() {
    let host = Host::kubeadm();
    let spec = host.path("spec.yaml");
    fs::write(
        &spec,
        "schema: iamgate/v1\nclusterID: c9\nmapUsers:\n- userARN: arn:aws:iam::123456789012:user/ann\n  \
         username: ann\ncacheTtl: 1m\n",
    )
    .unwrap();
    host.report(0, &["provision", "--spec", spec.to_str().unwrap()]);
    assert!(host.text(CONFIG).contains("clusterID: c9") || host.text(CONFIG).contains("\"c9\""));
    assert!(host.text(APISERVER).contains("--authentication-token-webhook-cache-ttl=1m\n"));
    let wrong = host.report(2, &["provision", "--spec", "/nonexistent.yaml"]);
    assert_eq!(wrong["failed"], true);
}
