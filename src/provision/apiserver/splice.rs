//! One insertion into, or one removal from, a manifest's text.
//!
//! An insertion is whole lines, or in brackets one item with its comma, in the hand of its
//! neighbours; the removal of what was inserted gives the text of before, byte for byte. `None` is
//! a way of writing that we do not edit.

use serde_json::{Map, Value};

use super::print::{self, Quote};
use super::tree::{Entry, Node};

mod hand;

use hand::What;

/// Puts an item into the list at `path`, or into the nothing that is there.
pub(super) fn insert_item(
    text: &str,
    root: &Node,
    path: &str,
    index: usize,
    value: &Value,
) -> Option<String> {
    let list = root.at(path)?;
    let items = list.items();
    if list.is_flow() {
        let hand = hand::flow(text, root, path, What::Item(value))?;
        let item = print::flow(value, &hand.style, 0);
        return Some(match (index.checked_sub(1), items.first()) {
            (_, None) => insert(text, list.start + 1, &item)?,
            (None, Some(first)) => insert(text, first.start, &format!("{item},{}", hand.gap))?,
            (Some(before), Some(_)) => {
                insert(text, items.get(before)?.end, &format!(",{}{item}", hand.gap))?
            }
        });
    }
    if list.start != list.end && items.is_empty() {
        let style = hand::flow(text, root, path, What::Item(value))?.style;
        return replace(
            text,
            list.start,
            list.end,
            &format!("[{}]", print::flow(value, &style, 0)),
        );
    }
    let key = key_of(root, path)?;
    let block = hand::block(text, root, list, What::Item(value))?;
    let column = match items.first() {
        Some(first) => dash(text, first)?.1,
        None => block_column(root, path, key)? + block.list,
    };
    let lines = match items.last().filter(|last| last.is_flow() && value.is_object()) {
        Some(_) => {
            let style = hand::flow_of_items(text, items)?;
            let gap = " ".repeat(block.dash.saturating_sub(1));
            vec![format!("{}-{gap}{}", " ".repeat(column), print::flow(value, &style, 0))]
        }
        None => print::block_item(value, column, &block),
    };
    let after = index.checked_sub(1).and_then(|before| items.get(before));
    insert_lines(text, after.map_or(key.end, |item| item.end), &lines)
}

/// Puts an entry behind those of the map at `path`, or into the nothing that is there.
pub(super) fn insert_entry(
    text: &str,
    root: &Node,
    path: &str,
    key: &str,
    value: &Value,
) -> Option<String> {
    let map = root.at(path)?;
    let entries = map.entries();
    if map.is_flow() {
        let hand = hand::flow(text, root, path, What::Entry(value))?;
        let entry = print::flow_entry(key, value, &hand.style, 0);
        return match entries.last() {
            None => insert(text, map.start + 1, &entry),
            Some(last) => insert(text, end_of(last), &format!(",{}{entry}", hand.gap)),
        };
    }
    if map.start != map.end && entries.is_empty() {
        let style = hand::flow(text, root, path, What::Entry(value))?.style;
        let entry = print::flow_entry(key, value, &style, 0);
        return replace(text, map.start, map.end, &format!("{{{entry}}}"));
    }
    let block = hand::block(text, root, map, What::Entry(value))?;
    let (column, after) = match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => (columns(text, &first.key)?, end_of(last)),
        _ => {
            let key = key_of(root, path)?;
            (block_column(root, path, key)? + block.step, key.end)
        }
    };
    let entry = Map::from_iter([(key.to_owned(), value.clone())]);
    insert_lines(text, after, &print::block_entries(&entry, column, &block))
}

/// Takes an item out of the list at `path`.
pub(super) fn remove_item(text: &str, root: &Node, path: &str, index: usize) -> Option<String> {
    let list = root.at(path)?;
    let items = list.items();
    let item = items.get(index)?;
    if !list.is_flow() {
        return remove_lines(text, dash(text, item)?.0, item.end);
    }
    let before = index.checked_sub(1).and_then(|before| items.get(before));
    match (before, items.get(index + 1)) {
        (Some(before), _) => remove(text, before.end, item.end),
        (None, Some(next)) => remove(text, item.start, next.start),
        (None, None) => remove(text, item.start, item.end),
    }
}

/// Takes an entry out of the map at `path`.
pub(super) fn remove_entry(text: &str, root: &Node, path: &str, key: &str) -> Option<String> {
    let map = root.at(path)?;
    let entries = map.entries();
    let index = entries.iter().position(|entry| entry.key.text() == Some(key))?;
    let entry = entries.get(index)?;
    if !map.is_flow() {
        return remove_lines(text, entry.key.start, end_of(entry));
    }
    let before = index.checked_sub(1).and_then(|before| entries.get(before));
    match (before, entries.get(index + 1)) {
        (Some(before), _) => remove(text, end_of(before), end_of(entry)),
        (None, Some(next)) => remove(text, entry.key.start, next.key.start),
        (None, None) => remove(text, entry.key.start, end_of(entry)),
    }
}

/// Puts a text in the place of a scalar; how it is quoted is told by what is there.
pub(super) fn replace_text(text: &str, node: &Node, with: &str) -> Option<String> {
    let quote = match print::quote_of(node) {
        Some(Quote::Single) => Quote::Single,
        Some(Quote::Plain | Quote::Double) | None => Quote::Double,
    };
    replace_source(text, node, &print::scalar(with, quote, true))
}

/// Puts source text in the place of a node.
pub(super) fn replace_source(text: &str, node: &Node, with: &str) -> Option<String> {
    replace(text, node.start, node.end, with)
}

/// Where an entry's text ends.
fn end_of(entry: &Entry) -> usize {
    entry.value.end.max(entry.key.end)
}

/// The key whose value is at `path`.
fn key_of<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    let (parent, name) = path.rsplit_once('/')?;
    let entries = root.at(parent)?.entries();
    entries.iter().map(|entry| &entry.key).find(|key| key.text() == Some(name))
}

/// The column of a key of a block map.
fn block_column(root: &Node, path: &str, key: &Node) -> Option<usize> {
    let (parent, _) = path.rsplit_once('/')?;
    (!root.at(parent)?.is_flow()).then_some(key.column)
}

/// The column of a key that only spaces and dashes stand before.
fn columns(text: &str, key: &Node) -> Option<usize> {
    let line = text.get(line_start(text, key.start)..key.start)?;
    let line = line.trim_start_matches('\u{feff}');
    line.chars().all(|c| c == ' ' || c == '-').then_some(line.len())
}

/// The offset and column of a block item's dash.
fn dash(text: &str, item: &Node) -> Option<(usize, usize)> {
    let mut before = text.get(..item.start)?.trim_end_matches(' ');
    while !before.ends_with('-') {
        // The item is below its dash; comments and blank lines may be between.
        before = before.get(..before.trim_end_matches(' ').strip_suffix('\n')?.len())?;
        let line = before.get(line_start(before, before.len())..)?;
        let code = match line.find('#') {
            Some(at) => line.get(..at)?,
            None => line,
        };
        let cut = before.len() - line.len() + code.trim_end().len();
        before = before.get(..cut)?;
    }
    let at = before.len() - 1;
    let line = before.get(line_start(before, at)..at)?;
    line.chars().all(|c| c == ' ').then_some((at, line.len()))
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Where the line ends that `at` is in or, at its start, is behind: with its line break.
fn line_end(text: &str, at: usize) -> Option<usize> {
    if text.get(..at)?.ends_with('\n') {
        return Some(at);
    }
    Some(text.get(at..)?.find('\n').map_or(text.len(), |newline| at + newline + 1))
}

/// Inserts lines behind the line of `at`.
fn insert_lines(text: &str, at: usize, lines: &[String]) -> Option<String> {
    let at = line_end(text, at)?;
    let before = text.get(..at)?;
    let newline = if before.ends_with("\r\n") { "\r\n" } else { "\n" };
    if before.ends_with('\n') {
        return insert(text, at, &(lines.join(newline) + newline));
    }
    // The last line has no end; nor has ours then.
    let newline = if before.contains("\r\n") { "\r\n" } else { "\n" };
    insert(text, at, &(newline.to_owned() + &lines.join(newline)))
}

/// Removes the lines from that of `from`, which must begin with it, to that of `to`.
fn remove_lines(text: &str, from: usize, to: usize) -> Option<String> {
    let start = line_start(text, from);
    let end = line_end(text, to)?;
    if !text.get(start..from)?.chars().all(|c| c == ' ') {
        return None;
    }
    if text.get(..end)?.ends_with('\n') {
        return remove(text, start, end);
    }
    let before = text.get(..start)?;
    let before = before.strip_suffix('\n').unwrap_or(before);
    remove(text, before.strip_suffix('\r').unwrap_or(before).len(), end)
}

fn insert(text: &str, at: usize, what: &str) -> Option<String> {
    replace(text, at, at, what)
}

fn remove(text: &str, from: usize, to: usize) -> Option<String> {
    replace(text, from, to, "")
}

fn replace(text: &str, from: usize, to: usize, with: &str) -> Option<String> {
    Some([text.get(..from)?, with, text.get(to..)?].concat())
}
