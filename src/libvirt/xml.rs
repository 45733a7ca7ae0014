//! Reads XML in one pass, piece by piece, before a tree is built. This reader accepts more than the parser:
//! where this reader stops, the parser stops at the same place or before it.

use std::borrow::Cow;

use memchr::memmem;
use memchr::{memchr, memchr3};

/// A piece of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A start tag, or the tag of an empty element.
    Start {
        name: &'a str,
        attributes: Attributes<'a>,
        is_empty: bool,
    },
    End {
        name: &'a str,
    },
    /// Text with references as written.
    Text(&'a str),
    CData(&'a str),
    /// A comment, a processing instruction, the XML declaration.
    Other,
    /// The beginning of a document type declaration; nothing after it is read.
    DocumentType,
}

/// The position, in bytes, where a piece has no end, or where no piece begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError(pub usize);

/// The pieces of a document, in order.
pub(crate) struct Pieces<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(text: &'a str) -> Pieces<'a> {
        Pieces { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } }
    }

    /// Returns the position of the next piece, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns the text up to the next `end`, without its first `skipped` bytes, and continues after it.
    fn until(&mut self, skipped: usize, end: &str) -> Option<&'a str> {
        let begin = self.at + skipped;
        let rest = self.text.get(begin..)?;
        let length = memmem::find(rest.as_bytes(), end.as_bytes())?;
        self.at = begin + length + end.len();
        rest.get(..length)
    }

    fn read(&mut self) -> Option<Piece<'a>> {
        let rest = self.text.get(self.at..)?;
        if !rest.starts_with('<') {
            let length = memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
            self.at += length;
            return Some(Piece::Text(rest.get(..length)?));
        }
        if rest.starts_with("<!--") {
            return self.until(4, "-->").map(|_| Piece::Other);
        }
        if rest.starts_with("<?") {
            return self.until(2, "?>").map(|_| Piece::Other);
        }
        if rest.starts_with("<![CDATA[") {
            return self.until("<![CDATA[".len(), "]]>").map(Piece::CData);
        }
        if rest.starts_with("<!DOCTYPE") {
            return Some(Piece::DocumentType);
        }
        if rest.starts_with("<!") {
            return None;
        }
        if rest.starts_with("</") {
            return self.until(2, ">").map(|name| Piece::End { name: name.trim_ascii_end() });
        }
        let length = tag_length(rest.as_bytes())?;
        self.at += length;
        let inside = rest.get(1..length - 1)?;
        let (inside, is_empty) = match inside.strip_suffix('/') {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let end = inside.find(|c: char| c.is_ascii_whitespace()).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at_checked(end)?;
        Some(Piece::Start { name, attributes: Attributes { rest: attributes }, is_empty })
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, SyntaxError>;

    fn next(&mut self) -> Option<Result<Piece<'a>, SyntaxError>> {
        if self.at >= self.text.len() {
            return None;
        }
        let error = SyntaxError(self.at);
        let piece = self.read().ok_or(error);
        if piece.is_err() || piece == Ok(Piece::DocumentType) {
            self.at = self.text.len();
        }
        Some(piece)
    }
}

/// Returns the length of the tag at the beginning of these bytes: a `>` in quotes doesn't end it.
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr3(b'"', b'\'', b'>', bytes.get(at..)?)?;
        let found = *bytes.get(at)?;
        at += 1;
        if found == b'>' {
            return Some(at);
        }
        at += memchr(found, bytes.get(at..)?)? + 1;
    }
}

/// The attributes of a tag: names and values as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let open = memchr::memchr2(b'"', b'\'', self.rest.as_bytes())?;
        let (before, quoted) = self.rest.split_at_checked(open)?;
        let quote = *quoted.as_bytes().first()?;
        let value = quoted.get(1..)?;
        let close = memchr(quote, value.as_bytes())?;
        self.rest = value.get(close + 1..)?;
        let name = before.trim_ascii().trim_end_matches('=').trim_ascii();
        Some((name, value.get(..close)?))
    }
}

/// Resolves references and normalizes line ends. Returns `None` where a reference isn't valid.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let plain = normalize_line_ends(text);
    quick_xml::escape::unescape(&plain).ok().map(Cow::into_owned)
}

/// Returns the text with `\n` for every line end.
pub(crate) fn normalize_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pieces_are_told_apart() {
        let text = "<?xml version='1.0'?><!-- <x> --><a b='>' c=\"'\"><d/>t<![CDATA[<e>]]></a >";
        let pieces: Vec<Piece> = Pieces::new(text).map(Result::unwrap).collect();
        let Piece::Start { name: "a", attributes, is_empty: false } = pieces[2] else {
            panic!("{pieces:?}")
        };
        assert_eq!(attributes.collect::<Vec<_>>(), [("b", ">"), ("c", "'")]);
        assert!(matches!(pieces[3], Piece::Start { name: "d", is_empty: true, .. }));
        assert_eq!(pieces[0], Piece::Other);
        assert_eq!(pieces[4..], [Piece::Text("t"), Piece::CData("<e>"), Piece::End { name: "a" }]);
    }

    #[test]
    fn what_has_no_end_is_a_flaw_and_the_last() {
        for text in ["<a", "<a b='", "<!-- ", "<![CDATA[x", "<?x", "</a", "<!x>"] {
            let pieces: Vec<_> = Pieces::new(text).collect();
            assert_eq!(pieces, [Err(SyntaxError(0))], "{text}");
        }
        assert_eq!(Pieces::new("<!DOCTYPE x><a/>").count(), 1);
    }

    #[test]
    fn references_and_line_ends_are_resolved() {
        assert_eq!(unescape("a&amp;b\r\n&#x41;\r").as_deref(), Some("a&b\nA\n"));
        assert_eq!(unescape("&bogus;"), None);
    }
}
