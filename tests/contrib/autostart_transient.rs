//! `autostart-transient`, with a virsh and a systemctl that are scripts. (O12)

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::package::{Guest, Package};
use crate::support::until;

/// A host whose virsh knows the guests that have a file in `domains`, and calls hooks as libvirt does.
fn package() -> Package {
    let package = Package::new("autostart-transient");
    let at = |name: &str| package.host.path(name).to_str().unwrap().to_owned();
    let settings = [
        ("AUTOSTART_DIRECTORY", at("state/contrib/autostart-transient")),
        ("AUTOSTART_DEFINED", at("etc")),
        ("AUTOSTART_BOOT_ID", at("boot_id")),
    ];
    fs::create_dir_all(package.host.path("etc/qemu")).unwrap();
    fs::create_dir(package.host.path("domains")).unwrap();
    package
        .program(
            "virsh",
            r#"[ "$1 $2 $3" = '-q -c qemu:///system' ] || { echo "odd words: $*" >&2; exit 1; }
            [ ! -e "$T/unreachable" ] || { echo 'failed to connect to the hypervisor' >&2; exit 1; }
            case $4 in
            uri) echo qemu:///system ;;
            domstate) cat "$T/domains/$6" 2> /dev/null || { echo 'failed to get domain' >&2; exit 1; } ;;
            create)
                uuid=$(hookmux xml get --file "$6" uuid) name=$(hookmux xml get --file "$6" name)
                log "create $name"
                [ ! -e "$T/refused" ] || { echo 'network is not active' >&2; exit 1; }
                echo running > "$T/domains/$uuid"
                "$T/hooks/qemu" "$name" started begin - < "$6"
                ;;
            esac"#,
        )
        .program("systemctl", "[ $1 = is-system-running ] && cat \"$T/system\"; exit 1");
    let package =
        settings.into_iter().fold(package, |package, (name, value)| package.env(name, &value));
    boots(&package, "boot-1");
    package
}

/// Nothing of the boot before runs, or is in memory.
fn boots(package: &Package, id: &str) {
    fs::write(package.host.path("boot_id"), format!("{id}\n")).unwrap();
    fs::write(package.host.path("system"), "running\n").unwrap();
    for place in ["domains", "run"] {
        // records may just be moved
        until("it is removed", || fs::remove_dir_all(package.host.path(place)).is_ok());
        fs::create_dir(package.host.path(place)).unwrap();
    }
}

/// libvirt's daemon starts, and all that comes of it is over; what virsh was told.
fn daemon_starts(package: &Package) -> Vec<String> {
    package.host.call("daemon", ["-", "start", "-", "start"]).stdin("").run().succeeds();
    until("the queue is empty", || {
        package.host.json(&["queue"], 0)["jobs"].as_array().unwrap().is_empty()
    });
    package.host.log()
}

fn asking<'p>(package: &'p Package, mode: &str) -> Guest<'p> {
    package.guest("a \"b\" $(c)", &[("autostart", mode)], "")
}

fn starts(package: &Package, guest: &Guest<'_>) {
    fs::write(package.host.path("domains").join(&guest.uuid), "running\n").unwrap();
    guest.starts();
}

/// The guest ends, for a reason.
fn ends(package: &Package, guest: &Guest<'_>, reason: &str) {
    let _ = fs::remove_file(package.host.path("domains").join(&guest.uuid));
    guest.call("stopped end").succeeds();
    guest.call(&format!("release end {reason}")).succeeds();
}

fn kept(package: &Package) -> usize {
    fs::read_dir(package.host.path("state/contrib/autostart-transient"))
        .map_or(0, |entries| entries.count())
}

const STARTED: [&str; 1] = ["create a \"b\" $(c)"];

#[test]
fn after_a_power_cut_the_guest_is_started_once() {
    let package = package();
    let guest = asking(&package, "yes");
    starts(&package, &guest);
    boots(&package, "boot-2");
    assert_eq!(daemon_starts(&package), STARTED);
    // the daemon alone starts again, with the guest and without
    assert!(daemon_starts(&package).is_empty());
    fs::remove_file(package.host.path("domains").join(&guest.uuid)).unwrap();
    assert!(daemon_starts(&package).is_empty(), "once per boot");
    boots(&package, "boot-3");
    assert_eq!(daemon_starts(&package), STARTED);
}

// O12: the user's stop, the host's shutdown, and all others
#[test]
fn what_is_started_after_the_boot_depends_on_how_the_guest_ended() {
    for (mode, system, reason, is_started) in [
        ("yes", "running", "shutdown", false),
        ("yes", "running", "destroyed", false),
        ("yes", "degraded", "destroyed", false),
        ("yes", "running", "crashed", false),
        ("yes", "running", "", false),
        ("true", "running", "shutdown", false),
        // the host shuts down, by whatever hand guests are ended then
        ("yes", "stopping", "shutdown", true),
        ("yes", "stopping", "destroyed", true),
        ("yes", "stopping", "", true),
        ("true", "stopping", "shutdown", true),
        // nobody knows
        ("yes", "unknown", "shutdown", true),
        // libvirt's daemon found it dead
        ("yes", "running", "daemon", true),
        ("yes", "running", "unknown", true),
        ("always", "running", "shutdown", true),
        ("always", "running", "crashed", true),
        ("always", "stopping", "shutdown", true),
        // it is elsewhere
        ("yes", "stopping", "migrated", false),
        ("always", "running", "migrated", false),
        ("always", "stopping", "saved", false),
        ("no", "stopping", "shutdown", false),
    ] {
        let package = package();
        let guest = asking(&package, mode);
        starts(&package, &guest);
        fs::write(package.host.path("system"), format!("{system}\n")).unwrap();
        ends(&package, &guest, reason);
        assert!(
            daemon_starts(&package).is_empty(),
            "{mode}, {system}, {reason}: not in the same boot"
        );
        assert_eq!(kept(&package), if is_started { 2 } else { 0 }, "{mode}, {system}, {reason}");
        boots(&package, "boot-2");
        let started = daemon_starts(&package);
        assert_eq!(started, &STARTED[..usize::from(is_started)], "{mode}, {system}, {reason}");
    }
}

#[test]
fn the_document_is_kept_for_root_alone() {
    let package = package();
    let guest = asking(&package, "yes");
    starts(&package, &guest);
    let directory = package.host.path("state/contrib/autostart-transient");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let document = directory.join(format!("qemu-{}.xml", guest.uuid));
    assert_eq!(fs::read_to_string(document).unwrap(), guest.document);
    // again, with another document: it is that of the last start
    let later = asking(&package, "always");
    starts(&package, &later);
    assert_eq!(kept(&package), 2);
    let document = directory.join(format!("qemu-{}.xml", guest.uuid));
    assert_eq!(fs::read_to_string(document).unwrap(), later.document);
    // hookmux has nothing against it
    let found = package.host.json(&["check"], 0);
    assert!(!found.to_string().contains("autostart-transient"), "{found}");
}

#[test]
fn what_cannot_be_started_is_tried_again() {
    let package = package();
    let guest = asking(&package, "yes");
    starts(&package, &guest);
    let other = package.guest("other", &[("autostart", "yes")], "");
    starts(&package, &other);
    boots(&package, "boot-2");
    // the registration's own number of tries takes a minute
    let path = package.host.hook("hooks.d/autostart-transient-boot.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("retries: 6", "retries: 1")).unwrap();
    for (obstacle, tries, reason) in [
        ("unreachable", 0, "failed to connect to the hypervisor"),
        ("refused", 4, "guest other: network is not active"),
    ] {
        fs::write(package.host.path(obstacle), "").unwrap();
        assert_eq!(daemon_starts(&package).len(), tries, "{obstacle}");
        let log = package.host.text(&["show", "last"], 0);
        assert!(log.contains(reason), "{log}");
        fs::remove_file(package.host.path(obstacle)).unwrap();
    }
    let mut started = daemon_starts(&package);
    started.sort();
    assert_eq!(started, ["create a \"b\" $(c)", "create other"]);
    assert!(daemon_starts(&package).is_empty());
}

#[test]
fn a_guest_that_is_defined_is_libvirts() {
    let package = package();
    let guest = package.guest("defined", &[("autostart", "yes")], "");
    fs::write(package.host.path("etc/qemu/defined.xml"), "<domain/>").unwrap();
    starts(&package, &guest);
    assert_eq!(kept(&package), 0);
    // and one that was defined later
    let later = asking(&package, "yes");
    starts(&package, &later);
    boots(&package, "boot-2");
    fs::write(package.host.path("domains").join(&later.uuid), "shut off\n").unwrap();
    assert!(daemon_starts(&package).is_empty());
    assert_eq!(kept(&package), 0);
}

#[test]
fn a_guest_that_does_not_ask_is_forgotten_and_a_wrong_word_is_told() {
    let package = package();
    let guest = package.guest("g", &[], "");
    starts(&package, &guest);
    ends(&package, &guest, "shutdown");
    assert!(!package.host.path("state/contrib").exists());
    // one that asked in an earlier life
    let asked = asking(&package, "always");
    starts(&package, &asked);
    ends(&package, &asked, "shutdown");
    assert_eq!(kept(&package), 2);
    starts(&package, &package.guest("a \"b\" $(c)", &[], ""));
    assert_eq!(kept(&package), 0);
    starts(&package, &asking(&package, "sometimes"));
    let log = package.host.text(&["show", "last"], 0);
    assert!(log.contains("autostart is yes, always or no, not `sometimes`"), "{log}");
    assert_eq!(kept(&package), 0);
}

#[test]
fn people_see_what_is_kept_and_can_drop_it() {
    let package = package();
    let guest = asking(&package, "always");
    starts(&package, &guest);
    let script = package.directory().join("bin/autostart-transient");
    let directory = package.host.path("state/contrib/autostart-transient");
    let says = |words: &[&str]| {
        package
            .host
            .call("qemu", words)
            .called(script.to_str().unwrap(), "/")
            .env("AUTOSTART_DIRECTORY", &directory)
            .env("AUTOSTART_BOOT_ID", package.host.path("boot_id"))
            .run()
    };
    let listed = says(&["list"]);
    assert_eq!(
        String::from_utf8(listed.stdout).unwrap(),
        format!("{}\t{}\talways\tin this boot\n", guest.name, guest.uuid)
    );
    says(&["forget", "nobody"]).fails(1, &["nothing is kept of a guest nobody"]);
    // what a later version has kept is left alone
    fs::write(directory.join("qemu-later"), "2\nboot\n").unwrap();
    assert_eq!(says(&["forget", &guest.name]).status, Some(0));
    assert_eq!(kept(&package), 1);
    assert!(says(&["list"]).stdout.is_empty());
    boots(&package, "boot-2");
    assert!(daemon_starts(&package).is_empty());
    assert_eq!(kept(&package), 1);
}
