//! Puts detached hooks into the queue.

use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use super::{Preparation, StartError, StepRunner};
use crate::hook::Style;
use crate::libvirt::document::MAX_DOCUMENT_BYTES;
use crate::machine::{files, ulid};
use crate::observer::{HookRun, Notice};
use crate::plan::Step;
use crate::process::exit_status::OWN_ERROR;
use crate::process::job::Job;
use crate::process::job::Part;
use crate::queue::{Item, Queue, item};
use crate::run::launch::DocumentFileUse;

impl StepRunner<'_> {
    /// Puts a detached hook into the queue, with everything that it would have been started with.
    pub(super) fn queue<T>(&mut self, step: Step, number: usize, ends: Instant) -> Preparation<T> {
        let id = ulid::new();
        let queued = self.check(&step, number, ends).and_then(|()| {
            // the guest's own file is removed when the job runs after `release`
            let own_path = self.launcher.started.take();
            let started = own_path
                .as_ref()
                .and_then(|path| files::read_regular(path, MAX_DOCUMENT_BYTES as u64).ok());
            self.launcher.started = started
                .as_ref()
                .map(|_| item::started_path(&self.launcher.occasion.settings.runtime_dir, &id));
            let launch =
                self.launcher.launch(&step, number, Part::Hook, ends, DocumentFileUse::Shared);
            self.launcher.started = own_path;
            let launch = launch.map_err(StartError::Failed)?;
            if let Some(own_file) = launch.own_file {
                self.launcher.exchange.remove_own_file(&own_file);
            }
            self.keep(&step, launch.job, &id, started).map_err(|error| {
                StartError::Failed((OWN_ERROR, format!("can't be queued: {error}")))
            })
        });
        if let Err(error) = queued {
            return self.not_started(step, number, error);
        }
        self.has_queued = true;
        let run = HookRun::queued(self.identity_of(&step, Part::Hook), id);
        self.notify(&Notice::Finished(&run));
        Preparation::finished(step, number, run)
    }

    fn keep(
        &self,
        step: &Step,
        job: Job,
        id: &str,
        started: Option<Vec<u8>>,
    ) -> std::io::Result<()> {
        let Some(registration) = step.hook.detached() else { return Ok(()) };
        let document = self.launcher.document(step).filter(|_| step.hook.style == Style::Vdsm);
        let event = step.event.as_deref();
        let mut item = Item::new(
            &self.launcher.occasion.execution,
            &step.hook.label,
            event,
            registration,
            job,
            document,
        )?;
        item.head.id = id.to_owned();
        item.head.command = self.launcher.command_line(step, Part::Hook);
        item.head.call_arguments = self
            .launcher
            .occasion
            .call
            .arguments
            .iter()
            .map(|argument| item::Bytes(argument.as_bytes().to_vec()))
            .collect();
        item.body.started_document = started.map(item::Bytes);
        Queue::new(&self.launcher.occasion.settings.state_dir)
            .add(&mut item, self.launcher.occasion.settings.queue)
    }
}
