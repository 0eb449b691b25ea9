//! Holds the arrows of the picture in `src/lib.rs` to the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    // The core: no async, no I/O, no wire format.
    ("clock", &[]),
    ("face", &[]),
    ("identity", &[]),
    ("json", &[]),
    ("outcome", &[]),
    ("secret", &[]),
    ("system", &[]),
    ("mapping", &["identity"]),
    ("token", &["clock", "identity", "json", "secret"]),
    // One step out.
    ("files", &[]),
    ("reload", &[]),
    ("trust", &[]),
    ("review", &["identity", "json", "mapping", "secret", "token"]),
    ("sts", &["identity", "secret", "token", "trust"]),
    ("ec2", &["clock", "identity", "mapping", "secret"]),
    ("config", &["face", "identity", "mapping", "secret", "token"]),
    ("keypair", &["clock", "files", "secret"]),
    ("log", &["clock"]),
    ("metrics", &["clock", "files", "review"]),
    // Adapters.
    ("client", &["clock", "files", "identity", "outcome", "secret", "system", "token", "trust"]),
    (
        "provision",
        &[
            "clock", "config", "face", "files", "identity", "keypair", "mapping", "outcome",
            "secret", "system", "trust",
        ],
    ),
    (
        "server",
        &[
            "clock", "config", "ec2", "face", "files", "identity", "keypair", "mapping", "metrics",
            "reload", "review", "token",
        ],
    ),
];

/// The wiring, which may use all.
const WIRING: &[&str] = &["cli", "demo", "lib", "main"];

#[test]
fn modules_use_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for file in rust_files(&src) {
        let inside = file.strip_prefix(&src).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if WIRING.contains(&module) {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("say in MAY_USE what `{module}` may use"));
        seen.insert(module.to_owned());
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            assert!(
                used == module || allowed.contains(&used.as_str()),
                "{}: `{module}` may not use `{used}`",
                inside.display(),
            );
        }
    }
    let listed: BTreeSet<_> = MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, listed);
}

#[test]
fn the_core_knows_no_async_no_network_and_no_files() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&src) {
        let inside = file.strip_prefix(&src).unwrap().to_str().unwrap();
        let core = ["clock", "identity", "json", "mapping", "secret", "token"];
        if !core.iter().any(|room| inside.starts_with(room)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for banned in ["tokio", "hyper", "reqwest", "std::fs", "std::net", "std::env"] {
            let inside_tests = inside.ends_with("tests.rs");
            assert!(inside_tests || !code.contains(banned), "{inside} uses {banned}");
        }
    }
}

/// The first path segment after each `crate::`, comments aside.
fn uses(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let after = code.flat_map(|line| line.split("crate::").skip(1));
    after.map(|t| t.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}
