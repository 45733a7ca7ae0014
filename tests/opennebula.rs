//! What OpenNebula's users rely on: its hook templates, `onehook`'s commands, its event keys.
//! (O1, O5, O7 to O10)

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use hookmux::for_tests::config::Registration;
use serde_json::{Value, json};

use crate::records::Following;
use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, schema, skip, until};

/// Imports a template from a file of this name.
fn import(host: &Host, text: &str, more: &[&str], status: i32) -> Value {
    fs::write(host.path("hook.tmpl"), text).unwrap();
    host.json(&[&["import", "opennebula", "hook.tmpl"], more].concat(), status)
}

fn read(host: &Host, name: &str) -> Registration {
    let file = host.hook(format!("hooks.d/{name}.yaml"));
    let text = fs::read_to_string(&file).unwrap();
    Registration::parse(&file, &host.hooks(), &text).unwrap()
}

fn messages(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap()).collect()
}

/// A command that reads from standard input.
fn with_stdin(host: &Host, words: &[&str], stdin: &str) -> std::process::Output {
    let mut command = Command::new(binary_under_test());
    command.arg("--hooks-dir").arg(host.hooks()).args(words).current_dir(host.path(""));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = {
        let _writing = writing();
        command.spawn().unwrap()
    };
    // one that refuses its words doesn't read
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    schema::judge(words, &output.stdout);
    output
}

/// The VM of the document's three templates in one file.
const VM: &str = "# VM
NAME = hook-vm
TYPE = state
COMMAND = new_vm.rb
ARGUMENTS = $TEMPLATE
ON = PROLOG
RESOURCE = VM
";

const HOST: &str = "# HOST
NAME = hook-host
TYPE = state
COMMAND = host-disabled.rb
STATE = DISABLED
RESOURCE = HOST
REMOTE = yes
";

const IMAGE: &str = "# IMAGE
NAME = hook-image
TYPE = state
COMMAND = image-ready.rb
STATE = READY
RESOURCE = IMAGE
";

/// As it is typed in, to a shell.
const PENDING: &str = r#"cat > hook.tmpl << EOF
     NAME      = hook-vm
     TYPE      = state
     COMMAND   = vm-pending.rb
     ARGUMENTS = "\$TEMPLATE pending"
     ON        = CUSTOM
     RESOURCE  = VM
     STATE     = PENDING
     LCM_STATE = LCM_INIT
 EOF
"#;

// O9, O10: every template of OpenNebula's document
#[test]
fn a_template_becomes_a_registration_or_is_refused_with_what_is_nearest() {
    let host = Host::new();
    let typed = Command::new("/bin/sh")
        .args(["-c", &PENDING.replace("\n EOF\n", "\nEOF\n")])
        .current_dir(host.path(""))
        .status()
        .unwrap();
    assert!(typed.success());
    let pending = fs::read_to_string(host.path("hook.tmpl")).unwrap();
    assert!(pending.contains("\"$TEMPLATE pending\""), "{pending}");
    let api = "NAME = hook-API\nTYPE = api\nCOMMAND = \"log_new_user.rb\"\nARGUMENTS = $API\nCALL = \"one.user.allocate\"\nARGUMENTS_STDIN = yes\n";
    let user = "NAME = user-create\nTYPE = api\nCOMMAND = \"user_create.rb\"\nARGUMENTS = \"$API\"\nCALL = \"one.user.allocate\"\n";
    let host_error = "NAME = host-error\nTYPE = state\nCOMMAND = host_error.rb\nARGUMENTS=\"$TEMPLATE\"\nSTATE = ERROR\nRESOURCE = HOST\n";
    let image = "NAME = image-ready\nTYPE = state\nCOMMAND = image_ready.rb\nSTATE = READY\nRESOURCE = IMAGE\nARGUMENTS = \"$TEMPLATE\"\n";
    let autostart_host = "NAME = autostart-host\nTYPE = state\nCOMMAND = autostart/host\nARGUMENTS = $TEMPLATE\nARGUMENTS_STDIN = yes\nRESOURCE = HOST\nSTATE = MONITORED\n";
    let autostart_vm = "NAME = autostart-vm\nTYPE = state\nCOMMAND = autostart/vm\nARGUMENTS = $TEMPLATE\nARGUMENTS_STDIN = yes\nRESOURCE = VM\nSTATE = POWEROFF\nLCM_STATE = LCM_INIT\nON = CUSTOM\n";
    for (template, key, nearest, told) in [
        (HOST, "STATE", None, "a host that fails makes no call"),
        (&HOST.replace("DISABLED", "offline"), "STATE", None, "every stop of libvirt's daemon"),
        (IMAGE, "RESOURCE", None, "images are OpenNebula's own"),
        (&pending, "ON", Some("before_vm_prepare"), "STATE = PENDING, LCM_STATE = LCM_INIT"),
        (api, "CALL", None, "one.user.allocate is a call of OpenNebula's API: libvirt has no part"),
        (user, "CALL", None, "one.user.allocate"),
        (host_error, "STATE", None, "host's state ERROR"),
        (image, "RESOURCE", None, "images are OpenNebula's own"),
        (autostart_host, "STATE", Some("before_daemon_start"), "host's state MONITORED"),
        (autostart_vm, "ON", Some("after_vm_stop"), "STATE = POWEROFF, LCM_STATE = LCM_INIT"),
        (&VM.replace("PROLOG", "UNKNOWN"), "ON", None, "no event stands for UNKNOWN"),
    ] {
        let said = import(&host, template, &[], 1);
        assert_eq!(said["registrations"], json!([]));
        let problem = &said["problems"][0];
        assert_eq!((&problem["key"], &problem["entry"]), (&json!(key), &json!(1)), "{problem:#}");
        let message = problem["message"].as_str().unwrap();
        assert!(message.starts_with("hook.tmpl:") && message.contains(told), "{message}");
        let Some(event) = nearest else {
            assert_eq!(problem["fix_command"], Value::Null, "{problem:#}");
            continue;
        };
        assert!(message.contains(&format!("the nearest is {event}")), "{message}");
        // the way out is a command
        let command: Vec<&str> =
            problem["fix_command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(&command[..2], ["hookmux", "--hooks-dir"]);
        let said = host.json(&command[3..], 0);
        let made = &said["registrations"][0];
        assert_eq!(made["registered"]["events"], json!([event]), "{made:#}");
        host.text(&["delete", made["name"].as_str().unwrap()], 0);
    }
    let prolog = "#NAME = vm-prolog\n#TYPE = state\n#COMMAND = vm_prolog.rb\n#ARGUMENTS = $TEMPLATE\n#ON = PROLOG\n#RESOURCE = VM\n";
    for (name, template) in [("hook-vm", VM.to_owned()), ("vm-prolog", prolog.replace('#', ""))] {
        let said = import(&host, &template, &[], 0);
        assert_eq!(said["registrations"][0]["name"], name);
        let made = read(&host, name);
        assert_eq!(made.triggers.events, ["before_vm_prepare"]);
        assert_eq!(made.args.iter().map(|it| it.as_str()).collect::<Vec<_>>(), ["$XML_BASE64"]);
        assert!(made.command[0].starts_with(host.hooks().to_str().unwrap()), "{made:?}");
        host.text(&["delete", name], 0);
    }
}

// O9: the words of ON
#[test]
fn the_words_of_on_are_events_and_a_hook_stops_nothing() {
    let host = Host::new();
    let starts = json!({"origin": ["!migration", "!restore"]});
    let ends = json!({"reason": ["!migrated", "!saved", "!failed", "!from snapshot"]});
    for (word, event, mode, when, told) in [
        ("PROLOG", "before_vm_prepare", "wait", starts, "leaves out a guest that a migration"),
        ("RUNNING", "after_vm_launch", "detached", json!({}), "also after a save"),
        ("shutdown", "after_vm_stop", "detached", json!({}), "libvirt gives no reason there"),
        ("Stop", "after_vm_hibernate", "detached", json!({}), "OpenNebula's suspend"),
        ("DONE", "after_vm_destroy", "detached", ends, "libvirt before 10.5.0 gives no reason"),
    ] {
        let said = import(&host, &VM.replace("PROLOG", word), &["--replace"], 0);
        let registered = &said["registrations"][0]["registered"];
        assert_eq!(registered["events"], json!([event]), "{word}");
        assert_eq!(registered["mode"], mode, "{word}");
        for key in ["origin", "reason"] {
            assert_eq!(registered["when"][key], when[key], "{word}");
        }
        let notes = messages(&said["notes"]);
        let is_its = |note: &&&str| note.contains(&format!("is the event {event}"));
        let notes: Vec<_> = notes.iter().filter(is_its).collect();
        assert!(notes.len() == 1 && notes[0].contains(told), "{word}: {notes:#?}");
        let made = read(&host, "hook-vm");
        let detached = mode == "detached";
        assert_eq!(made.retries, if detached { 0 } else { 3 }, "{word}");
        assert_eq!(registered["on_failure"], if detached { "fail" } else { "warn" }, "{word}");
    }
    for (word, told) in
        [("RUNING", "did you mean `RUNNING`?"), ("CUSTOM", "CUSTOM needs STATE and LCM_STATE")]
    {
        let said = import(&host, &VM.replace("PROLOG", word), &[], 1);
        assert!(messages(&said["problems"])[0].contains(told), "{said:#}");
    }
    // what a hook at a gate says doesn't stop the guest
    host.text(&["delete", "hook-vm"], 0);
    import(&host, VM, &[], 0);
    host.script("new_vm.rb", "log \"$1\"; exit 1");
    host.guest("prepare begin").run().succeeds();
    assert!(host.log()[0].starts_with("PGRvbWFp"), "the document in base 64");
}

// O7, O8, O10
#[test]
fn every_attribute_is_taken_over_or_told() {
    let host = Host::new();
    let base = "NAME=x\nTYPE=state\nRESOURCE=VM\nON=RUNNING\n";
    let args = |made: &Registration| -> Vec<String> {
        made.args.iter().map(|one| one.as_str().to_owned()).collect()
    };
    for (more, command, arguments, told) in [
        ("COMMAND=\"/usr/bin/echo\"\n", &["/usr/bin/echo"][..], &[][..], "front-end"),
        (
            "COMMAND=\"/usr/bin/echo hi\"\nARGUMENTS=\"a  b\"\n",
            &["/usr/bin/echo", "hi"],
            &["a", "b"],
            "a list of words",
        ),
        (
            "COMMAND=\"/bin/a 'b c'\"\nARGUMENTS=\"-t $TEMPLATE 'd e'\"\n",
            &["/bin/a", "b c"],
            &["-t", "$XML_BASE64", "d e"],
            "/domain/name",
        ),
        (
            "COMMAND=/bin/a\nARGUMENTS=\"--doc=$TEMPLATE $HOME $\"\n",
            &["/bin/a"],
            &["--doc=$XML_BASE64", "$$HOME", "$$"],
            "$HOME is none of OpenNebula's words",
        ),
        (
            "COMMAND=\"/bin/a | /bin/b > /dev/null\"\nARGUMENTS=c\n",
            &["/bin/sh", "-c", "/bin/a | /bin/b > /dev/null \"$@\"", "hook"],
            &["c"],
            "/bin/sh runs it",
        ),
        ("COMMAND=/bin/a\nremote=YES\n", &["/bin/a"], &[], "REMOTE = yes needs nothing"),
        ("COMMAND=/bin/a\nCOMMENT=x\n", &["/bin/a"], &[], "COMMENT is left out"),
        ("COMMAND=/bin/a\nTIMEOT=5\n", &["/bin/a"], &[], "did you mean `TIMEOUT`?"),
        ("COMMAND=/bin/a\nLOCK=1\n", &["/bin/a"], &[], "`hookmux disable` and `enable`"),
        ("COMMAND=/bin/a\n", &["/bin/a"], &[], "an hour (timeout: 0)"),
        ("COMMAND=/bin/a\n", &["/bin/a"], &[], "`run_as: oneadmin`"),
        ("COMMAND=/bin/a\n", &["/bin/a"], &[], "mode: detached and retries: 0"),
        ("COMMAND=/bin/a\n", &["/bin/a"], &[], "ON = RUNNING is the event after_vm_launch"),
    ] {
        let said = import(&host, &format!("{base}{more}"), &["--replace"], 0);
        let made = read(&host, "x");
        assert_eq!(made.command, command, "{more}");
        assert_eq!(args(&made), arguments, "{more}");
        let notes = messages(&said["notes"]);
        assert!(notes.iter().any(|note| note.contains(told)), "{more}: {notes:#?}");
        assert!(notes.iter().all(|note| note.starts_with("x: ")), "{notes:#?}");
    }
    // on standard input they are one line
    let stdin = "COMMAND=cat.sh\nARGUMENTS=\"$TEMPLATE pending\"\nARGUMENTS_STDIN=yes\n";
    import(&host, &format!("{base}{stdin}TIMEOUT=7\n"), &["--replace"], 0);
    let made = read(&host, "x");
    assert!(made.args_stdin && args(&made) == ["$XML_BASE64 pending"]);
    assert_eq!(made.timeout.limit().map(|limit| limit.as_secs()), Some(7));
    host.script("cat.sh", "log \"$(cat)\"; log end");
    host.guest("started begin").run().succeeds();
    until("the hook ran", || host.read_text("log").ends_with("end\n"));
    let log = host.log();
    assert!(log.len() == 2 && log[0].starts_with("PGRvbWFp"), "{log:?}");
    assert!(log[0].ends_with(" pending"), "{log:?}");
    // where no event stands for what it says, others can be said
    let more = ["--replace", "--event", "qemu/stopped/end", "--event", "after_vm_reconnect"];
    let unknown = format!("{base}COMMAND=/bin/a\n").replace("RUNNING", "UNKNOWN");
    let said = import(&host, &unknown, &more, 0);
    let registered = &said["registrations"][0]["registered"];
    assert_eq!(registered["events"], json!(["after_vm_reconnect"]));
    assert_eq!(registered["calls"], json!(["qemu/stopped/end"]));
    assert!(messages(&said["notes"])[0].contains("it runs at what --event says"), "{said:#}");
}

// O9
#[test]
fn an_event_is_said_only_for_templates_without_one() {
    let host = Host::new();
    let done = VM.replace("hook-vm", "done").replace("PROLOG", "DONE");
    let pending = "NAME = pending\nTYPE = state\nRESOURCE = VM\nON = CUSTOM\nSTATE = PENDING\n\
                   LCM_STATE = LCM_INIT\nCOMMAND = new_vm.rb\n";
    let all = format!("{VM}{done}{pending}");
    // one of three has none: the proposed command imports all of them
    let said = import(&host, &all, &[], 1);
    let fix = said["problems"][0]["fix_command"].as_array().unwrap();
    let words: Vec<&str> = fix.iter().skip(3).filter_map(Value::as_str).collect();
    let said = host.json(&words, 0);
    let moments: Vec<_> = said["registrations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].clone(), one["registered"]["events"][0].clone()))
        .collect();
    let expected = [
        ("hook-vm", "before_vm_prepare"),
        ("done", "after_vm_destroy"),
        ("pending", "before_vm_prepare"),
    ];
    assert_eq!(moments, expected.map(|(name, event)| (json!(name), json!(event))));
    // what holds for several of them is one line
    let notes = messages(&said["notes"]);
    assert!(
        notes.iter().any(|it| it.starts_with("hook-vm, done: --event is not used")
            || it.starts_with("hook-vm: --event is not used")),
        "{notes:#?}"
    );
    let as_oneadmin: Vec<_> = notes.iter().filter(|note| note.contains("oneadmin")).collect();
    assert_eq!(as_oneadmin.len(), 1, "{notes:#?}");
    assert!(as_oneadmin[0].starts_with("hook-vm, done, pending: "), "{notes:#?}");
    // a mistake isn't covered by it
    import(&host, &VM.replace("PROLOG", "PROLOGUE"), &["--event", "after_vm_stop"], 1);
}

// O8: libvirt doesn't wait as long as OpenNebula
#[test]
fn a_limit_that_is_longer_than_a_call_is_told() {
    let host = Host::new();
    let notes_of = |word: &str, limit: &str| {
        let text = format!("{}TIMEOUT = {limit}\n", VM.replace("PROLOG", word));
        let said = import(&host, &text, &["--replace"], 0);
        let notes = messages(&said["notes"]).join("\n");
        notes.contains("is ended after 300 s at the latest")
    };
    assert!(notes_of("PROLOG", "7200"));
    assert!(!notes_of("PROLOG", "300") && !notes_of("RUNNING", "7200"));
}

// O9: what `check` knows of this host's libvirt is told at once
#[test]
fn an_event_that_this_libvirt_never_fires_is_told_when_it_is_registered() {
    let host = Host::new();
    let events = host.json(&["events"], 0);
    let never = events["events"].as_array().unwrap().iter().find_map(|event| {
        (event["event"] == "after_vm_hibernate")
            .then(|| event["never_here"].as_str().map(str::to_owned))
    });
    let never = never.unwrap();
    let said = import(&host, &VM.replace("PROLOG", "STOP"), &[], 0);
    let imported = messages(&said["notes"]).join("\n");
    let words = ["add", "script", "/bin/true", "--event", "after_vm_hibernate", "--name", "t"];
    let added = messages(&host.json(&words, 0)["notes"]).join("\n");
    for notes in [imported, added] {
        let told = notes.contains("it never runs at after_vm_hibernate on this host");
        assert_eq!(told, never.is_some(), "{never:?}: {notes}");
    }
}

// O2: of the key `remote`
#[test]
fn what_is_for_other_hosts_doesnt_run_here() {
    let host = Host::new();
    host.script("x.sh", "log x");
    let text = "events: after_vm_stop\ncommand: x.sh\nremote: true\n";
    fs::write(host.path("far.yaml"), text).unwrap();
    host.text(&["add", "far.yaml"], 0);
    host.guest("stopped end").run().succeeds();
    assert!(host.log().is_empty());
    for (words, told) in [
        (&["plan", "qemu", "g", "stopped"][..], "it runs for events of other hosts"),
        (&["check"], "has `remote: true` and never runs"),
        (&["list", "--wide"], "remote"),
        (&["list"], "it runs for events of other hosts"),
    ] {
        let said = host.text(words, 0);
        let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains(told), "{words:?}: {said}");
    }
}

// O5: the text that loads a module says nothing to a reader
#[test]
fn a_function_of_a_module_is_shown_as_it_is_listed() {
    let host = Host::new();
    let module = "def said(event):\n    return (1, 'fine')\n";
    host.file("modules/acme_hooks.py", module);
    let words = ["add", "module", "acme_hooks", "--event", "after_vm_stop", "--action", "said"];
    host.text(&[&words[..], &["--name", "acme"]].concat(), 0);
    host.guest("stopped end").run().succeeds();
    for words in [["show", "last"], ["show", "acme"]] {
        let shown = host.text(&words, 0);
        assert!(shown.contains("said of acme_hooks, by /"), "{words:?}: {shown}");
        assert!(!shown.contains("import"), "{words:?}: {shown}");
        let whole = host.text(&[&words[..], &["--full"]].concat(), 0);
        assert!(whole.contains("import"), "{words:?}: {whole}");
    }
    assert!(host.json(&["show", "last"], 0)["runs"][0]["command"].to_string().contains("import"));
}

// O9: what a guest's end means is known by its reason
#[test]
fn a_hook_for_the_end_runs_neither_after_a_save_nor_after_a_migration() {
    let host = Host::new();
    import(&host, &VM.replace("PROLOG", "DONE"), &[], 0);
    host.script("new_vm.rb", ":");
    let runs = |reason: &str| {
        let planned = host.text(&["plan", "qemu", "g", "release", "end", reason], 0);
        assert!(planned.contains("hook-vm"), "{planned}");
        !planned.contains("when: reason is")
    };
    for (reason, expected) in [
        ("-", true),
        ("shutdown", true),
        ("destroyed", true),
        ("crashed", true),
        ("saved", false),
        ("migrated", false),
        ("failed", false),
        ("from snapshot", false),
    ] {
        assert_eq!(runs(reason), expected, "{reason}");
    }
}

// O6, O10: the document's story of a script that isn't there
#[test]
fn a_hook_without_its_script_fails_and_is_run_again_when_the_script_is_made() {
    let host = Host::new();
    let template = VM.replace("PROLOG", "RUNNING").replace("$TEMPLATE", "\"$TEMPLATE pending\"");
    import(&host, &template, &[], 0);
    host.guest("started begin").run().succeeds();
    let shown = |host: &Host| -> Vec<Value> {
        host.json(&["show", "hook-vm"], 0)["executions"].as_array().unwrap().clone()
    };
    let failed = shown(&host);
    assert_eq!((failed.len(), &failed[0]["state"]), (1, &json!("failed")), "{failed:#?}");
    assert!(failed[0]["failure"].as_str().unwrap().contains("new_vm.rb: does not exist"));
    host.script(
        "new_vm.rb",
        "log \"$2 $(printf %s \"$1\" | base64 -d | grep -c '<name>g</name>')\"",
    );
    host.text(&["retry", failed[0]["id"].as_str().unwrap()], 0);
    until("its log has the success", || {
        let last = shown(&host).pop().unwrap();
        last["state"] == "good" && last["status"] == 0
    });
    assert_eq!(host.log(), ["pending 1"]);
}

#[test]
fn what_is_wrong_in_a_template_is_told_with_its_place() {
    let host = Host::new();
    let base = "NAME=x\nTYPE=state\nRESOURCE=VM\nON=RUNNING\nCOMMAND=/bin/a\n";
    let without = |line: &str| base.replace(line, "");
    for (text, key, told) in [
        (without("NAME=x\n"), "NAME", "hook.tmpl:1: NAME: it is missing"),
        (base.replace("NAME", "NMAE"), "NAME", "is it meant by NMAE?"),
        (base.replace("=x", "=~"), "NAME", "is not a valid name"),
        (without("TYPE=state\n"), "TYPE", "`state` or `api`"),
        (base.replace("state", "stat"), "TYPE", "neither state nor api"),
        (without("RESOURCE=VM\n"), "RESOURCE", "VM, HOST or IMAGE"),
        (base.replace("=VM", "=USER"), "RESOURCE", "`USER` is none of VM, HOST and IMAGE"),
        (base.replace("=VM", "=VIRTUALNETWORK"), "RESOURCE", "before_network_start"),
        (without("ON=RUNNING\n"), "ON", "ON is one of PROLOG"),
        (without("COMMAND=/bin/a\n"), "COMMAND", "the program"),
        (format!("{base}TIMEOUT=soon\n"), "TIMEOUT", "is not a number of seconds"),
        (format!("{base}REMOTE=perhaps\n"), "REMOTE", "neither yes nor no"),
        (format!("{base}ARGUMENTS=$API\n"), "ARGUMENTS", "$API is a call of OpenNebula's API"),
        (format!("{base}ARGUMENTS=\"it's\"\n"), "ARGUMENTS", "never closed"),
        (format!("{base}ARGUMENTS=[ A = b ]\n"), "ARGUMENTS", "no list in brackets"),
    ] {
        let said = import(&host, &text, &[], 1);
        assert_eq!(said["problems"][0]["key"], key, "{text}");
        assert!(messages(&said["problems"])[0].contains(told), "{text}: {said:#}");
    }
    for (text, told) in [
        ("NAME = x\nTYPE\n", "hook.tmpl:2: `TYPE` has no `=`"),
        ("# nothing\n", "hook.tmpl has no template"),
        ("<HOOK/>", "hook.tmpl:1: this is XML"),
    ] {
        let said = import(&host, text, &[], 1);
        assert!(said["error"]["message"].as_str().unwrap().contains(told), "{said:#}");
    }
    let said = import(&host, base, &["--event", "before_vm_strat"], 2);
    assert!(said["error"]["message"].as_str().unwrap().contains("did you mean before_vm_start?"));
    host.text(&["import", "opennebula", "nothing.tmpl"], 1);
    host.text(&["import", "opennebula"], 2);
    assert!(host.text(&["import", "opennebla", "x"], 2).contains("opennebula"));
    assert!(!host.hook("hooks.d").join("x.yaml").exists());
}

/// Each system has options of its own, which the others refuse.
#[test]
fn an_option_of_another_system_is_refused() {
    let host = Host::new();
    for (words, option, owner) in [
        (&["opennebula", "x.tmpl", "--from", "ready"][..], "--from", "saschpe"),
        (&["saschpe", "x.json", "--event", "after_vm_stop"], "--event", "opennebula"),
        (&["saschpe", "x.json", "--skip"], "--skip", "opennebula"),
    ] {
        let said = host.text(&[&["import"], words].concat(), 2);
        assert!(said.contains(&format!("{option} belongs to `import {owner}`")), "{said}");
        let said = host.json(&[&["import"], words].concat(), 2);
        assert!(said["error"]["message"].as_str().unwrap().contains(option), "{said:#}");
    }
    assert!(!host.hook("hooks.d").exists());
}

#[test]
fn several_templates_are_imported_or_none_and_nothing_is_run() {
    let host = Host::new();
    host.script("new_vm.rb", "log ran");
    let all = format!("{VM}\n{HOST}\n{IMAGE}");
    let said = import(&host, &all, &[], 1);
    let problems = said["problems"].as_array().unwrap();
    let entries: Vec<_> = problems.iter().map(|problem| problem["entry"].as_u64()).collect();
    assert_eq!(entries, [Some(2), Some(3)]);
    assert_eq!(problems[0]["fix_command"], Value::Null);
    assert!(!host.hook("hooks.d/hook-vm.yaml").exists());
    let said = import(&host, &all, &["--skip", "--dry-run"], 0);
    assert_eq!(said["registrations"][0]["action"], "none");
    assert!(!host.hook("hooks.d/hook-vm.yaml").exists());
    let said = import(&host, &all, &["--skip"], 0);
    assert_eq!(said["registrations"].as_array().unwrap().len(), 1);
    let notes = messages(&said["notes"]);
    assert_eq!(notes.iter().filter(|it| it.starts_with("left out: hook.tmpl:")).count(), 2);
    let text = fs::read_to_string(host.hook("hooks.d/hook-vm.yaml")).unwrap();
    for line in [
        "# Made from OpenNebula's template in hook.tmpl:2:",
        "#   ON = PROLOG",
        "# You may edit this file",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    // again, and what stands in the way
    assert_eq!(import(&host, VM, &[], 0)["changed"], false);
    let other = VM.replace("PROLOG", "RUNNING");
    assert!(messages(&import(&host, &other, &[], 1)["problems"])[0].contains("--replace"));
    assert_eq!(import(&host, &other, &["--replace"], 0)["changed"], true);
    import(&host, VM, &["--replace"], 0);
    let twice = import(&host, &format!("{VM}{VM}"), &["--replace"], 1);
    assert!(messages(&twice["problems"])[0].contains("name of an earlier one"), "{twice:#}");
    // more than one file, weights in their order, and names that are no names of files
    fs::write(host.path("a.tmpl"), VM.replace("hook-vm", "\"my hook\"")).unwrap();
    fs::write(host.path("b.tmpl"), VM.replace("hook-vm", "b")).unwrap();
    host.text(&["import", "OpenNebula", "a.tmpl", "b.tmpl"], 0);
    assert_eq!([read(&host, "my-hook").weight, read(&host, "b").weight], [200, 300]);
    // nothing would be left
    import(&host, &format!("{HOST}{IMAGE}"), &["--skip"], 1);
    let words = ["import", "opennebula", "-", "--output", "json"];
    let output = with_stdin(&host, &words, &VM.replace("hook-vm", "c"));
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(host.hook("hooks.d/c.yaml")).unwrap();
    assert!(text.contains("in standard input:2:"), "{text}");
    assert!(host.log().is_empty(), "a hook ran");
    let acts = host.json(&["log", "--audit"], 0);
    let mut acts = acts["acts"].as_array().unwrap().iter();
    assert!(acts.any(|act| act["action"] == "import"));
}

// O10
#[test]
fn a_registration_comes_from_standard_input_with_a_name() {
    let host = Host::new();
    let text = "# mine\nevents: after_vm_stop\ncommand: /bin/true\n";
    for (file, name) in [("-", "a"), ("/dev/stdin", "b.yaml")] {
        let output = with_stdin(&host, &["add", file, "--name", name], text);
        assert!(output.status.success(), "{output:?}");
        let bare = name.trim_end_matches(".yaml");
        let made = fs::read_to_string(host.hook(format!("hooks.d/{bare}.yaml"))).unwrap();
        assert!(made.contains("# mine\nevents: after_vm_stop\n"), "{made}");
    }
    let output = with_stdin(&host, &["add", "-", "--name", "c", "--dry-run"], text);
    assert!(output.status.success() && !host.hook("hooks.d/c.yaml").exists(), "{output:?}");
    let misspelt = "events: after_vm_stop\ncomand: x\n";
    let different = "events: after_vm_stop\ncommand: /bin/other\n";
    for (words, stdin, status, told) in [
        (&["add", "-"][..], text, 2, "`--name NAME` says what the registration is called"),
        (&["add", "-", "--name", "a"], different, 1, "--replace"),
        (&["add", "-", "--name", "x/y"], text, 2, "is not a valid name"),
        (&["add", "-", "--name", "d"], misspelt, 1, "standard input:2:1: unknown key `comand`"),
        (&["add", "-", "--name", "d"], "", 1, "the registration is empty"),
        (&["add", "-", "--name", "d"], "[{\"hook\": \"/x\"}]", 1, "`hookmux add script PATH`"),
        (&["add", "-", "--name", "d"], "some words", 1, "this line has no key"),
        (&["add", "-", "--name", "d", "--event", "after_vm_stop"], text, 2, "only --name"),
    ] {
        let output = with_stdin(&host, words, stdin);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
        assert!(said.contains(told), "{words:?}: {said}");
    }
    let large = format!("#{}\n{text}", "x".repeat(1 << 20));
    let output = with_stdin(&host, &["add", "-", "--name", "d"], &large);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!host.hook("hooks.d/d.yaml").exists());
}

#[test]
fn a_command_in_one_string_with_blanks_is_explained() {
    let host = Host::new();
    let text = "events: after_vm_stop\ncommand: /usr/bin/echo hi\n";
    fs::write(host.path("echo.yaml"), text).unwrap();
    const TOLD: &str = "`command: [/usr/bin/echo, hi]`";
    let told = |text: &str| {
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains(TOLD), "{text}");
    };
    told(&host.text(&["add", "echo.yaml"], 0));
    told(&host.text(&["list"], 0));
    told(&host.text(&["check"], 1));
    told(&host.text(&["plan", "qemu", "g", "stopped"], 0));
    told(&host.guest("stopped end").run().stderr);
    told(&host.text(&["show", "last"], 0));
    // a file of that name is one
    let here = host.hook("say hi");
    let text = format!("events: after_vm_launch\ncommand: '{}'\n", here.display());
    fs::write(host.path("hi.yaml"), text).unwrap();
    host.script(&here, "log hi");
    let said = host.text(&["add", "hi.yaml"], 0);
    assert!(!said.contains("is a list"), "{said}");
    host.guest("started begin").run().succeeds();
    assert_eq!(host.log(), ["hi"]);
}

// O5, O10: `onehook show HOOK`
#[test]
fn a_hook_is_shown_with_its_registration_and_its_executions() {
    let host = Host::new();
    host.file(
        "hooks.d/guard.yaml",
        "events: [before_vm_start, after_vm_launch]\ncommand: guard.sh\nargs: ['--guest=$NAME']\n\
         when: {name: 'g*'}\nenvironment: {TOKEN: secret}\n",
    );
    host.script("guard.sh", "[ $HOOKMUX_EVENT = before_vm_start ] || { echo why >&2; exit 255; }");
    host.script("after_vm_stop/10-x", ":").script("after_vm_destroy/10-x", ":");
    host.script("qemu.d/win/prepare/begin/10-gpu", ":");
    host.guest("prepare begin").run().succeeds();
    host.guest("started begin").run().succeeds();
    let text = host.text(&["show", "guard"], 0);
    for words in [
        "before_vm_start, number 1 there",
        "after_vm_launch, number 1 there",
        "hooks.d/guard.yaml",
        "--guest=$NAME",
        "on_failure       fail",
        "TOKEN (values aren't shown)",
        "qemu prepare",
        "exit status 255",
    ] {
        assert!(text.contains(words), "{words} is missing in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
    let shown = host.json(&["show", "guard.yaml"], 0);
    assert_eq!(shown["name"], "guard");
    assert_eq!(shown["hooks"].as_array().unwrap().len(), 2);
    assert_eq!(shown["hooks"][0]["registered"]["args"], json!(["--guest=$NAME"]));
    let runs = shown["executions"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!((&runs[0]["status"], &runs[0]["state"]), (&json!(0), &json!("good")));
    assert_eq!((&runs[1]["status"], &runs[1]["event"]), (&json!(255), &json!("after_vm_launch")));
    assert!(runs[1]["failure"].as_str().unwrap().starts_with("exit status 255"), "{shown:#}");
    // one of its events, a script, one of the per-guest tree
    let one = host.json(&["show", "after_vm_launch/guard"], 0);
    let count = |key: &str| one[key].as_array().unwrap().len();
    assert_eq!((count("hooks"), count("executions")), (1, 1));
    let script = host.json(&["show", "after_vm_stop/10-x"], 0);
    let registration = &script["hooks"][0]["registration"];
    assert_eq!((registration, &script["executions"]), (&Value::Null, &json!([])));
    assert!(host.text(&["show", "10-gpu"], 0).contains("qemu.d/win/prepare/begin"));
    let said = host.text(&["show", "10-x"], 1);
    assert!(said.contains("more than one hook: after_vm_stop/10-x, after_vm_destroy/10-x"));
    // a registration's name is one, whatever scripts are called
    host.script("after_vm_stop/guard", ":");
    let said = host.text(&["show", "guard"], 0);
    assert!(said.contains("hooks.d/guard.yaml") && said.contains("after_vm_stop/guard"), "{said}");
    fs::remove_file(host.hook("after_vm_stop/guard")).unwrap();
    assert!(host.text(&["show", "gaurd"], 1).contains("did you mean guard?"));
    assert!(host.text(&["show", "!!"], 1).contains("`hookmux list` the hooks"));
    // its file is gone, and not what it did
    fs::remove_file(host.hook("hooks.d/guard.yaml")).unwrap();
    assert!(host.text(&["show", "guard"], 0).contains("it is gone"));
    let shown = host.json(&["show", "guard"], 0);
    assert_eq!(shown["executions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_word_that_is_a_hook_and_a_part_of_an_id_is_the_hook() {
    let host = Host::new();
    host.script("before_vm_start/10-x", ":");
    host.guest("prepare begin").run().succeeds();
    let id = host.json(&["show", "last"], 0)["id"].as_str().unwrap().to_owned();
    let end = id[20..].to_lowercase();
    assert_eq!(host.json(&["show", &end], 0)["id"], json!(id));
    host.script(format!("after_vm_stop/{end}"), ":").script("after_vm_stop/last", ":");
    let shown = host.json(&["show", &end], 0);
    assert_eq!(shown["name"], format!("after_vm_stop/{end}"));
    assert_eq!(shown["execution_of_this_name"], json!(id));
    assert!(host.text(&["show", &end], 0).contains(&format!("show {id}` shows it")));
    // a whole id and `last` are executions, whatever there is
    host.script(format!("after_vm_stop/{id}"), ":");
    for word in [id.as_str(), "last"] {
        assert_eq!(host.json(&["show", word], 0)["id"], json!(id), "{word}");
    }
}

#[test]
fn older_executions_of_a_hook_are_counted_and_shown_on_request() {
    let host = Host::new();
    host.script("after_vm_stop/10-x", ":");
    for _ in 0..22 {
        host.guest("stopped end").run().succeeds();
    }
    let count = |shown: &Value| shown["executions"].as_array().unwrap().len();
    let shown = host.json(&["show", "10-x"], 0);
    assert_eq!((count(&shown), &shown["older"]), (20, &json!(2)));
    assert!(host.text(&["show", "10-x"], 0).contains("2 older ones; --full shows them"));
    let shown = host.json(&["show", "10-x", "--full"], 0);
    assert_eq!((count(&shown), &shown["older"]), (22, &json!(0)));
}

// --- patterns ------------------------------------------------------------------------------------

/// A host with executions of several guests, hooks and events.
fn varied() -> Host {
    let host = Host::new();
    for place in [
        "before_vm_start/10-licence",
        "after_vm_launch/20-dns",
        "after_vm_stop/30-lic",
        "before_network_start/n",
    ] {
        host.script(place, ":");
    }
    for (driver, words) in [
        ("qemu", ["web-1", "prepare", "begin", "-"]),
        ("qemu", ["web-1", "started", "begin", "-"]),
        ("qemu", ["web-*", "prepare", "begin", "-"]),
        ("lxc", ["web-2", "stopped", "end", "-"]),
        ("network", ["lan", "start", "begin", "-"]),
    ] {
        host.call(driver, words).stdin("").run();
    }
    host
}

// O1: a key needn't be written as a whole
#[test]
fn executions_are_selected_by_beginnings_and_patterns() {
    let host = varied();
    let all = ["web-1 prepare", "web-1 started", "web-* prepare", "web-2 stopped", "lan start"];
    for (words, expected) in [
        (&["after_vm_"][..], &[all[1], all[3]][..]),
        (&["after_vm_start"], &[all[1]]),
        (&["*_network_*"], &[all[4]]),
        (&["before_vm_", "daemon"], &[all[0], all[2]]),
        (&["qemu/"], &all[..3]),
        (&["qemu/start"], &[]),
        (&["qemu/starte"], &[all[1]]),
        (&["*/stop"], &[all[3]]),
        (&["network"], &[all[4]]),
        (&["lxc/stopped/end"], &[all[3]]),
        (&["on_qemu_"], &[]),
        (&["--event", "after_vm_"], &[all[1], all[3]]),
        // no hook of this event ran, though it fired
        (&["--event", "after_vm_start"], &[]),
        (&["--hook", "*lic*"], &[all[0], all[2], all[3]]),
        (&["--hook", "after_*/*"], &[all[1], all[3]]),
        (&["--guest", "web-?"], &all[..4]),
        // a guest of that name wins
        (&["--guest", "web-*"], &[all[2]]),
        (&["--guest", "w*"], &all[..4]),
        (&["--guest", "web-1", "after_vm_"], &[all[1]]),
    ] {
        let found = host.json(&[&["log"], words].concat(), 0);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let found: Vec<String> = found["executions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} {}", text(&one["object"]), text(&one["operation"])))
            .collect();
        assert_eq!(found, expected, "{words:?}");
    }
    for (words, told) in [
        (&["after_vn_"][..], "did you mean after_vm_?"),
        (&["befor_vm_start"], "did you mean before_vm_start?"),
        (&["zzz*"], "--guest selects by a guest"),
        (&["qmeu/prepare"], "did you mean qemu?"),
        (&["qemu/prepair"], "did you mean qemu/prepare?"),
        (&["before_vm_start/10-licence"], "--hook before_vm_start/10-licence`"),
        (&["--event", "after_vm_strop"], "did you mean after_vm_stop?"),
    ] {
        for command in ["log", "watch"] {
            let said = host.text(&[&[command], words].concat(), 2);
            assert!(said.contains(told), "{command} {words:?}: {said}");
        }
    }
    for (words, told) in [
        (&["--guest", "wbe-1"][..], "no recorded execution is about wbe-1; did you mean web-1?"),
        (&["--guest", "zzz*"], "there are lan, web-*, web-1, web-2"),
        (&["--hook", "10-licens"], "did you mean 10-licence?"),
    ] {
        let said = host.text(&[&["log"], words].concat(), 0);
        assert!(said.contains("No such execution.") && said.contains(told), "{words:?}: {said}");
    }
}

// O1: who subscribes says what for
#[test]
fn watch_tells_what_was_asked_for() {
    let host = varied();
    let after = Following::start(&host, &["watch", "after_vm_", "--done", "--output", "json"]);
    let guests = Following::start(&host, &["watch", "--guest", "web-?", "qemu/sta", "--done"]);
    for words in [
        ["web-1", "prepare", "begin", "-"],
        ["db", "started", "begin", "-"],
        ["web-3", "started", "begin", "-"],
    ] {
        host.call("qemu", words).stdin("").run();
    }
    for object in ["db", "web-3"] {
        let one = schema::read(&["watch"], after.next().as_bytes());
        let events = json!(["after_vm_launch", "after_vm_start"]);
        assert_eq!((&one["object"], &one["events"]), (&json!(object), &events));
    }
    assert!(guests.next().starts_with("TIME "));
    assert!(guests.next().contains("web-3"));
    assert!(after.is_quiet() && guests.is_quiet());
}

#[test]
fn list_takes_beginnings_patterns_and_places() {
    let host = varied();
    host.script("qemu.d/win10/prepare/begin/10-gpu", ":");
    host.file("hooks.d/call.yaml", "calls: qemu/stopped\ncommand: /bin/true\n");
    for (words, expected) in [
        (&["before_"][..], &["before_vm_start/10-licence", "before_network_start/n"][..]),
        (&["*_vm_launch"], &["after_vm_launch/20-dns"]),
        (&["before_vm_start"], &["before_vm_start/10-licence"]),
        (&["qemu.d/win10"], &["qemu.d/win10/prepare/begin/10-gpu"]),
        (&["--hook", "*lic*"], &["before_vm_start/10-licence", "after_vm_stop/30-lic"]),
        (&["--hook", "20-dns"], &["after_vm_launch/20-dns"]),
        (&["after_", "--hook", "*lic*"], &["after_vm_stop/30-lic"]),
        (&["--hook", "call"], &["hooks.d/call"]),
    ] {
        let listed = host.json(&[&["list"], words].concat(), 0);
        let hooks = listed["hooks"].as_array().unwrap().iter();
        let found: Vec<&str> = hooks.map(|hook| hook["hook"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{words:?}");
    }
    for (words, status, told) in [
        (&["before_vm_strat"][..], 2, "did you mean before_vm_start?"),
        (&["zzz/"], 2, "there is no event zzz/"),
        (&["--hook", "20-dsn"], 1, "did you mean `20-dns`?"),
        (&["--hook", "zzz*"], 1, "`hookmux list` shows all hooks"),
    ] {
        let said = host.text(&[&["list"], words].concat(), status);
        assert!(said.contains(told), "{words:?}: {said}");
    }
    assert!(host.text(&["list", "after_network_"], 0).contains("No hook for after_network_"));
}

// --- what the pages say --------------------------------------------------------------------------

/// A program of the page, with `hookmux` found where a shell would find it.
fn of_page(host: &Host, program: &[&str]) -> Command {
    let bin = host.path("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(binary_under_test(), bin.join("hookmux")).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).current_dir(host.path(""));
    command.env("PATH", path).env("HOOKMUX_HOOKS_DIR", host.hooks());
    command
}

/// The block of a language in a page that has these words.
fn block<'a>(page: &'a str, language: &str, words: &str) -> &'a str {
    let mark = format!("```{language}\n");
    let mut texts = page.split(&mark).skip(1).map(|rest| rest.split("```").next().unwrap());
    texts.find(|text| text.contains(words)).unwrap_or_else(|| panic!("no {language} with {words}"))
}

// O1: OpenNebula's subscriber script, against a running hookmux
#[test]
fn the_subscribers_of_the_page_print_keys_and_contents() {
    let page = include_str!("../docs/subscribing.md");
    for (interpreter, needed, text) in [
        ("/usr/bin/python3", "/usr/bin/python3", block(page, "python", "subprocess")),
        ("/bin/sh", "/usr/bin/jq", block(page, "sh", "while read")),
    ] {
        if !Path::new(needed).exists() {
            skip(&format!("{needed} is not installed"));
            continue;
        }
        let host = Host::new();
        host.script("after_vm_launch/10-x", ":").script("before_vm_start/10-x", ":");
        fs::write(host.path("subscriber"), text).unwrap();
        let words = [interpreter, "subscriber", "after_vm_"];
        let following = Following::of(of_page(&host, &words));
        host.guest("prepare begin").run().succeeds();
        host.guest("started begin").run().succeeds();
        // a line of `=` ends each message
        let message = || {
            let mut lines = Vec::new();
            while lines.last().is_none_or(|line: &String| !line.starts_with("====")) {
                lines.push(following.next());
            }
            lines
        };
        for event in ["after_vm_launch", "after_vm_start"] {
            let lines = message();
            let keys: Vec<_> = lines.iter().filter(|line| line.starts_with("Key: ")).collect();
            assert_eq!(keys, [&format!("Key: {event} qemu/g")], "{interpreter}: {lines:#?}");
            let has_content = lines.iter().any(|line| line.contains("<name>g</name>"));
            assert!(has_content, "{interpreter}: {lines:#?}");
        }
    }
}

/// Each command in the table for OpenNebula's users, with names that are there.
#[test]
fn the_table_is_true() {
    let page = include_str!("../docs/opennebula.md");
    let part = page.split("\n## What is what\n").nth(1).unwrap();
    let part = part.split("\n## ").next().unwrap();
    let rows = part.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").split(" | ").nth(1));
    let spans = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let commands: Vec<&str> = spans
        .filter(|span| ["hookmux ", "mv "].iter().any(|start| span.starts_with(start)))
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    for span in commands {
        let host = Host::new();
        host.file("hooks.d/guard.yaml", "events: after_vm_stop\ncommand: exe/x\n");
        host.script("exe/x", "exit 1");
        host.guest("stopped end").run();
        let id = host.json(&["show", "last"], 0)["id"].as_str().unwrap().to_owned();
        fs::write(host.path("hook.tmpl"), VM).unwrap();
        let text = "events: after_vm_stop\ncommand: /bin/true\n";
        fs::write(host.path("new.yaml"), text).unwrap();
        let line = span
            .replace("FILE.yaml", "new.yaml")
            .replace("FILE.tmpl", "hook.tmpl")
            .replace("EXECUTION", &id)
            .replace("/etc/libvirt/hooks", "hooks")
            .replace("HOOK", "guard")
            .replace("NEW", "renamed");
        let words: Vec<&str> = span.split(' ').collect();
        if words[1] == "watch" {
            let line = format!("exec {line}");
            let following = Following::of(of_page(&host, &["/bin/sh", "-c", &line]));
            host.guest("stopped end").run();
            following.next();
            continue;
        }
        let output = of_page(&host, &["/bin/sh", "-c", &line]).output().unwrap();
        // the hook fails again
        let status = i32::from(words[1] == "retry");
        assert_eq!(output.status.code(), Some(status), "{line}: {output:?}");
    }
}
