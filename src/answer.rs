//! The answer to libvirt.

use std::io::{self, Write};

use crate::libvirt::{Call, Class};
use crate::machine::{sanitize, truncate};
use crate::process::exit_status::OWN_ERROR;
use crate::verdict::{self, HookFailure};

/// What libvirt gets from a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: i32,
    /// A changed document; only at filter calls.
    pub stdout: Option<Vec<u8>>,
    pub stderr: String,
}

impl Answer {
    /// Makes one with a message and no document.
    pub(crate) fn error(status: i32, stderr: String) -> Answer {
        Answer { status, stdout: None, stderr }
    }

    /// Adds undos that failed. They refuse nothing: where libvirt only logs a failure it is told of them, elsewhere
    /// only if the call has failed anyway.
    pub(crate) fn add_undos(&mut self, call: &Call, failures: Vec<HookFailure>) {
        if call.class() == Class::Notify && self.status == 0 {
            self.status = failures.first().map_or(0, |failure| failure.status);
        }
        if self.status != 0 && !failures.is_empty() {
            self.stderr.push_str(&verdict::stderr_text(&failures));
            truncate(&mut self.stderr);
        }
    }
}

/// Makes the answer from the failures of hooks and from hookmux's own errors.
pub(crate) fn conclude(
    call: &Call,
    own_errors: &[String],
    failures: &[HookFailure],
    is_terminated: bool,
) -> Answer {
    let mut status = verdict::status(call.class(), failures, is_terminated);
    let mut stderr = String::new();
    if !own_errors.is_empty() && call.class() == Class::Gate {
        for error in own_errors {
            stderr.push_str(&format!("hookmux: {}\n", sanitize::line(error.as_bytes())));
        }
        if status == 0 {
            status = OWN_ERROR;
        }
    }
    if status != 0 {
        stderr.push_str(&verdict::stderr_text(failures));
        if is_terminated && failures.is_empty() {
            stderr.push_str("hookmux: ended by SIGTERM\n");
        }
        truncate(&mut stderr);
    } else {
        stderr.clear();
    }
    Answer { status, stdout: None, stderr }
}

fn truncate(text: &mut String) {
    if text.len() > verdict::MAX_STDERR_BYTES {
        text.truncate(truncate::keep_start(text, verdict::MAX_STDERR_BYTES - 1).len());
        text.push('\n');
    }
}

/// Writes an answer, and returns its final status. If libvirt can't get the whole document, the call fails,
/// so that it doesn't use a part.
pub(crate) fn write_answer(answer: &Answer) -> i32 {
    if answer.stdout.as_ref().is_some_and(|document| print(document).is_err()) {
        return OWN_ERROR;
    }
    if !answer.stderr.is_empty() {
        // a closed standard error has no effect
        let _ = write(io::stderr().lock(), answer.stderr.as_bytes());
    }
    answer.status
}

/// Prints a document for libvirt.
///
/// # Errors
/// The document could not be written completely.
pub(crate) fn print(document: &[u8]) -> io::Result<()> {
    write(io::stdout().lock(), document)
}

fn write(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Driver;

    const GATE: [&str; 2] = ["prepare", "begin"];
    /// A gate at which libvirt takes a document.
    const FILTER: [&str; 2] = ["migrate", "begin"];
    const LIVE: [&str; 2] = ["started", "begin"];
    const NOTIFY: [&str; 2] = ["stopped", "end"];
    /// An operation that this version doesn't know.
    const UNKNOWN: [&str; 2] = ["paused", "begin"];

    fn call([operation, sub]: [&str; 2]) -> Call {
        Call::new(Driver::Qemu, ["g", operation, sub, "-"].map(Into::into).into())
    }

    fn failure(label: &str, status: i32) -> HookFailure {
        HookFailure {
            label: label.to_owned(),
            status,
            what: format!("exit status {status}"),
            stderr: Vec::new(),
            kill: false,
            is_tolerated: false,
        }
    }

    fn killing(label: &str, status: i32) -> HookFailure {
        HookFailure { kill: true, ..failure(label, status) }
    }

    fn tolerated(label: &str, status: i32) -> HookFailure {
        HookFailure { is_tolerated: true, ..failure(label, status) }
    }

    fn conclude_by_words(
        words: [&str; 2],
        troubles: &[&str],
        failures: &[HookFailure],
        is_terminated: bool,
    ) -> Answer {
        let troubles: Vec<String> = troubles.iter().map(|&words| words.to_owned()).collect();
        conclude(&call(words), &troubles, failures, is_terminated)
    }

    #[test]
    fn the_class_decides_what_libvirt_is_told_of_failures_and_of_our_own_trouble() {
        type Row<'a> = ([&'a str; 2], &'a [&'a str], &'a [HookFailure], bool, i32, &'a [&'a str]);
        const A3: &str = "hookmux: a: exit status 3";
        const B4: &str = "hookmux: b: exit status 4";
        const T6: &str = "hookmux: t: exit status 6";
        const OURS: &str = "hookmux: settings lost";
        const TERM: &str = "hookmux: ended by SIGTERM";
        let (a, b, t) = (failure("a", 3), failure("b", 4), tolerated("t", 6));
        let (k, ours) = (killing("k", 5), "settings lost");
        let one = std::slice::from_ref::<HookFailure>;
        // the operation, troubles of our own, failures, whether SIGTERM came; then the exit status and
        // the lines on standard error
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            // all is well: nothing is said
            (GATE,    &[],            &[],                     false, 0,   &[]),
            (FILTER,  &[],            &[],                     false, 0,   &[]),
            (LIVE,    &[],            &[],                     false, 0,   &[]),
            (NOTIFY,  &[],            &[],                     false, 0,   &[]),
            (UNKNOWN, &[],            &[],                     false, 0,   &[]),
            // one that fails
            (GATE,    &[],            one(&a),                 false, 3,   &[A3]),
            (FILTER,  &[],            one(&a),                 false, 3,   &[A3]),
            (LIVE,    &[],            one(&a),                 false, 0,   &[]),
            (NOTIFY,  &[],            one(&a),                 false, 3,   &[A3]),
            (UNKNOWN, &[],            one(&a),                 false, 0,   &[]),
            // one whose failure libvirt is to be told also where it kills
            (GATE,    &[],            one(&k),                 false, 5,   &["hookmux: k: exit status 5"]),
            (LIVE,    &[],            one(&k),                 false, 5,   &["hookmux: k: exit status 5"]),
            (NOTIFY,  &[],            one(&k),                 false, 5,   &["hookmux: k: exit status 5"]),
            (UNKNOWN, &[],            one(&k),                 false, 5,   &["hookmux: k: exit status 5"]),
            // one whose failure changes nothing, and is told only beside others
            (GATE,    &[],            one(&t),                 false, 0,   &[]),
            (LIVE,    &[],            one(&t),                 false, 0,   &[]),
            (NOTIFY,  &[],            one(&t),                 false, 0,   &[]),
            (GATE,    &[],            &[t.clone(), a.clone()], false, 3,   &[T6, A3]),
            // several: the first that counts
            (GATE,    &[],            &[a.clone(), b.clone()], false, 3,   &[A3, B4]),
            (GATE,    &[],            &[b.clone(), a.clone()], false, 4,   &[B4, A3]),
            (NOTIFY,  &[],            &[b.clone(), a.clone()], false, 4,   &[B4, A3]),
            (LIVE,    &[],            &[a.clone(), b.clone()], false, 0,   &[]),
            (LIVE,    &[],            &[a.clone(), k.clone()], false, 5,   &[A3, "hookmux: k: exit status 5"]),
            // trouble of our own shuts a gate, and nothing else
            (GATE,    &[ours],        &[],                     false, 125, &[OURS]),
            (FILTER,  &[ours],        &[],                     false, 125, &[OURS]),
            (LIVE,    &[ours],        &[],                     false, 0,   &[]),
            (NOTIFY,  &[ours],        &[],                     false, 0,   &[]),
            (UNKNOWN, &[ours],        &[],                     false, 0,   &[]),
            (GATE,    &[ours, "2nd"], &[],                     false, 125, &[OURS, "hookmux: 2nd"]),
            // beside failures: a hook's own status, the trouble in front
            (GATE,    &[ours],        one(&a),                 false, 3,   &[OURS, A3]),
            (GATE,    &[ours],        one(&t),                 false, 125, &[OURS, T6]),
            (NOTIFY,  &[ours],        one(&a),                 false, 3,   &[A3]),
            (LIVE,    &[ours],        one(&k),                 false, 5,   &["hookmux: k: exit status 5"]),
            // SIGTERM: whatever else there was, and never at what runs
            (GATE,    &[],            &[],                     true,  143, &[TERM]),
            (FILTER,  &[],            &[],                     true,  143, &[TERM]),
            (NOTIFY,  &[],            &[],                     true,  143, &[TERM]),
            (LIVE,    &[],            &[],                     true,  0,   &[]),
            (UNKNOWN, &[],            &[],                     true,  0,   &[]),
            (GATE,    &[],            one(&a),                 true,  143, &[A3]),
            (NOTIFY,  &[],            one(&t),                 true,  143, &[T6]),
            (LIVE,    &[],            one(&k),                 true,  0,   &[]),
            (GATE,    &[ours],        &[],                     true,  143, &[OURS, TERM]),
            (NOTIFY,  &[ours],        &[],                     true,  143, &[TERM]),
            (LIVE,    &[ours],        one(&k),                 true,  0,   &[]),
        ];
        for (index, (words, troubles, failures, is_terminated, status, lines)) in
            table.iter().enumerate()
        {
            let answer = conclude_by_words(*words, troubles, failures, *is_terminated);
            let stderr: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let expected = Answer { status: *status, stdout: None, stderr };
            assert_eq!(answer, expected, "row {index}: {words:?} {troubles:?} {failures:?}");
        }
    }

    #[test]
    fn what_libvirt_reads_is_bounded_and_ends_with_a_line() {
        let long = "é".repeat(3000);
        let many: Vec<HookFailure> = (0..1000).map(|n| failure(&format!("hook-{n}"), 3)).collect();
        let chatty = HookFailure { stderr: "x\n".repeat(9000).into(), ..failure("chatty", 3) };
        for (troubles, failures, is_cut) in [
            (vec![long.as_str()], vec![], true),
            (vec![long.as_str(), "second"], many.clone(), true),
            (vec!["short"; 1000], vec![], true),
            // the words of failures keep within it by themselves
            (vec![], many.clone(), false),
            (vec![], vec![chatty.clone()], false),
            // with a trouble in front they don't
            (vec!["short"], vec![chatty], true),
        ] {
            let answer = conclude_by_words(GATE, &troubles, &failures, false);
            let (length, most) = (answer.stderr.len(), verdict::MAX_STDERR_BYTES);
            assert!(answer.stderr.ends_with('\n'), "{:?}", answer.stderr);
            assert!(length <= most, "{length}");
            // no more is cut off than has to be: not even half of an `é` too much
            assert!(!is_cut || length >= most - 1, "{length}");
        }
    }

    #[test]
    fn words_of_our_own_can_neither_begin_a_line_nor_move_a_cursor() {
        let answer = conclude_by_words(GATE, &["a\nhookmux: b\u{1b}[2J"], &[], false);
        assert_eq!(answer.stderr.lines().count(), 1, "{:?}", answer.stderr);
        assert!(!answer.stderr.contains('\u{1b}'), "{:?}", answer.stderr);
    }
}
