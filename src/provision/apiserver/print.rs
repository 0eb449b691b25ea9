//! Values as YAML or JSON text, in the hand of what is around them.

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

use super::tree::{Kind, Node};

/// How texts are quoted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Quote {
    /// Not, where it cannot be taken for anything but text.
    Plain,
    Single,
    Double,
}

/// How block collections are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) quote: Quote,
    pub(super) keys: Quote,
    /// Columns by which a map in a map is indented.
    pub(super) step: usize,
    /// Columns by which a list in a map is.
    pub(super) list: usize,
    /// Columns from a dash to its item.
    pub(super) dash: usize,
}

/// How collections in brackets are written.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) quote: Quote,
    pub(super) keys: Quote,
    /// What follows a colon.
    pub(super) colon: &'static str,
    /// What follows a comma, where the line goes on.
    pub(super) comma: &'static str,
    /// What is inside of braces.
    pub(super) brace: &'static str,
    /// What begins a line, and by how much each level is indented, if each entry has its own.
    pub(super) lines: Option<(String, String)>,
}

/// An item of a block list whose dash is in a column: its lines.
pub(super) fn block_item(value: &Value, column: usize, block: &Block) -> Vec<String> {
    let inner = column + block.dash;
    let mut lines = match value {
        Value::Object(map) => block_entries(map, inner, block),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            vec![format!("{}{}", spaces(inner), block_scalar(value, block.quote))]
        }
    };
    if let Some(first) = lines.first_mut() {
        *first = format!("{}-{}", spaces(column), first.get(column + 1..).unwrap_or_default());
    }
    lines
}

/// The entries of a block map whose keys are in a column: their lines.
pub(super) fn block_entries(map: &Map<String, Value>, column: usize, block: &Block) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, value) in map {
        let key = format!("{}{}:", spaces(column), scalar(key, block.keys, false));
        match value {
            Value::Object(inner) => {
                lines.push(key);
                lines.extend(block_entries(inner, column + block.step, block));
            }
            Value::Array(items) => {
                lines.push(key);
                let column = column + block.list;
                lines.extend(items.iter().flat_map(|item| block_item(item, column, block)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                lines.push(format!("{key} {}", block_scalar(value, block.quote)));
            }
        }
    }
    lines
}

/// A value in brackets; `depth` is how deep it is in lines of its own.
pub(super) fn flow(value: &Value, style: &Flow, depth: usize) -> String {
    let (open, close, inner) = match value {
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| flow_entry(key, value, style, depth + 1));
            ("{", "}", entries.collect::<Vec<_>>())
        }
        Value::Array(items) => {
            ("[", "]", items.iter().map(|item| flow(item, style, depth + 1)).collect())
        }
        Value::String(text) => return scalar(text, style.quote, true),
        Value::Null | Value::Bool(_) | Value::Number(_) => return value.to_string(),
    };
    if let Some((line, unit)) = &style.lines {
        let before = format!("{line}{}", unit.repeat(depth + 1));
        let inner = inner.join(&format!(",{before}"));
        return format!("{open}{before}{inner}{line}{}{close}", unit.repeat(depth));
    }
    let pad = if open == "{" { style.brace } else { "" };
    format!("{open}{pad}{}{pad}{close}", inner.join(&format!(",{}", style.comma)))
}

/// An entry of a map in brackets.
pub(super) fn flow_entry(key: &str, value: &Value, style: &Flow, depth: usize) -> String {
    let key = scalar(key, style.keys, true);
    format!("{key}:{}{}", style.colon, flow(value, style, depth))
}

fn block_scalar(value: &Value, quote: Quote) -> String {
    match value.as_str() {
        Some(text) => scalar(text, quote, false),
        None => value.to_string(),
    }
}

/// A text, quoted where it has to be.
pub(super) fn scalar(text: &str, quote: Quote, in_flow: bool) -> String {
    match quote {
        Quote::Plain if is_plain(text, in_flow) => text.to_owned(),
        Quote::Single => format!("'{}'", text.replace('\'', "''")),
        // JSON's strings are YAML's.
        Quote::Plain | Quote::Double => Value::from(text).to_string(),
    }
}

/// Whether every reader of YAML, 1.1 or 1.2, takes it for this text without quotes. Narrow: what
/// begins with a digit or a dot may be a number or a time.
fn is_plain(text: &str, in_flow: bool) -> bool {
    const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];
    let begins =
        text.trim_start_matches("--").starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let within =
        |c: char| c.is_ascii_alphanumeric() || "-_./=:@+".contains(c) || (c == ',' && !in_flow);
    begins
        && text.chars().all(within)
        && !text.ends_with(':')
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// How the texts among these nodes are quoted, where they all are. `None` if there are none.
pub(super) fn common_quote<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Option<Quote> {
    let mut common = None;
    for node in nodes {
        match quote_of(node) {
            Some(Quote::Plain) => return Some(Quote::Plain),
            Some(quote) => common = Some(quote),
            None => {}
        }
    }
    common
}

/// How a text is quoted; `None` for what is none, or is a number or a boolean.
pub(super) fn quote_of(node: &Node) -> Option<Quote> {
    let Kind::Text { text, style } = &node.kind else { return None };
    match style {
        ScalarStyle::DoubleQuoted => Some(Quote::Double),
        ScalarStyle::SingleQuoted => Some(Quote::Single),
        ScalarStyle::Literal | ScalarStyle::Folded => None,
        ScalarStyle::Plain => {
            let other = matches!(text.as_str(), "true" | "false") || text.parse::<f64>().is_ok();
            (!other).then_some(Quote::Plain)
        }
    }
}

/// The scalars among a node's values, itself included.
pub(super) fn scalars(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Null => Vec::new(),
        Kind::Text { .. } => vec![node],
        Kind::List { items, .. } => items.iter().flat_map(scalars).collect(),
        Kind::Map { entries, .. } => entries.iter().flat_map(|e| scalars(&e.value)).collect(),
    }
}

fn spaces(columns: usize) -> String {
    " ".repeat(columns)
}
