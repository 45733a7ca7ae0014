//! `watch`.

use crate::support::nats::{Server, make_stream};
use crate::support::outbox::{Outbox, UUID};
use crate::support::pki::Pki;
use crate::support::relay::Relay;
use serde_json::Value;

/// Three hosts' events in a stream: two starts each and a stop, which is last.
fn filled() -> (Server, Relay) {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let relay = Relay::to(&server.url());
    let mut last = 0;
    for host in ["node-1.example.org", "node-2.example.org", "node-3"] {
        let mut outbox = Outbox::new(&relay.path("outbox"), host);
        outbox.skip(last);
        outbox.write();
        outbox.write();
        outbox.write_changed(|event| {
            event["subject"] = format!("qemu/stopped/{UUID}").into();
            event["data"]["operation"] = "stopped".into();
            event["data"]["outcome"] = "good".into();
            event["data"]["object"] = "we\u{1b}[31mb".into();
            event["data"]["runs"] = serde_json::json!([]);
        });
        last = outbox.last();
    }
    assert!(relay.call(&["publish", "--once"]).status.success());
    (server, relay)
}

fn lines(relay: &Relay, words: &[&str]) -> Vec<Value> {
    let mut all = vec!["watch", "--no-follow", "--output", "json"];
    all.extend(words);
    let output = relay.call(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

// O1: a subscriber names the beginning of a key
#[test]
fn prefixes_choose_and_since_says_where_to_begin() {
    let (_server, relay) = filled();
    let table: [(&[&str], usize); 19] = [
        (&["--since", "beginning"], 9),
        (&["--since", "1h"], 9),
        (&["--since", "2126-01-01T00:00:00Z"], 0),
        (&["--since", "now"], 0),
        (&["--since", "beginning", "qemu"], 9),
        (&["--since", "beginning", "qemu.stopped"], 3),
        (&["--since", "beginning", "qemu.st"], 9),
        (&["--since", "beginning", "qemu.stop"], 3),
        (&["--since", "beginning", "lxc"], 0),
        (&["--since", "beginning", "after_vm_"], 9),
        (&["--since", "beginning", "after_vm_launch", "qemu.stopped"], 3),
        (&["--since", "beginning", "before_vm_start"], 0),
        (&["--since", "beginning", "--failed"], 6),
        (&["--since", "beginning", "--guest", "web-1"], 6),
        (&["--since", "beginning", "--guest", "web-*"], 6),
        (&["--since", "beginning", "--guest", "web"], 0),
        (&["--since", "beginning", "host=node-2.example.org"], 3),
        (&["--since", "beginning", "host=node-2.example.org", "qemu.started", UUID], 2),
        (&["--since", "beginning", "--count", "4"], 4),
    ];
    for (words, count) in table {
        assert_eq!(lines(&relay, words).len(), count, "{words:?}");
    }
    for line in lines(&relay, &["--since", "beginning", "host=node-3"]) {
        assert_eq!(line["format"], 1);
        assert_eq!(line["host"], "node-3");
        assert_eq!(line["event"]["source"], "hookmux/node-3");
    }
    assert_eq!(relay.call(&["watch", "kvm.started"]).status.code(), Some(1));
    assert_eq!(relay.call(&["watch", "--since", "noon"]).status.code(), Some(2));
}

#[test]
fn its_text_is_for_people_and_obeyed_by_no_terminal() {
    let (_server, relay) = filled();
    let output =
        relay.call(&["watch", "--no-follow", "--since", "beginning", "host=node-1.example.org"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("2026-11-30T18:00:00Z  node-1.example.org  qemu/started  web-1  failed  0.250 s  2 hooks\n    after_vm_launch/20-b: exit status 3\n"), "{text}");
    assert!(text.contains("qemu/stopped  we\\u{1b}[31mb  good  0.250 s  0 hooks"), "{text}");
}

#[test]
fn it_follows_and_a_server_that_restarts_costs_nothing() {
    let (mut server, mut relay) = filled();
    relay.start(&["watch", "--since", "beginning", "--count", "11", "--output", "json"]);
    relay.says("\"stream_sequence\":9");
    server.kill();
    server.start_again();
    let mut outbox = relay.outbox();
    outbox.skip(9);
    outbox.write();
    outbox.write();
    assert!(relay.call(&["publish", "--once"]).status.success());
    crate::support::until("its end", || !relay.is_running());
    let seen = relay.log().lines().filter(|line| line.starts_with('{')).count();
    assert_eq!(seen, 11, "{}", relay.log());
}

#[test]
fn a_message_that_lies_about_its_host_is_shown_as_such() {
    let (server, relay) = filled();
    crate::support::nats::block_on(async {
        let context = crate::support::nats::context(&server.url()).await;
        let event = crate::support::outbox::event(
            &crate::support::outbox::ulid(1),
            "node-1.example.org",
            1,
        );
        context
            .publish(format!("hookmux.v1.evil.qemu.started.{UUID}"), event.to_string().into())
            .await
            .unwrap()
            .await
            .unwrap();
        context
            .publish("hookmux.v1.evil.qemu.started.-", "nothing".into())
            .await
            .unwrap()
            .await
            .unwrap();
    });
    let all = lines(&relay, &["--since", "beginning", "host=evil"]);
    assert_eq!(all.len(), 2);
    for line in all {
        assert_eq!(line["host"], "evil");
        assert!(line["error"]["message"].is_string() && line.get("event").is_none(), "{line}");
    }
}

#[test]
fn the_rights_of_a_watcher_are_enough_and_needed() {
    let pki = Pki::new();
    let users = r#"    { user: "admin.example.org" }
    { user: "desk.example.org", permissions: {
        publish: ["$JS.API.STREAM.INFO.HOOKMUX", "$JS.API.CONSUMER.CREATE.HOOKMUX.>", "$JS.API.CONSUMER.CREATE.HOOKMUX", "$JS.API.CONSUMER.INFO.HOOKMUX.>", "$JS.API.CONSUMER.DELETE.HOOKMUX.>", "$JS.API.CONSUMER.MSG.NEXT.HOOKMUX.>"]
        subscribe: ["_INBOX_desk.>"] } }
    { user: "nobody.example.org", permissions: { publish: ["nothing"], subscribe: ["_INBOX_desk.>"] } }"#;
    let server = Server::with(&pki.server_lines(users));
    for name in ["admin", "desk", "nobody"] {
        pki.certificate(name, &format!("DNS:{name}.example.org"), "ca");
    }
    let relay = Relay::new(&pki.client_lines(server.port, "admin"));
    assert!(relay.call(&["ensure-stream"]).status.success());
    relay.outbox().write();
    assert!(relay.call(&["publish", "--once"]).status.success());
    let inbox = "  inbox_prefix: _INBOX_desk\n";
    relay.configure(&format!("{}{inbox}", pki.client_lines(server.port, "desk")));
    assert_eq!(lines(&relay, &["--since", "beginning"]).len(), 1);
    relay.configure(&format!("{}{inbox}", pki.client_lines(server.port, "nobody")));
    let output = relay.call(&["watch"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.to_lowercase().contains("permissions violation") && text.contains("docs/fleet.md"),
        "{text}"
    );
}
