//! Registered hooks: `hooks.d/NAME.yaml`. (C4 to C7, O3, O7, O9, P2, V11)

use std::fs;
use std::time::Duration;

use crate::support::{GUEST, Host, is_root, skip, until};

/// A registration of a script in the hooks directory's `bin`, at `before_vm_start`.
fn register(host: &Host, name: &str, script: &str, more: &str) {
    register_at(host, "before_vm_start", name, script, more);
}

fn register_at(host: &Host, event: &str, name: &str, script: &str, more: &str) {
    host.script(format!("bin/{name}"), script);
    host.file(
        format!("hooks.d/{name}.yaml"),
        format!("events: [{event}]\ncommand: bin/{name}\n{more}\n"),
    );
}

fn logs(host: &Host, name: &str, more: &str) {
    register(host, name, &format!("log {name}"), more);
}

// C4
#[test]
fn hooks_run_by_weight_and_scripts_in_directories_weigh_nothing() {
    let host = Host::new();
    logs(&host, "late", "weight: 200");
    logs(&host, "b", "");
    logs(&host, "a", "weight: 100");
    logs(&host, "first", "weight: -1");
    host.follow(&["before_vm_start/50-script"]);
    logs(&host, "40-zero", "weight: 0");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["first", "40-zero", "before_vm_start/50-script", "a", "b", "late"]);
}

// O9
#[test]
fn a_hook_runs_at_calls_and_at_every_event_too() {
    let host = Host::new();
    host.script("bin/x", r#"log "$1 $HOOKMUX_OPERATION $HOOKMUX_EVENT""#);
    host.file(
        "hooks.d/calls.yaml",
        "calls: [qemu/started/begin, '*/stopped']\ncommand: [bin/x, calls]\n",
    );
    host.file("hooks.d/all.yaml", "events: '*'\ncommand: [bin/x, all]\nwhen: {driver: qemu}\n");
    host.guest("started begin").run().succeeds();
    assert_eq!(
        host.log(),
        [
            "all started after_vm_launch",
            "all started after_vm_start",
            "calls started after_vm_launch"
        ]
    );
    host.call("lxc", ["c", "stopped", "end", "-"]).run().succeeds();
    assert_eq!(host.log(), ["calls stopped after_vm_stop"]);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["all prepare before_vm_prepare", "all prepare before_vm_start"]);
}

// P2, V11
#[test]
fn a_hook_runs_only_where_all_its_conditions_hold() {
    let guest = "<domain><name>g</name><uuid>91126ceb-8184-4a0b-b79f-0f3d17ecc836</uuid><title>Web</title>\
        <metadata><h:properties xmlns:h='urn:hookmux:properties:1'><h:property name='macspoof'>true</h:property></h:properties></metadata>\
        <devices><interface type='network'><source network='lan'/></interface></devices></domain>";
    for (when, runs) in [
        ("{driver: qemu, name: 'g*', title: Web, network: lan, property: {macspoof: true}}", true),
        ("{name: ['*', '!g']}", false),
        ("{driver: lxc}", false),
        ("{title: Db}", false),
        ("{network: wan}", false),
        ("{uuid: '91126ceb*'}", true),
        ("{origin: restore}", false),
        ("{property: {macspoof: 'false'}}", false),
        ("{property: {unset: '*'}}", false),
    ] {
        let host = Host::new();
        logs(&host, "x", &format!("when: {when}"));
        host.guest("prepare begin").stdin(guest).run().succeeds();
        assert_eq!(host.log().len(), usize::from(runs), "{when}");
    }
}

#[test]
fn a_condition_on_a_broken_document_shuts_a_gate_and_nothing_else() {
    let host = Host::new();
    logs(&host, "x", "when: {title: Web}");
    register_at(&host, "after_vm_stop", "y", "log y", "when: {title: Web}");
    logs(&host, "other", "when: {title: Web, name: other}");
    let answer = host.guest("prepare begin").stdin("<domain>").run();
    answer
        .fails(125, &["before_vm_start/x: its conditions need libvirt's document, but"])
        .never_says("other");
    host.guest("stopped end").stdin("<domain>").run().succeeds();
    assert!(host.log().is_empty());
    // none at all is no fault, and no match
    host.guest("prepare begin").stdin("").run().succeeds();
    assert!(host.log().is_empty());
}

// C5
#[test]
fn a_check_that_says_no_leaves_the_hook_out_as_though_it_were_not_there() {
    let host = Host::new();
    host.script("bin/no", "log checked; exit 1");
    host.script("bin/yes", r#"test "$HOOKMUX_EVENT" = before_vm_start"#);
    logs(&host, "out", "check: [bin/no, -x]\non_failure: stop");
    logs(&host, "in", "check: bin/yes");
    host.guest("prepare begin").run().succeeds();
    // by name: in, out
    assert_eq!(host.log(), ["in", "checked"]);
}

#[test]
fn a_check_that_cannot_be_asked_is_the_hooks_failure() {
    let host = Host::new();
    logs(&host, "x", "check: [/nonexistent]");
    host.guest("prepare begin")
        .run()
        .fails(126, &["before_vm_start/x: refused: /nonexistent: does not exist"]);
    host.script("bin/slow", "exec sleep 60");
    logs(&host, "x", "check: bin/slow\ntimeout: 1s");
    host.guest("prepare begin")
        .run()
        .fails(124, &["before_vm_start/x: its check timed out after 1.0 s"]);
    assert!(host.log().is_empty());
}

/// Two hooks that can be undone, and a third that ends in some way.
fn undoable(third: &str, more: &str) -> Host {
    let host = Host::new();
    for name in ["a", "b"] {
        host.script(
            format!("bin/undo-{name}"),
            &format!(r#"log "undo {name} $(cat | wc -c) $1 $HOOKMUX_OBJECT""#),
        );
        logs(&host, name, &format!("rollback: [bin/undo-{name}, --undo]\nstdin: xml"));
    }
    register(&host, "c", third, &format!("rollback: bin/undo-a\n{more}"));
    host
}

// C6
#[test]
fn rollbacks_run_in_reverse_order_with_the_same_input() {
    let length = GUEST.len();
    let undone = [format!("undo b {length} --undo g"), format!("undo a {length} --undo g")];
    for (third, more, status) in
        [("exit 3", "", 3), ("kill -KILL $$", "", 137), ("exec sleep 60", "timeout: 1s", 124)]
    {
        let host = undoable(third, more);
        host.guest("prepare begin").run().fails(status, &["before_vm_start/c: "]);
        assert_eq!(
            host.log(),
            ["a".to_owned(), "b".to_owned(), undone[0].clone(), undone[1].clone()],
            "{third}"
        );
    }
    let host = undoable("exit 0", "");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["a", "b"], "nothing is undone where nothing failed");
    // one that is only warned about undoes nothing
    let host = undoable("exit 3", "on_failure: warn");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["a", "b"]);
}

#[test]
fn rollbacks_run_after_sigterm_too() {
    let host = undoable("log waiting; exec sleep 60", "");
    let running = host.guest("prepare begin").start();
    until("the third hook runs", || host.read_text("log").contains("waiting"));
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let answer = running.wait();
    answer.fails(143, &["before_vm_start/c: ended with hookmux, which got SIGTERM"]);
    let log = host.log();
    assert_eq!(log.len(), 5, "{log:?}");
    assert!(log[3].starts_with("undo b") && log[4].starts_with("undo a"), "{log:?}");
}

#[test]
fn a_rollback_that_fails_is_told_and_changes_nothing() {
    let host = undoable("exit 3", "");
    host.script("bin/undo-b", "echo no way back >&2; exit 9");
    let answer = host.guest("prepare begin").run();
    answer.fails(3, &["before_vm_start/b (rollback): exit status 9 after", "no way back"]);
    assert!(host.log().last().unwrap().starts_with("undo a"), "the others are undone all the same");
}

#[test]
fn a_restore_that_fails_is_rolled_back_before_it_is_answered_at_prepare() {
    let host = Host::new();
    host.script("bin/undo", "log undone");
    register_at(&host, "before_vm_dehibernate", "a", "log a", "rollback: bin/undo");
    register_at(&host, "before_vm_dehibernate", "b", "exit 4", "");
    host.guest("restore begin").run().succeeds();
    assert_eq!(host.log(), ["a", "undone"]);
    host.guest("prepare begin").run().fails(4, &["before_vm_dehibernate/b: exit status 4"]);
}

#[test]
fn on_failure_says_what_a_failure_means() {
    for (policy, call, event, status, rest_runs) in [
        ("fail", "prepare begin", "before_vm_start", 3, true),
        ("stop", "prepare begin", "before_vm_start", 3, false),
        ("warn", "prepare begin", "before_vm_start", 0, true),
        ("kill", "prepare begin", "before_vm_start", 3, true),
        ("fail", "started begin", "after_vm_start", 0, true),
        ("kill", "started begin", "after_vm_start", 3, true),
        ("kill", "reconnect begin", "after_vm_reconnect", 3, true),
        ("warn", "stopped end", "after_vm_stop", 0, true),
    ] {
        let host = Host::new();
        register_at(&host, event, "x", "exit 3", &format!("on_failure: {policy}"));
        register_at(&host, event, "y", "log y", "");
        let answer = host.guest(call).run();
        assert_eq!(answer.status, Some(status), "{policy} at {call}: {answer:?}");
        assert_eq!(host.log().len(), usize::from(rest_runs), "{policy} at {call}");
    }
}

// C7
#[test]
fn run_as_has_that_users_rights_and_no_others() {
    if !is_root() {
        return skip("only root can become somebody else");
    }
    let host = Host::new();
    host.mode("", 0o755);
    host.file("secret", "root's").mode("hooks/secret", 0o600);
    register(
        &host,
        "x",
        r#"exec 2>&1
           id -u; id -g; id -G
           cat "$HOOKMUX_HOOKS_DIR/secret"
           grep NoNewPrivs /proc/self/status
           ls -ln "$_hook_domxml" | cut -d' ' -f1,3,4
           wc -c <"$_hook_domxml"
           sed -i 's/x/x/' "$_hook_domxml" && echo edited"#,
        "run_as: {user: nobody, group: nogroup}",
    );
    host.script("after", "true");
    let text = output_of(&host, "before_vm_start/x");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["65534", "65534", "65534"], "{text}");
    assert!(lines[3].contains("Permission denied"), "{text}");
    assert_eq!(lines[4], "NoNewPrivs:\t1");
    assert_eq!(lines[5], "-rw------- 65534 65534");
    assert_eq!(lines[6..], [GUEST.len().to_string().as_str(), "edited"]);
    assert!(fs::read_dir(host.path("run/data")).unwrap().next().is_none(), "the copy is gone");
}

#[test]
fn run_as_has_that_users_home_unless_the_registration_says_otherwise() {
    if !is_root() {
        return skip("only root can become somebody else");
    }
    let host = Host::new();
    host.mode("", 0o755);
    let script = r#"echo "$HOME $USER $LOGNAME""#;
    register(&host, "x", script, "run_as: {user: daemon}");
    assert_eq!(output_of(&host, "before_vm_start/x"), "/usr/sbin daemon daemon\n");
    register(&host, "x", script, "run_as: {user: daemon}\nenvironment: {HOME: /srv}");
    assert_eq!(output_of(&host, "before_vm_start/x"), "/srv daemon daemon\n");
    register(&host, "x", script, "run_as: {user: 4242, group: 4242}");
    assert_eq!(output_of(&host, "before_vm_start/x").split(' ').next(), Some("/"));
}

#[test]
fn a_link_to_nothing_is_a_broken_registration() {
    let host = Host::new();
    logs(&host, "x", "");
    host.guest("prepare begin").run().succeeds();
    // its last good form stands in
    let file = host.path("hooks/hooks.d/x.yaml");
    fs::rename(&file, host.path("x.yaml")).unwrap();
    host.link("nowhere", "hooks.d/x.yaml");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["x", "x"]);
    let listed = host.text(&["list"], 0);
    assert!(
        listed.contains("before_vm_start") && listed.contains("its last good form runs"),
        "{listed}"
    );
    host.link("nowhere", "hooks.d/y.yaml");
    host.guest("prepare begin").run().fails(125, &["hooks.d/y.yaml: a link to nothing"]);
    host.guest("started begin").run().succeeds();
    fs::remove_file(host.path("hooks/hooks.d/y.yaml")).unwrap();
    host.link("/dev/null", "hooks.d/y.yaml");
    host.guest("prepare begin").run().succeeds();
}

/// What a hook prints, by `hookmux run`.
fn output_of(host: &Host, label: &str) -> String {
    let object = host.json(&["run", "qemu", "g", "prepare", "--xml", "guest.xml"], 0);
    let runs = object["runs"].as_array().unwrap();
    let run = runs
        .iter()
        .find(|run| run["hook"] == label)
        .unwrap_or_else(|| panic!("{label} in {object}"));
    run["stdout"].as_str().unwrap().to_owned()
}

#[test]
fn an_unknown_user_is_a_refusal_and_never_root() {
    let host = Host::new();
    for run_as in ["{user: no-such-user}", "{user: nobody, group: no-such-group}", "{user: 54321}"]
    {
        logs(&host, "x", &format!("run_as: {run_as}"));
        host.guest("prepare begin").run().fails(126, &["before_vm_start/x: refused: run_as: "]);
        assert!(host.log().is_empty());
    }
}

#[test]
fn limits_and_nice_hold() {
    let host = Host::new();
    register(
        &host,
        "x",
        "ulimit -n; ulimit -v; ulimit -t; nice",
        "limits: {nofile: 77, as: 1073741824, cpu: 9}\nnice: 7",
    );
    assert_eq!(output_of(&host, "before_vm_start/x"), "77\n1048576\n9\n7\n");
    register(&host, "x", "while :; do :; done", "limits: {cpu: 1}");
    host.guest("prepare begin").run().fails(128 + 9, &["before_vm_start/x: killed by signal 9"]);
}

// O7
#[test]
fn arguments_are_filled_in_and_may_come_on_standard_input() {
    let host = Host::new();
    let args =
        r#"args: ["$NAME", "--uuid=$UUID", "$EVENT/$OPERATION", "$REASON", "$$5", "two words"]"#;
    register(&host, "x", r#"for word; do log "[$word]"; done; log "$(cat)""#, args);
    host.call("qemu", ["a;b $(c)", "prepare", "begin", "-"]).run().succeeds();
    let uuid = host_uuid();
    let words = [
        "[a;b $(c)]",
        &format!("[--uuid={uuid}]"),
        "[before_vm_start/prepare]",
        "[]",
        "[$5]",
        "[two words]",
        "",
    ];
    assert_eq!(host.log(), words);
    register(&host, "x", r#"log "$#"; cat >>"$T/log""#, &format!("{args}\nargs_stdin: true"));
    host.guest("prepare begin").run().succeeds();
    let words =
        ["0", "g", &format!("--uuid={uuid}"), "before_vm_start/prepare", "", "$5", "two words"];
    assert_eq!(host.log(), words);
    register(&host, "x", r#"printf %s "$1" | base64 -d >"$T/decoded""#, "args: [$XML_BASE64]");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.read("decoded"), GUEST.as_bytes());
}

fn host_uuid() -> String {
    GUEST.split("<uuid>").nth(1).unwrap().split("</uuid>").next().unwrap().to_owned()
}

// C1: the event as one object
#[test]
fn json_on_standard_input_is_one_object() {
    let host = Host::new();
    register(&host, "x", r#"cat >"$T/json""#, "stdin: json");
    host.guest("prepare begin").run().succeeds();
    let object: serde_json::Value = serde_json::from_slice(&host.read("json")).unwrap();
    assert_eq!(object["event"], "before_vm_start");
    assert_eq!(object["driver"], "qemu");
    assert_eq!(object["object"], "g");
    assert_eq!(object["operation"], "prepare");
    assert_eq!(object["origin"], "fresh");
    assert_eq!(object["uuid"], host_uuid().as_str());
    assert_eq!(object["reason"], serde_json::Value::Null);
    assert_eq!(object["xml"], GUEST);
    assert_eq!(object["hook"], "before_vm_start/x");
    register(&host, "x", r#"cat >"$T/xml""#, "stdin: xml");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.read("xml"), GUEST.as_bytes());
}

#[test]
fn libvirts_style_is_libvirts() {
    let host = Host::new();
    register(&host, "x", r#"log "$*"; cat >"$T/xml""#, "style: libvirt");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(
        (host.log(), host.read("xml")),
        (vec!["g prepare begin -".to_owned()], GUEST.as_bytes().to_vec())
    );
}

#[test]
fn parallel_neighbours_of_equal_weight_run_together() {
    let host = Host::new();
    for name in ["a", "b", "c", "d"] {
        // each waits for all
        let script = format!(
            "touch \"$T/here-{name}\"; while [ \"$(ls \"$T\" | grep -c here-)\" -lt 4 ]; do sleep 0.01; done; log {name}"
        );
        register(&host, name, &script, "parallel: true\ntimeout: 30s");
    }
    // one between them that has no part keeps nobody apart
    logs(&host, "bb", "parallel: true\nwhen: {name: other}");
    host.guest("prepare begin").run().succeeds().took_less_than(20);
    assert_eq!(host.log().len(), 4);
}

#[test]
fn others_run_neither_beside_nor_out_of_order() {
    let host = Host::new();
    let script = |name: &str| format!("log +{name}; sleep 0.1; log -{name}");
    for (name, more) in [
        ("a", "parallel: true"),
        ("b", "weight: 100"),
        ("c", "parallel: true"),
        ("d", "parallel: true\nweight: 101"),
        ("e", "parallel: true\nweight: 102\nlock: x"),
        ("f", "parallel: true\nweight: 102\nlock: x"),
    ] {
        register(&host, name, &script(name), more);
    }
    host.guest("prepare begin").run().succeeds();
    assert_eq!(
        host.log(),
        ["+a", "-a", "+b", "-b", "+c", "-c", "+d", "-d", "+e", "-e", "+f", "-f"]
    );
}

#[test]
fn only_one_of_parallel_hooks_may_change_the_document() {
    let host = Host::new();
    let edit = |tag: &str| format!("sed -i 's|</domain>|<{tag}/></domain>|' \"$_hook_domxml\"");
    let at = |name: &str, script: &str| {
        register_at(&host, "before_vm_dehibernate", name, script, "parallel: true")
    };
    at("a", "grep -q domain \"$_hook_domxml\"");
    at("b", &edit("b"));
    host.guest("restore begin").run().answers(GUEST.replace("</domain>", "<b/></domain>"));
    at("c", &edit("c"));
    host.guest("restore begin").run().succeeds();
    let words =
        "before_vm_dehibernate/c: it changed the document, and so did a hook that ran in parallel";
    host.guest("prepare begin").run().fails(1, &[words]);
}

#[test]
fn a_lock_keeps_hooks_of_different_calls_apart_and_waiting_counts() {
    let host = Host::new();
    register(&host, "x", "log +; sleep 0.2; log -", "lock: gpu");
    let calls: Vec<_> = ["a", "b", "c"]
        .map(|name| host.call("qemu", [name, "prepare", "begin", "-"]).start())
        .into();
    calls.into_iter().for_each(|call| {
        call.wait().succeeds();
    });
    assert_eq!(host.log(), ["+", "-", "+", "-", "+", "-"]);
    register(&host, "x", "log x; exec sleep 3", "lock: gpu\ntimeout: 30s");
    let holder = host.call("qemu", ["a", "prepare", "begin", "-"]).start();
    until("the lock is held", || host.read_text("log").contains('x'));
    host.file(
        "hooks.d/x.yaml",
        "events: [before_vm_start]\ncommand: bin/x\nlock: gpu\ntimeout: 1s\n",
    );
    let answer = host.call("qemu", ["b", "prepare", "begin", "-"]).run();
    answer.fails(124, &["before_vm_start/x: timed out after", "another hook held the lock `gpu`"]);
    holder.wait().succeeds();
}

#[test]
fn environment_and_file_are_the_registrations_own() {
    let host = Host::new();
    host.settings("environment: {A: settings, B: settings, C: settings}");
    host.file("env", "C=file\nHOOKMUX_EVENT=forged\nvmId=forged\n");
    register(
        &host,
        "x",
        r#"log "$A $B $C $HOOKMUX_EVENT $vmId""#,
        "environment: {B: own, C: own}\nenvironment_file: env",
    );
    register(&host, "y", r#"log "$A $B $C""#, "");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(
        host.log(),
        [
            format!("settings own file before_vm_start {}", host_uuid()),
            "settings settings settings".into()
        ]
    );
    fs::remove_file(host.hook("env")).unwrap();
    host.guest("prepare begin")
        .run()
        .fails(125, &["before_vm_start/x: environment_file", "does not exist"]);
}

// O3
#[test]
fn relative_commands_are_below_the_registrations_root() {
    let host = Host::new();
    host.settings(&format!("roots: [{}]", host.path("lower").display()).replace("roots: ", "# "));
    let settings = host
        .private_settings()
        .replace("roots: []", &format!("roots: [{}]", host.path("lower").display()));
    host.raw_settings(&settings);
    host.script("../lower/bin/x", "log lower");
    host.file("../lower/hooks.d/x.yaml", "events: before_vm_start\ncommand: bin/x\n");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["lower"]);
    // masked by the same name in a higher root, disabled by a link
    logs(&host, "x", "");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["x"]);
    fs::remove_file(host.hook("hooks.d/x.yaml")).unwrap();
    host.link("/dev/null", "hooks.d/x.yaml");
    host.guest("prepare begin").run().succeeds();
    assert!(host.log().is_empty());
}

#[test]
fn a_disabled_registration_does_not_run() {
    let host = Host::new();
    logs(&host, "x", "enabled: false");
    host.guest("prepare begin").run().succeeds();
    assert!(host.log().is_empty());
}

#[test]
fn a_broken_registration_shuts_gates_with_its_place_and_nothing_else() {
    let host = Host::new();
    host.file("hooks.d/bad.yaml", "events: [before_vm_strat]\ncommand: /x\n");
    register_at(&host, "after_vm_start", "live", "log live", "");
    register_at(&host, "after_vm_stop", "notify", "log notify", "");
    let place = format!(
        "hookmux: {}:1:1: there is no event `before_vm_strat`",
        host.hook("hooks.d/bad.yaml").display()
    );
    host.guest("prepare begin").run().fails(125, &[&place, "did you mean `before_vm_start`?"]);
    host.guest("started begin").run().succeeds();
    host.guest("stopped end").run().succeeds();
    assert_eq!(host.log(), ["live", "notify"]);
    // restore in its own way
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").run().fails(125, &[&place]);
}

#[test]
fn a_typo_shuts_only_the_gates_that_could_have_been_meant() {
    for (text, shut) in [
        ("events: after_vm_stop\ncommand: /bin/true\ntimout: 3\n", &[][..]),
        ("events: after_vm_stpo\ncommand: /bin/true\n", &[]),
        ("events: before_vm_start\ncommand: /bin/true\nenabled: false\ntimout: 3\n", &[]),
        ("events: before_vm_start\ncommand: /bin/true\nmode: detached\ntimout: 3\n", &[]),
        ("events: before_vm_start\ncommand: /bin/true\non_failure: warn\ntimout: 3\n", &[]),
        ("events: before_vm_start\ncommand: /bin/true\ntimout: 3\n", &["prepare begin"]),
        (
            "events: before_vm_start\ncommand: /bin/true\nwhen: {driver: quemu}\n",
            &["prepare begin"],
        ),
        (
            "events: after_vm_stop, before_vm_start\ncommand: /bin/true\n",
            &["prepare begin", "start begin"],
        ),
        ("events: before_vm_launch\ncommand: /bin/true\ntimout: 3\n", &["start begin"]),
        ("events: before_vm_strat\ncommand: /bin/true\n", &["prepare begin", "start begin"]),
        ("events: after_vm_stop\ncommand: [/bin/true\n", &["prepare begin", "start begin"]),
        ("command: /bin/true\n", &["prepare begin", "start begin"]),
    ] {
        let host = Host::new();
        host.file("hooks.d/typo.yaml", text);
        // once as it is found, once as it is remembered
        for _ in 0..2 {
            for call in ["prepare begin", "start begin"] {
                let answer = host.guest(call).run();
                match shut.contains(&call) {
                    true => answer.fails(125, &["hooks.d/typo.yaml"]),
                    false => answer.succeeds(),
                };
            }
            host.guest("stopped end").run().succeeds();
        }
        // what is said of it agrees
        let plan = host
            .json(&["plan", "qemu", "g", "prepare"], i32::from(shut.contains(&"prepare begin")));
        assert_eq!(plan["would_fail"], shut.contains(&"prepare begin"), "{text}");
        let listed = host.json(&["list"], 0);
        let reason = listed["hooks"][0]["reason"].as_str().unwrap().to_owned();
        assert_eq!(reason.contains("no gate fails"), shut.is_empty(), "{text}: {reason}");
    }
}

#[test]
fn with_its_conditions_a_typo_shuts_only_their_guests() {
    let host = Host::new();
    host.file(
        "hooks.d/typo.yaml",
        "events: before_vm_start\ncommand: /bin/true\nwhen: {driver: network}\ntimout: 3\n",
    );
    host.guest("prepare begin").run().succeeds();
}

#[test]
fn a_registration_that_others_may_write_is_a_broken_one() {
    let host = Host::new();
    logs(&host, "x", "");
    host.mode("hooks/hooks.d/x.yaml", 0o666);
    host.guest("prepare begin").run().fails(125, &["x.yaml: not trusted:", "is writable by group"]);
    assert!(host.log().is_empty());
}

#[test]
fn a_whole_registry_is_seen_by_every_call_while_it_is_rewritten() {
    let host = Host::new();
    let text = |n: usize| {
        format!(
            "events: [before_vm_start]\ncommand: bin/x\nargs: ['{n}']\nenvironment: {{N: '{n}', PAD: '{}'}}\n",
            "p".repeat(n % 7 * 500)
        )
    };
    host.script("bin/x", r#"[ "$1" = "$N" ] && log "$1""#);
    host.file("hooks.d/x.yaml", text(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=100 {
                let new = host.hook("hooks.d/.new");
                fs::write(&new, text(n)).unwrap();
                fs::rename(new, host.hook("hooks.d/x.yaml")).unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    host.guest("prepare begin").run().succeeds();
                }
            });
        }
    });
    assert_eq!(host.log().len(), 200, "no hook lost, none doubled, none torn");
}
#[test]
fn a_broken_registration_is_replaced_by_its_last_good_form() {
    let host = Host::new();
    logs(&host, "x", "");
    host.guest("prepare begin").run().succeeds();
    host.file("hooks.d/x.yaml", "events: [before_vm_start\n");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["x", "x"]);
    // an empty one is a broken one, too
    host.file("hooks.d/x.yaml", "");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["x"]);
    fs::remove_file(host.hook("hooks.d/x.yaml")).unwrap();
    host.guest("prepare begin").run().succeeds();
    assert!(host.log().is_empty(), "what was removed is gone");
}

#[test]
fn what_undoes_a_hook_is_given_what_the_hook_was_given() {
    let host = Host::new();
    let tell = r#"log "$1 $(md5sum <"$_hook_domxml" | cut -c1-8) $(cat | md5sum | cut -c1-8)""#;
    host.script("bin/a", tell);
    host.file(
        "hooks.d/a.yaml",
        "events: [before_vm_migrate_destination]\ncommand: [bin/a, run]\nrollback: [bin/a, undo]\nweight: 1\nstdin: xml\n",
    );
    host.script("bin/b", &format!("{tell}\nsed -i 's/<name>/ <name>/' \"$_hook_domxml\""));
    host.file(
        "hooks.d/b.yaml",
        "events: [before_vm_migrate_destination]\ncommand: [bin/b, run]\nweight: 2\nstdin: xml\n",
    );
    host.script("bin/c", tell);
    host.file(
        "hooks.d/c.yaml",
        "events: [before_vm_migrate_destination]\ncommand: [bin/c, run]\nrollback: [bin/c, undo]\nweight: 3\nstdin: xml\n",
    );
    host.script("bin/d", "exit 1");
    host.file(
        "hooks.d/d.yaml",
        "events: [before_vm_migrate_destination]\ncommand: bin/d\nweight: 4\n",
    );
    let answer = host.guest("migrate begin").run();
    assert_eq!((answer.status, answer.stdout.len()), (Some(1), 0), "{answer:?}");
    let log = host.log();
    let sums = |index: usize| log[index].split_once(' ').unwrap().1.to_owned();
    assert_eq!(log.len(), 5, "{log:?}");
    assert_ne!(sums(0), sums(2), "b changed it");
    assert_eq!((sums(3), sums(4)), (sums(2), sums(0)), "{log:?}");
    assert!(log[3].starts_with("undo") && log[4].starts_with("undo"));
}

#[test]
fn two_calls_that_want_the_same_locks_do_not_wait_for_each_other() {
    let host = Host::new();
    let hook = |name: &str, event: &str, lock: &str, check: &str| {
        host.script(format!("bin/{name}"), "log \"$HOOKMUX_OBJECT\"");
        host.file(
            format!("hooks.d/{name}.yaml"),
            format!("events: [{event}]\ncommand: bin/{name}\nlock: {lock}\nparallel: true\ntimeout: 20s\ncheck: {check}\n"),
        );
    };
    hook("a", "before_vm_prepare", "L1", "/bin/true");
    hook("b", "before_vm_prepare", "L2", "[/bin/sleep, '0.3']");
    hook("c", "before_vm_launch", "L2", "/bin/true");
    hook("d", "before_vm_launch", "L1", "[/bin/sleep, '0.3']");
    let begun = std::time::Instant::now();
    let calls = [host.guest("prepare begin").start(), host.guest("start begin").start()];
    for call in calls {
        call.wait().succeeds();
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(host.log().len(), 4);
}
