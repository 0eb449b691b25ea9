//! The manifests in `tests/manifests`, one folder for each way to write one: what an edit makes of
//! it, or why it is refused, is in the folder too.
#![expect(clippy::wildcard_enum_match_arm, reason = "the kinds of a JSON value are known")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use iamgate::provision::apiserver::{
    Added, DirectoryType, Edit, Edited, Manifest, Policy, Refusal, WantedAnnotation, WantedFlag,
    WantedMount,
};
use serde_json::{Value, json};

mod opinion;
mod properties;

const OURS: &str = "/etc/kubernetes/aws-iam-authenticator";
const HASH_KEY: &str = "iamgate.config-hash";
const HASH: &str = "12345678e90fc2d3b4a5968778695a4b3c2d1e0f112233445566778899aabbcc";

/// What `provision` asks for.
pub(crate) fn standard() -> Edit {
    let flag = |name: &str, value: &str, policy| WantedFlag {
        name: format!("authentication-token-webhook-{name}"),
        value: value.to_owned(),
        policy,
    };
    Edit {
        flags: vec![
            flag("config-file", &format!("{OURS}/kubeconfig.yaml"), Policy::Must),
            flag("cache-ttl", "30s", Policy::Keep),
            flag("version", "v1", Policy::Keep),
        ],
        mounts: vec![WantedMount {
            volume: "aws-iam-authenticator".to_owned(),
            host_path: OURS.to_owned(),
            mount_path: OURS.to_owned(),
            read_only: true,
            host_type: DirectoryType::Directory,
        }],
        annotations: vec![WantedAnnotation { key: HASH_KEY.to_owned(), value: HASH.to_owned() }],
    }
}

/// `BLESS=1` writes what there is and fails once, so that it is looked at.
#[test]
fn every_manifest_is_edited_or_refused_as_its_folder_says() {
    let mut written = Vec::new();
    let mut wrong = Vec::new();
    for folder in folders() {
        let source = source_of(&folder);
        let is =
            outcome(&fs::read(&source).unwrap(), source.extension().unwrap().to_str().unwrap());
        let expected: BTreeSet<_> = files(&folder).into_iter().filter(|p| *p != source).collect();
        let got: BTreeSet<_> = is.iter().map(|(name, _)| folder.join(name)).collect();
        if std::env::var_os("BLESS").is_some() {
            for stale in expected.difference(&got) {
                fs::remove_file(stale).unwrap();
            }
            for (name, bytes) in &is {
                fs::write(folder.join(name), bytes).unwrap();
                written.push(folder.join(name));
            }
            continue;
        }
        if expected != got {
            wrong.push(format!("{}: there is {expected:?}, made is {got:?}", folder.display()));
        }
        for (name, bytes) in &is {
            let golden = fs::read(folder.join(name)).unwrap_or_default();
            if golden != *bytes {
                let (was, is) = (String::from_utf8_lossy(&golden), String::from_utf8_lossy(bytes));
                let diff = diffy::create_patch(&was, &is);
                wrong.push(format!("{}:\n{diff}", folder.join(name).display()));
            }
        }
    }
    assert!(written.is_empty(), "{} files are written: look, and run again", written.len());
    assert!(wrong.is_empty(), "{}\nBLESS=1 writes them", wrong.join("\n"));
}

fn outcome(bytes: &[u8], extension: &str) -> Vec<(String, Vec<u8>)> {
    match Manifest::read(bytes).and_then(|manifest| manifest.edit(&standard())) {
        Ok(edited) => {
            let mut files = vec![(format!("edited.{extension}"), edited.text)];
            if !edited.warnings.is_empty() {
                let mut told = String::new();
                for warning in edited.warnings {
                    writeln!(told, "line {}: {warning}", warning.line()).unwrap();
                }
                files.push(("warnings.txt".to_owned(), told.into_bytes()));
            }
            files
        }
        Err(refusal) => {
            let line = refusal.line().map_or(String::new(), |line| format!("line {line}: "));
            let told = format!("{line}{refusal}\ncure: {}\n", refusal.cure());
            vec![("refused.txt".to_owned(), told.into_bytes())]
        }
    }
}

#[test]
fn a_second_edit_changes_nothing_and_a_removal_gives_the_bytes_of_before() {
    for (name, bytes, edited) in accepted() {
        let again = Manifest::read(&edited.text).unwrap().edit(&standard()).unwrap();
        assert!(!again.changed, "{name}");
        assert!(again.added.is_empty(), "{name}: {:?}", again.added);
        assert_eq!(again.text, edited.text, "{name}");

        let ledger = serde_json::to_vec(&edited.added).unwrap();
        let added: Added = serde_json::from_slice(&ledger).unwrap();
        let removed = Manifest::read(&edited.text).unwrap().remove(&added).unwrap();
        let (removed_text, before) =
            (String::from_utf8_lossy(&removed.text), String::from_utf8_lossy(&bytes));
        assert_eq!(removed_text, before, "{name}");
        assert_eq!((removed.changed, removed.warnings), (edited.changed, vec![]), "{name}");
    }
}

#[test]
fn all_that_was_there_before_is_still_there_in_its_order() {
    // A `null` makes room for ours.
    const GIVES_WAY: [&str; 2] = ["json-empty", "volumes-null"];
    for (name, bytes, edited) in accepted() {
        if GIVES_WAY.contains(&name.as_str()) {
            continue;
        }
        let (before, after) =
            (String::from_utf8(bytes).unwrap(), String::from_utf8(edited.text).unwrap());
        assert!(is_within(before.chars(), after.chars()), "{name}");
        // In brackets a line grows; elsewhere it stays.
        if !name.starts_with("json") && !["four-spaces-flow", "volumes-empty"].contains(&&*name) {
            assert!(is_within(before.lines(), after.lines()), "{name}");
        }
    }
}

/// Whether the second has all of the first, in order.
fn is_within<T: PartialEq>(
    first: impl Iterator<Item = T>,
    mut second: impl Iterator<Item = T>,
) -> bool {
    first.into_iter().all(|item| second.any(|other| other == item))
}

#[test]
fn another_reader_finds_exactly_our_fields_more() {
    for (name, bytes, edited) in accepted() {
        let mut before = opinion::read(&bytes);
        let mut after = opinion::read(&edited.text);
        for flag in &edited.added.flags {
            let word = format!("--{}={}", flag.name, flag.value);
            let words = list_of(container(&mut after, &edited.text), &word);
            take(words, |found| *found == word, &name);
        }
        for mount in &edited.added.mounts {
            let item = json!({"mountPath": OURS, "name": mount.volume, "readOnly": true});
            take(
                list(container(&mut after, &edited.text), "volumeMounts"),
                |found| *found == item,
                &name,
            );
            let volume =
                json!({"name": mount.volume, "hostPath": {"path": OURS, "type": "Directory"}});
            take(list(&mut after["spec"], "volumes"), |found| *found == volume, &name);
        }
        let annotations = after["metadata"]["annotations"].as_object_mut().unwrap();
        assert_eq!(annotations.remove(HASH_KEY), Some(json!(HASH)), "{name}");
        for value in [&mut before, &mut after] {
            tidy(value);
        }
        assert_eq!(before, after, "{name}");
    }
}

fn take(list: &mut Vec<Value>, is_ours: impl Fn(&Value) -> bool, name: &str) {
    let at = list.iter().position(is_ours).unwrap_or_else(|| panic!("{name}: ours is missing"));
    list.remove(at);
}

fn container<'a>(value: &'a mut Value, text: &[u8]) -> &'a mut Value {
    let path = Manifest::read(text).unwrap().container().to_owned();
    value.pointer_mut(&path).unwrap()
}

/// The list that a word is in.
fn list_of<'a>(container: &'a mut Value, word: &str) -> &'a mut Vec<Value> {
    let has = |list: &Value| list.as_array().is_some_and(|list| list.contains(&json!(word)));
    let name = if has(&container["command"]) { "command" } else { "args" };
    list(container, name)
}

fn list<'a>(holder: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    holder[key].as_array_mut().unwrap()
}

/// A list that is empty, one that is null and one that is not there are the same to Kubernetes.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(tidy);
            map.retain(|_, value| {
                !(value.is_null()
                    || value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty))
            });
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[test]
fn what_is_read_of_a_manifest_is_what_stands_there() {
    let read =
        |name: &str| Manifest::read(&fs::read(source_of(&room().join(name))).unwrap()).unwrap();
    let kubeadm = read("kubeadm-1.37");
    assert_eq!(kubeadm.pod(), ("kube-system", "kube-apiserver"));
    assert_eq!(kubeadm.image(), Some("registry.k8s.io/kube-apiserver:v1.37.2"));
    assert_eq!(kubeadm.line_of("/spec/containers/0/image"), Some(42));
    let mode = kubeadm.flag("authorization-mode").unwrap();
    assert_eq!((mode.value, mode.line), (Some("Node,RBAC"), 17));
    assert_eq!(kubeadm.flag("authorization"), None);
    let host = kubeadm.host_path("/etc/kubernetes/pki/ca.crt").unwrap();
    assert_eq!(
        (host.path.as_str(), host.read_only, host.mount_line),
        ("/etc/kubernetes/pki/ca.crt", true, 88)
    );
    assert_eq!(kubeadm.host_path("/etc/kubernetes/pkix"), None);
    assert!(kubeadm.is_covered("/etc/kubernetes/pki/etcd", "/etc/kubernetes/pki/etcd"));
    assert!(!kubeadm.is_covered("/srv/pki", "/etc/kubernetes/pki"));
    assert_eq!(kubeadm.run_as_user(), None);

    assert_eq!(read("run-as-user").run_as_user(), Some(2001));
    let rke2 = read("rke2-1.30");
    assert_eq!(rke2.env("NO_PROXY"), Some(".svc,.cluster.local,10.42.0.0/16,10.43.0.0/16"));
    assert_eq!(rke2.flag("secure-port").unwrap().value, Some("6443"));
    assert_eq!(read("sidecars").container(), "/spec/containers/1");
    let two = read("ours-two-words");
    let ours = two.flag("authentication-token-webhook-config-file").unwrap();
    assert_eq!(ours.value, Some(format!("{OURS}/kubeconfig.yaml").as_str()));
    let underscored = two.flag("authentication-token-webhook-version").unwrap();
    assert_eq!(underscored.value, Some("v1"));
    let kops = read("kops-1.30");
    assert_eq!(kops.flag("log-file"), None, "that is go-runner's");
    assert_eq!(kops.flag("v").unwrap().value, Some("2"));
    assert_eq!(
        kops.host_path("/var/log/kube-apiserver.log").unwrap().path,
        "/var/log/kube-apiserver.log"
    );
    let hyperkube = read("hyperkube-1.13");
    assert_eq!(
        hyperkube.host_path("/etc/kubernetes/secrets/ca.crt").unwrap().path,
        "/etc/kubernetes/bootstrap-secrets/ca.crt"
    );
}

/// Name, bytes and result of each that is edited.
pub(crate) fn accepted() -> Vec<(String, Vec<u8>, Edited)> {
    let read = |folder: PathBuf| -> Option<(String, Vec<u8>, Edited)> {
        let bytes = fs::read(source_of(&folder)).unwrap();
        let edited: Result<Edited, Refusal> =
            Manifest::read(&bytes).and_then(|manifest| manifest.edit(&standard()));
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        edited.ok().map(|edited| (name, bytes, edited))
    };
    let all: Vec<_> = folders().into_iter().filter_map(read).collect();
    assert!(all.len() > 25, "{}", all.len());
    all
}

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests")
}

fn folders() -> Vec<PathBuf> {
    files(&room())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn source_of(folder: &Path) -> PathBuf {
    let named = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == "kube-apiserver");
    files(folder).into_iter().find(named).unwrap()
}
