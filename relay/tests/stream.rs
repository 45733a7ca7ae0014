//! `ensure-stream`.

use crate::support::nats::{Server, block_on, context, version};
use crate::support::relay::Relay;
use async_nats::jetstream::stream::Config;

fn config(server: &Server) -> Config {
    block_on(async {
        context(&server.url())
            .await
            .get_stream("HOOKMUX")
            .await
            .unwrap()
            .cached_info()
            .config
            .clone()
    })
}

#[test]
fn a_stream_is_made_changed_and_left_alone() {
    let server = Server::start();
    let relay = Relay::to(&server.url());
    let dry = relay.json(&["ensure-stream", "--dry-run", "--output", "json"]);
    assert_eq!((dry["state"].as_str(), dry["changed"].as_bool()), (Some("created"), Some(false)));
    let made = relay.json(&["ensure-stream", "--output", "json"]);
    assert_eq!((made["state"].as_str(), made["changed"].as_bool()), (Some("created"), Some(true)));
    let there = config(&server);
    assert_eq!(there.subjects, ["hookmux.v1.>"]);
    assert_eq!(there.duplicate_window.as_secs(), 3600);
    assert_eq!(there.max_message_size, 256 << 10);
    assert_eq!(there.max_bytes, 4 << 30);
    assert!(there.deny_delete);
    assert_eq!(relay.json(&["ensure-stream", "--output", "json"])["state"], "unchanged");
    let changed = relay.json(&["ensure-stream", "--max-age", "2d", "--output", "json"]);
    assert_eq!(changed["state"], "changed");
    assert_eq!(changed["changes"][0]["what"], "max_age");
    assert_eq!(config(&server).max_age.as_secs(), 2 * 86400);
    // what it doesn't know of stays
    assert!(config(&server).allow_direct);
    if version() >= [2, 10, 0] {
        assert!(relay.call(&["ensure-stream", "--compress"]).status.success());
    } else {
        let text = String::from_utf8(relay.call(&["ensure-stream", "--compress"]).stderr).unwrap();
        assert!(text.contains("can't compress"), "{text}");
    }
}

#[test]
fn options_stand_in_for_a_configuration() {
    let server = Server::start();
    let relay = Relay::new("");
    let text = String::from_utf8(relay.call(&["ensure-stream"]).stderr).unwrap();
    assert!(text.contains("give --server URL"), "{text}");
    let output = relay.call(&["ensure-stream", "--server", &server.url(), "--stream", "HOOKMUX"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(relay.call(&["ensure-stream", "--replicas", "9"]).status.code(), Some(2));
}
