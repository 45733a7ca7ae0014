//! `notify`, with programs that write down what they are told.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::package::{Guest, Package};
use crate::support::{Host, until};

fn package() -> Package {
    let package = Package::new("notify");
    let conf = package.host.path("notify.conf");
    let package = package.env("NOTIFY_CONF", conf.to_str().unwrap());
    for name in ["sendmail", "curl", "notify-send"] {
        package.program(name, "{ echo \"$me $*\"; [ $me = notify-send ] || cat; } >> \"$T/$me\"");
    }
    // who isn't root needs none, and a root in a namespace may have none
    package.program("runuser", r#"log "as $2"; shift 3; exec "$@""#);
    package
}

fn conf(package: &Package, text: &str) {
    fs::write(package.host.path("notify.conf"), text).unwrap();
    package.host.mode("notify.conf", 0o600);
}

fn asking<'p>(package: &'p Package, words: &str) -> Guest<'p> {
    package.guest("wéb \"1\"", &[("notify", words)], "")
}

fn done(host: &Host) {
    until("the queue is empty", || host.json(&["queue"], 0)["jobs"].as_array().unwrap().is_empty());
}

/// The JSON object that a command got.
#[track_caller]
fn told(package: &Package) -> Vec<Value> {
    done(&package.host);
    let text = package.host.read_text("told");
    let _ = fs::remove_file(package.host.path("told"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const TELL: &str = "NOTIFY_COMMAND=cat >> \"${0%/*}/told\"\n";

/// As `TELL`, to a file of this host.
fn tell(package: &Package) -> String {
    TELL.replace("${0%/*}", package.host.path("").to_str().unwrap().trim_end_matches('/'))
}

#[test]
fn each_way_tells_what_happened() {
    let package = package();
    let uid = nix::unistd::geteuid().as_raw();
    let directories = package.host.path("user");
    fs::create_dir_all(directories.join(uid.to_string())).unwrap();
    fs::write(directories.join(uid.to_string()).join("bus"), "").unwrap();
    let package = package.env("NOTIFY_USER_DIRECTORIES", directories.to_str().unwrap());
    conf(
        &package,
        &format!(
            "# to whom\nNOTIFY_MAIL=a@example.org, b@example.org\nNOTIFY_MAIL_FROM=hookmux@example.org\nNOTIFY_WEBHOOK=https://example.org/\"x\"\nNOTIFY_WEBHOOK_HEADER=Authorization: Bearer secret\n\nNOTIFY_DESKTOP={uid}\n{}",
            tell(&package)
        ),
    );
    let guest = asking(&package, "yes");
    guest.starts();
    done(&package.host);
    let host = package.host.read_text("sendmail");
    let body = &told(&package)[0];
    let node = body["host"].as_str().unwrap();
    let text = format!("guest wéb \"1\" has started on {node}");
    assert_eq!(body["text"], text.as_str());
    assert_eq!(body["guest"], "wéb \"1\"");
    assert_eq!(body["uuid"], guest.uuid.as_str());
    assert_eq!(body["kind"], "start");
    assert_eq!(body["event"], "after_vm_launch");
    assert_eq!(body["reason"], Value::Null);
    assert_eq!(body["origin"], "fresh");

    let (head, letter) = host.split_once("\n\n").unwrap();
    assert!(head.starts_with("sendmail -i -t\nFrom: hookmux@example.org\nTo: a@example.org, b@example.org\nSubject: =?UTF-8?B?"), "{head}");
    assert!(letter.starts_with(&text), "{letter}");
    let curl = package.host.read_text("curl");
    let lines: Vec<&str> = curl.lines().collect();
    assert!(!lines[0].contains("secret") && lines[0].contains("--max-time 20"), "{curl}");
    assert_eq!(lines[1], r#"url = "https://example.org/\"x\"""#);
    assert_eq!(lines[3], r#"header = "Authorization: Bearer secret""#);
    let data = lines[4].strip_prefix("data-binary = \"").unwrap().strip_suffix('"').unwrap();
    let data: Value =
        serde_json::from_str(&data.replace("\\\"", "\"").replace("\\\\", "\\")).unwrap();
    assert_eq!(data, *body);
    let desktop = package.host.read_text("notify-send");
    assert!(desktop.contains(&text), "{desktop}");
    guest.call("stopped end").succeeds();
    guest.call("release end shutdown").succeeds();
    done(&package.host);
}

#[test]
fn a_guest_says_what_is_told_of_it() {
    let package = package();
    conf(&package, &tell(&package));
    let kinds = |words: &str, calls: &[&str]| {
        let guest = asking(&package, words);
        for call in calls {
            guest.call(call).succeeds();
        }
        let told = told(&package);
        told.iter().map(|body| body["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let life = ["started begin", "release end crashed"];
    assert_eq!(kinds("yes", &life), ["start", "crash"]);
    assert_eq!(kinds("start", &life), ["start"]);
    assert_eq!(kinds("stop, save", &life), [""; 0]);
    assert_eq!(kinds("no", &life), [""; 0]);
    let ends = [
        "release end shutdown",
        "release end saved",
        "release end migrated",
        "release end failed",
        "release end",
    ];
    assert_eq!(kinds("yes", &ends), ["stop", "save", "migrate", "crash", "stop"]);
    // one that doesn't ask
    let guest = package.guest("g", &[], "");
    guest.starts();
    assert_eq!(told(&package).len(), 0);
}

#[test]
fn libvirt_does_not_wait_and_what_fails_is_tried_again() {
    let package = package();
    package.program("curl", "cat > /dev/null; until [ -e \"$T/go\" ]; do sleep 0.05; done; [ -e \"$T/once\" ] || { : > \"$T/once\"; exit 7; }; log told");
    conf(&package, "NOTIFY_WEBHOOK=https://example.org\n");
    let guest = asking(&package, "start");
    guest.starts();
    assert!(package.host.log().is_empty(), "libvirt has its answer before");
    fs::write(package.host.path("go"), "").unwrap();
    done(&package.host);
    assert_eq!(package.host.log(), ["told"]);
}

#[test]
fn wrong_settings_are_refused_and_say_why() {
    for (text, mode, words, reason) in [
        ("", 0o600, "yes", "nothing says how: set NOTIFY_MAIL"),
        ("NOTIFY_MAIL=root\nPATH=/tmp\n", 0o600, "yes", "notify.conf:2: not a setting"),
        ("NOTIFY_MAIL=root\n", 0o622, "yes", "others can write to it"),
        (
            "NOTIFY_MAIL=root\n",
            0o600,
            "start * crash",
            "notify is yes, or some of start, stop, crash, migrate and save, not `*`",
        ),
    ] {
        let package = package();
        let path = package.host.hook("hooks.d/notify.yaml");
        let registration = fs::read_to_string(&path).unwrap();
        fs::write(&path, registration.replace("retries: 5", "retries: 0")).unwrap();
        conf(&package, text);
        fs::set_permissions(package.host.path("notify.conf"), fs::Permissions::from_mode(mode))
            .unwrap();
        asking(&package, words).call("started begin").succeeds();
        done(&package.host);
        let log = package.host.text(&["show", "last"], 0);
        assert!(log.contains("notify: guest ") && log.contains(reason), "{reason}: {log}");
        assert_eq!(package.host.read_text("sendmail"), "");
    }
}
