//! What every released version left on disk is read by this one. The files themselves lie in
//! `tests/formats/VERSION/`; see the README there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookmux::for_tests::bypass;
use hookmux::for_tests::config::registration;
use hookmux::for_tests::config::{Registration, Settings, Surroundings};
use hookmux::for_tests::event::Origin;
use hookmux::for_tests::libvirt::{Call, Driver};
use hookmux::for_tests::machine::files;
use hookmux::for_tests::memory::guest::Guest;
use hookmux::for_tests::queue::item;
use hookmux::for_tests::record::counters::Counters;
use hookmux::for_tests::record::form::{Record, RecordHead};
use hookmux::for_tests::state::Dir;
use hookmux::for_tests::trust::Trust;
use serde_json::Value;

use crate::support::documents::GUEST;
use crate::support::record::{alter_record, host_with_a_record};
use crate::support::{Host, until};

/// Versions whose files lie in `tests/formats/`.
const RELEASES: [&str; 1] = ["0.1.0"];
/// The directory that the host of the golden files had.
const ORIGINAL: &str = "/tmp/hookmux-formats";
const UUID_START: &str = "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a9";

fn golden(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(release)
}

/// Every file below a directory, sorted.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { todo.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn records(release: &str) -> Vec<PathBuf> {
    let host = golden(release).join("host");
    let stored = files_below(&host.join("state/records"));
    let waiting = ["run/records/done", "run/records/running"].map(|name| host.join(name));
    let all = stored.into_iter().chain(waiting.iter().flat_map(|place| files_below(place)));
    all.filter(|path| path.file_name().unwrap().len() == 26).collect()
}

fn own(path: PathBuf) -> Dir {
    Dir::new(path, nix::unistd::geteuid().as_raw())
}

fn jobs(release: &str) -> Vec<PathBuf> {
    let all = files_below(&golden(release).join("host/state/queue"));
    all.into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Whether everything that was in the old value is in the new one; there may be more keys.
#[track_caller]
fn assert_kept(path: &Path, old: &Value, new: &Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                let kept = new.get(key);
                assert!(kept.is_some(), "{}: `{key}` is lost", path.display());
                assert_kept(path, value, kept.unwrap());
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{}", path.display());
            old.iter().zip(new).for_each(|(old, new)| assert_kept(path, old, new));
        }
        _ => assert_eq!(old, new, "{}", path.display()),
    }
}

// --- each file by itself ------------------------------------------------------------------------

#[test]
fn records_of_every_release_are_read() {
    for release in RELEASES {
        let mut heads: Vec<RecordHead> = Vec::new();
        for path in records(release) {
            let bytes = fs::read(&path).unwrap();
            let record = Record::decode(&bytes);
            let record = record.unwrap_or_else(|| panic!("{} is not read", path.display()));
            assert_eq!(record.head.version, release);
            // nothing of it is lost, and each word still is the same word
            let again = record.encode().unwrap();
            let lines = |bytes: &[u8]| -> Vec<Value> {
                bytes
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .map(json)
                    .collect()
            };
            let (old, new) = (lines(&bytes), lines(&again));
            assert_eq!(old.len(), 2);
            old.iter().zip(&new).for_each(|(old, new)| assert_kept(&path, old, new));
            heads.push(record.head);
        }
        let seen = |name: fn(&RecordHead) -> String| {
            let mut seen: Vec<String> = heads.iter().map(name).collect();
            seen.sort();
            seen.dedup();
            seen
        };
        assert_eq!(seen(|head| head.state.name().to_owned()), ["done", "lost", "running"]);
        assert_eq!(
            seen(|head| head.outcome.name().to_owned()),
            ["bypassed", "failure", "success", "timeout", "unknown"]
        );
        assert_eq!(seen(|head| head.cause.name().to_owned()), ["libvirt", "queue", "retry", "run"]);
        let queued = heads.iter().flat_map(|head| &head.hooks);
        assert!(queued.into_iter().any(|hook| hook.outcome.name() == "queued"));
    }
}

#[test]
fn jobs_of_every_release_are_read() {
    for release in RELEASES {
        let mut items = Vec::new();
        for path in jobs(release) {
            let bytes = fs::read(&path).unwrap();
            let id = path.file_stem().unwrap().to_str().unwrap();
            let head = item::ItemHead::parse(&bytes, id).unwrap();
            let body = item::ItemBody::parse(&bytes).unwrap();
            // 0.1.0 had both in one object
            let mut again = serde_json::to_value(&head).unwrap();
            let rest = serde_json::to_value(&body).unwrap();
            for (key, value) in rest.as_object().unwrap() {
                again.as_object_mut().unwrap().insert(key.clone(), value.clone());
            }
            assert_kept(&path, &json(&bytes), &again);
            items.push((head, body));
        }
        assert!(items.iter().any(|(head, _)| head.last.is_some()), "one has been tried");
        assert!(items.iter().any(|(head, _)| head.run.is_some()), "one was under way");
        assert!(items.iter().any(|(head, _)| head.attempts == 0), "one is new");
        assert!(items.iter().all(|(_, body)| body.document.is_some()));
    }
}

#[test]
fn guests_of_every_release_are_remembered() {
    for release in RELEASES {
        let host = host_of(release);
        let run = own(host.path("run"));
        let guest = |number: &str, name: &str| {
            Guest::new(&run, Driver::Qemu, Some(&format!("{UUID_START}{number}")), name)
        };
        assert_eq!(guest("14", "runs").origin(), Origin::Fresh);
        assert_eq!(guest("12", "job-new").origin(), Origin::Unknown);
        let document = fs::read_to_string(guest("14", "runs").started_document().unwrap()).unwrap();
        assert!(document.contains("<name>runs</name>"));
        assert_eq!(Guest::new(&run, Driver::Qemu, None, "by-name").origin(), Origin::Fresh);
        // what waits for `prepare`
        let incoming = guest("15", "incoming").peek_pending();
        assert_eq!((incoming.origin, incoming.held), (Origin::Migration, None));
        let restored = guest("16", "restored").peek_pending();
        assert_eq!((restored.origin, restored.held), (Origin::Restore, None));
        for held in [
            guest("17", "held").peek_pending(),
            Guest::new(&run, Driver::Qemu, None, "held-by-name").peek_pending(),
        ] {
            assert_eq!(held.origin, Origin::Restore);
            let failure = held.held.unwrap();
            assert_eq!(failure.status, 4);
            assert!(failure.words.contains("the disk is gone"), "{}", failure.words);
        }
    }
}

#[test]
fn the_emergency_switch_of_every_release_holds() {
    let is_under = |loaded: &bypass::Bypass, guest: &str| {
        loaded.of(&Call::new(Driver::Qemu, vec![guest.into(), "prepare".into()])).is_some()
    };
    for release in RELEASES {
        for (name, guests, is_for_all) in [
            ("host", &[][..], true),
            ("host-for-a-time", &[], true),
            ("guest", &["web1"], false),
            ("guest-for-a-time", &["web1"], false),
            ("both", &["web1", "web2"], false),
        ] {
            let host = Host::new();
            let file = golden(release).join("bypass").join(format!("{name}.json"));
            fs::copy(file, host.hook(bypass::FILE_NAME)).unwrap();
            let mut trust = Trust::new(nix::unistd::geteuid().as_raw());
            let loaded = bypass::load(&host.hooks(), &mut trust).unwrap();
            assert_eq!(is_under(&loaded, "another"), is_for_all, "{name}");
            assert!(guests.iter().all(|guest| is_under(&loaded, guest)), "{name}");
            let until = loaded.entries.iter().any(|entry| entry.until.is_some());
            assert_eq!(until, name.ends_with("time") || name == "both", "{name}");
        }
    }
}

#[test]
fn counters_of_every_release_go_on() {
    for release in RELEASES {
        let host = host_of(release);
        let path = host.path("state/records/counters.json");
        let counters = Counters::load(&own(host.path("state/records"))).unwrap();
        assert_kept(
            &path,
            &json(&fs::read(&path).unwrap()),
            &serde_json::to_value(&counters).unwrap(),
        );
        let failed = r#"driver="qemu",operation="prepare",outcome="failure""#;
        assert!(counters.executions[failed] > 0);
    }
}

#[test]
fn settings_of_every_release_are_read() {
    for release in RELEASES {
        let path = golden(release).join("host/hooks/hookmux.yaml");
        let surroundings = Surroundings::here(Path::new("/h"));
        let settings =
            Settings::parse(&path, &fs::read_to_string(&path).unwrap(), &surroundings).unwrap();
        assert!(settings.session);
        assert_eq!(settings.state_dir.unchecked_path(), Path::new(ORIGINAL).join("state"));
        assert_eq!(settings.timeout.unwrap().as_secs(), 20);
        assert_eq!(settings.environment["COUNT"], "3");
        assert_eq!(settings.environment_file.as_deref(), Some(Path::new("/h/env")));
        assert_eq!(settings.max_parallel, 4);
        assert_eq!(settings.retention.size, 64 << 20);
    }
}

#[test]
fn registrations_of_every_release_are_read() {
    for release in RELEASES {
        let root = golden(release).join("host/hooks");
        let directory = root.join(registration::DIRECTORY);
        let mut texts = String::new();
        let parse = |path: &Path, text: &str| {
            Registration::parse(path, &root, text).unwrap_or_else(|problem| panic!("{problem}"))
        };
        for path in files_below(&directory) {
            if path.extension().is_some_and(|end| end == "yaml") {
                let text = fs::read_to_string(&path).unwrap();
                parse(&path, &text);
                texts.push_str(&text);
            }
        }
        // every key that this release knew is in one of them
        for key in [
            "events",
            "calls",
            "command",
            "args",
            "args_stdin",
            "weight",
            "check",
            "rollback",
            "when",
            "timeout",
            "on_failure",
            "run_as",
            "style",
            "stdin",
            "mode",
            "retries",
            "max_parallel",
            "enabled",
            "parallel",
            "lock",
            "filter",
            "kill_leftovers",
            "limits",
            "nice",
            "environment",
            "environment_file",
            "remote",
        ] {
            assert!(texts.lines().any(|line| line.starts_with(&format!("{key}:"))), "{key}");
        }
        let path = directory.join("every-key.yaml");
        let hook = parse(&path, &fs::read_to_string(&path).unwrap());
        assert_eq!((hook.weight, hook.nice), (7, Some(5)));
        assert_eq!(hook.limits.address_space, Some(1_000_000_000));
        assert_eq!(hook.when.name.as_ref().unwrap().0, ["every-*", "!every-test"]);
        assert_eq!(hook.run_as.as_ref().unwrap().group.as_deref(), Some("root"));
    }
}

/// The name that the documentation has for a file of a host.
fn documented_name(path: &Path) -> String {
    let name = |part: &str, above: &str| -> String {
        let id = |text: &str| {
            text.len() >= 26 && text.bytes().take(26).all(|b| b.is_ascii_alphanumeric())
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if ["guests", "pending"].contains(&above) {
            return format!("KEY.{}", part.rsplit('.').next().unwrap());
        }
        if above == "undo" && part.starts_with("qemu-") {
            return "OWNER".to_owned();
        }
        if above.starts_with("qemu-") && part.ends_with(".json") {
            return "KEY….json".to_owned();
        }
        if above == "undo-locks" && part.starts_with("qemu-") {
            return "OWNER".to_owned();
        }
        if above == "undo-locks" && part.starts_with("shared.") {
            return "shared.DIGEST".to_owned();
        }
        if part.starts_with("qemu-") && part.contains('~') {
            return "OWNER~KEY~LIFE".to_owned();
        }
        if let Some(daemon) = part.strip_prefix(".started.") {
            return part.replace(daemon, "DAEMON");
        }
        if ["daemons", "locks"].contains(&above) {
            return "NAME".to_owned();
        }
        if above == "records" && part.len() == 6 && part.bytes().any(|b| b.is_ascii_digit()) {
            return "GROUP".to_owned();
        }
        if part.len() >= 64 && part.bytes().take(64).all(|b| b.is_ascii_hexdigit()) {
            return format!("SHA256{}", &part[64..]);
        }
        if part.len() >= 32 && part.bytes().take(32).all(|b| b.is_ascii_hexdigit()) {
            return format!("DIGEST{}", &part[32..]);
        }
        if !id(part) {
            return part.to_owned();
        }
        match part[26..].split_once('.') {
            Some((attempt, pid)) if digits(pid) => {
                format!("ID{}.PID", if attempt.is_empty() { "" } else { "-TRY" })
            }
            _ => format!("ID{}", &part[26..]),
        }
    };
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let above = std::iter::once("").chain(parts.iter().copied());
    let named: Vec<String> =
        parts.iter().zip(above).map(|(part, above)| name(part, above)).collect();
    named.join("/")
}

#[test]
fn every_file_has_a_row_in_the_documentation() {
    let page = include_str!("../docs/files.md");
    let assert_documented = |root: &Path| {
        for directory in ["state", "run"] {
            for path in files_below(&root.join(directory)) {
                let name = documented_name(path.strip_prefix(root.join(directory)).unwrap());
                assert!(page.contains(&format!("`{name}`")), "{name}: {}", path.display());
            }
        }
    };
    for release in RELEASES {
        assert_documented(&golden(release).join("host"));
    }
    // and what this version writes
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "exit 3");
    host.file(
        "hooks.d/x.yaml",
        "events: after_vm_launch\ncommand: /bin/true\nmode: detached\nlock: gpu\n",
    );
    host.file(
        "hooks.d/y.yaml",
        "events: before_vm_prepare\ncommand: /bin/true\nundo: /bin/true\nshared: true\n",
    );
    host.mode("hooks/hooks.d/x.yaml", 0o644);
    for call in ["prepare begin", "started begin", "restore begin"] {
        host.guest(call).run().succeeds();
    }
    host.call("daemon", ["-", "start", "-", "start"]).stdin("").run().succeeds();
    host.text(&["queue", "--work"], 0);
    host.text(&["prune"], 0);
    host.text(&["bypass", "on", "--for", "1h"], 0);
    assert_documented(host.directory());
    for name in bypass_and_links() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

fn bypass_and_links() -> Vec<&'static str> {
    vec![
        "hookmux.yaml",
        bypass::FILE_NAME,
        "hooks.d/NAME.yaml",
        "hooks.d/.lock",
        "<driver>.adopted",
        "<driver>.retired",
        "<driver>.d/50-hookmux",
        "save_dir/NAME.save.hookmux",
        "queue/ID.broken",
        "records/done/ID.odd",
        "records/.stuck",
    ]
}

// --- the whole host -----------------------------------------------------------------------------

/// A host as this release left it, in another directory, in this boot and at this time.
fn host_of(release: &str) -> Host {
    let host = Host::new();
    let source = golden(release).join("host");
    let directory = host.path("");
    let directory = directory.to_str().unwrap().trim_end_matches('/');
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for path in files_below(&source) {
        let place = path.strip_prefix(&source).unwrap();
        let bytes = adapted(place, &fs::read(&path).unwrap(), directory, boot.trim());
        let target = host.path(renamed(place, &host.hooks()));
        make_private(target.parent().unwrap());
        fs::write(&target, bytes).unwrap();
        let is_hook = place.starts_with("hooks");
        let is_script = fs::metadata(&path).unwrap().permissions().mode() & 0o100 != 0;
        let mode = match (is_hook, is_script) {
            (true, true) => 0o755,
            (true, false) => 0o644,
            (false, _) => 0o600,
        };
        fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
    }
    host
}

fn make_private(path: &Path) {
    if !path.is_dir() {
        make_private(path.parent().unwrap());
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

/// Files that are named after the hooks directory's path get the name that they have here.
fn renamed(place: &Path, hooks: &Path) -> PathBuf {
    let original = Path::new(ORIGINAL).join("hooks");
    let digest = |path: &Path| files::name_digest(path.as_os_str());
    let text = place.to_str().unwrap();
    let text = text.replace(&digest(&original), &digest(hooks));
    let settings = |hooks: &Path| digest(&hooks.join("hookmux.yaml"));
    text.replace(&settings(&original), &settings(hooks)).into()
}

fn adapted(place: &Path, bytes: &[u8], directory: &str, boot: &str) -> Vec<u8> {
    if place.starts_with("state/cache") {
        // compiled, and checked by a sum: it is of another place, and must be seen to be
        return bytes.to_vec();
    }
    // what isn't text names no place
    let Ok(text) = String::from_utf8(bytes.to_vec()) else { return bytes.to_vec() };
    let text = text.replace(ORIGINAL, directory);
    if place.starts_with("state/queue") && place.extension().is_some() {
        let mut job = json(text.as_bytes());
        recode(&mut job, directory);
        job["queued_at"] = now().into();
        return job.to_string().into_bytes();
    }
    if place.starts_with("run/guests") || place.starts_with("run/pending") {
        if place.extension().is_some_and(|end| end == "xml") {
            return text.into_bytes();
        }
        let mut state = json(text.as_bytes());
        state["boot"] = boot.into();
        if state.get("since").is_some() {
            state["since"] = since_boot().into();
        }
        return state.to_string().into_bytes();
    }
    text.into_bytes()
}

/// Puts the directory into what is written in base 64.
fn recode(value: &mut Value, directory: &str) {
    match value {
        Value::String(text) => {
            let decoded = STANDARD.decode(&*text).ok().and_then(|it| String::from_utf8(it).ok());
            if let Some(decoded) = decoded.filter(|decoded| decoded.contains(ORIGINAL)) {
                *text = STANDARD.encode(decoded.replace(ORIGINAL, directory));
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| recode(one, directory)),
        Value::Object(all) => all.values_mut().for_each(|one| recode(one, directory)),
        _ => {}
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn since_boot() -> i64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap().tv_sec()
}

fn document(name: &str, number: &str) -> String {
    let uuid = GUEST.split("<uuid>").nth(1).unwrap().split('<').next().unwrap();
    GUEST
        .replace("<name>g<", &format!("<name>{name}<"))
        .replace(uuid, &format!("{UUID_START}{number}"))
}

#[test]
fn the_executions_of_every_release_are_shown() {
    for release in RELEASES {
        let host = host_of(release);
        let log = host.json(&["log", "--lines", "1000"], 0);
        let listed = log["executions"].as_array().unwrap();
        assert_eq!(listed.len(), records(release).len());
        // the process of the one that ran is gone
        let lost = listed.iter().filter(|one| one["state"] == "lost").count();
        let running = listed.iter().filter(|one| one["state"] == "running").count();
        assert!(lost >= 2 && running == 0, "{lost} {running}");
        for one in listed {
            let id = one["id"].as_str().unwrap();
            let shown = host.json(&["show", id], 0);
            assert_eq!(shown["object"], one["object"]);
            assert!(host.text(&["show", id, "--full"], 0).contains(id));
        }
        let failed = host.json(&["log", "--failed", "--hook", "30-fail"], 0);
        assert!(!failed["executions"].as_array().unwrap().is_empty());
        let metrics = host.text(&["metrics"], 0);
        let counted =
            r#"hookmux_executions_total{driver="qemu",operation="prepare",outcome="failure"} 1"#;
        assert!(metrics.contains(counted), "{metrics}");
    }
}

#[test]
fn an_execution_of_every_release_is_run_again() {
    for release in RELEASES {
        let host = host_of(release);
        let log = host.json(&["log", "--failed", "--lines", "1000"], 0);
        let of = |one: &&Value| one["object"] == "failing" && one["cause"] == "libvirt";
        let failed = log["executions"].as_array().unwrap().iter().find(of).unwrap();
        // its passwords were replaced, and no guest lives that has them
        let words = ["retry", "--force", "--masked", failed["id"].as_str().unwrap()];
        let said = host.text(&words, 1);
        assert!(said.contains("before_vm_start/30-fail"), "{said}");
    }
}

#[test]
fn the_records_of_every_release_are_moved_and_counted() {
    for release in RELEASES {
        let host = host_of(release);
        let before = host.json(&["log", "--lines", "1000"], 0)["executions"].clone();
        host.text(&["prune"], 0);
        let left = files_below(&host.path("run/records"));
        assert!(left.iter().all(|path| path.file_name().unwrap().len() != 26), "{left:?}");
        let after = host.json(&["log", "--lines", "1000"], 0)["executions"].clone();
        assert_eq!(before, after);
        let counters = json(&host.read("state/records/counters.json"));
        let restored = r#"driver="qemu",operation="restore",outcome="failure""#;
        assert_eq!(counters["executions"][restored], 2);
        let older = r#"driver="qemu",operation="prepare",outcome="timeout""#;
        assert_eq!(counters["executions"][older], 1, "what was counted before stays");
    }
}

#[test]
fn the_queue_of_every_release_is_worked_off() {
    for release in RELEASES {
        let host = host_of(release);
        let jobs = host.json(&["queue"], 0);
        let jobs = jobs["jobs"].as_array().unwrap();
        let objects: Vec<&str> = jobs.iter().map(|job| job["object"].as_str().unwrap()).collect();
        assert_eq!(objects, ["job-failed", "job-under-way", "job-new"]);
        // the one that always fails isn't waited for
        host.text(&["queue", "--flush", "detached-failing"], 0);
        if crate::support::is_root() {
            host.text(&["queue", "--work"], 0);
            until("the queue is empty", || {
                host.json(&["queue"], 0)["jobs"].as_array().unwrap().is_empty()
            });
            let log = host.json(&["log", "--hook", "detached", "--lines", "1000"], 0);
            let done = |object: &str| {
                let all = log["executions"].as_array().unwrap();
                all.iter().any(|one| {
                    one["object"] == object && one["cause"] == "queue" && one["status"] == 0
                })
            };
            assert!(done("job-under-way") && done("job-new"), "{log}");
        }
    }
}

#[test]
fn a_failure_that_restore_left_to_every_release_is_answered_at_prepare() {
    for release in RELEASES {
        let host = host_of(release);
        host.script("before_vm_prepare/10-x", r#"log "$HOOKMUX_ORIGIN""#);
        host.call("qemu", ["held", "prepare", "begin", "-"])
            .stdin(document("held", "17"))
            .run()
            .fails(4, &["before_vm_dehibernate/10-refuse", "the disk is gone"]);
        host.call("qemu", ["held-by-name", "prepare", "begin", "-"])
            .stdin("")
            .run()
            .fails(4, &["the disk is gone"]);
        assert!(host.log().is_empty(), "nothing was run");
        // each is answered once
        for (name, number, origin) in [
            ("held", "17", "fresh"),
            ("restored", "16", "restore"),
            ("incoming", "15", "migration"),
        ] {
            host.call("qemu", [name, "prepare", "begin", "-"])
                .stdin(document(name, number))
                .run()
                .succeeds();
            assert_eq!(host.log(), [origin], "{name}");
        }
        host.script(
            "after_vm_stop/10-x",
            r#"log "$HOOKMUX_ORIGIN"; cp "$HOOKMUX_STARTED_XML" "$T/seen""#,
        );
        host.call("qemu", ["runs", "stopped", "end", "-"])
            .stdin(document("runs", "14"))
            .run()
            .succeeds();
        assert_eq!(host.log(), ["fresh"]);
        assert!(host.read_text("seen").contains("<name>runs</name>"));
    }
}

#[test]
fn the_hooks_of_every_release_are_those_that_run() {
    for release in RELEASES {
        let host = host_of(release);
        let list = host.text(&["list"], 0);
        for (name, expected) in [
            ("every-key", "active"),
            ("detached", "active"),
            ("added", "active"),
            ("in-libvirts-style", "disabled"),
            ("30-fail", "active"),
        ] {
            let is_it = |line: &&str| line.split_whitespace().any(|word| word == name);
            let line = list.lines().find(is_it).unwrap_or_else(|| panic!("{name}: {list}"));
            assert!(line.contains(expected), "{line}");
        }
        // the last good copy of the settings is this release's
        fs::write(
            host.hook("hookmux.yaml"),
            format!("state_dir: {}\nbroken\n", host.path("state").display()),
        )
        .unwrap();
        host.text(&["bypass", "on", "--guest", "web1", "--yes"], 0);
        assert!(host.text(&["bypass"], 0).contains("calls about web1"));
        let problems = host.json(&["check"], 1);
        let problems = problems["findings"].as_array().unwrap();
        let broken = problems.iter().find(|one| one["code"] == "broken-settings").unwrap();
        assert!(broken["message"].as_str().unwrap().contains("last good copy"), "{broken}");
    }
}

// --- what a newer version has left --------------------------------------------------------------

#[test]
fn an_execution_in_words_of_another_version_is_seen() {
    for (key, word, shown) in [
        ("state", "paused".into(), "its state isn't known"),
        ("outcome", "postponed".into(), "good, with details that this version doesn't know"),
        ("cause", serde_json::json!({ "relay": "elsewhere" }), "relay"),
    ] {
        let (host, path) = host_with_a_record();
        alter_record(&path, |head, body| {
            head[key] = word.clone();
            head["hooks"][0]["outcome"] = "later".into();
            body["plan"][0]["decision"] = "later".into();
            body["runs"][0]["outcome"] = "later".into();
            body["future"] = serde_json::json!([1]);
            body.as_object_mut().unwrap().remove("notes");
            head.as_object_mut().unwrap().remove("extra");
        });
        let listed = host.json(&["log"], 0);
        let one = &listed["executions"][0];
        assert_eq!(
            (one["object"].as_str(), one["runs"][0]["state"].as_str()),
            (Some("g"), Some("unknown"))
        );
        let said = host.text(&["log"], 0);
        assert!(said.contains(shown), "{key}: {said}");
        let said = host.text(&["show", "last"], 0);
        assert!(said.contains("before_vm_start/10-x") && said.contains("done"), "{key}: {said}");
        host.text(&["retry", "--force", "last"], 0);
        let before = fs::read(&path).unwrap();
        host.text(&["prune"], 0);
        assert_eq!(fs::read(&path).unwrap(), before, "left as it is");
    }
}

#[test]
fn a_record_of_a_newer_format_is_told_and_left() {
    let (host, path) = host_with_a_record();
    alter_record(&path, |head, _| {
        head["format"] = 2.into();
        head["hooks"] = "elsewhere".into();
    });
    let before = fs::read(&path).unwrap();
    let said = host.text(&["log"], 0);
    assert!(said.contains("1 execution is not shown: a newer hookmux recorded"), "{said}");
    assert!(!said.contains("No execution"), "{said}");
    assert_eq!(host.json(&["log"], 0)["newer"], 1);
    let id = path.file_name().unwrap().to_str().unwrap();
    let said = host.text(&["show", id], 1);
    assert!(said.contains("a newer hookmux wrote it, in format 2"), "{said}");
    // those of this version are listed beside it
    host.guest("prepare begin").run().succeeds();
    let listed = host.json(&["log"], 0);
    assert_eq!(listed["executions"].as_array().unwrap().len(), 1);
    host.text(&["prune"], 0);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn newer_counters_are_told_and_left() {
    let (host, _) = host_with_a_record();
    let path = host.path("state/records/counters.json");
    let newer = r#"{"format":2,"executions":{"all":7}}"#;
    fs::write(&path, newer).unwrap();
    // a call's own mover may be quicker, and tells nobody
    let mut calls = 1;
    until("prune has something to move", || {
        host.guest("prepare begin").run().succeeds();
        calls += 1;
        let said = host.text(&["prune"], 0);
        said.contains("executions aren't counted: ") && said.contains("format 2")
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    assert_eq!(host.json(&["log"], 0)["executions"].as_array().unwrap().len(), calls);
    let said = host.text(&["metrics"], 1);
    assert!(said.contains("counters.json is left as it is") && !said.contains("# TYPE"), "{said}");
    let found = host.json(&["check"], 0);
    let is_it = |finding: &&Value| finding["code"] == "newer-file";
    let found = found["findings"].as_array().unwrap().iter().find(is_it).unwrap().clone();
    assert_eq!(found["path"].as_str(), path.to_str());
}

#[test]
fn a_misspelt_bypass_runs_every_hook_and_is_told() {
    for entry in [
        r#"{"gest":"web1","since":1}"#,
        r#"{"whose":{"guest":"web1","event":"before_vm_start"}}"#,
        r#"{"guest":null,"driver":"lxc","until":null,"since":1}"#,
    ] {
        let host = Host::new();
        host.follow(&["before_vm_start/10-x"]);
        fs::write(host.hook(bypass::FILE_NAME), format!(r#"{{"entries":[{entry}]}}"#)).unwrap();
        host.guest("prepare begin").run().succeeds();
        assert_eq!(host.log(), ["before_vm_start/10-x"], "{entry}");
        assert!(host.text(&["bypass"], 1).contains("is ignored"));
        assert!(host.text(&["check"], 0).contains("broken-bypass"));
    }
}

#[test]
fn a_lost_execution_keeps_what_another_version_wrote() {
    let host = host_of("0.1.0");
    let running = files_below(&host.path("run/records/running"));
    alter_record(&running[0], |head, body| {
        head["cause"] = "relay".into();
        head["priority"] = 7.into();
        body["future"] = "x".into();
    });
    let id = running[0].file_name().unwrap().to_str().unwrap().to_owned();
    host.text(&["prune"], 0);
    let moved = host.path("state/records").join(&id[..6]).join(&id);
    let text = fs::read_to_string(moved).unwrap();
    assert!(text.contains(r#""state":"lost""#) && text.contains(r#""priority":7"#), "{text}");
    assert!(text.contains(r#""cause":"relay""#) && text.contains(r#""future":"x""#), "{text}");
}
