//! Reads the answer that a program gives on standard output if its registration says `result: status-line`,
//! as cPanel's hooks do: `1` or `0 MESSAGE` on the last line, or `BAILOUT`. Pure.

use crate::machine::sanitize;
use crate::process::capture::Capture;

/// How many characters of the message are kept.
const MAX_MESSAGE_CHARS: usize = 300;
/// The word that stops the call.
const BAILOUT: &[u8] = b"BAILOUT";
/// Some editors put it at the beginning of a script, and PHP prints it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What a program answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StatusAnswer {
    /// Whether it says that it failed.
    pub is_failure: bool,
    /// Whether it asks to stop the call.
    pub bails_out: bool,
    /// Why, for people.
    pub message: Option<String>,
}

/// Reads the answer. Output without one says nothing: then the exit status alone counts.
pub fn read(stdout: &Capture) -> StatusAnswer {
    let (head, lost, tail) = stdout.parts();
    let whole;
    // lines that are cut, or lost, can't be read
    let (first, last): (&[u8], &[u8]) = match lost {
        0 if tail.is_empty() => (head, b""),
        0 => {
            whole = [head, &tail].concat();
            (&whole, b"")
        }
        _ => {
            let end = head.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            let start = tail.iter().position(|byte| *byte == b'\n').unwrap_or(tail.len());
            (&head[..end], &tail[start..])
        }
    };
    let first = first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first);
    let mut bailout = None;
    let mut status = None;
    for line in lines(first).chain(lines(last)) {
        let (word, rest) = split_word(line.trim_ascii_start());
        if word == BAILOUT && bailout.is_none() {
            bailout = Some(rest);
        }
        status = Some(split_word(line));
    }
    // what the middle had can be the last line, if nothing but blank lines follow
    let is_last_lost = lost > 0 && lines(last).next().is_none();
    let failed = match status.filter(|_| !is_last_lost) {
        Some((b"0", message)) => Some(message),
        _ => None,
    };
    let failed = failed.map(|message| match split_word(message) {
        (BAILOUT, rest) => {
            bailout = bailout.or(Some(rest));
            rest
        }
        _ => message,
    });
    let message = [bailout, failed].into_iter().flatten().find(|message| !message.is_empty());
    StatusAnswer {
        is_failure: failed.is_some(),
        bails_out: bailout.is_some(),
        message: message
            .map(|message| sanitize::line(message).chars().take(MAX_MESSAGE_CHARS).collect()),
    }
}

/// Returns the lines that aren't blank, without blanks at their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.filter(|line| !line.is_empty())
}

/// Splits a line into its first word and the rest.
fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (word, rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::capture::{HEAD_BYTES, TAIL_BYTES};

    fn answer(said: impl AsRef<[u8]>) -> StatusAnswer {
        let mut stdout = Capture::default();
        said.as_ref().chunks(4096).for_each(|chunk| stdout.push(chunk));
        read(&stdout)
    }

    fn message(answer: &StatusAnswer) -> &str {
        answer.message.as_deref().unwrap_or_default()
    }

    #[test]
    fn the_last_line_that_is_not_blank_is_the_answer() {
        for (said, is_failure, words) in [
            ("0 no licence", true, "no licence"),
            ("0 no licence\n", true, "no licence"),
            ("0 no licence\r\n", true, "no licence"),
            ("0 no licence  \n\n \r\n\t\n", true, "no licence"),
            ("0\tno licence", true, "no licence"),
            ("1 working\n0 no licence\n", true, "no licence"),
            ("PHP Notice: x\n\n0 no licence", true, "no licence"),
            // `echo "$status $msg"` with an empty message
            ("0 \n", true, ""),
            ("0", true, ""),
            ("\u{feff}0 no licence", true, "no licence"),
            ("1", false, ""),
            ("1 ", false, ""),
            ("1 all well\n", false, ""),
            ("0 not yet\n1 all well", false, ""),
            // none of these is an answer
            ("", false, ""),
            ("\n\n", false, ""),
            ("all well", false, ""),
            ("0 no licence\nbye", false, ""),
            ("00 x", false, ""),
            ("0x", false, ""),
            ("0: x", false, ""),
            ("0.5 x", false, ""),
            ("-0 x", false, ""),
            (" 0 x", false, ""),
            ("2 x", false, ""),
            ("0\0no licence", false, ""),
            ("\0", false, ""),
        ] {
            let seen = answer(said);
            assert_eq!((seen.is_failure, message(&seen)), (is_failure, words), "{said:?}");
            assert!(!seen.bails_out, "{said:?}");
        }
    }

    #[test]
    fn bailout_is_a_word_on_any_line() {
        for (said, is_failure, words) in [
            ("BAILOUT", false, ""),
            ("BAILOUT no licence\n1 all well\n", false, "no licence"),
            ("  BAILOUT\r\n0 no licence\n", true, "no licence"),
            ("0 BAILOUT no licence", true, "no licence"),
            ("0 BAILOUT", true, ""),
        ] {
            let seen = answer(said);
            assert!(seen.bails_out, "{said:?}");
            assert_eq!((seen.is_failure, message(&seen)), (is_failure, words), "{said:?}");
        }
        for said in ["BAILOUTS x", "no BAILOUT", "bailout", "1 BAILOUT", "0 a BAILOUT"] {
            assert!(!answer(said).bails_out, "{said:?}");
        }
    }

    #[test]
    fn a_message_is_one_short_clean_line() {
        let seen = answer(format!("0 \u{1b}[2Jred{}", "x".repeat(5000)));
        let message = message(&seen);
        assert!(!message.contains('\u{1b}') && message.contains("red"), "{message}");
        assert_eq!(message.chars().count(), MAX_MESSAGE_CHARS);
        assert_eq!(answer(b"0 \xff\0y").message.as_deref(), Some(&*sanitize::line(b"\xff\0y")));
    }

    #[test]
    fn of_much_output_the_end_counts() {
        let much = "x\n".repeat(HEAD_BYTES + TAIL_BYTES);
        assert_eq!(message(&answer(format!("{much}0 no licence\n"))), "no licence");
        assert!(!answer(format!("0 no licence\n{much}")).is_failure);
        assert!(answer(format!("BAILOUT\n{much}")).bails_out);
        // between both parts nothing is lost
        let long = "x".repeat(HEAD_BYTES - 5);
        assert_eq!(message(&answer(format!("{long}\n0 no licence"))), "no licence");
        // a line whose beginning is lost is no answer, nor is one that may be lost as a whole
        let long = "x".repeat(HEAD_BYTES + TAIL_BYTES);
        assert!(!answer(format!("{long}0 no licence")).is_failure);
        let blank = "\n".repeat(HEAD_BYTES + TAIL_BYTES);
        assert!(!answer(format!("0 early\n{blank}0 late\n{blank}")).is_failure);
        // a line that was cut isn't read as a whole one
        let cut = format!("{}0 {}", "x\n".repeat(HEAD_BYTES / 2 - 1), "y".repeat(2 * TAIL_BYTES));
        assert!(!answer(cut).is_failure);
    }
}
