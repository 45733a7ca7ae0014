//! A man page that is made of the program's tables. The roff crate quotes what troff would read.

use roff::{Inline, Roff, bold, italic, roman};

/// A page in the making.
pub(super) struct Page {
    roff: Roff,
}

impl Page {
    /// Makes a page with its title line and NAME.
    pub(super) fn new(name: &str, section: &str, what: &str) -> Page {
        let mut roff = Roff::new();
        let version = concat!("hookmux ", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [name, section, "", version, "hookmux"]);
        let mut page = Page { roff };
        page.section("NAME");
        page.roff.text([roman(format!("{name} - {what}"))]);
        page
    }

    /// Makes the end of a page that another one begins.
    pub(super) fn more() -> Page {
        Page { roff: Roff::new() }
    }

    pub(super) fn section(&mut self, title: &str) -> &mut Page {
        self.roff.control("SH", [title]);
        self
    }

    /// Adds a paragraph. Words between backquotes are bold.
    pub(super) fn text(&mut self, text: &str) -> &mut Page {
        self.roff.control("PP", []);
        self.roff.text(inline(text));
        self
    }

    /// Adds a term with its explanation.
    pub(super) fn term(&mut self, term: &str, text: &str) -> &mut Page {
        self.roff.control("TP", []);
        self.roff.text([bold(term)]);
        self.roff.text(inline(text));
        self
    }

    /// Adds lines as they are.
    pub(super) fn lines(&mut self, text: &str) -> &mut Page {
        self.roff.control("PP", []).control("nf", []).control("RS", ["4"]);
        for line in text.lines() {
            self.roff.text([roman(if line.is_empty() { " " } else { line })]);
        }
        self.roff.control("RE", []).control("fi", []);
        self
    }

    pub(super) fn see_also(&mut self, pages: &[&str]) -> &mut Page {
        self.section("SEE ALSO");
        let mut words = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            let (name, section) = page.split_once('(').unwrap_or((page, ""));
            words.push(bold(name));
            let comma = if index + 1 < pages.len() { ", " } else { "" };
            words.push(roman(format!("({section}{comma}")));
        }
        self.roff.text(words);
        self
    }

    pub(super) fn render(&self) -> Vec<u8> {
        self.roff.to_roff().into_bytes()
    }
}

/// Returns a text whose words between backquotes are bold, and those between `<` and `>` italic.
fn inline(text: &str) -> Vec<Inline> {
    let pieces = text.split('`').enumerate();
    pieces
        .filter(|(_, piece)| !piece.is_empty())
        .map(|(index, piece)| match (index % 2, piece.strip_prefix('<')) {
            (0, _) => roman(piece),
            (_, Some(word)) => italic(word.trim_end_matches('>')),
            _ => bold(piece),
        })
        .collect()
}
