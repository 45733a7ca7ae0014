//! Paths into a document: a small part of XPath, the part that scripts need.
//!
//! `devices/disk[@device="disk"]/source/@file`: steps from the document's root element on. A path that begins with
//! `/` counts the root element as its first step.

use std::fmt;

use roxmltree::{Document, Node};

use crate::libvirt::document::MAX_DOCUMENT_BYTES;

/// A path that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct XmlPath {
    /// Whether the first step is the root element itself.
    is_absolute: bool,
    steps: Vec<Step>,
    /// The attribute at the end.
    attribute: Option<Name>,
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// After `//`: at any depth.
    is_deep: bool,
    name: Name,
    predicates: Vec<Predicate>,
}

/// The name of an element or an attribute.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Any,
    /// In whichever namespace.
    Local(String),
    /// In the namespace for which the document has this prefix at that place.
    Prefixed(String, String),
}

#[derive(Debug, PartialEq, Eq)]
enum Predicate {
    /// `[2]`, counted from 1 among those of one parent.
    Position(usize),
    Attribute(Name, Option<String>),
    Child(Name, Option<String>),
}

/// Why a text is no path, and where: counted in characters from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct PathError {
    pub at: usize,
    pub wanted: &'static str,
}

/// The values are larger than a document can be: elements in each other have their text in common, so all of them
/// together can have it 256 times.
#[derive(Debug, PartialEq, Eq)]
pub struct ValuesTooLarge;

impl fmt::Display for ValuesTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its values have more than {} MiB", MAX_DOCUMENT_BYTES >> 20)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: {}", self.at, self.wanted)
    }
}

impl XmlPath {
    /// Reads a path.
    ///
    /// # Errors
    /// It is none: where, and what belongs there.
    pub fn parse(text: &str) -> Result<XmlPath, PathError> {
        Reader { text, rest: text }.path()
    }

    /// Returns the values at this path, in the document's order: of an attribute its value, of an element its text
    /// without the blanks around it.
    ///
    /// # Errors
    /// They are too large together.
    pub fn values(&self, document: &Document<'_>) -> Result<Vec<String>, ValuesTooLarge> {
        let mut nodes =
            vec![if self.is_absolute { document.root() } else { document.root_element() }];
        for step in &self.steps {
            nodes = step.from(&nodes);
        }
        let Some(attribute) = &self.attribute else {
            let mut room = MAX_DOCUMENT_BYTES;
            return nodes.into_iter().map(|node| text_of(node, &mut room)).collect();
        };
        let attributes = nodes.iter().flat_map(|node| node.attributes().map(move |it| (node, it)));
        Ok(attributes
            .filter(|(node, it)| attribute.is(node, it.name(), it.namespace()))
            .map(|(_, it)| it.value().to_owned())
            .collect())
    }
}

impl Step {
    /// Takes this step from each of these nodes, which are in the document's order: no node twice, and in this order.
    fn from<'a, 'input>(&self, nodes: &[Node<'a, 'input>]) -> Vec<Node<'a, 'input>> {
        let mut found = Vec::new();
        // the last node that was searched: a node in another one was searched with that
        let mut searched = None;
        for node in nodes {
            if self.is_deep {
                if searched.is_some_and(|last| *node <= last) {
                    continue;
                }
                for parent in node.descendants() {
                    searched = Some(parent);
                    self.children(parent, &mut found);
                }
            } else {
                self.children(*node, &mut found);
            }
        }
        // where one node lies in another, their children come in another order than the document's
        found.sort_unstable();
        found.dedup();
        found
    }

    fn children<'a, 'input>(&self, parent: Node<'a, 'input>, found: &mut Vec<Node<'a, 'input>>) {
        let mut matching: Vec<_> = parent
            .children()
            .filter(Node::is_element)
            .filter(|it| self.name.is(it, it.tag_name().name(), it.tag_name().namespace()))
            .collect();
        for predicate in &self.predicates {
            matching = match predicate {
                Predicate::Position(position) => {
                    matching.into_iter().skip(position - 1).take(1).collect()
                }
                other => matching.into_iter().filter(|node| other.holds(node)).collect(),
            };
        }
        found.append(&mut matching);
    }
}

impl Predicate {
    fn holds(&self, node: &Node<'_, '_>) -> bool {
        match self {
            Predicate::Position(_) => true,
            Predicate::Attribute(name, value) => node.attributes().any(|it| {
                name.is(node, it.name(), it.namespace())
                    && value.as_deref().is_none_or(|value| value == it.value())
            }),
            Predicate::Child(name, value) => node.children().filter(Node::is_element).any(|it| {
                name.is(&it, it.tag_name().name(), it.tag_name().namespace())
                    && value.as_deref().is_none_or(|value| has_text(it, value))
            }),
        }
    }
}

impl Name {
    /// Tells whether something is called so at this node.
    fn is(&self, node: &Node<'_, '_>, local: &str, namespace: Option<&str>) -> bool {
        match self {
            Name::Any => true,
            Name::Local(name) => name == local,
            Name::Prefixed(prefix, name) => {
                name == local
                    && namespace.is_some()
                    && node.lookup_namespace_uri(Some(prefix)) == namespace
            }
        }
    }
}

fn texts<'a>(node: Node<'a, '_>) -> impl Iterator<Item = &'a str> {
    node.descendants().filter(Node::is_text).filter_map(|it| it.text())
}

/// Returns the text in an element and in those inside it. `room` is how much there may be of it.
fn text_of(node: Node<'_, '_>, room: &mut usize) -> Result<String, ValuesTooLarge> {
    let mut text = String::new();
    for part in texts(node) {
        *room = room.checked_sub(part.len()).ok_or(ValuesTooLarge)?;
        text.push_str(part);
    }
    Ok(text.trim().to_owned())
}

/// Tells whether this is an element's text. No more of it is read than is needed.
fn has_text(node: Node<'_, '_>, value: &str) -> bool {
    let mut wanted = value.chars();
    let mut has_begun = false;
    for c in texts(node).flat_map(str::chars) {
        if !has_begun && c.is_whitespace() {
            continue;
        }
        has_begun = true;
        let is_wanted = match wanted.next() {
            Some(next) => c == next,
            // the blanks behind it
            None => c.is_whitespace(),
        };
        if !is_wanted {
            return false;
        }
    }
    // the text has no blanks around it
    wanted.next().is_none() && value.trim().len() == value.len()
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn path(mut self) -> Result<XmlPath, PathError> {
        let mut path = XmlPath { is_absolute: false, steps: Vec::new(), attribute: None };
        let mut is_deep = false;
        if self.takes("//") {
            (path.is_absolute, is_deep) = (true, true);
        } else if self.takes("/") {
            path.is_absolute = true;
        }
        loop {
            if self.takes("@") {
                if is_deep {
                    path.steps.push(Step { is_deep, name: Name::Any, predicates: Vec::new() });
                }
                path.attribute = Some(self.name()?);
                return if self.rest.is_empty() {
                    Ok(path)
                } else {
                    self.fails("an attribute is the end of a path")
                };
            }
            let name = self.name()?;
            let mut predicates = Vec::new();
            while self.takes("[") {
                predicates.push(self.predicate()?);
            }
            path.steps.push(Step { is_deep, name, predicates });
            if self.rest.is_empty() {
                return Ok(path);
            }
            is_deep = self.takes("//");
            if !is_deep && !self.takes("/") {
                return self.fails("`/`, `//`, `[` or the end of the path must follow a name");
            }
        }
    }

    fn predicate(&mut self) -> Result<Predicate, PathError> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let predicate = if digits > 0 {
            let number = self.rest.get(..digits).and_then(|it| it.parse().ok());
            match number {
                Some(number) if number > 0 => {
                    self.skip(digits);
                    Predicate::Position(number)
                }
                _ => return self.fails("positions are counted from 1"),
            }
        } else if self.takes("@") {
            Predicate::Attribute(self.name()?, self.value()?)
        } else {
            Predicate::Child(self.name()?, self.value()?)
        };
        if self.takes("]") {
            Ok(predicate)
        } else {
            self.fails("`]` is missing; in brackets may stand `n`, `@a`, `@a=\"v\"`, `child`, `child=\"v\"`")
        }
    }

    /// `="v"`, in quotes of either kind.
    fn value(&mut self) -> Result<Option<String>, PathError> {
        if !self.takes("=") {
            return Ok(None);
        }
        let Some(quote @ ('"' | '\'')) = self.rest.chars().next() else {
            return self.fails("a value stands in quotes: `[@dev=\"vda\"]`");
        };
        let Some(length) = self.rest.get(1..).and_then(|rest| rest.find(quote)) else {
            return self.fails("the quote is never closed");
        };
        let value = self.rest.get(1..=length).unwrap_or_default().to_owned();
        self.skip(length + 2);
        Ok(Some(value))
    }

    fn name(&mut self) -> Result<Name, PathError> {
        if self.takes("*") {
            return Ok(Name::Any);
        }
        let is_of_name = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-' | '.' | ':');
        let length = self.rest.find(|it| !is_of_name(it)).unwrap_or(self.rest.len());
        let name = self.rest.get(..length).unwrap_or_default();
        let begins_well = |it: &str| {
            it.starts_with(|it: char| it.is_alphabetic() || it == '_') && !it.contains(':')
        };
        let name = match name.split_once(':') {
            Some((prefix, local)) if begins_well(prefix) && begins_well(local) => {
                Name::Prefixed(prefix.to_owned(), local.to_owned())
            }
            None if begins_well(name) => Name::Local(name.to_owned()),
            _ => {
                return self.fails(
                    "the name of an element, `@` and that of an attribute, or `*` belongs here",
                );
            }
        };
        self.skip(length);
        Ok(name)
    }

    fn takes(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn fails<T>(&self, wanted: &'static str) -> Result<T, PathError> {
        let before = self.text.len() - self.rest.len();
        let at = self.text.get(..before).unwrap_or_default().chars().count() + 1;
        Err(PathError { at, wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: &str = r#"<domain type="kvm" xmlns:q="urn:q">
  <name> web1 </name>
  <metadata>
    <h:properties xmlns:h="urn:hookmux:properties:1">
      <h:property name="vlan">42</h:property>
      <h:property name="note">a &amp; <![CDATA[<b>]]></h:property>
    </h:properties>
    <property name="vlan">of somebody else</property>
  </metadata>
  <devices>
    <disk type="file" device="disk"><source file="/a b.qcow2"/><target dev="vda"/></disk>
    <disk type="block" device="disk"><source dev="/dev/x"/><target dev="vdb"/></disk>
    <disk type="file" device="cdrom"><source file="/c.iso"/><target dev="sda"/></disk>
    <interface type="bridge"><mac address="52:54:00:00:00:01"/><model type="virtio"/></interface>
    <interface type="network"><mac address="52:54:00:00:00:02"/><target dev="vnet1"/></interface>
    <hostdev><source><address domain="0x0000" bus="0x01"/></source></hostdev>
  </devices>
  <q:commandline><q:arg value="-x"/><q:arg value="-y"/></q:commandline>
</domain>"#;

    #[track_caller]
    fn values(path: &str) -> Vec<String> {
        let document = Document::parse(GUEST).unwrap();
        let path = XmlPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        path.values(&document).unwrap()
    }

    #[test]
    fn paths_lead_to_their_values() {
        for (path, wanted) in [
            ("name", &["web1"] as &[&str]),
            ("/domain/name", &["web1"]),
            ("/name", &[]),
            ("@type", &["kvm"]),
            ("/domain/@type", &["kvm"]),
            ("/*/@type", &["kvm"]),
            ("devices/disk/source/@file", &["/a b.qcow2", "/c.iso"]),
            ("devices/disk[2]/source/@dev", &["/dev/x"]),
            ("devices/disk[9]/source/@dev", &[]),
            ("devices/disk[@device=\"disk\"][@type='file']/source/@file", &["/a b.qcow2"]),
            ("devices/disk[@device='disk'][2]/target/@dev", &["vdb"]),
            ("devices/disk[2][@device='disk']/target/@dev", &["vdb"]),
            ("devices/disk[2][@device='cdrom']/target/@dev", &[]),
            ("devices/interface[target]/mac/@address", &["52:54:00:00:00:02"]),
            ("devices/interface[model]/mac/@address", &["52:54:00:00:00:01"]),
            ("//mac/@address", &["52:54:00:00:00:01", "52:54:00:00:00:02"]),
            ("//mac[1]/@address", &["52:54:00:00:00:01", "52:54:00:00:00:02"]),
            ("devices//@file", &["/a b.qcow2", "/c.iso"]),
            ("//hostdev//address/@bus", &["0x01"]),
            ("devices/*[@type='bridge']/mac/@address", &["52:54:00:00:00:01"]),
            ("devices/hostdev/source/address/@*", &["0x0000", "0x01"]),
            ("//property[@name=\"vlan\"]", &["42", "of somebody else"]),
            ("//h:property[@name=\"vlan\"]", &["42"]),
            ("//h:property[@name=\"note\"]", &["a & <b>"]),
            ("//q:property", &[]),
            ("//nothing:property", &[]),
            ("commandline/arg/@value", &["-x", "-y"]),
            ("q:commandline/q:arg[2]/@value", &["-y"]),
            ("metadata[property='of somebody else']/properties/property[1]", &["42"]),
            ("metadata[property='42']/properties", &[]),
            ("/domain[name=' web1 ']/@type", &[]),
            ("/domain[name='web']/@type", &[]),
            ("/domain[name='web12']/@type", &[]),
            ("devices[disk='']/disk[1]/target/@dev", &["vda"]),
            ("/domain[name='web1']/@type", &["kvm"]),
            ("devices/disk", &["", "", ""]),
        ] {
            assert_eq!(values(path), wanted, "{path}");
        }
    }

    #[test]
    fn a_deep_step_names_no_node_twice() {
        let nested = Document::parse("<a><b><b><c>1</c></b><c>2</c></b></a>").unwrap();
        let values = |path| XmlPath::parse(path).unwrap().values(&nested).unwrap();
        assert_eq!(values("//b//c"), ["1", "2"]);
        assert_eq!(values("//b/c"), ["1", "2"]);
        assert_eq!(values("//*/c"), ["1", "2"]);
        assert_eq!(values("//b//*"), ["1", "1", "2"]);
    }

    #[test]
    fn what_is_no_path_is_told_with_its_place() {
        for (path, at) in [
            ("", 1),
            ("/", 2),
            ("//", 3),
            ("a/", 3),
            ("a//", 4),
            ("a///b", 4),
            ("a b", 2),
            ("@", 2),
            ("@a/b", 3),
            ("a[", 3),
            ("a[0]", 3),
            ("a[99999999999999999999999]", 3),
            ("a[1", 4),
            ("a[b=c]", 5),
            ("a[b='c]", 5),
            ("a[b='c'", 8),
            ("a[position()=1]", 11),
            ("a|b", 2),
            (":a", 1),
            ("a:", 1),
            ("a:b:c", 1),
            ("ä[", 3),
            ("1a", 1),
            ("..", 1),
        ] {
            let error = XmlPath::parse(path).expect_err(path);
            assert_eq!(error.at, at, "{path}: {error}");
        }
    }
}
