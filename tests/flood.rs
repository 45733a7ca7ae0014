//! Very many calls: no record is lost, none is there twice, and none is torn. (O5)

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hookmux::for_tests::record::form::RecordState;
use hookmux::for_tests::record::history::History;
use hookmux::for_tests::record::store;
use hookmux::for_tests::state::Dir;

use crate::support::{GUEST, Host};

const CALLS: usize = 10_000;
const AT_ONCE: usize = 200;
const KILLS: usize = 1_000;

fn history(host: &Host) -> History {
    let dir = |name| Dir::new(host.path(name), nix::unistd::geteuid().as_raw());
    History::new(&dir("run"), &dir("state"))
}

/// A call of libvirt's that is as cheap as can be.
fn call(host: &Host, guest: &str) -> Command {
    let mut command = Command::new(host.hook("qemu"));
    command
        .args([guest, "prepare", "begin", "-"])
        .stdin(fs::File::open(host.path("guest.xml")).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Does something so often, by so many threads.
fn by_many(threads: usize, times: usize, what: &(dyn Fn(usize) + Sync)) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= times {
                        break;
                    }
                    what(number);
                }
            });
        }
    });
}

#[test]
fn of_ten_thousand_executions_none_is_lost_and_none_doubled() {
    let host = Host::new();
    host.settings("retention: {per_hook: 100000, size: 10 GiB}");
    host.file("hooks.d/x.yaml", "events: [before_vm_start]\ncommand: /bin/true\n");
    fs::write(host.path("guest.xml"), GUEST).unwrap();
    by_many(AT_ONCE, CALLS, &|number| {
        let status = call(&host, &format!("g{number}")).status().unwrap();
        assert!(status.success(), "{number}: {status}");
    });
    let history = history(&host);
    let ids: Vec<String> = history.newest().collect();
    assert_eq!(ids.len(), CALLS);
    assert!(ids.is_sorted_by(|a, b| a > b), "each once, the newest first");
    let mut guests = BTreeSet::new();
    for id in &ids {
        let head = history.head(id).unwrap();
        assert_eq!((head.state, head.status, head.hooks.len()), (RecordState::Done, Some(0), 1));
        guests.insert(head.object);
    }
    assert_eq!(guests.len(), CALLS);
    host.text(&["prune"], 0);
    assert_eq!(history.newest().count(), CALLS, "nor is any when they are moved");
    assert!(history.spool().done_ids().is_empty() && history.spool().running_ids().is_empty());
    // and each was counted once
    let text = host.text(&["metrics"], 0);
    let series = r#"hookmux_executions_total{driver="qemu",operation="prepare",outcome="success"}"#;
    assert!(text.contains(&format!("{series} {CALLS}\n")), "{text}");
    assert!(text.contains("hookmux_records_dropped_total 0\n"));
}

#[test]
fn a_thousand_that_are_killed_leave_each_a_whole_record_or_none() {
    let host = Host::new();
    host.settings("retention: {per_hook: 100000, size: 10 GiB}");
    host.file("hooks.d/x.yaml", "events: [before_vm_start]\ncommand: /bin/true\n");
    fs::write(host.path("guest.xml"), GUEST).unwrap();
    let killed = AtomicUsize::new(0);
    // somebody moves them meanwhile, and is killed too
    by_many(8, KILLS, &|number| {
        let mut child = if number % 20 == 0 {
            Command::new(crate::support::host::binary_under_test())
                .arg("--hooks-dir")
                .arg(host.hooks())
                .arg("prune")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        } else {
            call(&host, &format!("g{number}")).spawn().unwrap()
        };
        // as chance has it: a hash of the number, up to what a call takes
        let chance = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        thread::sleep(Duration::from_micros(chance % 40_000));
        let _ = child.kill();
        if child.wait().unwrap().code().is_none() {
            killed.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(killed.load(Ordering::Relaxed) > KILLS / 20, "{killed:?} were killed");
    host.text(&["prune"], 0);
    let history = history(&host);
    let ids: Vec<String> = history.newest().collect();
    let (mut done, mut lost) = (0, 0);
    for id in &ids {
        // whole: both lines can be read
        let record = history.record(id).unwrap_or_else(|error| panic!("{id}: {error}"));
        match record.head.state {
            RecordState::Done => done += 1,
            RecordState::Lost => lost += 1,
            RecordState::Running | RecordState::Unknown => panic!("{id} runs?"),
        }
    }
    assert!(done > 0 && lost > 0, "{done} done, {lost} lost");
    // what the killed ones had begun to write is gone
    for path in host.everything() {
        let is_record = path.components().any(|part| part.as_os_str() == "records");
        if is_record && path.extension().is_some_and(|end| end == "new") {
            panic!("{} is left", path.display());
        }
        if is_record && path.file_name().unwrap().len() == 26 {
            let directory =
                Dir::new(path.parent().unwrap().to_path_buf(), nix::unistd::geteuid().as_raw());
            store::read(&directory, path.file_name().unwrap().to_str().unwrap()).unwrap();
        }
    }
    assert!(history.spool().running_ids().is_empty() && history.spool().done_ids().is_empty());
}
