//! What security modules keep at files.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const SELINUX: &CStr = c"security.selinux";
/// The longest context that is read; a kernel's page is the most that there can be.
const MAX_CONTEXT_BYTES: usize = 4096;

/// Returns SELinux's context of a file, after links; `None` where it has none.
///
/// # Errors
/// As of `getxattr(2)`; the file system keeps no such contexts (`EOPNOTSUPP`).
pub(crate) fn selinux_context(path: &Path) -> io::Result<Option<String>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut context = [0_u8; MAX_CONTEXT_BYTES];
    // SAFETY: both names end in NUL, and the buffer has as many bytes as are told.
    let length = unsafe {
        libc::getxattr(path.as_ptr(), SELINUX.as_ptr(), context.as_mut_ptr().cast(), context.len())
    };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENODATA) { Ok(None) } else { Err(error) };
    };
    // the kernel counts a NUL at its end
    let context = String::from_utf8_lossy(&context[..length]);
    Ok(Some(context.trim_end_matches('\0').to_owned()))
}

/// Gives a new file SELinux's context.
///
/// # Errors
/// As of `fsetxattr(2)`.
pub(crate) fn set_selinux_context(file: &File, context: &str) -> io::Result<()> {
    let context = CString::new(context)?;
    let bytes = context.as_bytes_with_nul();
    // SAFETY: the name ends in NUL, and the value has as many bytes as are told.
    let result = unsafe {
        libc::fsetxattr(file.as_raw_fd(), SELINUX.as_ptr(), bytes.as_ptr().cast(), bytes.len(), 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
