//! A document for the standard input of a script that was libvirt's: in a pipe, as libvirt has it.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// What a pipe holds from the beginning, in bytes.
const USUAL_BYTES: usize = 64 * 1024;

/// What didn't fit into the pipe, and is written while the script reads.
pub struct Feed {
    pipe: File,
    document: Vec<u8>,
    written: usize,
}

/// A pipe with a document in it, and what has to be written later: a pipe can't always be made as
/// large as its document.
///
/// # Errors
/// As of `pipe2(2)`.
pub(crate) fn pipe(document: &[u8]) -> io::Result<(OwnedFd, Option<Feed>)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    if document.len() > USUAL_BYTES {
        // over the limit of a user, or of the host: the rest is fed
        let size = i32::try_from(document.len());
        let _ = size.map(|size| fcntl(&writer, FcntlArg::F_SETPIPE_SZ(size)));
    }
    let mut pipe = File::from(writer);
    let written = write(&mut pipe, document);
    let rest = written.and_then(|written| document.get(written..)).filter(|rest| !rest.is_empty());
    let feed = rest.map(|rest| Feed { pipe, document: rest.to_vec(), written: 0 });
    Ok((reader, feed))
}

impl Feed {
    pub fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Writes what the pipe takes now; whether more is left. What nobody reads is dropped.
    pub fn go_on(&mut self) -> bool {
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

/// Writes until the pipe is full: how much; `None` where nobody reads it any more.
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
        for size in [0, 1, USUAL_BYTES, USUAL_BYTES + 1, 3 << 20, (16 << 20) - 1] {
            let document: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let (reader, mut feed) = pipe(&document).unwrap();
            let reading = std::thread::spawn(move || {
                let mut bytes = Vec::new();
                File::from(reader).read_to_end(&mut bytes).unwrap();
                bytes
            });
            while feed.as_mut().is_some_and(Feed::go_on) {
                std::thread::yield_now();
            }
            drop(feed);
            assert!(reading.join().unwrap() == document, "{size} bytes");
            let (reader, feed) = pipe(&document).unwrap();
            drop(reader);
            assert!(!feed.is_some_and(|mut feed| feed.go_on()), "{size} bytes");
        }
    }
}
