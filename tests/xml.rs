//! `hookmux xml get`: hooks read their documents with it.

use std::fs;

use serde_json::json;

use crate::support::answer::Answer;
use crate::support::documents::guest;
use crate::support::host::binary_under_test;
use crate::support::{Host, schema};

const DEVICES: &str = "<disk device='disk'><source file='/a b.img'/></disk>
<disk device='cdrom'><source file='/c.iso'/></disk>";

fn document() -> String {
    guest("<note xmlns='urn:mine'>one\ntwo &#x202e;three</note>", DEVICES)
}

/// `hookmux xml get …` with this on standard input.
#[track_caller]
fn get(host: &Host, words: &[&str], stdin: &str) -> Answer {
    let binary = binary_under_test();
    let mut all = vec!["xml", "get"];
    all.extend(words);
    let call = host.call("qemu", &all).called(binary.to_str().unwrap(), host.directory());
    let answer = call.without_env("_hook_domxml").stdin(stdin).run();
    schema::judge(&all, &answer.stdout);
    answer
}

#[test]
fn values_are_printed_a_line_each() {
    let host = Host::new();
    for (words, status, said) in [
        (&["name"] as &[&str], 0, "g\n"),
        (&["name", "@type"], 0, "g\nkvm\n"),
        (&["devices/disk/source/@file"], 0, "/a b.img\n/c.iso\n"),
        (&["devices/disk[@device=\"cdrom\"]/source/@file"], 0, "/c.iso\n"),
        // a guest's owner can't make two values of one
        (&["metadata/note"], 0, "one two \u{202e}three\n"),
        (&["--null", "metadata/note", "name"], 0, "one\ntwo \u{202e}three\0g\0"),
        (&["devices/hostdev"], 1, ""),
        (&["name", "devices/hostdev"], 1, "g\n"),
        (&["--quiet", "name"], 0, ""),
        (&["--quiet", "devices/hostdev"], 1, ""),
        (&["--file", "-", "name"], 0, "g\n"),
    ] {
        let answer = get(&host, words, &document());
        assert_eq!(answer.status, Some(status), "{words:?}: {answer:?}");
        assert_eq!(String::from_utf8_lossy(&answer.stdout), said, "{words:?}");
        assert!(answer.stderr.is_empty(), "{words:?}: {answer:?}");
    }
}

#[test]
fn programs_are_told_which_path_has_which_values() {
    let host = Host::new();
    let words = ["--output", "json", "metadata/note", "devices/hostdev"];
    let answer = get(&host, &words, &document());
    assert_eq!(answer.status, Some(1), "{answer:?}");
    let said = schema::read(&["xml", "get"], &answer.stdout);
    let wanted = json!([
        { "path": "metadata/note", "values": ["one\ntwo \u{202e}three"] },
        { "path": "devices/hostdev", "values": [] },
    ]);
    assert_eq!(said["paths"], wanted);
}

#[test]
fn what_cannot_be_read_is_another_answer_than_that_nothing_is_there() {
    let host = Host::new();
    let deep = "<a>".repeat(300) + &"</a>".repeat(300);
    for (words, stdin, reason) in [
        (&["name["] as &[&str], "<a/>", "the path `name[` can't be read: character 6: "),
        (&["name"], "", "standard input is empty"),
        (&["name"], "<a><b></a>", "standard input: "),
        (&["name"], &deep, "its elements are nested more than 256 deep"),
        (&["name"], "<!DOCTYPE a><a/>", "standard input: "),
        (&["--file", "/nowhere", "name"], "<a/>", "/nowhere: "),
        (&["--started", "name"], "<a/>", "HOOKMUX_STARTED_XML isn't set"),
    ] {
        let answer = get(&host, words, stdin);
        assert_eq!(answer.status, Some(2), "{words:?}: {answer:?}");
        assert!(answer.stdout.is_empty() && answer.stderr.contains(reason), "{answer:?}");
        let json = [&["--output", "json"], words].concat();
        let answer = get(&host, &json, stdin);
        let said = schema::read(&["xml", "get"], &answer.stdout);
        let message = said["error"]["message"].as_str().unwrap();
        assert!(answer.status == Some(2) && message.contains(reason), "{answer:?}");
    }
}

/// Whoever may write a guest's document can nest elements in it as deep as documents may be: that costs a script no
/// more than another document of that size.
#[test]
fn elements_in_each_other_cost_neither_memory_nor_time() {
    let host = Host::new();
    let nested = |inner: &str| format!("{}{inner}{}", "<a>".repeat(250), "</a>".repeat(250));
    let many = nested(&"<b/>".repeat(400_000));
    let long = nested(&"x".repeat(1 << 20));
    let values = "\n".repeat(400_000);
    for (path, document, status, said, told) in [
        ("//a//b", &many, 0, values.as_str(), ""),
        ("//*//*[c]", &many, 1, "", ""),
        ("//a[a=\"y\"]", &long, 1, "", ""),
        ("//a", &long, 2, "", "the path `//a`: its values have more than 16 MiB"),
        ("/a//@*", &many, 1, "", ""),
    ] {
        let words = ["xml", "get", path];
        let binary = binary_under_test();
        let call = host.call("qemu", words).called(binary.to_str().unwrap(), host.directory());
        let call = call.through_shell("ulimit -v 1000000 -t 60; exec \"$@\"");
        let answer = call.without_env("_hook_domxml").stdin(document.as_bytes()).run();
        assert_eq!(answer.status, Some(status), "{path}: {}", answer.stderr);
        assert!(answer.stdout == said.as_bytes(), "{path}: {} bytes", answer.stdout.len());
        assert!(answer.stderr.contains(told), "{path}: {}", answer.stderr);
    }
}

#[test]
fn a_hook_reads_its_own_document_in_each_style() {
    let host = Host::new();
    let hookmux = binary_under_test();
    let says = |options: &str| format!("log \"$me $('{}' xml get {options})\"", hookmux.display());
    host.script("before_vm_prepare/10-vdsm", &says("name '//disk[1]/source/@file'"));
    host.script("qemu.d/g/prepare/begin/20-libvirt", &says("@type"));
    host.script("after_vm_destroy/30-started", &says("--started @type"));
    host.script("after_vm_destroy/40-now", &says("@type"));
    host.guest("prepare begin").stdin(document()).run().succeeds();
    assert_eq!(host.log(), ["10-vdsm g", "/a b.img", "20-libvirt kvm"]);
    host.guest("started begin").stdin(document()).run().succeeds();
    host.guest("release end").stdin(document().replace("'kvm'", "'qemu'")).run().succeeds();
    assert_eq!(host.log(), ["30-started kvm", "40-now qemu"]);
}

/// A hook's output is the hook's: nothing of hookmux's own comes between.
#[test]
fn it_says_nothing_of_its_own() {
    let host = Host::new();
    fs::write(host.hook("hookmux.yaml"), "no: such key\n").unwrap();
    fs::remove_file(host.hook("qemu")).unwrap();
    host.script("qemu", "exit 0");
    let hooks = host.hooks();
    let words = ["--hooks-dir", hooks.to_str().unwrap(), "xml", "get", "name"];
    let binary = binary_under_test();
    let call = host.call("qemu", words).called(binary.to_str().unwrap(), host.directory());
    let answer = call.without_env("_hook_domxml").stdin(document()).run();
    assert_eq!((answer.status, answer.stdout.as_slice()), (Some(0), b"g\n" as &[u8]));
    assert!(answer.stderr.is_empty(), "{answer:?}");
}
