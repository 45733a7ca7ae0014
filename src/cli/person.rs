//! Who runs a command.

use std::env;

use nix::unistd::{Uid, geteuid};

use crate::machine::{files, sanitize};

/// What the kernel says where nobody has logged in: a service, a container.
const NO_LOGIN: u32 = u32::MAX;
/// The longest name that is believed, in bytes: `useradd` makes none of more than 256.
const MAX_NAME_BYTES: usize = 256;

/// The one who logged in, also behind sudo, doas and pkexec, or a shell of root's; by name where there
/// is one.
pub(super) fn name() -> String {
    let user = geteuid();
    if user.is_root() {
        if let Some(name) = ["SUDO_USER", "DOAS_USER"].into_iter().find_map(named) {
            return name;
        }
        let number = named("PKEXEC_UID").and_then(|number| number.parse().ok());
        if let Some(uid) = number.or_else(login) {
            return name_of(Uid::from_raw(uid));
        }
    }
    name_of(user)
}

/// A variable of a program that root's rights came from. Whoever is root may have set another one.
fn named(variable: &str) -> Option<String> {
    let value = env::var(variable).ok()?;
    (!value.is_empty() && value.len() <= MAX_NAME_BYTES).then(|| sanitize::line(value.as_bytes()))
}

/// Whoever logged in, as the kernel has it.
fn login() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/self/loginuid").ok()?;
    text.trim().parse().ok().filter(|uid| *uid != NO_LOGIN)
}

/// From `/etc/passwd`: a static binary has no other source at hand.
fn name_of(user: Uid) -> String {
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
