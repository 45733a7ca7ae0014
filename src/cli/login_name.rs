//! The name of the user who runs a command.

use std::env;

use nix::unistd::{Uid, geteuid};

use crate::machine::{files, sanitize};

/// The kernel's value if no user has logged in: in a service or a container.
const NO_LOGIN: u32 = u32::MAX;
/// The longest name that is accepted: `useradd` makes none longer than 256 bytes.
const MAX_NAME_BYTES: usize = 256;

/// Returns the user who logged in, also if the command runs by sudo, doas or pkexec, or in a shell of root:
/// the name, or the number if there is no name.
pub(super) fn get() -> String {
    let user = geteuid();
    if user.is_root() {
        if let Some(name) = ["SUDO_USER", "DOAS_USER"].into_iter().find_map(read_variable) {
            return name;
        }
        let number = read_variable("PKEXEC_UID").and_then(|number| number.parse().ok());
        if let Some(uid) = number.or_else(login_uid) {
            return user_name(Uid::from_raw(uid));
        }
    }
    user_name(user)
}

/// Reads a variable that sudo, doas or pkexec sets. A user who is root may have set it to anything.
fn read_variable(variable: &str) -> Option<String> {
    let value = env::var(variable).ok()?;
    (!value.is_empty() && value.len() <= MAX_NAME_BYTES).then(|| sanitize::line(value.as_bytes()))
}

/// Returns the uid of the user who logged in, as the kernel knows it.
fn login_uid() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/self/loginuid").ok()?;
    text.trim().parse().ok().filter(|uid| *uid != NO_LOGIN)
}

/// Returns a user's name from `/etc/passwd`: a static binary has no other source.
fn user_name(user: Uid) -> String {
    const MAX_USERS_BYTES: u64 = 16 << 20;
    let passwd = files::read_regular(std::path::Path::new("/etc/passwd"), MAX_USERS_BYTES);
    let passwd = passwd.unwrap_or_default();
    let number = user.to_string();
    let name = String::from_utf8_lossy(&passwd).lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}
