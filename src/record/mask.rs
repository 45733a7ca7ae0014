//! Masks passwords in everything that is kept.
//!
//! libvirt writes them as an attribute `passwd` (of `graphics`, in what it gives to filter calls)
//! and in single quotes; a hook that edits or prints a document may use others, put white space
//! round the `=`, or escape the quotes. Its output may come from a shell's trace, or be HTML or JSON. So
//! the values from the call's own documents are masked wherever they are, also in base64 and in URLs, and
//! also where only a part is left because output was cut off.

use std::borrow::Cow;
use std::cell::OnceCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::needles::{Needles, Span, Symbol};
use super::password_values::{UNQUOTED, Value, Values};
use crate::process::capture::Capture;

/// The replacement for each value.
const MASK: &[u8] = b"***";

/// Replaces the value of every `passwd=`.
pub fn passwords(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut spans: Vec<Span> = Vec::new();
    let mut values = Values::new(bytes);
    // the end of the last closing quote, which stays: else the next search would miss it
    let mut closed = 0;
    let mut is_unquoted = false;
    while let Some(Value { begin, end, closing }) = values.next() {
        let begin = begin.max(closed);
        match spans.last_mut() {
            _ if begin >= end => {}
            // adjacent values are one, which ends as the first one does
            Some((_, last)) if *last == begin => {
                *last = if is_unquoted { values.end(end, UNQUOTED) } else { end };
                closed = closed.max(*last);
            }
            _ => {
                spans.push((begin, end));
                is_unquoted = closing == UNQUOTED;
            }
        }
        closed = closed.max(end + closing.len());
    }
    without(Cow::Borrowed(bytes), spans)
}

/// Replaces the value of every `passwd=` in text.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    match passwords(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
    }
}

/// The passwords from a call's documents.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The values as they are written in documents, and decoded.
    values: Vec<Vec<u8>>,
    /// Built at the first search.
    search: OnceCell<Search>,
}

/// The words to search for.
#[derive(Clone, Debug)]
struct Search {
    /// The values; only the beginning of long ones.
    plain: Needles,
    /// The characters that the base64 form of bytes with a value always has, wherever the value begins.
    base64: Needles,
    /// The ends of values with a quote after them, in reverse.
    rests: Needles,
    has_spaces: bool,
}

/// The minimal length of a value to search for, in bytes: shorter ones would match everywhere. After
/// `passwd=` they are masked too.
const MIN_VALUE_BYTES: usize = 4;

/// The limits of the search outside of attributes: the number of values, and the searched bytes of each;
/// after a match the rest of a long value is compared. libvirt's own passwords are far fewer and shorter,
/// and a call must not wait for a document that was made to be slow. After `passwd=` all are masked.
const MAX_VALUES: usize = 64;
const MAX_LOOKED_FOR_BYTES: usize = 256;

impl Secrets {
    /// Adds the passwords of a document.
    pub fn add(&mut self, document: &[u8]) {
        for Value { begin, end, .. } in Values::new(document) {
            if self.values.len() >= MAX_VALUES {
                break;
            }
            let written = document.get(begin..end).unwrap_or_default();
            for value in [written.to_vec(), unescaped(written)] {
                if value.len() >= MIN_VALUE_BYTES && !self.values.contains(&value) {
                    self.values.push(value);
                }
            }
        }
        self.search = OnceCell::new();
    }

    fn search(&self) -> &Search {
        self.search.get_or_init(|| Search {
            plain: Needles::new(self.values.iter().map(|value| begin(value).to_vec())),
            base64: Needles::new(self.values.iter().flat_map(|value| in_base64(begin(value)))),
            rests: Needles::new(self.values.iter().flat_map(|value| {
                let end = &value[value.len().saturating_sub(MAX_LOOKED_FOR_BYTES)..];
                QUOTES
                    .map(|quote| std::iter::once(quote).chain(end.iter().rev().copied()).collect())
            })),
            has_spaces: self.values.iter().any(|value| value.contains(&b' ')),
        })
    }

    /// Masks all values, and the value of every `passwd=`. Takes one pass for each form, however many
    /// values there are.
    pub fn mask<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let masked = passwords(bytes);
        if self.values.is_empty() {
            return masked;
        }
        let mut spans = self.values_in(&masked);
        spans.extend(self.base64_in(&masked));
        let masked = without(masked, spans);
        let spans = self.rests_in(&masked);
        let masked = without(masked, spans);
        match masked {
            Cow::Borrowed(_) => masked,
            // masking may have made a new `passwd`, which was a part of a longer name
            Cow::Owned(masked) => Cow::Owned(passwords(&masked).into_owned()),
        }
    }

    pub fn mask_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.mask(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
        }
    }

    /// Masks the output of a hook, as far as it was kept.
    pub fn mask_stream(&self, stream: &Capture) -> Vec<u8> {
        let (head, left_out, tail) = stream.parts();
        if left_out == 0 {
            return self.mask(&[head, &tail].concat()).into_owned();
        }
        let mut kept = self.mask(self.without_beginning(head)).into_owned();
        kept.extend_from_slice(&Capture::gap(left_out));
        kept.extend_from_slice(&self.mask(&tail));
        kept
    }

    /// Removes the beginning of a password from the end of bytes that were cut off.
    fn without_beginning<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.values.is_empty() {
            return bytes;
        }
        let end = &bytes[bytes.len().saturating_sub(MAX_LOOKED_FOR_BYTES)..];
        let mut length = 0;
        self.search().plain.follow(end.iter().copied(), &mut |read| length = read);
        if length < MIN_VALUE_BYTES - 1 { bytes } else { &bytes[..bytes.len() - length] }
    }

    /// Finds values: unchanged, and in the percent encoding of URLs and forms, whichever of their
    /// characters are encoded.
    fn values_in(&self, bytes: &[u8]) -> Vec<Span> {
        let search = self.search();
        let mut spans = self.followed(bytes, plainly(bytes));
        if memchr::memchr(b'%', bytes).is_some() {
            spans.extend(self.followed(bytes, percent_decoded(bytes, b'+')));
        }
        if search.has_spaces && memchr::memchr(b'+', bytes).is_some() {
            spans.extend(self.followed(bytes, percent_decoded(bytes, b' ')));
        }
        spans
    }

    /// Finds values in symbols; the match of a long value includes its rest, as far as it is there.
    fn followed(&self, bytes: &[u8], symbols: impl Iterator<Item = Symbol>) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut covered = 0;
        self.search().plain.find(symbols, &mut |(begin, mut end)| {
            if end >= covered && end - begin >= MAX_LOOKED_FOR_BYTES {
                let rest = bytes.get(end..).unwrap_or_default();
                end += self.continued(bytes.get(begin..end).unwrap_or_default(), rest);
            }
            covered = covered.max(end);
            add(&mut spans, (begin, end));
        });
        spans
    }

    /// Returns how many of these bytes continue a value with this beginning.
    fn continued(&self, begin: &[u8], bytes: &[u8]) -> usize {
        let rests = self.values.iter().filter_map(|value| value.strip_prefix(begin));
        let same = |rest: &[u8]| rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        rests.map(same).max().unwrap_or_default()
    }

    /// Finds values in base64: alone or inside of other bytes, with line breaks or not.
    fn base64_in(&self, bytes: &[u8]) -> Vec<Span> {
        let mut spans = Vec::new();
        let symbols = plainly(bytes).filter(|(byte, _)| !matches!(byte, b'\n' | b'\r'));
        self.search().base64.find(symbols, &mut |(begin, end)| {
            add(&mut spans, with_neighbours(bytes, (begin, end)));
        });
        spans
    }

    /// Finds the end of a password and the quote after it, at the beginning of a line or after a colon:
    /// the beginning was cut off.
    fn rests_in(&self, bytes: &[u8]) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut at = bytes.len();
        self.search().rests.follow(bytes.iter().rev().copied(), &mut |read| {
            at -= 1;
            // the quote counts too
            if read > MIN_VALUE_BYTES - 1 && begins_anew(bytes, at) {
                spans.push((at, at + read - 1));
            }
        });
        spans.reverse();
        spans
    }
}

/// The bytes after a password whose beginning was cut off.
const QUOTES: [u8; 4] = *b"'\"\\&";

/// Returns the part of a value to search for.
fn begin(value: &[u8]) -> &[u8] {
    &value[..value.len().min(MAX_LOOKED_FOR_BYTES)]
}

/// Tells whether this is the beginning of the text, of a line, or follows a colon.
fn begins_anew(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    before.is_empty() || before.ends_with(b"\n") || before.ends_with(b": ")
}

/// Returns bytes unchanged, as symbols.
fn plainly(bytes: &[u8]) -> impl Iterator<Item = Symbol> {
    bytes.iter().enumerate().map(|(at, byte)| (*byte, (at, at + 1)))
}

/// Decodes the percent encoding; `plus` is the meaning of `+`.
fn percent_decoded(bytes: &[u8], plus: u8) -> impl Iterator<Item = Symbol> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at;
        let byte = *bytes.get(begin)?;
        let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        let coded = match (byte, digit(begin + 1), digit(begin + 2)) {
            (b'%', Some(high), Some(low)) => u8::try_from((high << 4) | low).ok(),
            _ => None,
        };
        at += if coded.is_some() { 3 } else { 1 };
        let plain = if byte == b'+' { plus } else { byte };
        Some((coded.unwrap_or(plain), (begin, at)))
    })
}

/// Encodes a value in base64 for each of the three positions at which it can begin. Only the characters
/// that depend on nothing but the value are returned.
fn in_base64(value: &[u8]) -> Vec<Vec<u8>> {
    let coded = |before: usize| {
        let padded = [&[0; 2][..before], value].concat();
        let code = STANDARD_NO_PAD.encode(&padded).into_bytes();
        // six bits a character
        let first = (before * 8).div_ceil(6);
        let end = padded.len() * 8 / 6;
        code.get(first..end).unwrap_or_default().to_vec()
    };
    let all = (0..3).map(coded).filter(|code| code.len() >= MIN_VALUE_BYTES);
    // the alphabet of URLs has other characters for two of the values
    let of_urls = |code: &Vec<u8>| -> Vec<u8> {
        let other = |byte: &u8| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        };
        code.iter().map(other).collect()
    };
    all.flat_map(|code| [of_urls(&code), code]).collect()
}

/// Extends a span by one base64 character on both sides, also over line breaks: they contain a few bits
/// of the value.
fn with_neighbours(bytes: &[u8], (begin, end): Span) -> Span {
    let is_coded = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let (before, behind) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let before = before.get(..begin).unwrap_or_default();
    let near = before.len().saturating_sub(3);
    let first = before[near..].iter().rposition(|byte| !is_break(byte)).map(|at| near + at);
    let first = first.filter(|at| is_coded(before[*at]));
    let last = behind.iter().take(3).position(|byte| !is_break(byte));
    let last = last.filter(|at| is_coded(behind[*at]));
    (first.unwrap_or(begin), last.map_or(end, |at| end + at + 1))
}

/// Adds a span, and merges it with those that overlap.
fn add(spans: &mut Vec<Span>, (mut begin, mut end): Span) {
    while let Some(&(first, last)) = spans.last().filter(|(_, last)| *last > begin) {
        (begin, end) = (begin.min(first), end.max(last));
        spans.pop();
    }
    spans.push((begin, end));
}

/// Replaces these spans by the mask. Overlapping spans count as one.
fn without(bytes: Cow<'_, [u8]>, mut spans: Vec<Span>) -> Cow<'_, [u8]> {
    if spans.is_empty() {
        return bytes;
    }
    spans.sort_unstable();
    let mut masked = Vec::with_capacity(bytes.len());
    // everything before this is in `masked`
    let mut done = 0;
    for (begin, end) in spans {
        if begin >= done {
            masked.extend_from_slice(bytes.get(done..begin).unwrap_or_default());
            masked.extend_from_slice(MASK);
        }
        done = done.max(end);
    }
    masked.extend_from_slice(bytes.get(done..).unwrap_or_default());
    Cow::Owned(masked)
}

/// Decodes XML's references in a value.
fn unescaped(value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    quick_xml::escape::unescape(&text)
        .map_or_else(|_| value.to_vec(), |text| text.into_owned().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_masked_and_nothing_else() {
        for (given, expected) in [
            ("<graphics passwd='s3cret' port='1'/>", "<graphics passwd='***' port='1'/>"),
            ("<graphics passwd=\"s3cret\"/>", "<graphics passwd=\"***\"/>"),
            ("<g passwd = \n 's3 > &lt; \"cret'/>", "<g passwd = \n '***'/>"),
            ("{\"x\": \"<g passwd=\\\"s3cret\\\"/>\"}", "{\"x\": \"<g passwd=\\\"***\\\"/>\"}"),
            ("&lt;g passwd=&apos;s3cret&apos; a=1", "&lt;g passwd=&apos;***&apos; a=1"),
            ("&lt;g passwd=&quot;s3cret&quot;", "&lt;g passwd=&quot;***&quot;"),
            ("&lt;g passwd=&#39;s3cret&#39;", "&lt;g passwd=&#39;***&#39;"),
            ("&lt;g passwd=&#x27;s3cret&#x27;&gt;", "&lt;g passwd=&#x27;***&#x27;&gt;"),
            ("passwd=&amp;quot;s3cret&amp;quot;", "passwd=&amp;quot;***&amp;quot;"),
            ("x='<g passwd='\\''s3 cret'\\''>'", "x='<g passwd='\\''***'\\''>'"),
            ("passwd=\\u0022s3 cret\\u0022", "passwd=\\u0022***\\u0022"),
            ("passwd=\\\\\\\"s3 cret\\\\\\\" x", "passwd=\\\\\\\"***\\\\\\\" x"),
            ("passwd=s3cret other", "passwd=*** other"),
            ("vnc,passwd=s3cret,port=1", "vnc,passwd=***,port=1"),
            ("<a passwd='s3cret'/><b passwd='s3cret'/>", "<a passwd='***'/><b passwd='***'/>"),
            // text that looks like the beginning of one
            ("<a t=\"passwd=\"/><g passwd=\"s3cret\"/>", "<a t=\"passwd=\"***\"***\"/>"),
            ("<!-- passwd=' --><g passwd='s3cret'/>", "<!-- passwd='***'***'/>"),
            ("<t>passwd=\"</t><g passwd='s3cret'/><g x=\"1\"/>", "<t>passwd=\"***\"1\"/>"),
            ("<t>passwd=\"</t><g passwd='s3 \"cret'/>", "<t>passwd=\"***\"***'/>"),
            ("passwd=passwd=s3cret x", "passwd=*** x"),
            // cut off
            ("<g passwd='s3cr", "<g passwd='***"),
            ("<g passwd=s3cr", "<g passwd=***"),
            // nothing to hide
            ("<g passwd=''/>", "<g passwd=''/>"),
            (
                "<g passwdValidTo='2030-01-01T00:00:00'/>",
                "<g passwdValidTo='2030-01-01T00:00:00'/>",
            ),
            ("<g my-passwd='x'/>", "<g my-passwd='x'/>"),
            ("/etc/passwd is there", "/etc/passwd is there"),
            ("/etc/passwd", "/etc/passwd"),
            ("passwd", "passwd"),
            ("passwd =", "passwd ="),
            ("", ""),
        ] {
            let masked = passwords(given.as_bytes());
            assert_eq!(String::from_utf8_lossy(&masked), expected, "{given}");
            assert_eq!(text(given), expected);
            assert!(!masked.windows(4).any(|window| window == b"s3cr"), "{given}");
        }
    }

    #[test]
    fn what_a_document_tells_is_masked_wherever_it_stands() {
        let mut secrets = Secrets::default();
        secrets.add(b"<graphics passwd='a&amp;b \"cd' port='1'/><graphics passwd='xyz'/>");
        for (given, expected) in [
            ("the password is a&amp;b \"cd, is it", "the password is ***, is it"),
            ("or a&b \"cd?", "or ***?"),
            ("xyz is too short, but passwd=xyz", "xyz is too short, but passwd=***"),
            // cut off before it
            ("&b \"cd' port='1'", "***' port='1'"),
            ("x\nb \"cd'/>", "x\n***'/>"),
            ("hook: exit status 1: \"cd'/>", "hook: exit status 1: ***'/>"),
            ("\"cd and no quote", "\"cd and no quote"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(secrets.mask_text(given), expected, "{given}");
        }
        // kept in two parts
        let mut stream = Capture::with_head(8);
        stream.push(b"01 a&b \"cd");
        stream.push(&vec![b'.'; 70_000]);
        let kept = String::from_utf8(secrets.mask_stream(&stream)).unwrap();
        assert!(kept.starts_with("01 \n[\u{2026} "), "{}", &kept[..40]);
    }

    #[test]
    fn a_document_that_was_made_to_be_slow_is_not() {
        let mut secrets = Secrets::default();
        let long = "x".repeat(1 << 20);
        let many: String = (0..100_000).map(|n| format!("<g passwd='pass{n}'/>")).collect();
        secrets.add(format!("<g passwd='{long}'/>{many}").as_bytes());
        assert!(secrets.values.len() <= MAX_VALUES + 1);
        let lines = "xxx\n".repeat(80_000);
        assert_eq!(secrets.mask_text(&lines), lines);
        assert!(!secrets.mask_text(&format!("a {long} b")).contains("xxxx"));
        assert_eq!(secrets.mask_text("passwd='pass99999'"), "passwd='***'");
    }

    #[test]
    fn encoded_values_are_masked() {
        let mut secrets = Secrets::default();
        let document = b"<domain><graphics passwd='a b/c+d%\xc3\xa4-s3cret' port='1'/></domain>";
        secrets.add(document);
        let value = "a b/c+d%\u{e4}-s3cret";
        for before in 0..3 {
            let code = STANDARD_NO_PAD.encode(format!("{}{value} behind", &"xyz"[..before]));
            let masked = secrets.mask_text(&code).into_owned();
            let kept = masked.split("***").map(str::len).collect::<Vec<_>>();
            assert!(kept.len() == 2 && kept[0] <= 2, "{code} -> {masked}");
            // lines of any length
            for length in 1..12 {
                let lines: Vec<&[u8]> = code.as_bytes().chunks(length).collect();
                let masked = secrets.mask(&lines.join(&b"\n"[..])).into_owned();
                let masked = String::from_utf8(masked).unwrap();
                assert_eq!(masked.replace('\n', ""), secrets.mask_text(&code), "{length}");
            }
        }
        let whole = STANDARD_NO_PAD.encode(document);
        assert!(secrets.mask_text(&whole).contains("***"));
        for coded in [
            "a%20b%2Fc%2Bd%25%C3%A4-s3cret",
            "a%20b/c%2bd%25%c3%a4-s3cret",
            "a+b%2Fc%2Bd%25%C3%A4-s3cret",
            "%61%20%62%2F%63%2B%64%25%C3%A4%2Ds3cret",
        ] {
            let text = format!("https://h/?p={coded}&q=1");
            assert_eq!(secrets.mask_text(&text), "https://h/?p=***&q=1", "{coded}");
        }
    }

    #[test]
    fn values_that_overlap_leave_nothing() {
        let mut secrets = Secrets::default();
        secrets.add(b"<g passwd='abcdef'/><g passwd='defghi'/><g passwd='cdef'/>");
        assert_eq!(secrets.mask_text("x abcdefghi y abcdefabcdef"), "x *** y ******");
    }

    #[test]
    fn a_long_value_is_masked_as_far_as_it_goes() {
        let mut secrets = Secrets::default();
        let long: String = (0..2000).map(|n| format!("{n}.")).collect();
        secrets.add(format!("<g passwd='{long}'/>").as_bytes());
        assert_eq!(secrets.mask_text(&format!("a {long} b")), "a *** b");
        let part = &long[..1000];
        assert_eq!(secrets.mask_text(&format!("a {part} b {long}")), "a *** b ***");
    }

    #[test]
    fn masking_twice_is_masking_once() {
        for text in [
            "<a passwd='x'/> passwd=y",
            "passwd=\"a passwd='b\" c' d",
            "<t>passwd=\"</t><g passwd='s3 \"cret'/>",
            "passwd=passwd='x'",
            "passwd=passwd=' ",
            "passwd=passwd=\">\"x y",
        ] {
            let once = passwords(text.as_bytes()).into_owned();
            assert_eq!(passwords(&once), once.as_slice(), "{text}");
        }
        // a value whose end is the beginning of the name's own word
        let mut secrets = Secrets::default();
        secrets.add(b"<g passwd='s3cret'/>");
        let once = secrets.mask(b"<t>s3cretpasswd=</t>").into_owned();
        assert_eq!(secrets.mask(&once), once.as_slice());
    }

    #[test]
    fn text_before_a_password_hides_it_nowhere() {
        for before in ["<t>passwd='</t>", "<a t=\"passwd='\"/>", "<!-- passwd=\" -->"] {
            for quote in ['\'', '"'] {
                let document = format!("{before}<g passwd={quote}s3cret{quote} port='1'/>");
                let mut secrets = Secrets::default();
                secrets.add(document.as_bytes());
                assert_eq!(
                    secrets.mask_text("it is s3cret, is it"),
                    "it is ***, is it",
                    "{document}"
                );
                assert!(!secrets.mask_text(&document).contains("s3cret"), "{document}");
            }
        }
    }
}
