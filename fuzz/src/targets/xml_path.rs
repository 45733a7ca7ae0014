//! Paths of `hookmux xml get` against another way to the same: each element is asked whether the path leads to it,
//! from its last step back to the root.

use hookmux::for_tests::cli::xml::path::XmlPath;
use hookmux::for_tests::libvirt::document;
use roxmltree::{Document, Node};

use super::{Checked, Target, join, must, parts, same, shown};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::xml;

/// Documents above this size aren't compared: the other way is slow.
const MAX_COMPARED_BYTES: usize = 4 * 1024;
/// Steps above this number aren't compared either.
const MAX_COMPARED_STEPS: usize = 8;

const WORDS: &[&str] = &[
    "/",
    "//",
    "*",
    "@",
    "@*",
    "[",
    "]",
    "[1]",
    "[2]",
    "[0]",
    "[99999999999999999999]",
    "[@a]",
    "[@type='x']",
    "[name='vm']",
    "[*='x']",
    "[x",
    "='",
    "=\"x\"",
    "'",
    "\"",
    ".",
    ":",
    " ",
    "a",
    "domain",
    "devices",
    "disk",
    "interface",
    "mac/@address",
    "name",
    "h:property",
    "o:vm",
    "\u{e4}",
    "<a>",
    "</a>",
    "<a/>",
    "<b c='d'/>",
    "<b>x</b>",
    "text",
];

/// Growing paths on a small document, and growing documents under paths that search all of them.
const FRAMES: &[Frame] = &[
    Frame { before: "", after: "\n=====\n<a><a b='c'>x</a><b/></a>" },
    Frame { before: "//", after: "\n=====\n<a><a b='c'>x</a><b/></a>" },
    Frame { before: "//*//*\n=====\n<a>", after: "</a>" },
    Frame { before: "//a//@*\n=====\n<a>", after: "</a>" },
    Frame { before: "//*[*='x'][2]\n=====\n<a>", after: "</a>" },
    Frame { before: "*[@c]/*\n=====\n<a>", after: "</a>" },
    Frame { before: "//b[1]\n=====\n<a><a><a><a><a><a>", after: "</a></a></a></a></a></a>" },
];

pub struct XmlPaths {
    seeds: Vec<Vec<u8>>,
}

impl XmlPaths {
    pub fn new(all: &[Seed]) -> XmlPaths {
        XmlPaths { seeds: seeds::bytes(all, |seed| seed.has_extension("xml")) }
    }
}

impl Target for XmlPaths {
    fn name(&self) -> &'static str {
        "xml_path"
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn frames(&self) -> &'static [Frame] {
        FRAMES
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut path = path(random).into_bytes();
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut path, WORDS, &[]);
        }
        let document = match random.once_in(3) {
            true => xml::any(random, &self.seeds),
            false => xml::document(random),
        };
        join(&[&path, &document])
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let [path, document] = parts(input);
        let Ok(text) = std::str::from_utf8(path) else { return Ok(false) };
        let read = match XmlPath::parse(text) {
            Ok(read) => read,
            Err(error) => {
                let is_there = (1..=text.chars().count() + 1).contains(&error.at);
                must(is_there, "a mistake at a place that isn't there", || format!("{error:?}"))?;
                return Ok(false);
            }
        };
        let Ok(tree) = document::parse(document) else { return Ok(false) };
        let Ok(values) = read.values(&tree) else {
            let is_small = document.len() <= MAX_COMPARED_BYTES;
            must(!is_small, "too large, of a small document", String::new)?;
            return Ok(false);
        };
        let path = PlainPath::of(text);
        if document.len() <= MAX_COMPARED_BYTES && path.steps.len() <= MAX_COMPARED_STEPS {
            let plain = path.values(&tree);
            same("the values differ: hookmux, the plain way", &values, &plain)?;
        }
        must(
            values.iter().all(|value| value.len() <= document.len()),
            "a value that grew",
            || shown(document),
        )?;
        Ok(!values.is_empty())
    }
}

/// A path that leads somewhere, as far as that can be.
fn path(random: &mut Random) -> String {
    let name = |random: &mut Random| {
        *random.item(&[
            "*",
            "name",
            "devices",
            "interface",
            "disk",
            "h:property",
            "metadata",
            "domain",
            "x",
            "o:custom",
            "mac",
            "source",
            "properties",
            "property",
        ])
    };
    let attribute =
        |random: &mut Random| *random.item(&["*", "name", "device", "address", "type", "h:name"]);
    let mut text = String::from(random.pick(&["", "/", "//", "//", "//", "//*/"]));
    for number in 0..1 + random.below(3) {
        if number > 0 {
            text.push_str(random.pick(&["/", "/", "//"]));
        }
        if number > 0 && random.once_in(6) {
            return format!("{text}@{}", attribute(random));
        }
        text.push_str(name(random));
        let brackets = if random.once_in(3) { 1 + random.below(2) } else { 0 };
        for _ in 0..brackets {
            let value = *random.item(&["x", "vm", "", "ua-1", "default", "52:54:00:aa:00:01"]);
            text.push_str(&match random.below(6) {
                0 => format!("[{}]", 1 + random.below(3)),
                1 => format!("[@{}]", attribute(random)),
                2 => format!("[@{}='{value}']", attribute(random)),
                3 => format!("[{}]", name(random)),
                4 => format!("[{}=\"{value}\"]", name(random)),
                _ => String::new(),
            });
        }
    }
    text
}

/// A path that hookmux has taken, read anew.
struct PlainPath {
    is_absolute: bool,
    steps: Vec<PlainStep>,
    attribute: Option<String>,
}

struct PlainStep {
    is_deep: bool,
    name: String,
    /// What stands in each pair of brackets.
    brackets: Vec<String>,
}

impl PlainPath {
    fn of(text: &str) -> PlainPath {
        let mut path =
            PlainPath { is_absolute: text.starts_with('/'), steps: Vec::new(), attribute: None };
        let mut rest = text;
        loop {
            let slashes = rest.len() - rest.trim_start_matches('/').len();
            let is_deep = slashes == 2;
            rest = &rest[slashes..];
            if let Some(attribute) = rest.strip_prefix('@') {
                if is_deep {
                    let name = "*".to_owned();
                    path.steps.push(PlainStep { is_deep, name, brackets: Vec::new() });
                }
                path.attribute = Some(attribute.to_owned());
                return path;
            }
            let end = rest.find(['/', '[']).unwrap_or(rest.len());
            let mut step =
                PlainStep { is_deep, name: rest[..end].to_owned(), brackets: Vec::new() };
            rest = &rest[end..];
            while let Some(inner) = rest.strip_prefix('[') {
                let end = closing(inner);
                step.brackets.push(inner[..end].to_owned());
                rest = &inner[end + 1..];
            }
            path.steps.push(step);
            if rest.is_empty() {
                return path;
            }
        }
    }

    fn values(&self, tree: &Document<'_>) -> Vec<String> {
        let elements = tree.descendants().filter(Node::is_element);
        let found: Vec<Node<'_, '_>> = match self.steps.as_slice() {
            // an attribute of the root element
            [] => vec![tree.root_element()],
            steps => elements.filter(|node| self.leads_to(*node, steps)).collect(),
        };
        let Some(attribute) = &self.attribute else {
            return found.into_iter().map(text).collect();
        };
        let of = |node: Node<'_, '_>| -> Vec<String> {
            let all = node
                .attributes()
                .filter(|it| is_called(node, it.name(), it.namespace(), attribute));
            all.map(|it| it.value().to_owned()).collect()
        };
        match self.is_absolute && self.steps.is_empty() {
            // the document itself has none
            true => Vec::new(),
            false => found.into_iter().flat_map(of).collect(),
        }
    }

    /// Whether these steps lead to an element.
    fn leads_to(&self, node: Node<'_, '_>, steps: &[PlainStep]) -> bool {
        let Some((last, before)) = steps.split_last() else { return false };
        let Some(parent) = node.parent() else { return false };
        if !last.takes(node, parent) {
            return false;
        }
        let is_origin = |node: Node<'_, '_>| match (before, self.is_absolute) {
            ([], true) => node.is_root(),
            ([], false) => node == node.document().root_element(),
            (before, _) => node.is_element() && self.leads_to(node, before),
        };
        match last.is_deep {
            true => parent.ancestors().any(is_origin),
            false => is_origin(parent),
        }
    }
}

/// Where a bracket is closed that was opened before this text.
fn closing(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => return at,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    text.len()
}

impl PlainStep {
    fn takes(&self, node: Node<'_, '_>, parent: Node<'_, '_>) -> bool {
        let tag = |node: Node<'_, '_>| {
            is_called(node, node.tag_name().name(), node.tag_name().namespace(), &self.name)
        };
        let mut left: Vec<Node<'_, '_>> =
            parent.children().filter(|it| it.is_element() && tag(*it)).collect();
        for bracket in &self.brackets {
            left = match bracket.parse::<usize>() {
                Ok(number) => left.into_iter().skip(number - 1).take(1).collect(),
                Err(_) => left.into_iter().filter(|node| holds(*node, bracket)).collect(),
            };
        }
        left.contains(&node)
    }
}

/// Whether a condition in brackets holds.
fn holds(node: Node<'_, '_>, bracket: &str) -> bool {
    let (name, value) = match bracket.split_once('=') {
        Some((name, quoted)) => (name, Some(&quoted[1..quoted.len() - 1])),
        None => (bracket, None),
    };
    match name.strip_prefix('@') {
        Some(name) => node.attributes().any(|it| {
            is_called(node, it.name(), it.namespace(), name)
                && value.is_none_or(|value| value == it.value())
        }),
        None => node.children().filter(Node::is_element).any(|it| {
            is_called(it, it.tag_name().name(), it.tag_name().namespace(), name)
                && value.is_none_or(|value| value == text(it))
        }),
    }
}

fn is_called(node: Node<'_, '_>, local: &str, namespace: Option<&str>, wanted: &str) -> bool {
    match wanted.split_once(':') {
        _ if wanted == "*" => true,
        Some((prefix, name)) => {
            let meant = node.lookup_namespace_uri(Some(prefix));
            name == local && namespace.is_some() && meant == namespace
        }
        None => wanted == local,
    }
}

fn text(node: Node<'_, '_>) -> String {
    let texts = node.descendants().filter(Node::is_text).filter_map(|it| it.text());
    texts.collect::<String>().trim().to_owned()
}
