//! `hookmux.yaml`: the fragment as written, and the settings that it gives together with the defaults.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::custom_properties::CustomProperties;
use super::diagnostic::Diagnostic;
use super::recovered_settings::RecoveredSettings;
use super::surroundings::Surroundings;
use super::tree_name::TreeName;
use super::values::{Age, OptionalTimeout, RequiredTimeout, Size, Variables};
use super::yaml;
use crate::libvirt::{Call, Driver, Operation};
use crate::state::Dir;

/// The file's name in the hooks directory.
pub(crate) const FILE_NAME: &str = "hookmux.yaml";
/// How many bytes of it are read at most.
pub(crate) const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// What to do with a script that others could change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustPolicy {
    /// It isn't run, and counts as failed.
    #[default]
    Refuse,
    /// It is run, with a warning.
    Warn,
}

/// Which calls get a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordPolicy {
    /// Calls for which a hook was considered.
    #[default]
    Hooks,
    /// Every call.
    All,
    None,
}

/// How long records are kept. Failures are kept [`FAILURE_RETENTION_FACTOR`] times longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The number of newest records that are kept of each hook.
    pub per_hook: u64,
    pub age: Option<Duration>,
    /// The size of all records together, in bytes.
    pub size: u64,
    /// The size of the records of one guest or network, in bytes.
    pub per_guest: u64,
}

/// The default size of one guest's records is the size of all records divided by this.
const PER_GUEST_DIVISOR: u64 = 4;

/// How many times longer failures are kept.
pub(crate) const FAILURE_RETENTION_FACTOR: u32 = 4;

/// The same as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "limits, as `age: 30days`")]
struct RetentionFragment {
    per_hook: Option<NonZeroU64>,
    age: Option<Age>,
    size: Option<Size>,
    per_guest: Option<Size>,
}

impl RetentionFragment {
    fn with_defaults(self) -> Retention {
        let size = self.size.map_or(512 << 20, |size| size.0.max(1));
        Retention {
            per_hook: self.per_hook.map_or(200, NonZeroU64::get),
            age: self.age.map_or(Some(Duration::from_secs(30 * 24 * 3600)), |age| age.0),
            size,
            per_guest: self.per_guest.map_or(size / PER_GUEST_DIVISOR, |size| size.0).max(1),
        }
    }
}

/// The limits of the queue of detached hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    pub jobs: u64,
    /// The size of all jobs together, in bytes.
    pub size: u64,
}

/// The same as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "limits, as `jobs: 1000`")]
struct QueueFragment {
    jobs: Option<NonZeroU64>,
    size: Option<Size>,
}

impl QueueFragment {
    fn with_defaults(self) -> QueueLimits {
        QueueLimits {
            jobs: self.jobs.map_or(10_000, NonZeroU64::get),
            size: self.size.map_or(256 << 20, |size| size.0.max(1)),
        }
    }
}

/// The limits of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    pub events: u64,
    /// The size of all events together, in bytes.
    pub size: u64,
}

/// The same as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "limits, as `events: 100000`")]
struct OutboxFragment {
    events: Option<NonZeroU64>,
    size: Option<Size>,
}

impl OutboxFragment {
    fn with_defaults(self) -> OutboxLimits {
        OutboxLimits {
            events: self.events.map_or(100_000, NonZeroU64::get),
            size: self.size.map_or(64 << 20, |size| size.0.max(1)),
        }
    }
}

/// The file as written; every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "settings, as a mapping of keys")]
struct SettingsFragment {
    session: Option<bool>,
    state_dir: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    roots: Option<Vec<PathBuf>>,
    vdsm_hooks: Option<bool>,
    tree: Option<TreeName>,
    save_dir: Option<PathBuf>,
    timeout: Option<OptionalTimeout>,
    total_timeout: Option<RequiredTimeout>,
    kill_leftovers: Option<bool>,
    trust: Option<TrustPolicy>,
    environment: Option<Variables>,
    environment_file: Option<PathBuf>,
    custom_properties: Option<CustomProperties>,
    max_parallel: Option<NonZeroU32>,
    queue: Option<QueueFragment>,
    record: Option<RecordPolicy>,
    retention: Option<RetentionFragment>,
    outbox: Option<bool>,
    outbox_max: Option<OutboxFragment>,
}

/// The settings of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub hooks_dir: PathBuf,
    /// Whether a daemon that isn't root's may run hooks.
    pub session: bool,
    pub state_dir: Dir,
    pub runtime_dir: Dir,
    /// Further roots, in order of precedence; the hooks directory comes first.
    pub roots: Vec<PathBuf>,
    pub vdsm_hooks: bool,
    /// Where the per-guest tree of each driver lies.
    pub tree: TreeName,
    /// Where libvirt keeps managed saves.
    pub save_dir: PathBuf,
    /// The time limit of one hook; `None` is no limit except the total.
    pub timeout: Option<Duration>,
    total_timeout: Duration,
    pub kill_leftovers: bool,
    pub trust: TrustPolicy,
    pub environment: BTreeMap<String, String>,
    pub environment_file: Option<PathBuf>,
    /// The custom properties that hooks also get under their bare names, besides those of vdsm.
    pub custom_properties: Option<CustomProperties>,
    /// How many detached hooks run at once.
    pub max_parallel: usize,
    pub queue: QueueLimits,
    pub record: RecordPolicy,
    pub retention: Retention,
    /// Whether each execution is also an event for other hosts.
    pub outbox: bool,
    pub outbox_max: OutboxLimits,
}

/// The default number of detached hooks that run at once.
const DEFAULT_MAX_PARALLEL: usize = 10;

pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
pub(crate) const DEFAULT_TOTAL_TIMEOUT: Duration = Duration::from_secs(300);
/// libvirtd answers no client while the daemon's own hook runs, and systemd gives it 90 s to start.
const DAEMON_TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
/// libvirt runs these in its event loop when a container ends by itself: the whole daemon waits.
const LXC_END_TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

impl Settings {
    pub fn defaults(surroundings: &Surroundings) -> Settings {
        Settings::from_fragment(SettingsFragment::default(), surroundings)
    }

    /// Reads the text of a settings file.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(
        path: &Path,
        text: &str,
        surroundings: &Surroundings,
    ) -> Result<Settings, Diagnostic> {
        // an empty file is a null
        let fragment: Option<SettingsFragment> =
            yaml::read(text).map_err(|mistake| Diagnostic::syntax(path, mistake))?;
        let fragment = fragment.unwrap_or_default();
        Ok(Settings::from_fragment(fragment, surroundings))
    }

    /// Makes the settings for a broken file without a last good copy: directories as far as they can be
    /// recovered, else the defaults. For `session` and `custom_properties` the default is used whatever
    /// was written, because it permits the least.
    pub fn from_broken(text: &str, surroundings: &Surroundings) -> Settings {
        let RecoveredSettings { state_dir, runtime_dir, roots, tree } =
            RecoveredSettings::read(text);
        let fragment =
            SettingsFragment { state_dir, runtime_dir, roots, tree, ..SettingsFragment::default() };
        Settings::from_fragment(fragment, surroundings)
    }

    fn from_fragment(fragment: SettingsFragment, surroundings: &Surroundings) -> Settings {
        // where sessions have hooks, each user has directories of their own
        let is_about_system = surroundings.is_about_system && fragment.session != Some(true);
        let surroundings = &Surroundings { is_about_system, ..surroundings.clone() };
        let hooks_dir = surroundings.hooks_dir.clone();
        // relative paths are below the hooks directory, so that the whole tree can be copied
        let below = |path: PathBuf| hooks_dir.join(path);
        let own = |path: PathBuf| Dir::new(path, surroundings.user);
        let roots = fragment.roots.unwrap_or_else(default_roots);
        Settings {
            session: fragment.session.unwrap_or(false),
            state_dir: own(fragment.state_dir.map_or_else(|| surroundings.state_dir(), below)),
            runtime_dir: own(fragment
                .runtime_dir
                .map_or_else(|| surroundings.runtime_dir(), below)),
            roots: roots.into_iter().map(below).collect(),
            vdsm_hooks: fragment.vdsm_hooks.unwrap_or(false),
            tree: fragment.tree.unwrap_or_default(),
            save_dir: fragment.save_dir.map_or_else(|| surroundings.save_dir(), below),
            timeout: fragment.timeout.map_or(Some(DEFAULT_TIMEOUT), |limit| limit.0),
            total_timeout: fragment.total_timeout.map_or(DEFAULT_TOTAL_TIMEOUT, |limit| limit.0),
            kill_leftovers: fragment.kill_leftovers.unwrap_or(false),
            trust: fragment.trust.unwrap_or_default(),
            environment: fragment.environment.unwrap_or_default().0,
            environment_file: fragment.environment_file.map(below),
            custom_properties: fragment.custom_properties,
            max_parallel: fragment
                .max_parallel
                .map_or(DEFAULT_MAX_PARALLEL, |most| most.get() as usize),
            queue: fragment.queue.unwrap_or_default().with_defaults(),
            record: fragment.record.unwrap_or_default(),
            retention: fragment.retention.unwrap_or_default().with_defaults(),
            outbox: fragment.outbox.unwrap_or(false),
            outbox_max: fragment.outbox_max.unwrap_or_default().with_defaults(),
            hooks_dir: hooks_dir.clone(),
        }
    }

    /// Returns all roots in order of precedence: the hooks directory, then the further ones.
    pub fn all_roots(&self) -> impl Iterator<Item = &Path> + Clone {
        std::iter::once(&self.hooks_dir).chain(&self.roots).map(PathBuf::as_path)
    }

    /// Returns the longest time that a whole call may take.
    pub fn most_of_a_call(&self) -> Duration {
        self.total_timeout
    }

    /// Returns the per-guest tree of a driver.
    pub fn tree_of(&self, driver: Driver) -> PathBuf {
        self.tree.place(&self.hooks_dir, driver)
    }

    /// Returns every setting by its name, in the form that decides what calls do. Where this host keeps its own
    /// files is left out, unless somebody has decided that; paths in the hooks directory are relative to it.
    pub(crate) fn decisive_values(
        &self,
        surroundings: &Surroundings,
    ) -> Vec<(&'static str, String)> {
        let Settings {
            hooks_dir,
            session,
            state_dir,
            runtime_dir,
            roots,
            vdsm_hooks,
            tree,
            save_dir,
            timeout,
            total_timeout,
            kill_leftovers,
            trust,
            environment,
            environment_file,
            custom_properties,
            max_parallel,
            queue,
            record,
            retention,
            outbox,
            outbox_max,
        } = self;
        let relative = |path: &Path| path.strip_prefix(hooks_dir).unwrap_or(path).to_path_buf();
        let is_about_system = surroundings.is_about_system && !session;
        let surroundings = Surroundings { is_about_system, ..surroundings.clone() };
        let decided = |path: &Path, default: PathBuf| (path != default).then(|| relative(path));
        vec![
            ("session", format!("{session:?}")),
            (
                "state_dir",
                format!("{:?}", decided(state_dir.unchecked_path(), surroundings.state_dir())),
            ),
            (
                "runtime_dir",
                format!("{:?}", decided(runtime_dir.unchecked_path(), surroundings.runtime_dir())),
            ),
            ("roots", format!("{:?}", roots.iter().map(|root| relative(root)).collect::<Vec<_>>())),
            ("vdsm_hooks", format!("{vdsm_hooks:?}")),
            ("tree", format!("{tree:?}")),
            ("save_dir", format!("{:?}", decided(save_dir, surroundings.save_dir()))),
            ("timeout", format!("{timeout:?}")),
            ("total_timeout", format!("{total_timeout:?}")),
            ("kill_leftovers", format!("{kill_leftovers:?}")),
            ("trust", format!("{trust:?}")),
            ("environment", format!("{environment:?}")),
            ("environment_file", format!("{:?}", environment_file.as_deref().map(relative))),
            ("custom_properties", format!("{custom_properties:?}")),
            ("max_parallel", format!("{max_parallel:?}")),
            ("queue", format!("{queue:?}")),
            ("record", format!("{record:?}")),
            ("retention", format!("{retention:?}")),
            ("outbox", format!("{outbox:?}")),
            ("outbox_max", format!("{outbox_max:?}")),
        ]
    }

    /// Returns the time limit of a whole call: the setting, or less where the whole daemon waits for it.
    pub fn total_timeout(&self, call: &Call) -> Duration {
        let most = match (call.driver, call.operation()) {
            (Driver::Daemon, Operation::DaemonStart | Operation::DaemonShutdown) => {
                DAEMON_TOTAL_TIMEOUT
            }
            (Driver::Lxc, Operation::Stopped | Operation::Release) => LXC_END_TOTAL_TIMEOUT,
            _ => self.total_timeout,
        };
        most.min(self.total_timeout)
    }
}

fn default_roots() -> Vec<PathBuf> {
    vec![PathBuf::from("/run/hookmux/hooks"), PathBuf::from("/usr/lib/hookmux/hooks")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;
    use std::ffi::OsString;

    fn surroundings() -> Surroundings {
        Surroundings {
            hooks_dir: "/h".into(),
            user: 0,
            is_about_system: false,
            home: None,
            xdg_state: None,
            xdg_runtime: None,
            xdg_config: None,
            path: None,
            daemons_home: None,
            daemon: Default::default(),
        }
    }

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("/h/hookmux.yaml"), text, &surroundings())
            .map_err(|d| d.to_string())
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        for text in ["", "# nothing\n", "---\n", "{}"] {
            assert_eq!(parse(text).unwrap(), Settings::defaults(&surroundings()), "{text:?}");
        }
        let defaults = Settings::defaults(&surroundings());
        assert_eq!(defaults.timeout, Some(Duration::from_secs(120)));
        assert_eq!(defaults.queue, QueueLimits { jobs: 10_000, size: 256 << 20 });
        assert_eq!(defaults.outbox_max, OutboxLimits { events: 100_000, size: 64 << 20 });
        assert!(!defaults.outbox);
        assert_eq!(defaults.runtime_dir.unchecked_path(), Path::new("/run/hookmux"));
        assert_eq!(defaults.state_dir.unchecked_path(), Path::new("/var/lib/hookmux"));
        assert_eq!(defaults.save_dir, Path::new("/var/lib/libvirt/qemu/save"));
    }

    #[test]
    fn every_key_has_its_row() {
        keys::tests::assert_complete::<SettingsFragment>(keys::SETTINGS, None);
        keys::tests::assert_complete::<RetentionFragment>(keys::SETTINGS, Some("retention"));
        keys::tests::assert_complete::<OutboxFragment>(keys::SETTINGS, Some("outbox_max"));
    }

    #[test]
    fn every_key_is_read() {
        let settings = parse(
            "session: true\nstate_dir: s\nruntime_dir: /r\nroots: [more]\nvdsm_hooks: true\ntree: guests\nsave_dir: /save\n\
             timeout: 0\ntotal_timeout: 10m\nkill_leftovers: true\ntrust: warn\n\
             environment: {A: b, N: 5, T: true}\nenvironment_file: env\ncustom_properties: [x]\nmax_parallel: 3\n\
             queue: {jobs: 5, size: 1 MiB}\n\
             record: all\nretention: {per_hook: 5, age: 2days, size: 10 MiB, per_guest: 3 MiB}\n\
             outbox: true\noutbox_max: {events: 9, size: 1 MiB}\n",
        )
        .unwrap();
        assert_eq!(settings.state_dir.unchecked_path(), Path::new("/h/s"));
        assert_eq!(settings.runtime_dir.unchecked_path(), Path::new("/r"));
        assert_eq!(settings.roots, [PathBuf::from("/h/more")]);
        assert_eq!(
            settings.all_roots().collect::<Vec<_>>(),
            [Path::new("/h"), Path::new("/h/more")]
        );
        assert_eq!(settings.tree_of(Driver::Lxc), Path::new("/h/guests/lxc"));
        assert_eq!(settings.timeout, None);
        assert_eq!(settings.trust, TrustPolicy::Warn);
        assert_eq!(settings.max_parallel, 3);
        assert_eq!(settings.queue, QueueLimits { jobs: 5, size: 1 << 20 });
        assert_eq!(settings.record, RecordPolicy::All);
        let age = Some(Duration::from_secs(2 * 86400));
        let retention = Retention { per_hook: 5, age, size: 10 << 20, per_guest: 3 << 20 };
        assert_eq!(settings.retention, retention);
        assert_eq!(settings.outbox_max, OutboxLimits { events: 9, size: 1 << 20 });
        let quarter = parse("retention: {size: 10 MiB}\n").unwrap().retention.per_guest;
        assert_eq!(quarter, 10 << 18);
        assert_eq!(settings.environment["N"], "5");
        assert_eq!(settings.environment["T"], "true");
        assert_eq!(settings.environment_file.as_deref(), Some(Path::new("/h/env")));
        assert!(settings.session && settings.vdsm_hooks && settings.kill_leftovers);
        assert!(settings.outbox);
    }

    #[test]
    fn every_setting_decides_and_no_default_place_does() {
        let of = |text: &str| parse(text).unwrap().decisive_values(&surroundings());
        let defaults = of("");
        let names: Vec<&str> = defaults.iter().map(|(name, _)| *name).collect();
        let keys = keys::SETTINGS.iter().map(|key| key.name).filter(|name| !name.contains('.'));
        for name in keys {
            assert!(names.contains(&name), "{name}");
        }
        for text in [
            "session: true",
            "state_dir: s",
            "runtime_dir: /r",
            "roots: [more]",
            "vdsm_hooks: true",
            "tree: guests",
            "save_dir: /save",
            "timeout: 0",
            "total_timeout: 10m",
            "kill_leftovers: true",
            "trust: warn",
            "environment: {A: b}",
            "environment_file: env",
            "custom_properties: [x]",
            "custom_properties: {x: a}",
            "max_parallel: 3",
            "queue: {jobs: 5}",
            "record: all",
            "retention: {age: 2days}",
            "outbox: true",
            "outbox_max: {events: 7}",
        ] {
            assert_ne!(of(text), defaults, "{text}");
        }
        for text in ["# a comment", "state_dir: /var/lib/hookmux", "timeout: 120s", "timeout: 2m"] {
            assert_eq!(of(text), defaults, "{text}");
        }
        // the hooks directory itself says nothing
        let elsewhere = Surroundings { hooks_dir: "/other".into(), ..surroundings() };
        let text = "roots: [more]\nstate_dir: s\nenvironment_file: env\n";
        let other = Settings::parse(Path::new("/other/hookmux.yaml"), text, &elsewhere).unwrap();
        assert_eq!(other.decisive_values(&elsewhere), of(text));
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (text, expected) in [
            (
                "timeout: 5s\ntimout: 3s\n",
                "/h/hookmux.yaml:2:1: unknown key `timout`; did you mean `timeout`?\n  timout: 3s\n  ^",
            ),
            ("frob: 1\n", "/h/hookmux.yaml:1:1: unknown key `frob`; known are session, "),
            ("timeout: 3x\n", "/h/hookmux.yaml:1:10: timeout: `3x` is not a duration"),
            (
                "timeout: 5s\n# c\ntimeout: 6s\n",
                "/h/hookmux.yaml:3:1: `timeout` is there twice, first in line 1",
            ),
            ("environment:\n  A: 1\n  A: 2\n", "/h/hookmux.yaml:3:3: "),
            ("environment: {HOOKMUX_EVENT: x}\n", "hookmux's own"),
            ("environment: {1A: x}\n", "not a variable name"),
            ("total_timeout: 0\n", "a call always has a limit"),
            (
                "trust: maybe\n",
                "/h/hookmux.yaml:1:8: trust: unknown value `maybe`; known are refuse, warn",
            ),
            (
                "record: some\n",
                "/h/hookmux.yaml:1:9: record: unknown value `some`; known are hooks, all, none",
            ),
            ("retention: {size: 3 bananas}\n", "is not a size"),
            ("retention: {age: 30}\n", "write 30days"),
            ("retention: {per_hook: 0}\n", "hookmux.yaml:1:"),
            ("queue: {jobs: 0}\n", "hookmux.yaml:1:"),
            ("queue: {size: 3 bananas}\n", "is not a size"),
            ("queue: {job: 3}\n", "unknown key `job`; did you mean `jobs`?"),
            ("outbox_max: {events: 0}\n", "hookmux.yaml:1:"),
            ("outbox: maybe\n", "hookmux.yaml:1:"),
            ("retention: {sizes: 3}\n", "unknown key `sizes`; did you mean `size`?"),
            (
                "timeout: 5s\ncustom_properties:\n  vlan:\n",
                "/h/hookmux.yaml:3:3: custom_properties: `vlan` has no allowed values: write `vlan: \"*\"`",
            ),
            ("custom_properties: {a: x, a: y}\n", "custom_properties: `a` is there twice"),
            (
                "custom_properties: all\n",
                "`all` can't stand here: write a list of names, or `NAME: allowed values`",
            ),
            (
                "tree: qemu.d\n",
                "/h/hookmux.yaml:1:7: tree: `qemu.d` can't be the per-guest tree: in",
            ),
            ("tree: [a]\n", "/h/hookmux.yaml:1:"),
            ("session: [\n", "/h/hookmux.yaml:"),
            ("- a\n", "/h/hookmux.yaml:1:1: "),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?} says\n{error}");
        }
    }

    #[test]
    fn a_call_that_all_of_libvirt_waits_for_has_less_time() {
        let settings = parse("total_timeout: 600").unwrap();
        let total = |driver, arguments: &[&str]| {
            settings
                .total_timeout(&Call::new(driver, arguments.iter().map(OsString::from).collect()))
                .as_secs()
        };
        assert_eq!(total(Driver::Qemu, &["g", "prepare", "begin", "-"]), 600);
        assert_eq!(total(Driver::Daemon, &["-", "start", "-", "start"]), 30);
        assert_eq!(total(Driver::Daemon, &["-", "reload", "begin", "SIGHUP"]), 600);
        assert_eq!(total(Driver::Lxc, &["c", "release", "end", "-"]), 60);
        assert_eq!(total(Driver::Qemu, &["g", "release", "end", "-"]), 600);
    }
}
