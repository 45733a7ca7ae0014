//! Reads libvirt's document from standard input, and documents that a person names.

use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::libvirt::Document;
use crate::libvirt::document::{self, MAX_DOCUMENT_BYTES};
use crate::machine::{files, sys, watchdog};

/// The time limit for reading the document to its end.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The interval at which a wait looks for SIGTERM and for the end of its time.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The first size of the buffer, in bytes: most documents fit in. Growing a buffer costs more than
/// reading, and so does a buffer that is much too large.
const USUAL_BYTES: usize = 32 * 1024;

/// Reads a document that a person names: a file, or a pipe such as the shell's `<(virsh dumpxml)`.
///
/// # Errors
/// As of `open(2)` and `read(2)`; it is a device or a directory, has more than 16 MiB, or didn't end
/// in time.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let is_pipe = std::fs::metadata(path)?.file_type().is_fifo();
    if !is_pipe {
        return files::read_regular(path, MAX_DOCUMENT_BYTES as u64);
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut pipe = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let deadline = Instant::now() + READ_TIMEOUT;
    let mut bytes = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let words = format!("the pipe did not end within {} s", READ_TIMEOUT.as_secs());
            return Err(io::Error::new(ErrorKind::TimedOut, words));
        }
        let wait = PollTimeout::try_from(left.min(POLL_INTERVAL)).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], wait);
        match (&mut pipe).take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut bytes) {
            _ if bytes.len() > MAX_DOCUMENT_BYTES => {
                let words = document::Malformed::TooLarge.to_string();
                return Err(io::Error::new(ErrorKind::InvalidData, words));
            }
            Ok(_) if bytes.is_empty() => {
                let words = "nobody writes to the pipe";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, words));
            }
            Ok(_) => return Ok(bytes),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            // the bytes so far are kept
            Err(_) => {}
        }
    }
}

/// Reads all of standard input. A terminal isn't read at all. Input that doesn't end in time or is too
/// large counts as absent: hooks never get half of a document. The content isn't looked at here.
pub(crate) fn read() -> Document {
    let stdin = sys::standard_input();
    if stdin.is_terminal() {
        return Document::Absent;
    }
    let deadline = Instant::now() + READ_TIMEOUT;
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polls = [PollFd::new(stdin, PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(left.min(POLL_INTERVAL)).unwrap_or(PollTimeout::ZERO);
        match watchdog::wait(|| poll(&mut polls, wait)) {
            Ok(0) if sys::is_pending(libc::SIGTERM) => {
                return Document::Broken("hookmux got SIGTERM while it was read".to_owned());
            }
            Ok(0) if !left.is_zero() => continue,
            Ok(0) => {
                let seconds = READ_TIMEOUT.as_secs();
                return Document::Broken(format!("standard input did not end within {seconds} s"));
            }
            Err(Errno::EINTR) => continue,
            // input that can't be polled can be read
            Ok(_) | Err(_) => {}
        }
        match sys::read_into_room(stdin, &mut bytes) {
            Ok(0) => break,
            Ok(_) if bytes.len() > MAX_DOCUMENT_BYTES => {
                return Document::Broken(document::Malformed::TooLarge.to_string());
            }
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => {
                return Document::Broken(format!("standard input can't be read: {error}"));
            }
        }
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Document::Absent;
    }
    Document::Whole(bytes)
}
