//! Which path of the host a path of the container is.

use super::container::Container;
use super::tree::Node;

/// Where on the host a path of the container is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPath {
    /// On the host.
    pub path: String,
    /// Whether the container may only read there.
    pub read_only: bool,
    /// The line of the mount, from 1.
    pub mount_line: usize,
}

/// A mount of the container.
#[derive(Debug)]
pub(super) struct Mounted {
    /// In the container, in one spelling.
    pub(super) mount_path: String,
    /// What it shows, if that is a path of the host that we can tell.
    pub(super) host_path: Option<String>,
    pub(super) volume: String,
    pub(super) read_only: bool,
    pub(super) line: usize,
}

impl Mounted {
    /// The host path, or the volume's name where there is none.
    pub(super) fn shows(&self) -> &str {
        self.host_path.as_deref().unwrap_or(&self.volume)
    }

    /// Where on the host a path inside the mount is.
    pub(super) fn host_path_of(&self, container_path: &str) -> Option<String> {
        Some(join(self.host_path.as_deref()?, within(container_path, &self.mount_path)?))
    }
}

/// The mounts of the API server's container.
pub(super) fn all(root: &Node, container: &Container) -> Vec<Mounted> {
    let volumes = root.at("/spec/volumes").map_or(&[][..], Node::items);
    let list = root.at(&format!("{}/volumeMounts", container.path));
    let mounted = |node: &Node| {
        let volume = node.key_text("name").unwrap_or_default().to_owned();
        let source = volumes.iter().find(|item| item.key_text("name") == Some(&volume));
        let host = source.and_then(|item| item.key("hostPath")?.key_text("path"));
        // An expression takes values of the container's environment, which we do not have.
        let known = node.key("subPathExpr").and_then(Node::text).is_none();
        let host = host.filter(|_| known).and_then(plain);
        let host_path = match node.key_text("subPath") {
            None | Some("") => host,
            Some(below) => {
                host.and_then(|host| plain(&format!("/{below}")).map(|below| join(&host, &below)))
            }
        };
        Some(Mounted {
            mount_path: plain(node.key_text("mountPath")?)?,
            host_path,
            volume,
            read_only: node.key("readOnly").is_some_and(Node::is_true),
            line: node.line,
        })
    };
    list.map_or(&[][..], Node::items).iter().filter_map(mounted).collect()
}

/// The mount that a path of the container is in: the deepest that holds it.
pub(super) fn holder<'a>(mounts: &'a [Mounted], container_path: &str) -> Option<&'a Mounted> {
    let holding = mounts.iter().filter(|m| within(container_path, &m.mount_path).is_some());
    holding.max_by_key(|mount| mount.mount_path.trim_end_matches('/').len())
}

pub(super) fn host_path(root: &Node, container: &Container, path: &str) -> Option<HostPath> {
    let mounts = all(root, container);
    let path = plain(path)?;
    let mount = holder(&mounts, &path)?;
    Some(HostPath {
        path: mount.host_path_of(&path)?,
        read_only: mount.read_only,
        mount_line: mount.line,
    })
}

pub(super) fn is_covered(root: &Node, container: &Container, host: &str, path: &str) -> bool {
    let mounts = all(root, container);
    let (Some(host), Some(path)) = (plain(host), plain(path)) else { return false };
    let shown = holder(&mounts, &path).and_then(|mount| mount.host_path_of(&path));
    shown.as_ref() == Some(&host) && inside(&mounts, &path).next().is_none()
}

/// The mounts strictly below a path of the container.
pub(super) fn inside<'a>(
    mounts: &'a [Mounted],
    path: &'a str,
) -> impl Iterator<Item = &'a Mounted> {
    let below = |mount: &&Mounted| within(&mount.mount_path, path).is_some_and(|rest| rest != "/");
    mounts.iter().filter(below)
}

/// An absolute path in one spelling: no empty parts, no `.`, no end slash. `None` for others, and
/// for those with `..`.
pub(super) fn plain(path: &str) -> Option<String> {
    let mut plain = String::new();
    for part in path.strip_prefix('/')?.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return None;
        }
        plain.push('/');
        plain.push_str(part);
    }
    Some(if plain.is_empty() { "/".to_owned() } else { plain })
}

/// The rest of a path below a directory, as `/rest`; `/` if they are the same.
pub(super) fn within<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    match path.strip_prefix(dir.trim_end_matches('/'))? {
        "" => Some("/"),
        rest => rest.starts_with('/').then_some(rest),
    }
}

fn join(dir: &str, rest: &str) -> String {
    let joined = format!("{}{rest}", dir.trim_end_matches('/'));
    let short = joined.trim_end_matches('/');
    if short.is_empty() { "/".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling_and_parts_are_whole() {
        assert_eq!(plain("/a//b/./c/"), Some("/a/b/c".to_owned()));
        assert_eq!(plain("/"), Some("/".to_owned()));
        assert_eq!(plain("a"), None);
        assert_eq!(plain("/a/../b"), None);
        assert_eq!(within("/a/b", "/a"), Some("/b"));
        assert_eq!(within("/a", "/a"), Some("/"));
        assert_eq!(within("/ab", "/a"), None);
        assert_eq!(within("/a", "/"), Some("/a"));
        assert_eq!(within("/", "/"), Some("/"));
        assert_eq!(join("/", "/"), "/");
        assert_eq!(join("/a", "/"), "/a");
        assert_eq!(join("/", "/a"), "/a");
    }
}
