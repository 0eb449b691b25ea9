use std::net::Ipv4Addr;

use super::super::limits::{BODIES, GREETING, PERSISTENT, REQUESTS};
use super::*;
use crate::clock::UnixTime;

const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4321);

fn guests() -> Guests {
    Guests::new(Port::Tls, &Arc::new(Metrics::new(UnixTime::from_secs(0), || None)))
}

fn sit(guests: &Guests) -> Seat {
    guests.seat(CLIENT, usize::MAX).unwrap()
}

fn gone(seats: &[&Seat]) -> Vec<bool> {
    seats.iter().map(|seat| seat.guest.is_dismissed()).collect()
}

#[tokio::test(start_paused = true)]
async fn seats_follow_the_limit_of_the_moment() {
    let guests = guests();
    let (first, second) = (sit(&guests), sit(&guests));
    let _busy = [first.guest.wait(), second.guest.wait()];
    let _asking = [first.guest.ask(), second.guest.ask()];
    assert_eq!(guests.seat(CLIENT, 2).err(), Some(Full));
    let third = guests.seat(CLIENT, 3).unwrap();
    // Two have to go; one can.
    assert_eq!(guests.seat(CLIENT, 2).err(), Some(Full));
    assert_eq!(gone(&[&first, &second, &third]), [false, false, true]);
    drop(first);
    assert!(guests.seat(CLIENT, 2).is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_has_not_greeted_goes_first_then_who_is_at_rest_for_longest_and_nobody_who_is_known() {
    let guests = guests();
    let mut seats = Vec::new();
    for _ in 0..6 {
        seats.push(sit(&guests));
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    for at in [0, 1, 2, 3, 5] {
        seats[at].guest.greet();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    seats[0].guest.recognize();
    // An answer is something that was brought to an end.
    drop(seats[1].guest.ask());
    let _waiting = (seats[2].guest.ask(), seats[2].guest.wait());
    let mut order = Vec::new();
    while guests.make_room() {
        let leaves = |at: &usize| seats[*at].guest.is_dismissed() && !order.contains(at);
        let next = (0..seats.len()).find(leaves).unwrap();
        order.push(next);
    }
    // The one that is known stays: there is still a stranger.
    assert_eq!(order, [4, 3, 5, 1]);
}

#[tokio::test(start_paused = true)]
async fn who_keeps_asking_in_vain_goes_before_those_who_just_came() {
    let guests = guests();
    let (asking, new) = (sit(&guests), sit(&guests));
    for seat in [&asking, &new] {
        seat.guest.greet();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    (1..PERSISTENT).for_each(|_| drop(asking.guest.ask()));
    let _waiting = (asking.guest.ask(), asking.guest.wait());
    assert!(guests.seat(CLIENT, 2).is_ok());
    assert_eq!(gone(&[&asking, &new]), [false, true]);
    let new = sit(&guests);
    new.guest.greet();
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    drop(asking.guest.ask());
    assert!(guests.seat(CLIENT, 2).is_ok());
    assert_eq!(gone(&[&asking, &new]), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn who_has_not_had_the_time_to_greet_does_not_go_before_those_who_ask_in_vain() {
    let guests = guests();
    let (asking, new) = (sit(&guests), sit(&guests));
    asking.guest.greet();
    (0..PERSISTENT).for_each(|_| drop(asking.guest.ask()));
    tokio::time::advance(GREETING).await;
    assert!(guests.make_room());
    assert_eq!(gone(&[&asking, &new]), [true, false]);
    let (asking, newer) = (sit(&guests), sit(&guests));
    asking.guest.greet();
    (0..PERSISTENT).for_each(|_| drop(asking.guest.ask()));
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    assert!(guests.make_room());
    assert_eq!(gone(&[&asking, &new, &newer]), [false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn at_the_health_port_whoever_asks_often_is_no_stranger() {
    let metrics = Arc::new(Metrics::new(UnixTime::from_secs(0), || None));
    let guests = Guests::new(Port::Health, &metrics);
    let (scraper, silent) = (sit(&guests), sit(&guests));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    (0..PERSISTENT).for_each(|_| drop(scraper.guest.ask()));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert!(guests.make_room());
    assert_eq!(gone(&[&scraper, &silent]), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn who_had_an_answer_goes_before_those_who_wait_for_their_first() {
    let guests = guests();
    let (first, second) = (sit(&guests), sit(&guests));
    for seat in [&first, &second] {
        seat.guest.greet();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    let _first = (first.guest.ask(), first.guest.wait());
    drop(second.guest.ask());
    let _second = (second.guest.ask(), second.guest.wait());
    let third = guests.seat(CLIENT, 2).unwrap();
    let _third = third.guest.wait();
    assert_eq!(gone(&[&first, &second, &third]), [false, true, false]);
    drop(second);
    assert_eq!(guests.seat(CLIENT, 2).err(), Some(Full));
    assert_eq!(gone(&[&first, &third]), [false, false]);
}

#[tokio::test(start_paused = true)]
async fn one_who_is_known_leaves_for_strangers_only_while_they_have_less_than_half() {
    let guests = guests();
    let seats: Vec<_> = (0..6).map(|_| sit(&guests)).collect();
    let _busy = [seats[4].guest.wait(), seats[5].guest.wait()];
    for known in &seats[..4] {
        known.guest.recognize();
    }
    let asking = seats[0].guest.ask();
    let third = guests.seat(CLIENT, 6).unwrap();
    assert_eq!(gone(&seats.iter().collect::<Vec<_>>()), [false, true, false, false, false, false]);
    let _third = third.guest.wait();
    assert_eq!(guests.seat(CLIENT, 6).err(), Some(Full));
    drop(asking);
    assert_eq!(guests.seat(CLIENT, 6).err(), Some(Full));
}

#[tokio::test(start_paused = true)]
async fn strangers_have_http2_on_half_of_the_seats() {
    let guests = guests();
    let mut seats = Vec::new();
    for _ in 0..4 {
        seats.push(guests.seat(CLIENT, 4).unwrap());
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    let held: Vec<_> = seats[..2].iter().map(|seat| seat.guest.http2().unwrap()).collect();
    seats[0].guest.recognize();
    let _third = seats[2].guest.http2().unwrap();
    assert_eq!(gone(&seats.iter().collect::<Vec<_>>()), [false; 4]);
    // Among equals the one that has been at rest for longest.
    assert!(seats[3].guest.http2().is_ok());
    assert_eq!(gone(&seats.iter().collect::<Vec<_>>()), [false, true, false, false]);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn among_those_who_hold_the_same_whoever_waits_for_its_first_answer_stays() {
    let guests = guests();
    let mut seats = Vec::new();
    for _ in 0..3 {
        let seat = guests.seat(CLIENT, 4).unwrap();
        seat.guest.greet();
        seats.push(seat);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    let _waiting = seats[0].guest.wait();
    let _held: Vec<_> = seats[..2].iter().map(|seat| seat.guest.http2().unwrap()).collect();
    assert!(seats[2].guest.http2().is_ok());
    assert_eq!(gone(&seats.iter().collect::<Vec<_>>()), [false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn room_for_one_request_comes_with_the_seat() {
    let guests = guests();
    let (hoarders, modest) = ([sit(&guests), sit(&guests)], sit(&guests));
    let mut held = Vec::new();
    for hoarder in &hoarders {
        held.extend((0..REQUESTS.strangers).map(|_| hoarder.guest.request().unwrap()));
        assert_eq!(hoarder.guest.request().err(), Some(Full));
    }
    // They have to leave, and have not let go yet.
    let _first = modest.guest.request().unwrap();
    assert_eq!(modest.guest.request().err(), Some(Full));
    assert_eq!(gone(&[&hoarders[0], &hoarders[1], &modest]), [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn the_stranger_who_holds_most_gives_way_to_a_request() {
    let guests = guests();
    let modest = sit(&guests);
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    let (hoarder, known) = (sit(&guests), sit(&guests));
    known.guest.recognize();
    let some = |seat: &Seat, n| (0..n).map(|_| seat.guest.request().unwrap()).collect::<Vec<_>>();
    let _kept = some(&known, REQUESTS.all - REQUESTS.strangers);
    let mut held = some(&hoarder, REQUESTS.strangers - 1);
    held.extend(some(&modest, 1));
    assert_eq!(gone(&[&hoarder, &modest, &known]), [false, false, false]);
    assert!(modest.guest.request().is_ok());
    assert_eq!(gone(&[&hoarder, &modest, &known]), [true, false, false]);
    assert_eq!(hoarder.guest.request().err(), Some(Full));
    // What is given back is counted once.
    drop(held);
    assert!(guests.0.goods.held(Good::Requests) == REQUESTS.all - REQUESTS.strangers);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_too_much_alone_is_the_one_to_leave() {
    let guests = guests();
    let (hoarder, modest) = (sit(&guests), sit(&guests));
    let mut large = hoarder.guest.bytes();
    let mut small = modest.guest.bytes();
    assert_eq!(small.grow(1), Ok(()));
    assert_eq!(large.grow(BODIES.strangers - 1), Ok(()));
    assert_eq!(large.grow(1), Err(Full));
    assert_eq!(gone(&[&hoarder, &modest]), [true, false]);
    assert_eq!(small.grow(1), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn those_who_are_known_have_bounds_too() {
    let guests = guests();
    let (known, stranger) = (sit(&guests), sit(&guests));
    known.guest.recognize();
    let (mut ours, mut theirs) = (known.guest.bytes(), stranger.guest.bytes());
    assert_eq!(theirs.grow(BODIES.strangers), Ok(()));
    assert_eq!(ours.grow(BODIES.all - BODIES.strangers), Ok(()));
    assert_eq!(ours.grow(BODIES.strangers), Ok(()));
    assert_eq!(gone(&[&known, &stranger]), [false, true]);
    assert_eq!(ours.grow(1), Err(Full));
    assert_eq!(gone(&[&known, &stranger]), [false, true]);
}
