//! `hookmux metrics`: what it prints, its file, its units, and the rules that use it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::host::binary_under_test;
use crate::support::{Host, is_root, skip, until};

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The value of a series, which is named with its labels.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The names of all metrics that were printed.
fn printed_names(text: &str) -> BTreeSet<String> {
    let heads = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    heads.map(|head| head.split(' ').next().unwrap().to_owned()).collect()
}

/// The names of metrics in a text.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("hookmux_")).map(str::to_owned).collect()
}

/// A host that has every metric.
fn host() -> Host {
    let host = Host::new();
    host.script("before_vm_start/10-x", "test ! -e \"$T/bad\"");
    host.script("before_vm_start/20-broken", "#!/nowhere/sh\n");
    host.guest("prepare begin").run();
    host.text(&["bypass", "on", "--for", "1h", "--guest", "nobody"], 0);
    host
}

#[test]
fn each_hook_has_its_own_series() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "test ! -e \"$T/bad\"");
    host.script("before_vm_start/20-a\"b\\c", "true");
    host.guest("prepare begin").run().succeeds();
    fs::write(host.path("bad"), "").unwrap();
    host.guest("prepare begin").run().fails(1, &[]);
    for _ in 0..2 {
        let text = host.text(&["metrics"], 0);
        let of = |name: &str, hook: &str| {
            value(&text, &format!("hookmux_single_hook_{name}{{hook=\"before_vm_start/{hook}\"}}"))
        };
        assert_eq!(of("runs_total", "10-x"), Some(2.0), "{text}");
        assert_eq!(of("failures_total", "10-x"), Some(1.0));
        assert_eq!(of("last_run_failed", "10-x"), Some(1.0));
        assert!(of("run_seconds_total", "10-x").unwrap() > 0.0);
        let last = of("last_run_timestamp_seconds", "10-x").unwrap();
        assert!(last > 1e9 && of("last_failure_timestamp_seconds", "10-x") == Some(last));
        // its name is escaped, and one that has never failed has no such time
        let odd = r#"20-a\"b\\c"#;
        assert_eq!((of("runs_total", odd), of("last_run_failed", odd)), (Some(2.0), Some(0.0)));
        assert_eq!(of("last_failure_timestamp_seconds", odd), None);
        let call = r#"{driver="qemu",operation="prepare"}"#;
        assert_eq!(value(&text, &format!("hookmux_refused_calls_total{call}")), Some(1.0));
        let refused = format!("hookmux_last_refused_call_timestamp_seconds{call}");
        assert!(value(&text, &refused).unwrap() > 1e9);
        // moved records count the same
        host.text(&["prune"], 0);
    }
}

#[test]
fn what_is_wrong_and_what_waits_is_counted() {
    let host = Host::new();
    let text = host.text(&["metrics"], 0);
    for (series, expected) in [
        ("hookmux_executions_running", 0.0),
        ("hookmux_oldest_running_execution_age_seconds", 0.0),
        ("hookmux_queue_jobs", 0.0),
        ("hookmux_queue_oldest_job_age_seconds", 0.0),
        ("hookmux_bypass_active", 0.0),
        (r#"hookmux_undos{state="owed"}"#, 0.0),
        (r#"hookmux_hooks{state="active"}"#, 0.0),
        (r#"hookmux_entry_intact{driver="qemu"}"#, 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    assert!(!text.contains("hookmux_bypass_since"), "{text}");
    let build = format!("hookmux_build_info{{version=\"{}\",libvirt=\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&build), "{text}");

    host.script("before_vm_start/10-broken", "#!/nowhere/sh\n");
    host.script("after_vm_stop/10-slow", "log began; until test -e \"$T/go\"; do sleep 0.05; done");
    host.script("bin/later", "exit 1");
    host.file(
        "hooks.d/later.yaml",
        "events: after_vm_launch\ncommand: bin/later\nmode: detached\nretries: 9\n",
    );
    host.file(
        "hooks.d/owes.yaml",
        "events: after_vm_launch\ncommand: /bin/true\nundo: /bin/true\n",
    );
    host.guest("started begin").run().succeeds();
    until("a try has failed", || {
        value(&host.text(&["metrics"], 0), "hookmux_queue_jobs_failing") == Some(1.0)
    });
    let mut call = host.call("qemu", ["web1", "stopped", "end", "-"]).start();
    call.until_logged("began");
    host.text(&["bypass", "on", "--for", "1h"], 0);
    for driver in ["lxc", "network"] {
        fs::remove_file(host.hook(driver)).unwrap();
    }
    symlink("/nowhere/hookmux", host.hook("lxc")).unwrap();
    let text = host.text(&["metrics"], 0);
    for (series, expected) in [
        ("hookmux_queue_jobs", 1.0),
        ("hookmux_bypass_active", 1.0),
        (r#"hookmux_undos{state="set up"}"#, 1.0),
        (r#"hookmux_hooks{state="active"}"#, 3.0),
        (r#"hookmux_hooks{state="fails"}"#, 1.0),
        (r#"hookmux_entry_intact{driver="lxc"}"#, 0.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    // a try of the detached hook may run too
    assert!(value(&text, "hookmux_executions_running").unwrap() >= 1.0);
    assert!(value(&text, "hookmux_oldest_running_execution_age_seconds").unwrap() > 0.0);
    assert!(value(&text, "hookmux_bypass_since_timestamp_seconds").unwrap() > 1e9);
    assert!(value(&text, "hookmux_metrics_timestamp_seconds").unwrap() > 1e9);
    // nobody expects anything of a driver without an entry
    assert_eq!(value(&text, r#"hookmux_entry_intact{driver="network"}"#), None);
    // the same as `check` finds
    let findings = host.json(&["check"], 1)["findings"].as_array().unwrap().clone();
    for severity in ["error", "warning", "note"] {
        let found = findings.iter().filter(|finding| finding["severity"] == severity).count();
        let series = format!("hookmux_check_findings{{severity=\"{severity}\"}}");
        assert_eq!(value(&text, &series), Some(found as f64), "{series}\n{findings:#?}");
    }
    fs::write(host.path("go"), "").unwrap();
    call.wait().succeeds();
    host.text(&["queue", "--flush", "--yes"], 0);
}

#[test]
fn the_page_has_every_metric_and_no_other() {
    let text = host().text(&["metrics"], 0);
    let page = include_str!("../docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `hookmux_")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(|name| format!("hookmux_{name}")).collect();
    let families: BTreeSet<String> = printed_names(&text);
    assert_eq!(documented, families);
}

#[test]
fn as_json_they_are_the_same() {
    let host = host();
    let text = host.text(&["metrics"], 0);
    let metrics = host.json(&["metrics"], 0)["metrics"].as_array().unwrap().clone();
    let names: BTreeSet<String> =
        metrics.iter().map(|metric| metric["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, printed_names(&text));
    let runs = metrics.iter().find(|one| one["name"] == "hookmux_single_hook_runs_total").unwrap();
    assert_eq!(runs["samples"][0]["labels"]["hook"], "before_vm_start/10-x");
    assert_eq!((&runs["samples"][0]["value"], &runs["kind"]), (&"1".into(), &"counter".into()));
    let times = metrics.iter().find(|one| one["kind"] == "histogram").unwrap();
    assert_eq!(times["samples"][0]["labels"]["le"], "0.001");
}

// --- the file ------------------------------------------------------------------------------------

#[test]
fn the_file_is_replaced_as_a_whole_and_everybody_may_read_it() {
    let host = host();
    let file = host.path("textfile/hookmux.prom");
    let write = ["metrics", "--write", file.to_str().unwrap()];
    let said = host.text(&write, 1);
    assert!(said.contains("there is no directory") && said.contains("textfile"), "{said}");
    fs::create_dir(host.path("textfile")).unwrap();
    assert_eq!(host.text(&write, 0), "", "neither the switch nor anything else is told");
    let first = fs::metadata(&file).unwrap();
    assert_eq!(first.mode() & 0o7777, 0o644);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(printed_names(&text), printed_names(&host.text(&["metrics"], 0)));
    let kept = fs::File::open(&file).unwrap();
    host.text(&write, 0);
    assert_ne!(fs::metadata(&file).unwrap().ino(), kept.metadata().unwrap().ino());
    assert_eq!(fs::read_dir(host.path("textfile")).unwrap().count(), 1, "nothing else is left");

    // what can't be read leaves it as it is
    fs::write(host.path("state/records/counters.json"), r#"{"format":99}"#).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    assert!(host.text(&write, 1).contains("counters.json"));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn nothing_but_a_file_for_the_collector_is_written() {
    let host = Host::new();
    fs::create_dir(host.path("d.prom")).unwrap();
    symlink("elsewhere", host.path("link.prom")).unwrap();
    for (name, words, status) in [
        ("metrics.txt", "names that end in `.prom`", 2),
        ("d.prom", "is not a file", 1),
        ("link.prom", "is not a file", 1),
        ("/", "is no name of a file", 2),
    ] {
        let path = host.path(name);
        let said = host.text(&["metrics", "--write", path.to_str().unwrap()], status);
        assert!(said.contains(words), "{name}: {said}");
    }
    assert!(!host.path("elsewhere").exists() && !host.path("metrics.txt").exists());
    let output = host.hookmux(&["metrics", "--write", "x.prom", "--output", "json"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn reading_changes_nothing() {
    let host = host();
    host.text(&["metrics"], 0);
    // a file that was made and removed again would be seen
    let times =
        || ["state", "save"].map(|name| host.path(name).metadata().map(|it| it.mtime_nsec()).ok());
    fs::create_dir(host.path("save")).unwrap();
    let before = times();
    host.text(&["metrics"], 0);
    assert_eq!(times(), before);
}

// --- units, rules and the dashboard --------------------------------------------------------------

#[test]
fn the_timer_writes_the_file_and_is_enabled_by_nobody() {
    let directory = source("packaging/systemd");
    let service = fs::read_to_string(directory.join("hookmux-metrics.service")).unwrap();
    let start =
        "\nExecStart=/usr/sbin/hookmux metrics --write ${HOOKMUX_TEXTFILE_DIR}/hookmux.prom\n";
    assert!(service.contains(start), "{service}");
    let page = include_str!("../docs/metrics.md");
    let place =
        service.lines().find_map(|line| line.strip_prefix("Environment=HOOKMUX_TEXTFILE_DIR="));
    assert!(page.contains(&format!("--write {}/hookmux.prom", place.unwrap())), "{place:?}");
    let build = fs::read_to_string(source("packaging/build")).unwrap();
    assert!(build.contains("optional='hookmux-metrics.timer'"), "{build}");
    let Ok(output) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("systemd-analyze is not installed");
    };
    assert!(output.status.success());
    let units =
        ["hookmux-metrics.timer", "hookmux-metrics.service"].map(|name| directory.join(name));
    let verify = ["verify", "--man=no"];
    let output = Command::new("systemd-analyze").args(verify).args(units).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let faults: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("hookmux-metrics") && !line.contains("/usr/sbin/hookmux"))
        .collect();
    assert!(faults.is_empty(), "{said}");
}

/// What the unit takes away from it, by other means than systemd's.
#[test]
fn the_unit_lets_it_write_its_file_and_the_digest() {
    if !is_root() {
        return skip("only root has a file system of its own");
    }
    let service = fs::read_to_string(source("packaging/systemd/hookmux-metrics.service")).unwrap();
    let has = |line: &str| service.lines().any(|other| other == line);
    for line in ["NoNewPrivileges=yes", "ProtectSystem=full", "UMask=0077"] {
        assert!(has(line), "{line}");
    }
    let capabilities =
        service.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let capabilities: Vec<String> = capabilities
        .split_whitespace()
        .map(|one| format!("+{}", one.strip_prefix("CAP_").unwrap().to_lowercase()))
        .collect();
    let host = host();
    let [digest, file] = ["run/records/digest", "hookmux.prom"].map(|name| host.path(name));
    fs::remove_file(&digest).unwrap();
    let script = format!(
        "for place in /usr /etc; do mount --bind $place $place && mount -o remount,bind,ro $place || exit 99; done
         umask 0077
         exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,{} \"$@\"",
        capabilities.join(",")
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
    unshare.arg(binary_under_test()).arg("--hooks-dir").arg(host.hooks());
    let output = unshare.args(["metrics", "--write"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(99) || said.contains("unshare failed") {
        return skip("nothing can be mounted here");
    }
    assert!(output.status.success(), "{output:?}");
    let kept: Value = serde_json::from_slice(&fs::read(&digest).unwrap()).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let series = format!("hookmux_config_info{{digest=\"{}\"}}", kept["digest"].as_str().unwrap());
    assert_eq!(value(&text, &series), Some(1.0), "{text}");
}

#[test]
fn every_metric_of_the_rules_and_the_dashboard_is_printed() {
    let printed = printed_names(&host().text(&["metrics"], 0));
    let rules = fs::read_to_string(source("contrib/prometheus/hookmux.rules.yml")).unwrap();
    let dashboard =
        fs::read_to_string(source("contrib/prometheus/hookmux.dashboard.json")).unwrap();
    for (what, text, least) in [("rules", &rules, 8), ("dashboard", &dashboard, 10)] {
        let used = names_in(text);
        assert!(used.len() >= least, "{what}: {used:?}");
        for name in used {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|family| printed.contains(*family))
                .unwrap_or(&name);
            assert!(printed.contains(family), "{what}: {name} is not printed");
        }
    }
    // a panel's place isn't another's
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let places: BTreeSet<String> = panels
        .iter()
        .map(|panel| format!("{} {}", panel["gridPos"]["x"], panel["gridPos"]["y"]))
        .collect();
    assert_eq!(places.len(), panels.len());
    // every alert is explained, and no other
    let page = include_str!("../docs/metrics.md");
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: BTreeSet<&str> = alerts.collect();
    let rows = page.lines().filter(|line| line.starts_with("| `Hookmux"));
    let named = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    assert_eq!(named.collect::<BTreeSet<_>>(), alerts);
}

#[test]
fn promtool_takes_rules_and_metrics() {
    let promtool = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    let check = |words: &[&str], file: &Path| {
        let input = fs::File::open(file).unwrap();
        Command::new(&promtool).args(words).stdin(input).output()
    };
    let rules = source("contrib/prometheus/hookmux.rules.yml");
    let Ok(output) = check(&["check", "rules", rules.to_str().unwrap()], &rules) else {
        return skip("there is no promtool (Debian: prometheus)");
    };
    assert!(output.status.success(), "{output:?}");
    let host = host();
    host.script("before_vm_start/30-a\"b\\c\u{1b}", "true");
    host.guest("prepare begin").run();
    let file = host.path("hookmux.prom");
    fs::write(&file, host.hookmux(&["metrics"]).stdout).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = check(&["check", "metrics"], &file).unwrap();
    assert!(output.status.success(), "{output:?}");
}
