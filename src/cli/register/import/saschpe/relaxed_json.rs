//! JSON as saschpe's hook takes it, and as people write it: with `//` and `/* */` comments. Commas before a closing
//! bracket are taken too: its own example has had one.

use serde_json::Value;

/// Reads a text.
///
/// # Errors
/// It is no JSON; says where.
pub fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(&strict(text)).map_err(|error| error.to_string())
}

/// Returns the text with blanks for comments and for commas that end a list. Lines and columns stay.
fn strict(text: &str) -> String {
    let mut out: Vec<char> = Vec::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    // where the last comma stands, if only blanks came since
    let mut comma = None;
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('"', _) => {
                comma = None;
                out.push(c);
                while let Some(c) = rest.next() {
                    out.push(c);
                    match c {
                        '"' => break,
                        '\\' => out.extend(rest.next()),
                        _ => {}
                    }
                }
            }
            ('/', Some('/')) => {
                out.push(' ');
                while let Some(c) = rest.next_if(|c| *c != '\n') {
                    out.push(if c == '\r' { c } else { ' ' });
                }
            }
            ('/', Some('*')) => {
                // the star that opens it doesn't close it too
                rest.next();
                out.extend([' ', ' ']);
                let mut before = ' ';
                for c in rest.by_ref() {
                    out.push(if c == '\n' { c } else { ' ' });
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
            }
            (',', _) => {
                comma = Some(out.len());
                out.push(c);
            }
            ('}' | ']', _) => {
                if let Some(at) = comma.take() {
                    out[at] = ' ';
                }
                out.push(c);
            }
            (c, _) => {
                if !c.is_whitespace() {
                    comma = None;
                }
                out.push(c);
            }
        }
    }
    out.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is JSON already means the same, and its text stays as it is.
    #[test]
    fn strict_json_stays_as_it_is() {
        for text in [
            r#"{"a//": ["/*", ",]", "\\\"", ",}", "*/"], "b": {"c": [1, -2.5e3, true, null]}}"#,
            r#""\\""#,
            r#"["\"//", "ä€", "\u002f\u002f"]"#,
            "[]",
            "{ }",
        ] {
            assert_eq!(strict(text), text);
            assert_eq!(parse(text), serde_json::from_str(text).map_err(|_| String::new()));
        }
    }
}
