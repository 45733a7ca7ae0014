//! `hookmux status`, and `hookmux` alone: the state of the host on one page.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::host::{DRIVERS, binary_under_test};
use crate::support::{Host, until};

fn status(host: &Host) -> Value {
    host.json(&["status"], 0)
}

fn page(host: &Host) -> String {
    let said = host.text(&["status"], 0);
    // but whether a daemon runs: one of another test may start in between
    let title = |said: &str| {
        let line = said.lines().next().unwrap();
        let (before, rest) = line.split_once(" (").unwrap();
        format!("{before}{}", rest.split_once(')').unwrap().1)
    };
    let again = host.text(&[], 0);
    assert_eq!(title(&said), title(&again), "without a command, the same");
    said
}

/// The row of the page with this title.
fn row(page: &str, title: &str) -> String {
    let line = page.lines().find(|line| line.trim_start().starts_with(title));
    line.unwrap_or_else(|| panic!("no {title} in\n{page}")).to_owned()
}

#[test]
fn an_empty_host_says_what_to_do_next() {
    let host = Host::new();
    let said = page(&host);
    assert!(said.starts_with("hookmux ") && said.contains(&host.hooks().display().to_string()));
    for (title, words) in [
        ("installed", "daemon qemu lxc libxl network bhyve"),
        ("hooks", "0 active"),
        ("running", "no call"),
        ("queue", "empty"),
        ("undo", "nothing is owed"),
        ("last 24 h", "0 calls, 0 failed"),
        ("bypass", "off"),
        ("digest", ""),
        ("Next:", ""),
    ] {
        assert!(row(&said, title).contains(words), "{title}: {words}\n{said}");
    }
    assert!(said.contains("before_vm_start") && said.contains("events` shows"), "{said}");
    host.script("before_vm_start/10-x", ":");
    let said = page(&host);
    assert!(row(&said, "hooks").contains("1 active") && !said.contains("Next:"), "{said}");
}

#[test]
fn what_libvirt_finds_under_each_name_is_told() {
    let host = Host::new();
    for driver in DRIVERS {
        fs::remove_file(host.hook(driver)).unwrap();
    }
    host.script("before_vm_start/10-x", ":");
    assert!(page(&host).contains("install` makes hookmux libvirt's hook program"));
    host.script("qemu", "exit 0");
    symlink("/nowhere/hookmux", host.hook("lxc")).unwrap();
    fs::create_dir(host.hook("bhyve")).unwrap();
    let said = page(&host);
    for words in [
        "somebody else's script",
        "--driver qemu --adopt",
        "keeps the scripts that are there",
        "/nowhere/hookmux, which is not there",
        "--driver lxc",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let value = status(&host);
    let entries = value["entries"].as_array().unwrap();
    let states: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| (entry["driver"].as_str().unwrap(), entry["state"].as_str().unwrap()))
        .collect();
    let expected = [
        ("daemon", "missing"),
        ("qemu", "foreign"),
        ("lxc", "dangling"),
        ("libxl", "missing"),
        ("network", "missing"),
        ("bhyve", "odd"),
    ];
    assert_eq!(states, expected);
    assert_eq!(entries[1]["fix_command"][0], "hookmux");
    assert_eq!(value["next"][0]["fix_command"].as_array().unwrap().last().unwrap(), "--adopt");
}

#[test]
fn the_page_has_what_waits_what_runs_and_what_failed() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "test ! -e \"$T/bad\" || { echo why >&2; exit 3; }");
    host.script("before_vm_start/20-broken", "#!/nowhere/sh\n");
    host.script("before_vm_start/30-plain", ":").mode("hooks/before_vm_start/30-plain", 0o644);
    host.script("after_vm_stop/10-slow", "log began; until test -e \"$T/go\"; do sleep 0.05; done");
    host.script("bin/later", "echo no >&2; exit 1");
    host.file(
        "hooks.d/later.yaml",
        "events: after_vm_launch\ncommand: bin/later\nmode: detached\nretries: 9\n",
    );
    host.file(
        "hooks.d/owes.yaml",
        "events: after_vm_launch\ncommand: /bin/true\nundo: /bin/true\n",
    );
    host.guest("prepare begin").run().fails(127, &[]);
    fs::write(host.path("bad"), "").unwrap();
    host.guest("prepare begin").run().fails(3, &[]);
    host.guest("started begin").run().succeeds();
    until("a try has failed", || status(&host)["queue"]["failing"] == 1);
    let mut call = host.call("qemu", ["web1", "stopped", "end", "-"]).start();
    call.until_logged("began");
    host.text(&["bypass", "on", "--for", "1h", "--guest", "x", "--reason", "ticket 4711"], 0);

    let value = status(&host);
    assert_eq!(value["hookmux_version"], env!("CARGO_PKG_VERSION"));
    let hooks = &value["hooks"];
    assert_eq!((&hooks["active"], &hooks["not_run"]), (&json!(4), &json!(2)), "{hooks:#}");
    assert_eq!(hooks["problems"][0]["hook"], "before_vm_start/20-broken");
    // a try of the detached hook may run too
    let running = value["running"].as_array().unwrap().iter();
    let called: Vec<&Value> = running.filter(|one| one["cause"] == "libvirt").collect();
    assert_eq!(called.len(), 1, "{value:#}");
    assert_eq!((&called[0]["object"], &called[0]["state"]), (&json!("web1"), &json!("running")));
    assert_eq!(called[0]["running"][0]["hook"], "after_vm_stop/10-slow", "{called:#?}");
    let queue = &value["queue"];
    assert_eq!((&queue["jobs"], &queue["failing"]), (&json!(1), &json!(1)), "{queue:#}");
    assert_eq!(queue["failures"][0]["hook"], "after_vm_launch/later");
    assert!(queue["oldest_s"].is_number());
    assert_eq!(value["undos"], json!({"set_up": 1, "due": 0, "owed": 0, "unread": 0}));
    let day = &value["last_day"];
    assert_eq!((&day["calls"], &day["failed"]), (&json!(3), &json!(2)), "{day:#}");
    assert!(day["detached_failed"].as_u64().unwrap() >= 1 && day["exact"] == true, "{day:#}");
    assert!(day["last_failure"]["failure"].is_string(), "{day:#}");
    let bypass = &value["bypasses"][0];
    assert_eq!((&bypass["object"], &bypass["reason"]), (&json!("x"), &json!("ticket 4711")));
    assert!(bypass["until"].is_string() && bypass["user"].is_string(), "{bypass:#}");
    assert_eq!(value["next"], json!([]));

    let said = host.text(&["status"], 0);
    for (title, words) in [
        ("hooks", "4 active, 2 don't run, but should  → hookmux"),
        ("queue", "1 failing"),
        ("undo", "1 set up"),
        ("last 24 h", "3 calls, 2 failed"),
        ("bypass", "no hook runs for calls about x"),
        ("before_vm_start/20-broken", "fails"),
        ("after_vm_launch/later", "of 10 tries failed"),
    ] {
        assert!(row(&said, title).contains(words), "{title}: {words}\n{said}");
    }
    assert!(said.contains("web1 stopped, after_vm_stop/10-slow for "), "{said}");
    assert!(said.contains(" stop "), "{said}");
    assert!(row(&said, "bypass").contains("ticket 4711"));
    // the id that is shown leads to what failed
    let last = row(&said, "last: ");
    let words = last.rsplit_once("→ ").unwrap().1;
    assert!(words.contains(" show "), "{last}");
    let id = words.rsplit(' ').next().unwrap();
    assert!(host.text(&["show", id], 0).contains("failed"));
    fs::write(host.path("go"), "").unwrap();
    call.wait().succeeds();
    let running = status(&host)["running"].as_array().unwrap().clone();
    assert!(running.iter().all(|one| one["cause"] == "queue"), "{running:#?}");
    host.text(&["queue", "--flush", "--yes"], 0);
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let host = Host::new();
    let nowhere = host.path("nowhere");
    let output =
        Command::new(binary_under_test()).arg("--hooks-dir").arg(&nowhere).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("{} isn't there", nowhere.display())), "{said}");
    assert!(!nowhere.exists());
}

/// An id with this time, in milliseconds since 1970.
fn id_at(milliseconds: u64, number: usize) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digit = |value: u64, place: u32| {
        DIGITS[(value.checked_shr(5 * place).unwrap_or(0) & 31) as usize] as char
    };
    let time = (0..10).rev().map(|place| digit(milliseconds, place));
    let rest = (0..16).rev().map(|place| digit(number as u64, place));
    time.chain(rest).collect()
}

/// A copy of a record, under another id and of another time, in milliseconds since 1970.
fn dated(text: &str, id: &str, other: &str, milliseconds: u64) -> String {
    let value: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let began = format!("\"began_us\":{}", value["began_us"]);
    let time = format!("\"began_us\":{}", milliseconds * 1000);
    text.replace(id, other).replace(&began, &time)
}

/// Puts a record among those that wait to be moved, whole: a mover may be at work.
fn put_record(host: &Host, id: &str, text: &str) {
    let half = host.path("half");
    fs::write(&half, text).unwrap();
    fs::rename(half, host.path(format!("run/records/done/{id}"))).unwrap();
}

#[test]
fn more_calls_than_can_be_looked_at_are_known_from_the_counters() {
    const CALLS: usize = 1500;
    let host = Host::new();
    host.settings("retention: {per_hook: 5000}");
    host.script("before_vm_start/10-x", "exit 3");
    host.guest("prepare begin").run().fails(3, &[]);
    host.text(&["prune"], 0);
    let first = host.json(&["log"], 0)["executions"][0]["id"].as_str().unwrap().to_owned();
    let of = |id: &str| host.path(format!("state/records/{}/{id}", &id[..6]));
    let text = fs::read_to_string(of(&first)).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // from an hour ago on, one each millisecond; all of them failed
    let start = (now - Duration::from_secs(3600)).as_millis() as u64;
    let copies: Vec<String> =
        (0..CALLS).map(|number| id_at(start + number as u64, number)).collect();
    for (number, id) in copies.iter().enumerate() {
        let copy = dated(&text, &first, id, start + number as u64);
        put_record(&host, id, &copy);
    }
    host.text(&["prune"], 0);
    // more than are looked at: the counters say it, and nothing is left of the earlier ones
    let value = status(&host);
    assert_eq!(value["last_day"]["exact"], false, "{value:#}");
    for id in &copies[..CALLS - 1200] {
        fs::remove_file(of(id)).unwrap();
    }
    let day = &status(&host)["last_day"];
    let counted = (day["calls"].as_u64().unwrap(), day["failed"].as_u64().unwrap());
    assert_eq!(counted, (CALLS as u64 + 1, CALLS as u64 + 1), "{day:#}");
    assert_eq!(day["last_failure"]["id"], first.as_str());
    assert!(row(&page(&host), "last 24 h").contains(&format!("about {} calls", CALLS + 1)));
    // fewer: each of them is looked at
    for id in &copies[CALLS - 1200..CALLS - 100] {
        fs::remove_file(of(id)).unwrap();
    }
    let day = &status(&host)["last_day"];
    assert_eq!((&day["calls"], &day["exact"]), (&json!(101), &json!(true)), "{day:#}");
}

#[test]
fn what_was_long_ago_is_no_failure_of_the_last_day() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "exit 3");
    host.guest("prepare begin").run().fails(3, &[]);
    host.text(&["prune"], 0);
    let id = host.json(&["log"], 0)["executions"][0]["id"].as_str().unwrap().to_owned();
    let path = host.path(format!("state/records/{}/{id}", &id[..6]));
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(path).unwrap();
    let earlier = id_at(1_700_000_000_000, 7);
    let text = dated(&text, &id, &earlier, 1_700_000_000_000);
    put_record(&host, &earlier, &text);
    let day = &status(&host)["last_day"];
    assert_eq!((&day["calls"], &day["last_failure"]), (&json!(0), &Value::Null), "{day:#}");
}
