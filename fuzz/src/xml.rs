//! Random documents: mostly well-formed, with what hookmux looks for in likely and unlikely places.

use crate::random::Random;

/// What XML and libvirt's documents are made of.
pub const WORDS: &[&str] = &[
    "<",
    ">",
    "/>",
    "</",
    "<a>",
    "</a>",
    "<a/>",
    "<!--",
    "-->",
    "<!-- x -->",
    "<![CDATA[",
    "]]>",
    "<![CDATA[x]]>",
    "<?x y?>",
    "<?xml version='1.0' encoding='UTF-8'?>",
    "&amp;",
    "&lt;",
    "&#0;",
    "&#x41;",
    "&#x110000;",
    "&quot;",
    "&bogus;",
    "&",
    "<!DOCTYPE a>",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "<uuid>",
    "</uuid>",
    "<name>",
    "</name>",
    "<name/>",
    "<title>",
    "</title>",
    "<domain>",
    "</domain>",
    "<hookData>",
    "</hookData>",
    "<network>",
    "</network>",
    "<metadata>",
    "</metadata>",
    "<devices>",
    "</devices>",
    "<interface>",
    "</interface>",
    "<interface/>",
    "<disk/>",
    "<alias name='{n}'/>",
    "<mac address='52:54:00:aa:00:{n}'/>",
    "<source network='default'/>",
    " xmlns:n{n}='u{n}'",
    " xmlns='urn:x'",
    " xmlns=''",
    " a{n}='b'",
    " device='52:54:00:AA:00:01'",
    " device='ua-{n}'",
    " passwd='s3cretpass'",
    " name='p'",
    "'",
    "\"",
    "=",
    " ",
    "\n",
    "\t",
    "\r\n",
    "text",
    "\u{0}",
    "\u{e4}",
    "\u{feff}",
    "x:",
    "<hookmux:property xmlns:hookmux='urn:hookmux:properties:1' name='p{n}'>v</hookmux:property>",
    "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>",
    "</hookmux:properties>",
    "<ovirt-vm:vm xmlns:ovirt-vm='http://ovirt.org/vm/1.0'>",
    "</ovirt-vm:vm>",
    "<ovirt-vm:custom xmlns:ovirt-vm='http://ovirt.org/vm/1.0'>",
    "</ovirt-vm:custom>",
    "91126ceb-8184-4a0b-b79f-0f3d17ecc836",
    "<uuid>91126ceb-8184-4a0b-b79f-0f3d17ecc836</uuid>",
    "<name>vm</name>",
    "<uuid><a/>x</uuid>",
    "<name>v<b>w</b>m</name>",
];

/// Where words are repeated to see how the time grows.
pub const FRAMES: &[crate::growth::Frame] = &[
    frame("<domain>", "</domain>"),
    frame("<domain ", "/>"),
    frame("<domain><name>", "</name></domain>"),
    frame("<domain><name>x</name><uuid>91126ceb-8184-4a0b-b79f-0f3d17ecc836</uuid>", "</domain>"),
    frame("<domain><devices>", "</devices></domain>"),
    frame(
        "<domain><metadata><hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>",
        "</hookmux:properties></metadata><devices><interface><alias name='1'/></interface></devices></domain>",
    ),
    frame("<domain><title a='", "'/></domain>"),
    frame("<hookData><network><name>", "</name></network></hookData>"),
    frame("", ""),
];

const fn frame(before: &'static str, after: &'static str) -> crate::growth::Frame {
    crate::growth::Frame { before, after }
}

const NAMES: &[&str] = &[
    "domain",
    "name",
    "uuid",
    "title",
    "metadata",
    "devices",
    "interface",
    "disk",
    "hostdev",
    "graphics",
    "alias",
    "mac",
    "source",
    "network",
    "hookData",
    "networkport",
    "memory",
    "os",
    "h:properties",
    "h:property",
    "o:vm",
    "o:custom",
    "o:device",
    "x",
    "y-z",
    "_u",
    "h:name",
    "o:uuid",
    "\u{e4}",
];

const ATTRIBUTES: &[&str] = &[
    "name",
    "device",
    "address",
    "network",
    "mac_address",
    "devtype",
    "alias",
    "passwd",
    "type",
    "passwdValidTo",
    "id",
    "x",
    "h:name",
    "h:passwd",
];

const VALUES: &[&str] = &[
    "",
    "ua-1",
    "ua-2",
    "52:54:00:aa:00:01",
    "52:54:00:AA:00:01",
    "52:54:00:aa:00:02",
    "default",
    "hostdev",
    "disk",
    "interface",
    "s3cretpass",
    "p1",
    "p2",
    "cpuflags",
    "PATH",
    "a.b",
    "-",
    "../../etc/passwd",
    "91126ceb-8184-4a0b-b79f-0f3d17ecc836",
    "AB6D96AF-7654-4672-8B0A-0CFEF5CA9D75",
    "vm",
    "web-1",
    "--help",
    "..",
    " x ",
    "\u{e4}\u{202e}",
    "&amp;",
    "&lt;x&gt;",
    "&#x9;",
    "passwd=",
    "***",
];

/// A random document.
pub fn document(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    if random.once_in(6) {
        text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    }
    if random.once_in(6) {
        text.push_str("<!-- WARNING: passwd='x' -->\n");
    }
    match random.below(8) {
        0 => element(random, &mut text, 0, random_name),
        1 => {
            text.push_str("<hookData>\n");
            object(random, &mut text, "network");
            filler(random, &mut text);
            text.push_str("</hookData>");
        }
        _ => object(random, &mut text, "domain"),
    }
    if random.once_in(10) {
        text.push_str("\n<!-- end -->\n");
    }
    text.into_bytes()
}

fn random_name(random: &mut Random) -> &'static str {
    random.pick(NAMES)
}

/// A guest or a network, with its parts in a random order.
fn object(random: &mut Random, text: &mut String, tag: &str) {
    text.push_str(&format!(
        "<{tag} xmlns:h='urn:hookmux:properties:1' xmlns:o='http://ovirt.org/vm/1.0'"
    ));
    attributes(random, text);
    text.push('>');
    for _ in 0..2 + random.below(6) {
        filler(random, text);
        match random.below(9) {
            0 | 1 => field(random, text, "name"),
            2 | 3 => field(random, text, "uuid"),
            4 => field(random, text, "title"),
            5 => metadata(random, text),
            6 => devices(random, text),
            7 => element(random, text, 1, random_name),
            _ => {}
        }
    }
    text.push_str(&format!("</{tag}>"));
}

fn field(random: &mut Random, text: &mut String, tag: &str) {
    if random.once_in(12) {
        text.push_str(&format!("<{tag}/>"));
        return;
    }
    text.push_str(&format!("<{tag}"));
    if random.once_in(10) {
        attributes(random, text);
    }
    text.push('>');
    for _ in 0..1 + random.below(3) {
        content(random, text);
    }
    text.push_str(&format!("</{tag}>"));
}

fn metadata(random: &mut Random, text: &mut String) {
    text.push_str("<metadata>");
    for _ in 0..1 + random.below(3) {
        filler(random, text);
        if random.once_in(2) {
            text.push_str("<h:properties>");
            for _ in 0..random.below(5) {
                let name = value(random);
                text.push_str(&format!("<h:property name='{name}'"));
                if random.once_in(2) {
                    text.push_str(&format!(" device='{}'", value(random)));
                }
                text.push('>');
                content(random, text);
                text.push_str("</h:property>");
            }
            text.push_str("</h:properties>");
        } else {
            text.push_str("<o:vm>");
            for _ in 0..random.below(3) {
                let custom = |random: &mut Random, text: &mut String| {
                    text.push_str("<o:custom>");
                    for _ in 0..random.below(4) {
                        let name = *random.item(&["p1", "o:p1", "o:cpuflags", "o:extnet", "o:x"]);
                        text.push_str(&format!("<{name}>"));
                        content(random, text);
                        text.push_str(&format!("</{name}>"));
                    }
                    text.push_str("</o:custom>");
                };
                if random.once_in(2) {
                    text.push_str("<o:device");
                    for attribute in ["mac_address", "devtype", "alias", "name"] {
                        if random.once_in(2) {
                            text.push_str(&format!(" {attribute}='{}'", value(random)));
                        }
                    }
                    text.push('>');
                    custom(random, text);
                    text.push_str("</o:device>");
                } else {
                    custom(random, text);
                }
            }
            text.push_str("</o:vm>");
        }
    }
    text.push_str("</metadata>");
}

fn devices(random: &mut Random, text: &mut String) {
    text.push_str("<devices>\n");
    for _ in 0..random.below(6) {
        let kind = *random.item(&["interface", "disk", "hostdev", "graphics", "h:disk"]);
        text.push_str(&format!("<{kind}"));
        attributes(random, text);
        text.push('>');
        for _ in 0..random.below(4) {
            let value = value(random);
            text.push_str(&match random.below(4) {
                0 => format!("<alias name='{value}'/>"),
                1 => format!("<mac address=\"{value}\"/>"),
                2 => format!("<source network='{value}'/>"),
                _ => format!("<target dev='{value}'></target>"),
            });
            filler(random, text);
        }
        text.push_str(&format!("</{kind}>"));
    }
    text.push_str("</devices>");
}

/// Any element, with elements in it.
fn element(
    random: &mut Random,
    text: &mut String,
    depth: usize,
    name: fn(&mut Random) -> &'static str,
) {
    let tag = name(random);
    text.push_str(&format!("<{tag}"));
    if tag.contains(':') {
        text.push_str(" xmlns:h='urn:hookmux:properties:1' xmlns:o='http://ovirt.org/vm/1.0'");
    }
    attributes(random, text);
    if random.once_in(5) {
        text.push_str("/>");
        return;
    }
    text.push('>');
    for _ in 0..random.below(4) {
        if depth < 8 && random.once_in(2) {
            element(random, text, depth + 1, name);
        } else {
            content(random, text);
        }
    }
    text.push_str(&format!("</{tag}>"));
}

fn attributes(random: &mut Random, text: &mut String) {
    let first = random.below(ATTRIBUTES.len());
    // no name twice
    for offset in 0..random.below(3) {
        let name = ATTRIBUTES[(first + offset) % ATTRIBUTES.len()];
        if name.contains(':') {
            continue;
        }
        let quote = if random.once_in(2) { '\'' } else { '"' };
        let space = if random.once_in(10) { " \n " } else { "" };
        text.push_str(&format!(" {name}{space}={space}{quote}{}{quote}", value(random)));
    }
}

/// A value for an attribute or for text.
pub fn value(random: &mut Random) -> &'static str {
    random.pick(VALUES)
}

/// Text in one of its forms; sometimes an element, a comment or an instruction.
fn content(random: &mut Random, text: &mut String) {
    let value = value(random);
    match random.below(14) {
        0 => text.push_str(&format!("<![CDATA[{value}]]>")),
        1 => text.push_str(&format!("<!-- {} -->", value.replace("--", ""))),
        2 => text.push_str("<?php x?>"),
        3 => text.push_str("&#x41;&#65;&quot;"),
        4 => text.push_str(&format!("<b>{value}</b>")),
        5 => text.push_str(&format!("<name>{value}</name>")),
        6 => text.push_str(" \r\n\t"),
        _ => text.push_str(value),
    }
}

fn filler(random: &mut Random, text: &mut String) {
    match random.below(8) {
        0 => text.push_str("<!-- passwd='c0mment' -->"),
        1 => text.push_str("\r\n"),
        2 => text.push_str("<?x?>"),
        3 => text.push_str("<x/>"),
        _ => text.push_str("\n  "),
    }
}

/// A document that began as one of several, or as a random one; often changed by bytes.
pub fn any(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = if random.once_in(2) { document(random) } else { random.item(seeds).clone() };
    if !random.once_in(3) {
        crate::bytes::mutate(random, &mut bytes, WORDS, seeds);
    }
    bytes
}
