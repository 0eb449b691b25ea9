//! One question to STS for all reviews of the same token that are under way at the same time.
//!
//! Nothing is kept once the last of them has its answer: this is no cache.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// The questions under way, by key.
pub(super) struct Flights<K, T>(Arc<Mutex<Table<K, T>>>);

struct Table<K, T> {
    next: u64,
    under_way: HashMap<K, (u64, WeakShared<BoxFuture<'static, T>>)>,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + std::hash::Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Table { next: 0, under_way: HashMap::new() })))
    }

    /// Joins the flight of `key`, or starts it with `ask`.
    ///
    /// The flight goes on while anybody waits for it: a client that goes away does not take the
    /// answer from the others.
    pub(super) fn join(
        &self,
        key: K,
        ask: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Shared<BoxFuture<'static, T>> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = table.under_way.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        let number = table.next;
        table.next += 1;
        // Owned by the flight: it goes when the flight has ended or was given up by all.
        let entry = Entry { table: Arc::clone(&self.0), key: key.clone(), number };
        let asked = ask();
        let flight = async move {
            let _entry = entry;
            asked.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            table.under_way.insert(key, (number, weak));
        }
        flight
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).under_way.len()
    }
}

struct Entry<K: Eq + std::hash::Hash, T> {
    table: Arc<Mutex<Table<K, T>>>,
    key: K,
    number: u64,
}

impl<K: Eq + std::hash::Hash, T> Drop for Entry<K, T> {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.under_way.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            let removed = table.under_way.remove(&self.key);
            // The weak handle may be the last one to the flight that is being dropped right now.
            drop(table);
            drop(removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_the_same_at_once_share_one_answer() {
        let flights = Flights::<u8, u32>::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let (answer, pending) = oneshot::channel();
        let mut pending = Some(pending);
        let mut join = |key| {
            let asked = Arc::clone(&asked);
            let pending = pending.take();
            flights.join(key, move || {
                asked.fetch_add(1, Ordering::Relaxed);
                async move { pending.unwrap().await.unwrap() }.boxed()
            })
        };
        let (first, second) = (join(1), join(1));
        answer.send(7).unwrap();
        assert_eq!((first.await, second.await), (7, 7));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(flights.under_way(), 0);
    }

    #[tokio::test]
    async fn an_answer_is_not_kept() {
        let flights = Flights::<u8, u32>::new();
        assert_eq!(flights.join(1, || async { 1 }.boxed()).await, 1);
        assert_eq!(flights.join(1, || async { 2 }.boxed()).await, 2);
    }

    #[tokio::test]
    async fn different_keys_fly_apart() {
        let flights = Flights::<u8, u32>::new();
        let one = flights.join(1, || async { 1 }.boxed());
        let two = flights.join(2, || async { 2 }.boxed());
        assert_eq!(flights.under_way(), 2);
        assert_eq!((one.await, two.await), (1, 2));
    }

    #[tokio::test]
    async fn a_flight_that_ends_late_leaves_its_successor_alone() {
        let flights = Flights::<u8, u32>::new();
        let under_way = flights.join(1, || std::future::pending().boxed());
        drop(Entry { table: Arc::clone(&flights.0), key: 1, number: 7 });
        assert_eq!(flights.under_way(), 1);
        drop(under_way);
        assert_eq!(flights.under_way(), 0);
    }

    #[tokio::test]
    async fn a_waiter_who_leaves_does_not_end_the_flight_and_the_last_one_does() {
        let flights = Flights::<u8, u32>::new();
        let (answer, pending) = oneshot::channel::<u32>();
        let first = flights.join(1, || async move { pending.await.unwrap() }.boxed());
        let second = flights.join(1, || async { 0 }.boxed());
        drop(first);
        answer.send(5).unwrap();
        assert_eq!(second.await, 5);
        let abandoned = flights.join(1, || std::future::pending().boxed());
        drop(abandoned);
        assert_eq!(flights.under_way(), 0);
        assert_eq!(flights.join(1, || async { 6 }.boxed()).await, 6);
    }
}
