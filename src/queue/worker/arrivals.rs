//! What comes into the queue's directory and goes from it: which of it is a job for this worker, and what
//! is put aside.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::Instant;

use super::{LONGEST_WAIT, Shift};
use crate::command::Fix;
use crate::process::members;
use crate::queue::item::{Head, MAX_DEATHS};
use crate::queue::read::{Unread, id_of};
use crate::queue::{self, head_name};

impl Shift<'_> {
    /// Looks at what came into the directory and what went.
    pub(super) fn see_changes(&mut self, is_time: bool) {
        let changes = self.watch.changes();
        if changes.is_overrun
            || self.looked.elapsed() >= LONGEST_WAIT
            || (is_time && self.watch.is_blind())
        {
            return self.look_at_all();
        }
        let mut seen = HashSet::new();
        for name in changes.names {
            if seen.insert(name.clone()) {
                self.look_at(&name);
            }
        }
    }

    fn look_at(&mut self, name: &OsStr) {
        match id_of(name) {
            Some(id) if self.waiting.contains(id) => {
                let is_active = self.active.iter().any(|active| active.head.id == id);
                if !is_active && !self.queue.is_there(id) {
                    self.waiting.remove(id);
                }
            }
            Some(id) => self.take_in(id),
            None if name.as_encoded_bytes().ends_with(queue::HEAD.as_bytes())
                && self.queue.has(name) =>
            {
                self.put_file_aside(name, "it has no job's name");
            }
            None => {}
        }
    }

    /// Looks at all names; reads only what is new.
    pub(super) fn look_at_all(&mut self) {
        self.looked = Instant::now();
        let Ok(names) = self.queue.names() else { return };
        for name in &names.odd {
            self.put_file_aside(name, "it has no job's name");
        }
        for id in &names.ids {
            if !self.waiting.contains(id) {
                self.take_in(id);
            }
        }
        for id in self.waiting.idle_ids() {
            if names.ids.binary_search(&id).is_err() {
                self.waiting.remove(&id);
            }
        }
    }

    /// Takes a job in that is new to this worker.
    fn take_in(&mut self, id: &str) {
        if self.passed_over.contains(id) {
            return;
        }
        match self.queue.head(id) {
            Ok(head) if head.run.is_some() => self.take_over(head),
            Ok(head) => self.waiting_for(head),
            Err(unread) => self.not_read(id, &unread),
        }
    }

    fn waiting_for(&mut self, head: Head) {
        let times = head.times(&self.clock);
        self.waiting.insert(head, times);
    }

    /// Takes over from a worker that died: what it began is ended before it is begun again.
    fn take_over(&mut self, mut head: Head) {
        if let Some(run) = &head.run {
            members::end_carriers(run);
        }
        // it was no fault of the hook's, as long as it doesn't happen again and again
        head.take_back();
        head.last = Some("its worker died".to_owned());
        head.deaths = head.deaths.saturating_add(1);
        if head.deaths >= MAX_DEATHS {
            let words = format!("its worker died {} times while it ran", head.deaths);
            return self.put_job_aside(head, &words);
        }
        let _ = self.queue.keep(&mut head);
        self.waiting_for(head);
    }

    /// Deals with a file that is no job to run.
    pub(super) fn not_read(&mut self, id: &str, unread: &Unread) {
        let name = head_name(id);
        match unread {
            Unread::Gone => {}
            Unread::Broken(why) => self.put_file_aside(name.as_ref(), why),
            Unread::Newer(_) | Unread::Trouble(_) => {
                self.passed_over.insert(id.to_owned());
                let path = self.queue.directory().unchecked_path().join(name);
                self.shout(&format!("{} is left alone: {unread}", path.display()));
            }
        }
    }

    fn put_file_aside(&mut self, name: &OsStr, why: &str) {
        let shown = self.queue.directory().unchecked_path().join(name);
        let shown = shown.display();
        let words = match self.queue.put_aside(name) {
            Ok(()) => format!("{shown} is no job to run, and is put aside: {why}"),
            Err(error) => {
                if id_of(name).is_some_and(|id| !self.passed_over.insert(id.to_owned())) {
                    return;
                }
                format!("{shown} is no job to run: {why}; it can't be put aside: {error}")
            }
        };
        self.shout(&words);
    }

    /// Puts a job aside that this version could run: it can be brought back.
    pub(super) fn put_job_aside(&mut self, mut head: Head, why: &str) {
        let body = self.queue.body(&head).ok();
        head.put_aside = Some(why.to_owned());
        let _ = self.queue.keep(&mut head);
        self.waiting.remove(&head.id);
        self.remove_started(&head.id);
        let words = match self.queue.put_aside(head_name(&head.id).as_ref()) {
            Ok(()) => {
                let words = ["queue", "--requeue", &head.id];
                let way_back = Fix::hookmux(&self.settings.hooks_dir, &words);
                format!("put aside: {why}; `{way_back}` brings it back")
            }
            Err(error) => {
                self.passed_over.insert(head.id.clone());
                format!("not run any more: {why}; it can't be put aside: {error}")
            }
        };
        self.end(&head, body.as_ref(), &words);
    }
}
