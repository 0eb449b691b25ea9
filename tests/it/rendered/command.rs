//! `iamgate render` as a process.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use super::{below, files, golden};
use crate::faces::{OWN, Program, REFERENCE};

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
const BASE: &str = "registry.k8s.io/kube-apiserver:v1.34.1";

/// What the command prints for each manifest of the host: the same as the library.
#[tokio::test]
async fn the_command_prints_what_the_manifests_hold() {
    let program = Program::named(OWN);
    let image = "registry.example.com/iamgate:v1.0.0";
    for (golden, words) in [
        ("apiserver-patch.yaml", vec!["apiserver-patch"]),
        ("audit-policy.yaml", vec!["audit-policy"]),
        ("config.yaml", vec!["config", "--cluster-id", "my-cluster.example.com"]),
        ("daemonset.yaml", vec!["daemonset", "--image", image]),
        ("iamgate.service", vec!["systemd"]),
        ("iamgate.sysusers", vec!["sysusers"]),
        ("kubeconfig.yaml", vec!["kubeconfig"]),
        ("rbac.yaml", vec!["rbac"]),
        (
            "static-pod.yaml",
            vec![
                "static-pod",
                "--base-image",
                BASE,
                "--binary-dir=/var/lib/iamgate/bin/v1.0.0-0123456789ab",
            ],
        ),
        ("static-pod.image.yaml", vec!["static-pod", "--image", image]),
        (
            "daemonset.unusual.yaml",
            vec![
                "daemonset",
                "--image",
                image,
                "--cluster-id={my}cluster#1",
                "--config-dir=/etc/it's here",
                "--state-dir=/srv/state/",
                "--kubeconfig=/srv/webhook/kubeconfig.yaml",
                "--port=443",
                "--health-address=[::]:80",
                "--uid=65532",
                "--gid=0",
                "--memory-limit=1Gi",
                "--env=HTTPS_PROXY=http://proxy.example.com:3128",
                r#"--env=NO_PROXY=10.0.0.0/8, "%h" $HOME \"#,
                "--env=no=on",
            ],
        ),
    ] {
        let words: Vec<_> = ["render"].into_iter().chain(words).collect();
        // Neither the cluster of the environment nor the proxy gets in.
        let environment = [
            ("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", "elsewhere"),
            ("HTTPS_PROXY", "http://elsewhere"),
        ];
        let ran = program.run_with(&environment, &words).await;
        assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{words:?}");
        let text = fs::read_to_string(below("tests/golden").join(golden)).unwrap();
        assert_eq!(ran.out, text, "{words:?}");
    }
    assert_eq!(files(program.dir()), BTreeSet::from([OWN.to_owned()]));
}

#[tokio::test]
async fn flags_reach_the_place_they_are_for() {
    let program = Program::named(OWN);
    for (words, wanted) in [
        ("static-pod --base-image i", "path: /var/lib/iamgate/bin/v"),
        ("configmap --cluster-id c.example.com", "clusterID: c.example.com"),
        ("apiserver-patch --cache-ttl 2m", "webhook-cache-ttl=120s"),
        ("apiserver-patch --kubeconfig /a/k.yaml", "webhook-config-file=/a/k.yaml"),
        ("apiserver-patch --kubeconfig /a/k.yaml", "mountPath: /a\n"),
        ("kubeconfig --kubeconfig /a/k.yaml", "certificate-authority: /a/ca.pem\n"),
        ("kubeconfig --ca-file /a/b.crt", "certificate-authority: /a/b.crt\n"),
        ("kubeconfig --hostname localhost --port 8443", "server: https://localhost:8443/auth"),
        ("kubeconfig --hostname ::1", "server: \"https://[::1]:21362/authenticate\""),
        ("systemd --program /opt/iamgate", "ExecStart=/opt/iamgate server "),
        ("sysusers --uid 5 --gid 6", "u iamgate 5:6 "),
    ] {
        let words: Vec<_> = ["render"].into_iter().chain(words.split(' ')).collect();
        let ran = program.run(&words).await;
        assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{words:?}");
        assert!(ran.out.contains(wanted), "{words:?}: {}", ran.out);
    }
}

#[tokio::test]
async fn what_cannot_be_rendered_is_a_wrong_command_line_with_its_cure() {
    for (name, code) in [(OWN, 2), (REFERENCE, 1)] {
        let program = Program::named(name);
        for (words, told) in [
            ("static-pod", "a static pod needs an image"),
            ("static-pod", "--base-image"),
            ("daemonset", "a DaemonSet needs an image that carries iamgate"),
            ("daemonset --base-image i", "--image"),
            ("static-pod --image i --base-image j", "cannot be used with"),
            ("configmap", "cluster ID not specified"),
            ("config --cluster-id a\tb", "a cluster ID holds printable ASCII"),
            ("kubeconfig --hostname a_b/", "a_b/"),
            ("kubeconfig --port 0", "0 is not in 1..=65535"),
            ("static-pod --image <image>", "is not an image"),
            ("static-pod --image i --uid 0", "expected a number from 1 to"),
            ("static-pod --image i --config-dir etc", "expected an absolute one"),
            ("static-pod --image i --memory-limit 20M", "expected a whole number of bytes"),
            ("static-pod --image i --env PASSWORD", "NAME=VALUE"),
            ("static_pod", "possible values: static-pod, daemonset, rbac, configmap, config,"),
        ] {
            let words: Vec<_> = ["render"].into_iter().chain(words.split(' ')).collect();
            let ran = program.run(&words).await;
            assert_eq!((ran.code, &*ran.out), (Some(code), ""), "{words:?}: {}", ran.err);
            assert!(ran.err.contains(told), "{words:?}: {}", ran.err);
        }
    }
}

#[tokio::test]
async fn templates_of_a_directory_replace_ours_and_no_other_file_may_lie_there() {
    let program = Program::named(OWN);
    let own = program.dir().join("own");
    fs::create_dir(&own).unwrap();
    let words = ["render", "kubeconfig", "--template-dir", "own"];

    program.write("own/kubeconfig.yaml", "ours: {{ url }}\n");
    let ran = program.run(&words).await;
    assert_eq!(
        (ran.code, &*ran.out, &*ran.err),
        (Some(0), "ours: https://127.0.0.1:21362/authenticate\n", ""),
    );

    program.write("own/kubeconfig.yaml", "a: b\nours: {{ uri }}\n");
    let ran = program.run(&words).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""));
    let told = "error: template kubeconfig.yaml, line 2: there is no variable uri\n";
    assert_eq!(ran.err, told);

    program.write("own/kubeconfig.yaml", &"#".repeat(64 * 1024 + 1));
    let ran = program.run(&words).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""));
    assert!(ran.err.contains("own/kubeconfig.yaml: expected at most 65536 bytes"), "{}", ran.err);

    fs::remove_file(own.join("kubeconfig.yaml")).unwrap();
    for stray in ["README.md", "kubeconfig.yml", ".rbac.yaml.swp", "webhook-kubeconfig.yaml"] {
        program.write(&format!("own/{stray}"), "");
        let ran = program.run(&words).await;
        assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{stray}");
        let told = format!("there is no template called {stray:?}: expected apiserver-patch");
        assert!(ran.err.contains(&told), "{}", ran.err);
        assert!(ran.err.contains("hint: every file in own replaces"), "{}", ran.err);
        fs::remove_file(own.join(stray)).unwrap();
    }

    fs::remove_dir(&own).unwrap();
    let ran = program.run(&words).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""));
    assert!(ran.err.contains("cannot read the templates in own: No such file"), "{}", ran.err);
}

/// The directories are mounted read-only: with a pair in place the server writes nothing.
#[tokio::test]
async fn the_server_takes_the_static_pods_command_and_writes_nothing() {
    let program = Program::named(OWN);
    let config = "clusterID: c\nserver: {healthAddress: '127.0.0.1:0'}\n";
    for dir in ["etc/aws-iam-authenticator", "var/aws-iam-authenticator"] {
        fs::create_dir_all(program.dir().join(dir)).unwrap();
    }
    program.write("etc/aws-iam-authenticator/config.yaml", config);
    let pod = golden("static-pod.yaml");
    let command = pod["spec"]["containers"][0]["command"].as_array().unwrap();
    // Below the test's directory, on a free port.
    let words = command.iter().skip(1).map(|word| word.as_str().unwrap().replace("=/", "="));
    let words: Vec<_> = words.chain(["--port=0".to_owned()]).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut states = Vec::new();
    for _ in 0..2 {
        let mut server = program.command(&words).spawn().unwrap();
        let log = BufReader::new(server.stderr.take().unwrap());
        let listening = async {
            let mut lines = log.lines();
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("\"listening on 127.0.0.1:") {
                    return;
                }
            }
            panic!("it does not listen");
        };
        timeout(PATIENCE, listening).await.unwrap();
        states.push(state(program.dir()));
        server.kill().await.unwrap();
    }
    assert_eq!(states[0], states[1]);
    assert_eq!(states[0].len(), 4, "{states:?}");
}

/// Each file below `dir`, with its time of change.
fn state(dir: &Path) -> Vec<(String, SystemTime)> {
    let changed = |name: &String| fs::symlink_metadata(dir.join(name)).unwrap().modified().unwrap();
    files(dir).into_iter().map(|name| (name.clone(), changed(&name))).collect()
}
