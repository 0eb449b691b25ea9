//! The table of keys as a JSON Schema.

use serde_json::{Value, json};

use super::keys::{Key, ROOT, SSO, Shape, partitions};

/// The JSON Schema (2020-12) of the file, in canonical spelling.
///
/// It is narrower than what is read: keys are read in any case, one map where a list of maps is
/// wanted, and one text where a list of texts is wanted.
pub fn schema() -> Value {
    let mut schema = map(ROOT);
    if let Value::Object(members) = &mut schema {
        let head = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "iamgate configuration",
            "description": "The configuration of server and client commands, shared with \
                aws-iam-authenticator. Keys are read in any case; this schema spells them as the \
                documentation does.",
        });
        let rest = std::mem::take(members);
        if let Value::Object(head) = head {
            members.extend(head);
        }
        members.extend(rest);
    }
    schema
}

fn map(keys: &'static [Key]) -> Value {
    let mut properties = serde_json::Map::new();
    for key in keys {
        properties.insert(key.name.into(), property(key));
        if let Some(alias) = key.alias {
            let mut property = property(key);
            if let Value::Object(members) = &mut property {
                members.insert("deprecated".into(), true.into());
            }
            properties.insert(alias.into(), property);
        }
    }
    let mut schema =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    if let Value::Object(members) = &mut schema {
        members.extend(whom(keys));
    }
    schema
}

/// A mapping names whom it is about in exactly one way.
fn whom(keys: &[Key]) -> serde_json::Map<String, Value> {
    let ways: Vec<_> = keys
        .iter()
        .map(|key| key.name)
        .filter(|name| {
            matches!(*name, "roleARN" | "rolePattern" | "sso" | "userARN" | "userPattern")
        })
        .map(|name| json!({"required": [name]}))
        .collect();
    let mut members = serde_json::Map::new();
    if !ways.is_empty() {
        members.insert("oneOf".into(), ways.into());
    } else if std::ptr::eq(keys, SSO) {
        members.insert("required".into(), json!(["permissionSetName", "accountID"]));
    }
    members
}

fn property(key: &'static Key) -> Value {
    let mut property = match &key.shape {
        Shape::Accounts => {
            json!({"type": "array", "items": {"type": "string", "pattern": "^[0-9]{12}$"}})
        }
        Shape::Duration(millis) => json!({
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]+(ms|s)?$"},
                {
                    "type": "integer",
                    "minimum": millis.start().div_ceil(1_000),
                    "maximum": millis.end() / 1_000,
                },
            ],
        }),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Map(keys) => map(keys),
        Shape::Maps(keys) => json!({"type": "array", "items": map(keys)}),
        Shape::Number(range) => {
            json!({"type": "integer", "minimum": range.start(), "maximum": range.end()})
        }
        Shape::Partition => json!({"type": "string", "enum": partitions()}),
        Shape::Sockets => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Shape::Text => json!({"type": "string"}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
    };
    if let Value::Object(members) = &mut property {
        members.insert("description".into(), key.about.into());
        if let Ok(default) = serde_json::from_str::<Value>(key.default) {
            members.insert("default".into(), default);
        }
    }
    property
}
