//! What a failure means at a call, for people.

use crate::libvirt::Class;

/// Says what libvirt does where a hook fails at a call of this class.
pub(crate) fn meaning(class: Class) -> &'static str {
    match class {
        Class::Gate => "a failure stops the operation, and libvirt shows the reason",
        Class::Live => {
            "libvirt isn't told of a failure, as it would end what runs; except of scripts with libvirt's own rules, and of hooks with on_failure: kill"
        }
        Class::Notify => "libvirt only logs a failure, and goes on",
    }
}
