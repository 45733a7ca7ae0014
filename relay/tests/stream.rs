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
fn the_streams_of_sites_come_together() {
    let line = crate::support::nats::free_port();
    let centre = Server::prepared("");
    let server = |server: &Server, name: &str, leaf: &str| {
        server.configure(&format!("server_name: {name}\nleafnodes {{\n  {leaf}\n}}"));
        let file = server.path().join("server.conf");
        let text = std::fs::read_to_string(&file)
            .unwrap()
            .replace("jetstream {", &format!("jetstream {{\n  domain: {name}"));
        std::fs::write(file, text).unwrap();
    };
    let mut centre = centre;
    server(&centre, "centre", &format!("listen: \"127.0.0.1:{line}\""));
    centre.start_again();
    let mut sites = Vec::new();
    for name in ["site-a", "site-b"] {
        let mut site = Server::prepared("");
        server(
            &site,
            name,
            &format!(
                "remotes: [{{ url: \"nats://127.0.0.1:{line}\", deny_imports: [\"hookmux.v1.>\"], deny_exports: [\"hookmux.v1.>\"] }}]"
            ),
        );
        site.start_again();
        let relay = Relay::to(&site.url());
        assert!(relay.call(&["ensure-stream"]).status.success());
        let mut outbox =
            crate::support::outbox::Outbox::new(&relay.path("outbox"), &format!("node.{name}"));
        for _ in 0..10 {
            outbox.write();
        }
        assert!(relay.call(&["publish", "--once"]).status.success());
        sites.push((site, relay));
    }
    let relay = Relay::to(&centre.url());
    let made = relay.json(&[
        "ensure-stream",
        "--source",
        "site-a",
        "--source",
        "site-b",
        "--output",
        "json",
    ]);
    assert_eq!(made["state"], "created");
    assert_eq!(
        relay.json(&[
            "ensure-stream",
            "--source",
            "site-a",
            "--source",
            "site-b",
            "--output",
            "json"
        ])["state"],
        "unchanged"
    );
    crate::support::until("all events of both sites", || {
        crate::support::nats::count(&centre.url()) == 20
    });
    // the line is down for a while: the site goes on, and the centre has the rest afterwards
    centre.kill();
    let (_, site) = &sites[0];
    let mut outbox = crate::support::outbox::Outbox::new(&site.path("outbox"), "node.site-a");
    outbox.skip(10);
    for _ in 0..5 {
        outbox.write();
    }
    assert!(site.call(&["publish", "--once"]).status.success());
    assert_eq!(crate::support::nats::count(&sites[0].0.url()), 15);
    centre.start_again();
    crate::support::until("the rest", || crate::support::nats::count(&centre.url()) == 25);
    let output = relay.call(&[
        "watch",
        "host=node.site-a",
        "--since",
        "beginning",
        "--no-follow",
        "--output",
        "json",
    ]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 15);
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
