//! OpenNebula's template syntax: `NAME = VALUE`, `NAME = "VALUE"`, `NAME = [ A = b, C = d ]`, comments with
//! `#`. Names may be written in capitals or not.

/// The most attributes of a template, and the most templates of a file.
const MAX_ATTRIBUTES: usize = 200;
const MAX_TEMPLATES: usize = 1000;

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateValue {
    Single(String),
    Vector(Vec<(String, String)>),
}

/// An attribute. Its name is in capitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub value: TemplateValue,
    pub line: usize,
}

/// A mistake, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxMistake {
    pub line: usize,
    pub message: String,
}

/// Reads a file with one or more templates. Each further `NAME` begins the next one.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Vec<Vec<Attribute>>, SyntaxMistake> {
    let mut templates: Vec<Vec<Attribute>> = Vec::new();
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    while let Some(attribute) = reader.attribute()? {
        let is_next = |current: &Vec<Attribute>| {
            attribute.name == "NAME" && current.iter().any(|known| known.name == "NAME")
        };
        if templates.last().is_none_or(is_next) {
            templates.push(Vec::new());
        }
        let count = templates.len();
        let Some(current) = templates.last_mut() else { continue };
        if count > MAX_TEMPLATES || current.len() >= MAX_ATTRIBUTES {
            return Err(SyntaxMistake {
                line: attribute.line,
                message: format!(
                    "it is too much: at most {MAX_ATTRIBUTES} attributes in a template, and {MAX_TEMPLATES} templates in a file"
                ),
            });
        }
        if let Some(known) = current.iter().find(|known| known.name == attribute.name) {
            return Err(SyntaxMistake {
                line: attribute.line,
                message: format!(
                    "`{}` is in line {} already; a template begins with its NAME, if the file has more than one",
                    known.name, known.line
                ),
            });
        }
        current.push(attribute);
    }
    Ok(templates)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn mistake<T>(&self, message: impl Into<String>) -> Result<T, SyntaxMistake> {
        Err(SyntaxMistake { line: self.line, message: message.into() })
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Skips blanks, ends of lines and comments.
    fn skip_gap(&mut self) {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.advance(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    /// Skips blanks on this line.
    fn skip_blanks(&mut self) {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r']);
        self.advance(self.rest.len() - rest.len());
    }

    fn attribute(&mut self) -> Result<Option<Attribute>, SyntaxMistake> {
        self.skip_gap();
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.rest.starts_with('<') {
            return self.mistake(
                "this is XML, and a template as text is expected: NAME = VALUE, one a line",
            );
        }
        let line = self.line;
        let name = self.name()?;
        self.skip_blanks();
        let value = match self.rest.starts_with('[') {
            true => TemplateValue::Vector(self.vector()?),
            false => TemplateValue::Single(self.value(&['\n'])?),
        };
        Ok(Some(Attribute { name, value, line }))
    }

    /// Reads a name and the `=` after it.
    fn name(&mut self) -> Result<String, SyntaxMistake> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        if end == 0 {
            let word: String = self.rest.chars().take_while(|c| !c.is_whitespace()).collect();
            return self.mistake(format!("`{word}` is not a name: write NAME = VALUE"));
        }
        let name = self.advance(end).to_ascii_uppercase();
        self.skip_blanks();
        if !self.rest.starts_with('=') {
            return self.mistake(format!("`{name}` has no `=`: write {name} = VALUE"));
        }
        self.advance(1);
        Ok(name)
    }

    /// Reads a value in quotes, or without them up to a comment or one of these characters.
    fn value(&mut self, ends: &[char]) -> Result<String, SyntaxMistake> {
        if !self.rest.starts_with('"') {
            let end = self.rest.find(|c| c == '#' || ends.contains(&c));
            let taken = self.advance(end.unwrap_or(self.rest.len()));
            return Ok(taken.trim().to_owned());
        }
        let began = self.line;
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1).peekable();
        let mut end = None;
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                '\\' if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                    value.extend(characters.next().map(|(_, quote)| quote));
                }
                c => value.push(c),
            }
        }
        let Some(end) = end else {
            return Err(SyntaxMistake {
                line: began,
                message: "a quote that is opened here is never closed".to_owned(),
            });
        };
        self.advance(end);
        self.skip_blanks();
        let is_end =
            self.rest.is_empty() || self.rest.starts_with('#') || self.rest.starts_with(ends);
        if !is_end {
            return self.mistake("there is something after the closing quote");
        }
        Ok(value)
    }

    fn vector(&mut self) -> Result<Vec<(String, String)>, SyntaxMistake> {
        let began = self.line;
        self.advance(1);
        let mut pairs = Vec::new();
        loop {
            self.skip_gap();
            if self.rest.starts_with(']') {
                self.advance(1);
                return Ok(pairs);
            }
            if self.rest.starts_with(',') && !pairs.is_empty() {
                self.advance(1);
                continue;
            }
            if self.rest.is_empty() {
                return Err(SyntaxMistake {
                    line: began,
                    message: "a `[` that is opened here is never closed".to_owned(),
                });
            }
            let name = self.name()?;
            self.skip_blanks();
            pairs.push((name, self.value(&['\n', ',', ']'])?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Vec<(String, String)>>, String> {
        let templates = parse(text).map_err(|it| format!("{}: {}", it.line, it.message))?;
        let shown = |value: TemplateValue| match value {
            TemplateValue::Single(text) => text,
            TemplateValue::Vector(pairs) => format!("{pairs:?}"),
        };
        let pair = |attribute: Attribute| (attribute.name, shown(attribute.value));
        Ok(templates.into_iter().map(|one| one.into_iter().map(pair).collect()).collect())
    }

    #[test]
    fn values_are_read_as_opennebula_reads_them() {
        for (text, expected) in [
            ("NAME = hook-vm", "hook-vm"),
            ("name=\"log_new_user.rb\"\n", "log_new_user.rb"),
            ("  Name\t=   x  \r\n", "x"),
            ("# c\n\n   # d\nNAME = x # e\n", "x"),
            ("NAME=\"a # b\"", "a # b"),
            ("NAME = \"say \\\"hi\\\" \\n\"", "say \"hi\" \\n"),
            ("NAME = \"two\nlines\" # c", "two\nlines"),
            ("NAME = $TEMPLATE pending", "$TEMPLATE pending"),
            ("NAME =\n", ""),
            ("NAME = \"\"", ""),
            ("\u{feff}NAME = \u{fc}", "\u{fc}"),
            ("NAME = [ A = b, c=\"d, ]\",\n E = f ]", r#"[("A", "b"), ("C", "d, ]"), ("E", "f")]"#),
            ("NAME = [\n LOG = 10 ]", r#"[("LOG", "10")]"#),
            ("NAME = [ ]", "[]"),
        ] {
            assert_eq!(read(text), Ok(vec![vec![("NAME".into(), expected.into())]]), "{text:?}");
        }
        assert_eq!(read("# nothing\n"), Ok(vec![]));
    }

    #[test]
    fn a_file_may_have_several_templates() {
        let names = |text: &str| read(text).map(|all| all.iter().map(Vec::len).collect::<Vec<_>>());
        assert_eq!(names("NAME=a\nTYPE=x\nNAME=b\nTYPE=y\nON=z\n"), Ok(vec![2, 3]));
        assert_eq!(names("TYPE=x\nNAME=a\nNAME=b\n"), Ok(vec![2, 1]));
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, expected) in [
            ("NAME = a\nTYPE\n", "2: `TYPE` has no `=`"),
            ("\n= a\n", "2: `=` is not a name"),
            ("NAME = \"a\nb\n", "1: a quote that is opened here"),
            ("NAME = \"a\" b\n", "1: there is something after"),
            ("NAME = a\nX = [ A = b\nY = c", "2: a `[` that is opened here"),
            ("NAME = a\nTYPE = x\ntype = y\n", "3: `TYPE` is in line 2 already"),
            (&"NAME=a\n".repeat(1001), "1001: it is too much"),
            (&(0..201).map(|n| format!("A{n}=\n")).collect::<String>(), "201: it is too much"),
            ("<HOOK><NAME>a</NAME></HOOK>", "1: this is XML"),
        ] {
            let mistake = read(text).unwrap_err();
            assert!(mistake.starts_with(expected), "{text:?}: {mistake}");
        }
    }
}
