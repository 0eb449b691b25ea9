//! What is rendered, against the committed files: `tests/golden`, one or more for each template,
//! and `manifests/`, the defaults for people to apply. `BLESS=1` writes them and still fails once.

mod command;
mod contents;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use iamgate::provision::render::{
    ApiserverPatch, Artefact, AuditPolicy, ConfigMap, Container, DaemonSet, Image, Mapped, Program,
    Rbac, StarterConfig, StaticPod, Systemd, Sysusers, Templates, WebhookKubeconfig,
};
use serde_json::Value;

/// Every value away from its default, and awkward where that may be.
fn unusual() -> Container {
    Container {
        cluster_id: Some("{my}cluster#1".parse().unwrap()),
        config_dir: "/etc/it's here".parse().unwrap(),
        config_file: "config.yaml".to_owned(),
        state_dir: "/srv/state/".parse().unwrap(),
        kubeconfig: "/srv/webhook/kubeconfig.yaml".parse().unwrap(),
        port: 443,
        health: "[::]:80".parse().unwrap(),
        uid: 65532.try_into().unwrap(),
        gid: 0,
        memory_limit: "1Gi".parse().unwrap(),
        env: vec![
            "HTTPS_PROXY=http://proxy.example.com:3128".parse().unwrap(),
            r#"NO_PROXY=10.0.0.0/8, "%h" $HOME \"#.parse().unwrap(),
            "no=on".parse().unwrap(),
        ],
    }
}

fn host_binary() -> Program {
    Program::Host {
        base_image: "registry.k8s.io/kube-apiserver:v1.34.1".parse().unwrap(),
        binary_dir: "/var/lib/iamgate/bin/v1.0.0-0123456789ab".parse().unwrap(),
    }
}

fn image() -> Image {
    "registry.example.com/iamgate:v1.0.0".parse().unwrap()
}

fn mapped(arn: &str, username: &str, groups: &[&str]) -> Mapped {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    Mapped { arn: arn.to_owned(), username: username.to_owned(), groups }
}

fn starter(cluster_id: &str) -> StarterConfig {
    let cluster_id = cluster_id.parse().unwrap();
    StarterConfig { cluster_id, partition: None, roles: Vec::new(), users: Vec::new() }
}

fn filled() -> StarterConfig {
    let account = "arn:aws:iam::012345678901:";
    StarterConfig {
        roles: vec![
            mapped(
                &format!("{account}role/Admin"),
                "admin:{{SessionName}}",
                &["cluster-admins", "no"],
            ),
            mapped(&format!("{account}role/Empty"), "{{AccountID}}:{{SessionName}}", &[]),
        ],
        users: vec![mapped(&format!("{account}user/ann"), "true", &["- a: \"b\" #c"])],
        ..starter("012345")
    }
}

fn text(artefact: &impl Artefact) -> String {
    Templates::default().render(artefact).unwrap()
}

/// The goldens: name, and text.
fn goldens() -> Vec<(&'static str, String)> {
    let config = || Container { cluster_id: None, ..Container::default() };
    vec![
        ("apiserver-patch.yaml", text(&ApiserverPatch::default())),
        ("audit-policy.yaml", text(&AuditPolicy::default())),
        ("config.yaml", text(&starter("my-cluster.example.com"))),
        ("config.filled.yaml", text(&filled())),
        ("configmap.yaml", text(&ConfigMap { config: filled() })),
        ("daemonset.yaml", text(&DaemonSet { container: config(), image: image() })),
        ("daemonset.unusual.yaml", text(&DaemonSet { container: unusual(), image: image() })),
        ("iamgate.service", text(&Systemd::default())),
        (
            "iamgate.unusual.service",
            text(&Systemd { server: unusual(), program: "/opt/$my %h/iamgate".parse().unwrap() }),
        ),
        ("iamgate.sysusers", text(&Sysusers::default())),
        ("kubeconfig.yaml", text(&WebhookKubeconfig::default())),
        ("rbac.yaml", text(&Rbac::default())),
        ("static-pod.yaml", text(&StaticPod { container: config(), program: host_binary() })),
        (
            "static-pod.image.yaml",
            text(&StaticPod { container: config(), program: Program::Image(image()) }),
        ),
        (
            "static-pod.unusual.yaml",
            text(&StaticPod { container: unusual(), program: host_binary() }),
        ),
    ]
}

/// What `manifests/` holds. Only objects of the API lie in it directly, so that
/// `kubectl apply -f manifests/`, which does not look into directories, takes them all.
fn manifests() -> Vec<(&'static str, String)> {
    let host = Program::Host {
        base_image: Image::placeholder("the image that kube-apiserver.yaml names"),
        binary_dir: "/var/lib/iamgate/bin/<version>".parse().unwrap(),
    };
    vec![
        ("configmap.yaml", text(&ConfigMap { config: starter("<your-cluster-id>") })),
        (
            "daemonset.yaml",
            text(&DaemonSet {
                container: Container::default(),
                image: Image::placeholder_of_ours(),
            }),
        ),
        ("rbac.yaml", text(&Rbac::default())),
        ("host/audit-policy.yaml", text(&AuditPolicy::default())),
        ("host/config.yaml", text(&starter("<your-cluster-id>"))),
        ("host/iamgate.service", text(&Systemd::default())),
        ("host/iamgate.sysusers", text(&Sysusers::default())),
        ("host/kube-apiserver-iam+json.yaml", text(&ApiserverPatch::default())),
        ("host/kubeconfig.yaml", text(&WebhookKubeconfig::default())),
        (
            "host/static-pod.yaml",
            text(&StaticPod { container: Container::default(), program: host }),
        ),
    ]
}

fn below(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares or, with `BLESS=1`, writes, and then fails once.
fn hold(dir: &str, wanted: &[(&'static str, String)]) {
    let bless = std::env::var_os("BLESS").is_some();
    let mut differ = Vec::new();
    for (name, text) in wanted {
        let path = below(dir).join(name);
        if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            differ.push(*name);
            if bless {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
    }
    assert!(differ.is_empty(), "{dir}: {differ:?} differ; blessed: {bless}");
}

fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match entry.path().is_dir() {
            true => {
                found.extend(files(&entry.path()).iter().map(|inner| format!("{name}/{inner}")))
            }
            false => drop(found.insert(name)),
        }
    }
    found
}

fn read(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

fn golden(name: &str) -> Value {
    read(&goldens().into_iter().find(|(golden, _)| *golden == name).unwrap().1)
}

#[test]
fn the_goldens_are_what_is_rendered() {
    hold("tests/golden", &goldens());
}

#[test]
fn the_manifests_are_the_templates_with_their_defaults() {
    hold("manifests", &manifests());
    let wanted: BTreeSet<_> = manifests().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(files(&below("manifests")), wanted);
}

#[test]
fn what_kubectl_applies_are_objects_of_the_api_under_our_name() {
    for (name, text) in manifests() {
        if name.starts_with("host/") {
            continue;
        }
        let object = read(&text);
        for key in ["/apiVersion", "/kind"] {
            assert!(object.pointer(key).is_some_and(Value::is_string), "{name} has no {key}");
        }
        assert_eq!(object["metadata"]["name"], "iamgate", "{name}");
        assert_eq!(object["metadata"]["namespace"], "kube-system", "{name}");
    }
}

/// `init`'s kubeconfig is made by another room, and other templates include `container.yaml`.
#[test]
fn every_template_has_a_golden_and_every_golden_a_template() {
    let templates = files(&below("templates"));
    let by_name: BTreeSet<_> = Templates::names().map(str::to_owned).collect();
    let elsewhere = "webhook-kubeconfig.yaml".to_owned();
    let all = by_name.iter().cloned().chain([elsewhere.clone()]).collect::<BTreeSet<_>>();
    assert_eq!(templates, all);

    // `static-pod.image.yaml` is a golden of `static-pod.yaml`.
    let of = |golden: &str| {
        let mut parts = golden.split('.');
        let (first, last) = (parts.next().unwrap(), parts.next_back().unwrap());
        format!("{first}.{last}")
    };
    let files = files(&below("tests/golden"));
    let made: BTreeSet<_> =
        goldens().into_iter().map(|(name, _)| name.to_owned()).chain([elsewhere]).collect();
    assert_eq!(files, made);
    let with_golden: BTreeSet<_> = files.iter().map(|golden| of(golden)).collect();
    let includes = |part: &str| {
        let line = format!("{{% include {part:?} %}}");
        let includes = |name: &String| {
            let text = fs::read_to_string(below("templates").join(name)).unwrap();
            with_golden.contains(name) && text.contains(&line)
        };
        templates.iter().any(includes)
    };
    for template in &templates {
        assert!(with_golden.contains(template) || includes(template), "no golden for {template}");
    }
    assert!(with_golden.is_subset(&templates));
}
