//! One connection: what it does, what it holds, and whether it may stay.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::Asker;
use super::super::limits::{self, Bound};
use super::{Full, Good, Goods, House, Want};
use crate::metrics::Port;

/// One connection, as those who serve it see it.
#[derive(Debug)]
pub(in super::super) struct Guest {
    client: SocketAddr,
    house: Arc<House>,
    greeted: AtomicBool,
    spoken: AtomicBool,
    known: AtomicBool,
    dismissed: AtomicBool,
    leave: Notify,
    /// Requests whose answer is not ready.
    asking: AtomicUsize,
    /// Of these, reviews whose body is here: the next word is ours.
    waiting: AtomicUsize,
    goods: Goods,
    /// To requests of all kinds.
    answers: AtomicUsize,
    /// Bytes since a request began.
    said: AtomicUsize,
    /// When it last brought something to an end: its arrival, the handshake, an answer.
    rested: Mutex<Instant>,
}

impl Guest {
    pub(super) fn new(house: &Arc<House>, client: SocketAddr) -> Self {
        Self {
            client,
            house: Arc::clone(house),
            greeted: AtomicBool::new(false),
            spoken: AtomicBool::new(false),
            known: AtomicBool::new(false),
            dismissed: AtomicBool::new(false),
            leave: Notify::new(),
            asking: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            goods: Goods::default(),
            answers: AtomicUsize::new(0),
            said: AtomicUsize::new(0),
            rested: Mutex::new(Instant::now()),
        }
    }

    pub(in super::super) fn client(&self) -> SocketAddr {
        self.client
    }

    /// Who this is to those who answer.
    pub(in super::super) fn asker(&self) -> Asker {
        Asker { client: self.client, known: self.is_known() }
    }

    /// The handshake is done.
    pub(in super::super) fn greet(&self) {
        self.greeted.store(true, Ordering::Relaxed);
        self.rest();
    }

    /// One of its reviews was granted.
    pub(in super::super) fn recognize(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// Whether the next word is ours, and would be the first.
    pub(super) fn awaits_its_first_answer(&self) -> bool {
        let answers = self.answers.load(Ordering::Relaxed);
        answers == 0 && self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether it had many answers; of a stranger to the webhook, whether it asks in vain.
    pub(super) fn is_persistent(&self) -> bool {
        let asks_in_vain = self.answers.load(Ordering::Relaxed) >= limits::PERSISTENT;
        asks_in_vain && self.house.port == Port::Tls
    }

    pub(in super::super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Resolves, once, when the connection has to leave.
    pub(in super::super) async fn has_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Until when it may stay without another word; `None` if it never spoke.
    pub(in super::super) fn stays_until(&self, idle: Duration) -> Option<Instant> {
        if !self.spoken.load(Ordering::Relaxed) {
            None
        } else if self.is_asking() {
            Some(Instant::now() + idle)
        } else {
            Some(self.rested() + idle)
        }
    }

    /// A request begins.
    pub(in super::super) fn ask(self: &Arc<Self>) -> Asking {
        self.spoken.store(true, Ordering::Relaxed);
        self.said.store(0, Ordering::Relaxed);
        self.asking.fetch_add(1, Ordering::Relaxed);
        Asking(Arc::clone(self))
    }

    /// More bytes came: how many, since a request began.
    pub(in super::super) fn said(&self, bytes: usize) -> usize {
        self.said.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes)
    }

    /// A whole question is here.
    pub(in super::super) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(self))
    }

    /// Room for HTTP/2 on the connection.
    pub(in super::super) fn http2(self: &Arc<Self>) -> Result<Held, Full> {
        let mut held = self.nothing(Good::Http2);
        held.grow(1).map(|()| held)
    }

    /// Room for one request, from its head until its answer is sent.
    pub(in super::super) fn request(self: &Arc<Self>) -> Result<Held, Full> {
        let mut held = self.nothing(Good::Requests);
        held.grow(1).map(|()| held)
    }

    /// Room for a request's or an answer's body, of which there is nothing yet.
    pub(in super::super) fn bytes(self: &Arc<Self>) -> Held {
        self.nothing(Good::Bytes)
    }

    fn nothing(self: &Arc<Self>, good: Good) -> Held {
        Held { guest: Arc::clone(self), good, amount: 0 }
    }

    /// There is no room for a request of it, or for the answer.
    pub(in super::super) fn turned_away(&self) {
        if let Some(more) = self.house.list().told.tell() {
            let (port, client) = (self.house.port.label(), self.client);
            tracing::warn!(port, %client, more, "no room for a request or its answer");
        }
    }

    pub(super) fn house(&self) -> &House {
        &self.house
    }

    pub(super) fn goods(&self) -> &Goods {
        &self.goods
    }

    /// Whether the handshake takes longer than it should.
    pub(super) fn is_mute(&self) -> bool {
        !self.greeted.load(Ordering::Relaxed) && self.rested().elapsed() > limits::GREETING
    }

    pub(super) fn is_asking(&self) -> bool {
        self.asking.load(Ordering::Relaxed) > 0
    }

    pub(super) fn rested(&self) -> Instant {
        *self.rested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) {
        *self.rested.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Relaxed)
    }

    pub(super) fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }

    /// Whether a house that holds `total` is within its bounds, if need be without somebody.
    fn fits(&self, good: Good, total: usize) -> bool {
        let Bound { all, strangers } = self.house.bound(good);
        if self.is_dismissed() {
            return false;
        }
        // In quiet times nobody needs to be counted. And there are fewer connections than requests:
        // room for one request each comes with the seat.
        if total <= strangers || (good == Good::Requests && self.goods.held(good) <= 1) {
            return true;
        }
        let mut list = self.house.list();
        loop {
            let (held, by_strangers) = list.held(good);
            if held <= all && (self.is_known() || by_strangers <= strangers) {
                // Those who were dismissed may not have let go yet of what they held.
                return self.is_known() || total.saturating_sub(held) <= strangers;
            }
            if self.house.dismiss(&mut list, Want::More(good)).is_err() || self.is_dismissed() {
                return false;
            }
        }
    }
}

/// A request whose answer is being made.
#[derive(Debug)]
pub(in super::super) struct Asking(Arc<Guest>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.rest();
        self.0.answers.fetch_add(1, Ordering::Relaxed);
        self.0.asking.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A review under way.
#[derive(Debug)]
pub(in super::super) struct Waiting(Arc<Guest>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Some of what is scarce; free again when this is dropped.
#[derive(Debug)]
pub(in super::super) struct Held {
    guest: Arc<Guest>,
    good: Good,
    amount: usize,
}

impl Held {
    pub(in super::super) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Takes `more` of it, for which the stranger who holds most may have to leave.
    pub(in super::super) fn grow(&mut self, more: usize) -> Result<(), Full> {
        self.amount += more;
        self.guest.goods.take(self.good, more);
        let total = self.guest.house.goods.take(self.good, more);
        if self.guest.fits(self.good, total) { Ok(()) } else { Err(Full) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.guest.goods.give_back(self.good, self.amount);
        self.guest.house.goods.give_back(self.good, self.amount);
    }
}
