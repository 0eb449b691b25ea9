//! Who is connected, and who has to go where there is no room.
//!
//! Any process of the host may connect, and all look alike. What tells an API server from the rest
//! is what it brings: a token that STS vouches for and a mapping names. From its first granted
//! review on a connection is *known*; until then it is a stranger's. Where something runs out, a
//! stranger gives way: the one that holds most of it, and among equals the one that has brought
//! nothing to an end for longest. So nobody keeps others out by staying.

mod guest;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use self::guest::{Asking, Guest, Held};
use super::limits::{self, Bound, Quiet};
use crate::metrics::{Metrics, Port};

/// The connections of one port.
#[derive(Debug)]
pub(super) struct Guests(Arc<House>);

/// The place of one connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    guest: Arc<Guest>,
}

/// There is no room, and nobody who could make some.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

/// What is scarce, beside connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Good {
    /// HTTP/2 on a connection.
    Http2,
    /// Requests, from the head until the answer is sent.
    Requests,
    /// Bytes of bodies, those of answers too.
    Bytes,
}

/// How much of each good is held.
#[derive(Debug, Default)]
struct Goods {
    http2: AtomicUsize,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// For what somebody has to leave.
#[derive(Clone, Copy, Debug)]
enum Want {
    Seat,
    More(Good),
}

impl Want {
    fn label(self) -> &'static str {
        match self {
            Self::Seat => "connections",
            Self::More(Good::Http2) => "http2",
            Self::More(Good::Requests) => "requests",
            Self::More(Good::Bytes) => "bodies",
        }
    }
}

#[derive(Debug)]
struct House {
    port: Port,
    metrics: Arc<Metrics>,
    goods: Goods,
    /// The latest limit of connections.
    seats: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    guests: BTreeMap<u64, Arc<Guest>>,
    /// How many of these have been asked to leave.
    leaving: usize,
    told: Quiet,
}

impl Guests {
    pub(super) fn new(port: Port, metrics: &Arc<Metrics>) -> Self {
        let metrics = Arc::clone(metrics);
        let (goods, seats, list) = (Goods::default(), AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(House { port, metrics, goods, seats, list }))
    }

    /// A place among `limit`, for which somebody may have to leave.
    pub(super) fn seat(&self, client: SocketAddr, limit: usize) -> Result<Seat, Full> {
        self.0.seats.store(limit, Ordering::Relaxed);
        let mut list = self.0.list();
        while list.guests.len() - list.leaving >= limit.max(1) {
            if self.0.dismiss(&mut list, Want::Seat).is_err() {
                self.0.metrics.connection_refused(self.0.port);
                return Err(Full);
            }
        }
        let guest = Arc::new(Guest::new(&self.0, client));
        let number = list.next;
        list.next += 1;
        list.guests.insert(number, Arc::clone(&guest));
        drop(list);
        self.0.metrics.connection_opened(self.0.port);
        Ok(Seat { number, guest })
    }

    /// Somebody leaves, if there is anyone who can.
    pub(super) fn make_room(&self) -> bool {
        self.0.dismiss(&mut self.0.list(), Want::Seat).is_ok()
    }
}

impl Seat {
    pub(super) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let house = self.guest.house();
        let mut list = house.list();
        list.guests.remove(&self.number);
        if self.guest.is_dismissed() {
            list.leaving -= 1;
        }
        drop(list);
        house.metrics.connection_closed(house.port);
    }
}

impl Goods {
    fn of(&self, good: Good) -> &AtomicUsize {
        match good {
            Good::Http2 => &self.http2,
            Good::Requests => &self.requests,
            Good::Bytes => &self.bytes,
        }
    }

    fn held(&self, good: Good) -> usize {
        self.of(good).load(Ordering::Relaxed)
    }

    /// How much is held with `more`.
    fn take(&self, good: Good, more: usize) -> usize {
        self.of(good).fetch_add(more, Ordering::Relaxed) + more
    }

    fn give_back(&self, good: Good, less: usize) {
        self.of(good).fetch_sub(less, Ordering::Relaxed);
    }
}

impl House {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bound(&self, good: Good) -> Bound {
        match good {
            Good::Http2 => limits::http2(self.seats.load(Ordering::Relaxed)),
            Good::Requests => limits::REQUESTS,
            Good::Bytes => limits::BODIES,
        }
    }

    /// The least welcome of those who could help leaves.
    fn dismiss(&self, list: &mut List, want: Want) -> Result<(), Full> {
        let guest = list.least_welcome(want).ok_or(Full)?;
        guest.dismiss();
        list.leaving += 1;
        self.metrics.connection_refused(self.port);
        if let Some(more) = list.told.tell() {
            let (port, client, what) = (self.port.label(), guest.client(), want.label());
            tracing::warn!(port, %client, what, more, "closed a connection to make room");
        }
        Ok(())
    }
}

impl List {
    fn present(&self) -> impl Iterator<Item = &Arc<Guest>> {
        self.guests.values().filter(|guest| !guest.is_dismissed())
    }

    fn least_welcome(&self, want: Want) -> Option<Arc<Guest>> {
        let strangers = self.present().filter(|guest| !guest.is_known());
        let found = match want {
            Want::Seat => strangers
                .filter(|guest| !guest.awaits_its_first_answer())
                .min_by_key(|guest| welcome(guest))
                .or_else(|| self.idle().min_by_key(|guest| guest.rested())),
            Want::More(good) => strangers
                .filter(|guest| guest.goods().held(good) > 0)
                .min_by_key(|guest| (Reverse(guest.goods().held(good)), welcome(guest))),
        };
        found.map(Arc::clone)
    }

    /// Those who are known and at rest, as long as strangers have less than half of the seats: they
    /// come anew for ever.
    fn idle(&self) -> impl Iterator<Item = &Arc<Guest>> {
        let (all, strangers) = self.present().fold((0, 0), |(all, strangers), guest| {
            (all + 1, strangers + usize::from(!guest.is_known()))
        });
        self.present()
            .filter(move |guest| 2 * strangers < all && guest.is_known() && !guest.is_asking())
    }

    /// What those who stay hold, and the strangers among them.
    fn held(&self, good: Good) -> (usize, usize) {
        self.present().fold((0, 0), |(all, strangers), guest| {
            let held = guest.goods().held(good);
            (all + held, if guest.is_known() { strangers } else { strangers + held })
        })
    }
}

/// The least are the first to go: who has had the time to greet and did not, since a mere connection
/// costs nothing to make; then who keeps asking in vain. Whoever waits for its first answer goes
/// last.
fn welcome(guest: &Guest) -> impl Ord + use<> {
    let (mute, waits) = (guest.is_mute(), guest.awaits_its_first_answer());
    (!mute, !guest.is_persistent(), waits, guest.rested())
}

#[cfg(test)]
mod tests;
