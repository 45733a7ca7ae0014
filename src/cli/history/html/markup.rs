//! Writes markup that is HTML and well-formed XML at once. Text and values of attributes can only come in escaped:
//! tags, names of attributes and classes are the program's own words.

use crate::machine::sanitize;

/// A piece of a page.
#[derive(Default)]
pub(super) struct Markup(String);

/// An attribute: its name and its value.
pub(super) type Attribute<'a> = (&'static str, &'a str);

impl Markup {
    /// Adds an element.
    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        content: impl FnOnce(&mut Markup),
    ) {
        self.open(tag, attributes);
        self.0.push('>');
        content(self);
        self.0.extend(["</", tag, ">"]);
        if is_block(tag) {
            self.0.push('\n');
        }
    }

    /// Adds an element that has only text.
    pub(super) fn with_text(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        text: &str,
    ) {
        self.element(tag, attributes, |it| it.text(text));
    }

    /// Adds an element that never has content.
    pub(super) fn void(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.open(tag, attributes);
        self.0.push_str("/>");
    }

    fn open(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.0.extend(["<", tag]);
        for (name, value) in attributes {
            self.0.extend([" ", *name, "=\""]);
            escape(&sanitize::line(value.as_bytes()), &mut self.0);
            self.0.push('"');
        }
    }

    /// Adds text on one line. What a terminal would take for more than text is escaped as in the text of `show`.
    pub(super) fn text(&mut self, text: &str) {
        escape(&sanitize::line(text.as_bytes()), &mut self.0);
    }

    /// Adds what a program printed, line by line.
    pub(super) fn printed(&mut self, text: &str) {
        for line in text.lines() {
            self.printed_line(line);
            self.0.push('\n');
        }
    }

    /// Adds a line of that, without its end.
    pub(super) fn printed_line(&mut self, line: &str) {
        escape(&sanitize::printed_line(line), &mut self.0);
    }

    /// Adds the name of a hook: its event stands back, and a line may end behind it.
    pub(super) fn hook(&mut self, name: &str) {
        let (event, rest) = name.split_at(name.find('/').map_or(0, |place| place + 1));
        if !event.is_empty() {
            self.with_text("span", &[("class", "event")], event);
            self.void("wbr", &[]);
        }
        self.with_text("span", &[("class", "name")], rest);
    }

    pub(super) fn line_end(&mut self) {
        self.0.push('\n');
    }

    /// Adds something that is markup, or a style sheet, already.
    pub(super) fn own(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Tells whether a line may end behind an element, without a blank that is seen.
fn is_block(tag: &str) -> bool {
    !matches!(tag, "a" | "b" | "code" | "span" | "time" | "strong" | "td" | "th" | "rect" | "title")
}

/// Escapes text for an element or the value of an attribute.
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            // no characters, for XML
            '\u{fffe}' | '\u{ffff}' => into.extend(character.escape_unicode()),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_comes_in_is_markup() {
        let hostile = "</pre><script>alert(1)</script>&amp;\"'\u{1b}[31m\u{202e}\u{0}\u{ffff}";
        let mut page = Markup::default();
        page.element("div", &[("title", hostile)], |it| {
            it.text(hostile);
            it.printed(hostile);
        });
        let text = page.finish();
        assert_eq!(text.matches('<').count(), 2, "{text}");
        let parsed = roxmltree::Document::parse(&text).unwrap();
        let shown = "</pre><script>alert(1)</script>&amp;\"'\\u{1b}[31m\\u{202e}\\u{0}\\u{ffff}";
        assert_eq!(parsed.root_element().attribute("title"), Some(shown));
        assert_eq!(parsed.root_element().text(), Some(format!("{shown}{shown}\n").as_str()));
    }

    #[test]
    fn elements_are_closed() {
        let mut page = Markup::default();
        page.element("p", &[], |it| it.with_text("code", &[("class", "x")], "a<b"));
        page.void("meta", &[("charset", "utf-8")]);
        assert_eq!(
            page.finish(),
            "<p><code class=\"x\">a&lt;b</code></p>\n<meta charset=\"utf-8\"/>"
        );
    }
}
