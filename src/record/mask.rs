//! Passwords, kept out of what is kept.
//!
//! libvirt writes them as an attribute `passwd` (of `graphics`, in what it gives to filter calls)
//! and in single quotes; a hook that edits or prints a document may use others, put white space
//! round the `=`, or escape the quotes. Also in output that was cut off inside of one.

use std::borrow::Cow;

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
        [b'\\', b'"', ..] => b"\\\"",
        [b'\\', b'\'', ..] => b"\\'",
        [b'"', ..] => b"\"",
        [b'\'', ..] => b"'",
        rest if rest.starts_with(b"&quot;") => b"&quot;",
        rest if rest.starts_with(b"&apos;") => b"&apos;",
        rest if rest.starts_with(b"&#34;") => b"&#34;",
        rest if rest.starts_with(b"&#39;") => b"&#39;",
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
    fn masking_twice_is_masking_once() {
        let once = passwords(b"<a passwd='x'/> passwd=y").into_owned();
        assert_eq!(passwords(&once), once.as_slice());
    }
}
