//! pci-rebind: devices of guests change their driver while these run.

use std::fs;
use std::os::unix::fs::symlink;

use super::made_up::{Contrib, Guest};

/// What the kernel does when something is written about drivers. A device's own driver is in its file `natural`.
const KERNEL: &str = r#"
value=$(cat)
log "${1#"$F/sys/bus/pci/"} $value"
if [ -e "$T/broken" ] && [ "$(cat "$T/broken")" = "${1#"$F/sys/bus/pci/"} $value" ]; then
    echo "tee: $1: Device or resource busy" >&2
    exit 1
fi
device=$F/sys/bus/pci/devices/$value
take() { ln -s "../../drivers/$1" "$device/driver"; }
case $1 in
    */driver_override) printf '%s\n' "${value:-(null)}" >"$1" ;;
    */unbind) rm "$device/driver" ;;
    */drivers_probe)
        driver=$(cat "$device/driver_override")
        [ "$driver" != '(null)' ] || driver=$(cat "$device/natural")
        [ ! -d "$F/sys/bus/pci/drivers/$driver" ] || take "$driver"
        ;;
    */bind)
        driver=${1%/bind}
        driver=${driver##*/}
        test "$driver" = "$(cat "$device/natural")" || test "$driver" = "$(cat "$device/driver_override")"
        take "$driver"
        ;;
    *) exit 9 ;;
esac
"#;

const GPU: &str = "0000:01:00.0";
const SOUND: &str = "0000:01:00.1";
const NVME: &str = "0000:02:00.0";
const NIC: &str = "0000:03:00.0";

/// A host with a graphics card and its sound in one IOMMU group, a disk, and a network card that no driver has.
fn host() -> Contrib {
    let contrib = Contrib::new("pci-rebind", "");
    contrib.tool("tee", KERNEL).tool("modprobe", r#"mkdir "$F/sys/bus/pci/drivers/$1""#);
    contrib.files(&[
        ("proc/mounts", "/dev/sda1 / ext4 rw 0 0\n/dev/nvme0n10 /ten ext4 rw 0 0"),
        ("proc/net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask"),
    ]);
    for driver in ["amdgpu", "snd_hda_intel", "nvme", "e1000e", "vfio-pci", "pcieport"] {
        fs::create_dir_all(contrib.fake("sys/bus/pci/drivers").join(driver)).unwrap();
    }
    device(&contrib, GPU, "1", "amdgpu");
    device(&contrib, SOUND, "1", "snd_hda_intel");
    device(&contrib, "0000:00:01.0", "1", "pcieport");
    device(&contrib, NVME, "2", "nvme");
    device(&contrib, NIC, "3", "e1000e");
    fs::remove_file(contrib.fake("sys/bus/pci/devices").join(NIC).join("driver")).unwrap();
    contrib
}

fn device(contrib: &Contrib, address: &str, group: &str, driver: &str) {
    let place = format!("sys/bus/pci/devices/{address}");
    contrib.files(&[
        (&format!("{place}/driver_override"), "(null)"),
        (&format!("{place}/natural"), driver),
        (&format!("sys/kernel/iommu_groups/{group}/type"), "DMA-FQ"),
    ]);
    let members = contrib.fake(&format!("sys/kernel/iommu_groups/{group}/devices"));
    fs::create_dir_all(&members).unwrap();
    symlink(format!("../../../../bus/pci/devices/{address}"), members.join(address)).unwrap();
    contrib.link(&format!("{place}/driver"), &format!("../../drivers/{driver}"));
    contrib
        .link(&format!("{place}/iommu_group"), &format!("../../../../kernel/iommu_groups/{group}"));
}

/// The driver that a device has; empty where it has none.
fn driver(contrib: &Contrib, address: &str) -> String {
    let link = contrib.fake("sys/bus/pci/devices").join(address).join("driver");
    let Ok(target) = fs::read_link(link) else { return String::new() };
    target.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A guest with these devices.
fn guest(name: &'static str, addresses: &[&str]) -> Guest {
    let devices: String = addresses
        .iter()
        .map(|address| {
            let (domain, rest) = address.split_once(':').unwrap();
            let (bus, rest) = rest.split_once(':').unwrap();
            let (slot, function) = rest.split_once('.').unwrap();
            format!(
                "<hostdev mode='subsystem' type='pci' managed='no'><source>\
                 <address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/></source></hostdev>"
            )
        })
        .collect();
    asks(name, &devices)
}

fn asks(name: &'static str, devices: &str) -> Guest {
    Guest::new(name, &[("pci_rebind", "yes")], &format!("<devices>{devices}</devices>"))
}

#[test]
fn devices_have_another_driver_while_a_guest_runs() {
    let contrib = host();
    contrib.lives(&guest("g", &[GPU, SOUND, NIC]), || {
        assert_eq!([GPU, SOUND, NIC].map(|one| driver(&contrib, one)), ["vfio-pci"; 3]);
        assert_eq!(driver(&contrib, NVME), "nvme");
    });
}

#[test]
fn what_a_device_had_before_is_what_it_gets_back() {
    // it is vfio's already, or an administrator has chosen another driver
    for (name, option) in [("vfio-pci", "(null)"), ("e1000e", "e1000e"), ("", "(null)")] {
        let contrib = host();
        if !name.is_empty() {
            contrib.link(
                &format!("sys/bus/pci/devices/{NIC}/driver"),
                &format!("../../drivers/{name}"),
            );
        }
        contrib.files(&[(&format!("sys/bus/pci/devices/{NIC}/driver_override"), option)]);
        let before = contrib.everything();
        let guest = guest("g", &[NIC]);
        contrib.starts(&guest);
        assert_eq!(driver(&contrib, NIC), "vfio-pci");
        contrib.ends(&guest);
        assert_eq!(contrib.everything(), before, "{name}");
    }
}

#[test]
fn a_second_guest_with_the_same_device_is_refused_by_the_name_of_the_first() {
    let contrib = host();
    let before = contrib.everything();
    let [one, two] = [guest("one", &[NIC, NVME]), guest("two", &[GPU, SOUND, NVME])];
    contrib.starts(&one);
    let set = contrib.everything();
    let kept = contrib.kept();
    contrib.prepare(&two).fails(1, &["guest two: 0000:02:00.0 is in use by guest one: "]);
    // what the first one holds is left as it is, at the second one's release too
    contrib.ends(&two);
    assert_eq!(contrib.everything(), set);
    assert_eq!(contrib.kept(), kept);
    contrib.ends(&one);
    assert_eq!(contrib.everything(), before);
    contrib.starts(&two);
    contrib.prepare(&one).fails(1, &["guest one: 0000:02:00.0 is in use by guest two: "]);
    // devices of others can be had meanwhile
    let three = guest("three", &[NIC]);
    contrib.starts(&three);
    contrib.ends(&two);
    assert_eq!([GPU, NVME, NIC].map(|one| driver(&contrib, one)), ["amdgpu", "nvme", "vfio-pci"]);
    contrib.ends(&three);
    contrib.is_again(&before);
}

#[test]
fn an_iommu_group_belongs_to_one_guest() {
    let contrib = host();
    let half =
        "0000:01:00.0 is in IOMMU group 1 with 0000:01:00.1, which has the driver snd_hda_intel";
    contrib.refuses(&[(guest("g", &[GPU]), half)]);
    // a part that nobody has is no obstacle
    fs::remove_file(contrib.fake(&format!("sys/bus/pci/devices/{SOUND}/driver"))).unwrap();
    contrib.starts(&guest("g", &[GPU]));
    let words = "0000:01:00.1 is in IOMMU group 1 with 0000:01:00.0, which is in use by guest g";
    contrib.prepare(&guest("two", &[SOUND])).fails(1, &[words]);
}

#[test]
fn what_the_host_needs_is_not_taken() {
    let contrib = host();
    let place = format!("sys/bus/pci/devices/{GPU}/drm");
    fs::create_dir_all(contrib.fake(&place).join("card1")).unwrap();
    fs::create_dir_all(contrib.fake(&place).join("renderD128")).unwrap();
    contrib.process(17, "cat", "/dev/dri/card0");
    let gpu = [GPU, SOUND];
    contrib.starts(&guest("g", &gpu));
    contrib.ends(&guest("g", &gpu));
    contrib.process(312, "Xorg", "/dev/dri/card1");
    contrib.process(99, "odd (na\u{7}me", "/dev/dri/renderD128");
    contrib.refuses(&[(guest("g", &gpu), "0000:01:00.0 isn't taken from the host: graphics of it are in use by 99 (odd name), 312 (Xorg): ")]);

    // disks
    let disk = format!("sys/bus/pci/devices/{NVME}/nvme/nvme0/nvme0n1");
    contrib.files(&[(&format!("{disk}/nvme0n1p2/partition"), "2"), (&format!("{disk}/size"), "9")]);
    contrib.link("sys/class/block/nvme0n1", &format!("../../../{disk}"));
    contrib.link("sys/class/block/nvme0n1p2", &format!("../../../{disk}/nvme0n1p2"));
    contrib.starts(&guest("g", &[NVME]));
    contrib.ends(&guest("g", &[NVME]));
    let holder = contrib.fake(&disk).join("nvme0n1p2/holders/dm-3");
    fs::create_dir_all(&holder).unwrap();
    contrib.refuses(&[(guest("g", &[NVME]), "its disk is in use: nvme0n1p2 is part of dm-3")]);
    fs::remove_dir(holder).unwrap();
    contrib.files(&[("proc/swaps", "Filename Type\n/dev/nvme0n1p2 partition")]);
    contrib.refuses(&[(guest("g", &[NVME]), "its disk is in use: /dev/nvme0n1p2 (partition)")]);
    contrib.files(&[("proc/swaps", ""), ("proc/mounts", "/dev/nvme0n1p2 /home ext4 rw 0 0")]);
    contrib.refuses(&[(guest("g", &[NVME]), "its disk is in use: /dev/nvme0n1p2 (/home)")]);

    // the network
    contrib.link(&format!("sys/bus/pci/devices/{NIC}/driver"), "../../drivers/e1000e");
    contrib.link(
        &format!("sys/bus/pci/devices/{NIC}/net/enp3s0/master"),
        "../../../../../../class/net/br0",
    );
    contrib.starts(&guest("g", &[NIC]));
    contrib.ends(&guest("g", &[NIC]));
    let route = |name: &str| {
        format!(
            "Iface\tDestination\n{name}\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0"
        )
    };
    for name in ["enp3s0", "br0"] {
        contrib.files(&[("proc/net/route", &route(name))]);
        contrib.refuses(&[(guest("g", &[NIC]), &format!("the host's default route is by {name}"))]);
    }
    let zero = "0".repeat(32);
    let six = format!(
        "{zero} 00 {zero} 00 fe80{} 00000400 00000001 00000000 00000003 enp3s0",
        &zero[4..]
    );
    contrib.files(&[("proc/net/route", &route("other")), ("proc/net/ipv6_route", &six)]);
    contrib.refuses(&[(guest("g", &[NIC]), "the host's default route is by enp3s0")]);
}

#[test]
fn a_device_that_a_process_has_by_vfio_is_neither_taken_nor_given_back() {
    let contrib = host();
    let guest = guest("g", &[NIC, NVME]);
    let before = contrib.everything();
    contrib.process(4711, "qemu-system-x86", "/dev/vfio/3");
    contrib.refuses(&[(guest.clone(), "0000:03:00.0 is in use by 4711 (qemu-system-x86)")]);
    fs::remove_dir_all(contrib.fake("proc/4711")).unwrap();
    contrib.starts(&guest);
    fs::create_dir_all(contrib.fake(&format!("sys/bus/pci/devices/{NIC}/vfio-dev/vfio0"))).unwrap();
    contrib.process(4711, "dpdk", "/dev/vfio/devices/vfio0");
    contrib.release(&guest).fails("0000:03:00.0 is in use by 4711 (dpdk), and stays with vfio-pci");
    assert_eq!([NIC, NVME].map(|one| driver(&contrib, one)), ["vfio-pci", "nvme"]);
    fs::remove_dir_all(contrib.fake("proc/4711")).unwrap();
    fs::remove_dir_all(contrib.fake(&format!("sys/bus/pci/devices/{NIC}/vfio-dev"))).unwrap();
    contrib.next_life(&guest);
    contrib.is_again(&before);
}

#[test]
fn a_start_that_fails_at_any_step_takes_back_what_it_did() {
    let contrib = host();
    let guest = guest("g", &[GPU, SOUND]);
    for (step, words) in [
        (
            format!("devices/{SOUND}/driver_override vfio-pci"),
            "0000:01:00.1 can't be given to vfio-pci",
        ),
        (
            format!("devices/{SOUND}/driver/unbind {SOUND}"),
            "0000:01:00.1 can't be taken from snd_hda_intel",
        ),
        (format!("drivers_probe {SOUND}"), "0000:01:00.1 can't be given to vfio-pci"),
    ] {
        let words = ["Device or resource busy", words];
        contrib.fails_half_way(&guest, &step, &words, &format!("drivers_probe {GPU}"));
    }
    // a driver that doesn't take a device back is asked again
    let (step, words) =
        (format!("drivers/amdgpu/bind {GPU}"), "0000:01:00.0 can't be given back to amdgpu");
    contrib.is_undone_later(&guest, &step, words, || {
        assert_eq!([GPU, SOUND].map(|one| driver(&contrib, one)), ["", "snd_hda_intel"]);
    });
}

#[test]
fn what_somebody_changes_in_between_is_kept() {
    let contrib = host();
    let guest = guest("g", &[NIC, NVME]);
    contrib.starts(&guest);
    let nic = format!("sys/bus/pci/devices/{NIC}/driver");
    fs::remove_file(contrib.fake(&nic)).unwrap();
    contrib.link(&nic, "../../drivers/e1000e");
    contrib.files(&[(&format!("sys/bus/pci/devices/{NVME}/driver_override"), "mine")]);
    let set = contrib.everything();
    let undone = contrib.release(&guest);
    undone.tells("0000:03:00.0 has got the driver e1000e since");
    undone.tells("driver_override of 0000:02:00.0 has become mine");
    contrib.is_again(&set);
}

#[test]
fn the_driver_is_loaded_where_it_is_not_there() {
    let contrib = host();
    fs::remove_dir(contrib.fake("sys/bus/pci/drivers/vfio-pci")).unwrap();
    contrib.starts(&guest("g", &[NVME]));
    assert_eq!(driver(&contrib, NVME), "vfio-pci");
    let other = Contrib::new("pci-rebind", "  PCI_REBIND_DRIVER: nvme_vfio\n");
    other.tool("tee", KERNEL).tool("modprobe", r#"mkdir -p "$F/sys/bus/pci/drivers/$1""#);
    device(&other, NVME, "2", "nvme");
    other.starts(&guest("g", &[NVME]));
    assert_eq!(driver(&other, NVME), "nvme_vfio");
}

#[test]
fn a_guest_that_does_not_ask_changes_nothing() {
    let guest = guest("g", &[NVME]);
    host().leaves_alone(&[guest.with(&[]), guest.with(&[("pci_rebind", "no")])]);
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let contrib = host();
    let mut wrong = guest("g", &[NVME]);
    wrong.properties[0].1 = "0000:02:00.0".to_owned();
    let managed = "<hostdev mode='subsystem' type='pci' managed='yes'><source><address bus='0x02' slot='0x00'/></source></hostdev>\
        <hostdev mode='subsystem' type='usb' managed='no'/><interface type='network'/>";
    let interface = "<interface type='hostdev'><source><address type='pci' domain='0' bus='9' slot='0x1f' function='0x7'/></source></interface>";
    let odd = |bus: &str| {
        let hostdev = format!(
            "<hostdev type='pci'><source><address bus='{bus}' slot='0x00'/></source></hostdev>"
        );
        asks("g", &hostdev)
    };
    contrib.refuses(&[
        (wrong, "pci_rebind has '0000:02:00.0'; it is yes or no"),
        (asks("g", managed), "no PCI device with managed='no'"),
        (asks("g", interface), "it has the PCI device 0000:09:1f.7, which this host hasn't"),
        (odd("a[0]"), "a PCI address that can't be read: 'a[0]'"),
        (odd("0x12345"), "a PCI address that can't be read: '0x12345'"),
        (odd(""), "a PCI address that can't be read: ''"),
    ]);
    fs::remove_file(contrib.fake(&format!("sys/bus/pci/devices/{NVME}/iommu_group"))).unwrap();
    contrib.refuses(&[(guest("g", &[NVME]), "0000:02:00.0 has no IOMMU group: ")]);
}

#[test]
fn whoever_is_killed_nothing_is_left() {
    let contrib = host();
    contrib.bears_deaths(&guest("g", &[GPU, SOUND, NIC]));
}
