//! Writes a file of the ledger. Whoever takes an entry back removes directories with the last one, so that one
//! may go between its making and its use.

use std::io;

use crate::state::Dir;

/// The number of attempts to write a file.
const MAX_ATTEMPTS: usize = 5;

/// Replaces a file as a whole, and makes its directory where there is none.
///
/// # Errors
/// It can't be written.
pub(super) fn write(directory: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut result = directory.replace(name, bytes);
    for _ in 0..MAX_ATTEMPTS {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => break,
        }
        result = directory.make().and_then(|_| directory.replace(name, bytes));
    }
    result
}
