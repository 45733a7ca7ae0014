//! Decides which hooks a call runs, in which order, and why the others don't run. Pure: `hookmux plan`
//! shows what a call does because both use this.

pub(crate) mod condition;
pub(crate) mod property_rules;

use std::borrow::Cow;

use crate::config::TrustPolicy;
use crate::config::registration::StdinKind;
use crate::config::template::DOCUMENT_WORD;
use crate::event::Event;
use crate::hook::candidates::{Candidate, CandidateGroup, Candidates};
use crate::hook::{Hook, Style};
use crate::libvirt::Class;
use crate::occasion::Occasion;
use crate::process::exit_status::{NOT_EXECUTABLE, OWN_ERROR};
use crate::process::job::Part;
use crate::trust::Trust;
use condition::ConditionResult;

/// The decision about a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Run,
    /// The hook counts as failed without being run: the status, and why.
    Fails {
        status: i32,
        why: String,
        /// Whether the hook itself would fail, as a script with an error does. Else hookmux refuses it,
        /// or can't try it.
        is_its_own: bool,
    },
    /// The hook doesn't apply to this call: why.
    Skipped(String),
    /// The hook is skipped, but probably by mistake: it is not executable, or a dangling link.
    SkippedWithWarning(String),
}

impl Decision {
    /// Returns why the hook doesn't run; `None` where it does.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Decision::Run => None,
            Decision::Fails { why, .. }
            | Decision::Skipped(why)
            | Decision::SkippedWithWarning(why) => Some(why),
        }
    }
}

/// One hook in a call; at a device event, for one device.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// `None` for scripts that run at every call: the per-guest tree, an adopted script.
    pub event: Option<Cow<'static, str>>,
    /// The index of the device in the document.
    pub device: Option<usize>,
    pub hook: Hook,
    pub decision: Decision,
}

impl Step {
    /// Tells whether the hook has a program for this part.
    pub(crate) fn has(&self, part: Part) -> bool {
        match self.hook.registration.as_deref() {
            Some(registration) => part.words(registration).is_some(),
            None => part == Part::Hook,
        }
    }
}

/// Makes the plan.
pub(crate) fn plan(candidates: &Candidates, occasion: &Occasion<'_>) -> Vec<Step> {
    candidates.groups.iter().flat_map(|moment| moment_steps(moment, occasion)).collect()
}

fn moment_steps(moment: &CandidateGroup, occasion: &Occasion<'_>) -> Vec<Step> {
    let event = moment.event.as_ref();
    let silent = event.and_then(|event| event.fires(occasion.origin, occasion.call.reason()).err());
    let step = |candidate: &Candidate, device: Option<usize>, decision| Step {
        event: event.map(|event| event.name.clone()),
        device,
        hook: candidate.hook.clone(),
        decision,
    };
    let devices = devices_of(event, occasion);
    if silent.is_some() || devices.is_empty() {
        return moment
            .candidates
            .iter()
            .map(|candidate| {
                let decision = decide(candidate, event, None, silent.as_deref(), occasion);
                step(candidate, None, decision)
            })
            .collect();
    }
    // vdsm runs a device's hooks all before the next device's
    devices
        .into_iter()
        .flat_map(|device| {
            moment.candidates.iter().map(move |candidate| {
                let decision = decide(candidate, event, Some(device), None, occasion);
                step(candidate, Some(device), decision)
            })
        })
        .collect()
}

/// Returns the devices for which a device event fires, by their positions in the metadata.
fn devices_of(event: Option<&Event>, occasion: &Occasion<'_>) -> Vec<usize> {
    let Some(event) = event.filter(|event| event.per_device) else { return Vec::new() };
    let devices = occasion.facts.metadata.devices.iter().enumerate();
    devices.filter(|(_, device)| event.is_for(device)).map(|(index, _)| index).collect()
}

fn decide(
    candidate: &Candidate,
    event: Option<&Event>,
    device: Option<usize>,
    silent: Option<&str>,
    occasion: &Occasion<'_>,
) -> Decision {
    if let Some(reason) = candidate.state.reason() {
        let is_odd = candidate.state.needs_attention() && silent.is_none();
        return if is_odd {
            Decision::SkippedWithWarning(reason)
        } else {
            Decision::Skipped(reason)
        };
    }
    if let Some(why) = silent {
        return Decision::Skipped(why.to_owned());
    }
    let per_device = event.is_some_and(|event| event.per_device);
    let registration = candidate.hook.registration.as_deref();
    let is_gate = occasion.call.class() == Class::Gate;
    // its content is not known
    let not_read = occasion.facts.document.why_not_read().filter(|_| is_gate);
    // hooks don't get the document at all
    let missing = not_read.filter(|_| occasion.facts.document.bytes().is_none());
    let fails = |what: &str, why: &str| Decision::Fails {
        status: OWN_ERROR,
        why: format!("{what}, but {why}"),
        is_its_own: false,
    };
    match registration.map(|registration| condition::evaluate(&registration.when, occasion)) {
        None | Some(ConditionResult::Yes) => {}
        Some(ConditionResult::No(why)) => return Decision::Skipped(why),
        // a gate must not open for a condition that could not be evaluated
        Some(ConditionResult::Unknown(why)) => {
            return not_read.map_or(Decision::Skipped(why), |broken| {
                fails("its conditions need libvirt's document", broken)
            });
        }
    }
    let needs_content = per_device || needs_content(&candidate.hook);
    let lacks = not_read.filter(|_| needs_content);
    if let Some(why) = lacks.or(missing.filter(|_| needs_document(&candidate.hook))) {
        return fails("it needs libvirt's document", why);
    }
    if per_device && device.is_none() {
        return Decision::Skipped("no device has custom properties".to_owned());
    }
    Decision::Run
}

/// Tells whether a hook must have the document. The file for vdsm's style doesn't count: most scripts
/// never read it.
fn needs_document(hook: &Hook) -> bool {
    hook.style == Style::Libvirt
        || hook.registration.as_ref().is_some_and(|registration| {
            registration.stdin != StdinKind::None
                || registration
                    .args
                    .iter()
                    .any(|argument| argument.uses(DOCUMENT_WORD) || argument.uses("UUID"))
        })
}

/// Tells whether a hook gets the content of the document as one JSON object.
fn needs_content(hook: &Hook) -> bool {
    let registration = hook.registration.as_ref();
    registration.is_some_and(|registration| registration.stdin == StdinKind::Json)
}

impl Step {
    /// Checks whether the hook's programs are trusted now: its own, its check and its rollback. If not,
    /// the hook counts as failed; with `trust: warn` it runs, and the warning is returned.
    pub(crate) fn check_trust(&mut self, trust: &mut Trust, policy: TrustPolicy) -> Option<String> {
        if self.decision != Decision::Run {
            return None;
        }
        let (program, refusal) = self.hook.refusal(trust)?;
        let refusal = self.hook.refusal_words(program, &refusal);
        match policy {
            TrustPolicy::Refuse => {
                self.decision = Decision::Fails {
                    status: NOT_EXECUTABLE,
                    why: format!("refused: {refusal}"),
                    is_its_own: false,
                };
                None
            }
            TrustPolicy::Warn => Some(format!("not trusted, but run (`trust: warn`): {refusal}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::facts::DocumentFacts;
    use crate::event;
    use crate::event::Origin;
    use crate::libvirt::Driver;
    use crate::libvirt::document::DocumentIdentity;
    use crate::libvirt::metadata::Device;
    use crate::libvirt::metadata::{Metadata, Property};
    use crate::libvirt::{Call, Document};
    use crate::occasion;
    use crate::search::EntryState;
    use std::ffi::OsString;

    fn device(label: &str) -> Device {
        Device {
            range: 0..0,
            kind: "interface".into(),
            label: label.into(),
            properties: vec![Property { name: "p".into(), value: "1".into() }],
        }
    }

    /// The plan of a call with two hooks at each of its events and one in the per-guest tree.
    fn steps(
        arguments: &[&str],
        origin: Origin,
        document: &Document,
        devices: &[Device],
    ) -> Vec<String> {
        let call = Call::new(Driver::Qemu, arguments.iter().map(OsString::from).collect());
        let mut candidates = Candidates::default();
        let active = |label: &str, style| Candidate {
            hook: Hook { style, ..Hook::for_tests(label) },
            state: EntryState::Active,
        };
        for event in event::candidates(&call) {
            let both =
                ["a", "b"].map(|name| active(&format!("{}/{name}", event.name), Style::Vdsm));
            candidates.groups.push(CandidateGroup { event: Some(event), candidates: both.into() });
        }
        candidates
            .groups
            .push(CandidateGroup { event: None, candidates: vec![active("tree", Style::Libvirt)] });
        let metadata = Metadata { devices: devices.to_vec(), ..Metadata::default() };
        let facts = DocumentFacts {
            document: document.clone(),
            identity: DocumentIdentity::default(),
            metadata,
        };
        occasion::tests::with(&call, facts, origin, |occasion| plan(&candidates, occasion))
            .into_iter()
            .map(|step| {
                let device = step.device.map(|index| format!("@{index}")).unwrap_or_default();
                let mark = match step.decision {
                    Decision::Run => "",
                    Decision::Fails { .. } => "!",
                    Decision::Skipped(_) | Decision::SkippedWithWarning(_) => "-",
                };
                format!("{mark}{}{device}", step.hook.label)
            })
            .collect()
    }

    #[test]
    fn device_events_run_once_per_device_and_before_the_guest() {
        let seen = steps(
            &["g", "prepare", "begin", "-"],
            Origin::Fresh,
            &Document::Absent,
            &[device("x"), device("y")],
        );
        assert_eq!(
            seen,
            [
                "before_vm_prepare/a",
                "before_vm_prepare/b",
                "before_device_create/a@0",
                "before_device_create/b@0",
                "before_device_create/a@1",
                "before_device_create/b@1",
                "before_vm_start/a",
                "before_vm_start/b",
                "tree"
            ]
        );
    }

    // V5
    #[test]
    fn a_device_with_an_empty_custom_is_created_and_no_more() {
        let empty = Device { properties: Vec::new(), ..device("x") };
        let devices = [empty, device("y")];
        for (call, event, expected) in [
            (
                ["g", "prepare", "begin", "-"],
                "before_device_create",
                &["a@0", "b@0", "a@1", "b@1"][..],
            ),
            (["g", "started", "begin", "-"], "after_device_create", &["a@1", "b@1"]),
            (["g", "release", "end", "-"], "after_device_destroy", &["a@1", "b@1"]),
            (["g", "migrate", "begin", "-"], "before_device_migrate_destination", &["a@1", "b@1"]),
        ] {
            let seen = steps(&call, Origin::Fresh, &Document::Absent, &devices);
            let of_event =
                seen.iter().filter_map(|step| step.strip_prefix(event)?.strip_prefix('/'));
            assert_eq!(of_event.collect::<Vec<_>>(), expected, "{event}");
            let alone = steps(&call, Origin::Fresh, &Document::Absent, &devices[..1]);
            let is_skipped = alone.contains(&format!("-{event}/a"));
            assert_eq!(is_skipped, event != "before_device_create", "{event}: {alone:?}");
        }
    }

    #[test]
    fn an_incoming_migration_is_no_start() {
        let seen = steps(
            &["g", "prepare", "begin", "-"],
            Origin::Migration,
            &Document::Absent,
            &[device("x")],
        );
        assert_eq!(
            seen,
            [
                "before_vm_prepare/a",
                "before_vm_prepare/b",
                "-before_device_create/a",
                "-before_device_create/b",
                "-before_vm_start/a",
                "-before_vm_start/b",
                "tree"
            ]
        );
    }

    #[test]
    fn a_gate_hook_that_needs_a_broken_document_fails_and_others_run() {
        let broken = Document::Broken("it had no end".into());
        let seen = steps(&["g", "prepare", "begin", "-"], Origin::Fresh, &broken, &[]);
        assert_eq!(
            seen,
            [
                "before_vm_prepare/a",
                "before_vm_prepare/b",
                "!before_device_create/a",
                "!before_device_create/b",
                "before_vm_start/a",
                "before_vm_start/b",
                "!tree"
            ]
        );
        let seen = steps(&["g", "stopped", "end", "-"], Origin::Fresh, &broken, &[]);
        assert_eq!(seen, ["after_vm_stop/a", "after_vm_stop/b", "tree"]);
    }

    #[test]
    fn a_document_that_is_not_read_is_handed_on_all_the_same() {
        let deep = Document::NotRead { bytes: b"<d/>".into(), why: "it is too deep".into() };
        let seen = steps(&["g", "prepare", "begin", "-"], Origin::Fresh, &deep, &[]);
        assert_eq!(
            seen,
            [
                "before_vm_prepare/a",
                "before_vm_prepare/b",
                "!before_device_create/a",
                "!before_device_create/b",
                "before_vm_start/a",
                "before_vm_start/b",
                "tree"
            ]
        );
    }
}
