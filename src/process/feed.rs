//! Writes a document to the standard input of an adopted script: through a pipe, as libvirt does.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// How many bytes a new pipe holds.
const DEFAULT_PIPE_BYTES: usize = 64 * 1024;

/// The part of a document that didn't fit into the pipe; it is written while the script reads.
pub struct StdinFeed {
    pipe: File,
    document: Vec<u8>,
    written: usize,
}

/// Makes a pipe and writes a document to it. Returns its reading end, and what has to be written
/// later: a pipe can't always be made as large as its document.
///
/// # Errors
/// As of `pipe2(2)`.
pub(crate) fn pipe(document: &[u8]) -> io::Result<(OwnedFd, Option<StdinFeed>)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    if document.len() > DEFAULT_PIPE_BYTES {
        // it fails over the limit of the user or of the host: the rest is written later
        let size = i32::try_from(document.len());
        let _ = size.map(|size| fcntl(&writer, FcntlArg::F_SETPIPE_SZ(size)));
    }
    let mut pipe = File::from(writer);
    let written = write(&mut pipe, document);
    let rest = written.and_then(|written| document.get(written..)).filter(|rest| !rest.is_empty());
    let feed = rest.map(|rest| StdinFeed { pipe, document: rest.to_vec(), written: 0 });
    Ok((reader, feed))
}

impl StdinFeed {
    pub fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Writes what the pipe can take now. Returns whether something is left. What nobody reads is
    /// dropped.
    pub fn write_more(&mut self) -> bool {
        let rest = self.document.get(self.written..).unwrap_or_default();
        match write(&mut self.pipe, rest) {
            Some(count) => {
                self.written += count;
                self.written < self.document.len()
            }
            None => false,
        }
    }
}

/// Writes until the pipe is full. Returns how many bytes; `None` where nobody reads it any more.
fn write(pipe: &mut File, bytes: &[u8]) -> Option<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match pipe.write(rest) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // EPIPE: SIGPIPE is ignored in this process
            Err(_) => return None,
        }
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_document_of_any_size_comes_whole_and_may_be_left() {
        for size in [0, 1, DEFAULT_PIPE_BYTES, DEFAULT_PIPE_BYTES + 1, 3 << 20, (16 << 20) - 1] {
            let document: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let (reader, mut feed) = pipe(&document).unwrap();
            let reading = std::thread::spawn(move || {
                let mut bytes = Vec::new();
                File::from(reader).read_to_end(&mut bytes).unwrap();
                bytes
            });
            while feed.as_mut().is_some_and(StdinFeed::write_more) {
                std::thread::yield_now();
            }
            drop(feed);
            assert!(reading.join().unwrap() == document, "{size} bytes");
            let (reader, feed) = pipe(&document).unwrap();
            drop(reader);
            assert!(!feed.is_some_and(|mut feed| feed.write_more()), "{size} bytes");
        }
    }
}
