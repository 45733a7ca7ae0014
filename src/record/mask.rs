//! Passwords, kept out of what is kept.
//!
//! libvirt writes them as an attribute `passwd` (of `graphics`, in what it gives to filter calls)
//! and in single quotes; a hook that edits or prints a document may use others, put white space
//! round the `=`, or escape the quotes. What it prints may have been through a shell's trace, HTML
//! or JSON: so the values of the call's own documents are masked wherever they stand, too, and
//! where output was cut off inside of one, what is left of it.

use std::borrow::Cow;

use crate::run::capture::Capture;

const NAME: &[u8] = b"passwd";
/// What stands in for each.
const MASK: &[u8] = b"***";

/// Bytes with the value of every `passwd=` replaced.
pub fn passwords(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut masked: Vec<u8> = Vec::new();
    // what lies before it is in `masked`
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = find(bytes, at) {
        at = found + NAME.len();
        if let Some((start, end)) = value(bytes, at)
            && start < end
        {
            masked.extend_from_slice(&bytes[done..start]);
            masked.extend_from_slice(MASK);
            (done, at) = (end, end);
        }
    }
    if done == 0 {
        return Cow::Borrowed(bytes);
    }
    masked.extend_from_slice(&bytes[done..]);
    Cow::Owned(masked)
}

/// The same of text.
pub fn text(text: &str) -> Cow<'_, str> {
    match passwords(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
    }
}

/// The passwords of a call's documents.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// As they stand in documents, and as they are meant; the longest first.
    values: Vec<Vec<u8>>,
}

/// What is shorter would be found in everything; where it stands as a `passwd=` it is masked even so.
const SHORTEST: usize = 4;

/// So many values are looked for outside of their attributes, and of a value that was cut off so
/// many bytes: libvirt's own passwords are far fewer and shorter, and a call must not wait for a
/// document that was made to be slow. Where they stand as a `passwd=` all are masked.
const MOST: usize = 64;
const LONGEST_REST: usize = 256;

impl Secrets {
    /// Adds those of a document.
    pub fn add(&mut self, document: &[u8]) {
        let mut at = 0;
        while self.values.len() < MOST
            && let Some(found) = find(document, at)
        {
            at = found + NAME.len();
            let Some((start, end)) = value(document, at) else { continue };
            let written = document.get(start..end).unwrap_or_default();
            at = end;
            for value in [written.to_vec(), unescaped(written)] {
                if value.len() >= SHORTEST && !self.values.contains(&value) {
                    self.values.push(value);
                }
            }
        }
        self.values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    }

    /// Bytes without any of them, and without the value of any `passwd=`.
    pub fn mask<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut masked = passwords(bytes);
        for value in &self.values {
            if memchr::memmem::find(&masked, value).is_some() {
                masked = Cow::Owned(replaced(&masked, value));
            }
        }
        if !self.values.is_empty() && self.begins_inside(&masked) {
            masked = Cow::Owned(self.without_rests(&masked));
        }
        masked
    }

    pub fn mask_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.mask(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
        }
    }

    /// What a hook printed, as far as it was kept.
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

    /// Bytes that were cut off, without a beginning of a password at their end.
    fn without_beginning<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let longest = self.values.iter().filter_map(|value| {
            let longest = value.len().min(LONGEST_REST);
            (SHORTEST - 1..longest).rev().find(|length| bytes.ends_with(&value[..*length]))
        });
        let length = longest.max().unwrap_or_default();
        &bytes[..bytes.len() - length]
    }

    /// Whether a line, or what follows a colon, begins with the rest of a password and the quote
    /// behind it: the beginning was cut off.
    fn begins_inside(&self, bytes: &[u8]) -> bool {
        beginnings(bytes).any(|at| self.rest(bytes.get(at..).unwrap_or_default()).is_some())
    }

    /// How long the rest of a password is that bytes begin with.
    fn rest(&self, bytes: &[u8]) -> Option<usize> {
        self.values.iter().find_map(|value| {
            let first = value.len().saturating_sub(LONGEST_REST).max(1);
            (first..value.len()).find_map(|skipped| {
                let rest = value.get(skipped..)?;
                let is_rest = rest.len() >= SHORTEST - 1 && bytes.starts_with(rest);
                let is_quoted = matches!(bytes.get(rest.len()), Some(b'\'' | b'"' | b'\\' | b'&'));
                (is_rest && is_quoted).then_some(rest.len())
            })
        })
    }

    fn without_rests(&self, bytes: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for at in beginnings(bytes) {
            if at >= done
                && let Some(length) = self.rest(bytes.get(at..).unwrap_or_default())
            {
                masked.extend_from_slice(&bytes[done..at]);
                masked.extend_from_slice(MASK);
                done = at + length;
            }
        }
        masked.extend_from_slice(&bytes[done..]);
        masked
    }
}

/// Where text begins, or begins anew.
fn beginnings(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let after =
        |word: &'static [u8]| memchr::memmem::find_iter(bytes, word).map(move |at| at + word.len());
    let mut all: Vec<usize> = std::iter::once(0).chain(after(b"\n")).chain(after(b": ")).collect();
    all.sort_unstable();
    all.into_iter()
}

fn replaced(bytes: &[u8], value: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for at in memchr::memmem::find_iter(bytes, value) {
        masked.extend_from_slice(&bytes[done..at]);
        masked.extend_from_slice(MASK);
        done = at + value.len();
    }
    masked.extend_from_slice(&bytes[done..]);
    masked
}

/// A value as it is meant: XML's references taken for what they stand for.
fn unescaped(value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    quick_xml::escape::unescape(&text)
        .map_or_else(|_| value.to_vec(), |text| text.into_owned().into_bytes())
}

/// The next place where the name stands as a whole: not in `passwdValidTo`, nor as the end of a
/// longer name.
fn find(bytes: &[u8], from: usize) -> Option<usize> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let mut at = from;
    loop {
        at += memchr::memmem::find(bytes.get(at..)?, NAME)?;
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        if !before.is_some_and(is_part) && !bytes.get(at + NAME.len()).is_some_and(is_part) {
            return Some(at);
        }
        at += NAME.len();
    }
}

/// Where the value begins and ends, of a name that ends at `at`: the end is that of the bytes where
/// it isn't among them.
fn value(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let skip_space = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let at = skip_space(at);
    if bytes.get(at) != Some(&b'=') {
        return None;
    }
    let mut start = skip_space(at + 1);
    let rest = |start: usize| bytes.get(start..).unwrap_or_default();
    let closing: &[u8] = match rest(start) {
        rest if rest.starts_with(b"'\\''") => b"'\\''",
        rest if rest.starts_with(b"\\\\\\\"") => b"\\\\\\\"",
        [b'\\', b'"', ..] => b"\\\"",
        [b'\\', b'\'', ..] => b"\\'",
        [b'"', ..] => b"\"",
        [b'\'', ..] => b"'",
        rest if rest.starts_with(b"&quot;") => b"&quot;",
        rest if rest.starts_with(b"&apos;") => b"&apos;",
        rest if rest.starts_with(b"&#34;") => b"&#34;",
        rest if rest.starts_with(b"&#39;") => b"&#39;",
        rest if rest.starts_with(b"&#x27;") => b"&#x27;",
        rest if rest.starts_with(b"&#x22;") => b"&#x22;",
        rest if rest.starts_with(b"&amp;quot;") => b"&amp;quot;",
        rest if rest.starts_with(b"&amp;apos;") => b"&amp;apos;",
        rest if rest.starts_with(b"\\u0027") => b"\\u0027",
        rest if rest.starts_with(b"\\u0022") => b"\\u0022",
        // a shell's assignment, or an attribute of no XML
        rest => {
            let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b',' | b';');
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            return Some((start, start + length));
        }
    };
    start += closing.len();
    let length = memchr::memmem::find(rest(start), closing);
    Some((start, length.map_or(bytes.len(), |length| start + length)))
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
        assert!(secrets.values.len() <= MOST + 1);
        let lines = "xxx\n".repeat(80_000);
        assert_eq!(secrets.mask_text(&lines), lines);
        assert!(!secrets.mask_text(&format!("a {long} b")).contains("xxxx"));
        assert_eq!(secrets.mask_text("passwd='pass99999'"), "passwd='***'");
    }

    #[test]
    fn masking_twice_is_masking_once() {
        let once = passwords(b"<a passwd='x'/> passwd=y").into_owned();
        assert_eq!(passwords(&once), once.as_slice());
    }
}
