//! From the outbox to the stream.

use crate::support::nats::{Server, assert_all_once, count, make_stream, stored};
use crate::support::outbox::UUID;
use crate::support::relay::{Relay, nats};
use crate::support::until;

#[test]
fn events_go_to_their_subjects_and_the_cursor_follows() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    for _ in 0..10 {
        outbox.write();
    }
    relay.publish();
    relay.reaches("nats", 10);
    // those that come while it runs
    for _ in 0..500 {
        outbox.write();
    }
    relay.reaches("nats", 510);
    let all = stored(&server.url());
    assert_all_once(&all, &outbox.ids);
    for message in &all {
        assert_eq!(
            message.subject,
            format!("hookmux.v1.node-1%2Eexample%2Eorg.qemu.started.{UUID}")
        );
        assert_eq!(message.event["id"], message.id.as_str());
    }
    // it only reads
    assert_eq!(outbox.files().len(), 510);
    relay.stop();
    assert_eq!(relay.rejected(), Vec::<String>::new());
}

#[test]
fn once_sends_what_is_there_and_ends() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    for _ in 0..300 {
        outbox.write();
    }
    let output = relay.call(&["publish", "--once"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(relay.cursor("nats"), Some(300));
    assert_all_once(&stored(&server.url()), &outbox.ids);
    // nothing is sent again
    assert!(relay.call(&["publish", "--once"]).status.success());
    assert_eq!(count(&server.url()), 300);
}

#[test]
fn a_second_relay_of_the_same_state_is_refused() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    relay.outbox().write();
    relay.publish();
    relay.reaches("nats", 1);
    let output = relay.call(&["publish"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another hookmux-relay publishes"));
}

#[test]
fn numbers_that_the_outbox_lost_are_passed_over_and_the_gap_event_tells() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    outbox.write();
    outbox.skip(7);
    let gap = outbox.write_changed(|event| {
        event["type"] = "hookmux.gap.v1".into();
        event["subject"] = "daemon/gap/-".into();
        event["data"] = serde_json::json!({"first": format!("{:020}", 2), "last": format!("{:020}", 8), "events": 7, "why": "full"});
    });
    outbox.write();
    relay.publish();
    relay.reaches("nats", 10);
    let all = stored(&server.url());
    assert_eq!(all.len(), 3);
    assert_eq!(all[1].id, gap);
    assert_eq!(all[1].subject, "hookmux.v1.node-1%2Eexample%2Eorg.daemon.gap.-");
    relay.says("events 2 to 8 are no longer in the outbox");
}

#[test]
fn files_that_are_no_events_stay_and_broken_events_become_gaps() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    outbox.status();
    std::fs::write(outbox.directory.join("notes.txt"), "mine").unwrap();
    std::fs::write(outbox.directory.join(".00000000000000000001-half"), "{").unwrap();
    outbox.write();
    let torn = crate::support::outbox::ulid(2);
    outbox.write_bytes(&torn, b"{\"specversion\": \"1.0\", \"id\"");
    let other = outbox.write_changed(|event| event["id"] = crate::support::outbox::ulid(77).into());
    outbox.write_changed(|event| event["sequence"] = format!("{:020}", 99).into());
    // a link to somebody's file
    let linked = crate::support::outbox::ulid(5);
    let file = outbox.write_bytes(&linked, b"x");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    outbox.write();
    relay.publish();
    until("the last event", || count_of(&server) >= 6);
    let all = stored(&server.url());
    let numbers: Vec<&str> = all
        .iter()
        .filter(|message| message.event["type"] == "hookmux.gap.v1")
        .map(|message| message.event["sequence"].as_str().unwrap())
        .collect();
    assert_eq!(numbers.len(), 4, "{numbers:?}");
    for message in all.iter().filter(|message| message.event["type"] == "hookmux.gap.v1") {
        assert_eq!(message.event["data"]["why"], "unreadable");
        assert_eq!(message.event["data"]["first"], message.event["sequence"]);
        assert_eq!(message.event["data"]["events"], 1);
        assert_ne!(message.id, other);
    }
    assert_eq!(relay.rejected().len(), 4);
}

#[test]
fn an_event_of_which_no_copy_can_be_kept_waits_and_those_behind_it_dont() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    std::fs::create_dir(relay.path("state")).unwrap();
    // no directory can be made here
    std::fs::write(relay.path("state/rejected"), "").unwrap();
    let mut outbox = relay.outbox();
    outbox.write_bytes(&crate::support::outbox::ulid(1), b"{");
    outbox.write();
    outbox.write();
    relay.publish();
    relay.says("no copy can be kept");
    until("those behind it", || count_of(&server) == 2);
    // it hears all the same, and its place stays before the one that waits
    relay.terminate();
    until("its end", || !relay.is_running());
    assert_eq!(relay.cursor("nats"), Some(0));
    relay.kill();
    let output = relay.call(&["publish", "--once"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1 events can never be sent"), "{said}");
    // mended while it runs
    relay.publish();
    until("it waits", || relay.log().matches("no copy can be kept").count() >= 2);
    let is_said = |status: &serde_json::Value| status.to_string().contains("no copy can be kept");
    until("`status` says so", || is_said(&relay.json(&["status", "--output", "json"])));
    std::fs::remove_file(relay.path("state/rejected")).unwrap();
    relay.reaches("nats", 3);
    assert_eq!(relay.rejected().len(), 1);
    assert_eq!(stored(&server.url()).len(), 3);
    until("`status` is content", || !is_said(&relay.json(&["status", "--output", "json"])));
}

/// Its gap event can't be sent either, for a while.
#[test]
fn an_event_that_can_never_be_sent_counts_once() {
    let server = Server::start();
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    outbox.write_bytes(&crate::support::outbox::ulid(1), b"{");
    relay.publish();
    // no stream takes it
    relay.says("no stream takes");
    std::thread::sleep(std::time::Duration::from_secs(3));
    make_stream(&server.url(), |_| ());
    relay.reaches("nats", 1);
    relay.stop();
    let report = std::fs::read(relay.path("state/report.nats.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!((&report["rejected"], &report["sent"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(relay.log().matches("can never be sent").count(), 1, "{}", relay.log());
}

fn count_of(server: &Server) -> usize {
    stored(&server.url()).len()
}

#[test]
fn another_numbering_is_seen_whatever_the_numbers_are() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    outbox.status();
    for _ in 0..20 {
        outbox.write();
    }
    relay.publish();
    relay.reaches("nats", 20);
    let is_in = |relay: &Relay, epoch: &str| {
        std::fs::read_to_string(relay.path("state/cursor.nats"))
            .unwrap()
            .ends_with(&format!("{epoch}\n"))
    };
    assert!(is_in(&relay, outbox.epoch()));
    outbox.remove_up_to(20);
    // state_dir was put back from a copy while it runs
    outbox.begin_anew(10);
    for _ in 0..3 {
        outbox.write();
    }
    relay.reaches("nats", 13);
    relay.says("numbers its events anew after 10");
    assert!(is_in(&relay, outbox.epoch()));
    assert_eq!(stored(&server.url()).len(), 23);
    // and while it doesn't, until all its numbers are passed
    relay.kill();
    outbox.remove_up_to(20);
    outbox.begin_anew(0);
    for _ in 0..30 {
        outbox.write();
    }
    relay.publish();
    relay.reaches("nats", 30);
    assert_eq!(stored(&server.url()).len(), 53);
    // one that goes on behind it loses nothing and sends nothing again
    relay.kill();
    outbox.write();
    outbox.begin_anew(31);
    outbox.write();
    relay.publish();
    relay.reaches("nats", 32);
    assert_eq!(stored(&server.url()).len(), 55);
    assert_eq!(relay.log().matches("numbers its events anew").count(), 2, "{}", relay.log());
}

#[test]
fn a_cursor_that_is_none_sends_again_and_the_ids_stay() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    for _ in 0..20 {
        outbox.write();
    }
    relay.publish();
    relay.reaches("nats", 20);
    relay.kill();
    std::fs::write(relay.path("state/cursor.nats"), "").unwrap();
    relay.publish();
    relay.says("holds no number of 20 digits");
    relay.reaches("nats", 20);
    assert_all_once(&stored(&server.url()), &outbox.ids);
}

#[test]
fn a_sink_that_is_no_longer_configured_holds_nothing_back() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    std::fs::create_dir(relay.path("state")).unwrap();
    std::fs::write(relay.path("state/cursor.otlp"), format!("{:020}\n", 0)).unwrap();
    relay.outbox().write();
    relay.publish();
    relay.reaches("nats", 1);
    assert_eq!(relay.cursor("otlp"), None);
}

#[test]
fn an_outbox_that_comes_later_is_read() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    std::fs::remove_dir(relay.path("outbox")).unwrap();
    relay.publish();
    relay.says("`outbox: true` in hookmux.yaml");
    relay.outbox().write();
    relay.reaches("nats", 1);
}

#[test]
fn a_heartbeat_has_what_hookmux_tells_of_the_host() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::new(&format!("heartbeat: 1s\n{}", nats(&server.url())));
    relay.outbox().status();
    relay.publish();
    until("two heartbeats", || count(&server.url()) >= 2);
    let output = relay.call(&[
        "watch",
        "daemon.heartbeat",
        "--heartbeats",
        "--since",
        "beginning",
        "--count",
        "1",
        "--output",
        "json",
    ]);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["host"], "node-1.example.org");
    assert_eq!(line["subject"], "hookmux.v1.node-1%2Eexample%2Eorg.daemon.heartbeat.-");
    assert_eq!(line["event"]["type"], "hookmux.heartbeat.v1");
    assert_eq!(line["event"]["data"]["hookmux"]["findings"]["error"], 1);
    assert_eq!(line["event"]["data"]["relay"]["waiting"], 0);
}
