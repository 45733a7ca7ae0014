//! Exit statuses with a special meaning, as in shells and timeout(1).

/// The status after a timeout, as in timeout(1).
pub(crate) const TIMED_OUT: i32 = 124;
/// The status of hookmux's own errors.
pub(crate) const OWN_ERROR: i32 = 125;
/// The status where a program can't be executed or isn't trusted, as in shells.
pub(crate) const NOT_EXECUTABLE: i32 = 126;
/// The status where a program doesn't exist, as in shells.
pub(crate) const NOT_FOUND: i32 = 127;
/// The status where hookmux was told to end: 128 plus the number of SIGTERM.
pub(crate) const TERMINATED: i32 = 143;
