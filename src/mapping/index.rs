use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::identity::Subject;

/// Finds an entry of a list by a subject that the entry stands for.
///
/// It holds positions alone, five to ten bytes an entry: the key is made again from the entry when
/// it has to be compared.
#[derive(Clone, Debug)]
pub(super) struct Index(HashTable<u32>);

impl Index {
    /// Indexes a list of `count` entries, of which `key` tells the subjects. Where two have the
    /// same, the later one is found.
    pub(super) fn new(count: usize, key: impl Fn(usize) -> Option<Subject>) -> Self {
        let keyed = || (0..count).filter_map(|at| key(at).map(|subject| (at, subject)));
        let mut positions = HashTable::with_capacity(keyed().count());
        for (at, subject) in keyed() {
            // A file of at most 32 MiB has far fewer entries than `u32` counts.
            let Ok(position) = u32::try_from(at) else { break };
            let same = |at: &u32| key_at(&key, *at).as_ref() == Some(&subject);
            let rehash = |at: &u32| key_at(&key, *at).map_or(0, |subject| hash(&subject));
            match positions.entry(hash(&subject), same, rehash) {
                Entry::Occupied(mut earlier) => *earlier.get_mut() = position,
                Entry::Vacant(free) => {
                    free.insert(position);
                }
            }
        }
        Self(positions)
    }

    /// The position of the entry with this subject; `key` tells what it told [`Index::new`].
    pub(super) fn find(
        &self,
        subject: &Subject,
        key: impl Fn(usize) -> Option<Subject>,
    ) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let same = |at: &u32| key_at(&key, *at).as_ref() == Some(subject);
        let position = self.0.find(hash(subject), same)?;
        usize::try_from(*position).ok()
    }
}

fn key_at(key: impl Fn(usize) -> Option<Subject>, at: u32) -> Option<Subject> {
    key(usize::try_from(at).ok()?)
}

/// Without a random seed: whoever writes the keys owns the cluster, and callers only look them up.
fn hash(subject: &Subject) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(subject)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::identity::Arn;

    /// Equal hashes would still find the right entry, only ever more slowly.
    #[test]
    fn subjects_are_spread() {
        let subject = |n| format!("arn:aws:iam::123456789012:role/{n}").parse::<Arn>().unwrap();
        let hashes: HashSet<u64> = (0..1000).map(|n| hash(&subject(n).subject())).collect();
        assert_eq!(hashes.len(), 1000);
    }
}
