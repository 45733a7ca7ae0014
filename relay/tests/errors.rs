//! What can be wrong with a server, a stream or this host's credentials: a clear error each, and nothing lost.

use crate::support::nats::{
    Server, assert_all_once, block_on, context, count, make_stream, stored,
};
use crate::support::pki::Pki;
use crate::support::relay::{HOST, Relay, nats};
use crate::support::until;
use async_nats::jetstream::stream::DiscardPolicy;

const USERS: &str = r#"    { user: "admin.example.org" }
    { user: "node-1.example.org", permissions: {
        publish: ["hookmux.v1.node-1%2Eexample%2Eorg.>"]
        subscribe: ["_INBOX_node-1%2Eexample%2Eorg.>"] } }
    { user: "node-2.example.org", permissions: {
        publish: ["hookmux.v1.node-2%2Eexample%2Eorg.>"]
        subscribe: ["_INBOX_node-2%2Eexample%2Eorg.>"] } }"#;

#[test]
fn no_stream_is_said_and_events_wait_for_it() {
    let server = Server::start();
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    for _ in 0..5 {
        outbox.write();
    }
    relay.publish();
    relay.says("no stream takes hookmux.v1.node-1%2Eexample%2Eorg.qemu.started");
    let status = relay.json(&["status", "--output", "json"]);
    assert_eq!(status["state"], "failed");
    assert!(status.to_string().contains("ensure-stream"), "{status}");
    assert_eq!(outbox.files().len(), 5);
    make_stream(&server.url(), |_| ());
    relay.reaches("nats", 5);
    assert_all_once(&stored(&server.url()), &outbox.ids);
    relay.says("nats takes events again");
    until("a good status", || relay.json(&["status", "--output", "json"])["state"] == "ok");
}

#[test]
fn another_stream_with_our_subjects_gets_nothing() {
    let server = Server::start();
    make_stream(&server.url(), |config| config.name = "OTHER".to_owned());
    let mut relay = Relay::to(&server.url());
    relay.outbox().write();
    relay.publish();
    relay.says("another stream than HOOKMUX takes");
    let messages = block_on(async {
        let stream = context(&server.url()).await.get_stream("OTHER").await.unwrap();
        stream.cached_info().state.messages
    });
    assert_eq!(messages, 0);
    assert_eq!(relay.cursor("nats"), Some(0));
}

#[test]
fn a_full_stream_that_refuses_new_events_holds_them_back() {
    let server = Server::start();
    make_stream(&server.url(), |config| {
        config.max_messages = 20;
        config.discard = DiscardPolicy::New;
    });
    let mut relay = Relay::new(&format!("heartbeat: 0s\n{}", nats(&server.url())));
    let mut outbox = relay.outbox();
    for _ in 0..30 {
        outbox.write();
    }
    relay.publish();
    relay.says("the stream HOOKMUX takes no more");
    relay.says("maximum messages exceeded");
    assert_eq!(count(&server.url()), 20);
    make_stream(&server.url(), |config| config.discard = DiscardPolicy::New);
    relay.reaches("nats", 30);
    assert_all_once(&stored(&server.url()), &outbox.ids);
}

#[test]
fn an_event_that_is_too_large_is_kept_and_a_gap_event_goes_in_its_place() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = Relay::to(&server.url());
    let mut outbox = relay.outbox();
    outbox.write();
    // over the stream's max_msg_size, and over the server's max_payload
    for size in [300_000, 1_200_000] {
        outbox.write_changed(|event| event["data"]["title"] = "x".repeat(size).into());
        outbox.write();
    }
    relay.publish();
    relay.reaches("nats", 5);
    let all = stored(&server.url());
    assert_eq!(all.len(), 5);
    for number in [2, 4] {
        let sequence = format!("{number:020}");
        let gap =
            all.iter().find(|message| message.event["sequence"] == sequence.as_str()).unwrap();
        assert_eq!(gap.event["type"], "hookmux.gap.v1");
        assert_eq!(
            gap.event["data"],
            serde_json::json!({"first": sequence, "last": sequence, "events": 1, "why": "rejected"})
        );
        assert_ne!(gap.id, outbox.ids[number - 1]);
    }
    relay.says("it is larger than the stream HOOKMUX takes");
    relay.says("it is larger than the server takes");
    assert_eq!(relay.rejected().len(), 2);
}

#[test]
fn wrong_passwords_and_refused_connections_are_said_exactly() {
    let server = Server::with("authorization {\n  user: hookmux\n  password: right\n}");
    let relay = Relay::new("");
    std::fs::write(relay.path("password"), "wrong\n").unwrap();
    let section = |port: u16| {
        format!(
            "nats:\n  servers: [\"nats://127.0.0.1:{port}\"]\n  user: hookmux\n  password_file: {}\n",
            relay.path("password").display()
        )
    };
    let closed = crate::support::nats::free_port();
    let table = [
        (section(server.port), "the server refused user hookmux with the password in"),
        (nats(&server.url()), "the server refused a connection without credentials"),
        (section(closed), "connection refused"),
        ("nats:\n  servers: [\"nats://host.invalid\"]\n".to_owned(), "host.invalid:4222: "),
        (
            section(server.port).replace("password_file: ", "password_file: /nowhere"),
            "password_file: /nowhere",
        ),
    ];
    for (sections, said) in table {
        relay.configure(&sections);
        relay.outbox();
        let output = relay.call(&["status"]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn credentials_that_are_mended_need_no_restart_of_the_outbox() {
    let server = Server::with("authorization {\n  user: hookmux\n  password: right\n}");
    let mut relay = Relay::new("");
    std::fs::write(relay.path("password"), "wrong\n").unwrap();
    relay.configure(&format!(
        "nats:\n  servers: [\"nats://127.0.0.1:{}\"]\n  user: hookmux\n  password_file: {}\n",
        server.port,
        relay.path("password").display()
    ));
    relay.outbox().write();
    relay.publish();
    relay.says("the server refused user hookmux");
    assert!(relay.is_running());
    relay.stop();
    std::fs::write(relay.path("password"), "right\n").unwrap();
    assert!(relay.call(&["ensure-stream"]).status.success());
    relay.publish();
    relay.reaches("nats", 1);
}

#[test]
fn certificates_are_judged_exactly_and_a_host_publishes_as_itself_only() {
    let pki = Pki::new();
    let server = Server::with(&pki.server_lines(USERS));
    for name in ["admin", "node-1", "node-2", "stranger"] {
        pki.certificate(name, &format!("DNS:{name}.example.org"), "ca");
    }
    pki.authority("other-ca");
    pki.certificate("other", "DNS:node-1.example.org", "other-ca");

    let mut relay = Relay::new(&pki.client_lines(server.port, "admin"));
    let output = relay.call(&["ensure-stream"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let without = format!(
        "nats:\n  servers: [\"tls://127.0.0.1:{}\"]\n  ca: {}\n",
        server.port,
        pki.file("ca.pem").display()
    );
    let own = |name: &str| pki.client_lines(server.port, name);
    let table = [
        (without, "the server wants a certificate of this host"),
        (own("stranger"), "none of its users has that name"),
        (own("other"), "the server refused this host's certificate"),
        (
            own("node-1").replace("ca.pem", "other-ca.pem"),
            "the server's certificate isn't signed by",
        ),
        (own("node-1").replace("127.0.0.1", "127.0.0.2"), ""),
        (own("node-1").replace("node-1.key", "node-2.key"), ""),
    ];
    for (sections, said) in table {
        relay.configure(&sections);
        relay.outbox();
        let output = relay.call(&["status"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(said), "{said}: {text}");
    }

    // as itself; the inbox is its own too
    let inbox = "  inbox_prefix: _INBOX_node-1%2Eexample%2Eorg\n";
    relay.configure(&format!("{}{inbox}", own("node-1")));
    let mut outbox = relay.outbox();
    outbox.write();
    relay.publish();
    relay.reaches("nats", 1);
    relay.kill();

    // as another host, and with another's inbox
    for (sections, said) in [
        (
            format!("{}  inbox_prefix: _INBOX_node-2%2Eexample%2Eorg\n", own("node-2")),
            "Permissions Violation for Publish to \"hookmux.v1.node-1%2Eexample%2Eorg",
        ),
        (
            format!("{}  inbox_prefix: _INBOX_other\n", own("node-1")),
            "Permissions Violation for Subscription to \"_INBOX_other",
        ),
    ] {
        outbox.write();
        relay.configure(&sections);
        relay.publish();
        until(said, || relay.log().to_lowercase().contains(&said.to_lowercase()));
        assert!(relay.cursor("nats") < Some(outbox.last()));
        relay.kill();
    }
    // nothing is lost by all that
    relay.configure(&format!("{}{inbox}", own("node-1")));
    relay.publish();
    relay.reaches("nats", 3);

    // a host may not make or change the stream
    let output = relay.call(&["ensure-stream", "--max-age", "1h"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("administrator's credentials"), "{text}");
}

#[test]
fn a_revoked_nkey_is_said_and_nothing_is_lost() {
    let (host, admin) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let users = |keys: &[&nkeys::KeyPair]| {
        let lines: Vec<String> =
            keys.iter().map(|key| format!("    {{ nkey: {} }}", key.public_key())).collect();
        format!("authorization {{\n  users = [\n{}\n  ]\n}}", lines.join("\n"))
    };
    let mut server = Server::with(&users(&[&host, &admin]));
    let mut relay = Relay::new("");
    std::fs::write(relay.path("seed"), format!("# {HOST}\n{}\n", host.seed().unwrap())).unwrap();
    std::fs::write(relay.path("admin"), admin.seed().unwrap()).unwrap();
    relay.configure(&format!("{}  nkey: {}\n", nats(&server.url()), relay.path("seed").display()));
    let admin_file = relay.path("admin").display().to_string();
    assert!(relay.call(&["ensure-stream", "--nkey", &admin_file]).status.success());
    let mut outbox = relay.outbox();
    for _ in 0..50 {
        outbox.write();
    }
    relay.publish();
    relay.reaches("nats", 50);
    // revoked while it is connected: the server throws it out
    server.configure(&users(&[&admin]));
    server.reload();
    outbox.write();
    relay.says("the server refused the NKey in");
    assert_eq!(relay.cursor("nats"), Some(50));
    // and let in again
    server.kill();
    server.configure(&users(&[&host, &admin]));
    server.start_again();
    relay.reaches("nats", 51);
    // a file that holds no seed
    relay.kill();
    std::fs::write(relay.path("seed"), "nothing\n").unwrap();
    let text = relay.call(&["status"]).stdout;
    assert!(String::from_utf8(text).unwrap().contains("holds no seed of a user"));
}

#[test]
fn a_configuration_that_is_wrong_is_said_with_file_and_line() {
    let relay = Relay::new("nats:\n  servers: [nats://a]\n  strem: X");
    for words in [&["publish"][..], &["consume"], &["watch"], &["dead", "list"]] {
        let output = relay.call(words);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains("relay.yaml")
                && text.contains("unknown field `strem`")
                && text.contains("at line 5"),
            "{text}"
        );
    }
    relay.configure("");
    let text = String::from_utf8(relay.call(&["publish"]).stderr).unwrap();
    assert!(text.contains("names no sink"), "{text}");
}
