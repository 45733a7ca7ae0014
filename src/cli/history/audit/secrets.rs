//! Hides what looks like a secret in the words of a command. A user may give a hook a password among its
//! arguments; it is then in the registration, and must be nowhere else.

use crate::record::mask;

const MASK: &str = "***";
/// Parts of names that have secret values.
const SECRET_NAMES: [&str; 9] = [
    "passwd",
    "password",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api-key",
    "api_key",
    "credential",
];

/// Hides secrets in all words of a command; an option that names a secret hides the word after it.
pub(super) fn hide_words(words: &[String]) -> Vec<String> {
    let mut is_value = false;
    words
        .iter()
        .map(|word| {
            let hidden =
                if is_value && !word.starts_with('-') { MASK.to_owned() } else { hide(word) };
            is_value = word.starts_with('-') && names_secret(word);
            hidden
        })
        .collect()
}

/// Hides the values of such names, and the passwords in addresses.
pub(super) fn hide(text: &str) -> String {
    let text = mask::text(text);
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = &text;
    while let Some(start) = rest.find(is_name_char) {
        let (before, from_name) = rest.split_at(start);
        out.push_str(before);
        let end = from_name.find(|c| !is_name_char(c)).unwrap_or(from_name.len());
        let (name, after) = from_name.split_at(end);
        out.push_str(name);
        rest = after;
        if names_secret(name) {
            let value = separator(name, after);
            if let Some((separator, value)) = value {
                out.push_str(separator);
                let length = value_length(value);
                if length > 0 {
                    out.push_str(MASK);
                }
                rest = &value[length..];
            }
        }
    }
    out.push_str(rest);
    without_passwords_of_addresses(&out)
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}

fn names_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|key| lower.contains(key))
}

/// Splits the separator from a value: `=` or `:` with blanks and an opening quote, or only blanks after an
/// option.
fn separator<'a>(name: &str, after: &'a str) -> Option<(&'a str, &'a str)> {
    let is_blank = |c: char| c.is_whitespace();
    // the name may be quoted itself, as in JSON
    let bare = after.trim_start_matches(['"', '\'']).trim_start_matches(is_blank);
    let value = match bare.strip_prefix(['=', ':']) {
        Some(value) => value.trim_start_matches(is_blank),
        None if name.starts_with('-') && after.starts_with(is_blank) && !bare.starts_with('-') => {
            bare
        }
        None => return None,
    };
    // an address, `secret://…`, is not a value
    if value.starts_with("//") {
        return None;
    }
    Some(after.split_at(after.len() - value.len()))
}

/// Returns the length of a value, up to its closing quote or the next delimiter, quotes included.
fn value_length(value: &str) -> usize {
    if let Some(quote) = value.chars().next().filter(|c| ['"', '\''].contains(c)) {
        return value[1..].find(quote).map_or(value.len(), |end| end + 2);
    }
    value.find(|c: char| c.is_whitespace() || "\"'&;,)]}".contains(c)).unwrap_or(value.len())
}

/// Hides passwords in addresses: `https://user:***@host`.
fn without_passwords_of_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let authority = &after[..after
            .find(|c: char| c.is_whitespace() || "/?#\"'".contains(c))
            .unwrap_or(after.len())];
        rest = after;
        if let Some((user, _)) = authority.rsplit_once('@').and_then(|(who, _)| who.split_once(':'))
        {
            out.push_str(user);
            out.push(':');
            out.push_str(MASK);
            rest = &after[authority.rfind('@').unwrap_or_default()..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else_is() {
        for (text, hidden) in [
            ("--args=--token=abc", "--args=--token=***"),
            ("guard --password abc --undo", "guard --password *** --undo"),
            ("guard --password-file --undo", "guard --password-file --undo"),
            ("PGPASSWORD=a;b", "PGPASSWORD=***;b"),
            (r#"{"client_secret": "a b", "x": 1}"#, r#"{"client_secret": ***, "x": 1}"#),
            ("Api-Key: 'a b' c", "Api-Key: *** c"),
            ("curl https://u:p@host/x?token=t&y=1", "curl https://u:***@host/x?token=***&y=1"),
            ("nats://host:4222", "nats://host:4222"),
            ("<graphics passwd='abc'/>", "<graphics passwd=***/>"),
            ("secret-rotator", "secret-rotator"),
            ("delete token guard", "delete token guard"),
            ("ticket 4711: tokens ran out", "ticket 4711: tokens ran out"),
            ("", ""),
            ("gr\u{fc}n password=\u{fc}", "gr\u{fc}n password=***"),
        ] {
            assert_eq!(hide(text), hidden, "{text}");
        }
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            hide_words(&words(&["x", "--token", "abc", "y"])),
            words(&["x", "--token", "***", "y"])
        );
        assert_eq!(hide_words(&words(&["--token", "--yes"])), words(&["--token", "--yes"]));
        assert_eq!(hide_words(&words(&["delete", "token", "x"])), words(&["delete", "token", "x"]));
    }
}
