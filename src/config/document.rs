//! Bytes and a file's name to a tree.

use std::fmt;
use std::mem;
use std::path::Path as FilePath;
use std::sync::Arc;

use super::fault::{Fault, Faults, Findings, Quoted, Wrong};
use super::mappings::Piles;
use super::tree::{Broken, Builder, Node, Take, Tree};
use super::{json, toml, yaml};

/// A configuration file that could be read: its syntax is right, its meaning not yet judged.
///
/// Holds whatever secrets the file holds and does not print them.
pub struct Document {
    file: Arc<str>,
    /// All but the mappings.
    tree: Tree,
    piles: Piles,
    found: Findings,
}

impl Document {
    /// The largest file that is read, in bytes: some 200,000 mappings.
    pub const MAX_LEN: usize = 32 * 1024 * 1024;

    /// Reads `bytes`, which `file_name`'s extension says to be YAML, JSON or TOML.
    ///
    /// # Errors
    /// The one thing that makes it unreadable, with its place.
    pub fn read(bytes: &[u8], file_name: &FilePath) -> Result<Self, Faults> {
        let file: Arc<str> = file_name.to_string_lossy().into();
        let (mut piles, mut found) = (Piles::default(), Findings::about(Some(Arc::clone(&file))));
        let mut take = |list, node: Node<'_>| piles.take(list, node, &mut found);
        match read(bytes, file_name, &mut take) {
            Ok(tree) => Ok(Self { file, tree, piles, found }),
            Err(Broken { place, wrong }) => {
                Err(Faults::one(Fault::new(Some(file), place, String::new(), wrong)))
            }
        }
    }

    /// The mappings that were read on the way, and what was found about them. They are there once.
    pub(super) fn take(&mut self) -> (Piles, Findings) {
        let found = Findings::about(Some(self.file()));
        (mem::take(&mut self.piles), mem::replace(&mut self.found, found))
    }

    pub(super) fn file(&self) -> Arc<str> {
        Arc::clone(&self.file)
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("file", &self.file).finish_non_exhaustive()
    }
}

fn read<'a>(bytes: &'a [u8], file_name: &FilePath, take: &'a mut Take<'a>) -> Result<Tree, Broken> {
    let extension = file_name.extension().unwrap_or_default().to_string_lossy();
    // Compared with case, as programs that share the file do.
    let reader: fn(Builder<'_>) -> Result<Tree, Broken> = match &*extension {
        "json" => json::read,
        "toml" => toml::read,
        "yaml" | "yml" => yaml::read,
        _ => return Err(Broken { place: None, wrong: Wrong::Extension(Quoted::new(&extension)) }),
    };
    if bytes.len() > Document::MAX_LEN {
        return Err(Broken { place: None, wrong: Wrong::Large(bytes.len()) });
    }
    let source = str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let valid = str::from_utf8(valid).unwrap_or_default();
        let place = super::tree::place_in(valid, valid.len());
        Broken { place: Some(place), wrong: Wrong::Utf8 }
    })?;
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    reader(Builder::new(source).handing_to(take))
}
