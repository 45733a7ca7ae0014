//! What a hook's program was started with, as a record tells it: as words for programs, and as a line for people.

use std::path::Path;

use crate::cli::register::module;
use crate::command::quoted;
use crate::config::template::{DOCUMENT_WORD, Template};
use crate::observer::CommandLine;
use crate::record::form::RunRecord;
use crate::record::text::RecordText;

/// Returns the program with its arguments as a line for a shell. Without `is_full`, `…` stands for a program's
/// text among them, such as the lines that load a module. Placeholders have their values, but for the
/// document, and what another version wrote. `None` where it isn't recorded.
pub(crate) fn line(run: &RunRecord, libvirts: &[RecordText], is_full: bool) -> Option<String> {
    let command = run.command.as_ref()?;
    let mut words = vec![quoted(run.path.os())];
    words.extend(command.fixed.iter().map(|word| match is_full || !word.contains('\n') {
        true => quoted(word),
        false => "…".to_owned(),
    }));
    if !command.args_stdin {
        words.extend(command.args.iter().map(|argument| shown(argument, command)));
    }
    if command.has_libvirts {
        words.extend(libvirts.iter().map(|argument| quoted(argument.os())));
    }
    Some(words.join(" "))
}

/// Returns the lines that follow it: what it got on standard input, and the size of the document among its
/// arguments.
pub(crate) fn notes(command: &CommandLine) -> Vec<String> {
    let mut notes = Vec::new();
    if command.args_stdin && !command.args.is_empty() {
        let lines: Vec<String> =
            command.args.iter().map(|argument| shown(argument, command)).collect();
        notes.push(format!("on standard input, one on each line: {}", lines.join(" ")));
    }
    if let Some(bytes) = command.document_bytes {
        notes.push(format!("${DOCUMENT_WORD} stood for the document of {bytes} bytes"));
    }
    notes
}

/// Returns an argument with the values of its placeholders, quoted.
fn shown(argument: &str, command: &CommandLine) -> String {
    let Ok(template) = Template::parse(argument) else { return quoted(argument) };
    let mut is_whole = true;
    let filled = template.fill(&mut |word| match command.values.get(word) {
        Some(value) => value.clone().into_bytes(),
        None => {
            is_whole = false;
            format!("${{{word}}}").into_bytes()
        }
    });
    let filled = String::from_utf8_lossy(&filled).into_owned();
    if is_whole {
        return quoted(filled);
    }
    // as a script would write it
    let escaped = filled.replace('\\', "\\\\").replace('"', "\\\"").replace('`', "\\`");
    format!("\"{escaped}\"")
}

/// Returns the function of a module that a hook calls, with its arguments, in place of the program's text that
/// loads the module.
pub(crate) fn function(run: &RunRecord) -> Option<String> {
    let (words, command) = (words(run)?, run.command.as_ref()?);
    let (module, function) = module::called_function(&words)?;
    let interpreter = words.first()?;
    let args: String = match command.args_stdin {
        true => String::new(),
        false => command.args.iter().map(|word| format!(" {}", shown(word, command))).collect(),
    };
    Some(format!("{function} of {module}, by {interpreter}{args}; --full shows the command"))
}

/// Returns the program and its fixed arguments, for programs.
pub(crate) fn words(run: &RunRecord) -> Option<Vec<String>> {
    let command = run.command.as_ref()?;
    let program = Path::new(&run.path.os()).to_string_lossy().into_owned();
    Some(std::iter::once(program).chain(command.fixed.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> RunRecord {
        let command = CommandLine {
            fixed: vec!["-c".to_owned(), "it's".to_owned()],
            args: args.iter().map(|argument| (*argument).to_owned()).collect(),
            values: [("NAME".to_owned(), "web 1".to_owned())].into_iter().collect(),
            document_bytes: Some(4123),
            ..CommandLine::default()
        };
        let path = RecordText(b"/bin/x".to_vec());
        RunRecord { path, command: Some(command), ..RunRecord::default() }
    }

    #[test]
    fn placeholders_have_their_values_and_the_document_stays_one() {
        for (args, expected) in [
            (&[][..], r#"/bin/x -c "it's""#),
            (&["one", "$XML_BASE64"], r#"/bin/x -c "it's" one "${XML_BASE64}""#),
            (&["--guest=$NAME", "$$5"], r#"/bin/x -c "it's" '--guest=web 1' '$5'"#),
            (&["a\"b$XML_BASE64"], r#"/bin/x -c "it's" "a\"b${XML_BASE64}""#),
            // of a newer version
            (&["$LATER"], r#"/bin/x -c "it's" '$LATER'"#),
            // it had no value then
            (&["$UUID"], r#"/bin/x -c "it's" "${UUID}""#),
        ] {
            assert_eq!(line(&run(args), &[], false).unwrap(), expected);
        }
        assert_eq!(line(&RunRecord::default(), &[], false), None);
    }

    #[test]
    fn a_programs_text_is_shown_where_everything_is() {
        let mut run = run(&["one"]);
        run.command.as_mut().unwrap().fixed = vec!["-c".to_owned(), "a\nb".to_owned()];
        assert_eq!(line(&run, &[], false).unwrap(), "/bin/x -c … one");
        assert!(line(&run, &[], true).unwrap().contains("b"));
    }

    #[test]
    fn libvirts_arguments_follow_and_lines_of_standard_input_do_not() {
        let libvirts = ["vm", "stopped", "end", "-"].map(|it| RecordText(it.into()));
        let mut run = run(&["one", "$NAME"]);
        let command = run.command.as_mut().unwrap();
        (command.args_stdin, command.has_libvirts) = (true, true);
        assert_eq!(line(&run, &libvirts, false).unwrap(), r#"/bin/x -c "it's" vm stopped end -"#);
        assert_eq!(
            notes(run.command.as_ref().unwrap()),
            [
                "on standard input, one on each line: one 'web 1'",
                "$XML_BASE64 stood for the document of 4123 bytes"
            ]
        );
    }
}
