//! The child of a hook with `run_as`, between its start and its exec: it becomes the user, and keeps
//! nothing of root's.

use std::mem::MaybeUninit;

use libc::{c_int, c_long, c_ulong, gid_t, uid_t};

use crate::machine::privileges::Identity;

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

/// A step that can fail, as people are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    OwnStreams,
    SessionKeyring,
    BoundingSet,
    AmbientSet,
    Groups,
    Group,
    User,
    Capabilities,
    IsRootGone,
    NoNewPrivileges,
}

impl Step {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Step::OwnStreams => "fchown of standard output",
            Step::SessionKeyring => "a session keyring of its own (keyctl)",
            Step::BoundingSet => "the capability bounding set (prctl)",
            Step::AmbientSet => "the ambient capabilities (prctl)",
            Step::Groups => "setgroups",
            Step::Group => "setresgid",
            Step::User => "setresuid",
            Step::Capabilities => "capset",
            Step::IsRootGone => "the check that root is gone",
            Step::NoNewPrivileges => "no_new_privs",
        }
    }
}

/// Becomes a user; what fails on the way is returned with its `errno`, and then no program may be
/// executed. Standard input, output and error must be the hook's already.
///
/// Allocates nothing and takes no lock. All are system calls of this task's own: the C library's
/// `setresuid` and its like would tell every thread of a process, and this may share one.
///
/// # Safety
/// To be called in a child between its start and its exec, by nobody else.
pub(super) unsafe fn become_user(identity: &Identity) -> Result<(), (Step, c_int)> {
    let (user, group) = (identity.user, identity.group);
    // SAFETY: no precondition.
    let is_root = unsafe { libc::geteuid() } == 0;
    // SAFETY: as this function's own; the groups outlive the calls.
    unsafe {
        if is_root && user != 0 {
            own_streams(user, group)?;
            leave_keyring()?;
            drop_capabilities()?;
        }
        // somebody who is that user already can't set groups, and needn't
        if is_root {
            let groups = &identity.groups;
            call(Step::Groups, libc::syscall(SETGROUPS, groups.len(), groups.as_ptr()))?;
        }
        call(Step::Group, libc::syscall(SETRESGID, group, group, group))?;
        call(Step::User, libc::syscall(SETRESUID, user, user, user))?;
        if user != 0 {
            forget_capabilities()?;
        }
        is_root_gone(user)?;
        if user != 0 {
            let one: c_ulong = 1;
            let result = prctl(libc::PR_SET_NO_NEW_PRIVS, one);
            call(Step::NoNewPrivileges, result)?;
        }
    }
    Ok(())
}

/// Gives the hook's own pipes to the user: who opens `/dev/stderr` opens the pipe anew, and is asked
/// for the rights that a file's owner has. What is no pipe is open to all (`/dev/null`, files in
/// memory), or shared with other hooks.
unsafe fn own_streams(user: uid_t, group: gid_t) -> Result<(), (Step, c_int)> {
    for stream in 0..=2 {
        let mut file = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the structure is read only where the call has filled it.
        unsafe {
            call(Step::OwnStreams, c_long::from(libc::fstat(stream, file.as_mut_ptr())))?;
            if file.assume_init_ref().st_mode & libc::S_IFMT == libc::S_IFIFO {
                call(Step::OwnStreams, libc::syscall(FCHOWN, stream, user, group))?;
            }
        }
    }
    Ok(())
}

/// Takes a new session keyring: root's would stay, and with it the right to read its keys. Kernels
/// without keys have none.
unsafe fn leave_keyring() -> Result<(), (Step, c_int)> {
    // SAFETY: no name is passed.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0usize) };
    unless(libc::ENOSYS, call(Step::SessionKeyring, result))
}

/// Drops what an exec could give back. Who has no CAP_SETPCAP can't, and with no_new_privs needn't;
/// the ambient set is of Linux 4.3.
unsafe fn drop_capabilities() -> Result<(), (Step, c_int)> {
    for capability in 0..MAX_CAPABILITIES {
        // SAFETY: no memory is passed.
        match call(Step::BoundingSet, unsafe { prctl(libc::PR_CAPBSET_DROP, capability) }) {
            // the kernel has no further one
            Err((_, libc::EINVAL)) => break,
            result => unless(libc::EPERM, result)?,
        }
    }
    let all = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    // SAFETY: as above.
    unless(libc::EINVAL, call(Step::AmbientSet, unsafe { prctl(libc::PR_CAP_AMBIENT, all) }))
}

/// Empties the other sets: setresuid leaves the inheritable one as it is, and with some securebits
/// all of them.
unsafe fn forget_capabilities() -> Result<(), (Step, c_int)> {
    let header = [CAPABILITY_VERSION, 0];
    let none = [0u32; 6];
    // SAFETY: a header and two words for each of three sets, as this version has them.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    call(Step::Capabilities, result)
}

/// Makes sure that all ids are the user's, and that root's can't be had back.
unsafe fn is_root_gone(user: uid_t) -> Result<(), (Step, c_int)> {
    let mut ids: [uid_t; 3] = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: the kernel fills in three numbers.
    let result =
        unsafe { libc::syscall(GETRESUID, &raw mut *real, &raw mut *effective, &raw mut *saved) };
    call(Step::IsRootGone, result)?;
    // SAFETY: no memory is passed.
    if ids != [user; 3] || (user != 0 && unsafe { libc::syscall(SETUID, 0) } == 0) {
        return Err((Step::IsRootGone, libc::EPERM));
    }
    Ok(())
}

unsafe fn prctl(option: c_int, argument: c_ulong) -> c_long {
    let none: c_ulong = 0;
    // SAFETY: as the caller's; the kernel insists on zeros behind.
    unsafe { libc::syscall(libc::SYS_prctl, option, argument, none, none, none) }
}

fn call(step: Step, result: c_long) -> Result<(), (Step, c_int)> {
    if result >= 0 {
        return Ok(());
    }
    // SAFETY: it is this task's, or its parent's that waits for it.
    Err((step, unsafe { *libc::__errno_location() }))
}

/// Lets one error pass.
fn unless(errno: c_int, result: Result<(), (Step, c_int)>) -> Result<(), (Step, c_int)> {
    if result.is_err_and(|(_, error)| error == errno) { Ok(()) } else { result }
}
