//! From a guest's start on one host to a script on another: libvirtd, hookmux, its outbox, this relay, a server,
//! `consume`, hookmux again.
//!
//! It needs root, a libvirtd with its driver for containers, and a hookmux that `HOOKMUX_BIN` names. All that it
//! touches lies in namespaces and mounts of its own, as in hookmux's own tests (`tests/libvirt/`); without one of
//! these it is left out, with a word.

use crate::support::nats::{Server, make_stream};
use crate::support::relay::{nats, write_script};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const GUEST: &str = "<domain type='lxc'><name>web-1</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>\
<memory unit='MiB'>64</memory><os><type>exe</type><init>/bin/sleep</init><initarg>600</initarg></os>\
<on_poweroff>destroy</on_poweroff><devices><emulator>/usr/lib/libvirt/libvirt_lxc</emulator><console type='pty'/></devices></domain>";

fn missing() -> Option<&'static str> {
    if std::env::var_os("HOOKMUX_BIN").is_none() {
        return Some("HOOKMUX_BIN names no hookmux");
    }
    if !nix::unistd::geteuid().is_root() {
        return Some("root is needed");
    }
    if crate::support::program("LIBVIRTD", "libvirtd").is_none()
        || crate::support::program("VIRSH", "virsh").is_none()
    {
        return Some("no libvirtd or virsh here");
    }
    (!Path::new("/usr/lib/libvirt/libvirt_lxc").exists())
        .then_some("libvirt's driver for containers isn't here")
}

/// Runs a script in mounts and processes of its own, all of which end with it.
fn apart(script: &Path) -> Output {
    Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
            "bash",
        ])
        .arg(script)
        .output()
        .unwrap()
}

// O2: as a hook with REMOTE and ARGUMENTS does there
#[test]
fn a_start_on_one_host_runs_a_script_on_another_and_watch_shows_it() {
    if let Some(what) = missing() {
        eprintln!("skipped: {what}");
        return;
    }
    let hookmux = PathBuf::from(std::env::var_os("HOOKMUX_BIN").unwrap()).canonicalize().unwrap();
    let relay = env!("CARGO_BIN_EXE_hookmux-relay");
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(place.join("guest.xml"), GUEST).unwrap();
    // the other host's registration: what it runs is decided there alone
    std::fs::create_dir_all(place.join("remote/hooks.d")).unwrap();
    write_script(
        &place.join("switch"),
        &format!(
            "#!/bin/sh\necho \"$HOOKMUX_EVENT $HOOKMUX_OBJECT $HOOKMUX_REMOTE_HOST\" >> {}/switched\n",
            place.display()
        ),
    );
    std::fs::write(
        place.join("remote/hooks.d/switch.yaml"),
        "events: [after_vm_launch]\ncommand: [/etc/hookmux/switch]\nremote: true\n",
    )
    .unwrap();
    std::fs::write(
        place.join("relay.yaml"),
        format!(
            "outbox: /var/lib/hookmux/outbox\nstate_dir: /var/lib/hookmux-relay\n{}consume:\n  name: other\n  from: beginning\n  \
             state_dir: /var/lib/hookmux-consume/relay\n  hookmux: /usr/sbin/hookmux\n",
            nats(&server.url())
        ),
    )
    .unwrap();
    let script = place.join("both-hosts");
    std::fs::write(
        &script,
        format!(
            r#"set -eu
place={place}
relay={relay}
# libvirt's driver for containers starts none on a hybrid hierarchy
umount /sys/fs/cgroup/unified /sys/fs/cgroup/systemd 2> /dev/null || :
# nothing of this machine's is touched: these directories are this script's own
for directory in /run /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /var/lib/hookmux /var/lib/hookmux-relay /var/lib/hookmux-consume /etc/hookmux; do
    [ -d "$directory" ] || {{ made="${{made-}} $directory"; mkdir -p "$directory"; }}
    case $directory in
    /etc/libvirt) cp -a /etc/libvirt "$place/etc-libvirt"; mount -t tmpfs none /etc/libvirt; cp -a "$place/etc-libvirt/." /etc/libvirt/ ;;
    *) mount -t tmpfs -o mode=0755 none "$directory" ;;
    esac
done
: > "$place/made"; for directory in ${{made-}}; do echo "$directory" >> "$place/made"; done
chmod 0711 /var/lib/hookmux
rm -rf /etc/libvirt/hooks /etc/libvirt/qemu/networks/autostart; mkdir /etc/libvirt/hooks
for driver in lxc daemon; do ln -s "{hookmux}" "/etc/libvirt/hooks/$driver"; done
echo 'outbox: true' > /etc/libvirt/hooks/hookmux.yaml
mkdir /etc/libvirt/hooks/after_vm_launch
printf '#!/bin/sh\nexit 0\n' > /etc/libvirt/hooks/after_vm_launch/10-here
chmod 0755 /etc/libvirt/hooks/after_vm_launch/10-here
# the other host's
cp "$place/switch" /etc/hookmux/switch
mkdir /etc/hookmux/remote; cp -a "$place/remote/." /etc/hookmux/remote/
chown -R root:root /etc/hookmux
sed -i 's|/usr/sbin/hookmux|{hookmux}|' "$place/relay.yaml"
libvirtd --daemon --pid-file /run/libvirtd.pid
for try in $(seq 600); do virsh -c lxc:/// list > /dev/null 2>&1 && break; sleep 0.1; done
virsh -c lxc:/// create "$place/guest.xml"
virsh -c lxc:/// destroy web-1
# what was recorded is moved by the next call, or by this
"{hookmux}" prune > /dev/null 2>&1 || :
"$relay" --config "$place/relay.yaml" publish --once
"$relay" --config "$place/relay.yaml" watch --since beginning --no-follow --output json lxc > "$place/seen"
"$relay" --config "$place/relay.yaml" consume 2> "$place/consume.log" &
consume=$!
for try in $(seq 600); do [ -s "$place/switched" ] && break; sleep 0.1; done
kill "$consume"; wait "$consume" || :
ls -R /var/lib/hookmux-consume > "$place/state" 2>&1 || :
"#,
            place = place.display(),
            hookmux = hookmux.display(),
        ),
    )
    .unwrap();
    let output = apart(&script);
    for directory in std::fs::read_to_string(place.join("made")).unwrap_or_default().lines() {
        let _ = std::fs::remove_dir(directory);
    }
    let said = format!(
        "{}{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        std::fs::read_to_string(place.join("consume.log")).unwrap_or_default()
    );
    assert!(output.status.success(), "{said}");
    let seen = std::fs::read_to_string(place.join("seen")).unwrap();
    let started: Vec<serde_json::Value> = seen
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["event"]["data"]["operation"] == "started")
        .collect();
    assert_eq!(started.len(), 1, "{seen}{said}");
    assert_eq!(started[0]["event"]["data"]["object"], "web-1");
    assert_eq!(started[0]["event"]["data"]["runs"][0]["hook"], "after_vm_launch/10-here");
    let host = started[0]["host"].as_str().unwrap();
    let switched = std::fs::read_to_string(place.join("switched")).unwrap_or_default();
    assert_eq!(switched, format!("after_vm_launch web-1 {host}\n"), "{said}");
}
