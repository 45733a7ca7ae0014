//! display-handover: guests have the host's graphics card while they run.

use std::fs;

use super::made_up::{Contrib, Guest};

/// systemctl: units that run are in `units`, with a process each, which ends with them.
const SYSTEMCTL: &str = r#"
for unit; do :; done
case $1 in
    is-active) test "$2 $3" = '--quiet --' && test -e "$F/units/$unit" ;;
    stop | start)
        log "$1 $unit"
        [ ! -e "$T/broken" ] || [ "$(cat "$T/broken")" != "$1 $unit" ] || exit 1
        mkdir -p "$T/stopped/units" "$T/stopped/proc"
        if [ "$1" = stop ]; then from=$F to=$T/stopped; else from=$T/stopped to=$F; fi
        [ -e "$from/units/$unit" ] || exit 0
        pid=$(cat "$from/units/$unit")
        mv "$from/units/$unit" "$to/units/"
        mv "$from/proc/$pid" "$to/proc/"
        ;;
    *) exit 9 ;;
esac
"#;

const KERNEL: &str = r#"
value=$(cat)
log "${1#"$F/sys/"} $value"
if [ -e "$T/broken" ] && [ "$(cat "$T/broken")" = "${1#"$F/sys/"} $value" ]; then
    echo "tee: $1: Device or resource busy" >&2
    exit 1
fi
case $1 in
    */platform/drivers/*/unbind) rm "${1%/unbind}/$value" ;;
    */platform/drivers/*/bind) ln -s "../../../../devices/platform/$value" "${1%/bind}/$value" ;;
    *) printf '%s\n' "$value" >"$1" ;;
esac
"#;

const FRAMEBUFFER: &str = "sys/bus/platform/drivers/efi-framebuffer";

/// A host with a graphics card, a second one, a display manager, consoles and a framebuffer.
fn host(environment: &str) -> Contrib {
    let contrib = Contrib::new("display-handover", environment);
    contrib.tool("systemctl", SYSTEMCTL).tool("tee", KERNEL).tool("sleep", "log sleep");
    contrib.files(&[
        ("sys/class/vtconsole/vtcon0/name", "(S) dummy device"),
        ("sys/class/vtconsole/vtcon0/bind", "1"),
        ("sys/class/vtconsole/vtcon1/name", "(M) frame buffer device"),
        ("sys/class/vtconsole/vtcon1/bind", "1"),
        ("sys/class/vtconsole/vtcon2/name", "(M) frame buffer device"),
        ("sys/class/vtconsole/vtcon2/bind", "0"),
        ("sys/devices/platform/efi-framebuffer.0/modalias", "platform:efi-framebuffer"),
        ("sys/bus/platform/drivers/efi-framebuffer/uevent", ""),
        ("sys/bus/pci/devices/0000:01:00.0/class", "0x030000"),
        ("sys/bus/pci/devices/0000:01:00.0/drm/card0/dev", "226:0"),
        ("sys/bus/pci/devices/0000:01:00.0/drm/renderD128/dev", "226:128"),
        ("sys/bus/pci/devices/0000:01:00.1/class", "0x040300"),
        ("sys/bus/pci/devices/0000:07:00.0/class", "0x030000"),
        ("sys/bus/pci/devices/0000:07:00.0/drm/card1/dev", "226:1"),
        ("proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t X\nDevice Minor: \t 3"),
        ("dev/dri/card0", ""),
        ("dev/dri/card1", ""),
        ("dev/dri/renderD128", ""),
        ("dev/nvidia3", ""),
    ]);
    contrib.link(
        &format!("{FRAMEBUFFER}/efi-framebuffer.0"),
        "../../../../devices/platform/efi-framebuffer.0",
    );
    contrib.link(
        "sys/bus/platform/devices/efi-framebuffer.0",
        "../../../devices/platform/efi-framebuffer.0",
    );
    unit(&contrib, "display-manager.service", 312, "Xorg", "/dev/dri/card0");
    contrib
}

/// A unit that runs.
fn unit(contrib: &Contrib, unit: &str, pid: u32, name: &str, file: &str) {
    contrib.process(pid, name, file);
    contrib.files(&[(&format!("units/{unit}"), &pid.to_string())]);
}

/// A guest with the first graphics card and its sound.
fn guest(name: &'static str) -> Guest {
    let hostdev = |function: u8| {
        format!(
            "<hostdev mode='subsystem' type='pci' managed='yes'><source>\
             <address domain='0x0000' bus='0x01' slot='0x00' function='0x{function}'/></source></hostdev>"
        )
    };
    let devices = format!("<devices>{}{}</devices>", hostdev(0), hostdev(1));
    Guest::new(name, &[("display_handover", "yes")], &devices)
}

fn console(contrib: &Contrib) -> String {
    contrib.read("sys/class/vtconsole/vtcon1/bind")
}

#[test]
fn the_host_has_no_display_while_a_guest_runs() {
    let contrib = host("");
    let before = contrib.everything();
    let guest = guest("g");
    contrib.starts(&guest);
    assert_eq!(
        contrib.host.log(),
        [
            "stop display-manager.service",
            "class/vtconsole/vtcon1/bind 0",
            "bus/platform/drivers/efi-framebuffer/unbind efi-framebuffer.0",
        ]
    );
    let set = contrib.everything();
    assert!(set != before && console(&contrib) == "0");
    contrib.runs_again(&guest);
    assert_eq!(contrib.everything(), set);
    assert!(contrib.host.log().is_empty());
    contrib.ends(&guest);
    assert_eq!(
        contrib.host.log(),
        [
            "bus/platform/drivers/efi-framebuffer/bind efi-framebuffer.0",
            "class/vtconsole/vtcon1/bind 1",
            "start display-manager.service",
        ]
    );
    assert_eq!(contrib.everything(), before);
    assert!(contrib.kept().is_empty(), "{:?}", contrib.kept());
    contrib.undo_again(&guest).succeeds();
    assert_eq!(contrib.everything(), before);
}

#[test]
fn guests_share_and_it_comes_back_after_the_last() {
    let contrib = host("");
    let before = contrib.everything();
    let [one, two] = [guest("one"), guest("two")];
    for [first, last] in [[&one, &two], [&two, &one]] {
        contrib.starts(&one);
        let set = contrib.everything();
        assert_eq!(contrib.host.log().len(), 3);
        contrib.starts(&two);
        contrib.ends(first);
        assert_eq!(contrib.everything(), set);
        assert!(contrib.host.log().is_empty());
        contrib.ends(last);
        assert_eq!(contrib.everything(), before);
        assert_eq!(contrib.host.log().len(), 3);
    }
    assert!(contrib.kept().is_empty(), "{:?}", contrib.kept());
}

/// What is shared is set up for the first guest: that has to be one that asks for it.
#[test]
fn a_guest_that_says_no_is_not_the_first_one() {
    let contrib = host("");
    let before = contrib.everything();
    for word in ["no", ""] {
        let mut one = guest("one");
        one.properties = vec![("display_handover".to_owned(), word.to_owned())];
        let two = guest("two");
        contrib.starts(&one);
        assert_eq!(contrib.everything(), before);
        contrib.starts(&two);
        assert_eq!(contrib.host.log().len(), 3, "{word:?}");
        contrib.ends(&one);
        assert_eq!(console(&contrib), "0");
        contrib.ends(&two);
        assert_eq!(contrib.host.log().len(), 3);
        assert_eq!(contrib.everything(), before);
    }
}

#[test]
fn it_comes_back_where_prepare_fails_later() {
    let contrib = host("");
    let before = contrib.everything();
    let guest = guest("g");
    contrib.host.script("before_vm_start/50-no", "echo no licence >&2; exit 1");
    contrib.prepare(&guest).fails(1, &["no licence"]);
    // libvirt makes these calls after a failed prepare
    contrib.ends(&guest);
    assert_eq!(contrib.everything(), before);
    assert!(contrib.kept().is_empty(), "{:?}", contrib.kept());
}

#[test]
fn a_card_that_is_in_use_is_refused_with_the_names_of_its_users() {
    for file in ["/dev/dri/card0", "/dev/dri/renderD128", "/dev/nvidia3"] {
        let contrib = host("  DISPLAY_HANDOVER_WAIT: 2\n");
        contrib.process(4000, "sunshine", file);
        contrib.process(77, "mpv", file);
        contrib.refuses(&[(
            guest("g"),
            "the graphics card (/dev/dri/card0 /dev/dri/renderD128 /dev/nvidia3) is in use by 77 (mpv), 4000 (sunshine): ",
        )]);
        // it was given time, and what was stopped for it runs again
        let log = contrib.host.log();
        let [stop, start] = ["stop display-manager.service", "start display-manager.service"];
        assert_eq!(log, [stop, "sleep", "sleep", start], "{file}");
    }
}

#[test]
fn only_the_cards_of_the_guest_count() {
    let contrib = host("  DISPLAY_HANDOVER_WAIT: 0\n");
    contrib.process(77, "mpv", "/dev/dri/card1");
    contrib.process(78, "cat", "/dev/dri/card0 (deleted)");
    contrib.starts(&guest("g"));
    contrib.ends(&guest("g"));
    // of a guest without a card all count
    let mut other = guest("g");
    other.elements = String::new();
    let words =
        "(/dev/dri/card0 /dev/dri/card1 /dev/dri/renderD128 /dev/nvidia3) is in use by 77 (mpv)";
    contrib.refuses(&[(other, words)]);
}

#[test]
fn only_what_was_there_comes_back() {
    let units = "  DISPLAY_HANDOVER_UNITS: nvidia-persistenced.service sddm.service display-manager.service\n";
    let contrib = host(&format!("{units}  DISPLAY_HANDOVER_FRAMEBUFFER: 'no'\n"));
    unit(&contrib, "nvidia-persistenced.service", 90, "nvidia-persiste", "/dev/nvidia3");
    contrib.files(&[("sys/class/vtconsole/vtcon1/bind", "0")]);
    let before = contrib.everything();
    contrib.starts(&guest("g"));
    let [one, two] = ["nvidia-persistenced.service", "display-manager.service"];
    assert_eq!(contrib.host.log(), [format!("stop {one}"), format!("stop {two}")]);
    contrib.ends(&guest("g"));
    assert_eq!(contrib.host.log(), [format!("start {two}"), format!("start {one}")]);
    assert_eq!(contrib.everything(), before);
    // nothing runs, and nothing is bound
    fs::remove_dir_all(contrib.fake("units")).unwrap();
    fs::remove_dir_all(contrib.fake("proc")).unwrap();
    let before = contrib.everything();
    contrib.starts(&guest("g"));
    contrib.ends(&guest("g"));
    assert!(contrib.host.log().is_empty());
    assert_eq!(contrib.everything(), before);
}

#[test]
fn a_step_that_fails_brings_back_what_was_taken() {
    let contrib = host("");
    let before = contrib.everything();
    for (step, words) in [
        ("stop display-manager.service", "systemctl can't stop display-manager.service"),
        ("class/vtconsole/vtcon1/bind 0", "the console vtcon1 can't be taken off the card"),
        (
            "bus/platform/drivers/efi-framebuffer/unbind efi-framebuffer.0",
            "the framebuffer efi-framebuffer.0 can't be taken off the card",
        ),
    ] {
        fs::write(contrib.host.path("broken"), step).unwrap();
        let answer = contrib.prepare(&guest("g"));
        answer.fails(1, &["display-handover: guest g: ", words]);
        assert_eq!(contrib.everything(), before, "{step}");
        assert!(contrib.kept().is_empty(), "{step}: {:?}", contrib.kept());
    }
}

#[test]
fn what_cannot_be_brought_back_is_tried_again() {
    for step in [
        "start display-manager.service",
        "class/vtconsole/vtcon1/bind 1",
        "bus/platform/drivers/efi-framebuffer/bind efi-framebuffer.0",
    ] {
        let contrib = host("");
        let before = contrib.everything();
        let guest = guest("g");
        contrib.starts(&guest);
        fs::write(contrib.host.path("broken"), step).unwrap();
        contrib.release(&guest).fails("these can't be brought back: ");
        // the others have been
        assert_eq!(
            contrib.fake("units/display-manager.service").exists(),
            !step.starts_with("start")
        );
        fs::remove_file(contrib.host.path("broken")).unwrap();
        contrib.next_life(&guest);
        assert_eq!(contrib.everything(), before, "{step}");
        assert!(contrib.kept().is_empty(), "{step}: {:?}", contrib.kept());
    }
}

#[test]
fn what_the_kernel_has_removed_is_not_brought_back() {
    let contrib = host("");
    let guest = guest("g");
    contrib.starts(&guest);
    fs::remove_file(contrib.fake("sys/bus/platform/devices/efi-framebuffer.0")).unwrap();
    fs::remove_dir_all(contrib.fake("sys/class/vtconsole/vtcon1")).unwrap();
    let undone = contrib.release(&guest);
    undone.tells("the framebuffer efi-framebuffer.0 isn't there any more");
    undone.tells("the console vtcon1 isn't there any more");
    assert!(contrib.fake("units/display-manager.service").exists());
    assert!(contrib.kept().is_empty(), "{:?}", contrib.kept());
}

#[test]
fn a_guest_that_does_not_ask_changes_nothing() {
    let contrib = host("");
    let before = contrib.everything();
    let mut guest = guest("g");
    for properties in [vec![], vec![("display_handover".to_owned(), "no".to_owned())]] {
        guest.properties = properties;
        contrib.starts(&guest);
        contrib.ends(&guest);
    }
    assert_eq!(contrib.everything(), before);
    assert!(!contrib.fake("run/hookmux-contrib").exists() && contrib.host.log().is_empty());
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let contrib = host("");
    let mut wrong = guest("g");
    wrong.properties[0].1 = "true".to_owned();
    let mut odd = guest("g");
    odd.elements = odd.elements.replace("0x01", "one");
    contrib.refuses(&[
        (wrong, "display_handover has 'true'; it is yes or no"),
        (odd, "a PCI address that can't be read: 'one'"),
    ]);
    let contrib = host("  DISPLAY_HANDOVER_WAIT: 1m\n");
    contrib.refuses(&[(
        guest("g"),
        "DISPLAY_HANDOVER_WAIT is a number of seconds from 0 to 90, and not '1m'",
    )]);
}

#[test]
fn whoever_is_killed_nothing_is_left() {
    let contrib = host("");
    contrib.bears_deaths(&guest("g"));
}
