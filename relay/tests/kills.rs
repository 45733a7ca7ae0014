//! Servers and relays that are killed, and servers that hang.

use crate::support::nats::{Server, assert_all_once, make_stream, stored, survives_kills};
use crate::support::relay::Relay;
use crate::support::{until, until_within};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVENTS: usize = 20_000;

#[test]
fn every_event_exactly_once_while_server_and_relay_are_killed_five_times() {
    if !survives_kills() {
        return;
    }
    let mut server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    let cursor = relay.path("state/cursor.nats");
    relay.publish();
    let killing = AtomicBool::new(true);
    let ids = std::thread::scope(|scope| {
        // the mover: brings events, and removes what the cursor says
        let mover = scope.spawn(|| {
            while outbox.ids.len() < EVENTS || killing.load(Ordering::Relaxed) {
                for _ in 0..100.min(EVENTS - outbox.ids.len()) {
                    outbox.write();
                }
                if let Ok(text) = std::fs::read_to_string(&cursor) {
                    outbox.remove_up_to(text.trim().parse().unwrap());
                }
                std::thread::sleep(Duration::from_millis(40));
            }
            std::mem::take(&mut outbox.ids)
        });
        for round in 0..5_u64 {
            std::thread::sleep(Duration::from_millis(300 + 137 * round));
            relay.kill();
            relay.publish();
            std::thread::sleep(Duration::from_millis(200 + 211 * round));
            server.kill();
            std::thread::sleep(Duration::from_millis(700));
            server.start_again();
        }
        killing.store(false, Ordering::Relaxed);
        mover.join().unwrap()
    });
    assert_eq!(ids.len(), EVENTS);
    relay.reaches("nats", EVENTS as u64);
    relay.stop();
    assert_all_once(&stored(&server.url()), &ids);
    assert_eq!(relay.rejected(), Vec::<String>::new());
}

#[test]
fn a_server_that_hangs_holds_back_events_and_nothing_is_lost() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    outbox.write();
    relay.publish();
    relay.reaches("nats", 1);
    server.stop_with("-STOP");
    for _ in 0..1000 {
        // writing is never held up: it knows nothing of the server
        outbox.write();
    }
    relay.says("no answer from the server");
    assert!(relay.is_running());
    server.stop_with("-CONT");
    relay.reaches("nats", 1001);
    assert_all_once(&stored(&server.url()), &outbox.ids);
}

#[test]
fn a_relay_that_is_asked_to_end_ends_also_without_a_server() {
    let mut server = Server::start();
    make_stream(&server.url(), |_| ());
    server.kill();
    let mut relay = Relay::to(&server.url());
    relay.outbox().write();
    relay.publish();
    relay.says("connection refused");
    relay.stop();
    assert_eq!(relay.cursor("nats"), Some(0));
    relay.publish();
    server.start_again();
    relay.reaches("nats", 1);
    // also while it has nothing to do
    until_within("its end", Duration::from_secs(60), || relay.is_running());
    relay.stop();
    until("no relay", || !relay.is_running());
}
