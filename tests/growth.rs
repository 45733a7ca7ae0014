//! What others write costs in proportion to its size: documents of guests, registrations, what hooks
//! print, processes.

use std::fmt::Write;

use crate::support::Host;
use crate::support::cost::{cost, grows_no_faster_than};
use crate::support::documents::guest;
use crate::support::host::binary_under_test;

const OWN: &str = "xmlns:hookmux='urn:hookmux:properties:1'";
const VDSM: &str = "xmlns:ovirt-vm='http://ovirt.org/vm/1.0'";

/// Pieces made of a number until there are this many bytes.
fn numbered(bytes: usize, mut piece: impl FnMut(usize) -> String) -> String {
    let mut text = String::with_capacity(bytes + 100);
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&piece(number));
    }
    text
}

fn repeated(bytes: usize, piece: &str) -> String {
    piece.repeat(bytes / piece.len())
}

/// `count` attributes of two letters.
fn attributes(count: usize) -> String {
    let letter = |number: usize| char::from(b'a' + u8::try_from(number % 26).unwrap());
    (0..count).fold(String::new(), |mut text, n| {
        let _ = write!(text, " {}{}=''", letter(n / 26), letter(n));
        text
    })
}

type Made = fn(usize) -> String;

/// Documents, by their size in bytes: each of a kind that somebody could be slow with.
const DOCUMENTS: &[(&str, Made)] = &[
    ("namespaces of parent and children", |bytes| {
        let parent = numbered(bytes / 2, |n| format!(" xmlns:n{n}='u'"));
        let children = numbered(bytes / 2, |n| format!("<e:c xmlns:m{n}='v'/>"));
        guest(&format!("<e:p xmlns:e='e'{parent}>{children}</e:p>"), "")
    }),
    ("attributes of one element", |bytes| {
        guest(&format!("<a {}/>", numbered(bytes, |n| format!("a{n}='' "))), "")
    }),
    ("elements with 256 attributes", |bytes| {
        guest(&repeated(bytes, &format!("<a{}/>", attributes(256))), "")
    }),
    ("elements with 40 attributes", |bytes| {
        guest(&repeated(bytes, &format!("<a{}/>", attributes(40))), "")
    }),
    ("attributes in a long namespace", |bytes| {
        let long = "u".repeat(bytes / 2);
        let attributes: String = (0..200).map(|n| format!(" n:a{n}=''")).collect();
        let children = repeated(bytes / 2, &format!("<a{attributes}/>"));
        guest(&format!("<n:p xmlns:n='{long}'>{children}</n:p>"), "")
    }),
    ("prefixes", |bytes| {
        let names: String = (10..70).map(|n| format!(" xmlns:nn{n}='u{n}'")).collect();
        guest(&format!("<p{names}>{}</p>", repeated(bytes, "<nn69:a nn68:b=''/>")), "")
    }),
    ("depth", |bytes| {
        guest(
            &(repeated(bytes / 2, "<a>") + &repeated(bytes / 2, "<a>").replace("<a>", "</a>")),
            "",
        )
    }),
    ("siblings", |bytes| guest(&repeated(bytes, "<a>x</a>"), "")),
    ("empty siblings", |bytes| guest(&repeated(bytes, "<a/>"), "")),
    ("devices and their properties", |bytes| {
        let property = |n| format!("<hookmux:property name='p' device='d{n}'>v</hookmux:property>");
        let list = numbered(bytes / 2, property);
        let devices = numbered(bytes / 2, |n| format!("<lease><alias name='d{n}'/></lease>"));
        guest(&format!("<hookmux:properties {OWN}>{list}</hookmux:properties>"), &devices)
    }),
    ("few devices and their properties", |bytes| {
        let count = bytes / 250;
        let list: String = (0..count)
            .map(|n| format!("<hookmux:property name='p' device='d{n}'>v</hookmux:property>"))
            .collect();
        let devices: String = (0..count)
            .map(|n| format!("<lease><alias name='d{n}'/>{}</lease>", "<x/>".repeat(30)))
            .collect();
        guest(&format!("<hookmux:properties {OWN}>{list}</hookmux:properties>"), &devices)
    }),
    ("devices of vdsm's", |bytes| {
        let count = bytes / 250;
        let entry = |n: usize| {
            format!(
                "<ovirt-vm:device alias='d{n}'><ovirt-vm:custom><ovirt-vm:a>1</ovirt-vm:a></ovirt-vm:custom></ovirt-vm:device>"
            )
        };
        let list: String = (0..count).map(entry).collect();
        let devices: String =
            (0..count).map(|n| format!("<lease><alias name='d{n}'/></lease>")).collect();
        guest(&format!("<ovirt-vm:vm {VDSM}>{list}</ovirt-vm:vm>"), &devices)
    }),
    ("devices of one address", |bytes| {
        let list = repeated(
            bytes / 2,
            "<hookmux:property name='p' device='52:54:00:aa:00:01'>v</hookmux:property>",
        );
        let devices =
            repeated(bytes / 2, "<interface><mac address='52:54:00:AA:00:01'/></interface>");
        guest(&format!("<hookmux:properties {OWN}>{list}</hookmux:properties>"), &devices)
    }),
    ("properties", |bytes| {
        let list = (0..5000).fold(String::new(), |mut text, n| {
            let value = "v".repeat(bytes / 5000);
            let _ = write!(text, "<hookmux:property name='p{n}'>{value}</hookmux:property>");
            text
        });
        guest(&format!("<hookmux:properties {OWN}>{list}</hookmux:properties>"), "")
    }),
    ("one text", |bytes| guest(&format!("<a>{}</a>", "x".repeat(bytes)), "")),
    ("one value", |bytes| guest(&format!("<a b='{}'/>", "x".repeat(bytes)), "")),
    ("one name", |bytes| guest(&format!("<{}/>", "x".repeat(bytes)), "")),
    ("one name and many children", |bytes| {
        let name = "x".repeat(bytes / 4);
        guest(&format!("<{name}>{}</{name}>", repeated(bytes / 2, "<a/>")), "")
    }),
    ("one attribute's name", |bytes| guest(&format!("<a {}=''/>", "x".repeat(bytes)), "")),
    ("text and CDATA", |bytes| guest(&format!("<a>{}</a>", repeated(bytes, "x<![CDATA[y]]>")), "")),
    ("references", |bytes| guest(&format!("<a>{}</a>", repeated(bytes, "&#65;")), "")),
    ("references in a value", |bytes| guest(&format!("<a b='{}'/>", repeated(bytes, "&#65;")), "")),
    ("a long reference", |bytes| guest(&format!("<a>&#{}65;</a>", "0".repeat(bytes)), "")),
    ("an endless reference", |bytes| guest(&format!("<a>&{}</a>", "a".repeat(bytes)), "")),
    ("comments", |bytes| guest(&repeated(bytes, "<!---->"), "")),
    ("a comment", |bytes| guest(&format!("<!--{}-->", repeated(bytes, "- ")), "")),
    ("instructions", |bytes| guest(&repeated(bytes, "<?a?>"), "")),
    ("an instruction", |bytes| guest(&format!("<?a {}?>", "?".repeat(bytes)), "")),
    ("ends of lines", |bytes| guest(&format!("<a>{}</a>", repeated(bytes, "\r\n&amp;")), "")),
    ("open tags", |bytes| guest(&repeated(bytes, "<"), "")),
    ("quotes", |bytes| guest(&format!("<a {}>", repeated(bytes, "'")), "")),
    ("names of the guest", |bytes| {
        format!("<domain>{}</domain>", repeated(bytes, "<name>g</name>"))
    }),
    ("networks", |bytes| {
        guest("", &repeated(bytes, "<interface><source network='n'/></interface>"))
    }),
    ("passwords", |bytes| guest("", &numbered(bytes, |n| format!("<g passwd='pass{n}'/>")))),
    ("open passwords", |bytes| guest(&format!("<a>{}</a>", repeated(bytes, "passwd='")), "")),
    ("passwords and blanks", |bytes| {
        guest(&format!("<a>{}</a>", repeated(bytes, "passwd        ")), "")
    }),
];

#[test]
fn a_call_costs_in_proportion_to_its_document() {
    for (what, document) in DOCUMENTS {
        grows_no_faster_than(what, 400_000, |bytes| {
            let host = Host::new();
            host.script("before_vm_prepare/10-x", "exit 0");
            host.script("qemu.d/g/prepare/begin/x", "exit 0");
            cost(&host, host.guest("prepare begin").stdin(document(bytes)))
        });
    }
}

/// The paths are the script's, the document is the guest's.
#[test]
fn values_cost_in_proportion_to_the_document() {
    let binary = binary_under_test();
    for (what, document) in DOCUMENTS {
        grows_no_faster_than(what, 400_000, |bytes| {
            let host = Host::new();
            let paths =
                ["//a", "//*//a/@*", "//*[*='x'][2]", "*/*[a]", "//hookmux:property//@name"];
            let words = ["xml", "get", "--quiet"].iter().chain(&paths);
            let call = host.call("qemu", words).called(binary.to_str().unwrap(), host.directory());
            cost(&host, call.without_env("_hook_domxml").stdin(document(bytes)))
        });
    }
}

#[test]
fn conditions_cost_in_proportion_to_the_values() {
    let when = "{title: '*a*a*a*a*a*b', property: {p: '*aa*aa*aa?b'}, network: ['*n*n*x']}";
    grows_no_faster_than("title and property", 400_000, |bytes| {
        let host = Host::new();
        let text = format!("events: before_vm_prepare\ncommand: /bin/true\nwhen: {when}\n");
        host.file("hooks.d/x.yaml", text);
        let long = "a".repeat(bytes / 2);
        let property = format!("<hookmux:property name='p'>{long}</hookmux:property>");
        let metadata = format!("<hookmux:properties {OWN}>{property}</hookmux:properties>");
        let document = guest(&metadata, "");
        let document = document.replace("<metadata>", &format!("<title>{long}</title><metadata>"));
        cost(&host, host.guest("prepare begin").stdin(document))
    });
}

#[test]
fn masks_cost_in_proportion_to_what_hooks_print() {
    let alike = |count: usize| (0..count).map(|n| format!("{}b", "a".repeat(256 + n)));
    let passwords =
        |values: &[String]| values.iter().map(|value| format!("<g passwd='{value}'/>")).collect();
    let alike: String = passwords(&alike(60).collect::<Vec<_>>());
    let other: String =
        passwords(&(0..60).map(|n| format!("{n:04}{}b", "a".repeat(250))).collect::<Vec<_>>());
    let quotes: String = passwords(&[format!("{}b", "&quot;".repeat(100))]);
    for (what, passwords, line) in [
        ("lines", &alike, "aaa\n"),
        ("words", &alike, "a: "),
        ("long lines", &other, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"),
        ("encoded", &alike, "%61"),
        ("quoted", &quotes, "\"\n"),
        ("coded", &alike, "YWFhYWFh\n"),
    ] {
        grows_no_faster_than(what, 100_000, |bytes| {
            let host = Host::new();
            let print = r#"cat "$T/printed"; cat "$T/printed" >&2"#;
            host.script("before_vm_prepare/10-x", print);
            std::fs::write(host.path("printed"), repeated(bytes, line)).unwrap();
            cost(&host, host.guest("prepare begin").stdin(guest("", passwords)))
        });
    }
}

/// Registrations, by their size in bytes.
const REGISTRATIONS: &[(&str, Made)] = &[
    ("[", |bytes| format!("events: {}", "[".repeat(bytes))),
    ("{a: ", |bytes| format!("when: {}", repeated(bytes, "{a: "))),
    ("- ", |bytes| repeated(bytes, "- ")),
    ("? ", |bytes| repeated(bytes, "? ")),
    (": ", |bytes| repeated(bytes, ": ")),
    ("lines that are nested", |bytes| numbered(bytes, |n| format!("{}a:\n", " ".repeat(n % 700)))),
    ("arguments", |bytes| {
        let list = repeated(bytes, "'$NAME', ");
        format!("events: before_vm_prepare\ncommand: /bin/true\nargs: [{list}]\n")
    }),
    ("a comment", |bytes| {
        format!("# {}\nevents: before_vm_prepare\ncommand: /bin/true\n", "x".repeat(bytes))
    }),
    ("comments", |bytes| {
        format!("{}events: before_vm_prepare\ncommand: /bin/true\n", repeated(bytes, "# x\n"))
    }),
    ("a long key", |bytes| format!("? {}\n: b\n", "x".repeat(bytes))),
    ("a long anchor", |bytes| format!("events: &{} before_vm_prepare\n", "x".repeat(bytes))),
    ("anchors", |bytes| numbered(bytes, |n| format!("a{n}: &a{n} x\n"))),
    ("aliases", |bytes| {
        let list = repeated(bytes / 2, "x, ");
        let aliases = numbered(bytes / 2, |n| format!("p{n}: *a, "));
        format!(
            "events: before_vm_prepare\ncommand: /bin/true\nwhen: {{property: {{a: &a [{list}], {aliases}}}}}\n"
        )
    }),
    ("directives", |bytes| numbered(bytes, |n| format!("%TAG !a{n}! b\n"))),
    ("keys", |bytes| numbered(bytes, |n| format!("key{n}: x\n"))),
    ("equal keys", |bytes| repeated(bytes, "lock: x\n")),
    ("variables", |bytes| {
        let list = numbered(bytes, |n| format!("  A{n}: x\n"));
        format!("events: before_vm_prepare\ncommand: /bin/true\nenvironment:\n{list}")
    }),
    ("documents", |bytes| repeated(bytes, "---\n")),
    ("a quoted text", |bytes| format!("events: \"{}\"", repeated(bytes, "\\n\n"))),
    ("a block of text", |bytes| format!("lock: |\n{}", repeated(bytes, "  x\n\n"))),
];

#[test]
fn a_call_costs_in_proportion_to_its_registrations() {
    for (what, text) in REGISTRATIONS {
        grows_no_faster_than(what, 150_000, |bytes| {
            let host = Host::new();
            host.file("hooks.d/x.yaml", text(bytes));
            cost(&host, host.guest("prepare begin"))
        });
    }
}

#[test]
fn a_call_costs_in_proportion_to_its_settings() {
    for (what, text) in REGISTRATIONS {
        grows_no_faster_than(what, 150_000, |bytes| {
            let host = Host::new();
            host.settings(&text(bytes));
            cost(&host, host.guest("prepare begin"))
        });
    }
}

#[test]
fn what_hooks_leave_is_ended_in_proportion_to_how_much_it_is() {
    grows_no_faster_than("processes", 400, |count| {
        let host = Host::new();
        host.settings("kill_leftovers: true");
        let script = format!("i=0; while [ $i -lt {count} ]; do sleep 1000 & i=$((i + 1)); done");
        host.script("before_vm_prepare/10-x", &script);
        cost(&host, host.guest("prepare begin"))
    });
}
