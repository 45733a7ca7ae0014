//! The ready-made hooks that `list --available` shows.

use super::shape::object;
use super::value::PathText;

object! {
    /// A registration that runs a program of a ready-made hook.
    pub struct AvailableRegistration {
        /// Its name
        name: String,
        /// Its file
        registration: PathText,
        /// Whether it runs at all
        enabled: bool,
    }

    /// A ready-made hook.
    pub struct AvailableHook {
        /// Its name, for `add contrib/NAME`
        name: String,
        /// What it is for, in a sentence
        summary: Option<String>,
        /// Its directory, with the README
        path: PathText,
        /// Whether it is registered
        registered: bool,
        /// The registrations that run it
        registrations: Vec<AvailableRegistration>,
        /// An example of what a guest's document says so that the hook does something for it
        metadata: Option<String>,
    }

    /// Every ready-made hook.
    pub struct Available {
        /// Every ready-made hook, by name
        hooks: Vec<AvailableHook>,
        /// The directory in which they lie
        path: PathText,
    }
}
