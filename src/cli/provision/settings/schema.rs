//! The spec file's JSON Schema, from the flags' definitions.

use clap::{Arg, ArgAction, Args, Command};
use serde_json::{Map, Value, json};

use super::{SCHEMA, Settings};

/// The JSON Schema (2020-12) of a spec file.
pub(crate) fn schema() -> Value {
    let mut properties = Map::new();
    properties.insert("schema".into(), json!({"const": SCHEMA}));
    let text = |about: &str| json!({"type": "string", "description": about});
    properties.insert("clusterID".into(), text("The cluster that tokens are for"));
    properties.insert("config".into(), text("The server's configuration file"));
    for arg in Settings::augment_args(Command::new("spec")).get_arguments() {
        let Some(flag) = arg.get_long() else { continue };
        properties.insert(key(flag), property(flag, arg));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "iamgate provisioning spec",
        "type": "object",
        "required": ["schema"],
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(flag: &str, arg: &Arg) -> Value {
    let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<_> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let value = match (flag, choices.is_empty()) {
        ("map-role", _) => entry("roleARN"),
        ("map-user", _) => entry("userARN"),
        (_, false) => json!({"enum": choices}),
        ("server-uid" | "server-gid" | "ca-days" | "leaf-days", true) => {
            json!({"type": "integer", "minimum": 1})
        }
        ("strict" | "takeover" | "quarantine", true) => json!({"type": "boolean"}),
        (_, true) => json!({"type": "string"}),
    };
    let many = matches!(arg.get_action(), ArgAction::Append);
    let mut property = if many { json!({"type": "array", "items": value}) } else { value };
    if let Value::Object(members) = &mut property {
        members.insert("description".into(), about.into());
    }
    property
}

fn entry(arn: &str) -> Value {
    json!({
        "type": "object",
        "required": [arn, "username"],
        "additionalProperties": false,
        "properties": {
            arn: {"type": "string"},
            "username": {"type": "string"},
            "groups": {"type": "array", "items": {"type": "string"}},
        },
    })
}

/// `cache-ttl` as `cacheTtl`; mappings as in the configuration file.
fn key(flag: &str) -> String {
    match flag {
        "map-role" => return "mapRoles".to_owned(),
        "map-user" => return "mapUsers".to_owned(),
        _ => {}
    }
    let mut parts = flag.split('-');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}
