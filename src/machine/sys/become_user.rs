//! The child of a hook with `run_as`, between clone and exec: it becomes the user, and keeps no right of
//! root's.

use std::mem::MaybeUninit;

use libc::{c_int, c_long, c_ulong, gid_t, uid_t};

use crate::machine::privileges::UserIdentity;

// 32-bit kernels have two of each: the older ones know 16 bits of a number
#[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
use libc::{
    SYS_fchown as FCHOWN, SYS_getresuid as GETRESUID, SYS_setgroups as SETGROUPS,
    SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID, SYS_setuid as SETUID,
};
#[cfg(any(target_arch = "arm", target_arch = "x86"))]
use libc::{
    SYS_fchown32 as FCHOWN, SYS_getresuid32 as GETRESUID, SYS_setgroups32 as SETGROUPS,
    SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID, SYS_setuid32 as SETUID,
};

/// `KEYCTL_JOIN_SESSION_KEYRING` of keyctl(2).
const JOIN_SESSION_KEYRING: c_int = 1;
/// `_LINUX_CAPABILITY_VERSION_3` of capset(2): two words for each set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// More capabilities than any kernel has; it has 41 in Linux 6.18, and 64 have room.
const MAX_CAPABILITIES: c_ulong = 64;

/// A step that can fail. Messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdentityStep {
    Streams,
    SessionKeyring,
    BoundingSet,
    AmbientSet,
    Groups,
    Group,
    User,
    Capabilities,
    RootCheck,
    NoNewPrivileges,
}

impl IdentityStep {
    pub(super) const fn name(self) -> &'static str {
        match self {
            IdentityStep::Streams => "fchown of standard output",
            IdentityStep::SessionKeyring => "a session keyring of its own (keyctl)",
            IdentityStep::BoundingSet => "the capability bounding set (prctl)",
            IdentityStep::AmbientSet => "the ambient capabilities (prctl)",
            IdentityStep::Groups => "setgroups",
            IdentityStep::Group => "setresgid",
            IdentityStep::User => "setresuid",
            IdentityStep::Capabilities => "capset",
            IdentityStep::RootCheck => "the check that root is gone",
            IdentityStep::NoNewPrivileges => "no_new_privs",
        }
    }
}

/// Becomes a user. Returns the step that failed, with its `errno`; then no program may be executed. Standard
/// input, output and error must already be the hook's.
///
/// Allocates nothing and takes no lock. Makes system calls for this task only: the C library's
/// `setresuid` and its like would change every thread of the process, and the child may share one.
///
/// # Safety
/// Only for a child between clone and exec.
pub(super) unsafe fn become_user(identity: &UserIdentity) -> Result<(), (IdentityStep, c_int)> {
    let (user, group) = (identity.user, identity.group);
    // SAFETY: no precondition.
    let is_root = unsafe { libc::geteuid() } == 0;
    // SAFETY: as this function's own; the groups outlive the calls.
    unsafe {
        if is_root && user != 0 {
            give_streams(user, group)?;
            join_new_keyring()?;
            drop_capabilities()?;
        }
        // a process that is that user already can't set groups, and needn't
        if is_root {
            let groups = &identity.groups;
            call(IdentityStep::Groups, libc::syscall(SETGROUPS, groups.len(), groups.as_ptr()))?;
        }
        call(IdentityStep::Group, libc::syscall(SETRESGID, group, group, group))?;
        call(IdentityStep::User, libc::syscall(SETRESUID, user, user, user))?;
        if user != 0 {
            clear_capabilities()?;
        }
        check_root_is_gone(user)?;
        if user != 0 {
            let one: c_ulong = 1;
            let result = prctl(libc::PR_SET_NO_NEW_PRIVS, one);
            call(IdentityStep::NoNewPrivileges, result)?;
        }
    }
    Ok(())
}

/// Gives the hook's own pipes to the user: to open `/dev/stderr` opens the pipe anew, and needs the rights of
/// its owner. Other files are open to all (`/dev/null`, files in memory), or shared with other hooks.
unsafe fn give_streams(user: uid_t, group: gid_t) -> Result<(), (IdentityStep, c_int)> {
    for stream in 0..=2 {
        let mut file = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the structure is read only where the call has filled it.
        unsafe {
            call(IdentityStep::Streams, c_long::from(libc::fstat(stream, file.as_mut_ptr())))?;
            if file.assume_init_ref().st_mode & libc::S_IFMT == libc::S_IFIFO {
                call(IdentityStep::Streams, libc::syscall(FCHOWN, stream, user, group))?;
            }
        }
    }
    Ok(())
}

/// Joins a new session keyring: otherwise the child keeps root's, and the right to read its keys. Kernels
/// without keys have no keyrings.
unsafe fn join_new_keyring() -> Result<(), (IdentityStep, c_int)> {
    // SAFETY: no name is passed.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0usize) };
    unless(libc::ENOSYS, call(IdentityStep::SessionKeyring, result))
}

/// Drops the capabilities that an exec could give back. A process without CAP_SETPCAP can't do that, and with
/// no_new_privs needn't; the ambient set exists since Linux 4.3.
unsafe fn drop_capabilities() -> Result<(), (IdentityStep, c_int)> {
    for capability in 0..MAX_CAPABILITIES {
        // SAFETY: no memory is passed.
        match call(IdentityStep::BoundingSet, unsafe { prctl(libc::PR_CAPBSET_DROP, capability) }) {
            // the kernel has no more capabilities
            Err((_, libc::EINVAL)) => break,
            result => unless(libc::EPERM, result)?,
        }
    }
    let all = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    // SAFETY: as above.
    let result = unsafe { prctl(libc::PR_CAP_AMBIENT, all) };
    unless(libc::EINVAL, call(IdentityStep::AmbientSet, result))
}

/// Empties the other capability sets: setresuid leaves the inheritable set as it is, and with some securebits
/// all of them.
unsafe fn clear_capabilities() -> Result<(), (IdentityStep, c_int)> {
    let header = [CAPABILITY_VERSION, 0];
    let none = [0u32; 6];
    // SAFETY: a header and two words for each of three sets, as this version has them.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    call(IdentityStep::Capabilities, result)
}

/// Checks that all ids are the user's, and that the process can't become root again.
unsafe fn check_root_is_gone(user: uid_t) -> Result<(), (IdentityStep, c_int)> {
    let mut ids: [uid_t; 3] = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: the kernel fills in three numbers.
    let result =
        unsafe { libc::syscall(GETRESUID, &raw mut *real, &raw mut *effective, &raw mut *saved) };
    call(IdentityStep::RootCheck, result)?;
    // SAFETY: no memory is passed.
    if ids != [user; 3] || (user != 0 && unsafe { libc::syscall(SETUID, 0) } == 0) {
        return Err((IdentityStep::RootCheck, libc::EPERM));
    }
    Ok(())
}

unsafe fn prctl(option: c_int, argument: c_ulong) -> c_long {
    let none: c_ulong = 0;
    // SAFETY: as the caller's; the kernel requires zeros as further arguments.
    unsafe { libc::syscall(libc::SYS_prctl, option, argument, none, none, none) }
}

fn call(step: IdentityStep, result: c_long) -> Result<(), (IdentityStep, c_int)> {
    if result >= 0 {
        return Ok(());
    }
    // SAFETY: it is this task's, or its parent's that waits for it.
    Err((step, unsafe { *libc::__errno_location() }))
}

/// Ignores one error.
fn unless(
    errno: c_int,
    result: Result<(), (IdentityStep, c_int)>,
) -> Result<(), (IdentityStep, c_int)> {
    if result.is_err_and(|(_, error)| error == errno) { Ok(()) } else { result }
}
