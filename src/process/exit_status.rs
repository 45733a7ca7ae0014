//! Exit statuses with a meaning of their own, as shells and timeout(1) have them.

/// The status for a limit in time, as of timeout(1).
pub(crate) const TIMED_OUT: i32 = 124;
/// The status of hookmux's own errors.
pub(crate) const OWN_TROUBLE: i32 = 125;
/// The status of what can't be executed or isn't trusted, as a shell's.
pub(crate) const NOT_EXECUTABLE: i32 = 126;
/// The status of what isn't there, as a shell's.
pub(crate) const NOT_FOUND: i32 = 127;
/// The status where hookmux was told to end: 128 and SIGTERM's number.
pub(crate) const TERMINATED: i32 = 143;
