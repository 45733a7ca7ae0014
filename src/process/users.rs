//! Resolves `run_as` to a user and its groups: from what a static binary can read (numbers,
//! `/etc/passwd`, `/etc/group`), else through `getent`, which also asks LDAP and similar services.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::job::{Job, ProcessOutcome, c_string};
use super::supervise::Supervisor;
use crate::config::registration::RunAs;
use crate::machine::files;
use crate::machine::privileges::{PasswdEntry, UserIdentity};

/// How long `getent` may take: a directory service that is down must not use up the call's time.
const GETENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why `run_as` can't be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// There is no user of this name.
    NoUser(String),
    /// There is no group of this name.
    NoGroup(String),
    /// This number has no passwd entry, which would name its group.
    NoEntry(String),
    /// Only root can become this user.
    NoRight(String),
    /// The name can't be looked up, and why.
    LookUp { name: String, why: String },
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("run_as: ")?;
        match self {
            Unresolved::NoUser(user) => write!(f, "there is no user `{user}`"),
            Unresolved::NoGroup(group) => write!(f, "there is no group `{group}`"),
            Unresolved::NoEntry(user) => {
                write!(f, "user {user} has no passwd entry: set its `group` too")
            }
            Unresolved::NoRight(user) => write!(f, "only root can become {user}"),
            Unresolved::LookUp { name, why } => write!(f, "`{name}` can't be looked up: {why}"),
        }
    }
}

/// The answer of a directory service to a name: its line, none, or why the service can't be asked.
type LookupAnswer = Result<Option<String>, String>;

/// Finds a user. A user that doesn't exist is an error, never root.
///
/// # Errors
/// No such user or group, or not enough rights to become it.
pub(crate) fn resolve(
    run_as: &RunAs,
    own_user: u32,
    supervisor: &mut Supervisor,
) -> Result<UserIdentity, Unresolved> {
    let mut ask = |database: &str, key: &str| getent(supervisor, database, key);
    let identity = find(run_as, &read("/etc/passwd"), &read("/etc/group"), &mut ask)?;
    if own_user != 0 && identity.user != own_user {
        return Err(Unresolved::NoRight(run_as.user.clone()));
    }
    Ok(identity)
}

/// How many bytes of `/etc/passwd` or `/etc/group` are read at most.
const MAX_USERS_BYTES: u64 = 16 << 20;

fn read(path: &str) -> String {
    files::read_regular(Path::new(path), MAX_USERS_BYTES)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// Finds a user. `ask` looks up a key in a database, and returns its line.
fn find(
    run_as: &RunAs,
    passwd: &str,
    groups: &str,
    ask: &mut dyn FnMut(&str, &str) -> LookupAnswer,
) -> Result<UserIdentity, Unresolved> {
    let user = run_as.user.as_str();
    let number: Option<u32> = user.parse().ok();
    let local = passwd.lines().find(|line| is_entry(line, user)).map(str::to_owned);
    let line = match local {
        Some(line) => Some(line),
        // a number is a valid user with or without an entry
        None if number.is_some() => ask("passwd", user).unwrap_or_default(),
        None => ask("passwd", user).map_err(|why| look_up(user, why))?,
    };
    let entry = line.as_deref().and_then(parse_passwd);
    let (entry, uid, own_group) = match (entry, number) {
        (Some((entry, uid, gid)), _) => (Some(entry), uid, Some(gid)),
        (None, Some(uid)) => (None, uid, None),
        (None, None) => return Err(Unresolved::NoUser(user.to_owned())),
    };
    let group = match (&run_as.group, own_group) {
        (Some(group), _) => find_group(group, groups, ask)?,
        (None, Some(gid)) => gid,
        (None, None) => {
            return Err(Unresolved::NoEntry(user.to_owned()));
        }
    };
    let mut all = vec![group];
    if let Some(PasswdEntry { name, .. }) = &entry {
        let is_local = passwd.lines().any(|line| is_entry(line, user));
        let others = if is_local {
            members_of(name, groups)
        } else {
            initgroups(&ask("initgroups", name).unwrap_or_default())
        };
        all.extend(others.into_iter().filter(|gid| *gid != group));
    }
    Ok(UserIdentity { user: uid, group, groups: all, passwd: entry })
}

/// Tells whether a line of passwd(5) or group(5) has this name or number.
fn is_entry(line: &str, key: &str) -> bool {
    let mut fields = line.split(':');
    let name = fields.next();
    name == Some(key) || fields.nth(1) == Some(key)
}

fn parse_passwd(line: &str) -> Option<(PasswdEntry, u32, u32)> {
    let fields: Vec<&str> = line.split(':').collect();
    let home = fields.get(5).filter(|home| home.starts_with('/')).unwrap_or(&"/");
    let entry = PasswdEntry { name: fields.first()?.to_string(), home: home.to_string() };
    Some((entry, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

fn find_group(
    group: &str,
    groups: &str,
    ask: &mut dyn FnMut(&str, &str) -> LookupAnswer,
) -> Result<u32, Unresolved> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let local = groups.lines().find(|line| is_entry(line, group)).map(str::to_owned);
    let line = match local {
        Some(line) => Some(line),
        None => ask("group", group).map_err(|why| look_up(group, why))?,
    };
    line.and_then(|line| line.split(':').nth(2)?.parse().ok())
        .ok_or_else(|| Unresolved::NoGroup(group.to_owned()))
}

fn look_up(name: &str, why: String) -> Unresolved {
    Unresolved::LookUp { name: name.to_owned(), why }
}

fn members_of(name: &str, groups: &str) -> Vec<u32> {
    let is_member = |line: &&str| {
        line.split(':').nth(3).is_some_and(|members| members.split(',').any(|one| one == name))
    };
    groups
        .lines()
        .filter(is_member)
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .collect()
}

/// Reads the group numbers from a line of `getent initgroups`, which begins with the name.
fn initgroups(line: &Option<String>) -> Vec<u32> {
    line.iter()
        .flat_map(|line| line.split_ascii_whitespace().skip(1))
        .filter_map(|gid| gid.parse().ok())
        .collect()
}

fn getent(supervisor: &mut Supervisor, database: &str, key: &str) -> LookupAnswer {
    let program = ["/usr/bin/getent", "/bin/getent"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap_or(false));
    let Some(program) = program else { return Ok(None) };
    let stdin = supervisor.null().map_err(|error| format!("/dev/null: {error}"))?;
    let mut job = Job::new(
        OsStr::new(program),
        stdin,
        format!("getent-{}", std::process::id()),
        Instant::now() + GETENT_TIMEOUT,
    );
    // a key that begins with a dash is not an option
    job.arguments.extend(["--", database, key].map(|word| c_string(word.as_bytes())));
    job.environment.push(c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    let Some(ended) = supervisor.run(vec![job], &mut |_| {}).pop() else { return Ok(None) };
    match ended.outcome {
        ProcessOutcome::Exited(0) => {}
        ProcessOutcome::Exited(_) => return Ok(None),
        ProcessOutcome::TimedOut { .. } => {
            return Err(format!("{program} did not end within {} s", GETENT_TIMEOUT.as_secs()));
        }
        ProcessOutcome::Signaled(signal) => {
            return Err(format!("{program} was ended by signal {signal}"));
        }
        ProcessOutcome::Terminated => return Err("hookmux was told to end".to_owned()),
        ProcessOutcome::NotStarted(obstacle) => return Err(format!("{program} {obstacle}")),
    }
    let Some(bytes) = ended.stdout.whole() else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.lines().next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\nkvm:x:64:108::/:/bin/sh\n";
    const GROUP: &str =
        "root:x:0:\nkvm:x:108:\nlibvirt:x:109:admin,kvm\nnogroup:x:65534:\ndisk:x:6:kvm\n";

    fn found(user: &str, group: Option<&str>) -> Result<UserIdentity, Unresolved> {
        let run_as = RunAs { user: user.into(), group: group.map(str::to_owned) };
        find(&run_as, PASSWD, GROUP, &mut |database, key| match (database, key) {
            ("passwd", "far") => Ok(Some("far:*:5000:6000::/home/far:/bin/sh".into())),
            ("initgroups", "far") => Ok(Some("far                   6000 6001".into())),
            ("group", "farm") => Ok(Some("farm:*:6002:".into())),
            (_, "hangs" | "4343") => Err("getent had no end".into()),
            _ => Ok(None),
        })
    }

    #[test]
    fn users_are_found_by_name_number_and_service() {
        let found = |user, group| {
            let UserIdentity { user, group, groups, .. } = found(user, group)?;
            Ok::<_, Unresolved>((user, group, groups))
        };
        let identity = |user: u32, group: u32, groups: &[u32]| Ok((user, group, groups.to_vec()));
        assert_eq!(found("nobody", None), identity(65534, 65534, &[65534]));
        assert_eq!(found("kvm", None), identity(64, 108, &[108, 109, 6]));
        assert_eq!(found("64", None), identity(64, 108, &[108, 109, 6]));
        assert_eq!(found("kvm", Some("nogroup")), identity(64, 65534, &[65534, 109, 6]));
        assert_eq!(found("far", None), identity(5000, 6000, &[6000, 6001]));
        assert_eq!(found("far", Some("farm")), identity(5000, 6002, &[6002, 6000, 6001]));
        assert_eq!(found("4242", Some("12")), identity(4242, 12, &[12]));
    }

    #[test]
    fn a_user_has_a_name_and_a_home_where_there_is_an_entry() {
        let entry =
            |user, group| found(user, group).unwrap().passwd.map(|entry| (entry.name, entry.home));
        let pair = |name: &str, home: &str| Some((name.to_owned(), home.to_owned()));
        assert_eq!(entry("root", None), pair("root", "/root"));
        assert_eq!(entry("65534", None), pair("nobody", "/"));
        assert_eq!(entry("far", None), pair("far", "/home/far"));
        assert_eq!(entry("4242", Some("12")), None);
    }

    #[test]
    fn why_there_is_nobody_is_told() {
        for (user, group, why, words) in [
            ("ghost", None, Unresolved::NoUser("ghost".into()), "run_as: there is no user `ghost`"),
            (
                "kvm",
                Some("ghosts"),
                Unresolved::NoGroup("ghosts".into()),
                "run_as: there is no group `ghosts`",
            ),
            (
                "4242",
                None,
                Unresolved::NoEntry("4242".into()),
                "run_as: user 4242 has no passwd entry: set its `group` too",
            ),
            (
                "hangs",
                None,
                look_up("hangs", "getent had no end".into()),
                "run_as: `hangs` can't be looked up: getent had no end",
            ),
            (
                "kvm",
                Some("hangs"),
                look_up("hangs", "getent had no end".into()),
                "run_as: `hangs` can't be looked up: getent had no end",
            ),
        ] {
            let error = found(user, group).unwrap_err();
            assert_eq!((error.to_string().as_str(), error), (words, why));
        }
        assert_eq!(Unresolved::NoRight("a".into()).to_string(), "run_as: only root can become a");
        assert_eq!(found("4343", Some("12")).unwrap().user, 4343, "a number needs no entry");
    }

    #[test]
    fn nobody_becomes_root_by_mistake() {
        for (user, group) in
            [("ghost", None), ("4242", None), ("kvm", Some("ghosts")), ("", None), ("-x", None)]
        {
            assert!(found(user, group).is_err(), "{user} {group:?}");
        }
    }
}
