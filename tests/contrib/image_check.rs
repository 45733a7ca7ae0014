//! `image-check`. Needs qemu-img.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::package::Package;
use crate::support::answer::Answer;
use crate::support::{Host, skip};

/// A new image of 1 MiB with some data.
fn image(host: &Host, name: &str) -> Option<PathBuf> {
    let (raw, path) = (host.path("raw"), host.path(name));
    fs::write(&raw, vec![7; 1 << 20]).unwrap();
    let made = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&raw, &path])
        .output()
        .ok()?;
    assert!(made.status.success(), "{made:?}");
    Some(path)
}

/// Changes an image: `at` is given its bytes and the offset of its first refcount block.
fn damage(path: &Path, at: impl Fn(&mut Vec<u8>, usize)) {
    let mut bytes = fs::read(path).unwrap();
    let number = |bytes: &[u8], at: usize| {
        usize::try_from(u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
    };
    let block = number(&bytes, number(&bytes, 48));
    at(&mut bytes, block);
    fs::write(path, bytes).unwrap();
}

/// Clusters that are in use and not counted.
fn corrupt(path: &Path) {
    damage(path, |bytes, block| bytes[block..block + 64].fill(0));
}

/// A cluster that is counted and not in use.
fn leak(path: &Path) {
    damage(path, |bytes, block| {
        let cluster = bytes.len().div_ceil(1 << 16);
        bytes.resize((cluster + 1) << 16, 0);
        bytes[block + 2 * cluster + 1] = 1;
    });
}

/// What an application keeps in a document isn't a disk.
const METADATA: &str = "<app xmlns='urn:app'><devices><disk type='file'><driver type='qcow2'/><source file='/nowhere'/></disk></devices></app>";

/// A guest's start with these disks.
fn start(package: &Package, mode: &str, disks: &str) -> Answer {
    let mut guest = package.guest("g", &[("image_check", mode)], disks);
    guest.document = guest.document.replace("</metadata>", &format!("{METADATA}</metadata>"));
    guest.call("prepare begin")
}

fn disk(target: &str, path: &Path, more: &str) -> String {
    let mut path = path.display().to_string();
    for (from, to) in [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&apos;")] {
        path = path.replace(from, to);
    }
    format!(
        "<disk type='file' device='disk'>\n<driver name='qemu' type='qcow2'/>\n<source file='{path}' index='1'/>\n\
         <backingStore type='file'><format type='qcow2'/><source file='/base'/></backingStore>\n\
         <target dev='{target}' bus='virtio'/>{more}</disk>"
    )
}

// V8, V11
#[test]
fn a_start_with_a_broken_disk_is_refused() {
    let package = Package::new("image-check");
    let host = &package.host;
    let Some(good) = image(host, "it's \"good\" & fine, \\ <1>.qcow2") else {
        return skip("no qemu-img here");
    };
    let image = |name: &str| self::image(host, name).unwrap();
    let [broken, leaked] = [image("broken.qcow2"), image("leaked.qcow2")];
    corrupt(&broken);
    leak(&leaked);
    let start = |mode: &str, disks: &[&str]| self::start(&package, mode, &disks.concat());
    let good_one = disk("vda", &good, "");
    start("true", &[&good_one]).succeeds();
    // without the property it isn't started at all
    let bad_one = disk("vdb", &broken, "");
    start("no", &[&bad_one]).succeeds();
    assert!(host.text(&["show", "last"], 0).contains("when"), "left out by its condition");
    for mode in ["true", "strict"] {
        let words = format!("vdb: {} is corrupt", broken.display());
        start(mode, &[&good_one, &bad_one])
            .fails(2, &["hookmux: before_vm_start/image-check: exit status 2", &words]);
    }
    // neither the image nor the document has changed
    start("true", &[&bad_one]).fails(2, &["is corrupt"]);
    let leaked_one = disk("vdc", &leaked, "");
    start("true", &[&leaked_one]).succeeds();
    assert!(host.text(&["show", "last"], 0).contains("leaked clusters: space is lost"));
    start("strict", &[&leaked_one]).fails(2, &["has leaked clusters"]);
    // no image at all
    let text = host.path("text.qcow2");
    fs::write(&text, "no image").unwrap();
    start("true", &[&disk("vdd", &text, "")]).fails(2, &["vdd: ", "can't be checked"]);
    // a raw disk has nothing to check; what other guests write to, what libvirt looks for, what is no file
    start("true", &[&bad_one.replace("type='qcow2'/>", "type='raw'/>")]).succeeds();
    start("true", &[&disk("vdb", &broken, "<shareable/>")]).succeeds();
    start("true", &[&disk("vdb", &host.path("gone.qcow2"), "")]).succeeds();
    let told = host.text(&["show", "last"], 0);
    assert!(told.contains("gone.qcow2 isn't there"), "{told}");
    let volume = "<disk type='volume'><driver type='qcow2'/><source pool='p' volume='v'/><target dev='vde'/></disk>";
    start("true", &[volume]).succeeds();
    assert!(host.text(&["show", "last"], 0).contains("vde is of type volume"));
    start("true", &[]).succeeds();
    // what lies below an image isn't opened
    let below = host.path("below.qcow2");
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "nbd://192.0.2.1:1/x"])
        .args([below.to_str().unwrap(), "1M"])
        .status();
    assert!(made.unwrap().success());
    start("true", &[&disk("vdf", &below, "")]).succeeds();
    // a path that is two lines isn't taken for another one
    let lines = disk("vdg", &good, "").replace("good.qcow2", "x");
    let lines = lines.replace("it&apos;s", "it&apos;s&#10;");
    start("true", &[&lines]).fails(2, &["vdg: its path has a line break"]);
    // a block device is looked at in the same way
    let block =
        bad_one.replace("type='file' device", "type='block' device").replace(" file=", " dev=");
    start("true", &[&block]).fails(2, &["is corrupt"]);
}

/// It names that file as it likes: qemu-img isn't even started for it.
#[test]
fn an_image_with_an_external_data_file_is_refused_and_not_opened() {
    let package = Package::new("image-check");
    let host = &package.host;
    let create = |name: &str, options: &[&str]| {
        let image = host.path(name);
        let mut create = Command::new("qemu-img");
        create.args(["create", "-q", "-u", "-f", "qcow2"]).args(options).arg(&image).arg("1M");
        assert!(create.status().unwrap().success());
        image
    };
    if image(host, "plain.qcow2").is_none() {
        return skip("no qemu-img here");
    }
    // an older header has other things in that place: here the length of the word qcow2
    let old = create("old", &["-o", "compat=0.10", "-F", "qcow2", "-b", "/nowhere/base"]);
    assert_eq!(fs::read(&old).unwrap()[72..80], [0xe2, 0x79, 0x2a, 0xca, 0, 0, 0, 5]);
    start(&package, "strict", &disk("vda", &old, "")).succeeds();
    let data = format!("data_file={}", host.path("data").display());
    let [outside, raw] = [("outside", ""), ("raw", ",data_file_raw=on,lazy_refcounts=on")]
        .map(|(name, more)| create(name, &["-o", &format!("{data}{more}")]));
    // with other bits beside it
    damage(&raw, |bytes, _| bytes[79] |= 1);
    package.program("qemu-img", "log \"$*\"");
    for (image, mode) in [(&outside, "true"), (&outside, "strict"), (&raw, "true")] {
        let words = format!("vdb: {} keeps its data in another file", image.display());
        start(&package, mode, &disk("vdb", image, "")).fails(2, &[&words]);
        let block = disk("vdb", image, "").replace("type='file' device", "type='block' device");
        start(&package, mode, &block.replace("<source file='/", "<source dev='/"))
            .fails(2, &[&words]);
    }
    assert!(host.log().is_empty(), "it was opened");
    // what can't be read isn't taken for an image without one
    package.program("od", "exit 1");
    start(&package, "true", &disk("vdc", &old, "")).fails(2, &["vdc: ", "can't be read"]);
    assert!(host.log().is_empty(), "it was opened");
}

#[test]
fn what_cannot_be_looked_at_is_refused() {
    let package = Package::new("image-check");
    // without a hookmux that answers no disk is passed over
    package.program("qemu-img", "");
    std::fs::remove_file(package.host.path("bin/hookmux")).unwrap();
    package.program("hookmux", "exit 127");
    start(&package, "true", "").fails(2, &["the guest's document can't be read"]);
    package.host.settings("environment: {PATH: /nowhere}");
    start(&package, "true", "").fails(2, &["there is no qemu-img here"]);
}
