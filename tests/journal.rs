//! The journal's copy of what happened: never blocking, never needed. (L5)

use std::fs;
use std::os::unix::net::UnixDatagram;

use crate::support::call::Call;
use crate::support::{GUEST, Host, is_root, skip};

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
