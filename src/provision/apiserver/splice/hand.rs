//! In which hand the text around a place is written.

use serde_json::Value;

use super::super::print::{Block, Flow, Quote, common_quote, quote_of, scalars};
use super::super::tree::{Kind, Node};
use super::dash;

/// What is written.
#[derive(Clone, Copy)]
pub(super) enum What<'a> {
    Item(&'a Value),
    Entry(&'a Value),
}

impl What<'_> {
    /// Whether its texts are always quoted: a text of ours in a map is a hash, which must not read
    /// as a number on one day and as a text on the next.
    fn is_quoted(self) -> bool {
        matches!(self, Self::Entry(value) if !value.is_array())
    }
}

/// How to write into a collection in brackets.
pub(super) struct FlowHand {
    pub(super) style: Flow,
    /// What stands between a comma and the next item.
    pub(super) gap: String,
}

/// For a block list or map, or a nothing that becomes one.
pub(super) fn block(text: &str, root: &Node, into: &Node, what: What<'_>) -> Option<Block> {
    let spec = root.at("/spec")?;
    let key = key_column(spec)?;
    let containers = root.at("/spec/containers")?;
    let first = containers.items().first()?;
    let mut block = Block {
        quote: Quote::Plain,
        keys: Quote::Plain,
        // What the whole document does, unless a neighbour does otherwise.
        step: if spec.is_flow() { 2 } else { key.max(1) },
        list: 0,
        dash: 2,
    };
    if !containers.is_flow() && !spec.is_flow() {
        let (_, column) = dash(text, first)?;
        block.list = column.checked_sub(key)?;
    }
    match &into.kind {
        Kind::List { items, .. } => {
            let last = items.last()?;
            block.quote = item_quote(items, what);
            if dash_line(text, last)? {
                block.dash = last.column.checked_sub(dash(text, last)?.1)?;
            }
            let nested = items.iter().flat_map(Node::entries).find_map(|entry| {
                let inner = key_column(&entry.value).filter(|_| !entry.value.is_flow())?;
                inner.checked_sub(entry.key.column)
            });
            block.step = nested.unwrap_or(block.step);
            block.keys =
                last.entries().first().and_then(|e| quote_of(&e.key)).unwrap_or(block.keys);
        }
        Kind::Map { entries, .. } => {
            block.keys = common_quote(entries.iter().map(|e| &e.key)).unwrap_or(block.keys);
            if what.is_quoted() {
                let values = common_quote(entries.iter().map(|entry| &entry.value));
                block.quote = values.filter(|q| *q == Quote::Single).unwrap_or(Quote::Double);
            }
        }
        Kind::Null | Kind::Text { .. } => {
            if what.is_quoted() {
                block.quote = Quote::Double;
            }
        }
    }
    Some(block)
}

/// For the collection in brackets at `path`, or a nothing that becomes one.
pub(super) fn flow(text: &str, root: &Node, path: &str, what: What<'_>) -> Option<FlowHand> {
    let into = root.at(path)?;
    let children = children(into);
    let sample = into.items().iter().rev().find(|item| is_written(item));
    let sample = sample.or_else(|| is_written(into).then_some(into));
    let mut style = match sample.or_else(|| enclosing(root, path)) {
        Some(sample) => of_sample(text, sample)?,
        None => bare(),
    };
    style.quote = match &into.kind {
        Kind::List { items, .. } if !items.is_empty() => {
            if style.keys == Quote::Double && !is_word(what) {
                Quote::Double
            } else {
                item_quote(items, what)
            }
        }
        Kind::Map { .. } | Kind::List { .. } | Kind::Null | Kind::Text { .. } => style.quote,
    };
    if what.is_quoted() && style.quote == Quote::Plain {
        style.quote = Quote::Double;
    }
    let gap = match (children.first(), children.get(1)) {
        (Some((_, end)), Some((start, _))) => gap(text, *end, *start),
        (Some((start, _)), None) => {
            text.get(into.start + 1..*start).filter(|gap| gap.contains('\n'))
        }
        (None, _) => Some(""),
    };
    let gap = gap.unwrap_or(style.comma);
    // Neighbours that are in one line each, or none, say how ours is.
    let spread = match into.items().last() {
        Some(last) => text.get(last.start..last.end)?.contains('\n') || !has_children(last),
        None => true,
    };
    if let Some(base) = gap.rfind('\n').filter(|_| spread) {
        let indent = gap.get(base + 1..)?;
        let line = text.get(super::line_start(text, into.start)..)?;
        let outer = line.len() - line.trim_start_matches([' ', '\t']).len();
        let unit = indent.get(outer..).filter(|unit| !unit.is_empty()).unwrap_or("  ");
        style.lines = Some((gap.to_owned(), unit.to_owned()));
    }
    Some(FlowHand { style, gap: gap.to_owned() })
}

/// For an item in brackets among others in a block list.
pub(super) fn flow_of_items(text: &str, items: &[Node]) -> Option<Flow> {
    match items.iter().rev().find(|item| is_written(item)) {
        Some(sample) => of_sample(text, sample),
        None => Some(bare()),
    }
}

/// YAML's usual hand.
fn bare() -> Flow {
    let (quote, keys) = (Quote::Plain, Quote::Plain);
    Flow { quote, keys, colon: " ", comma: " ", brace: "", lines: None }
}

/// The hand of a map in brackets that has entries.
fn of_sample(text: &str, sample: &Node) -> Option<Flow> {
    let entries = sample.entries();
    let first = entries.first()?;
    let mut style = bare();
    style.keys = quote_of(&first.key).unwrap_or(style.keys);
    style.quote = common_quote(scalars(sample)).unwrap_or(style.keys);
    let spaced = |from, to| text.get(from..to).is_some_and(|gap: &str| gap.contains([' ', '\n']));
    // Only behind a quoted key may a colon stand without a space.
    if style.keys != Quote::Plain && !spaced(first.key.end, first.value.start) {
        style.colon = "";
    }
    let second = entries.get(1).map(|second| spaced(first.value.end, second.key.start));
    if !second.unwrap_or(style.colon == " ") {
        style.comma = "";
    }
    let inside = text.get(sample.start + 1..first.key.start)?;
    if !inside.is_empty() && inside.chars().all(|c| c == ' ') {
        style.brace = " ";
    }
    Some(style)
}

/// The nearest map in brackets around a path.
fn enclosing<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    let (parent, _) = path.rsplit_once('/')?;
    let node = root.at(parent)?;
    if is_written(node) { Some(node) } else { enclosing(root, parent) }
}

fn is_written(node: &Node) -> bool {
    node.is_flow() && !node.entries().is_empty()
}

fn has_children(node: &Node) -> bool {
    !node.items().is_empty() || !node.entries().is_empty()
}

/// Where the children of a collection begin and end.
fn children(node: &Node) -> Vec<(usize, usize)> {
    match &node.kind {
        Kind::List { items, .. } => items.iter().map(|item| (item.start, item.end)).collect(),
        Kind::Map { entries, .. } => {
            entries.iter().map(|entry| (entry.key.start, super::end_of(entry))).collect()
        }
        Kind::Null | Kind::Text { .. } => Vec::new(),
    }
}

/// The white space behind the comma between two children, if there is nothing else.
fn gap(text: &str, end: usize, start: usize) -> Option<&str> {
    let gap = text.get(end..start)?.trim_start().strip_prefix(',')?;
    gap.trim().is_empty().then_some(gap)
}

/// How an item's texts are quoted: as those of its neighbours, of a list of words as the flags.
fn item_quote(items: &[Node], what: What<'_>) -> Quote {
    if !is_word(what) {
        return items.last().and_then(|last| common_quote(scalars(last))).unwrap_or(Quote::Plain);
    }
    let is_flag = |item: &&Node| item.text().is_some_and(|text| text.starts_with('-'));
    let flags = common_quote(items.iter().filter(is_flag));
    flags.or_else(|| common_quote(items)).unwrap_or(Quote::Plain)
}

fn is_word(what: What<'_>) -> bool {
    matches!(what, What::Item(Value::String(_)))
}

fn key_column(map: &Node) -> Option<usize> {
    map.entries().first().map(|entry| entry.key.column)
}

/// Whether an item begins on its dash's line.
fn dash_line(text: &str, item: &Node) -> Option<bool> {
    let (at, _) = dash(text, item)?;
    Some(!text.get(at..item.start)?.contains('\n'))
}
