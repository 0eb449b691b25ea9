//! A manifest as a tree whose every node knows where its text is.
//!
//! Strict: one document of plain maps, lists and scalars. What means one text in two places
//! (anchors, aliases, merge keys), what readers read differently (duplicate keys) and what is no
//! part of a pod (tags, keys that are not text) is refused. JSON is read as the YAML that it is.
//! Scalars keep their text; what type they are of is for the reader of a field to say.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle, Tag, options};

use super::refusal::{Refusal, Shown, one_line};

/// A node and its text's place. A block collection reaches from its first child to its last one's
/// end, without comments and blank lines around it.
#[derive(Debug)]
pub(super) struct Node {
    /// Byte offset of its first byte.
    pub(super) start: usize,
    /// Byte offset behind its last one.
    pub(super) end: usize,
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 0.
    pub(super) column: usize,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    Text {
        text: String,
        style: ScalarStyle,
    },
    List {
        items: Vec<Node>,
        flow: bool,
    },
    Map {
        entries: Vec<Entry>,
        flow: bool,
    },
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Always `Kind::Text`.
    pub(super) key: Node,
    pub(super) value: Node,
}

/// Deeper than any pod by far, and no strain on the stack.
const MOST_DEPTH: usize = 64;

impl Node {
    /// Reads a document.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let mut builder = Builder { source: text, open: Vec::new(), root: None };
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(text, limits()) {
            let (event, span) = next.map_err(|error| Refusal::Syntax {
                line: Some(error.marker().line()),
                message: one_line(&error.info()),
            })?;
            if matches!(event, Event::DocumentStart(..)) {
                documents += 1;
                if documents > 1 {
                    return Err(Refusal::Documents { line: span.start.line() });
                }
            }
            builder.take(event, span)?;
        }
        builder.root.ok_or_else(|| Refusal::Syntax { line: None, message: "it is empty".into() })
    }

    /// The node at a path such as `/spec/containers/0`.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        let mut steps = path.split('/').skip(1);
        steps.try_fold(self, |node, step| match &node.kind {
            Kind::List { items, .. } => items.get(step.parse::<usize>().ok()?),
            Kind::Map { .. } => node.key(step),
            Kind::Null | Kind::Text { .. } => None,
        })
    }

    /// The value of a key.
    pub(super) fn key(&self, name: &str) -> Option<&Self> {
        let found = self.entries().iter().find(|entry| entry.key.text() == Some(name));
        found.map(|entry| &entry.value)
    }

    /// The text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text { text, .. } => Some(text),
            Kind::Null | Kind::List { .. } | Kind::Map { .. } => None,
        }
    }

    /// The text of a key's value.
    pub(super) fn key_text(&self, name: &str) -> Option<&str> {
        self.key(name).and_then(Self::text)
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List { items, .. } => items,
            Kind::Null | Kind::Text { .. } | Kind::Map { .. } => &[],
        }
    }

    /// The entries of a map; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map { entries, .. } => entries,
            Kind::Null | Kind::Text { .. } | Kind::List { .. } => &[],
        }
    }

    /// Whether it is a collection in brackets.
    pub(super) fn is_flow(&self) -> bool {
        match &self.kind {
            Kind::List { flow, .. } | Kind::Map { flow, .. } => *flow,
            Kind::Null | Kind::Text { .. } => false,
        }
    }

    /// Whether a boolean field is set, in the spellings of YAML 1.1, which kubelet's reader knows.
    pub(super) fn is_true(&self) -> bool {
        let words = ["true", "yes", "on", "y"];
        self.text().is_some_and(|text| words.iter().any(|word| text.eq_ignore_ascii_case(word)))
    }
}

fn limits() -> Options {
    let mut options = options! {
        flow_nesting_limit: MOST_DEPTH,
        block_nesting_limit: MOST_DEPTH,
    };
    options.set_emit_comments(false);
    options
}

struct Builder<'a> {
    source: &'a str,
    open: Vec<Open>,
    root: Option<Node>,
}

/// A collection whose end has not come.
struct Open {
    node: Node,
    /// A map's key whose value is due.
    key: Option<Node>,
    /// The lines of a map's keys.
    seen: HashMap<String, usize>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Refusal> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain(anchor, tag.as_deref(), line)?;
                let null = matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let kind = if null && style == ScalarStyle::Plain {
                    Kind::Null
                } else {
                    Kind::Text { text: text.into_owned(), style }
                };
                self.close(node(span, kind))
            }
            Event::SequenceStart(style, anchor, tag) => {
                plain(anchor, tag.as_deref(), line)?;
                let flow = style == StructureStyle::Flow;
                self.begin(node(span, Kind::List { items: Vec::new(), flow }))
            }
            Event::MappingStart(style, anchor, tag) => {
                plain(anchor, tag.as_deref(), line)?;
                let flow = style == StructureStyle::Flow;
                self.begin(node(span, Kind::Map { entries: Vec::new(), flow }))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { mut node, .. }) = self.open.pop() else { return Ok(()) };
                if node.is_flow() {
                    node.end = offset(span.end.byte_offset());
                }
                self.close(node)
            }
            Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Comment(..) => Ok(()),
            // Whatever a later parser tells besides is not known to be plain.
            Event::Alias(_) | Event::Anchor(..) | Event::UnresolvedAlias(_) | _ => {
                Err(Refusal::Anchor { line })
            }
        }
    }

    fn begin(&mut self, node: Node) -> Result<(), Refusal> {
        if let Some(Open { node: Node { kind: Kind::Map { .. }, .. }, key: None, .. }) =
            self.open.last()
        {
            return Err(Refusal::KeyNotText { line: node.line });
        }
        self.open.push(Open { node, key: None, seen: HashMap::new() });
        Ok(())
    }

    /// Puts a node that is whole into the collection that it is in.
    fn close(&mut self, mut node: Node) -> Result<(), Refusal> {
        let Some(Open { node: parent, key: pending, seen }) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.kind {
            Kind::List { items, .. } => {
                parent.end = node.end;
                items.push(node);
            }
            Kind::Map { entries, .. } => {
                let Some(key) = pending.take() else {
                    *pending = Some(as_key(node, seen)?);
                    return Ok(());
                };
                if node.start == node.end {
                    // The parser puts a value that is not there before the colon.
                    node.end = behind_colon(self.source, key.end).unwrap_or(node.end);
                    node.start = node.end;
                }
                parent.end = node.end;
                entries.push(Entry { key, value: node });
            }
            Kind::Null | Kind::Text { .. } => {}
        }
        Ok(())
    }
}

/// A map's key, or why it is none.
fn as_key(node: Node, seen: &mut HashMap<String, usize>) -> Result<Node, Refusal> {
    let Kind::Text { text, style } = &node.kind else {
        return Err(Refusal::KeyNotText { line: node.line });
    };
    if text == "<<" && *style == ScalarStyle::Plain {
        return Err(Refusal::MergeKey { line: node.line });
    }
    match seen.insert(text.clone(), node.line) {
        None => Ok(node),
        Some(first) => Err(Refusal::DuplicateKey { line: node.line, key: Shown::new(text), first }),
    }
}

fn behind_colon(source: &str, key_end: usize) -> Option<usize> {
    let after = source.get(key_end..)?;
    let gap = after.len() - after.trim_start().len();
    after.get(gap..)?.starts_with(':').then_some(key_end + gap + 1)
}

/// How the parser says that there is no anchor.
const NO_ANCHOR: usize = 0;

fn plain(anchor: usize, tag: Option<&Tag>, line: usize) -> Result<(), Refusal> {
    if anchor != NO_ANCHOR {
        return Err(Refusal::Anchor { line });
    }
    match tag {
        None => Ok(()),
        Some(tag) => Err(Refusal::Tag { line, tag: Shown::new(&tag.original()) }),
    }
}

fn node(span: Span, kind: Kind) -> Node {
    Node {
        start: offset(span.start.byte_offset()),
        end: offset(span.end.byte_offset()),
        line: span.start.line(),
        column: span.start.col(),
        kind,
    }
}

/// The parser knows the offsets of every text that it is given whole.
fn offset(known: Option<usize>) -> usize {
    known.unwrap_or_default()
}
