//! A device's part of a guest's document: where it stands after hooks changed the document, and how an edit of
//! it is put back.

use std::ops::Range;

use crate::libvirt::document::{self, Malformed};
use crate::libvirt::xml::{Piece, Pieces};

/// Where devices stand in the document as hooks made it. A device is known by its place in libvirt's document.
#[derive(Clone, Debug, Default)]
pub struct DevicePlaces {
    /// Devices whose place is known, in the document's order: the place in libvirt's document, and the
    /// place now. What stands between two of them has moved with the first.
    moved: Vec<(Range<usize>, Range<usize>)>,
    state: PlaceState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PlaceState {
    #[default]
    Known,
    /// A hook changed the document as a whole: the devices have to be found in it.
    Stale,
    /// The document has other devices than libvirt's.
    Lost,
}

impl DevicePlaces {
    /// Returns where a device stands now; `None` where that isn't known.
    pub fn of(&self, device: &Range<usize>) -> Option<Range<usize>> {
        if self.state != PlaceState::Known {
            return None;
        }
        let above = self.moved.partition_point(|(was, _)| was.start <= device.start);
        let Some((was, now)) = above.checked_sub(1).and_then(|index| self.moved.get(index)) else {
            return Some(device.clone());
        };
        if was.start == device.start {
            return Some(now.clone());
        }
        let start = (device.start + now.end).checked_sub(was.end)?;
        Some(start..start + device.len())
    }

    /// Notes that a device's element has another length now.
    pub fn resize(&mut self, device: &Range<usize>, length: usize) {
        let Some(place) = self.of(device) else { return };
        let now = place.start..place.start + length;
        let index = self.moved.partition_point(|(was, _)| was.start < device.start);
        match self.moved.get_mut(index) {
            Some((was, at)) if was.start == device.start => *at = now,
            _ => self.moved.insert(index, (device.clone(), now)),
        }
        for (_, at) in self.moved.iter_mut().skip(index + 1) {
            *at = at.start + length - place.len()..at.end + length - place.len();
        }
    }

    /// Notes that the document was changed as a whole.
    pub fn set_stale(&mut self) {
        self.state = PlaceState::Stale;
    }

    /// Finds the devices of libvirt's document in the changed one, if that has to be done. They are the same
    /// ones where both have the same elements in the same order.
    pub fn find(&mut self, original: &[u8], current: &[u8]) {
        if self.state != PlaceState::Stale {
            return;
        }
        let (was, now) = (elements(original), elements(current));
        let names = |all: &[(String, Range<usize>)]| -> Vec<String> {
            all.iter().map(|(name, _)| name.clone()).collect()
        };
        self.state = PlaceState::Lost;
        if names(&was) == names(&now) {
            let both = was.into_iter().zip(now).map(|((_, was), (_, now))| (was, now));
            self.moved = both.collect();
            self.state = PlaceState::Known;
        }
    }
}

/// Returns name and place of each device.
fn elements(document: &[u8]) -> Vec<(String, Range<usize>)> {
    let Ok(tree) = document::parse(document) else { return Vec::new() };
    let devices = document::devices(&tree);
    devices.map(|device| (device.tag_name().name().to_owned(), device.range())).collect()
}

/// A guest's document with another element in a device's place.
#[derive(Debug, PartialEq, Eq)]
pub struct ReplacedDevice {
    pub document: Vec<u8>,
    /// The length of the new element, in bytes.
    pub length: usize,
}

/// Puts what a hook left of a device into the guest's document: one element with the name of the one in its
/// place. `None` where it is the one in its place.
///
/// # Errors
/// It is something else, or the document with it can't be used.
pub fn replace(
    document: &[u8],
    place: &Range<usize>,
    found: &[u8],
) -> Result<Option<ReplacedDevice>, String> {
    // line and column of an error are those in the hook's file
    let alone = || document::parse(found).err();
    let no_element = || alone().map_or("it is not one element".to_owned(), |why| why.to_string());
    let (before, element_before) = (document.get(..place.start), document.get(place.clone()));
    let (Some(before), Some(element_before), Some(after)) =
        (before, element_before, document.get(place.end..))
    else {
        return Err("its device is not in the guest's document any more".to_owned());
    };
    let text = std::str::from_utf8(found).map_err(|_| Malformed::NotUtf8.to_string())?;
    // scripts write a declaration before the element, which can't stand in a document
    let (name, span) = only_element(text).ok_or_else(no_element)?;
    let element = found.get(span).ok_or_else(no_element)?;
    if element == element_before {
        return Ok(None);
    }
    let name_before = std::str::from_utf8(element_before).ok().and_then(only_element);
    if name_before.is_none_or(|(before, _)| before != name) {
        return Err("it has another root element".to_owned());
    }
    let document = [before, element, after].concat();
    let tree = document::parse(&document).map_err(|why| alone().unwrap_or(why).to_string())?;
    let there = place.start..place.start + element.len();
    if !document::devices(&tree).any(|device| device.range() == there) {
        return Err(no_element());
    }
    drop(tree);
    Ok(Some(ReplacedDevice { document, length: element.len() }))
}

/// Returns name and place of the only element in a text, beside which are a declaration, comments and blanks at
/// most. The names of end tags aren't looked at.
fn only_element(text: &str) -> Option<(&str, Range<usize>)> {
    let mut pieces = Pieces::new(text);
    let mut open = 0_usize;
    let mut found: Option<(&str, Range<usize>)> = None;
    loop {
        let at = pieces.at();
        let Some(piece) = pieces.next() else { break };
        let is_over = found.as_ref().is_some_and(|_| open == 0);
        match piece.ok()? {
            Piece::Start { .. } if is_over => return None,
            Piece::Start { name, is_empty, .. } => {
                open += usize::from(!is_empty);
                let (_, place) = found.get_or_insert((name, at..at));
                place.end = pieces.at();
            }
            Piece::End { .. } => {
                open = open.checked_sub(1)?;
                found.as_mut()?.1.end = pieces.at();
            }
            Piece::Text(text) if open == 0 && !text.trim_ascii().is_empty() => return None,
            Piece::CData(_) if open == 0 => return None,
            Piece::DocumentType => return None,
            Piece::Text(_) | Piece::CData(_) | Piece::Other => {}
        }
    }
    found.filter(|_| open == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: &str = "<domain xmlns:q='urn:q'><name>g</name><devices><disk/>\
        <interface><mac/></interface><hostdev a='1'/></devices></domain>";

    /// The place of a device in libvirt's document.
    fn place(name: &str) -> Range<usize> {
        elements(GUEST.as_bytes()).into_iter().find(|(device, _)| device == name).unwrap().1
    }

    /// One after the other is put into the document, as hooks would do.
    fn edited(edits: &[(&str, &str)]) -> Result<String, String> {
        let mut places = DevicePlaces::default();
        let mut document = GUEST.as_bytes().to_vec();
        for (device, text) in edits {
            let device = place(device);
            let now = places.of(&device).unwrap();
            if let Some(replaced) = replace(&document, &now, text.as_bytes())? {
                places.resize(&device, replaced.length);
                document = replaced.document;
            }
        }
        // the same places as in the document itself
        for ((_, was), (_, now)) in elements(GUEST.as_bytes()).iter().zip(elements(&document)) {
            assert_eq!(places.of(was), Some(now));
        }
        Ok(String::from_utf8(document).unwrap())
    }

    #[test]
    fn edits_of_several_devices_stand_side_by_side() {
        let longer = "<interface><mac/><source network='red'/></interface>";
        let device = |text: &str| format!("<disk/>{text}</devices>");
        for (edits, expected) in [
            (vec![("interface", longer)], device(&format!("{longer}<hostdev a='1'/>"))),
            (
                vec![
                    ("interface", longer),
                    ("hostdev", "<hostdev/>"),
                    ("interface", "<interface/>"),
                ],
                device("<interface/><hostdev/>"),
            ),
            (
                vec![
                    ("hostdev", "<hostdev>long</hostdev>"),
                    ("interface", longer),
                    ("hostdev", "<hostdev/>"),
                ],
                device(&format!("{longer}<hostdev/>")),
            ),
            // what minidom and editors leave around the element
            (
                vec![(
                    "hostdev",
                    "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- <x> --><hostdev b='>'>\n</hostdev>\n<!-- -->\n",
                )],
                device("<interface><mac/></interface><hostdev b='>'>\n</hostdev>"),
            ),
            // a prefix that the guest's document declares
            (
                vec![("disk", "<disk><q:x/></disk>")],
                "<devices><disk><q:x/></disk><interface>".to_owned(),
            ),
            (vec![("disk", "<?xml version='1.0'?><disk/>")], GUEST.to_owned()),
        ] {
            let made = edited(&edits).unwrap();
            assert!(made.contains(&expected), "{edits:?}: {made}");
        }
    }

    #[test]
    fn what_is_not_one_such_element_is_refused() {
        for (text, words) in [
            ("", "well-formed"),
            ("  \n", "well-formed"),
            ("<interface>", "well-formed"),
            ("<interface/><interface/>", "well-formed"),
            ("<interface></disk>", "well-formed"),
            ("<interface/></devices><os/><devices>", "well-formed"),
            ("</devices><devices>", "well-formed"),
            ("<interface></devices><devices></interface>", "well-formed"),
            ("<interface/>text", "well-formed"),
            ("<interface/>&amp;", "well-formed"),
            ("<![CDATA[x]]><interface/>", "well-formed"),
            ("<interface a='1' a='2'/>", "well-formed"),
            ("<interface><r:x/></interface>", "well-formed"),
            ("<interface><!--</interface>-->", "well-formed"),
            ("<!DOCTYPE interface><interface/>", "document type"),
            ("<hostdev/>", "another root element"),
            ("<q:interface/>", "another root element"),
            ("<?xml version='1.0'?><domain><devices/></domain>", "another root element"),
        ] {
            let error = edited(&[("interface", text)]).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let error = replace(GUEST.as_bytes(), &place("interface"), b"<interface>\xff</interface>");
        assert!(error.unwrap_err().contains("UTF-8"));
        // the limits are those of the guest's document
        let deep = format!("<interface>{}{}</interface>", "<a>".repeat(254), "</a>".repeat(254));
        assert!(document::parse(deep.as_bytes()).is_ok());
        assert!(edited(&[("interface", &deep)]).unwrap_err().contains("nested"));
    }

    #[test]
    fn after_a_change_of_the_whole_document_devices_are_found_again() {
        let mut places = DevicePlaces::default();
        places.resize(&place("interface"), 40);
        let shifted = GUEST.replace("<devices>", "<title>t</title><devices> ");
        places.set_stale();
        assert_eq!(places.of(&place("disk")), None);
        places.find(GUEST.as_bytes(), shifted.as_bytes());
        for ((_, was), (_, now)) in
            elements(GUEST.as_bytes()).iter().zip(elements(shifted.as_bytes()))
        {
            assert_eq!(places.of(was), Some(now));
        }
        let fewer = GUEST.replace("<disk/>", "");
        places.set_stale();
        places.find(GUEST.as_bytes(), fewer.as_bytes());
        assert_eq!(places.of(&place("interface")), None);
    }
}
