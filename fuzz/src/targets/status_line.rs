//! The answer on a program's last line: read by two ways, in one piece and in many.

use hookmux::for_tests::process::capture::Capture;
use hookmux::for_tests::verdict::status_line::{StatusAnswer, read};

use super::{Checked, Target, must, same};
use crate::random::Random;

const WORDS: &[&str] = &[
    "0",
    "1",
    "0 ",
    "1 ",
    "0 no licence",
    "1 done",
    "0\t",
    "00",
    "0x",
    "2 ",
    "BAILOUT",
    "BAILOUT ",
    "0 BAILOUT",
    "0 BAILOUT why",
    "bailout",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "\u{0}",
    "\u{b}",
    "\u{c}",
    "\u{feff}",
    "\u{1b}[31m",
    "x",
];
const MAX_MESSAGE_CHARS: usize = 300;

pub struct StatusLines;

impl Target for StatusLines {
    fn name(&self) -> &'static str {
        "status_line"
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..random.below(8) {
            bytes.extend_from_slice(random.pick(WORDS).as_bytes());
        }
        if random.once_in(3) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &[]);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let (whole, is_whole) = answer(input, input.len().max(1));
        let (pieces, _) = answer(input, 7);
        same("output in pieces is another answer", &pieces, &whole)?;
        let message = whole.message.as_deref().unwrap_or_default();
        must(message.chars().count() <= MAX_MESSAGE_CHARS, "a long message", || {
            message.to_owned()
        })?;
        must(!message.contains(char::is_control), "a message that steers a terminal", || {
            format!("{message:?}")
        })?;
        if is_whole {
            let expected = (fails(input), bails_out(input));
            same("it is read differently", &(whole.is_failure, whole.bails_out), &expected)?;
        }
        // another line is the last one then
        let later = |line: &str| answer(&[input, line.as_bytes()].concat(), 4096).0;
        must(later("\n0 why\r\n\n").is_failure, "a failure isn't seen", String::new)?;
        must(!later("\n1 done").is_failure, "a success isn't seen", String::new)?;
        must(later("\nBAILOUT").bails_out, "BAILOUT isn't seen", String::new)?;
        Ok(whole.is_failure || whole.bails_out)
    }
}

fn answer(said: &[u8], piece: usize) -> (StatusAnswer, bool) {
    let mut stdout = Capture::default();
    said.chunks(piece).for_each(|bytes| stdout.push(bytes));
    (read(&stdout), stdout.lost() == 0)
}

fn lines(said: &[u8]) -> Vec<&[u8]> {
    let said = said.strip_prefix("\u{feff}".as_bytes()).unwrap_or(said);
    said.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect()
}

/// What stands behind a word at the beginning of a line, if it is there.
fn behind<'a>(line: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let rest = line.trim_ascii_end().strip_prefix(word.as_bytes())?;
    (rest.is_empty() || rest.starts_with(b" ") || rest.starts_with(b"\t")).then_some(rest)
}

fn fails(said: &[u8]) -> bool {
    lines(said).last().is_some_and(|line| behind(line, "0").is_some())
}

fn bails_out(said: &[u8]) -> bool {
    let lines = lines(said);
    let is_bailout = |line: &[u8]| behind(line.trim_ascii_start(), "BAILOUT").is_some();
    let message = lines.last().and_then(|line| behind(line, "0"));
    lines.iter().any(|line| is_bailout(line)) || message.is_some_and(is_bailout)
}
