//! Subjects of NATS: `hookmux.v1.<host>.<driver>.<operation>.<uuid>`, each part one token.

/// What all our subjects begin with.
pub(crate) const ROOT: &str = "hookmux.v1";

/// A text as one token: all but letters, digits, `-` and `_` as `%` and two hexadecimal digits. Host names
/// hold dots, which part tokens; this can be turned back.
pub(crate) fn token(text: &str) -> String {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            token.push(char::from(byte));
        } else {
            token.push_str(&format!("%{byte:02X}"));
        }
    }
    if token.is_empty() {
        token.push('-');
    }
    token
}

/// The text of a token; `None` where it isn't one of ours.
pub(crate) fn plain(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            bytes.push(byte);
        } else {
            return None;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    // one spelling only: else a right to one subject could be used for another name
    (!text.is_empty() && self::token(&text) == token).then_some(text)
}

/// The subject of an event.
pub(crate) fn subject(host: &str, driver: &str, operation: &str, object: &str) -> String {
    format!("{ROOT}.{}.{}.{}.{}", token(host), token(driver), token(operation), token(object))
}

/// Host, driver, operation and uuid that a subject names.
pub(crate) fn parts(subject: &str) -> Option<[String; 4]> {
    let rest = subject.strip_prefix(ROOT)?.strip_prefix('.')?;
    let tokens: Vec<&str> = rest.split('.').collect();
    let [host, driver, operation, object] = tokens.as_slice() else { return None };
    Some([plain(host)?, plain(driver)?, plain(operation)?, plain(object)?])
}

#[cfg(test)]
mod tests {
    use super::{parts, plain, subject, token};

    #[test]
    fn a_token_can_be_turned_back() {
        for text in ["node-1.example.org", "a b", "*", ">", "ü", "50%", "web_1", "-"] {
            assert_eq!(plain(&token(text)).as_deref(), Some(text));
            assert!(!token(text).contains(['.', ' ', '*', '>']));
        }
        assert_eq!(token("node-1.example.org"), "node-1%2Eexample%2Eorg");
    }

    #[test]
    fn a_second_spelling_is_none() {
        for wrong in ["%2e", "%41", "a%2", "%", "", "a*b", "%ff"] {
            assert_eq!(plain(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_subject_names_its_parts() {
        let name = subject("node.example", "qemu", "started", "-");
        assert_eq!(name, "hookmux.v1.node%2Eexample.qemu.started.-");
        assert_eq!(parts(&name), Some(["node.example", "qemu", "started", "-"].map(str::to_owned)));
        for wrong in [
            "hookmux.v1.a.b.c",
            "hookmux.v1.a.b.c.d.e",
            "hookmux.v2.a.b.c.d",
            "hookmux.v1a.b.c.d",
            "hookmux.v1..b.c.d",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
