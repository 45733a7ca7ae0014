//! Passwords in what is kept: none of a document's stays, and masking twice is masking once.

use hookmux::for_tests::libvirt::document;
use hookmux::for_tests::process::capture::Capture;
use hookmux::for_tests::record::mask::{self, Secrets};

use super::{Checked, Target, holds, must, parts, shown};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::xml;

const WORDS: &[&str] = &[
    "passwd='",
    "passwd=\"",
    "passwd=&quot;",
    "passwd = ",
    "'",
    "\"",
    "&apos;",
    "\\\"",
    "\n",
    ": ",
    "s3cretpass",
    "s3cr",
    "etpass",
    "passwd",
    "=",
    " ",
    "\\u0027",
    "&#39;",
    "'\\''",
    "\\\\\\\"",
    "***",
    "<graphics passwd='s3cretpass'/>",
    "<graphics passwd='p{n}pass'/>",
    "&amp;",
    "x",
    ">",
    "<!--",
    "-->",
    "a:passwd='s3cretpass'",
    "passwd='pass{n}'\n",
    "p{n}\n",
    "aaaa",
    "passwd='aaaaaaaaaaaaaaaaaaaaaaaa'",
    "<![CDATA[",
    "]]>",
    "<title>passwd=</title>",
    "passwdValidTo='2030'",
];

const PASSWORDS: &[&str] = &[
    "s3cretpass",
    "hunter22",
    "with space",
    "quo&quot;te",
    "a&amp;b&lt;c",
    "\u{e4}\u{f6}\u{fc}\u{df}",
    "passwd=x1",
    "s3cret",
    "aaaaaaaa",
    "back\\slash",
    "it&apos;s me",
    "equ=al;semi,com",
    "&#x41;&#66;cdef",
];

/// A word of this length is a password's, and not by chance a part of something else.
const MIN_PASSWORD_BYTES: usize = 5;
/// Longer ones aren't looked for, nor more of them: looking is as slow as can be.
const MAX_PASSWORD_BYTES: usize = 40;
const MAX_PASSWORDS: usize = 8;
const NAME: &[u8] = b"passwd";
const MAX_NAMES: usize = 30;

pub struct Masks {
    seeds: Vec<Vec<u8>>,
}

impl Masks {
    pub fn new(all: &[Seed]) -> Masks {
        Masks { seeds: seeds::bytes(all, |seed| seed.has_extension("xml")) }
    }
}

impl Target for Masks {
    fn name(&self) -> &'static str {
        "mask"
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn frames(&self) -> &'static [Frame] {
        const {
            &[
                Frame { before: "", after: "" },
                Frame { before: "<domain>", after: "</domain>" },
                Frame { before: "<domain><graphics passwd='", after: "'/></domain>" },
                Frame {
                    before: "<domain><graphics passwd='s3cretpass'/><graphics passwd='aaaaaaaa'/></domain>\n=====\n",
                    after: "\n",
                },
            ]
        }
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        // a document with passwords, and what a hook printed
        let mut document = if random.once_in(4) {
            random.item(&self.seeds).clone()
        } else {
            xml::document(random)
        };
        for _ in 0..1 + random.below(3) {
            let quote = if random.once_in(3) { '"' } else { '\'' };
            let password = random.pick(PASSWORDS);
            let element =
                format!("<graphics type='vnc' passwd={quote}{password}{quote} port='1'/>");
            let ends = document.windows(2).enumerate().filter(|(_, end)| *end == b"</");
            let ends: Vec<usize> = ends.map(|(at, _)| at).collect();
            let at = if ends.is_empty() { 0 } else { *random.item(&ends) };
            document.splice(at..at, element.into_bytes());
        }
        if random.once_in(3) {
            crate::bytes::mutate(random, &mut document, WORDS, &[]);
        }
        let mut printed: Vec<u8> = Vec::new();
        for _ in 0..random.below(6) {
            let password = random.pick(PASSWORDS);
            let line = match random.below(6) {
                0 => format!("+ passwd='{password}'\n"),
                1 => format!("{{\"xml\": \"<g passwd=\\\"{password}\\\"/>\"}}\n"),
                2 => format!("&lt;g passwd=&apos;{password}&apos;\n"),
                3 => format!("error: {password} is wrong\n"),
                4 => format!("x='<g passwd='\\''{password}'\\''/>'\n"),
                _ => format!("passwd={password} and more\n"),
            };
            printed.extend_from_slice(line.as_bytes());
        }
        if random.once_in(2) {
            let start = random.below(document.len() + 1);
            printed.extend_from_slice(&document[start..]);
        }
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut printed, WORDS, &[]);
        }
        super::join(&[&document, &printed])
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let [document, printed] = parts(input);
        for text in [document, printed] {
            let once = mask::passwords(text).into_owned();
            let twice = mask::passwords(&once).into_owned();
            must(once == twice, "masking twice isn't masking once", || {
                format!("{}\n{}\n{}", shown(text), shown(&once), shown(&twice))
            })?;
        }
        let mut secrets = Secrets::default();
        secrets.add(document);
        let masked = secrets.mask(document).into_owned();
        // of more of them those that come last aren't looked for everywhere
        let names = document.windows(NAME.len()).filter(|part| *part == NAME).count();
        let known = if names <= MAX_NAMES { passwords(document) } else { Vec::new() };
        let again = secrets.mask(&masked).into_owned();
        // what looks like a mask from the start may come to be a part of a value's like
        let is_comparable = !known.is_empty() && !holds(document, b"***");
        must(
            !is_comparable || masked == again,
            "masking a document twice isn't masking it once",
            || format!("{}\n{}", shown(&masked), shown(&again)),
        )?;
        let output = secrets.mask(printed).into_owned();
        let whole = mask::passwords(document).into_owned();
        for password in &known {
            // outside of its attribute it is masked only where the document is known
            let once =
                document.windows(password.len()).filter(|part| part == password).count() == 1;
            if once {
                must(!holds(&whole, password), "a password stays in its attribute", || {
                    format!("{}\n{}", shown(password), shown(&whole))
                })?;
            }
            for (text, what) in [
                (&masked, "a password stays in its own document"),
                (&output, "a password stays in what a hook printed"),
            ] {
                must(!holds(text, password), what, || {
                    format!("{}\n{}", shown(password), shown(text))
                })?;
            }
        }
        // what was cut in two
        let mut stream = Capture::with_head(printed.len() / 2);
        stream.push(printed);
        let _ = secrets.mask_stream(&stream);
        let text = String::from_utf8_lossy(printed);
        let _ = secrets.mask_text(&text);
        Ok(!known.is_empty())
    }
}

/// The passwords of a document, as they stand in it: where no other place of it says the same.
fn passwords(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Ok(tree) = document::parse(bytes) else { return Vec::new() };
    let attributes = tree.descendants().flat_map(|node| node.attributes());
    let found = attributes
        .filter(|attribute| attribute.name() == "passwd")
        .map(|attribute| bytes[attribute.range_value()].to_vec());
    let lengths = MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES;
    let mut found: Vec<Vec<u8>> =
        found.filter(|password| lengths.contains(&password.len())).collect();
    // its own marks, and the name that is looked for, stay
    found.retain(|password| !holds(b"***passwd='passwd=", password) && !holds(password, b"***"));
    found.truncate(MAX_PASSWORDS);
    found
}
