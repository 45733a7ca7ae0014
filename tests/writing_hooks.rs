//! docs/writing-hooks.md: what its commands show, where the page says so. `pages` runs them.

use std::fs;
use std::path::Path;

use crate::pages::{self, Ran};

const PAGE: &str = "docs/writing-hooks.md";

#[test]
fn every_command_does_what_the_page_says() {
    // what the page says of the step after which it is looked at
    let told: &[(&str, usize, &str)] = &[
        ("hookmux list before_vm_start", 1, "10-hello"),
        ("hookmux plan qemu web1 prepare --xml web1.xml", 1, "10-hello"),
        ("hookmux run qemu web1 prepare --xml web1.xml", 1, "nothing to do yet"),
        ("xml get --file web1.xml name uuid", 1, "web1\n3c8e1f52-"),
        ("source/@file'", 1, "/var/lib/libvirt/images/web1.qcow2"),
        ("grep -v '<disk'", 1, "guest web1 has no disk"),
        ("hookmux run qemu web1 prepare --xml web1.xml", 2, "made "),
        ("hookmux plan web1 start", 2, "property scratch is not set"),
        ("hookmux plan web1 start", 3, "scratch: runs"),
        ("hookmux undo --list", 1, "before_vm_prepare/scratch"),
        ("hookmux log --failed", 1, "guest web1 has no disk"),
        ("hookmux show scratch", 1, "qemu prepare"),
        ("hookmux log --failed --hook tell", 1, "greeting"),
        ("hookmux retry tell", 1, "queued"),
        ("hookmux show tell", 1, "good"),
        ("hookmux log --audit", 1, "the server is moved"),
        ("hookmux metrics", 1, "hookmux_"),
    ];
    let Some(ran) = pages::walk(PAGE) else { return };
    let mut met = vec![0; told.len()];
    let mut has_started = false;
    for Ran { text, said, .. } in &ran {
        for ((words, number, wanted), met) in told.iter().zip(&mut met) {
            if text.contains(words) {
                *met += 1;
                assert!(*met != *number || said.contains(wanted), "{text}: {wanted}: {said}");
            }
        }
        // what is set up is owed until the guest's end
        has_started = (has_started || text.contains("virsh start")) && !text.contains("shutdown");
        if text.contains("undo --list") {
            assert_eq!(said.contains("before_vm_prepare/scratch"), has_started, "{said}");
        }
        if text.ends_with("hookmux check") {
            assert!(!said.contains("error"), "{said}");
        }
    }
    let missed: Vec<_> =
        told.iter().zip(&met).filter(|((_, number, _), met)| *met < number).collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert!(ran.len() > 40, "only {} commands were found", ran.len());
}

/// It is linked from where people come.
#[test]
fn the_page_is_found_and_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["README.md", "docs/registered-hooks.md", "docs/contrib.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        assert!(text.contains("writing-hooks.md)"), "{page}");
    }
    let lines = fs::read_to_string(root.join(PAGE)).unwrap().lines().count();
    assert!(lines <= 260, "{lines} lines");
}
