//! Manifests that nobody wrote: any order of keys, quoting, indentation, comments, line ends,
//! block or brackets, JSON.
//!
//! A manifest is an object, written out by choices that are drawn from bytes; fewer and smaller
//! bytes are a plainer hand, so that what fails shrinks to something to look at.

use iamgate::provision::apiserver::{
    DirectoryType, Edit, Manifest, Policy, WantedFlag, WantedMount,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{is_within, opinion, standard};

struct Hand {
    choices: std::vec::IntoIter<u8>,
    newline: &'static str,
    step: usize,
    list: usize,
    dash: usize,
    noisy: bool,
}

impl Hand {
    fn new(choices: Vec<u8>) -> Self {
        let mut hand = Self {
            choices: choices.into_iter(),
            newline: "\n",
            step: 2,
            list: 0,
            dash: 2,
            noisy: false,
        };
        hand.newline = *hand.pick(&["\n", "\r\n"]);
        hand.step = *hand.pick(&[2, 4, 3]);
        hand.list = *hand.pick(&[0, 2, 4]);
        hand.dash = *hand.pick(&[2, 4]);
        hand.noisy = hand.one_in(2);
        hand
    }

    fn below(&mut self, most: usize) -> usize {
        usize::from(self.choices.next().unwrap_or_default()) % most
    }

    /// Rarely; never once the choices are used up.
    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn manifest(&mut self) -> Value {
        let extra =
            |name: &str| json!({"name": name, "image": "x/y:1", "command": ["/y", "--a=b"]});
        let own =
            *self.pick(&["kube-apiserver", "/usr/local/bin/kube-apiserver", "runner", "hyperkube"]);
        let mut words = match own {
            "runner" => vec!["/go-runner", "--log-file=/l", "/usr/local/bin/kube-apiserver"],
            "hyperkube" => vec!["/hyperkube", "apiserver"],
            other => vec![other],
        };
        let split = self.below(words.len() + 1);
        let flags = ["--secure-port=6443", "--v", "2", "--authorization-mode=Node,RBAC", "-v=1"];
        for _ in 0..self.below(4) {
            words.push(*self.pick(&flags));
        }
        let mut container =
            json!({"name": "kube-apiserver", "image": "r.example/kube-apiserver:v1.31.0"});
        let (command, args) = words.split_at(if split == 0 { words.len() } else { split });
        container["command"] = json!(command);
        if !args.is_empty() {
            container["args"] = json!(args);
        }
        let volume = json!({"name": "certs", "hostPath": {"path": "/etc/kubernetes/pki"}});
        let mount = json!({"name": "certs", "mountPath": "/etc/kubernetes/pki", "readOnly": true});
        let mut spec = json!({"hostNetwork": true});
        match self.below(4) {
            0 => {
                spec["volumes"] = json!([volume]);
                container["volumeMounts"] = json!([mount]);
            }
            1 => {}
            2 => {
                spec["volumes"] = json!([]);
                container["volumeMounts"] = json!([]);
            }
            _ => {
                spec["volumes"] = Value::Null;
                container["volumeMounts"] = Value::Null;
            }
        }
        let mut containers = vec![container];
        if self.one_in(3) {
            containers.insert(0, extra("before"));
        }
        if self.one_in(3) {
            containers.push(extra("behind"));
        }
        spec["containers"] = Value::Array(containers);
        let mut metadata = json!({"name": "kube-apiserver", "namespace": "kube-system"});
        match self.below(4) {
            0 => {}
            1 => metadata["annotations"] = json!({"a/b": "10.0.0.1:6443", "c": "it's \"so\""}),
            2 => metadata["annotations"] = json!({}),
            _ => metadata["annotations"] = Value::Null,
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        self.shuffled(pod)
    }

    fn shuffled(&mut self, value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.into_iter().collect();
                let turn = self.below(entries.len().max(1));
                entries.rotate_left(turn);
                entries.into_iter().map(|(key, value)| (key, self.shuffled(value))).collect()
            }
            Value::Array(items) => items.into_iter().map(|item| self.shuffled(item)).collect(),
            other => other,
        }
    }

    fn yaml(&mut self, value: &Value) -> String {
        let mut lines = Vec::new();
        if self.one_in(4) {
            lines.push("---".to_owned());
        }
        self.entries(value.as_object().unwrap(), 0, &mut lines);
        let mut text = String::new();
        if self.one_in(8) {
            text.push('\u{feff}');
        }
        text.push_str(&lines.join(self.newline));
        if !self.one_in(4) {
            text.push_str(self.newline);
        }
        text
    }

    fn entries(&mut self, map: &Map<String, Value>, column: usize, lines: &mut Vec<String>) {
        for (key, value) in map {
            self.noise(column, lines);
            let key = format!("{}{}:", " ".repeat(column), self.scalar(key, false));
            let in_block = !self.one_in(6) || column == 0;
            match value {
                Value::Object(inner) if in_block && !inner.is_empty() => {
                    lines.push(self.ended(key));
                    self.entries(inner, column + self.step, lines);
                }
                Value::Array(items) if in_block && !items.is_empty() => {
                    lines.push(self.ended(key));
                    self.items(items, column + self.list, lines);
                }
                Value::Null if in_block => lines.push(self.ended(key)),
                other => {
                    let line = format!("{key} {}", self.flow(other));
                    lines.push(self.ended(line));
                }
            }
        }
    }

    fn items(&mut self, items: &[Value], column: usize, lines: &mut Vec<String>) {
        for item in items {
            self.noise(column, lines);
            let dash = format!("{}-{}", " ".repeat(column), " ".repeat(self.dash - 1));
            match item {
                Value::Object(map) if !self.one_in(6) => {
                    if self.one_in(8) {
                        lines.push(dash.trim_end().to_owned());
                        self.entries(map, column + self.dash, lines);
                        continue;
                    }
                    let mut inner = Vec::new();
                    let noisy = std::mem::take(&mut self.noisy);
                    self.entries(map, column + self.dash, &mut inner);
                    self.noisy = noisy;
                    inner[0] = format!("{dash}{}", inner[0].trim_start());
                    lines.extend(inner);
                }
                other => {
                    let line = format!("{dash}{}", self.flow(other));
                    lines.push(self.ended(line));
                }
            }
        }
    }

    fn flow(&mut self, value: &Value) -> String {
        let (pad, comma) = (*self.pick(&["", " "]), *self.pick(&[", ", " , ", ",  "]));
        match value {
            Value::Object(map) => {
                let entries = map.iter().map(|(key, value)| {
                    format!("{}: {}", self.scalar(key, true), self.flow(value))
                });
                format!("{{{pad}{}{pad}}}", entries.collect::<Vec<_>>().join(comma))
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
                format!("[{pad}{}{pad}]", items.join(comma))
            }
            Value::String(text) => self.scalar(text, true),
            Value::Null => (*self.pick(&["null", "~"])).to_owned(),
            other => other.to_string(),
        }
    }

    fn scalar(&mut self, text: &str, in_flow: bool) -> String {
        let plain = text.parse::<f64>().is_err()
            && !text.contains(['"', '\'', '#'])
            && !(in_flow && text.contains(','));
        match self.below(3) {
            0 if plain => text.to_owned(),
            0 | 1 => Value::from(text).to_string(),
            _ => format!("'{}'", text.replace('\'', "''")),
        }
    }

    /// A line, with a comment behind it perhaps.
    fn ended(&mut self, line: String) -> String {
        if self.noisy && self.one_in(6) { line + "  # so: - it, is" } else { line }
    }

    /// Comments and blank lines before a line.
    fn noise(&mut self, column: usize, lines: &mut Vec<String>) {
        if self.noisy && self.one_in(6) {
            lines.push(String::new());
        }
        if self.noisy && self.one_in(6) {
            let column = *self.pick(&[column, 0, column + 1]);
            lines.push(format!("{}# - --secure-port: not", " ".repeat(column)));
        }
    }

    fn json(&mut self, value: &Value) -> String {
        let indent = self.pick(&["", "  ", "\t", "    "]).as_bytes();
        if indent.is_empty() {
            return value.to_string();
        }
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        serde::Serialize::serialize(value, &mut serializer).unwrap();
        String::from_utf8(bytes).unwrap().replace('\n', self.newline)
    }
}

/// The standard edit and an audit log: two more flags, one of them `Keep`, and two more mounts.
fn wanted(audit: bool) -> Edit {
    let mut edit = standard();
    if audit {
        let flag = |name: &str, value: &str, policy| WantedFlag {
            name: name.to_owned(),
            value: value.to_owned(),
            policy,
        };
        edit.flags.push(flag("audit-policy-file", "/etc/audit/policy.yaml", Policy::Must));
        edit.flags.push(flag("audit-log-path", "/var/log/audit/log", Policy::Keep));
        for (volume, path, read_only) in
            [("audit-policy", "/etc/audit", true), ("audit-log", "/var/log/audit", false)]
        {
            edit.mounts.push(WantedMount {
                volume: volume.to_owned(),
                host_path: path.to_owned(),
                mount_path: path.to_owned(),
                read_only,
                host_type: DirectoryType::DirectoryOrCreate,
            });
        }
    }
    edit
}

fn holds(choices: Vec<u8>) -> Result<(), TestCaseError> {
    let mut hand = Hand::new(choices);
    let object = hand.manifest();
    let text = if hand.one_in(4) { hand.json(&object) } else { hand.yaml(&object) };
    prop_assert_eq!(opinion::read(text.as_bytes()), object, "the test's own hand:\n{}", text);
    let wanted = wanted(hand.one_in(2));
    let told = |refusal| TestCaseError::fail(format!("{refusal:?}\n{text}"));

    let manifest = Manifest::read(text.as_bytes()).map_err(told)?;
    let edited = manifest.edit(&wanted).map_err(told)?;
    let after = String::from_utf8(edited.text.clone()).unwrap();
    prop_assert!(edited.changed);

    // It says what is wanted.
    let again = Manifest::read(&edited.text).map_err(told)?;
    for flag in &wanted.flags {
        let found = again.occurrences(&flag.name);
        prop_assert_eq!(found.len(), 1, "{}", &after);
        prop_assert_eq!(found[0].value, Some(flag.value.as_str()));
    }
    for mount in &wanted.mounts {
        prop_assert!(again.is_covered(&mount.host_path, &mount.mount_path), "{}", &after);
        let host = again.host_path(&mount.mount_path).unwrap();
        prop_assert_eq!(host.read_only, mount.read_only);
    }
    for annotation in &wanted.annotations {
        prop_assert_eq!(again.annotation(&annotation.key), Some(annotation.value.as_str()));
    }

    // Nothing of before is gone, nor in another order; only a `null` makes room.
    let no_null = |text: &str| -> Vec<char> {
        text.replace("null", "").replace(['~', ' '], "").chars().collect()
    };
    let (was, is) = (no_null(&text), no_null(&after));
    prop_assert!(is_within(was.iter(), is.iter()), "{}\n{}", &text, &after);
    prop_assert_eq!(after.contains("\r\n"), text.contains("\r\n"));
    prop_assert_eq!(after.ends_with('\n'), text.ends_with('\n'));
    let lone = after.replace("\r\n", "").contains('\n');
    prop_assert!(!(text.contains("\r\n") && lone), "line ends are mixed:\n{:?}", &after);

    // Once is enough, and there is a way back.
    let second = again.edit(&wanted).map_err(told)?;
    prop_assert!(!second.changed && second.added.is_empty(), "{}", &after);
    prop_assert_eq!(&second.text, &edited.text);
    let removed = again.remove(&edited.added).map_err(told)?;
    prop_assert_eq!(String::from_utf8(removed.text).unwrap(), text, "by way of\n{}", &after);
    prop_assert_eq!(removed.warnings, vec![]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_manifest_is_edited_once_only_by_our_lines_and_back(
        choices in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        holds(choices)?;
    }
}
