//! How many reviews ask STS at once, and who is next.
//!
//! A burst is worked off in its order instead of being turned away: kube-apiserver takes a 429 for
//! a failed try. Whoever floods the queue does not keep others out of it: a connection that has
//! nothing in it may always add one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// The places; clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    taken: usize,
    limit: usize,
    queue: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    client: SocketAddr,
    place: oneshot::Sender<Place>,
}

/// One place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place(Places);

/// There is no place, and no room to wait for one; or it took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

impl Places {
    /// A place among `limit`, at once or after those who came before. The latest `limit` counts.
    pub(super) async fn take(&self, client: SocketAddr, limit: usize) -> Result<Place, Full> {
        let turn = {
            let mut state = self.state();
            state.limit = limit;
            if state.taken < limit && state.queue.is_empty() {
                state.taken += 1;
                return Ok(Place(self.clone()));
            }
            state.queue.retain(|waiting| !waiting.place.is_closed());
            let known = || state.queue.iter().any(|waiting| waiting.client == client);
            if state.queue.len() >= QUEUE && known() {
                return Err(Full);
            }
            let (place, turn) = oneshot::channel();
            state.queue.push_back(Waiting { client, place });
            turn
        };
        // The limit may have been raised, or those ahead may have given up.
        self.hand_out();
        match timeout(PATIENCE, turn).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    fn hand_out(&self) {
        while let Some(waiting) = self.next() {
            // Comes back and is dropped, so freed, if nobody waits for it any more.
            drop(waiting.place.send(Place(self.clone())));
        }
    }

    /// The next who still waits, with a place counted as taken.
    fn next(&self) -> Option<Waiting> {
        let mut state = self.state();
        while state.taken < state.limit {
            let waiting = state.queue.pop_front()?;
            if !waiting.place.is_closed() {
                state.taken += 1;
                return Some(waiting);
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().taken -= 1;
        self.0.hand_out();
    }
}

/// Reviews in the queue, each of some 10 KiB: beyond, only the first of a connection may join.
const QUEUE: usize = 192;
/// Longer than a full queue takes at an STS of 20 ms ten times over; kube-apiserver waits 30 s.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    fn client(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[tokio::test]
    async fn who_comes_first_is_served_first() {
        let places = Places::default();
        let taken = places.take(client(1), 1).await.unwrap();
        let mut second = Box::pin(places.take(client(2), 1));
        let mut third = Box::pin(places.take(client(3), 1));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());

        drop(taken);

        assert!((&mut third).now_or_never().is_none());
        let taken = second.await.unwrap();
        drop(taken);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn who_gave_up_is_passed_over() {
        let places = Places::default();
        let taken = places.take(client(1), 1).await.unwrap();
        let mut second = Box::pin(places.take(client(2), 1));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(places.take(client(3), 1));
        assert!((&mut third).now_or_never().is_none());

        drop(second);
        drop(taken);

        third.await.unwrap();
    }

    #[tokio::test]
    async fn a_place_that_was_given_to_somebody_who_left_is_free_again() {
        let places = Places::default();
        let taken = places.take(client(1), 1).await.unwrap();
        let mut second = Box::pin(places.take(client(2), 1));
        assert!((&mut second).now_or_never().is_none());

        drop(taken); // the second has it now, and has not looked
        drop(second);

        assert!(places.take(client(3), 1).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_takes_one_more_of_a_connection_that_has_none_in_it() {
        let places = Places::default();
        let taken = places.take(client(1), 1).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..QUEUE {
            let mut one = Box::pin(places.take(client(1), 1));
            assert!((&mut one).now_or_never().is_none());
            flood.push(one);
        }
        let beyond = places.take(client(1), 1).now_or_never();
        assert_eq!(beyond.unwrap().err(), Some(Full));
        let mut honest = Box::pin(places.take(client(2), 1));
        assert!((&mut honest).now_or_never().is_none());
        let again = places.take(client(2), 1).now_or_never();
        assert_eq!(again.unwrap().err(), Some(Full));

        drop(taken);

        let served = join_all(flood.into_iter().map(|one| async { one.await.map(drop) }));
        let (served, honest) = tokio::join!(served, honest);
        assert!(served.into_iter().all(|one| one.is_ok()));
        honest.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_in_time() {
        let places = Places::default();
        let _taken = places.take(client(1), 1).await.unwrap();
        let began = tokio::time::Instant::now();

        assert_eq!(places.take(client(2), 1).await.err(), Some(Full));

        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test]
    async fn a_raised_limit_lets_those_in_who_wait() {
        let places = Places::default();
        let _first = places.take(client(1), 1).await.unwrap();
        let mut second = Box::pin(places.take(client(2), 1));
        assert!((&mut second).now_or_never().is_none());

        let third = places.take(client(3), 3).await.unwrap();

        second.await.unwrap();
        drop(third);
    }
}
