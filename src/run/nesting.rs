//! Detects calls that hooks of running calls cause. A hook that causes its own call, and so itself, would
//! never end. Nested calls are limited to a depth. A call that comes through libvirt is not nested.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::libvirt::Call;
use crate::libvirt::invocation::Invocation;
use crate::machine::{own_binary, proc};

/// The limit of nested calls: hooks of a call from libvirt have depth 1.
pub(crate) const MAX_DEPTH: u32 = 4;
/// The variable with the depth of a hook.
pub(crate) const DEPTH_VARIABLE: &str = "HOOKMUX_DEPTH";
/// The variable with the label of a hook.
pub(crate) const HOOK_VARIABLE: &str = "HOOKMUX_HOOK";
/// The number of ancestors that are looked at. Only on purpose are there more between a hook and the call
/// that it causes; the depth limits these too.
const MAX_ANCESTORS: usize = 256;

/// The process names of libvirt's daemons.
const DAEMONS: [&str; 6] =
    ["libvirtd", "virtqemud", "virtlxcd", "virtxend", "virtnetworkd", "virtbhyved"];

/// The nesting of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nesting {
    /// The number of nested hooks that led to it; 0 for a call from libvirt.
    pub depth: u32,
    /// Why no hook of this call may run.
    pub refusal: Option<String>,
}

impl Nesting {
    /// Looks at this process's environment, and at that of its ancestors if it isn't the child of a libvirt
    /// daemon.
    pub(crate) fn of(call: &Call) -> Nesting {
        let mut search = Search::default();
        if std::env::var_os("HOOKMUX_EXECUTION").is_some() {
            search.take(call, OuterCall::of(&|name| std::env::var_os(name)));
        }
        if !DAEMONS.contains(&proc::name_of_parent()) {
            search.look_at_ancestors(call, nix::unistd::getppid().as_raw());
        }
        search.result(call)
    }
}

/// The outer call, as the environment of its hook describes it.
struct OuterCall {
    driver: OsString,
    object: OsString,
    operation: OsString,
    depth: u32,
    hook: Option<String>,
}

impl OuterCall {
    fn of(get: &dyn Fn(&str) -> Option<OsString>) -> OuterCall {
        let text = |name| get(name).map(|value| value.to_string_lossy().into_owned());
        OuterCall {
            driver: get("HOOKMUX_DRIVER").unwrap_or_default(),
            object: get("HOOKMUX_OBJECT").unwrap_or_default(),
            operation: get("HOOKMUX_OPERATION").unwrap_or_default(),
            // hooks of 0.1.0 don't have the variable
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

/// The result of the search so far.
#[derive(Default)]
struct Search {
    depth: u32,
    /// The hook that caused this call.
    hook: Option<String>,
    /// The hook of an outer call that is the same as this one.
    loop_hook: Option<String>,
}

impl Search {
    fn take(&mut self, call: &Call, outer: OuterCall) {
        self.depth = self.depth.max(outer.depth);
        if outer.is_of(call) && self.loop_hook.is_none() {
            let hook = outer.hook.clone();
            self.loop_hook = Some(hook.unwrap_or_else(|| "a hook".to_owned()));
        }
        self.hook = self.hook.take().or(outer.hook);
    }

    /// Looks at all ancestors, up to the first process or a libvirt daemon.
    fn look_at_ancestors(&mut self, call: &Call, parent: i32) {
        let own = fs::metadata("/proc/self/exe").ok();
        let own = own.map(|file| (file.dev(), file.ino()));
        let mut calls = 0;
        let mut below = String::new();
        let mut pid = parent;
        for _ in 0..MAX_ANCESTORS {
            let name = proc::name(pid);
            if pid <= 1 || DAEMONS.contains(&name.as_str()) {
                break;
            }
            if let Some(outer) = environment_of(pid) {
                self.take(call, outer);
            }
            // a hook may have cleared its environment
            let words = words_of(pid);
            let invocation = words.first().and_then(|word| Invocation::from_argv0(word));
            let program = PathBuf::from(format!("/proc/{pid}/exe"));
            let of_file = |file: fs::Metadata| (file.dev(), file.ino());
            let is_own = own.is_some() && fs::metadata(&program).ok().map(of_file) == own;
            if is_own || (invocation.is_some() && own_binary::is_hookmux(&program)) {
                calls += 1;
                if let Some(invocation) = invocation {
                    let outer = Call::new(invocation.driver, words.into_iter().skip(1).collect());
                    if is_same(&outer, call) && self.loop_hook.is_none() {
                        self.loop_hook = Some(self.hook.clone().unwrap_or_else(|| below.clone()));
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

    fn result(self, call: &Call) -> Nesting {
        let Search { depth, hook, loop_hook } = self;
        let (driver, object, operation) =
            (call.driver, call.object().to_string_lossy(), call.operation_name().to_string_lossy());
        let refusal = match loop_hook {
            Some(hook) => Some(format!(
                "{hook} caused the call that it is a hook of ({driver} {object} {operation}): no hook is run, because that would never end"
            )),
            None if depth >= MAX_DEPTH => Some(format!(
                "{} caused this call, {depth} calls deep: no hook is run, because nested calls end at depth {MAX_DEPTH}",
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

/// Reads the outer call from the environment of a process. Returns `None` if it is not a hook, or can't be
/// read.
fn environment_of(pid: i32) -> Option<OuterCall> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let get = |name: &str| {
        let value = bytes.split(|byte| *byte == 0).find_map(|variable| {
            variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        })?;
        Some(OsStr::from_bytes(value).to_owned())
    };
    get("HOOKMUX_EXECUTION").map(|_| OuterCall::of(&get))
}

/// Returns the command line of a process.
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

    fn search(variables: &[(&str, &str)], call: &Call) -> Nesting {
        let get = |name: &str| {
            let search = variables.iter().find(|(one, _)| *one == name);
            search.map(|(_, value)| OsString::from(value))
        };
        let mut search = Search::default();
        search.take(call, OuterCall::of(&get));
        search.result(call)
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
        let refused = search(&variables("1"), &call(["g", "prepare", "begin", "-"])).refusal;
        assert!(refused.is_some_and(|words| words.starts_with("before_vm_start/10-x caused ")));
        for other in [["h", "prepare", "begin", "-"], ["g", "start", "begin", "-"]] {
            let seen = search(&variables("1"), &call(other));
            assert_eq!(seen, Nesting { depth: 1, refusal: None }, "{other:?}");
            assert_eq!(search(&variables("3"), &call(other)).refusal, None);
            let refused = search(&variables("4"), &call(other)).refusal;
            assert!(refused.is_some_and(|words| words.contains("4 calls deep")), "{other:?}");
        }
        // as of a version that tells no depth
        let seen = search(&variables("1")[..4], &call(["g", "start", "begin", "-"]));
        assert_eq!(seen, Nesting { depth: 1, refusal: None });
    }
}
