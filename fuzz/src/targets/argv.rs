//! How libvirt calls: any arguments are survived, and no name leaves its directory.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use hookmux::for_tests::config::{Settings, Surroundings};
use hookmux::for_tests::event::{self, Origin};
use hookmux::for_tests::hook::tree;
use hookmux::for_tests::libvirt::{Call, Class, Operation, invocation};

use super::{Checked, Disagreement, Target, must, same};
use crate::random::Random;

pub struct Argv;

const PROGRAMS: &[&str] = &[
    "/etc/libvirt/hooks/qemu",
    "/h/qemu.d/50-x",
    "network",
    "daemon",
    "/h/lxc",
    "./libxl",
    "bhyve/",
    "//qemu",
    "../qemu",
    "qemu.d/x",
    "/qemu.d/x",
    "hookmux",
    "/usr/sbin/hookmux-qemu",
    "qemu.adopted",
    "/h/lxc.adopted",
    "",
    "/",
    "/h/qemu.d/qemu",
    "/h/qemu.d/lxc.d/x",
    "hookmux-network",
];

const WORDS: &[&str] = &[
    "\0",
    "/",
    "..",
    ".",
    ".d",
    "qemu",
    "lxc",
    "network",
    "daemon",
    "prepare",
    "start",
    "started",
    "stopped",
    "release",
    "migrate",
    "restore",
    "reconnect",
    "attach",
    "port-created",
    "plugged",
    "updated",
    "shutdown",
    "reload",
    "begin",
    "end",
    "-",
    "--",
    "--help",
    "--version",
    "migrated",
    "saved",
    "\n",
    "A",
    ".adopted",
    "bhyve",
    "unknown-op",
    "\u{e4}",
    " ",
    "hookmux-",
    "*",
    "x",
];

impl Target for Argv {
    fn name(&self) -> &'static str {
        "argv"
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut arguments = vec![random.pick(PROGRAMS).to_owned()];
        for _ in 0..random.below(6) {
            arguments.push(random.pick(WORDS).to_owned());
        }
        let mut bytes = arguments.join("\0").into_bytes();
        if random.once_in(2) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &[]);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let mut words =
            input.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
        let argv0 = words.next().unwrap_or_default();
        let arguments: Vec<OsString> = words.collect();
        let invocation = invocation::Invocation::from_argv0(&argv0);
        if invocation::is_adopted_name(&argv0) {
            let is_none = invocation.as_ref().is_none_or(|invocation| invocation.is_beside);
            must(is_none, "a script that was adopted is a driver", || format!("{argv0:?}"))?;
        }
        let Some(invocation) = invocation else { return Ok(false) };
        let call = Call::new(invocation.driver, arguments.clone());
        same("arguments were changed", &call.arguments, &arguments)?;
        if call.operation() == Operation::Unknown {
            let is_harmless = call.class() == Class::Live && !call.is_filter();
            must(is_harmless, "an unknown operation that can do harm", || format!("{call:?}"))?;
        }
        let _ = (call.reason(), call.plain_sub_operation(), call.has_document());
        for origin in Origin::ALL {
            for event in event::candidates(&call) {
                let _ = event.fires(origin, call.reason());
                is_one_name(OsStr::new(event.name.as_ref()))?;
                // the call of an operation that is known, with another sub-operation, has none
                let is_known =
                    event::is_known(&event.name) || !event::known_events_of(&event.name).is_empty();
                must(is_known, "an event of a call that isn't known", || event.name.to_string())?;
            }
            if let Some(event) = event::of_call(&call, origin) {
                is_one_name(OsStr::new(event.as_ref()))?;
            }
        }
        let settings = Settings::defaults(&Surroundings::here(&invocation.hooks_dir));
        if let Some(place) = tree::place(&settings, &call) {
            let base = settings.tree_of(call.driver);
            let below = place.strip_prefix(&base).map(Path::components).into_iter().flatten();
            let below: Vec<Component<'_>> = below.collect();
            let are_names = below.iter().all(|part| matches!(part, Component::Normal(_)));
            must(
                are_names && below.len() == 3,
                "a guest's scripts outside of its directory",
                || place.display().to_string(),
            )?;
            same("a guest with another's scripts", &below[0].as_os_str(), &call.object())?;
        }
        Ok(true)
    }
}

/// That a name is one component of a path.
fn is_one_name(name: &OsStr) -> Result<(), Disagreement> {
    let bytes = name.as_bytes();
    let is_one = !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/');
    must(is_one, "a name that leaves its directory", || format!("{name:?}"))
}
