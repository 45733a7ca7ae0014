//! The journal's copy of what happened: never blocking, never needed. (L5)

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use crate::support::call::Call;
use crate::support::host::binary_under_test;
use crate::support::{GUEST, Host, is_root, skip, until};

/// A journal of the test's own, in the real one's place for calls made with `at_its_place`.
struct Journal {
    socket: UnixDatagram,
    mounts: String,
}

impl Journal {
    fn new(host: &Host) -> Option<Journal> {
        if !is_root() {
            skip("only root can put a socket in the journal's place");
            return None;
        }
        let path = host.path("journal");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mounts = format!(
            "mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/systemd/journal\n\
             : >/run/systemd/journal/socket; mount --bind '{}' /run/systemd/journal/socket",
            path.display()
        );
        Some(Journal { socket, mounts })
    }

    fn at_its_place<'h>(&self, call: Call<'h>) -> Call<'h> {
        call.with_mounts(&self.mounts)
    }

    /// All entries so far, each as its lines.
    fn entries(&self) -> Vec<String> {
        let mut buffer = vec![0; 1 << 20];
        std::iter::from_fn(|| {
            let length = self.socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
        .collect()
    }
}

/// The value of a field that is written on one line.
fn field<'e>(entry: &'e str, name: &str) -> Option<&'e str> {
    let prefix = format!("{name}=");
    entry.lines().find_map(|line| line.strip_prefix(&prefix))
}

/// The value of a field in either form of the journal's protocol, unless it has line ends.
fn has(entry: &str, name: &str, value: &str) -> bool {
    field(entry, name) == Some(value)
        || entry
            .split_once(&format!("{name}\n"))
            .is_some_and(|(_, rest)| rest.lines().next().is_some_and(|line| line.ends_with(value)))
}

// L5
#[test]
fn success_and_failure_have_entries() {
    let host = Host::new();
    let Some(journal) = Journal::new(&host) else { return };
    host.follow(&["before_vm_start/10-good"]);
    host.script("before_vm_start/20-bad", "echo no pages >&2; exit 3");
    let call = host.guest("prepare begin");
    journal.at_its_place(call).run().fails(3, &[]);
    let entries = journal.entries();
    for (hook, exit, words) in [
        ("before_vm_start/10-good", "0", "before_vm_start/10-good"),
        ("before_vm_start/20-bad", "3", "exit status 3"),
    ] {
        let entry = entries.iter().find(|entry| has(entry, "HOOKMUX_HOOK", hook));
        let entry = entry.unwrap_or_else(|| panic!("{hook} has no entry: {entries:?}"));
        assert!(has(entry, "HOOKMUX_EXIT", exit), "{entry}");
        assert!(has(entry, "HOOKMUX_EVENT", "before_vm_start"), "{entry}");
        assert!(
            has(entry, "HOOKMUX_OBJECT", "g") && has(entry, "HOOKMUX_DRIVER", "qemu"),
            "{entry}"
        );
        assert!(entry.contains("HOOKMUX_EXECUTION") && entry.contains("HOOKMUX_UUID"), "{entry}");
        assert!(entry.contains("HOOKMUX_DURATION_US") && entry.contains(words), "{entry}");
    }
}

#[test]
fn each_kind_of_entry_has_a_message_id_that_stays() {
    let host = Host::new();
    let Some(journal) = Journal::new(&host) else { return };
    host.script("before_vm_start/10-good", "sleep 0.6");
    host.script("before_vm_start/20-bad", "echo passwd=secret >&2; exit 3");
    host.script("before_vm_start/30-edit", r#"echo "<!-- -->" >>"$_hook_domxml""#);
    host.file(
        "hooks.d/later.yaml",
        "events: [before_vm_start]\ncommand: /bin/true\nmode: detached\n",
    );
    host.file("hooks.d/broken.yaml", "events: [after_vm_stop\n");
    host.settings("timeout: 1500ms");
    let call = host.guest("started begin");
    journal.at_its_place(call).run().succeeds();
    fs::remove_file(host.hook("hooks.d/broken.yaml")).unwrap();
    let call = host.guest("prepare begin");
    journal.at_its_place(call).run().fails(3, &[]);
    host.text(&["bypass", "on", "--yes"], 0);
    let mut entries = journal.entries();
    // a call without hooks gives its journal 100 ms in all, which a busy machine may take
    until("the journal has it", || {
        let call = host.guest("prepare begin");
        journal.at_its_place(call).run().succeeds();
        entries.extend(journal.entries());
        entries.iter().any(|entry| entry.contains("the emergency switch is on"))
    });
    assert!(!entries.concat().contains("secret"));
    for (words, priority, id) in [
        ("10-good succeeded", "5", "128af8c44e194efa8385f980fe717b21"),
        ("20-bad: exit status 3", "3", "3086ac4c1a9940a19cc07b296e6e21b7"),
        ("later is queued", "5", "ee58868ee7914c79b4706feb00f964f8"),
        ("10-good is still running", "4", "090bad30d04b4c2bb300cb110d490fde"),
        ("libvirt takes no XML", "4", "bee7200773274a8292b50e9c643a0d48"),
        ("broken.yaml", "3", "03f498d8192141f1b3dec0bf7a1389f8"),
        ("the emergency switch is on", "4", "13010d6ca3dd4dfe82115f88d238e26a"),
    ] {
        let entry = entries.iter().find(|entry| entry.contains(words));
        let entry = entry.unwrap_or_else(|| panic!("{words}: {entries:#?}"));
        assert!(has(entry, "MESSAGE_ID", id) && has(entry, "PRIORITY", priority), "{entry}");
        assert!(has(entry, "SYSLOG_IDENTIFIER", "hookmux"), "{entry}");
    }
}

/// How long a call takes, made where there is this in the journal's place.
fn call_with(host: &Host, mounts: &str) -> Duration {
    let answer = host.guest("prepare begin").with_mounts(mounts).run();
    assert_eq!(answer.status, Some(3), "{answer:?}");
    answer.took
}

#[test]
fn a_journal_that_is_stopped_dead_or_absent_costs_at_most_its_patience() {
    let host = Host::new();
    let Some(journal) = Journal::new(&host) else { return };
    for n in 10..50 {
        host.script(format!("before_vm_start/{n}-x"), "exit 0");
    }
    host.script("before_vm_start/90-bad", "exit 3");
    let absent = "mount -t tmpfs -o mode=755 tmpfs /run";
    let dead = format!("{absent}; mkdir -p /run/systemd/journal; : >/run/systemd/journal/socket");
    // a machine that does other things shows it in one of its calmer moments
    let costs_little = |mounts: &str| {
        call_with(&host, mounts) < call_with(&host, absent) + Duration::from_millis(150)
    };
    call_with(&host, absent);
    let dropped = || {
        let text = host.text(&["metrics"], 0);
        let name = "hookmux_journal_entries_dropped_total ";
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(dropped(), 0, "a host without a journal loses nothing");
    // nobody reads: the queue of a socket is full after a few
    until("a stopped one costs little", || costs_little(&journal.mounts));
    assert!(dropped() > 0);
    until("a dead one costs little", || costs_little(&dead));
}

/// Everything of a real one, in a place of its own.
const JOURNALD: &str = "/lib/systemd/systemd-journald";

#[test]
fn the_fields_arrive_in_a_real_journald() {
    if !is_root() || !Path::new(JOURNALD).exists() {
        return skip("no systemd-journald here: the reader of its protocol has to do");
    }
    let host = Host::new();
    host.script("before_vm_start/10-bad", "echo no pages >&2; exit 3");
    fs::write(host.path("guest.xml"), GUEST).unwrap();
    let script = format!(
        "set -e\n\
         mount -t proc proc /proc\n\
         mount -t tmpfs -o mode=755 tmpfs /run; mount -t tmpfs -o mode=755 tmpfs /var/log\n\
         mkdir -p /run/systemd/journal /run/log/journal\n\
         echo 0123456789abcdef0123456789abcdef >/run/machine-id\n\
         touch /etc/machine-id; mount --bind /run/machine-id /etc/machine-id\n\
         {JOURNALD} >/dev/null 2>&1 &\n\
         for i in $(seq 100); do [ -S /run/systemd/journal/socket ] && break; sleep 0.1; done\n\
         '{hooks}/qemu' g prepare begin - <'{guest}' 2>/dev/null || true\n\
         for i in $(seq 100); do\n\
             journalctl --no-pager -o json -t hookmux --directory=/run/log/journal >'{t}/entries' 2>/dev/null || true\n\
             [ -s '{t}/entries' ] && break; sleep 0.1\n\
         done",
        hooks = host.hooks().display(),
        guest = host.path("guest.xml").display(),
        t = host.directory().display(),
    );
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"])
        .args(["sh", "-c", &script])
        .output()
        .unwrap();
    let text = host.read_text("entries");
    let entry: serde_json::Value = serde_json::from_str(text.lines().next().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {text} {output:?}"));
    for (field, value) in [
        ("MESSAGE_ID", "3086ac4c1a9940a19cc07b296e6e21b7"),
        ("PRIORITY", "3"),
        ("SYSLOG_IDENTIFIER", "hookmux"),
        ("HOOKMUX_EVENT", "before_vm_start"),
        ("HOOKMUX_DRIVER", "qemu"),
        ("HOOKMUX_OBJECT", "g"),
        ("HOOKMUX_OPERATION", "prepare"),
        ("HOOKMUX_UUID", "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901"),
        ("HOOKMUX_HOOK", "before_vm_start/10-bad"),
        ("HOOKMUX_EXIT", "3"),
    ] {
        assert_eq!(entry[field], value, "{field}: {entry:#}");
    }
    assert_eq!(entry["HOOKMUX_EXECUTION"].as_str().unwrap().len(), 26);
    assert!(entry["HOOKMUX_DURATION_US"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert!(entry["MESSAGE"].as_str().unwrap().contains("no pages"));
}

#[test]
fn a_call_without_hooks_has_no_entry() {
    let host = Host::new();
    let Some(journal) = Journal::new(&host) else { return };
    for call in ["prepare begin", "started begin", "release end"] {
        let call = host.guest(call);
        journal.at_its_place(call).run().succeeds();
    }
    assert_eq!(journal.entries(), [""; 0]);
}

#[test]
fn a_live_failure_and_an_edit_that_libvirt_does_not_take_are_told_to_the_journal() {
    let host = Host::new();
    let Some(journal) = Journal::new(&host) else { return };
    host.script("after_vm_start/10-x", "exit 3");
    host.script("before_vm_start/10-edit", r#"echo "<!-- -->" >>"$_hook_domxml""#);
    let call = host.guest("started begin");
    journal.at_its_place(call).run().succeeds();
    let call = host.guest("prepare begin");
    journal.at_its_place(call).run().succeeds();
    let all = journal.entries().concat();
    assert!(all.contains("after_vm_start/10-x: exit status 3"), "{all}");
    assert!(all.contains("before_vm_start/10-edit: "), "{all}");
    assert!(all.contains("libvirt takes no XML from prepare"), "{all}");
}

#[test]
fn a_journal_that_nobody_reads_delays_nothing() {
    let host = Host::new();
    let Some(journal) = Journal::new(&host) else { return };
    for n in 100..160 {
        host.script(format!("before_vm_start/{n}-x"), "exit 0");
    }
    let call = host.guest("prepare begin").stdin(GUEST);
    journal.at_its_place(call).run().succeeds().took_less_than(30);
    let entries = journal.entries();
    assert!(entries.len() < 60, "the queue of a socket is short: {}", entries.len());
    // nor does one that is no socket at all
    fs::remove_file(host.path("journal")).unwrap();
    fs::write(host.path("journal"), "").unwrap();
    let call = host.guest("prepare begin");
    journal.at_its_place(call).run().succeeds().took_less_than(30);
}

#[test]
fn what_people_change_has_an_entry() {
    let host = Host::new();
    let Some(journal) = Journal::new(&host) else { return };
    let script = format!(
        "{}\n'{}' --hooks-dir '{}' bypass on --for 1h --reason 'ticket 4711'",
        journal.mounts,
        binary_under_test().display(),
        host.hooks().display()
    );
    // a busy machine may take the moment that the journal is given
    let mut entries = Vec::new();
    until("it has an entry", || {
        let output = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .env("SUDO_USER", "alice")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        // the library asks first whether somebody listens
        entries.extend(journal.entries().into_iter().filter(|entry| !entry.is_empty()));
        !entries.is_empty()
    });
    let entry = &entries[0];
    for (name, value) in [
        ("MESSAGE_ID", "69922b2e72ad4f968a6476fe2611c709"),
        ("PRIORITY", "5"),
        ("HOOKMUX_AUDIT_USER", "alice"),
        ("HOOKMUX_AUDIT_ACTION", "bypass-on"),
        ("HOOKMUX_AUDIT_OUTCOME", "done"),
        ("HOOKMUX_AUDIT_REASON", "ticket 4711"),
    ] {
        assert!(has(entry, name, value), "{name}: {entry}");
    }
    assert!(
        entry.contains("HOOKMUX_AUDIT_COMMAND") && entry.contains("HOOKMUX_AUDIT_ID"),
        "{entry}"
    );
}

#[test]
fn a_demo_is_none_of_the_hosts_business() {
    let host = Host::new();
    let Some(journal) = Journal::new(&host) else { return };
    let script = format!("{}\n'{}' demo", journal.mounts, binary_under_test().display());
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .env("TMPDIR", host.directory())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(journal.entries(), [""; 0]);
}
