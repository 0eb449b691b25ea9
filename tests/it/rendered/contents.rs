//! What the goldens mean, read back by another library than the one that wrote them.

use std::path::Path;
use std::process::Command;

use iamgate::config::{self, Document, ServerOverrides};
use iamgate::face::Face;
use iamgate::provision::render::Systemd;
use serde_json::{Value, json};

use super::{filled, golden, goldens, text, unusual};
use crate::support::binary;

fn probe(path: &str, host: &str, port: u16) -> Value {
    json!({"host": host, "port": port, "path": path})
}

#[test]
fn the_static_pod_runs_the_hosts_binary_with_no_rights() {
    let pod = golden("static-pod.yaml");
    let container = &pod["spec"]["containers"][0];
    let mut spec = pod["spec"].clone();
    drop(spec.as_object_mut().unwrap().remove("containers"));
    assert_eq!(
        spec,
        json!({
            "hostNetwork": true,
            "dnsPolicy": "Default",
            "priorityClassName": "system-node-critical",
            "priority": 2_000_001_000,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 10,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 10_000,
                "runAsGroup": 10_000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [
                host_path("config", "/etc/aws-iam-authenticator"),
                host_path("state", "/var/aws-iam-authenticator"),
                host_path("program", "/var/lib/iamgate/bin/v1.0.0-0123456789ab"),
            ],
        }),
    );
    assert_eq!(
        *container,
        json!({
            "name": "iamgate",
            "image": "registry.k8s.io/kube-apiserver:v1.34.1",
            "imagePullPolicy": "IfNotPresent",
            "command": [
                "/opt/iamgate/iamgate",
                "server",
                "--config=/etc/aws-iam-authenticator/config.yaml",
                "--state-dir=/var/aws-iam-authenticator",
                "--kubeconfig-pregenerated",
            ],
            "resources": {
                "requests": {"cpu": "10m", "memory": "20Mi"},
                "limits": {"memory": "20Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "startupProbe": {
                "httpGet": probe("/livez", "127.0.0.1", 21363),
                "periodSeconds": 2,
                "failureThreshold": 60,
            },
            "livenessProbe": {
                "httpGet": probe("/livez", "127.0.0.1", 21363),
                "periodSeconds": 10,
                "timeoutSeconds": 5,
                "failureThreshold": 6,
            },
            "readinessProbe": {
                "httpGet": probe("/readyz", "127.0.0.1", 21363),
                "periodSeconds": 5,
                "timeoutSeconds": 5,
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                mount("config", "/etc/aws-iam-authenticator"),
                mount("state", "/var/aws-iam-authenticator"),
                mount("program", "/opt/iamgate"),
            ],
        }),
    );
}

fn host_path(name: &str, path: &str) -> Value {
    json!({"name": name, "hostPath": {"path": path, "type": "Directory"}})
}

fn mount(name: &str, path: &str) -> Value {
    json!({"name": name, "mountPath": path, "readOnly": true})
}

/// kubelet refuses a static pod that refers to the API (`PreventStaticPodAPIReferences`).
#[test]
fn static_pods_refer_to_nothing_of_the_api() {
    for (name, text) in goldens().into_iter().filter(|(name, _)| name.starts_with("static-pod.")) {
        for word in [
            "serviceAccount",
            "configMap",
            "secret",
            "persistentVolumeClaim",
            "projected",
            "valueFrom",
            "envFrom",
            "imagePullSecrets",
        ] {
            assert!(!text.contains(&format!("{word}:")), "{name} has {word}");
            assert!(!text.contains(&format!("{word}Name:")), "{name} has {word}Name");
        }
    }
}

#[test]
fn an_image_of_ours_needs_no_directory_of_the_host() {
    let pod = golden("static-pod.image.yaml");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/iamgate:v1.0.0");
    assert_eq!(container["command"][0], "/iamgate");
    assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 2);
    assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 2);
}

#[test]
fn unusual_values_arrive_as_they_are() {
    let pod = golden("static-pod.unusual.yaml");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        container["command"],
        json!([
            "/opt/iamgate/iamgate",
            "server",
            "--config=/etc/it's here/config.yaml",
            "--state-dir=/srv/state",
            "--kubeconfig-pregenerated",
            "--generate-kubeconfig=/srv/webhook/kubeconfig.yaml",
            "--port=443",
            "--cluster-id={my}cluster#1",
        ]),
    );
    assert_eq!(
        container["env"],
        json!([
            {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
            {"name": "NO_PROXY", "value": "10.0.0.0/8, \"%h\" $HOME \\"},
            {"name": "no", "value": "on"},
        ]),
    );
    assert_eq!(container["resources"]["limits"], json!({"memory": "1Gi"}));
    assert_eq!(container["livenessProbe"]["httpGet"], probe("/livez", "::1", 80));
    assert_eq!(pod["spec"]["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["spec"]["securityContext"]["runAsGroup"], 0);
    assert_eq!(pod["spec"]["volumes"][0], host_path("config", "/etc/it's here"));
    assert_eq!(container["volumeMounts"][1], mount("state", "/srv/state"));
}

#[test]
fn the_daemon_set_has_the_container_of_the_static_pod() {
    let set = golden("daemonset.yaml");
    let spec = &set["spec"]["template"]["spec"];
    assert_eq!(spec["containers"][0], golden("static-pod.image.yaml")["spec"]["containers"][0]);
    let mut rest = spec.clone();
    drop(rest.as_object_mut().unwrap().remove("containers"));
    let tolerated = |key: &str| json!({"key": key, "operator": "Exists"});
    let role = |role: &str| {
        let key = format!("node-role.kubernetes.io/{role}");
        json!({"matchExpressions": [tolerated(&key)]})
    };
    assert_eq!(
        rest,
        json!({
            "serviceAccountName": "iamgate",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "hostNetwork": true,
            "dnsPolicy": "Default",
            "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": 10,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 10_000,
                "runAsGroup": 10_000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [role("control-plane"), role("master")],
            }}},
            "tolerations": [
                tolerated("node-role.kubernetes.io/control-plane"),
                tolerated("node-role.kubernetes.io/master"),
                tolerated("CriticalAddonsOnly"),
                tolerated("node.cloudprovider.kubernetes.io/uninitialized"),
                tolerated("node.kubernetes.io/not-ready"),
                tolerated("node.kubernetes.io/network-unavailable"),
            ],
            "volumes": [
                {"name": "config", "configMap": {"name": "iamgate", "optional": false}},
                host_path("state", "/var/aws-iam-authenticator"),
            ],
        }),
    );
    let selector = &set["spec"]["selector"]["matchLabels"];
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert!(selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value));
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"], json!({"maxUnavailable": 1}));
}

#[test]
fn the_account_of_the_daemon_set_may_do_nothing() {
    let account = golden("rbac.yaml");
    assert_eq!(account["kind"], "ServiceAccount");
    assert_eq!(account["automountServiceAccountToken"], false);
    assert_eq!(
        golden("daemonset.yaml")["spec"]["template"]["spec"]["serviceAccountName"],
        account["metadata"]["name"]
    );
}

#[test]
fn the_kubeconfig_is_whole_and_holds_no_credentials() {
    assert_eq!(
        golden("kubeconfig.yaml"),
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "aws-iam-authenticator", "cluster": {
                "certificate-authority": "/etc/kubernetes/aws-iam-authenticator/ca.pem",
                "server": "https://127.0.0.1:21362/authenticate",
            }}],
            "users": [{"name": "apiserver"}],
            "contexts": [{"name": "webhook", "context": {
                "cluster": "aws-iam-authenticator",
                "user": "apiserver",
            }}],
            "current-context": "webhook",
        }),
    );
}

#[test]
fn the_patch_puts_the_flags_behind_the_program_in_order() {
    let directory = "/etc/kubernetes/aws-iam-authenticator";
    let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
    assert_eq!(
        golden("apiserver-patch.yaml"),
        json!([
            add(
                "/spec/containers/0/command/1",
                format!("--authentication-token-webhook-config-file={directory}/kubeconfig.yaml")
                    .into(),
            ),
            add(
                "/spec/containers/0/command/2",
                "--authentication-token-webhook-cache-ttl=30s".into()
            ),
            add("/spec/containers/0/command/3", "--authentication-token-webhook-version=v1".into()),
            add("/spec/containers/0/volumeMounts/-", mount("aws-iam-authenticator", directory)),
            add("/spec/volumes/-", host_path("aws-iam-authenticator", directory)),
        ]),
    );
}

#[test]
fn the_starter_configuration_is_one_that_the_server_takes() {
    for (name, mappings) in [("config.yaml", (0, 0, 0)), ("config.filled.yaml", (2, 1, 0))] {
        let (_, text) = goldens().into_iter().find(|(golden, _)| *golden == name).unwrap();
        let document = Document::read(text.as_bytes(), Path::new(name)).unwrap();
        let checked =
            config::server(Some(document), &ServerOverrides::default(), Face::Own).unwrap();
        assert_eq!(checked.value.policy.rules.counts(), mappings, "{name}");
        // Nobody is mapped in the one that is to be filled in, which the server says.
        let told: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
        let nobody = told.iter().all(|warning| warning.contains("nobody is mapped"));
        assert_eq!((told.len(), nobody), (usize::from(mappings == (0, 0, 0)), true), "{told:?}");
    }
    assert_eq!(
        golden("config.filled.yaml"),
        json!({
            "clusterID": "012345",
            "server": {
                "mapRoles": [
                    {
                        "roleARN": "arn:aws:iam::012345678901:role/Admin",
                        "username": "admin:{{SessionName}}",
                        "groups": ["cluster-admins", "no"],
                    },
                    {
                        "roleARN": "arn:aws:iam::012345678901:role/Empty",
                        "username": "{{AccountID}}:{{SessionName}}",
                        "groups": [],
                    },
                ],
                "mapUsers": [{
                    "userARN": "arn:aws:iam::012345678901:user/ann",
                    "username": "true",
                    "groups": ["- a: \"b\" #c"],
                }],
            },
        }),
    );
}

#[test]
fn the_config_map_holds_the_configuration_byte_for_byte() {
    let map = golden("configmap.yaml");
    assert_eq!(map["data"], json!({"config.yaml": text(&filled())}));
}

#[test]
fn the_audit_policy_writes_no_bodies_but_those_of_roles() {
    let policy = golden("audit-policy.yaml");
    assert_eq!(policy["apiVersion"], "audit.k8s.io/v1");
    assert_eq!(policy["kind"], "Policy");
    assert_eq!(policy["omitStages"], json!(["RequestReceived"]));
    let rules = policy["rules"].as_array().unwrap();
    for rule in rules {
        match rule["level"].as_str().unwrap() {
            "None" => {
                let watched = rule["users"].is_array() || rule["userGroups"].is_array();
                assert!(watched || rule["nonResourceURLs"].is_array(), "left out for all: {rule}");
            }
            "Metadata" => {}
            "Request" => {
                assert_eq!(rule["resources"], json!([{"group": "rbac.authorization.k8s.io"}]))
            }
            level => panic!("{level}"),
        }
    }
    assert_eq!(rules[0]["resources"][0]["resources"], json!(["secrets", "serviceaccounts/token"]));
    assert_eq!(*rules.last().unwrap(), json!({"level": "Metadata"}));
}

#[test]
fn systemd_takes_the_units_without_a_word() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("not checked: there is no systemd-analyze here (Debian: apt-get install systemd)");
        return;
    }
    let program = binary().to_str().unwrap().parse().unwrap();
    let default = Systemd { program, ..Systemd::default() };
    let unusual = Systemd { server: unusual(), ..default.clone() };
    for unit in [default, unusual] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("iamgate.service");
        std::fs::write(&path, text(&unit)).unwrap();
        let mut analyze = Command::new("systemd-analyze");
        let ran = analyze.args(["verify", "--man=no"]).arg(&path).output().unwrap();
        let told = String::from_utf8(ran.stderr).unwrap();
        assert_eq!((ran.status.code(), &*told), (Some(0), ""), "{unit:?}");
    }
}
