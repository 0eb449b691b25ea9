//! A second opinion on what a manifest says: yaml-edit, whose parser shares nothing with the one
//! that the editor goes by and the one that its proof reads with.

use serde_json::{Map, Value};
use yaml_edit::{Document, YamlNode};

/// What it makes of a manifest.
pub(super) fn read(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    if text.starts_with('{') {
        return serde_json::from_str(text).unwrap();
    }
    // It has no opinion on what stands before a document, and takes `\r` for text.
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let document = Document::from_str_ignoring_comments(&text).unwrap();
    value(&YamlNode::Mapping(document.as_mapping().unwrap()))
}

fn value(node: &YamlNode) -> Value {
    match node {
        YamlNode::Mapping(mapping) => {
            let mut map = Map::new();
            for entry in mapping.entries() {
                let key = entry.key_node().unwrap().as_scalar().unwrap().as_string();
                let value = entry.value_node().map_or(Value::Null, |node| value(&node));
                assert!(map.insert(key.clone(), value).is_none(), "{key} twice");
            }
            Value::Object(map)
        }
        YamlNode::Sequence(sequence) => sequence.values().map(|node| value(&node)).collect(),
        YamlNode::Scalar(scalar) => {
            let text = scalar.as_string();
            let quoted = scalar.is_quoted() || scalar.is_block();
            match text.as_str() {
                "" | "~" | "null" if !quoted => Value::Null,
                "true" | "false" if !quoted => Value::Bool(text == "true"),
                _ if quoted => Value::String(text),
                _ => text.parse::<i64>().map_or(Value::String(text), Value::from),
            }
        }
        other @ (YamlNode::Alias(_) | YamlNode::TaggedNode(_)) => panic!("{other:?}"),
    }
}
