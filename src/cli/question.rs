//! What would lose something is asked first, on a terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use super::End;
use super::output::Output;

/// Asks whether to go on. `None` is yes; else nothing is done, and the command ends so: where nobody
/// can be asked, as wrong usage does.
pub fn refused(question: &str, is_answered: bool, output: &mut Output) -> Option<End> {
    if is_answered {
        return None;
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        output.complain(&format!(
            "{question} There is no terminal to ask on: --yes answers. Nothing was done."
        ));
        return Some(End::Unanswered);
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let is_read = io::stdin().lock().read_line(&mut answer).is_ok();
    if is_read && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return None;
    }
    output.complain("nothing was done");
    Some(End::Declined)
}
