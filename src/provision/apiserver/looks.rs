//! What a file of the manifests directory is to kubelet.
//!
//! kubelet takes every file there without a leading dot for a pod, backups too, and reads it less
//! strictly than we do: anchors, duplicate keys and a second document do not stop it.

use serde_json::Value;

use super::MOST_BYTES;
use super::program::{Program, is_image, is_reference, started};

/// A pod, in what matters beside our own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodFacts {
    /// `default` where none is said, as kubelet has it.
    pub namespace: String,
    /// Empty where none is said.
    pub name: String,
    /// Whether a container runs kube-apiserver, through a shell too.
    pub runs_apiserver: bool,
    /// Whether a container runs aws-iam-authenticator.
    pub runs_reference: bool,
    /// Whether it is our own, by its name.
    pub is_ours: bool,
}

/// What kubelet makes of a static pod's missing namespace.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// The name of our pod.
const OURS: &str = "iamgate";

/// The pod that a file holds, whatever the file's name. `None` if kubelet would run none.
pub fn looks(bytes: &[u8]) -> Option<PodFacts> {
    if bytes.len() > MOST_BYTES {
        return None;
    }
    let document = decode(bytes)?;
    if document.get("kind").and_then(Value::as_str) != Some("Pod") {
        return None;
    }
    let metadata = |key| document.pointer("/metadata").and_then(|all| all.get(key)?.as_str());
    let name = metadata("name").unwrap_or_default();
    let mut facts = PodFacts {
        namespace: metadata("namespace")
            .filter(|n| !n.is_empty())
            .unwrap_or(DEFAULT_NAMESPACE)
            .into(),
        name: name.into(),
        runs_apiserver: false,
        runs_reference: false,
        is_ours: name == OURS,
    };
    for container in document.pointer("/spec/containers").and_then(Value::as_array)? {
        let words = words(container);
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        facts.runs_apiserver |= started(&words) != Program::Other || is_image(image);
        facts.runs_reference |= is_reference(&words, image);
    }
    Some(facts)
}

/// The first document, of duplicate keys the last.
fn decode(bytes: &[u8]) -> Option<Value> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    let text = str::from_utf8(bytes).ok()?;
    serde_saphyr::from_str_with_options(first_document(text), options).ok()
}

/// As far as the line that begins a second document or ends the first: at the beginning of a line,
/// `---` and `...` are never anything else (YAML 1.2.2, 9.1).
fn first_document(text: &str) -> &str {
    let marks = |line: &str, mark: &str| {
        line.strip_prefix(mark)
            .is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with(' '))
    };
    let (mut end, mut begun) = (0, false);
    for line in text.split_inclusive('\n') {
        if begun && (marks(line, "---") || marks(line, "...")) {
            return text.get(..end).unwrap_or(text);
        }
        let nothing = line.trim().is_empty() || line.starts_with(['#', '%']);
        begun |= marks(line, "---") || !nothing;
        end += line.len();
    }
    text
}

fn words(container: &Value) -> Vec<&str> {
    let lists = ["command", "args"].into_iter();
    let lists = lists.filter_map(|name| container.get(name).and_then(Value::as_array));
    lists.flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Option<PodFacts> {
        looks(
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {spec}\n").as_bytes(),
        )
    }

    #[test]
    fn a_pod_is_told_by_what_it_runs() {
        for (spec, apiserver, reference) in [
            ("{containers: [{command: [kube-apiserver, --a]}]}", true, false),
            ("{containers: [{command: [sh, -c, exec kube-apiserver --a]}]}", true, false),
            ("{containers: [{image: 'registry.k8s.io/kube-apiserver:v1.31.0'}]}", true, false),
            ("{containers: [{command: [/hyperkube], args: [apiserver]}]}", true, false),
            ("{containers: [{command: [x]}, {command: [kube-apiserver]}]}", true, false),
            ("{containers: [{image: 'x/aws-iam-authenticator:v0.7'}]}", false, true),
            ("{containers: [{command: [kube-scheduler]}]}", false, false),
            ("{containers: []}", false, false),
        ] {
            let facts = pod(spec).unwrap();
            assert_eq!(
                (facts.runs_apiserver, facts.runs_reference),
                (apiserver, reference),
                "{spec}"
            );
        }
    }

    #[test]
    fn names_are_those_that_kubelet_keys_pods_by() {
        let read =
            |text: &str| looks(text.as_bytes()).map(|pod| (pod.namespace, pod.name, pod.is_ours));
        let tail = "kind: Pod\nspec: {containers: [{name: x}]}\n";
        let told = |namespace: &str, name: &str, ours| Some((namespace.into(), name.into(), ours));
        assert_eq!(read(&format!("{tail}metadata: {{name: a}}")), told("default", "a", false));
        assert_eq!(
            read(&format!("{tail}metadata: {{name: iamgate, namespace: kube-system}}")),
            told("kube-system", "iamgate", true)
        );
        assert_eq!(read(tail), told("default", "", false));
        assert_eq!(
            read(r#"{"kind": "Pod", "metadata": {"name": "j"}, "spec": {"containers": []}}"#),
            told("default", "j", false)
        );
    }

    #[test]
    fn what_kubelet_reads_and_we_would_not_is_a_pod_all_the_same() {
        let tail = "spec: {containers: [{command: [kube-apiserver]}]}\n";
        for text in [
            format!("kind: &k Pod\nmetadata: {{name: a, labels: {{x: *k}}}}\n{tail}"),
            format!("kind: List\nkind: Pod\nmetadata: {{name: a}}\n{tail}"),
            format!("kind: Pod\nmetadata: {{name: a}}\n{tail}---\nkind: [\n"),
            format!("---\nkind: Pod\nmetadata: {{name: a}}\n{tail}---\nkind: Service\n"),
            format!("\u{feff}kind: Pod\nmetadata: {{name: a}}\n{tail}"),
        ] {
            assert!(looks(text.as_bytes()).is_some_and(|pod| pod.runs_apiserver), "{text}");
        }
    }

    #[test]
    fn what_is_no_pod_is_nothing() {
        for bytes in [
            &b""[..],
            b"\xff\xfe",
            b"kind: [",
            b"kind: Pod",
            b"- a",
            b"kind: List\nitems: []",
            b"kind: Service\nspec: {containers: []}",
            b"kind: Pod\nspec: {containers: 1}",
        ] {
            assert_eq!(looks(bytes), None, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
