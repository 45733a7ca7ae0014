//! What is typed at cPanel's `manage_hooks`, and scripts and modules that were written for it.
//! (C1, C2, C8, C9, C11)

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, schema, skip, until};

const PERL: &str = "/usr/bin/perl";
const PHP: &str = "/usr/bin/php";

fn has(interpreter: &str) -> bool {
    let is_there = Path::new(interpreter).exists();
    if !is_there {
        skip(&format!("{interpreter} is not installed"));
    }
    is_there
}

/// A host with a command `manage_hooks` for its own hooks directory, which is typed at a shell.
struct Place {
    host: Host,
}

impl Place {
    fn new() -> Place {
        let host = Host::new();
        let text = format!(
            "#!/bin/sh\nexec '{}' --hooks-dir '{}' \"$@\"\n",
            binary_under_test().display(),
            host.hooks().display()
        );
        host.file("../bin/manage_hooks", text);
        Place { host }
    }

    fn type_in(&self, line: &str) -> Output {
        let line = line.replace("/var/cpanel", self.host.path("cpanel").to_str().unwrap());
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &line]).current_dir(self.host.path("bin")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = {
            let _writing = writing();
            command.spawn().unwrap()
        };
        child.wait_with_output().unwrap()
    }

    /// Types a line, which has to end with a status. Returns what it printed on both streams.
    #[track_caller]
    fn says(&self, line: &str, status: i32) -> (String, String) {
        let output = self.type_in(line);
        assert_eq!(output.status.code(), Some(status), "{line}\n{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    #[track_caller]
    fn does(&self, line: &str) -> String {
        let (stdout, stderr) = self.says(line, 0);
        stdout + &stderr
    }

    /// What a line that fails says on standard error.
    #[track_caller]
    fn fails(&self, line: &str, status: i32, words: &[&str]) -> String {
        let (_, stderr) = self.says(line, status);
        for word in words {
            assert!(stderr.contains(word), "{line}\nmust say {word:?}:\n{stderr}");
        }
        stderr
    }

    /// The registered hooks in cPanel's words, in their order.
    #[track_caller]
    fn registered(&self) -> Vec<Value> {
        let (stdout, _) = self.says("./manage_hooks list --registered --output JSON", 0);
        let value = schema::read(&["list"], stdout.as_bytes());
        value["hooks"].as_array().unwrap().iter().map(|hook| hook["cpanel"].clone()).collect()
    }

    /// Of each registered hook: category, event, stage, exectype and hook.
    #[track_caller]
    fn hooks(&self) -> Vec<String> {
        let base = self.host.path("cpanel");
        let row = |hook: &Value| {
            let keys = ["category", "event", "stage", "exectype", "hook"];
            let words = keys.map(|key| hook[key].as_str().unwrap_or("-").to_owned());
            words.join(" ").replace(base.to_str().unwrap(), "/var/cpanel")
        };
        self.registered().iter().map(row).collect()
    }

    /// A script below `/var/cpanel`.
    fn script(&self, name: &str, text: &str) -> &Place {
        let text = text.replace("/var/cpanel", self.host.path("cpanel").to_str().unwrap());
        self.host.script(self.host.path("cpanel").join(name), &text);
        self
    }

    /// A Perl module in the hooks directory.
    fn perl(&self, name: &str, text: &str) -> &Place {
        let path = self.host.hook("modules").join(name);
        self.host.file(&path, text.replace("@LOG@", self.host.path("log").to_str().unwrap()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    /// The document's module: what it describes and does, and a third function for one more event.
    fn whm_pm(&self) -> &Place {
        self.perl(
            "MyApp/WHM.pm",
            r#"
package MyApp::WHM;
use strict; use warnings;
sub describe {
    my $my_add = { category => 'vm', event => 'start', stage => 'post', hook => 'MyApp::WHM::add', exectype => 'module' };
    my $my_remove = { category => 'vm', event => 'stop', stage => 'post', hook => 'MyApp::WHM::remove', exectype => 'module' };
    return [ $my_add, $my_remove ];
}
sub note { open my $log, '>>', '@LOG@' or die $!; print $log "@_\n"; }
sub add {
    my ( $context, $data ) = @_;
    note("add", $context->{category}, $context->{stage}, $context->{event}, $data->{object}, exists $data->{stage} ? "mixed" : "apart");
    return ( 1, 'well' );
}
sub remove {
    my ( $context, $data ) = @_;
    note("remove", $context->{category}, $context->{stage}, $context->{event}, $data->{object});
    return ( 0, "$data->{object} may not be removed" );
}
1;
"#,
        )
    }

    /// The document's script, with functions that do something.
    fn whm_php(&self, remove: &str) -> &Place {
        let log = self.host.path("log");
        self.script(
            "myapp/whm.php",
            &r#"#!/usr/bin/php -q
<?php
// file - /var/cpanel/myapp/whm.php
$switches = (count($argv) > 1) ? $argv : array();
if (in_array('--describe', $switches)) {
    echo json_encode( describe() );
    exit;
} elseif (in_array('--add', $switches)) {
    list($status, $msg) = add();
    echo "$status $msg";
    exit;
} elseif (in_array('--remove', $switches)) {
    list($status, $msg) = remove();
    echo "$status $msg";
    exit;
} else {
    echo '0 myapp/whm.php needs a valid switch';
    exit(1);
}
function describe() {
    $my_add = array(
        'category' => 'vm', 'event' => 'start', 'stage' => 'post',
        'hook' => '/var/cpanel/myapp/whm.php --add', 'exectype' => 'script',
    );
    $my_remove = array(
        'category' => 'vm', 'event' => 'start', 'stage' => 'pre',
        'hook' => '/var/cpanel/myapp/whm.php --remove', 'exectype' => 'script',
    );
    return array($my_add, $my_remove);
}
function add() {
    file_put_contents('@LOG@', "add\n", FILE_APPEND);
    return array(1, 'added');
}
function remove() {
    file_put_contents('@LOG@', "remove\n", FILE_APPEND);
    return @REMOVE@;
}
?>
"#
            .replace("@LOG@", log.to_str().unwrap())
            .replace("@REMOVE@", remove),
        )
    }
}

/// The document's example of a listing, line by line but for the ids: cPanel's events are libvirt's here.
// C1, C9
#[test]
fn the_listing_has_category_event_and_the_words_of_each_hook() {
    let place = Place::new();
    let (stdout, _) = place.says("./manage_hooks list --registered", 0);
    assert!(stdout.starts_with("No hook is registered yet."), "{stdout}");
    place.script("myapp/testhook_post.php", "").script("myapp/testhook_pre.php", "");
    for (name, stage) in [("post", "post"), ("pre", "pre")] {
        place.does(&format!(
            "./manage_hooks add script /var/cpanel/myapp/testhook_{name}.php --manual 1 --category vm --event start \
             --stage {stage} --escalateprivs 0 --weight 1000"
        ));
    }
    place.does(
        "./manage_hooks add script /var/cpanel/myapp/testhook_pre.php --manual --category Network \
         --event 'Port::Create' --stage pre --escalateprivs --blocking 0 --check /bin/true",
    );
    place.host.file("hooks.d/calls.yaml", "calls: qemu/prepare/begin\ncommand: /bin/true\n");
    place
        .host
        .file("hooks.d/off.yaml", "events: on_qemu_paused\ncommand: /bin/true\nenabled: false\n");
    place.host.file("hooks.d/bad.yaml", "evnts: x\n");
    let (stdout, _) = place.says("./manage_hooks list --registered", 0);
    let without_ids: Vec<String> = stdout
        .replace(place.host.path("cpanel").to_str().unwrap(), "/var/cpanel")
        .replace(place.host.hooks().to_str().unwrap(), "/h")
        .lines()
        .map(|line| match line.trim_start().strip_prefix("id: ") {
            Some(id) => {
                assert!(id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
                line.replace(id, "ID")
            }
            None => line.to_owned(),
        })
        .collect();
    let expected = "\
vm
  start
    stage: pre
    weight: 1000
    id: ID
    exectype: script
    hook: /var/cpanel/myapp/testhook_pre.php
    escalateprivs: 0
    blocking: 1
    registration: /h/hooks.d/testhook_pre-before_vm_start.yaml
    --
    stage: post
    weight: 1000
    id: ID
    exectype: script
    hook: /var/cpanel/myapp/testhook_post.php
    escalateprivs: 0
    blocking: 0
    registration: /h/hooks.d/testhook_post-after_vm_start.yaml
network
  port_create
    stage: pre
    weight: 100
    id: ID
    exectype: script
    hook: /var/cpanel/myapp/testhook_pre.php
    check: /bin/true
    escalateprivs: 1
    blocking: 0
    registration: /h/hooks.d/testhook_pre-before_network_port_create.yaml
(no category)
  on_qemu_paused
    weight: 100
    id: ID
    exectype: script
    hook: /bin/true
    escalateprivs: 1
    blocking: 0
    registration: /h/hooks.d/off.yaml
    state: disabled: `enabled: false` in its registration
  (calls)
    calls: qemu/prepare/begin
    weight: 100
    id: ID
    exectype: script
    hook: /bin/true
    escalateprivs: 1
    blocking: 1
    registration: /h/hooks.d/calls.yaml";
    let (bad, shown) = without_ids.split_last().unwrap();
    assert_eq!(shown.join("\n"), expected);
    assert!(bad.contains("bad.yaml: broken: ") && bad.contains("evnts"), "{bad}");
    // an event of it, and the plain list
    let (stdout, _) = place.says("./manage_hooks list --registered after_vm_start", 0);
    assert!(stdout.contains("testhook_post") && !stdout.contains("testhook_pre"), "{stdout}");
    place.host.script("before_vm_start/10-x", ":");
    assert_eq!(place.registered().len(), 6, "a script in a directory isn't registered");
    assert!(place.does("./manage_hooks list").contains("10-x"));
}

// C9
#[test]
fn programs_get_the_same_words() {
    let place = Place::new();
    place.script("myapp/whm.php", "");
    place.does(
        "./manage_hooks add script /var/cpanel/myapp/whm.php --manual --category vm --event start --stage pre \
         --action='--do_remove' --rollback '/bin/echo undo'",
    );
    let hooks = place.registered();
    let id = hooks[0]["id"].as_str().unwrap();
    let hook = format!("{} --do_remove", place.host.path("cpanel/myapp/whm.php").display());
    assert_eq!(
        hooks,
        [json!({
            "category": "vm", "event": "start", "stage": "pre", "weight": 100, "id": id,
            "exectype": "script", "hook": hook, "escalateprivs": 1, "blocking": 1, "check": null,
            "rollback": "/bin/echo undo",
        })]
    );
    // the id stays while name and event do
    place.does(
        "./manage_hooks add script /var/cpanel/myapp/whm.php --manual --category vm --event start --stage pre \
         --weight 7 --replace",
    );
    assert_eq!(place.registered()[0]["id"], id);
    // and a hook can be deleted by it
    place.fails("./manage_hooks delete 0123456789abcdef01234567", 1, &["there is no registration"]);
    place
        .host
        .file("hooks.d/two.yaml", "events: [before_vm_start, after_vm_stop]\ncommand: /bin/true\n");
    let hooks = place.registered();
    let of_two = hooks.iter().find(|hook| hook["hook"] == "/bin/true").unwrap();
    let of_two = of_two["id"].as_str().unwrap();
    place.fails(
        &format!("./manage_hooks delete {of_two}"),
        1,
        &["was not deleted", "at before_vm_start", "other events", " delete two`"],
    );
    assert!(place.does(&format!("./manage_hooks delete {id}")).contains("deleted "));
    assert_eq!(place.registered().len(), 2);
}

/// The document's commands, as they stand there but for category, events and the directory.
// C1, C8
#[test]
fn each_command_of_the_document_for_a_module() {
    if !has(PERL) {
        return;
    }
    let place = Place::new();
    place.whm_pm();
    let said = place.does("./manage_hooks add module MyApp::WHM --manual --category vm --event 'start' --stage pre --action remove");
    assert!(said.contains("MyApp-WHM-before_vm_start: escalateprivs isn't given"), "{said}");
    assert_eq!(place.hooks(), ["vm start pre module MyApp::WHM::remove"]);
    place.host.guest("prepare begin").run().fails(1, &["g may not be removed"]);
    assert_eq!(place.host.log(), ["remove vm pre start g"]);
    // all of its options must match
    for other in ["--action add", "--action remove --stage post", "--action remove --weight 5"] {
        let line = format!(
            "./manage_hooks delete module MyApp::WHM --manual --category vm --event 'start' --stage pre {other}"
        );
        let line = line
            .replace("--stage pre --action remove --stage post", "--stage post --action remove");
        place.fails(
            &line,
            1,
            &[
                "no registration of MyApp::WHM is as the options say",
                "MyApp-WHM-before_vm_start (before_vm_start, weight 100: MyApp::WHM::remove)",
            ],
        );
    }
    let said = place.does("./manage_hooks delete module MyApp::WHM --manual --category vm --event 'start' --stage pre --action remove");
    assert!(said.contains("MyApp-WHM-before_vm_start: deleted "), "{said}");
    // by its description
    let said = place.does("./manage_hooks add module MyApp::WHM");
    assert!(
        said.contains(
            "MyApp-WHM-after_vm_start, MyApp-WHM-after_vm_stop: escalateprivs isn't given"
        ),
        "{said}"
    );
    assert_eq!(
        place.hooks(),
        ["vm start post module MyApp::WHM::add", "vm stop post module MyApp::WHM::remove"]
    );
    place.host.guest("started begin").run().succeeds();
    assert_eq!(place.host.log(), ["add vm post start g apart"]);
    place.host.guest("stopped end").run().fails(1, &["g may not be removed"]);
    place.host.log();
    place.does("./manage_hooks delete module MyApp::WHM");
    assert_eq!(place.hooks(), [""; 0]);
}

// C2, C8
#[test]
fn what_a_function_returns_is_read_strictly() {
    let python = [
        ("None", 0, ""),
        ("True", 0, ""),
        ("(1, 'well')", 0, ""),
        ("'done'", 0, ""),
        ("False", 1, ": act returned False\n"),
        ("(0, 'no licence')", 1, ": no licence\n"),
        ("[0, 'no licence']", 1, ": no licence\n"),
        ("(0,)", 1, ": act returned 0\n"),
        ("[0]", 1, ": act returned 0\n"),
        ("('0', 'no licence')", 1, ": no licence\n"),
        ("'0 no licence'", 1, ": no licence\n"),
        ("{'status': 0}", 1, "act returned {'status': 0}, which is no answer"),
        ("(0, 'a', 'b')", 1, "which is no answer"),
        ("[[0, 'a']]", 1, "which is no answer"),
        ("(x for x in [0])", 1, "which is no answer"),
        ("(0, 'BAILOUT no licence')", 2, ": no licence\n"),
        ("[0, 'BAILOUT']", 2, ": act returned BAILOUT\n"),
        ("'BAILOUT no licence'", 2, ": no licence\n"),
        ("(0, 'a BAILOUT')", 1, ": a BAILOUT\n"),
        ("(1, 'BAILOUT')", 0, ""),
    ];
    let perl = [
        ("", 0, ""),
        ("1", 0, ""),
        ("(1, 'well')", 0, ""),
        ("[1, 'well']", 0, ""),
        ("'done'", 0, ""),
        ("0", 1, ": act returned false\n"),
        ("(0, 'no licence')", 1, ": no licence\n"),
        ("[0, 'no licence']", 1, ": no licence\n"),
        ("[0]", 1, ": act returned false\n"),
        ("'0 no licence'", 1, ": no licence\n"),
        ("{ status => 0 }", 1, "is no answer"),
        ("(status => 0, message => 'no licence')", 1, "is no answer"),
        ("[[0, 'a']]", 1, "is no answer"),
        ("(0, 'BAILOUT no licence')", 2, ": no licence\n"),
        ("[0, 'BAILOUT']", 2, ": act returned BAILOUT\n"),
        ("'BAILOUT no licence'", 2, ": no licence\n"),
        ("(1, 'BAILOUT')", 0, ""),
    ];
    let place = Place::new();
    place.perl("answers.py", "def act(event): return None\n");
    place.perl("Acme/Answers.pm", "package Acme::Answers;\nsub act { return }\n1;\n");
    let answers = |cases: &[(&str, i32, &str)], name: &str, text: &dyn Fn(&str) -> String| {
        for (answer, status, words) in cases {
            place.perl(name, &text(answer));
            let run = place.host.guest("prepare begin").run();
            assert_eq!(run.status, Some(*status), "{name} {answer}: {run:?}");
            if *status != 0 {
                run.fails(*status, &[*words]);
            }
        }
    };
    if has("/usr/bin/python3") {
        place.does("./manage_hooks add module answers --manual --category vm --event start --stage pre --action act");
        answers(&python, "answers.py", &|answer| format!("def act(event):\n    return {answer}\n"));
        place.does("./manage_hooks delete module answers");
    }
    if has("/usr/bin/perl") {
        place.does("./manage_hooks add module Acme::Answers --manual --category vm --event start --stage pre --action act");
        answers(&perl, "Acme/Answers.pm", &|answer| {
            format!("package Acme::Answers;\nsub act {{ return {answer} }}\n1;\n")
        });
        // the context has cPanel's words, the data hookmux's
        place.perl(
            "Acme/Answers.pm",
            "package Acme::Answers;\nsub act { my ($c, $d) = @_; (0, \"$c->{category} $c->{stage} $c->{event} $d->{event}\") }\n1;\n",
        );
        place.host.guest("prepare begin").run().fails(1, &[": vm pre start before_vm_start\n"]);
        // the lines that call it are shown by --full alone; programs get them all
        let short = "act of Acme::Answers, by /usr/bin/perl";
        for words in [&["show", "last"][..], &["show", "Acme-Answers-before_vm_start"]] {
            let said = place.host.text(words, 0);
            assert!(said.contains(short) && !said.contains("JSON::PP"), "{words:?}\n{said}");
        }
        assert!(place.host.text(&["show", "last", "--full"], 0).contains("printf 'use JSON"));
        let value = place.host.json(&["show", "last"], 0);
        assert!(value["runs"][0]["command_line"].as_str().unwrap().contains("printf 'use JSON"));
    }
}

// C1, C8
#[test]
fn each_command_of_the_document_for_a_script() {
    let place = Place::new();
    place.script("myapp/whm.php", "log \"$*\"; echo '0 may not be removed'");
    place.does("./manage_hooks add script /var/cpanel/myapp/whm.php --manual --category vm --event 'start' --stage pre --action='--do_remove'");
    assert_eq!(place.hooks(), ["vm start pre script /var/cpanel/myapp/whm.php --do_remove"]);
    place
        .host
        .guest("prepare begin")
        .run()
        .fails(1, &["answer 0 (failed) after", ": may not be removed"]);
    assert_eq!(place.host.log(), ["--do_remove"]);
    place.fails(
        "./manage_hooks delete script /var/cpanel/myapp/whm.php --manual --category vm --event 'start' --stage pre --action='--do_add'",
        1,
        &["whm-before_vm_start (before_vm_start, weight 100: ", "whm.php --do_remove)"],
    );
    place.does("./manage_hooks delete script /var/cpanel/myapp/whm.php --manual --category vm --event 'start' --stage pre --action='--do_remove'");
    assert_eq!(place.hooks(), [""; 0]);
    // the four ways to write switches
    for (action, words) in [
        ("--action='--for_hook_script'", "--for_hook_script"),
        (
            "--action=\"--for_hook_script --more_hook_switch\"",
            "--for_hook_script --more_hook_switch",
        ),
        ("--action '\"--for_hook_script\"'", "--for_hook_script"),
        ("--action \"'-one_hyphen_switch' '-more_switches'\"", "-one_hyphen_switch -more_switches"),
        ("--action --for_hook_script", "--for_hook_script"),
    ] {
        let options = format!(
            "/var/cpanel/myapp/whm.php --manual --category vm --event 'start' --stage pre {action}"
        );
        place.does(&format!("./manage_hooks add script {options}"));
        assert_eq!(
            place.hooks(),
            [format!("vm start pre script /var/cpanel/myapp/whm.php {words}")]
        );
        place.host.guest("prepare begin").run().fails(1, &["may not be removed"]);
        assert_eq!(place.host.log(), [words]);
        place.does(&format!("./manage_hooks delete script {options}"));
        assert_eq!(place.hooks(), [""; 0], "{action}");
    }
}

// C1, C2
#[test]
fn a_php_script_that_describes_itself() {
    if !has(PHP) {
        return;
    }
    let place = Place::new();
    place.whm_php("array(0, 'account may not be removed')");
    let said = place.does("./manage_hooks add script /var/cpanel/myapp/whm.php");
    assert!(said.contains("result by status-line"), "{said}");
    assert!(
        said.contains("whm-after_vm_start, whm-before_vm_start: escalateprivs isn't given"),
        "{said}"
    );
    assert_eq!(
        place.hooks(),
        [
            "vm start pre script /var/cpanel/myapp/whm.php --remove",
            "vm start post script /var/cpanel/myapp/whm.php --add",
        ]
    );
    place.host.guest("prepare begin").run().fails(
        1,
        &[
            "hookmux: before_vm_start/whm-before_vm_start: answer 0 (failed) after ",
            ": account may not be removed\n",
        ],
    );
    place.host.guest("started begin").run().succeeds();
    assert_eq!(place.host.log(), ["remove", "add"]);
    place.whm_php("array(1, 'removed')");
    place.host.guest("prepare begin").run().succeeds();
    // no switch, as it stands there: with an exit status and a message
    let text = fs::read_to_string(place.host.hook("hooks.d/whm-before_vm_start.yaml")).unwrap();
    place.host.file("hooks.d/whm-before_vm_start.yaml", text.replace("\n- --remove", ""));
    place
        .host
        .guest("prepare begin")
        .run()
        .fails(1, &["exit status 1 after", ": myapp/whm.php needs a valid switch"]);
    place.does("./manage_hooks delete script /var/cpanel/myapp/whm.php");
    assert_eq!(place.hooks(), [""; 0]);
}

// C2
#[test]
fn one_description_needs_no_array() {
    let place = Place::new();
    let description =
        json!({"category": "vm", "event": "start", "stage": "pre", "escalateprivs": 1});
    place.script("one.sh", &format!("[ \"$1\" = --describe ] && echo '{description}'"));
    let (stdout, stderr) = place.says("./manage_hooks add script /var/cpanel/one.sh", 0);
    assert!(stdout.contains("one-before_vm_start") && stderr.is_empty(), "{stdout}{stderr}");
    assert_eq!(place.hooks(), ["vm start pre script /var/cpanel/one.sh"]);
    place.script("two.sh", "[ \"$1\" = --describe ] && echo '{\"wheight\": 1}'");
    place.fails(
        "./manage_hooks add script /var/cpanel/two.sh",
        1,
        &["`wheight`: there is no such key"],
    );
    place.script("three.sh", "[ \"$1\" = --describe ] && echo '\"x\"'");
    place.fails(
        "./manage_hooks add script /var/cpanel/three.sh --describe",
        1,
        &["an array of registrations, or one"],
    );
    if has(PERL) {
        let text = "package One;\nsub describe { return { category => 'vm', event => 'stop', stage => 'post', hook => 'x', escalateprivs => 1 } }\nsub x { return 1 }\n1;\n";
        place.perl("One.pm", text);
        place.does("./manage_hooks add module One.pm");
        assert_eq!(place.hooks().last().unwrap(), "vm stop post module One::x");
    }
}

// C8
#[test]
fn a_switch_without_a_value_is_true_and_one_source_counts() {
    let moment = "--category vm --event start --stage pre";
    for manual in
        ["--manual", "--manual=1", "--manual 1", "--manual=true", "--manual yes", "--manual TRUE"]
    {
        let place = Place::new();
        place.script("x.sh", "[ \"$1\" = --describe ] && log asked");
        place.does(&format!("./manage_hooks add script /var/cpanel/x.sh {manual} {moment} --escalateprivs --blocking"));
        place.does(&format!("./manage_hooks add {manual} script /var/cpanel/x.sh --name second {moment} --escalateprivs"));
        assert_eq!(place.registered().len(), 2, "{manual}");
        let value = place.host.json(&["list", "--registered"], 0);
        let policies: Vec<&Value> = value["hooks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hook| &hook["registered"]["on_failure"])
            .collect();
        assert_eq!(policies, ["stop", "fail"], "{value:#}");
        assert_eq!(place.host.log(), [""; 0], "nothing is asked");
        place.does(&format!(
            "./manage_hooks delete {manual} script /var/cpanel/x.sh --blocking {moment}"
        ));
        assert_eq!(place.registered().len(), 1, "{manual}");
        place.does(&format!(
            "./manage_hooks delete script /var/cpanel/x.sh {manual} {moment} --escalateprivs=1"
        ));
        assert_eq!(place.registered().len(), 0, "{manual}");
    }
    let place = Place::new();
    place.script(
        "x.sh",
        "[ \"$1\" = --describe ] && echo '[{\"events\": \"after_vm_stop\"}]'; log \"$1\"",
    );
    place.script("plain.sh", "log \"$*\"");
    place.script("mute.sh", ": --describe; log \"$1\"");
    // without --manual the options count too, and that is told
    let (_, stderr) = place.says(
        &format!("./manage_hooks add script /var/cpanel/x.sh {moment} --escalateprivs 1 --name a"),
        0,
    );
    assert!(stderr.contains("options are given, so it isn't asked"), "{stderr}");
    assert_eq!(place.host.log(), [""; 0]);
    // with `--manual 0` the script is asked, and options are never mixed with what it says
    for zero in ["--manual 0", "--manual=0", "--manual=no"] {
        place.fails(
            &format!("./manage_hooks add script /var/cpanel/x.sh {zero} {moment}"),
            1,
            &["describes itself, and options can't be combined with that", "--manual 1"],
        );
        assert_eq!(place.host.log(), ["--describe"]);
        assert_eq!(place.registered().len(), 1, "only what was there");
        // where there is no description, the options stand in for it, with a warning
        place.does("./manage_hooks delete a");
        let (_, stderr) = place.says(&format!("./manage_hooks add script /var/cpanel/plain.sh {zero} {moment} --escalateprivs --name a"), 0);
        assert!(
            stderr
                .contains("no `--describe` in its text: the options are used, as with --manual 1"),
            "{stderr}"
        );
        assert_eq!(place.host.log(), [""; 0], "what doesn't know --describe is never run");
    }
    let (_, stderr) = place.says(
        &format!(
            "./manage_hooks add script /var/cpanel/mute.sh --manual 0 {moment} --escalateprivs"
        ),
        0,
    );
    assert!(
        stderr.contains("doesn't describe itself (it printed nothing): the options are used"),
        "{stderr}"
    );
    assert_eq!(place.host.log(), ["--describe"]);
    place.does("./manage_hooks add script /var/cpanel/x.sh --manual 0");
    assert_eq!(place.hooks().len(), 3);
    let (_, stderr) = place.says(
        &format!("./manage_hooks add script /var/cpanel/x.sh --manual 0 --dry-run {moment}"),
        0,
    );
    assert!(stderr.contains("a dry run runs nothing"), "{stderr}");
    place.fails("./manage_hooks add script /var/cpanel/x.sh --manual 2", 2, &["--manual"]);
    place.fails(
        "./manage_hooks add script /var/cpanel/x.sh --manual --describe --event after_vm_stop",
        2,
        &["combined with options"],
    );
    place.fails(
        "./manage_hooks add script /var/cpanel/plain.sh --manual 0",
        1,
        &["no `--describe` in its text"],
    );
    place.fails("./manage_hooks add script /var/cpanel/x.sh --event after_vm_stop --blocking 1 --on-failure warn", 2, &["`--blocking`: `blocking` and `on_failure` say the same"]);
}

// C8
#[test]
fn exectype_says_the_same_as_the_word_before() {
    let place = Place::new();
    place.script("x.sh", "");
    let moment = "--manual --category vm --event start --stage pre --escalateprivs";
    place.does(&format!("./manage_hooks add script /var/cpanel/x.sh --exectype script {moment}"));
    for command in ["add", "delete"] {
        place.fails(
            &format!("./manage_hooks {command} script /var/cpanel/x.sh --exectype module {moment}"),
            2,
            &["say different things", &format!("write `{command} module`")],
        );
        place.fails(
            &format!("./manage_hooks {command} script /var/cpanel/x.sh --exectype perl {moment}"),
            2,
            &["module"],
        );
        place.fails(
            &format!("./manage_hooks {command} x.yaml --exectype script"),
            2,
            &["--exectype belongs to"],
        );
    }
    place
        .does(&format!("./manage_hooks delete script /var/cpanel/x.sh --exectype Script {moment}"));
    // beside a description it says nothing new
    place.script("y.sh", "echo '{\"events\": \"after_vm_stop\"}' # --describe");
    place.does("./manage_hooks add script /var/cpanel/y.sh --exectype SCRIPT");
    assert_eq!(place.hooks(), ["vm stop post script /var/cpanel/y.sh"]);
}

// C1
#[test]
fn delete_takes_only_what_its_options_select() {
    let place = Place::new();
    place.script("x.sh", "").script("other.sh", "").script("may", "");
    let all = [
        ("a", "--event before_vm_start --action --add"),
        ("b", "--event before_vm_start --action '--add two' --weight 7"),
        ("c", "--event after_vm_stop --action --add --check may"),
        ("d", "--event before_network_start --rollback '/bin/echo undo' --blocking"),
        ("e", "--event after_vm_start --escalateprivs 0 --blocking 0"),
        ("f", "--event before_vm_start --event after_vm_stop --action both"),
        ("g", "--event qemu/prepare/begin"),
    ];
    let add_all = || {
        for (name, options) in all {
            place.does(&format!(
                "./manage_hooks add script /var/cpanel/x.sh --name {name} {options}"
            ));
        }
        place.does("./manage_hooks add script /var/cpanel/other.sh --name other --event before_vm_start --action --add");
    };
    let names = || {
        let value = place.host.json(&["list", "--registered"], 0);
        let mut names: Vec<String> = value["hooks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hook| hook["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        names.concat()
    };
    for (options, gone, left) in [
        ("--event before_vm_start --action --add", "a", "bcdefgother"),
        ("--action '--add two'", "b", "acdefgother"),
        ("--weight 7", "b", "acdefgother"),
        ("--category vm --event stop --stage post --action --add", "c", "abdefgother"),
        ("--check may", "c", "abdefgother"),
        ("--category network", "d", "abcefgother"),
        ("--category network --stage pre", "d", "abcefgother"),
        ("--rollback '/bin/echo undo'", "d", "abcefgother"),
        ("--blocking", "d", "abcefgother"),
        ("--blocking 0", "e", "abcdfgother"),
        ("--escalateprivs 0", "e", "abcdfgother"),
        ("--event before_vm_start --event after_vm_stop --action both", "f", "abcdegother"),
        ("--event qemu/prepare/begin", "g", "abcdefother"),
        ("--action --add", "ac", "bdefgother"),
        ("--manual --action --add", "ac", "bdefgother"),
        ("", "abcdefg", "other"),
        ("--manual 0", "abcdefg", "other"),
    ] {
        add_all();
        let said = place.does(&format!("./manage_hooks delete script /var/cpanel/x.sh {options}"));
        assert_eq!(said.matches(": deleted ").count(), gone.len(), "{options}: {said}");
        assert_eq!(names(), left, "{options}");
        place
            .says("for name in a b c d e f g other; do ./manage_hooks delete $name; done; true", 0);
    }
    add_all();
    // nothing matches: what there is, is told
    let said = place.fails(
        "./manage_hooks delete script /var/cpanel/x.sh --weight 12345",
        1,
        &[
            "no registration of ",
            "a (before_vm_start, weight 100: ",
            "g (qemu/prepare/begin, weight ",
        ],
    );
    assert!(!said.contains("other"), "{said}");
    // a registration is deleted as a whole, or not at all
    let said = place.fails(
        "./manage_hooks delete script /var/cpanel/x.sh --event before_vm_start",
        1,
        &["f (before_vm_start, after_vm_stop, weight", "was not deleted", " delete f`"],
    );
    assert_eq!(said.matches("was not deleted").count(), 1, "{said}");
    assert_eq!(names(), "cdefgother");
    for (options, words) in [
        ("script /var/cpanel/x.sh --manual", "--manual says that options select"),
        ("script /var/cpanel/x.sh --manual 0 --weight 1", "--manual 0 deletes everything"),
        (
            "script /var/cpanel/x.sh --event strat --category vm --stage pre",
            "did you mean event `start`?",
        ),
        ("script /var/cpanel/x.sh --event start", "category and stage"),
        (
            "script /var/cpanel/x.sh --category Whostmgr",
            "there is no category `Whostmgr`; guests are `vm`; known are",
        ),
        ("script /var/cpanel/x.sh --action \"'x\"", "--action: `'x` has a quote"),
        ("script /var/cpanel/x.sh --weight x", "it is a whole number"),
        ("a --weight 7", "a name stands alone"),
        ("a --manual", "a name stands alone"),
    ] {
        place.fails(&format!("./manage_hooks delete {options}"), 2, &[words]);
    }
    assert_eq!(names(), "cdefgother");
    let output =
        place.type_in("./manage_hooks delete script /var/cpanel/x.sh --weight 12345 --output JSON");
    let value = schema::read(&["delete"], &output.stdout);
    assert!(value["problems"][0]["message"].as_str().unwrap().contains("there are: "), "{value:#}");
}

// C9
#[test]
fn json_may_be_written_in_capitals_for_every_command() {
    let place = Place::new();
    place.script("x.sh", "");
    place.host.script("before_vm_start/10-x", "exit 1");
    place.host.guest("prepare begin").run();
    for word in ["JSON", "Json", "json"] {
        for line in [
            "list",
            "list --registered",
            "events",
            "plan qemu g prepare",
            "run qemu g prepare",
            "check",
            "add script /var/cpanel/x.sh --event after_vm_stop",
            "disable x-after_vm_stop",
            "enable x-after_vm_stop",
            "delete script /var/cpanel/x.sh --event after_vm_stop",
            "queue",
            "log",
            "log --audit",
            "show last",
            "retry last --force",
            "prune",
            "bypass",
            "install --dry-run",
            "show nothing",
            "delete nothing",
        ] {
            let output = place.type_in(&format!("./manage_hooks {line} --output {word}"));
            let words: Vec<&str> = line.split(' ').collect();
            schema::read(&words, &output.stdout);
        }
        // wrong usage too
        for line in
            [format!("frobnicate --output {word}"), format!("add frobnicate x --output={word}")]
        {
            let output = place.type_in(&format!("./manage_hooks {line}"));
            assert_eq!(output.status.code(), Some(2));
            let value = schema::read(&["list"], &output.stdout);
            assert_eq!(value["error"]["code"], "usage", "{value:#}");
            assert!(output.stderr.is_empty(), "{output:?}");
        }
    }
}

// C11
#[test]
fn fullhelp_is_the_help_of_every_command() {
    let place = Place::new();
    let (all, stderr) = place.says("./manage_hooks fullhelp", 0);
    assert!(all.lines().count() > 500 && stderr.is_empty(), "{all}");
    for command in ["add", "delete", "list", "retry", "fullhelp"] {
        assert!(all.contains(&format!("\nhookmux {command}\n")), "{command}");
    }
    assert_eq!(place.says("./manage_hooks help --all", 0).0, all, "with --hooks-dir before it");
    for words in [&["help", "--all"][..], &["fullhelp"], &["help", "--all", "--hooks-dir=/x"]] {
        let output = Command::new(binary_under_test()).args(words).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), all, "{words:?}");
    }
    let (basic, stderr) = place.says("./manage_hooks --help", 0);
    assert!(basic.contains("fullhelp") && stderr.is_empty(), "{basic}");
    // a settings file that can't be used is no reason to give no help
    place.host.raw_settings("x: [");
    assert_eq!(place.says("./manage_hooks fullhelp", 0).0, all);
}

// C11
#[test]
fn a_wrong_action_prints_the_help() {
    let place = Place::new();
    for (line, words) in [
        ("frobnicate", &["unrecognized subcommand 'frobnicate'"][..]),
        ("lst", &["unrecognized subcommand 'lst'", "'list'"]),
        ("update_db", &["unrecognized subcommand 'update_db'"]),
    ] {
        let (stdout, stderr) = place.says(&format!("./manage_hooks {line}"), 2);
        assert!(stdout.is_empty(), "{stdout}");
        for word in words.iter().chain(&["Change hooks:", "  add ", "  delete ", "  fullhelp "]) {
            assert!(stderr.contains(word), "{line} must say {word}:\n{stderr}");
        }
    }
    for (command, line, hint) in [
        ("add", "add frobnicate x", ""),
        ("add", "add scrpt /x", "did you mean `script`?"),
        ("delete", "delete modul x", "did you mean `module`?"),
    ] {
        let (stdout, stderr) = place.says(&format!("./manage_hooks {line}"), 2);
        assert!(stdout.is_empty(), "{stdout}");
        let usage = format!("Usage: hookmux {command}");
        for word in [hint, "is neither `script` nor `module`", &usage, "--category"] {
            assert!(stderr.contains(word), "{line} must say {word}:\n{stderr}");
        }
    }
}

/// Registers a script at an event of qemu's with `result: status-line`.
fn answering(host: &Host, name: &str, event: &str, script: &str, more: &str) {
    host.script(format!("bin/{name}"), script);
    host.file(
        format!("hooks.d/{name}.yaml"),
        format!("events: {event}\ncommand: bin/{name}\nresult: status-line\n{more}"),
    );
}

// C2
#[test]
fn the_last_line_is_the_result_where_the_registration_says_so() {
    for (script, status, words) in [
        ("echo '1 done'", 0, ""),
        ("echo working; printf '1'", 0, ""),
        ("echo 'all is well'", 0, ""),
        ("", 0, ""),
        ("printf '0 no licence'", 1, "answer 0 (failed) after"),
        ("echo noise; printf '0 no licence\\r\\n\\r\\n'", 1, ": no licence\n"),
        ("echo 0", 1, "answer 0 (failed) after"),
        ("echo '00 x'", 0, ""),
        ("printf '0\\0x'", 0, ""),
        ("echo '1 done'; exit 7", 7, "exit status 7 after"),
        ("echo '0 no licence'; exit 7", 7, ": no licence\n"),
        ("head -c 500000 /dev/zero | tr '\\0' x; echo; echo '0 no licence'", 1, ": no licence\n"),
        ("echo '0 no licence'; echo why >&2", 1, ": no licence: why\n"),
        ("echo 'BAILOUT no more'; echo '1 done'", 2, "answer BAILOUT (failed) after"),
    ] {
        let host = Host::new();
        answering(&host, "x", "before_vm_start", script, "");
        let answer = host.guest("prepare begin").run();
        match status {
            0 => answer.succeeds(),
            status => answer.fails(status, &["hookmux: before_vm_start/x: ", words]),
        };
        // without the key it is as it ever was
        host.file("hooks.d/x.yaml", "events: before_vm_start\ncommand: bin/x\n");
        let status = if script.ends_with("exit 7") { 7 } else { 0 };
        assert_eq!(host.guest("prepare begin").run().status, Some(status), "{script}");
    }
}

// C2
#[test]
fn a_failure_by_its_line_is_a_failure_like_others() {
    let host = Host::new();
    answering(&host, "live", "after_vm_launch", "echo '0 too late'", "");
    answering(&host, "kill", "after_vm_start", "echo '0 kill it'", "on_failure: kill\n");
    answering(&host, "told", "after_vm_stop", "echo '0 not stopped'", "");
    answering(&host, "warned", "before_vm_start", "echo '0 never mind'", "on_failure: warn\n");
    host.guest("prepare begin").run().succeeds();
    host.guest("started begin").run().fails(1, &["kill it"]);
    host.guest("stopped end").run().fails(1, &["told: answer 0 (failed) after", ": not stopped"]);
    // it is in the record, with its message
    let value = host.json(&["show", "--operation", "stopped"], 0);
    let run = &value["runs"][0];
    assert_eq!((&run["state"], &run["status"]), (&json!("failed"), &json!(1)));
    assert!(run["failure"].as_str().unwrap().ends_with(": not stopped"), "{run:#}");
    assert!(host.text(&["show", "--operation", "stopped"], 0).contains(": not stopped"));
    assert!(host.text(&["run", "qemu", "g", "stopped"], 1).contains(": not stopped"));
    let value = host.json(&["log", "--failed"], 0);
    assert_eq!(value["executions"].as_array().unwrap().len(), 4, "{value:#}");
    // what the plan and the lists say
    assert!(
        host.text(&["plan", "qemu", "g", "stopped"], 0).contains("runs; result by status-line")
    );
    assert_eq!(
        host.json(&["plan", "qemu", "g", "stopped"], 0)["steps"][0]["result"],
        "status-line"
    );
    assert!(host.text(&["list", "--wide"], 0).contains("result by status-line"));
    assert_eq!(host.json(&["list"], 0)["hooks"][0]["registered"]["result"], "status-line");
}

// C2
#[test]
fn bailout_stops_the_call_and_a_failure_does_not() {
    for (script, order) in [
        ("echo '0 no'", &["first", "second", "undone"][..]),
        ("echo BAILOUT", &["first", "undone"]),
        ("echo BAILOUT; exit 9", &["first", "undone"]),
        ("echo '0 BAILOUT no'", &["first", "undone"]),
    ] {
        let host = Host::new();
        host.script("bin/undo", "log undone");
        answering(&host, "a", "before_vm_start", "log first; echo '1 x'", "rollback: bin/undo\n");
        answering(&host, "b", "before_vm_start", script, "");
        answering(&host, "c", "before_vm_start", "log second", "");
        assert_ne!(host.guest("prepare begin").run().status, Some(0));
        assert_eq!(host.log(), order, "{script}");
    }
    // as exit status 2, it is only told with `on_failure: warn`
    let host = Host::new();
    answering(&host, "b", "before_vm_start", "echo BAILOUT", "on_failure: warn\n");
    answering(&host, "c", "before_vm_start", "log second", "");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["second"]);
}

// C2
#[test]
fn checks_and_rollbacks_answer_in_the_same_way() {
    let host = Host::new();
    host.script("bin/no", "echo '0 not today'").script("bin/undo", "log undo; echo '0 stuck'");
    answering(&host, "checked", "before_vm_start", "log ran", "check: bin/no\n");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), [""; 0]);
    let said = host.text(&["show", "last"], 0);
    assert!(
        said.contains("its check says no: answer 0 (failed) after") && said.contains(": not today"),
        "{said}"
    );
    // what isn't an answer counts by its exit status
    host.script("bin/no", "true");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["ran"]);
    answering(&host, "checked", "before_vm_start", "log ran", "rollback: bin/undo\n");
    answering(&host, "last", "before_vm_start", "echo '0 no'", "weight: 200\n");
    host.guest("prepare begin")
        .run()
        .fails(1, &["last: answer 0 (failed)", "checked (rollback): answer 0 (failed)", ": stuck"]);
    assert_eq!(host.log(), ["ran", "undo"]);
}

// C2
#[test]
fn a_detached_hook_that_answers_0_is_tried_again() {
    let host = Host::new();
    let script = "log ran; [ -e \"$T/second\" ] || { : >\"$T/second\"; echo '0 not yet'; exit; }; echo '1 done'";
    answering(&host, "later", "after_vm_launch", script, "mode: detached\n");
    host.guest("started begin").run().succeeds();
    until("the queue is empty", || host.json(&["queue"], 0)["jobs"] == json!([]));
    assert_eq!(host.log(), ["ran", "ran"]);
    let value = host.json(&["log"], 0);
    let failures = value["executions"].as_array().unwrap().iter();
    let failures: Vec<&str> = failures.filter_map(|one| one["failure"].as_str()).collect();
    assert!(failures.iter().any(|failure| failure.contains(": not yet")), "{value:#}");
    // the later try has mended it
    assert_eq!(host.json(&["log", "--failed"], 0)["executions"], json!([]));
}

// C2
#[test]
fn what_is_registered_without_the_key_keeps_its_meaning() {
    let place = Place::new();
    place.script("x.sh", "echo '0 no'");
    // what is said in hookmux's own words, or by a version that didn't know the key
    place.does("./manage_hooks add script /var/cpanel/x.sh --event before_vm_start");
    let text = fs::read_to_string(place.host.hook("hooks.d/x-before_vm_start.yaml")).unwrap();
    assert!(!text.contains("result"), "{text}");
    place.host.guest("prepare begin").run().succeeds();
    // it can be had, and refused
    let add = |more: &str| {
        place.does(&format!("./manage_hooks add script /var/cpanel/x.sh --replace {more}"));
        place.host.guest("prepare begin").run().status.unwrap()
    };
    assert_eq!(add("--event before_vm_start --result status-line"), 1);
    let moment = "--category vm --event start --stage pre --escalateprivs";
    assert_eq!(add(moment), 1);
    assert_eq!(add(&format!("{moment} --result exit-status")), 0);
    assert_eq!(add(&format!("{moment} --style libvirt")), 0, "there its output is a document");
    place.fails(
        "./manage_hooks add script /var/cpanel/x.sh --replace --event before_vm_start --style libvirt --result status-line",
        2,
        &["`--result`: in libvirt's style"],
    );
    // an older version refuses the key, which is told before a downgrade
    assert_eq!(add(moment), 1);
    let value = place.host.json(&["check", "--for", "0.1.0"], 1);
    let message = value["findings"][0]["message"].as_str().unwrap();
    let words = "hookmux 0.1.0 refuses the key `result`: it is new in hookmux 0.2.0";
    assert!(message.contains(words), "{message}");
    place.says("./manage_hooks check --for 0.2.0", 0);
}

// C7
#[test]
fn what_runs_as_root_unasked_is_told() {
    let who =
        if is_root() { "runs as root here" } else { "runs as the user of libvirt's daemon here" };
    let place = Place::new();
    place.script("x.sh", "");
    let line = "./manage_hooks add script /var/cpanel/x.sh --replace --category vm --event start --stage pre";
    let (_, stderr) = place.says(line, 0);
    assert!(stderr.contains(who) && stderr.lines().count() == 1, "{stderr}");
    let output = place.type_in(&format!("{line} --output JSON"));
    let value = schema::read(&["add"], &output.stdout);
    let message = value["notes"][0]["message"].as_str().unwrap();
    assert!(message.contains(who) && message.contains("escalateprivs 0"), "{message}");
    for more in ["--escalateprivs", "--escalateprivs 1", "--escalateprivs 0", "--run-as nobody"] {
        let (_, stderr) = place.says(&format!("{line} {more}"), 0);
        assert!(!stderr.contains("escalateprivs"), "{more}: {stderr}");
    }
    let (_, stderr) = place
        .says("./manage_hooks add script /var/cpanel/x.sh --name own --event before_vm_start", 0);
    assert!(stderr.is_empty(), "hookmux's own words ask for nothing: {stderr}");
}

/// The commands in the second column of the table for cPanel's users, in their order.
fn commands_of_the_page() -> Vec<String> {
    let page = include_str!("../docs/cpanel.md");
    let cells = page.lines().filter_map(|line| line.trim_matches('|').split(" | ").nth(1));
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|words| words.starts_with("hookmux "))
        .map(str::to_owned)
        .collect()
}

// C1, C8, C9, C11
#[test]
fn each_command_of_the_page_works() {
    if !has(PERL) {
        return;
    }
    let place = Place::new();
    let description =
        json!([{"category": "vm", "event": "start", "stage": "post", "escalateprivs": 1}]);
    place.whm_pm().script("x.sh", &format!("[ \"$1\" = --describe ] && echo '{description}'"));
    let commands = commands_of_the_page();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let mut line = command.replacen("hookmux", "./manage_hooks", 1);
        line = line.replace("PATH", "/var/cpanel/x.sh").replace("module NAME", "module MyApp::WHM");
        if line.ends_with(" NAME") || line.ends_with(" ID") {
            place
                .host
                .file("hooks.d/one.yaml", "events: before_network_start\ncommand: /bin/true\n");
            let hooks = place.registered();
            let id = hooks.iter().find(|hook| hook["category"] == "network").unwrap()["id"].clone();
            line =
                line.replace(" NAME", " one").replace(" ID", &format!(" {}", id.as_str().unwrap()));
        }
        place.does(&line);
    }
    assert_eq!(place.hooks(), [""; 0], "what was added is deleted");
}
