//! Where mappings come from: the names of backends, and their rules for one another.

use super::fault::{Doubt, Findings, Quoted, Wrong};
use super::section::{Section, Text};
use super::tree::Kind;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Backend {
    Crd,
    DynamicFile,
    EksConfigMap,
    MountedFile,
}

/// The canonical names, and the old ones, which are read with a warning.
const NAMES: [(&str, Backend); 4] = [
    ("MountedFile", Backend::MountedFile),
    ("EKSConfigMap", Backend::EksConfigMap),
    ("CRD", Backend::Crd),
    ("DynamicFile", Backend::DynamicFile),
];
const OLD_NAMES: [(&str, &str); 2] = [("File", "MountedFile"), ("ConfigMap", "EKSConfigMap")];

impl Backend {
    fn named(name: &str) -> Option<(&'static str, Self)> {
        NAMES.into_iter().find(|(known, _)| *known == name)
    }
}

/// Judges `server.backendMode`, or the flag, and what belongs to single backends. Where there is
/// no fault, the mappings are those of this file.
pub(super) fn judge(server: &Section<'_>, flag: &[String], found: &mut Findings) {
    let mut listed: Vec<Backend> = Vec::new();
    let mut names: Vec<Box<str>> = Vec::new();
    let mut take = |text: Text<'_>, found: &mut Findings| {
        if names.iter().any(|name| **name == *text.text) {
            return found.fault(text.at, Wrong::BackendTwice(Quoted::new(text.text)));
        }
        names.push(text.text.into());
        listed.extend(backend(text, found));
    };
    let separators = [',', ' ', '\t', '\n', '\r'];
    let mode = server.node("backendMode");
    // Told already; an empty map is an empty list.
    let misshapen =
        flag.is_empty() && mode.is_some_and(|node| node.kind() == Kind::Map && node.len() > 0);
    let at = if flag.is_empty() {
        if mode.is_none() {
            listed.push(Backend::MountedFile);
            names.push("MountedFile".into());
        } else {
            server.texts("backendMode", &separators, found, take);
        }
        server.at_value("backendMode")
    } else {
        for text in flag.iter().flat_map(|value| value.split(separators)) {
            if !text.is_empty() {
                take(Text::flag_value("--backend-mode", text), found);
            }
        }
        Text::flag_value("--backend-mode", "").at
    };
    if names.is_empty() && !misshapen {
        found.fault(at, Wrong::BackendNone);
    }
    let dynamic = listed.contains(&Backend::DynamicFile);
    match server.some_text("dynamicfilepath", found) {
        Some(path) if !dynamic => found.fault(path.at, Wrong::DynamicFileMode),
        None if dynamic => found.fault(at, Wrong::DynamicFilePath),
        Some(_) | None => {}
    }
    let _ = server.flag("dynamicfileUserIDStrict", found);
    if let Some(path) = server.some_text("dynamicBackendModePath", found) {
        found.fault(path.at, Wrong::BackendSwitch);
    }
}

fn backend(text: Text<'_>, found: &mut Findings) -> Option<Backend> {
    let mut name = text.text;
    if let Some((old, new)) = OLD_NAMES.into_iter().find(|(old, _)| *old == name) {
        found.warn(text.at, Doubt::BackendDeprecated { old, new });
        name = new;
    }
    match Backend::named(name) {
        Some((_, Backend::MountedFile)) => Some(Backend::MountedFile),
        Some((name, backend @ (Backend::Crd | Backend::DynamicFile | Backend::EksConfigMap))) => {
            found.fault(text.at, Wrong::BackendAbsent(name));
            Some(backend)
        }
        None => {
            found.fault(text.at, Wrong::BackendUnknown(Quoted::new(name)));
            None
        }
    }
}

/// The prefixes that `server.reservedPrefixConfig` keeps from this file's user names: those of
/// the last entry for MountedFile.
pub(super) fn reserved_prefixes(server: &Section<'_>, found: &mut Findings) -> Vec<Box<str>> {
    let mut reserved = Vec::new();
    let list = server.path_of("reservedPrefixConfig");
    for (index, node) in server.maps("reservedPrefixConfig", found).into_iter().enumerate() {
        let path = super::fault::Path::Index(&list, index);
        let entry = Section::open(node, path, super::keys::RESERVED, found);
        entry.warn_of_unknown_keys(found);
        let mut prefixes = Vec::new();
        entry.texts("usernamePrefixReserveList", &[','], found, |text, _| {
            // An empty prefix would keep everybody out; it has never counted.
            if !text.text.is_empty() {
                prefixes.push(text.text.into());
            }
        });
        let backend = entry.text("backendMode", found);
        let name = backend.map_or("", |backend| backend.text);
        match Backend::named(name) {
            Some((_, Backend::MountedFile)) => reserved = prefixes,
            Some((_, Backend::Crd | Backend::DynamicFile | Backend::EksConfigMap)) => {}
            None => {
                let at = backend.map_or_else(|| entry.at_missing("backendMode"), |text| text.at);
                found.warn(at, Doubt::ReservedFor(Quoted::new(name)));
            }
        }
    }
    reserved
}
