//! Paths of the host, as its own processes see them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// An absolute path without `.` and `..`, in UTF-8, so that joining it to a root cannot leave it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodePath(Box<str>);

/// Why some text is no [`NodePath`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected an absolute path without '.' and '..' of at most {max} bytes, found {0:?}", max = NodePath::MAX_LEN)]
pub struct NodePathError(Box<str>);

impl NodePath {
    /// The longest path that Linux takes, in bytes.
    pub const MAX_LEN: usize = 4096;

    /// The root directory itself.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The path as text, beginning with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the root down.
    pub fn relative(&self) -> &Path {
        Path::new(self.0.trim_start_matches('/'))
    }

    /// The last part; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// The directory that it is in; the root is in itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            Some(("", _)) | None => Self::root(),
            Some((parent, _)) => Self(parent.into()),
        }
    }

    /// `name`, or a path without a leading `/`, below this one.
    ///
    /// # Errors
    /// The result would be no such path.
    pub fn join(&self, name: &str) -> Result<Self, NodePathError> {
        let base = self.0.trim_end_matches('/');
        format!("{base}/{name}").parse()
    }

    /// Itself and all directories above it, up to the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        let mut next = Some(self.clone());
        std::iter::from_fn(move || {
            let this = next.take()?;
            if this.0.len() > 1 {
                next = Some(this.parent());
            }
            Some(this)
        })
    }

    /// Whether it is `dir` or below it.
    pub fn is_within(&self, dir: &Self) -> bool {
        let rest = self.0.strip_prefix(&*dir.0);
        &*dir.0 == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for NodePath {
    type Err = NodePathError;

    /// Doubled and final slashes are taken out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || NodePathError(text.chars().take(QUOTED).collect());
        if !text.starts_with('/') || text.len() > Self::MAX_LEN || text.contains('\0') {
            return Err(refused());
        }
        let mut plain = String::with_capacity(text.len());
        for part in text.split('/').filter(|part| !part.is_empty()) {
            if matches!(part, "." | "..") {
                return Err(refused());
            }
            plain.push('/');
            plain.push_str(part);
        }
        Ok(if plain.is_empty() { Self::root() } else { Self(plain.into()) })
    }
}

impl TryFrom<String> for NodePath {
    type Error = NodePathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for NodePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for NodePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Enough of a wrong path to know it by.
const QUOTED: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_are_taken_and_in_one_spelling() {
        for (text, path) in [
            ("/etc//kubernetes/", "/etc/kubernetes"),
            ("/", "/"),
            ("//", "/"),
            ("/a.b/..c", "/a.b/..c"),
        ] {
            assert_eq!(text.parse::<NodePath>().unwrap().as_str(), path, "{text}");
        }
        for text in ["", "etc", "./etc", "/etc/../root", "/etc/.", "/a\0b"] {
            assert_eq!(text.parse::<NodePath>(), Err(NodePathError(text.into())), "{text}");
        }
    }

    #[test]
    fn parents_names_and_ancestors() {
        let path: NodePath = "/etc/kubernetes/manifests".parse().unwrap();
        assert_eq!((path.name(), path.parent().as_str()), ("manifests", "/etc/kubernetes"));
        let all: Vec<_> = path.ancestors().map(|path| path.to_string()).collect();
        assert_eq!(all, ["/etc/kubernetes/manifests", "/etc/kubernetes", "/etc", "/"]);
        assert_eq!(NodePath::root().parent(), NodePath::root());
    }

    #[test]
    fn within_means_whole_parts() {
        let dir: NodePath = "/var/lib/rancher".parse().unwrap();
        for (path, within) in [
            ("/var/lib/rancher", true),
            ("/var/lib/rancher/k3s", true),
            ("/var/lib/rancher2", false),
            ("/var/lib", false),
        ] {
            assert_eq!(path.parse::<NodePath>().unwrap().is_within(&dir), within, "{path}");
        }
        assert!(dir.is_within(&NodePath::root()));
    }
}
