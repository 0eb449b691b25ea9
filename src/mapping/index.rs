use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::Mapping;
use crate::identity::Subject;

/// Finds an entry of a list by a subject that the entry stands for.
///
/// It holds positions alone, five to ten bytes an entry: the key is made again from the entry when
/// it has to be compared.
#[derive(Clone, Debug)]
pub(super) struct Index {
    key: Key,
    positions: HashTable<u32>,
}

/// The subject that an entry is found by, if it has one.
pub(super) type Key = fn(&Mapping) -> Option<Subject>;

impl Index {
    /// Indexes `entries`. Where two have the same key, the later one is found.
    pub(super) fn new(entries: &[Mapping], key: Key) -> Self {
        let count = entries.iter().filter(|entry| key(entry).is_some()).count();
        let mut positions = HashTable::with_capacity(count);
        // A file of at most 32 MiB has far fewer entries than `u32` counts.
        for (position, entry) in (0_u32..).zip(entries) {
            let Some(subject) = key(entry) else { continue };
            let same = |at: &u32| key_at(entries, key, *at).as_ref() == Some(&subject);
            let rehash = |at: &u32| key_at(entries, key, *at).map_or(0, |subject| hash(&subject));
            match positions.entry(hash(&subject), same, rehash) {
                Entry::Occupied(mut earlier) => *earlier.get_mut() = position,
                Entry::Vacant(free) => {
                    free.insert(position);
                }
            }
        }
        Self { key, positions }
    }

    /// The position of the entry with this key.
    pub(super) fn find(&self, entries: &[Mapping], subject: &Subject) -> Option<usize> {
        if self.positions.is_empty() {
            return None;
        }
        let same = |at: &u32| key_at(entries, self.key, *at).as_ref() == Some(subject);
        let position = self.positions.find(hash(subject), same)?;
        usize::try_from(*position).ok()
    }
}

fn key_at(entries: &[Mapping], key: Key, at: u32) -> Option<Subject> {
    entries.get(usize::try_from(at).ok()?).and_then(key)
}

/// Without a random seed: whoever writes the keys owns the cluster, and callers only look them up.
fn hash(subject: &Subject) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(subject)
}
