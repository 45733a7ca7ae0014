//! `consume` and `dead`, with a program in hookmux's place that writes down what it was given.

use crate::support::nats::{Server, block_on, context, make_stream};
use crate::support::outbox::{UUID, event, ulid};
use crate::support::relay::{HOST, Relay, nats, write_script};
use crate::support::{until, until_within};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A relay that publishes and consumes; its program does what this script says, in a directory of its own.
fn consumer(server: &Server, script: &str, more: &str) -> Relay {
    let relay = Relay::new("");
    let program = relay.path("hookmux");
    write_script(
        &program,
        &format!(
            "#!/bin/sh\ncd {}\n[ \"$*\" = 'run --remote -' ] || exit 99\ncat > event.$$\n\
             id=$(sed 's/.*\"id\":\"\\([0-9A-Z]*\\)\".*/\\1/' event.$$)\necho \"begin $id $HOOKMUX_REMOTE_DELIVERY\" >> calls\n{script}\n\
             echo \"end $id\" >> calls\n",
            relay.path("").display()
        ),
    );
    relay.configure(&sections(server, &relay.path("consume"), &program, more));
    relay
}

fn sections(server: &Server, state: &Path, program: &Path, more: &str) -> String {
    sections_of(&server.url(), state, program, more)
}

fn sections_of(url: &str, state: &Path, program: &Path, more: &str) -> String {
    format!(
        "{}consume:\n  name: ops\n  from: beginning\n  state_dir: {}\n  hookmux: {}\n  ack_wait: 2s\n  retry_delay: 100ms\n{more}",
        nats(url),
        state.display(),
        program.display()
    )
}

fn calls(relay: &Relay, word: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(relay.path("calls")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            (words.next() == Some(word)).then(|| {
                (words.next().unwrap().to_owned(), words.next().unwrap_or_default().to_owned())
            })
        })
        .collect()
}

fn publish(relay: &Relay, count: usize) -> Vec<String> {
    let mut outbox = relay.outbox();
    for _ in 0..count {
        outbox.write();
    }
    let output = relay.call(&["publish", "--once"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    outbox.ids
}

/// Messages that the server still waits for, and those that were never taken.
fn open(server: &Server) -> u64 {
    block_on(async {
        let context = context(&server.url()).await;
        let consumer: async_nats::jetstream::consumer::PullConsumer =
            context.get_consumer_from_stream("ops", "HOOKMUX").await.unwrap();
        let info = consumer.cached_info();
        info.num_ack_pending as u64 + info.num_pending
    })
}

fn letters(relay: &Relay) -> Vec<serde_json::Value> {
    relay.json(&["dead", "list", "--output", "json"])["dead_letters"].as_array().unwrap().clone()
}

/// An event's id as files are called, with a hash of its host.
fn with_host(id: &str, host: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, host.as_bytes());
    let hash: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{id}-{hash}")
}

#[test]
fn what_no_letter_can_be_written_of_stays_with_the_server() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(&server, "", "");
    relay.start(&["consume"]);
    relay.says("takes events of HOOKMUX as ops");
    let directory = relay.path("consume/dead");
    std::fs::remove_dir(&directory).unwrap();
    block_on(async {
        let context = context(&server.url()).await;
        let subject = format!("hookmux.v1.node-1.qemu.started.{UUID}");
        context.publish(subject, "not json".into()).await.unwrap().await.unwrap();
    });
    relay.says("no dead letter of stream-1 can be written");
    std::fs::create_dir(&directory).unwrap();
    until("its letter", || letters(&relay).len() == 1);
    until("the server forgets it", || open(&server) == 0);
}

#[test]
fn root_believes_nothing_that_lies_among_dead_letters() {
    let relay = Relay::new("");
    relay.configure(&sections_of(
        "nats://127.0.0.1:1",
        &relay.path("consume"),
        &relay.path("none"),
        "",
    ));
    let dead = relay.path("consume/dead");
    std::fs::create_dir_all(&dead).unwrap();
    let victim = relay.path("victim.json");
    std::fs::write(&victim, "{}").unwrap();
    let write = |file: &str, id: &str| {
        let letter = serde_json::json!({"format": 1, "id": id, "time": "2026-11-30T18:00:00Z", "subject": "s", "consumer": "ops",
            "stream_sequence": 1, "deliveries": 1, "reason": "r", "event": event(id, HOST, 1)});
        std::fs::write(dead.join(file), letter.to_string()).unwrap();
    };
    let id = ulid(1);
    let own = with_host(&id, HOST);
    let way_out = relay.path("victim").display().to_string();
    write(&format!("{}.json", ulid(2)), &way_out);
    write("stream-1.json", "../../victim");
    write("x.json", &ulid(3));
    write(&format!("{}.json", with_host(&ulid(4), "other")), &ulid(4));
    write(&format!("{own}.json"), &id);
    // without the hash of its host
    let old = ulid(5);
    write(&format!("{old}.json"), &old);
    std::fs::create_dir(dead.join(format!("{}.json", ulid(6)))).unwrap();
    std::os::unix::fs::symlink(&victim, dead.join(format!("{}.json", ulid(7)))).unwrap();
    let pipe = dead.join(format!("{}.json", ulid(8)));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());

    let ids: Vec<serde_json::Value> =
        letters(&relay).into_iter().map(|letter| letter["id"].clone()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids.contains(&id.as_str().into()) && ids.contains(&old.as_str().into()), "{ids:?}");
    let said = relay.call(&["dead", "list"]).stderr;
    assert_eq!(String::from_utf8(said).unwrap().matches("is no dead letter: ").count(), 7);
    for name in [way_out.as_str(), "../../victim", "stream-1", &ulid(2)] {
        assert_eq!(relay.call(&["dead", "remove", name]).status.code(), Some(1), "{name}");
    }
    assert!(victim.exists());
    assert!(relay.call(&["dead", "remove", &id, &old]).status.success());
    assert!(letters(&relay).is_empty());

    // another directory by a link
    write(&format!("{own}.json"), &id);
    std::fs::rename(&dead, relay.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(relay.path("elsewhere"), &dead).unwrap();
    for words in [&["dead", "remove", &id][..], &["dead", "replay", "--all"], &["dead", "list"]] {
        let output = relay.call(words);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains("is no directory"));
    }
    assert!(relay.path("elsewhere").join(format!("{own}.json")).exists());
}

#[test]
fn a_hook_runs_once_for_each_event_of_two_hosts_and_no_more_at_once_than_allowed() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(
        &server,
        "mkdir running.$$; ls -d running.* | wc -l >> parallel; sleep 0.02; rmdir running.$$",
        "  max_parallel: 3\n",
    );
    let mut ids = publish(&relay, 60);
    let other = Relay::to(&server.url());
    let mut outbox = crate::support::outbox::Outbox::new(&other.path("outbox"), "node-2");
    outbox.skip(1_000_000);
    for _ in 0..60 {
        ids.push(outbox.write_changed(|event| event["id"] = event["id"].clone()));
    }
    relay.start(&["consume"]);
    assert!(other.call(&["publish", "--once"]).status.success());
    until("all runs", || calls(&relay, "end").len() >= 120);
    until("all acknowledged", || open(&server) == 0);
    let mut begun: Vec<String> = calls(&relay, "begin")
        .into_iter()
        .map(|(id, deliveries)| {
            assert_eq!(deliveries, "1");
            id
        })
        .collect();
    begun.sort();
    ids.sort();
    assert_eq!(begun, ids);
    let parallel = std::fs::read_to_string(relay.path("parallel")).unwrap();
    let most = parallel.lines().map(|line| line.trim().parse::<usize>().unwrap()).max().unwrap();
    assert!((2..=3).contains(&most), "{most}");
    relay.stop();
    assert!(letters(&relay).is_empty());
    assert_eq!(std::fs::read_dir(relay.path("consume/begun")).unwrap().count(), 0);
}

#[test]
fn what_was_running_at_a_kill_runs_again_and_is_told_so() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    // the first delivery of each event waits to be killed
    let mut relay = consumer(&server, "[ -e go ] || sleep 30", "  max_parallel: 4\n");
    let ids = publish(&relay, 10);
    relay.start(&["consume"]);
    until("four that run", || calls(&relay, "begin").len() == 4);
    relay.kill();
    std::fs::write(relay.path("go"), "").unwrap();
    relay.start(&["consume"]);
    until("all runs", || calls(&relay, "end").len() >= 10);
    until("all acknowledged", || open(&server) == 0);
    let mut times: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, deliveries) in calls(&relay, "begin") {
        times.entry(id).or_default().push(deliveries);
    }
    assert_eq!(times.len(), ids.len());
    let again: Vec<&Vec<String>> = times.values().filter(|times| times.len() > 1).collect();
    assert_eq!(again.len(), 4, "{times:?}");
    for deliveries in again {
        assert_eq!(deliveries, &["1", "2"]);
    }
}

#[test]
fn hooks_that_had_ended_before_a_kill_are_not_run_again() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(&server, "", "");
    let ids = publish(&relay, 1);
    let begun = relay.path("consume/begun");
    std::fs::create_dir_all(&begun).unwrap();
    // it was killed between its hooks' end and the server's answer
    std::fs::write(begun.join(with_host(&ids[0], HOST)), "done\n").unwrap();
    relay.start(&["consume"]);
    until("it is acknowledged", || begun.read_dir().unwrap().count() == 0);
    assert!(calls(&relay, "begin").is_empty());
    assert_eq!(open(&server), 0);
}

#[test]
fn a_run_that_is_longer_than_ack_wait_comes_once() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(&server, "sleep 7", "");
    publish(&relay, 2);
    relay.start(&["consume"]);
    until("both ends", || calls(&relay, "end").len() >= 2);
    until("all acknowledged", || open(&server) == 0);
    assert_eq!(calls(&relay, "begin").len(), 2);
}

#[test]
fn hooks_that_fail_for_good_are_dead_letters_that_can_be_replayed() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(
        &server,
        "[ -e mended ] || { echo 'no such switch' >&2; exit 1; }",
        "  max_deliver: 3\n",
    );
    let ids = publish(&relay, 1);
    relay.start(&["consume"]);
    until("a dead letter", || {
        letters(&relay)
            .iter()
            .any(|letter| letter["reason"].as_str().unwrap().contains("no such switch"))
    });
    until("the server forgets it", || open(&server) == 0);
    let letter = letters(&relay).remove(0);
    assert_eq!(letter["id"], ids[0].as_str());
    assert_eq!(letter["deliveries"], 3);
    assert_eq!(letter["reason"], "exit status 1: no such switch");
    assert_eq!(letter["event"]["data"]["object"], "web-1");
    let tries: Vec<String> =
        calls(&relay, "begin").into_iter().map(|(_, deliveries)| deliveries).collect();
    assert_eq!(tries, ["1", "2", "3"]);
    relay.stop();

    let text = String::from_utf8(relay.call(&["dead", "list"]).stdout).unwrap();
    assert!(
        text.starts_with(&ids[0]) && text.contains("tried 3: exit status 1: no such switch"),
        "{text}"
    );
    let status = relay.json(&["status", "--output", "json"]);
    assert!(status.to_string().contains("the hooks of 1 events failed for good"), "{status}");
    assert_eq!(relay.call(&["dead", "replay", &ids[0]]).status.code(), Some(1));
    assert_eq!(letters(&relay).len(), 1);
    std::fs::write(relay.path("mended"), "").unwrap();
    let output = relay.call(&["dead", "replay", &ids[0][..20]]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(letters(&relay).is_empty());
    assert_eq!(calls(&relay, "end").len(), 1);
    assert_eq!(relay.call(&["dead", "show", "01"]).status.code(), Some(1));
}

#[test]
fn an_event_that_kills_the_consumer_each_time_is_a_dead_letter_too() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(&server, "kill -9 $PPID", "  max_deliver: 2\n");
    publish(&relay, 1);
    for round in 1..=2 {
        relay.start(&["consume"]);
        until("its death", || !relay.is_running());
        relay.kill();
        assert_eq!(calls(&relay, "begin").len(), round);
        // the letter is there before the last try begins
        assert_eq!(letters(&relay).len(), round - 1);
    }
    relay.start(&["consume"]);
    until("the server forgets it", || open(&server) == 0);
    assert_eq!(calls(&relay, "begin").len(), 2);
    let letter = letters(&relay).remove(0);
    assert!(letter["reason"].as_str().unwrap().contains("delivered 2 times"), "{letter}");
}

#[test]
fn what_hookmux_does_not_take_as_an_event_is_dead_at_once_and_75_comes_again() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(
        &server,
        "if [ \"$HOOKMUX_REMOTE_DELIVERY\" -lt 3 ]; then exit 75; fi; [ -e first ] || { : > first; exit 2; }",
        "  max_parallel: 1\n",
    );
    publish(&relay, 2);
    relay.start(&["consume"]);
    until("all acknowledged", || calls(&relay, "begin").len() >= 6 && open(&server) == 0);
    assert_eq!(calls(&relay, "begin").len(), 6);
    assert_eq!(calls(&relay, "end").len(), 1);
    assert_eq!(letters(&relay).len(), 1);
    assert!(letters(&relay)[0]["reason"].as_str().unwrap().contains("doesn't take it as an event"));
}

#[test]
fn a_message_that_is_not_what_it_should_be_runs_nothing() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(&server, "", "");
    let good = format!("hookmux.v1.node-1.qemu.started.{UUID}");
    let id = ulid(1);
    let changed = |change: fn(&mut serde_json::Value)| {
        let mut event = event(&id, "node-1", 1);
        change(&mut event);
        event.to_string()
    };
    let messages: Vec<(String, String, &str)> = vec![
        (good.clone(), "not json".to_owned(), ""),
        (good.clone(), changed(|event| event["id"] = "../../../etc/passwd".into()), ""),
        (good.clone(), changed(|event| event["source"] = "hookmux/node-2".into()), ""),
        (good.clone(), changed(|event| event["subject"] = "qemu/stopped/-".into()), ""),
        (good.clone(), changed(|event| event["data"]["uuid"] = "other".into()), ""),
        (good.clone(), changed(|event| event["data"]["operation"] = "stopped".into()), ""),
        (good.clone(), changed(|event| event["data"]["driver"] = "lxc".into()), ""),
        (good.clone(), changed(|_| ()), "another-id"),
        (format!("hookmux.v1.node-2.qemu.started.{UUID}"), changed(|_| ()), ""),
        (format!("hookmux.v1.node%2D1.qemu.started.{UUID}"), changed(|_| ()), ""),
        (format!("{good}.more"), changed(|_| ()), ""),
        ("hookmux.v1.short".to_owned(), changed(|_| ()), ""),
    ];
    let count = messages.len();
    block_on(async {
        let context = context(&server.url()).await;
        for (number, (subject, payload, header)) in messages.into_iter().enumerate() {
            let header = if header.is_empty() { String::new() } else { header.to_owned() };
            let mut message =
                async_nats::jetstream::message::PublishMessage::build().payload(payload.into());
            if !header.is_empty() {
                message = message.message_id(format!("{header}{number}"));
            }
            context.send_publish(subject, message).await.unwrap().await.unwrap();
        }
        // a gap and a heartbeat are no calls, and no mistakes
        for kind in ["gap", "heartbeat"] {
            let event = serde_json::json!({"specversion": "1.0", "id": ulid(9), "source": "hookmux/node-1",
                "type": format!("hookmux.{kind}.v1"), "subject": format!("daemon/{kind}/-"), "time": "2026-11-30T18:00:00Z", "data": {}});
            context
                .publish(format!("hookmux.v1.node-1.daemon.{kind}.-"), event.to_string().into())
                .await
                .unwrap()
                .await
                .unwrap();
        }
    });
    let last = publish(&relay, 1);
    relay.start(&["consume"]);
    until("the good one", || calls(&relay, "end").len() == 1);
    until("all acknowledged", || open(&server) == 0);
    assert_eq!(calls(&relay, "begin"), [(last[0].clone(), "1".to_owned())]);
    assert_eq!(letters(&relay).len(), count);
    for letter in letters(&relay) {
        assert!(letter["id"].as_str().unwrap().starts_with("stream-"));
        assert!(letter["reason"].as_str().unwrap().starts_with("not an event of hookmux: "));
    }
    assert_eq!(relay.call(&["dead", "replay", "--all"]).status.code(), Some(1));
    assert_eq!(calls(&relay, "begin").len(), 1);
}

#[test]
fn the_program_gets_nothing_of_this_one_but_the_event() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(
        &server,
        "env > environment; pwd -P > directory; ls -l /proc/self/fd > descriptors",
        "",
    );
    publish(&relay, 1);
    relay.start(&["consume"]);
    until("its end", || calls(&relay, "end").len() == 1);
    let text = std::fs::read_to_string(relay.path("environment")).unwrap();
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "HOOKMUX_REMOTE_DELIVERY", "LANG", "PATH"]);
    let descriptors = std::fs::read_to_string(relay.path("descriptors")).unwrap();
    assert!(!descriptors.contains("socket:"), "{descriptors}");
    let given = std::fs::read_dir(relay.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("event."))
        .unwrap();
    let given: serde_json::Value = serde_json::from_slice(&std::fs::read(given).unwrap()).unwrap();
    assert_eq!(given["data"]["object"], "web-1");
}

#[test]
fn asked_to_end_it_lets_hooks_end_and_only_what_is_meant_is_taken() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay =
        consumer(&server, "sleep 3", "  filter: [qemu.stopped host=node-1.example.org]\n");
    let mut outbox = relay.outbox();
    outbox.write();
    let meant = outbox.write_changed(|event| {
        event["subject"] = format!("qemu/stopped/{UUID}").into();
        event["data"]["operation"] = "stopped".into();
    });
    assert!(relay.call(&["publish", "--once"]).status.success());
    relay.start(&["consume"]);
    until("it runs", || calls(&relay, "begin").len() == 1);
    relay.stop();
    assert_eq!(calls(&relay, "end"), [(meant, String::new())]);
    assert_eq!(open(&server), 0);
}

#[test]
fn two_consumers_share_a_name_and_a_server_that_restarts_loses_nothing() {
    let mut server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(&server, "sleep 0.05", "");
    let mut second = Relay::new("");
    second.configure(&sections(&server, &second.path("consume"), &relay.path("hookmux"), ""));
    let ids = publish(&relay, 100);
    relay.start(&["consume"]);
    second.start(&["consume"]);
    until("some runs", || calls(&relay, "end").len() >= 20);
    server.kill();
    server.start_again();
    until("all runs", || {
        let mut done: Vec<String> = calls(&relay, "end").into_iter().map(|(id, _)| id).collect();
        done.sort();
        done.dedup();
        done.len() == ids.len()
    });
    until_within("all acknowledged", Duration::from_secs(120), || open(&server) == 0);
    assert!(letters(&relay).is_empty());
}

#[test]
fn a_new_consumer_begins_now_where_nothing_else_is_said() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(&server, "", "");
    let text = std::fs::read_to_string(relay.path("relay.yaml"))
        .unwrap()
        .replace("  from: beginning\n", "");
    std::fs::write(relay.path("relay.yaml"), text).unwrap();
    publish(&relay, 3);
    relay.start(&["consume"]);
    relay.says("takes events of HOOKMUX as ops");
    let mut outbox = relay.outbox();
    outbox.skip(3);
    let id = outbox.write();
    assert!(relay.call(&["publish", "--once"]).status.success());
    until("it runs", || calls(&relay, "end").len() == 1);
    assert_eq!(calls(&relay, "end"), [(id, String::new())]);
}

#[test]
fn the_rights_of_a_consumer_are_enough_and_needed() {
    let pki = crate::support::pki::Pki::new();
    let server = Server::with(&pki.server_lines(
        r#"    { user: "admin.example.org" }
    { user: "ops-1.example.org", permissions: {
        publish: ["$JS.API.CONSUMER.INFO.HOOKMUX.ops-1", "$JS.API.CONSUMER.CREATE.HOOKMUX.ops-1", "$JS.API.CONSUMER.CREATE.HOOKMUX.ops-1.>",
                  "$JS.API.CONSUMER.DURABLE.CREATE.HOOKMUX.ops-1", "$JS.API.CONSUMER.MSG.NEXT.HOOKMUX.ops-1", "$JS.ACK.HOOKMUX.ops-1.>"]
        subscribe: ["_INBOX_ops-1.>"] } }
    { user: "node-1.example.org", permissions: {
        publish: ["hookmux.v1.node-1%2Eexample%2Eorg.>"]
        subscribe: ["_INBOX_node-1%2Eexample%2Eorg.>"] } }"#,
    ));
    for name in ["admin", "ops-1", "node-1"] {
        pki.certificate(name, &format!("DNS:{name}.example.org"), "ca");
    }
    let mut relay = Relay::new("");
    let program = relay.path("hookmux");
    write_script(&program, &format!("#!/bin/sh\necho ran >> {}\n", relay.path("calls").display()));
    let state = relay.path("consume");
    let sections = |who: &str, filter: &str| {
        format!(
            "{}consume:\n  name: ops-1\n  from: beginning\n  state_dir: {}\n  hookmux: {}\n  certificate: {}\n  key: {}\n{filter}",
            pki.client_lines(server.port, "admin"),
            state.display(),
            program.display(),
            pki.file(&format!("{who}.pem")).display(),
            pki.file(&format!("{who}.key")).display(),
        )
    };
    relay.configure(&sections("node-1", ""));
    assert!(relay.call(&["ensure-stream"]).status.success());
    publish(&relay, 3);
    relay.start(&["consume"]);
    relay.says("the server forbids it: ");
    relay.kill();
    // servers before 2.10 give nothing more to a consumer whose filter has changed
    let filter = if crate::support::nats::version() >= [2, 10, 0] {
        "  filter: [qemu.started]\n"
    } else {
        ""
    };
    for (round, filter) in ["", filter, ""].iter().enumerate() {
        relay.configure(&sections("ops-1", filter));
        relay.start(&["consume"]);
        let mut outbox = relay.outbox();
        outbox.skip(3 + round as u64);
        outbox.write();
        assert!(relay.call(&["publish", "--once"]).status.success());
        until("all run", || {
            std::fs::read_to_string(relay.path("calls")).unwrap_or_default().lines().count()
                == 4 + round
        });
        relay.stop();
    }
    if crate::support::nats::version() < [2, 10, 0] {
        relay.configure(&sections("ops-1", "  filter: [qemu.started]\n"));
        relay.start(&["consume"]);
        relay.says("can't change the filter of consumer ops-1");
    }
}

#[test]
fn several_filters_are_one_consumer_where_the_server_can() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let mut relay = consumer(&server, "", "  filter: [qemu.stopped, qemu.started host=node-2]\n");
    publish(&relay, 1);
    relay.start(&["consume"]);
    if crate::support::nats::version() < [2, 10, 0] {
        relay.says("knows one filter of a consumer only");
        return;
    }
    let mut outbox = crate::support::outbox::Outbox::new(&relay.path("outbox"), "node-2");
    outbox.skip(1);
    let id = outbox.write();
    assert!(relay.call(&["publish", "--once"]).status.success());
    until("it runs", || calls(&relay, "end").len() == 1);
    assert_eq!(calls(&relay, "end"), [(id, String::new())]);
}
