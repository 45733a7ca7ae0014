//! Finds the values of `passwd=` in documents, command lines and whatever else hooks print, however they are quoted.

const NAME: &[u8] = b"passwd";

/// Finds the next place with exactly this name: not `passwdValidTo`, and not the end of a longer name.
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

/// The position of the value of a `passwd=`, in bytes.
pub(super) struct Value {
    pub begin: usize,
    /// The end of the bytes, if nothing closes the value.
    pub end: usize,
    pub closing: &'static [u8],
}

/// Finds all values, sorted by their beginnings. They may overlap: a guest's title may contain the name
/// with a quote, and the quote that closes it may be the one that opens a password.
pub(super) struct Values<'a> {
    bytes: &'a [u8],
    /// The position of the next search.
    at: usize,
    /// The last position of each kind of closing, so that nothing is searched twice.
    ends: Vec<(&'static [u8], usize)>,
}

impl Iterator for Values<'_> {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        loop {
            self.at = find(self.bytes, self.at)? + NAME.len();
            if let Some((begin, closing)) = opening(self.bytes, self.at) {
                self.at = begin;
                let end = self.end(begin, closing);
                return Some(Value { begin, end, closing });
            }
        }
    }
}

impl<'a> Values<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Values<'a> {
        Values { bytes, at: 0, ends: Vec::new() }
    }

    /// Returns the end of a value.
    pub(super) fn end(&mut self, begin: usize, closing: &'static [u8]) -> usize {
        let known = self.ends.iter().position(|(known, _)| *known == closing);
        let last = known.and_then(|known| self.ends.get(known)).map(|(_, end)| *end);
        if let Some(end) = last.filter(|end| *end >= begin) {
            return end;
        }
        let rest = self.bytes.get(begin..).unwrap_or_default();
        let length = match closing {
            UNQUOTED => rest
                .iter()
                .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b',' | b';')),
            closing => memchr::memmem::find(rest, closing),
        };
        let end = length.map_or(self.bytes.len(), |length| begin + length);
        match known.and_then(|known| self.ends.get_mut(known)) {
            Some(known) => known.1 = end,
            None => self.ends.push((closing, end)),
        }
        end
    }
}

/// Marks a value without quotes: in a shell, or in an attribute that is not XML.
pub(super) const UNQUOTED: &[u8] = b"";

/// Returns the beginning of the value after a name that ends at `at`, and the bytes that close it.
fn opening(bytes: &[u8], at: usize) -> Option<(usize, &'static [u8])> {
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
    let begin = skip_space(at + 1);
    let closing: &[u8] = match bytes.get(begin..).unwrap_or_default() {
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
        _ => UNQUOTED,
    };
    Some((begin + closing.len(), closing))
}
