//! What a run did, or would do: for people, and as one JSON object for machines.
//!
//! The object is versioned (`iamgate/v1`) and has a JSON Schema. No secret is in it: of a key, its
//! length is told.

mod schema;
mod text;

use std::path::Path;

use serde::Serialize;

pub use self::schema::schema;
use super::host::{Host, NodePath};
use super::plan::{Action, Change, Content, Found, sha256};
use crate::files::Owner;

/// What a run did, or would do.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Always `iamgate/v1`.
    pub schema: &'static str,
    /// Whether the host is, or would be, another one than before.
    pub changed: bool,
    /// Whether the run did not do what it was asked to.
    pub failed: bool,
    /// What happened, in a sentence.
    pub msg: String,
    /// Whether nothing was done because of `--check`.
    pub check: bool,
    /// The root directory that paths are below.
    pub root: String,
    /// Identifies cluster ID and mappings: two hosts of a cluster have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What changed, in the order in which it did.
    pub changes: Vec<Told>,
    /// The same as texts before and after; only with `--diff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<Vec<Diff>>,
    /// What has to start again for the changes to count: `kube-apiserver`, `iamgate`.
    pub restart_required: Vec<&'static str>,
    /// What whoever runs the host should know.
    pub warnings: Vec<String>,
    /// Why the host was left as it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// What the installer has to give to the API server, with `--apiserver later`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installer: Option<Installer>,
    /// The last lines of the log of what did not start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// One change.
#[derive(Debug, Serialize)]
pub struct Told {
    /// Where.
    pub path: NodePath,
    /// What.
    pub action: Action,
    /// The mode afterwards, in octal, as `0640`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The user afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// The group afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// SHA-256 of the content afterwards; not of keys, and not of certificates, which differ from
    /// run to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether the content is withheld.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Where to, of what is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<NodePath>,
}

/// A change as texts. Of secrets and programs, what may be told.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// What was there.
    pub before: String,
    /// What is there.
    pub after: String,
    /// Which file, and its mode and owner.
    pub before_header: String,
    /// The same afterwards.
    pub after_header: String,
}

/// Why the host was left as it was.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// The file that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<NodePath>,
    /// Its line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub cure: String,
}

/// What the installer has to give to the API server.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Installer {
    /// Flags without their dashes, as kubeadm's `extraArgs` has them.
    pub flags: Vec<Flag>,
    /// Volumes of directories of the host, as kubeadm's `extraVolumes` has them.
    pub volumes: Vec<Volume>,
}

/// One flag.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Flag {
    pub name: String,
    pub value: String,
}

/// One directory of the host, mounted.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are kubeadm's")]
pub struct Volume {
    pub name: String,
    pub host_path: String,
    pub mount_path: String,
    pub read_only: bool,
    pub path_type: &'static str,
}

impl Report {
    /// One about `host`, with nothing in it yet.
    pub fn new(host: &Host, check: bool) -> Self {
        Self::empty(host.root(), check)
    }

    /// The same, where there may be no host.
    pub fn empty(root: &Path, check: bool) -> Self {
        let root = root.display().to_string();
        Self { schema: "iamgate/v1", check, root, ..Self::default() }
    }

    /// Adds what `changes` are, and their texts if there is room for those.
    pub fn tell<'a>(&mut self, changes: impl Iterator<Item = &'a Change>, owned: bool) {
        for change in changes {
            self.changed = true;
            self.changes.push(Told::of(change));
            // A directory that comes or goes has no text.
            let of_directory = matches!(change.action, Action::Mkdir | Action::Rmdir);
            if let Some(diff) = self.diff.as_mut().filter(|_| !of_directory) {
                diff.push(Diff::of(change, owned));
            }
        }
    }

    /// Takes back what [`Self::tell`] added.
    pub fn untell(&mut self) {
        self.changed = false;
        self.changes.clear();
        if let Some(diff) = &mut self.diff {
            diff.clear();
        }
        self.restart_required.clear();
    }

    /// Adds what the run after this one did.
    pub fn follow(&mut self, next: Self) {
        self.changed |= next.changed;
        self.failed |= next.failed;
        self.msg = match next.changed || next.failed {
            true => format!("{}; then {}", self.msg, next.msg),
            false => std::mem::take(&mut self.msg),
        };
        self.changes.extend(next.changes);
        if let (Some(diff), Some(next)) = (&mut self.diff, next.diff) {
            diff.extend(next);
        }
        // What the first one said is still to come has come.
        self.warnings = next.warnings;
        self.restart_required.extend(next.restart_required);
        self.restart_required.sort_unstable();
        self.restart_required.dedup();
        self.refusals.extend(next.refusals);
        self.log.extend(next.log);
    }

    /// The object, in lines.
    pub fn json(&self) -> String {
        // Keys are strings and no value can fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl Told {
    fn of(change: &Change) -> Self {
        let owner = change.with.as_ref().and_then(|with| with.owner);
        let sha256 = match &change.content {
            Some(content @ (Content::Text(_) | Content::Program(_))) => {
                Some(sha256(content.bytes()))
            }
            Some(Content::Made { .. } | Content::Secret(_)) | None => None,
        };
        Self {
            path: change.path.clone(),
            action: change.action,
            mode: change.with.as_ref().map(|with| format!("{:04o}", with.mode)),
            owner: owner.map(|owner| owner.uid),
            group: owner.map(|owner| owner.gid),
            sha256,
            secret: matches!(change.content, Some(Content::Secret(_))),
            to: change.to.clone(),
        }
    }
}

impl Diff {
    fn of(change: &Change, owned: bool) -> Self {
        let path = &change.path;
        let (before_header, before) = match &change.before {
            None => ("/dev/null".to_owned(), String::new()),
            Some(found) => {
                let entry = &found.entry;
                let header = header(path, "current", entry.mode, Some(entry.owner), owned);
                (header, told_before(found, change.content.as_ref()))
            }
        };
        let (after_header, after) = match (&change.with, &change.content) {
            (None, _) => match &change.to {
                Some(to) => (to.to_string(), before.clone()),
                None => ("/dev/null".to_owned(), String::new()),
            },
            (Some(with), content) => {
                let header = header(path, "wanted", with.mode, with.owner, owned);
                (header, content.as_ref().map_or_else(|| before.clone(), told))
            }
        };
        Self { before, after, before_header, after_header }
    }

    /// As `diff -u` writes it.
    pub fn unified(&self) -> String {
        let Self { before, after, before_header, after_header } = self;
        let patch = diffy::create_patch(before, after).to_string();
        // Its own two headers name no file.
        let body = patch.splitn(3, '\n').nth(2).unwrap_or_default();
        format!("--- {before_header}\n+++ {after_header}\n{body}")
    }
}

fn header(path: &NodePath, what: &str, mode: u32, owner: Option<Owner>, owned: bool) -> String {
    match owner.filter(|_| owned) {
        Some(Owner { uid, gid }) => format!("{path} ({what}) mode={mode:04o} owner={uid}:{gid}"),
        None => format!("{path} ({what}) mode={mode:04o}"),
    }
}

fn told(content: &Content) -> String {
    match content {
        Content::Text(bytes) => shown(bytes),
        Content::Made { meaning, .. } => meaning.clone(),
        Content::Secret(text) => withheld(text.expose().len()),
        Content::Program(bytes) => format!("a program of {} bytes\n", bytes.len()),
    }
}

/// What was there, told the way that its successor is; where nothing follows, no more than text that
/// is no secret.
fn told_before(found: &Found, after: Option<&Content>) -> String {
    let bytes = found.bytes.as_deref().unwrap_or_default();
    match after {
        Some(Content::Text(_)) => shown(bytes),
        Some(Content::Made { .. }) => format!("a certificate of {} bytes\n", bytes.len()),
        Some(Content::Secret(_)) => withheld(bytes.len()),
        Some(Content::Program(_)) => format!("a program of {} bytes\n", bytes.len()),
        None if found.bytes.is_some() => format!("{} bytes\n", bytes.len()),
        None => String::new(),
    }
}

/// Text without the lines that hold a password in a URL, as proxy settings and flags do.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let credentials = |line: &str| {
        line.split("://").skip(1).any(|rest| {
            let authority = rest.split(['/', '?', '#', '"', '\'', ' ']).next().unwrap_or_default();
            authority.contains('@')
        })
    };
    let lines = text.split_inclusive('\n');
    lines
        .map(|line| if credentials(line) { "(a line with credentials, withheld)\n" } else { line })
        .collect()
}

fn withheld(length: usize) -> String {
    format!("({length} bytes, withheld)\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_password_in_a_url_are_withheld_and_others_are_not() {
        for (line, kept) in [
            ("value: http://user:pw@proxy:3128", false),
            ("- --etcd-servers=https://root:pw@etcd:2379", false),
            ("value: \"http://token@proxy\"", false),
            ("value: http://proxy:3128/a@b", true),
            ("server: https://127.0.0.1:21362/authenticate", true),
            ("username: ann@example.com", true),
        ] {
            let told = shown(format!("a\n{line}\nb\n").as_bytes());
            let wanted = if kept { line } else { "(a line with credentials, withheld)" };
            assert_eq!(told, format!("a\n{wanted}\nb\n"));
        }
    }
}
