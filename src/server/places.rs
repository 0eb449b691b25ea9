//! How many reviews ask STS at once, and who is next.
//!
//! A burst is worked off in its order instead of being turned away: kube-apiserver takes a 429 for
//! a failed try. Those who are known go before strangers, and have a part of the places to
//! themselves; strangers have a part as well, while they wait for it. Whoever floods a queue does not keep others out of it: a connection that has nothing
//! in it may always add one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Asker, limits};

/// The places; clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    limit: usize,
    known: Side,
    strangers: Side,
}

/// What those of one kind have, and who of them waits.
#[derive(Debug, Default)]
struct Side {
    taken: usize,
    queue: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    client: SocketAddr,
    place: oneshot::Sender<Place>,
}

/// One place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    known: bool,
}

/// There is no place, and no room to wait for one; or it took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

impl Places {
    /// A place among `limit`, at once or after those who came before. The latest `limit` counts.
    pub(super) async fn take(&self, asker: Asker, limit: usize) -> Result<Place, Full> {
        let turn = {
            let mut state = self.state();
            state.limit = limit;
            state.side(asker.known).join(asker.client)?
        };
        self.hand_out();
        match timeout(limits::STS_QUEUE_WAIT, turn).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    fn hand_out(&self) {
        while let Some((known, waiting)) = self.next() {
            // Comes back and is dropped, so freed, if nobody waits for it any more.
            drop(waiting.place.send(Place { places: self.clone(), known }));
        }
    }

    /// The next who still waits, with a place counted as taken.
    fn next(&self) -> Option<(bool, Waiting)> {
        let mut state = self.state();
        let State { limit, ref mut known, ref mut strangers } = *state;
        if known.taken + strangers.taken >= limit {
            return None;
        }
        // Each leaves a part to the other, but only strangers leave theirs empty.
        let share = limits::share(limit);
        let mut stranger = || match strangers.taken < share {
            true => strangers.next().map(|next| (false, next)),
            false => None,
        };
        let first = if known.taken < share { None } else { stranger() };
        first.or_else(|| known.next().map(|next| (true, next))).or_else(stranger)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn side(&mut self, known: bool) -> &mut Side {
        if known { &mut self.known } else { &mut self.strangers }
    }
}

impl Side {
    /// Joins the queue, if there is room in it for another of `client`.
    fn join(&mut self, client: SocketAddr) -> Result<oneshot::Receiver<Place>, Full> {
        self.queue.retain(|waiting| !waiting.place.is_closed());
        if self.queue.len() >= limits::STS_QUEUE
            && self.queue.iter().any(|waiting| waiting.client == client)
        {
            return Err(Full);
        }
        let (place, turn) = oneshot::channel();
        self.queue.push_back(Waiting { client, place });
        Ok(turn)
    }

    fn next(&mut self) -> Option<Waiting> {
        while let Some(waiting) = self.queue.pop_front() {
            if !waiting.place.is_closed() {
                self.taken += 1;
                return Some(waiting);
            }
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.state().side(self.known).taken -= 1;
        self.places.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    fn stranger(port: u16) -> Asker {
        Asker { client: ([127, 0, 0, 1], port).into(), known: false }
    }

    fn known(port: u16) -> Asker {
        Asker { known: true, ..stranger(port) }
    }

    #[tokio::test]
    async fn who_comes_first_is_served_first() {
        let places = Places::default();
        let taken = places.take(stranger(1), 1).await.unwrap();
        let mut second = Box::pin(places.take(stranger(2), 1));
        let mut third = Box::pin(places.take(stranger(3), 1));
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
        let taken = places.take(stranger(1), 1).await.unwrap();
        let mut second = Box::pin(places.take(stranger(2), 1));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(places.take(stranger(3), 1));
        assert!((&mut third).now_or_never().is_none());

        drop(second);
        drop(taken);

        third.await.unwrap();
    }

    #[tokio::test]
    async fn a_place_that_was_given_to_somebody_who_left_is_free_again() {
        let places = Places::default();
        let taken = places.take(stranger(1), 1).await.unwrap();
        let mut second = Box::pin(places.take(stranger(2), 1));
        assert!((&mut second).now_or_never().is_none());

        drop(taken); // the second has it now, and has not looked
        drop(second);

        assert!(places.take(stranger(3), 1).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_takes_one_more_of_a_connection_that_has_none_in_it() {
        let places = Places::default();
        let taken = places.take(stranger(1), 1).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..limits::STS_QUEUE {
            let mut one = Box::pin(places.take(stranger(1), 1));
            assert!((&mut one).now_or_never().is_none());
            flood.push(one);
        }
        let beyond = places.take(stranger(1), 1).now_or_never();
        assert_eq!(beyond.unwrap().err(), Some(Full));
        let mut honest = Box::pin(places.take(stranger(2), 1));
        assert!((&mut honest).now_or_never().is_none());
        let again = places.take(stranger(2), 1).now_or_never();
        assert_eq!(again.unwrap().err(), Some(Full));

        drop(taken);

        let served = join_all(flood.into_iter().map(|one| async { one.await.map(drop) }));
        let (served, honest) = tokio::join!(served, honest);
        assert!(served.into_iter().all(|one| one.is_ok()));
        honest.unwrap();
    }

    #[tokio::test]
    async fn those_who_gave_up_take_no_room_in_the_queue() {
        let places = Places::default();
        let _taken = places.take(stranger(1), 1).await.unwrap();
        for _ in 0..=limits::STS_QUEUE {
            let mut one = Box::pin(places.take(stranger(1), 1));
            assert!((&mut one).now_or_never().is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_in_time() {
        let places = Places::default();
        let _taken = places.take(stranger(1), 1).await.unwrap();
        let began = tokio::time::Instant::now();

        assert_eq!(places.take(stranger(2), 1).await.err(), Some(Full));

        assert_eq!(began.elapsed(), limits::STS_QUEUE_WAIT);
    }

    #[tokio::test]
    async fn a_raised_limit_lets_those_in_who_wait() {
        let places = Places::default();
        let _first = places.take(stranger(1), 1).await.unwrap();
        let mut second = Box::pin(places.take(stranger(2), 1));
        assert!((&mut second).now_or_never().is_none());

        let third = places.take(stranger(3), 3).await.unwrap();

        second.await.unwrap();
        drop(third);
    }

    #[tokio::test]
    async fn strangers_leave_places_to_those_who_are_known() {
        let places = Places::default();
        let mut held = Vec::new();
        for port in 0..3 {
            held.push(places.take(stranger(port), 4).await.unwrap());
        }
        let mut fourth = Box::pin(places.take(stranger(3), 4));
        assert!((&mut fourth).now_or_never().is_none());
        let mut fifth = Box::pin(places.take(stranger(4), 4));
        assert!((&mut fifth).now_or_never().is_none());

        let ours = places.take(known(5), 4).now_or_never().unwrap().unwrap();
        let mut next = Box::pin(places.take(known(6), 4));
        assert!((&mut next).now_or_never().is_none());

        // Who is known goes first, into a stranger's place too.
        drop(held.pop());
        let next = next.now_or_never().unwrap().unwrap();
        assert!((&mut fourth).now_or_never().is_none());
        drop((ours, next));
        let _fourth = fourth.now_or_never().unwrap().unwrap();
        // There is a place, which is none of theirs.
        assert!((&mut fifth).now_or_never().is_none());
        held.clear();
        fifth.now_or_never().unwrap().unwrap();
    }

    #[tokio::test]
    async fn those_who_are_known_leave_places_to_strangers_who_wait() {
        let places = Places::default();
        let mut held = Vec::new();
        for port in 0..4 {
            held.push(places.take(known(port), 4).await.unwrap());
        }
        let mut next = Box::pin(places.take(known(4), 4));
        assert!((&mut next).now_or_never().is_none());
        let mut stranger = Box::pin(places.take(stranger(5), 4));
        assert!((&mut stranger).now_or_never().is_none());

        held.pop();

        assert!((&mut next).now_or_never().is_none());
        let _stranger = stranger.now_or_never().unwrap().unwrap();
        held.pop();
        next.now_or_never().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_crowd_of_strangers_in_the_queue_keeps_nobody_who_is_known_out_of_it() {
        let places = Places::default();
        let taken = places.take(known(1), 1).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..limits::STS_QUEUE {
            let mut one = Box::pin(places.take(stranger(2), 1));
            assert!((&mut one).now_or_never().is_none());
            flood.push(one);
        }
        let mut second = Box::pin(places.take(known(1), 1));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(places.take(known(1), 1));
        assert!((&mut third).now_or_never().is_none());

        drop(taken);

        drop(second.now_or_never().unwrap().unwrap());
        third.now_or_never().unwrap().unwrap();
    }
}
