//! The JSON Schema of the report.

use serde_json::{Value, json};

/// The JSON Schema (2020-12) of the report of `provision` and `unprovision`.
pub fn schema() -> Value {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "iamgate provisioning report",
        "type": "object",
        "required": [
            "schema", "changed", "failed", "msg", "check", "root", "changes", "restart_required",
            "warnings",
        ],
        "additionalProperties": false,
        "properties": {
            "schema": {"const": "iamgate/v1"},
            "changed": {"type": "boolean", "description": "whether the host is, or with --check would be, another one"},
            "failed": {"type": "boolean", "description": "whether the run did not do what it was asked to"},
            "msg": text(),
            "check": {"type": "boolean"},
            "root": {"type": "string", "description": "the directory that all paths are below"},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 over cluster ID and mappings"},
            "changes": {"type": "array", "items": {
                "type": "object",
                "required": ["path", "action"],
                "additionalProperties": false,
                "properties": {
                    "path": text(),
                    "action": {"enum": ["chmod", "chown", "create", "mkdir", "move", "remove", "rmdir", "update"]},
                    "mode": {"type": "string", "pattern": "^[0-7]{4}$"},
                    "owner": {"type": "integer"},
                    "group": {"type": "integer"},
                    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    "secret": {"type": "boolean"},
                    "to": text(),
                },
            }},
            "diff": {"type": "array", "items": {
                "type": "object",
                "required": ["before", "after", "before_header", "after_header"],
                "additionalProperties": false,
                "properties": {
                    "before": text(), "after": text(), "before_header": text(), "after_header": text(),
                },
            }},
            "restart_required": {"type": "array", "items": {"enum": ["iamgate", "kube-apiserver"]}},
            "warnings": texts(),
            "refusals": {"type": "array", "items": {
                "type": "object",
                "required": ["problem", "cure"],
                "additionalProperties": false,
                "properties": {
                    "path": text(), "line": {"type": "integer", "minimum": 1}, "problem": text(), "cure": text(),
                },
            }},
            "installer": {
                "type": "object",
                "required": ["flags", "volumes"],
                "additionalProperties": false,
                "properties": {
                    "flags": {"type": "array", "items": {
                        "type": "object",
                        "required": ["name", "value"],
                        "additionalProperties": false,
                        "properties": {"name": text(), "value": text()},
                    }},
                    "volumes": {"type": "array", "items": {
                        "type": "object",
                        "required": ["name", "hostPath", "mountPath", "readOnly", "pathType"],
                        "additionalProperties": false,
                        "properties": {
                            "name": text(), "hostPath": text(), "mountPath": text(),
                            "readOnly": {"type": "boolean"},
                            "pathType": {"enum": ["Directory", "DirectoryOrCreate"]},
                        },
                    }},
                },
            },
            "log": texts(),
        },
    })
}
