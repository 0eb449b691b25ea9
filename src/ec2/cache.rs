use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::describe::Instance;
use crate::mapping::InstanceId;

/// Instances that were found lately. Faults are not kept.
///
/// Two generations: when the young one is full it becomes the old one, whose last content goes.
/// What is asked for in between moves to the young one, so what goes has long not been used.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: HashMap<InstanceId, Kept>,
    old: HashMap<InstanceId, Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    instance: Instance,
    until: Instant,
}

impl Cache {
    /// How long an answer counts. A name never changes while an instance lives; this bounds how
    /// long a stopped one passes for running.
    pub(super) const TTL: Duration = Duration::from_secs(600);

    /// The largest generation: the most nodes of a cluster (Kubernetes, "Considerations for large
    /// clusters"), about 1 MiB.
    pub(super) const GENERATION: usize = 5_000;

    /// The instance, if it was found lately.
    pub(super) fn find(&mut self, id: &InstanceId, now: Instant) -> Option<Instance> {
        if let Some(kept) = self.young.get(id) {
            return (now < kept.until).then(|| kept.instance.clone());
        }
        let kept = self.old.remove(id).filter(|kept| now < kept.until)?;
        let instance = kept.instance.clone();
        self.put(id.clone(), kept);
        Some(instance)
    }

    /// Keeps an answer that came just now.
    pub(super) fn insert(&mut self, id: InstanceId, instance: Instance, now: Instant) {
        self.put(id, Kept { instance, until: now + Self::TTL });
    }

    fn put(&mut self, id: InstanceId, kept: Kept) {
        if self.young.len() >= Self::GENERATION && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> InstanceId {
        format!("i-{number:08x}").parse().unwrap()
    }

    fn instance(number: usize) -> Instance {
        Instance {
            id: id(number),
            owner: "123456789012".parse().unwrap(),
            name: format!("ip-{number}").into(),
        }
    }

    #[test]
    fn answers_count_for_a_while() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.insert(id(1), instance(1), now);
        assert_eq!(cache.find(&id(2), now), None);
        let last = now + Cache::TTL - Duration::from_millis(1);
        assert_eq!(cache.find(&id(1), last), Some(instance(1)));
        assert_eq!(cache.find(&id(1), now + Cache::TTL), None);
    }

    #[test]
    fn it_is_bounded_and_forgets_what_is_not_used() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for number in 0..10 * Cache::GENERATION {
            cache.insert(id(number), instance(number), now);
            assert_eq!(cache.find(&id(0), now), Some(instance(0)));
            assert!(cache.young.len() + cache.old.len() <= 2 * Cache::GENERATION);
        }
        assert_eq!(cache.find(&id(1), now), None);
    }
}
