//! Reads the text of a shell script line by line: what is code, and what is a comment, a quoted text or a
//! here-document. Pure. It knows as much of a shell's grammar as is needed to find words without false alarms.

/// A line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CodeLine {
    /// From 1.
    pub number: usize,
    /// Its code, with blanks in place of comments and of all that is quoted.
    pub code: String,
    /// The same with what is in double quotes, where a shell expands variables.
    pub expanded: String,
    /// Whether it is in a function, which has arguments of its own.
    pub in_function: bool,
}

/// In what the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Code,
    /// `"…"`
    Double,
    /// `$(…)` in one of the others, with the number of parentheses that are open in it.
    Command(usize),
    /// `${…}`
    Parameter,
}

/// A here-document whose lines follow.
struct Heredoc {
    end: String,
    strips_tabs: bool,
    is_expanded: bool,
}

/// Reads the lines of a script.
pub(super) fn lines(text: &str) -> Vec<CodeLine> {
    let mut reader =
        Reader { contexts: vec![Context::Code], in_single: false, heredocs: Vec::new() };
    let mut functions = Functions::default();
    let mut lines = Vec::new();
    let mut waiting: Vec<Heredoc> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(heredoc) = waiting.first() {
            let bare = if heredoc.strips_tabs { line.trim_start_matches('\t') } else { line };
            let (is_end, is_expanded) = (bare == heredoc.end, heredoc.is_expanded);
            if is_end {
                waiting.remove(0);
            }
            let expanded = if is_expanded && !is_end { line.to_owned() } else { String::new() };
            let in_function = functions.depth > 0;
            lines.push(CodeLine { number, code: String::new(), expanded, in_function });
            continue;
        }
        let (code, expanded) = reader.line(line);
        let in_function = functions.line(&code);
        waiting.append(&mut reader.heredocs);
        lines.push(CodeLine { number, code, expanded, in_function });
    }
    lines
}

struct Reader {
    contexts: Vec<Context>,
    in_single: bool,
    heredocs: Vec<Heredoc>,
}

impl Reader {
    fn context(&self) -> Context {
        self.contexts.last().copied().unwrap_or(Context::Code)
    }

    /// Returns the code of a line, without and with what is in double quotes.
    fn line(&mut self, line: &str) -> (String, String) {
        let chars: Vec<char> = line.chars().collect();
        let (mut code, mut expanded) = (String::new(), String::new());
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            let next = chars.get(at + 1).copied();
            if self.in_single {
                self.in_single = c != '\'';
                push(&mut code, &mut expanded, if c == '\'' { '\'' } else { ' ' }, None);
                at += 1;
                continue;
            }
            if c == '\\' {
                // what follows is no sign of the shell's
                push(&mut code, &mut expanded, ' ', None);
                if next.is_some() {
                    push(&mut code, &mut expanded, ' ', None);
                }
                at += 2;
                continue;
            }
            let context = self.context();
            let is_quoted = context == Context::Double
                || (context == Context::Parameter && self.contexts.contains(&Context::Double));
            match (c, next, context) {
                ('"', _, Context::Double) => {
                    self.contexts.pop();
                    push(&mut code, &mut expanded, '"', None);
                }
                ('"', _, _) => {
                    self.contexts.push(Context::Double);
                    push(&mut code, &mut expanded, '"', None);
                }
                ('$', Some('('), _) => {
                    self.contexts.push(Context::Command(0));
                    push(&mut code, &mut expanded, '$', None);
                    push(&mut code, &mut expanded, '(', None);
                    at += 1;
                }
                ('$', Some('{'), _) => {
                    self.contexts.push(Context::Parameter);
                    push(&mut code, &mut expanded, '$', is_quoted.then_some(' '));
                    push(&mut code, &mut expanded, '{', is_quoted.then_some(' '));
                    at += 1;
                }
                ('}', _, Context::Parameter) => {
                    self.contexts.pop();
                    push(&mut code, &mut expanded, '}', is_quoted.then_some(' '));
                }
                _ if is_quoted => push(&mut code, &mut expanded, c, Some(' ')),
                ('\'', _, Context::Code | Context::Command(_)) => {
                    self.in_single = true;
                    push(&mut code, &mut expanded, '\'', None);
                }
                ('(', _, Context::Command(open)) => {
                    self.set(Context::Command(open + 1));
                    push(&mut code, &mut expanded, c, None);
                }
                (')', _, Context::Command(0)) => {
                    self.contexts.pop();
                    push(&mut code, &mut expanded, c, None);
                }
                (')', _, Context::Command(open)) => {
                    self.set(Context::Command(open - 1));
                    push(&mut code, &mut expanded, c, None);
                }
                ('#', _, Context::Code | Context::Command(_))
                    if at == 0 || chars.get(at - 1).is_some_and(|c| " \t;&|(".contains(*c)) =>
                {
                    break;
                }
                ('<', Some('<'), Context::Code | Context::Command(_)) => {
                    let is_string = chars.get(at + 2) == Some(&'<');
                    let length = if is_string { 3 } else { 2 };
                    for _ in 0..length {
                        push(&mut code, &mut expanded, '<', None);
                    }
                    if !is_string {
                        self.heredocs.extend(heredoc(&chars[at + 2..]));
                    }
                    at += length;
                    continue;
                }
                _ => push(&mut code, &mut expanded, c, None),
            }
            at += 1;
        }
        (code, expanded)
    }

    fn set(&mut self, context: Context) {
        if let Some(last) = self.contexts.last_mut() {
            *last = context;
        }
    }
}

fn push(code: &mut String, expanded: &mut String, c: char, in_code: Option<char>) {
    code.push(in_code.unwrap_or(c));
    expanded.push(c);
}

/// Reads what follows `<<`; `None` where it is no here-document.
fn heredoc(rest: &[char]) -> Option<Heredoc> {
    let strips_tabs = rest.first() == Some(&'-');
    let rest: String = rest.iter().skip(usize::from(strips_tabs)).collect();
    let rest = rest.trim_start_matches([' ', '\t']);
    let begins = rest.chars().next()?;
    // `1 << 2` is arithmetic
    if !(begins.is_alphabetic() || "_'\"\\".contains(begins)) {
        return None;
    }
    let word: String = match begins {
        '\'' | '"' => rest[1..].chars().take_while(|c| *c != begins).collect(),
        _ => {
            let is_part = |c: &char| !c.is_whitespace() && !";|&<>()".contains(*c);
            rest.chars().take_while(is_part).filter(|c| *c != '\\').collect()
        }
    };
    let is_expanded = begins.is_alphabetic() || begins == '_';
    Some(Heredoc { end: word, strips_tabs, is_expanded })
}

/// Counts functions that are open.
#[derive(Default)]
struct Functions {
    /// How many `{` are open since the first function began.
    depth: usize,
    /// Whether its `{` is still to come.
    is_named: bool,
}

impl Functions {
    /// Tells whether a line is in a function, or has one.
    fn line(&mut self, code: &str) -> bool {
        let begins = begins_function(code);
        let was_in = self.depth > 0 || self.is_named;
        self.is_named |= begins && self.depth == 0;
        if self.depth > 0 || self.is_named {
            let padded = code.replace("(){", "() {").replace(';', " ; ");
            for word in padded.split_whitespace() {
                match word {
                    "{" => {
                        self.depth += 1;
                        self.is_named = false;
                    }
                    "}" => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
        was_in || begins
    }
}

/// Tells whether a line begins a function: `name() {`, `function name {`.
fn begins_function(code: &str) -> bool {
    let line = code.trim_start();
    let bare = line.strip_prefix("function ").map(str::trim_start);
    let rest = bare.unwrap_or(line);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.:".contains(c)));
    let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let has_parentheses =
        rest.trim_start().strip_prefix('(').is_some_and(|rest| rest.trim_start().starts_with(')'));
    !name.is_empty() && (has_parentheses || bare.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code.trim_end().to_owned()).collect()
    }

    fn expanded(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.expanded.trim_end().to_owned()).collect()
    }

    #[test]
    fn code_is_told_from_comments_and_quotes() {
        for (text, expected) in [
            ("a # b", "a"),
            ("a#b", "a#b"),
            ("a=${#b} $#", "a=${#b} $#"),
            ("'a # b' c", "'     ' c"),
            ("\"a # b\" c", "\"     \" c"),
            ("\"$(a \"b\" # c", "\"$(a \" \""),
            ("\"$(a 'b')\" c", "\"$(a ' ')\" c"),
            ("a \\# b", "a    b"),
            ("a \\' b", "a    b"),
            ("(a;# b", "(a;"),
            ("\"${a:-b}\" c", "\"       \" c"),
        ] {
            assert_eq!(code(text), [expected], "{text}");
        }
        assert_eq!(expanded("\"$1\" '$2' \\$3")[0], "\"$1\" '  '   3");
        assert_eq!(code("a 'b\nc' d\n"), ["a '", " ' d"]);
        assert_eq!(code("a \"b\nc\" d\n"), ["a \"", " \" d"]);
    }

    #[test]
    fn here_documents_are_no_code() {
        assert_eq!(code("cat <<E\n[[ a\nE\nb"), ["cat <<E", "", "", "b"]);
        assert_eq!(expanded("cat <<E\n$1\nE\n"), ["cat <<E", "$1", ""]);
        assert_eq!(expanded("cat <<'E'\n$1\nE\n")[1], "");
        assert_eq!(code("cat <<-\"E F\"\n\tx\n\tE F\nb"), ["cat <<-\"   \"", "", "", "b"]);
        assert_eq!(code("cat <<A <<B\na\nA\nb\nB\nc")[5], "c");
        assert_eq!(code("x=$((1 << 2))\nb"), ["x=$((1 << 2))", "b"]);
        assert_eq!(code("cat <<< E\nb"), ["cat <<< E", "b"]);
    }

    #[test]
    fn lines_of_functions_are_marked() {
        let in_function = |text: &str| -> Vec<usize> {
            lines(text)
                .into_iter()
                .filter(|line| line.in_function)
                .map(|line| line.number)
                .collect()
        };
        for (text, expected) in [
            ("f() {\n$1\n}\n$1\n", vec![1, 2, 3]),
            ("f()\n{\n$1\n}\n$1\n", vec![1, 2, 3, 4]),
            ("f() { echo $1; }\n$1\n", vec![1]),
            ("function f {\n if x; then { y; }; fi\n}\n$1\n", vec![1, 2, 3]),
            ("f () {\n${a}\n}\n", vec![1, 2, 3]),
            ("(a)\n", vec![]),
            ("x=$(f)\n", vec![]),
        ] {
            assert_eq!(in_function(text), expected, "{text}");
        }
    }
}
