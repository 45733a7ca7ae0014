//! Enters hooks that can be undone in the ledger: before they start, and when they have ended.

use std::time::Instant;

use super::StepRunner;
use crate::hook::Style;
use crate::machine::clock;
use crate::observer::Notice;
use crate::plan::Step;
use crate::process::exit_status::OWN_ERROR;
use crate::process::job::{FinishedJob, Part};
use crate::process::stored_job::{Bytes, StoredJob};
use crate::run::launch::{DocumentFileUse, LaunchError};
use crate::undo::entry::{Entry, EntryName, MAX_OUTPUT_BYTES, Setup};

impl StepRunner<'_> {
    /// Enters a hook, before it starts. At a gate a hook that can't be entered isn't started: nobody could
    /// take back what it sets up. Elsewhere it is, and that is told.
    pub(super) fn enter(
        &mut self,
        step: &Step,
        number: usize,
        run: &str,
        ends: Instant,
    ) -> Result<Option<EntryName>, LaunchError> {
        if !step.has(Part::Undo) || self.ledger.is_none() {
            return Ok(None);
        }
        let entry = self.entry(step, number, run, ends);
        let occasion = self.launcher.occasion;
        let Some(ledger) = &mut self.ledger else { return Ok(None) };
        let of_call = (occasion.call, occasion.settings);
        let entered = entry.and_then(|entry| ledger.enter(of_call, &occasion.execution, entry));
        match entered {
            Ok(name) => Ok(Some(name)),
            Err(words) if ledger.is_gate() => Err((OWN_ERROR, format!("not run: {words}"))),
            Err(words) => {
                let words = format!("it runs all the same, but can't be undone: {words}");
                self.notify(&Notice::Warning { label: &step.hook.label, words: &words });
                Ok(None)
            }
        }
    }

    /// Makes the entry of a hook, with everything that its undo is started with.
    fn entry(
        &mut self,
        step: &Step,
        number: usize,
        run: &str,
        ends: Instant,
    ) -> Result<Entry, String> {
        // this file is the guest's own, and will be gone
        let started = self.launcher.started.take();
        let launch = self.launcher.launch(step, number, Part::Undo, ends, DocumentFileUse::None);
        self.launcher.started = started;
        let launch = launch.map_err(|(_, words)| format!("its undo can't be prepared: {words}"))?;
        let job = StoredJob::new(launch.job)
            .map_err(|error| format!("its undo can't be prepared: {error}"))?;
        let occasion = self.launcher.occasion;
        let device_xml = step.device.and_then(|index| occasion.facts.device_xml(index));
        let document = device_xml
            .or_else(|| self.launcher.exchange.whole())
            .filter(|_| step.hook.style == Style::Vdsm);
        let registration = step.hook.registration.as_ref();
        let (execution, began_ns) = (&occasion.execution, clock::boottime_ns());
        Ok(Entry {
            registration: registration.map(|one| one.name.clone()).unwrap_or_default(),
            lock: registration.and_then(|one| one.lock.clone()),
            hook: step.hook.label.clone(),
            event: step.event.as_deref().map(str::to_owned),
            device: self.launcher.device_label(step),
            driver: execution.driver.to_owned(),
            object: execution.object.clone(),
            operation: execution.operation.clone(),
            uuid: execution.uuid.clone(),
            call_arguments: Entry::stored_arguments(occasion.call),
            order_ns: began_ns,
            current: Setup {
                execution: execution.id.clone(),
                run: run.to_owned(),
                job,
                document: document.map(|bytes| Bytes(bytes.to_vec())),
                began_ns,
                ..Setup::default()
            },
            ..Entry::default()
        })
    }

    /// Notes in the ledger how a hook has ended.
    pub(super) fn note_end(
        &mut self,
        step: &Step,
        name: &EntryName,
        ended: &FinishedJob,
        succeeded: bool,
    ) {
        let Some(ledger) = &self.ledger else { return };
        if !succeeded {
            return ledger.strike(name);
        }
        let mut output = ended.stdout.head().to_vec();
        output.truncate(MAX_OUTPUT_BYTES);
        if let Err(error) = ledger.done(name, output) {
            let words = format!(
                "that it has succeeded can't be noted: {error}; its undo gets HOOKMUX_UNDO_OUTCOME=unknown"
            );
            self.notify(&Notice::Warning { label: &step.hook.label, words: &words });
        }
    }

    /// Strikes a hook that was rolled back.
    pub(super) fn strike(&self, name: &EntryName) {
        if let Some(ledger) = &self.ledger {
            ledger.strike(name);
        }
    }
}
