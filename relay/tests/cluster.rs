//! A cluster of three, of which servers are killed.

use crate::support::nats::{
    Server, assert_all_once, free_port, make_stream, stored, survives_kills, version,
};
use crate::support::relay::Relay;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVENTS: usize = 10_000;

/// Three servers with a stream on all of them, synced at each write where the server can.
fn cluster() -> (Vec<Server>, String) {
    let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let mut servers: Vec<Server> = (0..3).map(|_| Server::prepared("")).collect();
    for (number, server) in servers.iter_mut().enumerate() {
        let all: Vec<String> =
            routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let text = format!(
            "server_name: s{number}\ncluster {{\n  name: fleet\n  listen: \"127.0.0.1:{}\"\n  routes: [{}]\n}}",
            routes[number],
            all.join(", ")
        );
        server.configure(&text);
        if version() >= [2, 10, 0] {
            let file = server.path().join("server.conf");
            let text = std::fs::read_to_string(&file)
                .unwrap()
                .replace("jetstream {", "jetstream {\n  sync_interval: always");
            std::fs::write(file, text).unwrap();
        }
        server.start_again();
    }
    let urls = servers.iter().map(Server::url).collect::<Vec<_>>().join(",");
    make_stream(&urls, |config| config.num_replicas = 3);
    (servers, urls)
}

#[test]
fn every_event_exactly_once_while_each_server_is_killed_in_turn_and_quorum_is_lost() {
    if !survives_kills() {
        return;
    }
    let (mut servers, urls) = cluster();
    let mut relay = Relay::to(&urls);
    let mut outbox = relay.outbox();
    relay.publish();
    let killing = AtomicBool::new(true);
    let ids = std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            while outbox.ids.len() < EVENTS || killing.load(Ordering::Relaxed) {
                for _ in 0..50.min(EVENTS - outbox.ids.len()) {
                    outbox.write();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            std::mem::take(&mut outbox.ids)
        });
        for server in &mut servers {
            std::thread::sleep(Duration::from_millis(800));
            server.kill();
            std::thread::sleep(Duration::from_millis(1500));
            server.start_again();
            relay.kill();
            relay.publish();
        }
        std::thread::sleep(Duration::from_secs(1));
        // two of three are away for a while: nothing can be stored, nothing is lost
        servers[1].kill();
        servers[2].kill();
        std::thread::sleep(Duration::from_secs(4));
        servers[1].start_again();
        servers[2].start_again();
        killing.store(false, Ordering::Relaxed);
        mover.join().unwrap()
    });
    relay.reaches("nats", EVENTS as u64);
    relay.stop();
    assert_all_once(&stored(&urls), &ids);
}
