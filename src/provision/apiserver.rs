//! The kube-apiserver static pod manifest, read and edited as text.
//!
//! [`Manifest::read`] finds the one container that runs kube-apiserver and tells what it is told:
//! flags, image, mounts. [`Manifest::edit`] adds flags, directory mounts and annotations, all or
//! nothing; [`Manifest::remove`] takes out what an edit added. Only our lines change: comments,
//! order, quoting, indentation and line ends of the rest stay byte for byte. Every text that is
//! handed out is proved before: read again by another reader, it is the object of before with
//! exactly our change. [`looks`] says what any file of the manifests directory is to kubelet.
//!
//! Bytes in, bytes or a refusal out: no files, and no opinion on what the flags should be. What is
//! not plain YAML or JSON, or starts kube-apiserver through a shell, is refused and not guessed at.

mod added;
mod container;
mod draft;
mod edit;
mod flags;
mod looks;
mod mounts;
mod print;
mod program;
mod proof;
mod refusal;
mod remove;
mod splice;
mod tree;
mod wanted;

pub use added::{Added, AddedAnnotation, AddedFlag, AddedMount, Parent, Parents, Previous};
pub use edit::Edited;
pub use flags::Flag;
pub use looks::{PodFacts, looks};
pub use mounts::HostPath;
pub use refusal::{Refusal, Shown};
pub use wanted::{DirectoryType, Edit, Policy, WantedAnnotation, WantedFlag, WantedMount, Warning};

use container::Container;
use tree::Node;

/// The most bytes that kubelet reads of a file (`pkg/kubelet/config/file.go`).
pub const MOST_BYTES: usize = 10 * 1024 * 1024;

/// A manifest whose kube-apiserver container was found.
#[derive(Debug)]
pub struct Manifest {
    text: String,
    root: Node,
    container: Container,
}

impl Manifest {
    /// Reads a static pod manifest, YAML or JSON, with one container that runs kube-apiserver.
    ///
    /// # Errors
    /// It is none, or is not written plainly enough to be edited; with line and cure.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MOST_BYTES {
            return Err(Refusal::TooLarge { size: bytes.len(), most: MOST_BYTES });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            Refusal::NotUtf8 { line: 1 + good.iter().filter(|byte| **byte == b'\n').count() }
        })?;
        let manifest = Self::of(text.to_owned())?;
        proof::decode(text)?;
        Ok(manifest)
    }

    fn of(text: String) -> Result<Self, Refusal> {
        let root = Node::read(&text)?;
        let container = Container::locate(&root)?;
        Ok(Self { text, root, container })
    }

    /// A flag as the API server reads it, without dashes: the last of them, if it is there at all.
    pub fn flag(&self, name: &str) -> Option<Flag<'_>> {
        flags::all(&self.container, name).pop()
    }

    /// Every place where a flag is, in order. More than one is a duplicate.
    pub fn occurrences(&self, name: &str) -> Vec<Flag<'_>> {
        flags::all(&self.container, name)
    }

    /// The image of the container.
    pub fn image(&self) -> Option<&str> {
        self.node().and_then(|container| container.key_text("image"))
    }

    /// The literal value of an environment variable of the container.
    pub fn env(&self, name: &str) -> Option<&str> {
        let all = self.node()?.key("env")?.items();
        let named = all.iter().rev().find(|item| item.key_text("name") == Some(name))?;
        named.key_text("value")
    }

    /// The user id that the container is told to run as, its own setting before the pod's.
    pub fn run_as_user(&self) -> Option<u32> {
        let spec = self.root.key("spec");
        [self.node(), spec].into_iter().flatten().find_map(|holder| {
            holder.key("securityContext")?.key_text("runAsUser")?.parse::<u32>().ok()
        })
    }

    /// The namespace and name of the pod.
    pub fn pod(&self) -> (&str, &str) {
        let field = |name| self.root.key("metadata").and_then(|meta| meta.key_text(name));
        (field("namespace").unwrap_or(looks::DEFAULT_NAMESPACE), field("name").unwrap_or_default())
    }

    /// An annotation of the pod.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.root.key("metadata")?.key("annotations")?.key_text(key)
    }

    /// Where on the host a path of the container is. `None` if it is not mounted from there.
    pub fn host_path(&self, container_path: &str) -> Option<HostPath> {
        mounts::host_path(&self.root, &self.container, container_path)
    }

    /// Whether `container_dir` shows exactly `host_dir`, through a mount of it or of a parent, and
    /// nothing else is mounted inside.
    pub fn is_covered(&self, host_dir: &str, container_dir: &str) -> bool {
        mounts::is_covered(&self.root, &self.container, host_dir, container_dir)
    }

    /// The line, from 1, of what is at a path such as `/spec/containers/0/image`.
    pub fn line_of(&self, path: &str) -> Option<usize> {
        self.root.at(path).map(|node| node.line)
    }

    /// The path of the API server's container, as `/spec/containers/0`, for [`Self::line_of`].
    pub fn container(&self) -> &str {
        &self.container.path
    }

    fn node(&self) -> Option<&Node> {
        self.root.at(&self.container.path)
    }
}

#[cfg(test)]
mod tests;
