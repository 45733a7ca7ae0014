//! A registered hook in cPanel's words.

use super::shape::object;

object! {
    /// A registered hook in the words of cPanel's `manage_hooks`.
    pub struct CpanelWords {
        /// The category: `vm`, `device`, `network`, `daemon` or `vdsm`; null where the event has none
        category: Option<String>,
        /// The event of this category; without one hookmux's own event; null where the hook runs at calls
        event: Option<String>,
        /// `pre` or `post`; null where there is no category
        stage: Option<String>,
        /// Its order at the event: lower first
        weight: i64,
        /// 24 hexadecimal digits made from the registration's name and the event: the same as long as both are
        id: String,
        /// `script` or `module`
        exectype: String,
        /// The script with its arguments, as a shell takes it; or the module's function
        hook: String,
        /// 1: it has all rights that hookmux has; 0: it has those of another user
        escalateprivs: u32,
        /// 1: its failure stops libvirt's operation; 0: it doesn't
        blocking: u32,
        /// What runs before it, and keeps it from running
        check: Option<String>,
        /// What runs if a later hook makes the call fail
        rollback: Option<String>,
    }
}
