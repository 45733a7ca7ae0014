//! The environment of a hook, in layers. A layer can't override a layer with a higher number.
//!
//! 1. custom properties under their bare names, if the hook gets them and nothing else has the name
//! 2. PATH, HOME, LC_ALL; `environment`, then `environment_file` of the settings
//! 3. hookmux's own variables
//!
//! An adopted script gets only the third layer, besides everything that libvirt passed.

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::steering::steers;
use crate::config::custom_properties::CustomProperties;
use crate::config::values::{OWN_PREFIX, is_variable_name};
use crate::config::{Settings, Surroundings};
use crate::hook::HookSource;
use crate::libvirt::metadata::Property;
use crate::process::DEFAULT_PATH;
use crate::process::job::c_string;

/// The size limit of a property's value, in bytes; a larger one is left out. The kernel refuses variables over
/// 128 KiB.
pub(crate) const MAX_VALUE_BYTES: usize = 64 * 1024;
/// The size limit of all properties together, in bytes as the kernel counts them for a new program: names
/// and values with their NUL bytes, and a pointer for each. The kernel's limit for everything is 2 MiB.
const MAX_ALL_BYTES: usize = 512 * 1024;

/// The variables that libvirt passes to its hooks, if it has them itself. It sets `LC_ALL` to `C`.
const PASSED_BY_LIBVIRT: [&str; 7] =
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "HOME", "USER", "LOGNAME", "TMPDIR"];

/// The number of left-out properties that are named in messages.
const MAX_REPORTED_PROPERTIES: usize = 10;
const PROPERTY_PREFIX: &str = "HOOKMUX_PROPERTY_";

/// Which custom properties of a guest a hook gets under their bare names too.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BareNames<'a> {
    /// None: an adopted script gets only names that libvirt sets.
    None,
    /// Those that `custom_properties` lists.
    Listed(Option<&'a CustomProperties>),
    /// Every name with a lower-case letter, as vdsm does, because variables that steer tools have capitals;
    /// and those that `custom_properties` lists.
    Vdsm(Option<&'a CustomProperties>),
}

impl<'a> BareNames<'a> {
    /// Returns the rule for a hook of this source.
    pub(crate) fn of(source: HookSource, settings: &'a Settings) -> BareNames<'a> {
        let listed = settings.custom_properties.as_ref();
        match source {
            HookSource::Tree | HookSource::Adopted => BareNames::None,
            HookSource::EventDirectory | HookSource::Registered => BareNames::Listed(listed),
            HookSource::Vdsm => BareNames::Vdsm(listed),
        }
    }

    /// Tells whether a hook gets a property with this name under its bare name, for any value.
    pub(crate) fn admit(self, name: &str) -> bool {
        let is_wanted = match self {
            BareNames::None => false,
            BareNames::Listed(listed) => is_listed(listed, name),
            BareNames::Vdsm(listed) => {
                name.bytes().any(|byte| byte.is_ascii_lowercase()) || is_listed(listed, name)
            }
        };
        is_wanted && is_variable_name(name) && !steers(name)
    }

    /// Tells the same for a name and a value, which the settings may not allow.
    fn admit_value(self, name: &str, value: &str) -> bool {
        let listed = match self {
            BareNames::None => None,
            BareNames::Listed(listed) | BareNames::Vdsm(listed) => listed,
        };
        self.admit(name) && listed.is_none_or(|listed| listed.violated_rule(name, value).is_none())
    }
}

fn is_listed(listed: Option<&CustomProperties>, name: &str) -> bool {
    listed.is_some_and(|listed| listed.is_listed(name))
}

/// Variables by name. Each name has one value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    variables: Vec<(OsString, OsString)>,
    /// The index of each name: a guest may have thousands of properties.
    indexes: HashMap<OsString, usize>,
    /// The bare names that properties have: another property may replace them.
    bare: HashSet<String>,
}

impl Environment {
    /// Returns the lowest layer, which every hook of a call gets.
    pub(crate) fn base(surroundings: &Surroundings) -> Environment {
        let mut environment = Environment::default();
        let path = surroundings.path.clone().filter(|path| !path.is_empty());
        environment.set("PATH", path.unwrap_or_else(|| DEFAULT_PATH.into()));
        let daemons = surroundings.daemons_home.clone().filter(|home| !home.is_empty());
        let home = || surroundings.home.clone().map_or_else(|| "/".into(), OsString::from);
        environment.set("HOME", daemons.unwrap_or_else(home));
        environment.set("LC_ALL", "C.UTF-8");
        environment
    }

    /// Sets a variable, and replaces one with the same name.
    pub(crate) fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let (name, value) = (name.into(), value.into());
        match self.indexes.get(&name) {
            Some(place) => self.variables[*place].1 = value,
            None => {
                self.indexes.insert(name.clone(), self.variables.len());
                self.variables.push((name, value));
            }
        }
    }

    /// Sets all variables of another environment.
    pub(crate) fn extend(&mut self, other: &Environment) {
        other.variables.iter().for_each(|(name, value)| self.set(name, value));
    }

    fn unset(&mut self, name: &str) {
        if let Some(place) = self.indexes.remove(OsStr::new(name)) {
            self.variables.remove(place);
            self.indexes.values_mut().filter(|other| **other > place).for_each(|other| *other -= 1);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        let place = self.indexes.get(OsStr::new(name))?;
        self.variables.get(*place).map(|(_, value)| value.as_os_str())
    }

    /// Adds the custom properties of a guest or a device, each as `HOOKMUX_PROPERTY_<name>`, and under its
    /// bare name if the hook gets that. Those of a device are added after those of its guest, and replace
    /// them. Returns messages about what was left out.
    pub(crate) fn add_properties(
        &mut self,
        properties: &[Property],
        bare_names: BareNames<'_>,
    ) -> Vec<String> {
        let mut left_out = Vec::new();
        let mut sum = 0;
        let mut too_many = 0;
        for Property { name, value } in properties {
            sum += size_bytes(name, value);
            if value.len() > MAX_VALUE_BYTES || sum > MAX_ALL_BYTES {
                too_many += 1;
                if too_many > MAX_REPORTED_PROPERTIES {
                    continue;
                }
                let shown: String = name.chars().take(64).collect();
                left_out.push(format!(
                    "custom property `{shown}` left out of the environment: {} bytes are too many (a value may have {MAX_VALUE_BYTES}, all together {MAX_ALL_BYTES})",
                    value.len()
                ));
                continue;
            }
            if name.is_empty()
                || name.len() > 256
                || name.contains(['=', '\0'])
                || value.contains('\0')
            {
                continue;
            }
            self.set(format!("{PROPERTY_PREFIX}{name}"), value);
            let is_free = self.get(name).is_none() || self.bare.contains(name);
            if is_free && bare_names.admit_value(name, value) {
                self.set(name, value);
                self.bare.insert(name.clone());
            } else if self.bare.remove(name) {
                // the guest's value is wrong for the device
                self.unset(name);
            }
        }
        if too_many > MAX_REPORTED_PROPERTIES {
            left_out.push(format!(
                "{} more custom properties left out of the environment",
                too_many - MAX_REPORTED_PROPERTIES
            ));
        }
        left_out
    }

    /// Returns the environment in the form for exec.
    pub(crate) fn block(&self) -> Vec<CString> {
        self.variables
            .iter()
            .map(|(name, value)| {
                // with room for `=` and the NUL byte: nothing is copied twice
                let mut variable = Vec::with_capacity(name.len() + value.len() + 2);
                variable.extend_from_slice(name.as_bytes());
                variable.push(b'=');
                variable.extend_from_slice(value.as_bytes());
                CString::new(variable).unwrap_or_else(|error| c_string(&error.into_vec()))
            })
            .collect()
    }
}

/// Returns all variables that libvirt passed to this process, byte for byte, except for hookmux's own: those
/// belong to the call of a script that called hookmux.
pub(crate) fn of_libvirt() -> Vec<CString> {
    // the C library's list may be incomplete: a dynamically linked one removes variables that a confined
    // program must not have
    let passed = std::fs::read("/proc/self/environ").unwrap_or_else(|_| {
        let variables = std::env::vars_os();
        let line = |(name, value): (OsString, OsString)| {
            [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat()
        };
        variables.flat_map(line).collect()
    });
    let variables = passed.split(|byte| *byte == 0).filter(|variable| !variable.is_empty());
    variables.filter(|variable| !variable.starts_with(OWN_PREFIX)).map(c_string).collect()
}

/// Returns the variables that libvirt would pass, taken from a person's environment.
pub(crate) fn as_of_libvirt() -> Vec<CString> {
    let own = PASSED_BY_LIBVIRT.iter().filter_map(|name| {
        let value = std::env::var_os(name)?;
        Some(c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
    });
    std::iter::once(c"LC_ALL=C".into()).chain(own).collect()
}

/// Returns the size of a property under both its names, in bytes.
fn size_bytes(name: &str, value: &str) -> usize {
    let of_one =
        |prefix: usize| prefix + name.len() + value.len() + "=\0".len() + size_of::<usize>();
    of_one(PROPERTY_PREFIX.len()) + of_one(0)
}

/// Reads an environment file as systemd's `EnvironmentFile=` does: `NAME=value` a line, `#` and
/// `;` begin comments, quotes around a value are taken off, a backslash at the end joins lines.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub fn parse_file(bytes: &[u8]) -> Result<Vec<(OsString, OsString)>, (usize, String)> {
    let mut variables = Vec::new();
    let mut pending: Option<(usize, Vec<u8>)> = None;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let (number, mut whole) = pending.take().unwrap_or((index + 1, Vec::new()));
        whole.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        if whole.last() == Some(&b'\\') {
            whole.pop();
            pending = Some((number, whole));
            continue;
        }
        variables.extend(parse_line(&whole).map_err(|message| (number, message))?);
    }
    if let Some((number, whole)) = pending {
        variables.extend(parse_line(&whole).map_err(|message| (number, message))?);
    }
    Ok(variables)
}

fn parse_line(line: &[u8]) -> Result<Option<(OsString, OsString)>, String> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
        return Ok(None);
    }
    let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
        return Err("no `=`: write NAME=value".to_owned());
    };
    let name = String::from_utf8_lossy(line[..equals].trim_ascii()).into_owned();
    if !is_variable_name(&name) {
        return Err(format!(
            "`{name}` is not a name of a variable: letters, digits and _ only, no digit first"
        ));
    }
    let value = line[equals + 1..].trim_ascii();
    if value.contains(&0) {
        return Err(format!("`{name}` has a NUL byte in its value"));
    }
    Ok(Some((name.into(), OsString::from_vec(unquote(value)))))
}

fn unquote(value: &[u8]) -> Vec<u8> {
    match value {
        [b'\'', inner @ .., b'\''] => inner.to_vec(),
        [b'"', inner @ .., b'"'] => {
            let mut plain = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter().copied().peekable();
            while let Some(byte) = bytes.next() {
                let escaped = (byte == b'\\')
                    .then(|| bytes.next_if(|next| b"\"\\$`".contains(next)))
                    .flatten();
                plain.push(escaped.unwrap_or(byte));
            }
            plain
        }
        plain => plain.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use std::path::Path;

    fn property(name: &str, value: &str) -> Property {
        Property { name: name.into(), value: value.into() }
    }

    fn listed(text: &str) -> CustomProperties {
        yaml::read(text).unwrap()
    }

    #[test]
    fn a_guest_cannot_steer_a_hooks_tools() {
        let names = ["PATH", "LD_PRELOAD", "TMOUT", "HOOKMUX_EVENT", "http_proxy", "vmId"];
        let all = listed("[PATH, LD_PRELOAD, TMOUT, HOOKMUX_EVENT, http_proxy, vmId]");
        for name in names {
            for bare in [BareNames::Vdsm(Some(&all)), BareNames::Listed(Some(&all))] {
                let mut environment = Environment::base(&Surroundings::here(Path::new("/h")));
                let before = environment.get(name).map(OsStr::to_owned);
                environment.add_properties(&[property(name, "evil")], bare);
                assert_eq!(environment.get(name), before.as_deref(), "{name}");
                let prefixed = environment.get(&format!("HOOKMUX_PROPERTY_{name}"));
                assert_eq!(prefixed, Some(OsStr::new("evil")));
            }
        }
    }

    #[test]
    fn vdsms_hooks_get_names_with_a_lower_case_letter_and_override_nothing() {
        let mut environment = Environment::default();
        environment.set("site", "set by the administrator");
        let properties = [
            property("macspoof", "true"),
            property("site", "x"),
            property("VLAN", "7"),
            property("a.b", "1"),
            property("a=b", "1"),
        ];
        environment.add_properties(&properties, BareNames::Vdsm(None));
        assert_eq!(environment.get("macspoof"), Some(OsStr::new("true")));
        assert_eq!(environment.get("site"), Some(OsStr::new("set by the administrator")));
        assert_eq!(environment.get("HOOKMUX_PROPERTY_site"), Some(OsStr::new("x")));
        assert_eq!(environment.get("HOOKMUX_PROPERTY_a.b"), Some(OsStr::new("1")));
        assert_eq!((environment.get("a.b"), environment.get("VLAN")), (None, None));
        assert_eq!(environment.block().len(), 6);
        // a device's own, on top
        let own = [property("macspoof", "false"), property("site", "y")];
        environment.add_properties(&own, BareNames::Vdsm(None));
        assert_eq!(environment.get("site"), Some(OsStr::new("set by the administrator")));
        assert_eq!(environment.get("macspoof"), Some(OsStr::new("false")));
    }

    #[test]
    fn other_hooks_get_the_names_that_are_listed() {
        let list = listed("[b, C]");
        let properties = [property("a", "1"), property("b", "2"), property("C", "3")];
        let seen = |bare| {
            let mut environment = Environment::default();
            environment.add_properties(&properties, bare);
            assert_eq!(environment.get("HOOKMUX_PROPERTY_a"), Some(OsStr::new("1")));
            ["a", "b", "C"].map(|name| environment.get(name).is_some())
        };
        assert_eq!(seen(BareNames::Listed(None)), [false, false, false]);
        assert_eq!(seen(BareNames::Listed(Some(&list))), [false, true, true]);
        assert_eq!(seen(BareNames::Vdsm(Some(&list))), [true, true, true]);
        assert_eq!(seen(BareNames::None), [false, false, false]);
    }

    #[test]
    fn a_value_that_is_not_allowed_has_no_bare_name() {
        let map = listed("{vlan: '1|2', zone: '*'}");
        let bare = BareNames::Listed(Some(&map));
        let mut environment = Environment::default();
        environment.add_properties(&[property("vlan", "1"), property("zone", "x")], bare);
        assert_eq!(environment.get("vlan"), Some(OsStr::new("1")));
        // a device's, which would hide behind its guest's
        environment.add_properties(&[property("vlan", "3")], bare);
        assert_eq!(environment.get("vlan"), None);
        assert_eq!(environment.get("zone"), Some(OsStr::new("x")));
        assert_eq!(environment.get("HOOKMUX_PROPERTY_vlan"), Some(OsStr::new("3")));
        environment.set("after", "1");
        assert_eq!(environment.get("after"), Some(OsStr::new("1")));
    }

    #[test]
    fn too_much_is_left_out_and_said() {
        let mut environment = Environment::default();
        let huge = "x".repeat(MAX_VALUE_BYTES + 1);
        let left_out = environment
            .add_properties(&[property("big", &huge), property("small", "1")], BareNames::None);
        assert_eq!(left_out.len(), 1);
        assert!(left_out[0].contains("`big`"));
        assert_eq!(environment.get("HOOKMUX_PROPERTY_small"), Some(OsStr::new("1")));
    }

    #[test]
    fn environment_files_are_systemds() {
        let file = b"# c\n; c\n\nA=1\n B = two words \nC='single \\ $x'\nD=\"dou\\\"ble\\\\\"\nE=a\\\nb\nF=\r\n";
        let seen = parse_file(file).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "single \\ $x"),
            ("D", "dou\"ble\\"),
            ("E", "ab"),
            ("F", ""),
        ];
        let expected: Vec<(OsString, OsString)> =
            expected.map(|(n, v)| (n.into(), v.into())).into();
        assert_eq!(seen, expected);
        assert_eq!(parse_file(b"A=1\nnonsense\n").unwrap_err().0, 2);
        assert_eq!(parse_file(b"export A=1").unwrap_err().0, 1);
    }
}
