//! What is done with a guest or a network, and the calls that libvirt makes for it, in order.
//!
//! Source: the drivers' code of libvirt 9.0.0 and 11.3.0, compared with running daemons (qemu, lxc, network); for
//! libxl and bhyve the code alone.

use super::release_reason;
use crate::cli::install::libvirt_version::LibvirtVersion;
use crate::event::Origin;
use crate::libvirt::Driver;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start,
    Reboot,
    Reconnect,
    SnapshotRevert,
    Save,
    Restore,
    Migrate,
    MigrateIn,
    Shutdown,
    Destroy,
    Crash,
    Suspend,
    Resume,
    SnapshotCreate,
    AttachDevice,
    DetachDevice,
    Define,
    Undefine,
    Update,
}

/// A part of what libvirt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A call for the guest or the network, with the reason that a release gets.
    Call(&'static str, &'static str),
    /// `port-created` for each interface in a virtual network.
    Ports,
    /// `port-deleted` for each of these.
    PortsGone,
}

use Piece::{Call, Ports, PortsGone};

impl Piece {
    /// Returns the call's words, for a guest of this driver and as this libvirt makes it.
    pub(super) fn words(self, driver: Driver, version: Option<LibvirtVersion>) -> String {
        match self {
            Call(name, reason) => match release_reason::given(reason, driver, version) {
                Some(reason) => format!("{name} ({reason})"),
                None => name.to_owned(),
            },
            Ports => "port-created of its networks".to_owned(),
            PortsGone => "port-deleted of its networks".to_owned(),
        }
    }
}

/// What libvirt does.
pub(super) enum Course {
    Calls(Vec<Piece>),
    /// It makes no call: why.
    None(&'static str),
    /// Such guests can't do that.
    Unknown,
}

struct ActionRow {
    action: Action,
    /// Its word, and the other words that mean it: those of virsh, of libvirt's API and of people.
    words: &'static [&'static str],
    /// What it is, for people.
    what: &'static str,
}

#[rustfmt::skip]
const TABLE: &[ActionRow] = &[
    ActionRow { action: Action::Start,          words: &["start", "create", "boot", "run", "launch", "autostart"],                what: "virsh start, create, autostart" },
    ActionRow { action: Action::Reboot,         words: &["reboot", "reset", "restart"],                                           what: "virsh reboot, reset, or from inside" },
    ActionRow { action: Action::Reconnect,      words: &["reconnect", "libvirt-restart", "daemon-restart"],                       what: "libvirt is restarted while it runs" },
    ActionRow { action: Action::SnapshotRevert, words: &["snapshot-revert", "revert", "revert-to-snapshot"],                      what: "virsh snapshot-revert while it runs" },
    ActionRow { action: Action::Save,           words: &["save", "managedsave", "managed-save", "hibernate"],                     what: "virsh save, managedsave" },
    ActionRow { action: Action::Restore,        words: &["restore", "dehibernate"],                                               what: "virsh restore, or start of a managed save" },
    ActionRow { action: Action::Migrate,        words: &["migrate", "migrate-out", "migrate-source"],                             what: "it has gone to another host" },
    ActionRow { action: Action::MigrateIn,      words: &["migrate-in", "incoming", "migrate-destination"],                        what: "it comes from another host" },
    ActionRow { action: Action::Shutdown,       words: &["shutdown", "poweroff", "power-off", "halt"],                            what: "virsh shutdown, or from inside" },
    ActionRow { action: Action::Destroy,        words: &["destroy", "stop", "kill", "force-off"],                                 what: "virsh destroy" },
    ActionRow { action: Action::Crash,          words: &["crash", "crashed", "die"],                                              what: "it crashes, or its process is killed" },
    ActionRow { action: Action::Suspend,        words: &["suspend", "pause"],                                                     what: "virsh suspend" },
    ActionRow { action: Action::Resume,         words: &["resume", "unpause"],                                                    what: "virsh resume" },
    ActionRow { action: Action::SnapshotCreate, words: &["snapshot-create", "snapshot", "snapshot-create-as", "checkpoint-create"], what: "virsh snapshot-create" },
    ActionRow { action: Action::AttachDevice,   words: &["attach-device", "attach-interface", "attach-disk", "attach", "hotplug"], what: "virsh attach-device, attach-interface, attach-disk" },
    ActionRow { action: Action::DetachDevice,   words: &["detach-device", "detach-interface", "detach-disk", "detach", "unplug"],  what: "virsh detach-device, detach-interface, detach-disk" },
    ActionRow { action: Action::Define,         words: &["define", "edit", "rename"],                                             what: "virsh define, edit" },
    ActionRow { action: Action::Undefine,       words: &["undefine", "delete"],                                                   what: "virsh undefine" },
    ActionRow { action: Action::Update,         words: &["update", "net-update"],                                                 what: "virsh net-update" },
];

/// The parts of a guest's life, in the order in which they are shown.
const LIFE: [Action; 11] = [
    Action::Start,
    Action::Shutdown,
    Action::Destroy,
    Action::Crash,
    Action::Reboot,
    Action::Reconnect,
    Action::SnapshotRevert,
    Action::Save,
    Action::Restore,
    Action::Migrate,
    Action::MigrateIn,
];

impl Action {
    pub(crate) const ALL: &'static [Action] = &[
        Action::Start,
        Action::Reboot,
        Action::Reconnect,
        Action::SnapshotRevert,
        Action::Save,
        Action::Restore,
        Action::Migrate,
        Action::MigrateIn,
        Action::Shutdown,
        Action::Destroy,
        Action::Crash,
        Action::Suspend,
        Action::Resume,
        Action::SnapshotCreate,
        Action::AttachDevice,
        Action::DetachDevice,
        Action::Define,
        Action::Undefine,
        Action::Update,
    ];

    fn row(self) -> &'static ActionRow {
        TABLE.iter().find(|row| row.action == self).unwrap_or(&TABLE[0])
    }

    pub(crate) fn name(self) -> &'static str {
        self.row().words.first().copied().unwrap_or_default()
    }

    /// Returns what it is, for people; of a network in virsh's words.
    pub(super) fn what(self, driver: Driver) -> &'static str {
        match (driver, self) {
            (Driver::Network, Action::Start) => "virsh net-start, net-create",
            (Driver::Network, Action::Destroy) => "virsh net-destroy",
            (Driver::Network, Action::Define) => "virsh net-define, net-edit",
            (Driver::Network, Action::Undefine) => "virsh net-undefine",
            (Driver::Network, Action::Reconnect) => "libvirt is restarted",
            _ => self.row().what,
        }
    }

    /// Returns the action that a word means.
    pub(super) fn of(word: &str) -> Option<Action> {
        let word = word.to_ascii_lowercase();
        let word = word.strip_prefix("net-").filter(|rest| *rest != "update").unwrap_or(&word);
        TABLE.iter().find(|row| row.words.contains(&word)).map(|row| row.action)
    }

    /// Returns all words.
    pub(super) fn all_words() -> impl Iterator<Item = &'static str> {
        TABLE.iter().flat_map(|row| row.words.iter().copied())
    }

    /// Returns the parts of a life.
    pub(super) fn life(driver: Driver) -> Vec<Action> {
        match driver {
            Driver::Network => {
                vec![Action::Start, Action::Update, Action::Reconnect, Action::Destroy]
            }
            _ => {
                let can = |action: &Action| !matches!(action.course(driver), Course::Unknown);
                LIFE.into_iter().filter(can).collect()
            }
        }
    }

    /// Tells whether the guest runs before it.
    pub(super) fn needs_running(self) -> bool {
        !matches!(
            self,
            Action::Start | Action::Restore | Action::MigrateIn | Action::Define | Action::Undefine
        )
    }

    /// Returns how a guest that this starts comes to run.
    pub(super) fn origin(self) -> Origin {
        match self {
            Action::Restore => Origin::Restore,
            Action::MigrateIn => Origin::Migration,
            _ => Origin::Fresh,
        }
    }

    /// Returns the calls that libvirt makes.
    pub(super) fn course(self, driver: Driver) -> Course {
        match driver {
            Driver::Network => self.of_network(),
            Driver::Daemon => Course::Unknown,
            _ => self.of_guest(driver),
        }
    }

    fn of_guest(self, driver: Driver) -> Course {
        let begins = [Call("prepare", ""), Ports, Call("start", ""), Call("started", "")];
        let ends = |reason| [Call("stopped", ""), PortsGone, Call("release", reason)];
        let is_qemu = driver == Driver::Qemu;
        let migrates = matches!(driver, Driver::Qemu | Driver::Libxl);
        match self {
            Action::Start => Course::Calls(begins.into()),
            // qemu goes on with the same process
            Action::Reboot if is_qemu => {
                Course::None("qemu goes on running (with on_reboot destroy it is as shutdown)")
            }
            Action::Reboot => Course::Calls([&ends("shutdown")[..], &begins].concat()),
            Action::Reconnect if driver == Driver::Bhyve => {
                Course::None("bhyve's driver has none for guests that it finds running")
            }
            Action::Reconnect => Course::Calls(vec![Ports, Call("reconnect", "")]),
            // there is no `restore` of a snapshot
            Action::SnapshotRevert if is_qemu => {
                Course::Calls([&ends("from snapshot")[..], &begins].concat())
            }
            Action::Save if migrates => Course::Calls(ends("saved").into()),
            Action::Restore if is_qemu => {
                Course::Calls([&[Call("restore", "")][..], &begins].concat())
            }
            Action::Restore if driver == Driver::Libxl => Course::Calls(begins.into()),
            Action::Migrate if migrates => Course::Calls(ends("migrated").into()),
            Action::MigrateIn if migrates => {
                Course::Calls([&[Call("migrate", "")][..], &begins].concat())
            }
            Action::Shutdown => Course::Calls(ends("shutdown").into()),
            Action::Destroy => Course::Calls(ends("destroyed").into()),
            Action::Crash => Course::Calls(ends("crashed").into()),
            Action::Suspend | Action::Resume => Course::None("the guest's process stays"),
            Action::SnapshotCreate => Course::None("the guest's process stays"),
            Action::AttachDevice | Action::DetachDevice => Course::None(
                "but for an interface in a virtual network: port-created or port-deleted of that network",
            ),
            Action::Define | Action::Undefine => Course::None("only a definition changes"),
            Action::SnapshotRevert
            | Action::Save
            | Action::Restore
            | Action::Migrate
            | Action::MigrateIn
            | Action::Update => Course::Unknown,
        }
    }

    fn of_network(self) -> Course {
        match self {
            Action::Start => Course::Calls(vec![Call("start", ""), Call("started", "")]),
            // its ports vanish without a call (measured with 11.3.0)
            Action::Destroy => Course::Calls(vec![Call("stopped", "")]),
            Action::Update => Course::Calls(vec![Call("updated", "")]),
            Action::Reconnect => {
                Course::None("but for port-created, again, of each guest that is connected")
            }
            Action::Define | Action::Undefine => Course::None("only a definition changes"),
            _ => Course::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Operation;
    use crate::libvirt::operation::meaning;

    #[test]
    fn each_word_means_one_action_and_each_action_has_a_row() {
        let mut words: Vec<&str> = Action::all_words().collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count, "a word twice");
        assert_eq!(TABLE.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(Action::of(action.name()), Some(*action));
        }
        assert_eq!(Action::of("Net-Destroy"), Some(Action::Destroy));
        assert_eq!(Action::of("net-update"), Some(Action::Update));
        assert_eq!(Action::of("prepare"), None);
    }

    #[test]
    fn every_call_is_one_that_libvirt_makes() {
        for driver in Driver::ALL {
            for action in Action::ALL {
                let Course::Calls(pieces) = action.course(driver) else { continue };
                for piece in pieces {
                    let Call(name, reason) = piece else { continue };
                    let operation = meaning(driver, name.as_bytes(), None).operation;
                    assert_ne!(operation, Operation::Unknown, "{driver} {name}");
                    assert_eq!(!reason.is_empty(), name == "release", "{driver} {name}");
                }
            }
        }
        let lives = Driver::ALL.map(|driver| Action::life(driver).len());
        assert_eq!(lives, [0, 11, 6, 10, 4, 6]);
    }
}
