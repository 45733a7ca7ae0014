//! `tree`: the name of each driver's per-guest tree in the hooks directory.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::libvirt::Driver;

/// The placeholder of the driver in a name.
const DRIVER_PLACEHOLDER: &str = "$DRIVER";
/// The default name: the VFIO community's helper looks there, and libvirt (6.5) runs programs that lie
/// directly in it.
const DEFAULT_NAME: &str = "$DRIVER.d";

/// One directory for all drivers, with a subdirectory for each; or, if `$DRIVER` is in the name, one
/// directory for each driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeName(String);

impl Default for TreeName {
    fn default() -> TreeName {
        TreeName(DEFAULT_NAME.to_owned())
    }
}

impl TreeName {
    /// Reads the setting.
    ///
    /// # Errors
    /// Why no tree can lie there.
    pub fn parse(text: &str) -> Result<TreeName, String> {
        let name = text.replace("${DRIVER}", DRIVER_PLACEHOLDER);
        let refused = |why: &str| Err(format!("`{text}` can't be the per-guest tree: {why}"));
        if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
            return refused(
                "write the name of a directory in the hooks directory, which may be a link to another place",
            );
        }
        if name.replace(DRIVER_PLACEHOLDER, "").contains('$') {
            return refused("nothing but $DRIVER can be filled in");
        }
        let tree = TreeName(name);
        let reserved = Driver::ALL.into_iter().find_map(|driver| reserved_for(&tree.name(driver)));
        match reserved.filter(|_| tree.0 != DEFAULT_NAME) {
            Some(why) => refused(&why),
            None => Ok(tree),
        }
    }

    /// Tells whether it is the tree that the VFIO community's helper runs.
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT_NAME
    }

    /// Returns the name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn name(&self, driver: Driver) -> String {
        self.0.replace(DRIVER_PLACEHOLDER, driver.name())
    }

    /// Returns the tree of a driver, below the hooks directory.
    pub fn place(&self, hooks_dir: &Path, driver: Driver) -> PathBuf {
        let directory = hooks_dir.join(self.name(driver));
        if self.0.contains(DRIVER_PLACEHOLDER) { directory } else { directory.join(driver.name()) }
    }

    /// Returns the word by which a script that runs the tree itself is recognised.
    pub fn mention(&self, hooks_dir: &Path, driver: Driver) -> String {
        let name = self.name(driver);
        // the path of every hook has this word
        let is_of_all = hooks_dir.file_name().is_some_and(|last| last == name.as_str());
        if is_of_all { format!("{name}/{name}") } else { name }
    }
}

/// Tells what else a name in the hooks directory is used for.
fn reserved_for(name: &str) -> Option<String> {
    let of_driver = Driver::ALL.into_iter().find_map(|driver| {
        let driver = driver.name();
        let rest = name.strip_prefix(driver)?;
        let why = match rest {
            "" => format!("libvirt calls `{driver}`"),
            ".d" => format!(
                "in `{driver}.d` libvirt itself runs programs; without `tree`, and with `$DRIVER.d`, it is that driver's tree"
            ),
            _ if rest.starts_with(".adopted") || rest.starts_with(".retired") => {
                format!("hookmux keeps scripts as `{driver}{rest}`")
            }
            _ => return None,
        };
        Some(why)
    });
    let is_events = ["before_", "after_", "on_"].iter().any(|start| name.starts_with(start));
    let is_own = ["hooks.d", "modules", "bin", "hookmux", "hookmux.yaml", "hookmux.bypass"]
        .contains(&name)
        || name.strip_prefix("hookmux-").is_some_and(|rest| Driver::from_name(rest).is_some());
    of_driver
        .or_else(|| is_events.then(|| format!("`{name}` is an event's name")))
        .or_else(|| is_own.then(|| format!("`{name}` is a name of hookmux's own")))
}

impl<'de> Deserialize<'de> for TreeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TreeName, D::Error> {
        // an error has its place in the file only if a visitor returns it
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = TreeName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a directory")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TreeName, E> {
                TreeName::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_driver_has_a_place_of_its_own() {
        for (name, expected) in [
            ("$DRIVER.d", "/h/qemu.d"),
            ("${DRIVER}.hooks.d", "/h/qemu.hooks.d"),
            ("$DRIVER-guests", "/h/qemu-guests"),
            ("hooks.guests", "/h/hooks.guests/qemu"),
            ("hooks", "/h/hooks/qemu"),
            ("guests of $DRIVER", "/h/guests of qemu"),
        ] {
            let tree = TreeName::parse(name).unwrap();
            assert_eq!(tree.place(Path::new("/h"), Driver::Qemu), Path::new(expected), "{name}");
            assert_eq!(tree.is_default(), name == "$DRIVER.d");
        }
        assert_eq!(TreeName::default(), TreeName::parse("${DRIVER}.d").unwrap());
    }

    #[test]
    fn what_cant_be_a_tree_is_refused() {
        for (name, words) in [
            ("", "the name of a directory"),
            (".", "the name of a directory"),
            ("..", "the name of a directory"),
            ("/srv/guests", "may be a link"),
            ("a/b", "the name of a directory"),
            ("../x", "the name of a directory"),
            ("a\0", "the name of a directory"),
            ("$GUEST", "nothing but $DRIVER"),
            ("a$", "nothing but $DRIVER"),
            ("$DRIVER", "libvirt calls `daemon`"),
            ("network", "libvirt calls `network`"),
            ("qemu.d", "libvirt itself runs programs"),
            ("$DRIVER.adopted", "hookmux keeps scripts"),
            ("lxc.retired", "hookmux keeps scripts"),
            ("qemu.adopted.1", "hookmux keeps scripts"),
            ("before_vm_start", "an event's name"),
            ("on_${DRIVER}_x", "an event's name"),
            ("hooks.d", "hookmux's own"),
            ("hookmux.yaml", "hookmux's own"),
            ("hookmux-$DRIVER", "hookmux's own"),
            ("bin", "hookmux's own"),
        ] {
            let why = TreeName::parse(name).unwrap_err();
            assert!(why.contains(words), "{name}: {why}");
        }
    }

    #[test]
    fn a_script_that_runs_the_tree_is_known_by_its_name() {
        let mention = |name: &str| {
            TreeName::parse(name).unwrap().mention(Path::new("/etc/libvirt/hooks"), Driver::Lxc)
        };
        assert_eq!(mention("$DRIVER.d"), "lxc.d");
        assert_eq!(mention("hooks.guests"), "hooks.guests");
        assert_eq!(mention("hooks"), "hooks/hooks");
    }
}
