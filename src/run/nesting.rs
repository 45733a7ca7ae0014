//! Calls that come from hooks of running calls. A hook that causes its own call, and so itself, would
//! never end; calls within calls end at a depth. What comes back through libvirt is another call.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::libvirt::Call;
use crate::libvirt::invocation::Invocation;
use crate::machine::{own_binary, proc};

/// How deep calls may lie in each other: hooks of a call of libvirt's are at depth 1.
pub(crate) const MAX_DEPTH: u32 = 4;
/// The variable that tells a hook its depth.
pub(crate) const DEPTH_VARIABLE: &str = "HOOKMUX_DEPTH";
/// The variable that tells a hook what people call it.
pub(crate) const HOOK_VARIABLE: &str = "HOOKMUX_HOOK";
/// How many ancestors are looked at. More stand between a call and its hook's own call only where
/// somebody wants that; the depth holds all the same.
const MOST_ANCESTORS: usize = 256;

/// libvirt's daemons, as their processes are called.
const DAEMONS: [&str; 6] =
    ["libvirtd", "virtqemud", "virtlxcd", "virtxend", "virtnetworkd", "virtbhyved"];

/// Where a call stands among others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nesting {
    /// How many hooks it comes from, each of them of a call: 0 for libvirt's own.
    pub depth: u32,
    /// Why no hook of this call may run.
    pub refusal: Option<String>,
}

impl Nesting {
    /// Looks at this process's environment; where it isn't a libvirt daemon's child, at those of its
    /// ancestors too.
    pub(crate) fn of(call: &Call) -> Nesting {
        let mut found = Found::default();
        if std::env::var_os("HOOKMUX_EXECUTION").is_some() {
            found.take(call, Outer::of(&|name| std::env::var_os(name)));
        }
        let parent = nix::unistd::getppid().as_raw();
        if !DAEMONS.contains(&proc::name(parent).as_str()) {
            found.look_at_ancestors(call, parent);
        }
        found.judge(call)
    }
}

/// What a hook's environment tells of the call that it belongs to.
struct Outer {
    driver: OsString,
    object: OsString,
    operation: OsString,
    depth: u32,
    hook: Option<String>,
}

impl Outer {
    fn of(get: &dyn Fn(&str) -> Option<OsString>) -> Outer {
        let text = |name| get(name).map(|value| value.to_string_lossy().into_owned());
        Outer {
            driver: get("HOOKMUX_DRIVER").unwrap_or_default(),
            object: get("HOOKMUX_OBJECT").unwrap_or_default(),
            operation: get("HOOKMUX_OPERATION").unwrap_or_default(),
            // hooks of 0.1.0 aren't told
            depth: text(DEPTH_VARIABLE).and_then(|depth| depth.parse().ok()).unwrap_or(1),
            hook: text(HOOK_VARIABLE),
        }
    }

    fn is_of(&self, call: &Call) -> bool {
        self.driver == call.driver.name()
            && self.object == call.object()
            && self.operation == call.operation_name()
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    depth: u32,
    /// The hook that this call comes from.
    hook: Option<String>,
    /// The hook of a call that is this one.
    circle: Option<String>,
}

impl Found {
    fn take(&mut self, call: &Call, outer: Outer) {
        self.depth = self.depth.max(outer.depth);
        if outer.is_of(call) && self.circle.is_none() {
            let hook = outer.hook.clone();
            self.circle = Some(hook.unwrap_or_else(|| "a hook".to_owned()));
        }
        self.hook = self.hook.take().or(outer.hook);
    }

    /// Goes up to the first process, or to a daemon of libvirt's.
    fn look_at_ancestors(&mut self, call: &Call, parent: i32) {
        let own = fs::metadata("/proc/self/exe").ok();
        let own = own.map(|file| (file.dev(), file.ino()));
        let mut calls = 0;
        let mut below = String::new();
        let mut pid = parent;
        for _ in 0..MOST_ANCESTORS {
            let name = proc::name(pid);
            if pid <= 1 || DAEMONS.contains(&name.as_str()) {
                break;
            }
            if let Some(outer) = environment_of(pid) {
                self.take(call, outer);
            }
            // a hook may have dropped its environment
            let words = words_of(pid);
            let invocation = words.first().and_then(|word| Invocation::from_argv0(word));
            let program = PathBuf::from(format!("/proc/{pid}/exe"));
            let of_file = |file: fs::Metadata| (file.dev(), file.ino());
            let is_own = own.is_some() && fs::metadata(&program).ok().map(of_file) == own;
            if is_own || (invocation.is_some() && own_binary::is_hookmux(&program)) {
                calls += 1;
                if let Some(invocation) = invocation {
                    let outer = Call::new(invocation.driver, words.into_iter().skip(1).collect());
                    if is_same(&outer, call) && self.circle.is_none() {
                        self.circle = Some(self.hook.clone().unwrap_or_else(|| below.clone()));
                    }
                }
                self.hook.get_or_insert_with(|| below.clone());
            }
            below = format!("process {pid} ({name})");
            let Some(next) = proc::parent(pid) else { break };
            pid = next;
        }
        self.depth = self.depth.max(calls);
    }

    fn judge(self, call: &Call) -> Nesting {
        let Found { depth, hook, circle } = self;
        let (driver, object, operation) =
            (call.driver, call.object().to_string_lossy(), call.operation_name().to_string_lossy());
        let refusal = match circle {
            Some(hook) => Some(format!(
                "{hook} caused the call that it is a hook of ({driver} {object} {operation}): no hook is run, for that would never end"
            )),
            None if depth >= MAX_DEPTH => Some(format!(
                "{} caused this call, {depth} calls deep: no hook is run, for a call within a call ends at depth {MAX_DEPTH}",
                hook.unwrap_or_else(|| "a hook".to_owned())
            )),
            None => None,
        };
        Nesting { depth, refusal }
    }
}

fn is_same(one: &Call, other: &Call) -> bool {
    one.driver == other.driver
        && one.object() == other.object()
        && one.operation_name() == other.operation_name()
}

/// What the environment of a process tells; `None` where it is no hook's, or can't be read.
fn environment_of(pid: i32) -> Option<Outer> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let get = |name: &str| {
        let value = bytes.split(|byte| *byte == 0).find_map(|variable| {
            variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        })?;
        Some(OsStr::from_bytes(value).to_owned())
    };
    get("HOOKMUX_EXECUTION").map(|_| Outer::of(&get))
}

/// The command line of a process.
fn words_of(pid: i32) -> Vec<OsString> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.strip_suffix(b"\0").unwrap_or_default().split(|byte| *byte == 0);
    words.map(|word| OsString::from_vec(word.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Driver;

    fn call(words: [&str; 4]) -> Call {
        Call::new(Driver::Qemu, words.map(OsString::from).into())
    }

    fn found(variables: &[(&str, &str)], call: &Call) -> Nesting {
        let get = |name: &str| {
            let found = variables.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let mut found = Found::default();
        found.take(call, Outer::of(&get));
        found.judge(call)
    }

    #[test]
    fn only_the_same_call_is_a_circle() {
        let variables = |depth| {
            [
                ("HOOKMUX_DRIVER", "qemu"),
                ("HOOKMUX_OBJECT", "g"),
                ("HOOKMUX_OPERATION", "prepare"),
                ("HOOKMUX_HOOK", "before_vm_start/10-x"),
                (DEPTH_VARIABLE, depth),
            ]
        };
        let refused = found(&variables("1"), &call(["g", "prepare", "begin", "-"])).refusal;
        assert!(refused.is_some_and(|words| words.starts_with("before_vm_start/10-x caused ")));
        for other in [["h", "prepare", "begin", "-"], ["g", "start", "begin", "-"]] {
            let seen = found(&variables("1"), &call(other));
            assert_eq!(seen, Nesting { depth: 1, refusal: None }, "{other:?}");
            assert_eq!(found(&variables("3"), &call(other)).refusal, None);
            let refused = found(&variables("4"), &call(other)).refusal;
            assert!(refused.is_some_and(|words| words.contains("4 calls deep")), "{other:?}");
        }
        // as of a version that tells no depth
        let seen = found(&variables("1")[..4], &call(["g", "start", "begin", "-"]));
        assert_eq!(seen, Nesting { depth: 1, refusal: None });
    }
}
