//! `status`.

use crate::support::nats::{Server, make_stream};
use crate::support::relay::{Relay, nats};
use crate::support::until;
use serde_json::Value;

fn part<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["parts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|part| part["name"].as_str().unwrap().starts_with(name))
        .unwrap_or_else(|| panic!("no {name}: {status}"))
}

#[test]
fn it_says_how_far_each_sink_is() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    outbox.status();
    for _ in 0..3 {
        outbox.write();
    }
    let before = relay.json(&["status", "--output", "json"]);
    assert_eq!(before["state"], "failed");
    assert_eq!(part(&before, "nats ")["state"], "ok");
    assert_eq!(part(&before, "stream HOOKMUX")["state"], "ok");
    assert!(
        part(&before, "sink nats")["error"]["fix"].as_str().unwrap().contains("systemctl enable")
    );
    // it asks the stream, and stores nothing
    assert_eq!(crate::support::nats::count(&server.url()), 0);
    relay.publish();
    relay.reaches("nats", 3);
    until("a good status", || relay.json(&["status", "--output", "json"])["state"] == "ok");
    let after = relay.json(&["status", "--output", "json"]);
    assert_eq!(part(&after, "sink nats")["cursor"], 3);
    assert_eq!(part(&after, "sink nats")["waiting"], 0);
    assert_eq!(part(&after, "outbox ")["status"]["version"], "0.2.0");
    let output = relay.call(&["status"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("ok      sink nats: 0 events wait"));
    relay.kill();
    outbox.write();
    let dead = relay.json(&["status", "--output", "json"]);
    assert_eq!(part(&dead, "sink nats")["waiting"], 1);
    assert!(
        part(&dead, "sink nats")["error"]["message"]
            .as_str()
            .unwrap()
            .contains("its service doesn't run")
    );
}

#[test]
fn each_server_is_tried_by_itself() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let away = format!("nats://127.0.0.1:{}", crate::support::nats::free_port());
    let relay = Relay::new(&nats(&format!("{},{away}", server.url())));
    let status = relay.json(&["status", "--output", "json"]);
    assert_eq!(part(&status, &format!("nats 127.0.0.1:{}", server.port))["state"], "ok");
    let other = part(&status, &away.replace("nats://", "nats "));
    assert!(other["error"]["message"].as_str().unwrap().contains("connection refused"));
}

#[test]
fn an_outbox_that_is_missing_is_said_with_the_setting() {
    let server = Server::start();
    let relay = Relay::to(&server.url());
    std::fs::remove_dir(relay.path("outbox")).unwrap();
    let status = relay.json(&["status", "--output", "json"]);
    assert!(
        part(&status, "outbox ")["error"]["message"].as_str().unwrap().contains("outbox: true")
    );
}
