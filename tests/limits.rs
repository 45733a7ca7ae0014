//! A document that is whole, but over a limit of what hookmux reads: handed on as it is.

use crate::support::documents::{UUID, guest};
use crate::support::{Host, capture};

/// Documents over a limit, with words that name it.
fn documents() -> Vec<(&'static str, String)> {
    let many = |count: usize, piece: &dyn Fn(usize) -> String| -> String {
        (0..count).map(piece).collect()
    };
    let own = "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>";
    vec![
        ("256 attributes", guest(&format!("<a{}/>", many(257, &|n| format!(" a{n}=''"))), "")),
        ("64 namespaces", guest(&format!("<a{}/>", many(65, &|n| format!(" xmlns:a{n}='u'"))), "")),
        ("1000 declarations", guest(&many(1001, &|_| "<a xmlns:b='u'/>".into()), "")),
        ("256 deep", guest(&("<a>".repeat(255) + &"</a>".repeat(255)), "")),
        ("10000 devices", guest("", &"<lease/>".repeat(10_001))),
        (
            "10000 custom properties",
            guest(
                &format!(
                    "{own}{}</hookmux:properties>",
                    "<hookmux:property name='a'/>".repeat(10_001)
                ),
                "",
            ),
        ),
    ]
}

#[test]
fn a_document_at_the_limits_is_read() {
    let host = Host::new();
    host.script("before_vm_prepare/10-x", r#"log "$HOOKMUX_PROPERTY_p""#);
    let property = "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>\
        <hookmux:property name='p'>1</hookmux:property></hookmux:properties>";
    let attributes: String = (0..256).map(|n| format!(" a{n}=''")).collect();
    let namespaces: String = (0..64).map(|n| format!(" xmlns:a{n}='u'")).collect();
    let depth = "<a>".repeat(254) + &"</a>".repeat(254);
    let metadata = format!("{property}<a{attributes}/><b{namespaces}/>{depth}");
    let document = guest(&metadata, &"<lease/>".repeat(10_000));
    host.guest("prepare begin").stdin(document).run().succeeds();
    assert_eq!(host.log(), ["1"]);
}

#[test]
fn it_is_handed_on_and_known_by_name_and_uuid() {
    for (limit, document) in documents() {
        let host = Host::new();
        host.script(
            "before_vm_prepare/10-x",
            r#"log "$HOOKMUX_UUID $vmId"; cmp "$_hook_domxml" "$T/document""#,
        );
        host.script("qemu.d/g/prepare/begin/x", r#"cmp - "$T/document" && log "tree""#);
        std::fs::write(host.path("document"), &document).unwrap();
        host.file(
            "hooks.d/x.yaml",
            "events: before_vm_prepare\ncommand: [/bin/sh, -c, 'echo $1 >> $HOOKMUX_HOOKS_DIR/../log; cmp - $HOOKMUX_HOOKS_DIR/../document']\nargs: [sh, $UUID]\nstdin: xml\n",
        );
        host.guest("prepare begin").stdin(document.clone()).run().succeeds();
        assert_eq!(host.log(), [&format!("{UUID} {UUID}"), UUID, "tree"], "{limit}");
        let show = host.json(&["log"], 0);
        assert_eq!(show["executions"][0]["uuid"], UUID, "{limit}");
        let id = show["executions"][0]["id"].as_str().unwrap().to_owned();
        let text = host.text(&["show", &id], 0);
        assert!(
            text.contains("only name and uuid of libvirt's document are read")
                && text.contains(limit),
            "{text}"
        );
    }
}

#[test]
fn what_needs_its_content_keeps_a_gate_shut_and_nothing_else() {
    for (limit, document) in documents() {
        for needs in [
            "when: {uuid: '*'}",
            "when: {title: x}",
            "when: {network: x}",
            "when: {property: {a: b}}",
            "stdin: json",
        ] {
            let host = Host::new();
            let text = format!(
                "events: [before_vm_prepare, after_vm_launch, after_vm_stop]\ncommand: /bin/true\n{needs}\n"
            );
            host.file("hooks.d/x.yaml", text);
            let call = |words| host.guest(words).stdin(document.clone()).run();
            call("prepare begin").fails(125, &["before_vm_prepare/x: ", limit]);
            call("started begin").succeeds();
            call("stopped end").succeeds();
        }
        let host = Host::new();
        host.follow(&["before_device_create/10-x", "before_vm_prepare/10-x"]);
        let answer = host.guest("prepare begin").stdin(document.clone()).run();
        answer.fails(125, &["before_device_create/10-x: ", limit]);
        assert_eq!(host.log(), ["before_vm_prepare/10-x"]);
        std::fs::write(host.path("document.xml"), &document).unwrap();
        let words = ["plan", "qemu", "g", "prepare", "--xml", "document.xml"];
        let text = host.text(&words, 1);
        assert!(text.contains("Only name and uuid of the document are read"), "{text}");
    }
}

#[test]
fn what_is_not_whole_is_not_handed_on() {
    for (limit, document) in documents() {
        let host = Host::new();
        host.script("qemu.d/g/prepare/begin/x", "log $(wc -c)");
        for cut in [document.len() - 3, document.len() - "</domain>\n".len()] {
            let answer = host.guest("prepare begin").stdin(&document.as_bytes()[..cut]).run();
            answer.fails(125, &["it needs libvirt's document", "not well-formed"]);
        }
        assert!(host.log().is_empty(), "{limit}");
    }
}

#[test]
fn a_document_that_a_hook_makes_so_is_not_taken() {
    for (limit, document) in documents() {
        let host = Host::new();
        host.script("before_vm_migrate_destination/10-x", r#"cp "$T/large" "$_hook_domxml""#);
        std::fs::write(host.path("large"), &document).unwrap();
        let answer = host.guest("migrate begin").run();
        answer.fails(1, &["its document can't be used", limit]);
        // and in libvirt's style
        let host = Host::new();
        host.script("qemu.d/g/migrate/begin/x", r#"cat "$T/large""#);
        std::fs::write(host.path("large"), &document).unwrap();
        host.guest("migrate begin").run().fails(1, &["its document can't be used", limit]);
        // one that is so and comes back as it was is no edit
        host.script("qemu.d/g/migrate/begin/x", "cat");
        host.guest("migrate begin").stdin(document).run().succeeds();
    }
}

#[test]
fn it_is_remembered_until_release() {
    let (_, document) = documents().swap_remove(0);
    let host = Host::new();
    host.script("after_vm_destroy/10-x", r#"log "$(wc -c <"$HOOKMUX_STARTED_XML")""#);
    host.guest("started begin").stdin(document.clone()).run().succeeds();
    host.guest("release end").stdin(document.clone()).run().succeeds();
    assert_eq!(host.log(), [document.len().to_string()]);
    // the key is the uuid, with hooks or without
    host.script("after_vm_launch/10-x", "log launched");
    host.guest("started begin").stdin(document.clone()).run().succeeds();
    assert!(host.path(format!("run/guests/qemu-{UUID}.xml")).exists());
}

#[test]
fn head_and_tree_know_the_same_guest() {
    // a guest that is remembered without a hook (by the head) and with one (by the tree)
    let other = "00000000-0000-4000-8000-000000000001";
    for body in [
        format!("<name>g</name><uuid><x>{UUID}</x></uuid>"),
        format!("<name>g</name><uuid><!-- {other} -->{UUID}</uuid><uuid>{other}</uuid>"),
        format!("<name>g</name><uuid><![CDATA[{UUID}]]></uuid>"),
        format!("<x><uuid>{other}</uuid></x><name>g</name><uuid>{UUID}</uuid>"),
        format!("<name>g</name><n:uuid xmlns:n='u'>{other}</n:uuid><uuid>{UUID}</uuid>"),
        format!("<uuid>{UUID}</uuid><name>g</name><name>h</name>"),
        format!("<name>g</name><uuid>&#x33;{}</uuid>", &UUID[1..]),
    ] {
        let document = format!("<domain>{body}</domain>");
        let bare = Host::new();
        bare.guest("started begin").stdin(document.clone()).run().succeeds();
        let hooked = Host::new();
        hooked.script("after_vm_launch/10-x", r#"log "$HOOKMUX_UUID""#);
        hooked.guest("started begin").stdin(document.clone()).run().succeeds();
        assert_eq!(hooked.log(), [UUID], "{body}");
        for host in [&bare, &hooked] {
            assert!(host.path(format!("run/guests/qemu-{UUID}.xml")).exists(), "{body}");
        }
    }
    let host = Host::new();
    host.script("before_network_start/10-x", r#"log "$HOOKMUX_UUID""#);
    let network = capture("11.3.0", "network.start.begin");
    host.call("network", ["n1", "start", "begin", "-"]).stdin(network).run().succeeds();
    assert_eq!(host.log(), ["2d0163ff-1aa5-4d89-a2ac-2272e01d1f20"]);
}
