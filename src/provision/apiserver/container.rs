//! The pod's container that runs kube-apiserver, and its words.

use super::program::{Program, is_image, started};
use super::refusal::{Refusal, Shown};
use super::tree::{Kind, Node};

/// Where the container is, and what it is started with.
#[derive(Debug)]
pub(super) struct Container {
    /// As `/spec/containers/0`.
    pub(super) path: String,
    /// Those of `command` and of `args`.
    pub(super) words: Vec<Word>,
    /// The place of the API server's own word.
    pub(super) own: usize,
}

#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) list: &'static str,
    /// Its place in its list.
    pub(super) index: usize,
}

/// In the order in which the runtime puts them together.
const LISTS: [&str; 2] = ["command", "args"];

impl Container {
    /// Finds it in a manifest.
    pub(super) fn locate(root: &Node) -> Result<Self, Refusal> {
        let kind = root.key("kind").unwrap_or(root);
        if kind.text() != Some("Pod") {
            let shown = Shown::new(kind.text().unwrap_or_default());
            return Err(Refusal::NotAPod { line: kind.line, kind: shown });
        }
        must_be(root, "/metadata", "a map", |node| matches!(node.kind, Kind::Map { .. }))?;
        must_be(root, "/spec", "a map", |node| matches!(node.kind, Kind::Map { .. }))?;
        let list = must_be(root, "/spec/containers", "a list of containers", |node| {
            !node.items().is_empty()
        })?;
        let mut found: Option<Self> = None;
        for (at, node) in list.items().iter().enumerate() {
            let words = words(node);
            let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            let Program::ApiServer { own } = started(&texts) else { continue };
            if let Some(first) = &found {
                let first = root.at(&first.path).map_or(0, |node| node.line);
                return Err(Refusal::Candidates { line: node.line, first });
            }
            found = Some(Self { path: format!("/spec/containers/{at}"), words, own });
        }
        let found = found.ok_or_else(|| why_none(list))?;
        for name in LISTS {
            found.must_be_texts(root, name)?;
        }
        Ok(found)
    }

    /// The words behind the API server's own.
    pub(super) fn flags(&self) -> &[Word] {
        self.words.get(self.own + 1..).unwrap_or_default()
    }

    fn must_be_texts(&self, root: &Node, name: &str) -> Result<(), Refusal> {
        let path = format!("{}/{name}", self.path);
        let Some(node) = root.at(&path) else { return Ok(()) };
        let fits = match &node.kind {
            Kind::Null => true,
            Kind::List { items, .. } => items.iter().all(|item| item.text().is_some()),
            Kind::Text { .. } | Kind::Map { .. } => false,
        };
        if fits {
            return Ok(());
        }
        Err(Refusal::Shape { line: node.line, path: path.into(), wanted: "a list of texts" })
    }
}

/// The node at a path, which must be there and be as it is said.
fn must_be<'a>(
    root: &'a Node,
    path: &str,
    wanted: &'static str,
    fits: fn(&Node) -> bool,
) -> Result<&'a Node, Refusal> {
    let node = root.at(path);
    node.filter(|node| fits(node)).ok_or_else(|| Refusal::Shape {
        line: node.unwrap_or(root).line,
        path: path.into(),
        wanted,
    })
}

fn words(container: &Node) -> Vec<Word> {
    let mut words = Vec::new();
    for list in LISTS {
        let items = container.key(list).map_or(&[][..], Node::items);
        words.extend(items.iter().enumerate().map(|(index, item)| Word {
            text: item.text().unwrap_or_default().to_owned(),
            line: item.line,
            list,
            index,
        }));
    }
    words
}

/// Why no container's words start kube-apiserver plainly.
fn why_none(list: &Node) -> Refusal {
    for node in list.items() {
        let words = words(node);
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        if let (Program::Wrapped, Some(first)) = (started(&texts), words.first()) {
            return Refusal::Wrapped { line: first.line, program: Shown::new(&first.text) };
        }
    }
    for node in list.items() {
        let named = node.key_text("name") == Some("kube-apiserver");
        if named || node.key_text("image").is_some_and(is_image) {
            return Refusal::NoWord { line: node.line };
        }
    }
    Refusal::NoContainer { line: list.line }
}
