//! The table of keys, held against what is read, what is the default and what the schema says.

use super::*;
use crate::config::keys::{Key, ROOT, Shape};

#[test]
fn every_key_of_the_table_is_read_in_any_case() {
    let mut keys = 0;
    every_key(ROOT, &[], &mut |path, text, key| {
        let structured = matches!(key.shape, Shape::Map(_) | Shape::Maps(_) | Shape::Sockets);
        let nonsense = if structured { "nonsense" } else { "{a: b}" };
        let document = read("c.yaml", &text.replace("VALUE", nonsense)).unwrap();
        let client = client(Some(&document), &ClientOverrides::default());
        let server = server(Some(document), &ServerOverrides::default(), Face::Own);
        let faults = [server.err(), client.err()];
        let mut paths = faults.iter().flatten().flat_map(|faults| faults.iter()).map(Fault::path);
        assert!(paths.any(|told| told == path), "{path} in {text} is not read: {faults:?}");
        keys += 1;
    });
    assert!(keys > 60, "{keys}");
}

#[test]
fn the_defaults_that_the_schema_tells_are_those_that_the_server_has() {
    let plain = checked("c.yaml", "clusterID: c\n").unwrap().value;
    let mut keys = 0;
    every_key(ROOT, &[], &mut |path, text, key| {
        if !path.starts_with("server.") || key.default.is_empty() || path.contains('[') {
            return;
        }
        let text = text.replace("VALUE", key.default).replacen('{', "{clusterID: c, ", 1);
        let told = checked("c.yaml", &text).unwrap().value;
        assert_eq!((&told.fixed, &told.policy), (&plain.fixed, &plain.policy), "{path}");
        keys += 1;
    });
    assert!(keys > 20, "{keys}");
}

#[test]
fn the_schema_describes_every_key() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    every_key(ROOT, &[], &mut |path, _, key| {
        let mut place = &schema;
        for step in path.split('.') {
            if place["type"] == "array" {
                place = &place["items"];
            }
            place = &place["properties"][step.trim_end_matches("[0]")];
        }
        assert_eq!(place["description"], key.about, "{path}");
        assert!(key.about.ends_with('.'), "{path}");
        let default = serde_json::from_str::<serde_json::Value>(key.default);
        assert_eq!(place.get("default"), default.ok().as_ref(), "{path}");
        assert_eq!(place.get("default").is_none(), key.default.is_empty(), "{path}");
    });
}

/// Calls `each` with the path of every key of the table, and with a file that sets it, in capitals.
fn every_key(keys: &'static [Key], around: &[&Key], each: &mut impl FnMut(&str, String, &Key)) {
    for key in keys {
        let step = |key: &&Key| {
            let index = if matches!(key.shape, Shape::Maps(_)) { "[0]" } else { "" };
            format!("{}{index}.", key.name)
        };
        let path = around.iter().map(step).collect::<String>() + key.name;
        let open: String = around.iter().map(|key| format!("{{{}: ", key.name)).collect();
        let spelling = key.name.to_ascii_uppercase();
        let close = "}".repeat(around.len());
        each(&path, format!("{open}{{{spelling}: VALUE}}{close}"), key);
        if let Shape::Map(inner) | Shape::Maps(inner) = key.shape {
            every_key(inner, &[around, &[key]].concat(), each);
        }
    }
}
