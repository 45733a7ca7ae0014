//! Watches which files come into the queue's directory and leave it. Decides which of them are jobs for
//! this worker, and which are put aside.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::Instant;

use super::{MAX_WAIT_INTERVAL, WorkerState};
use crate::command::Fix;
use crate::process::members;
use crate::queue::item::{ItemHead, MAX_DEATHS};
use crate::queue::read::{JobReadError, id_of};
use crate::queue::{self, head_name};

impl WorkerState<'_> {
    /// Reads the changes of the directory.
    pub(super) fn read_changes(&mut self, is_time: bool) {
        let changes = self.watch.changes();
        if changes.is_overrun
            || self.looked.elapsed() >= MAX_WAIT_INTERVAL
            || (is_time && self.watch.is_without_inotify())
        {
            return self.scan();
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
            None if name.as_encoded_bytes().ends_with(queue::HEAD_SUFFIX.as_bytes())
                && self.queue.has(name) =>
            {
                self.put_file_aside(name, "its name is not that of a job");
            }
            None => {}
        }
    }

    /// Looks at all names, and reads new files.
    pub(super) fn scan(&mut self) {
        self.looked = Instant::now();
        let Ok(names) = self.queue.names() else { return };
        for name in &names.not_jobs {
            self.put_file_aside(name, "its name is not that of a job");
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

    /// Takes a new job.
    fn take_in(&mut self, id: &str) {
        if self.ignored.contains(id) {
            return;
        }
        match self.queue.head(id) {
            Ok(head) if head.run.is_some() => self.take_over(head),
            Ok(head) => self.waiting_for(head),
            Err(unread) => self.not_read(id, &unread),
        }
    }

    fn waiting_for(&mut self, head: ItemHead) {
        let times = head.times(&self.clock);
        self.waiting.insert(head, times);
    }

    /// Takes over a job from a dead worker. Its processes are ended before it is started again.
    fn take_over(&mut self, mut head: ItemHead) {
        if let Some(run) = &head.run {
            members::kill_all_of_run(run);
        }
        // this is not the hook's fault, unless it happens again and again
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

    /// Handles a file that is not a job to run.
    pub(super) fn not_read(&mut self, id: &str, unread: &JobReadError) {
        let name = head_name(id);
        match unread {
            JobReadError::Gone => {}
            JobReadError::Broken(why) => self.put_file_aside(name.as_ref(), why),
            JobReadError::Newer(_) | JobReadError::Unreadable(_) => {
                self.ignored.insert(id.to_owned());
                let path = self.queue.directory().unchecked_path().join(name);
                self.report(&format!("{} is left alone: {unread}", path.display()));
            }
        }
    }

    fn put_file_aside(&mut self, name: &OsStr, why: &str) {
        let shown = self.queue.directory().unchecked_path().join(name);
        let shown = shown.display();
        let words = match self.queue.put_aside(name) {
            Ok(()) => format!("{shown} is not a job, and is put aside: {why}"),
            Err(error) => {
                if id_of(name).is_some_and(|id| !self.ignored.insert(id.to_owned())) {
                    return;
                }
                format!("{shown} is not a job: {why}; it can't be put aside: {error}")
            }
        };
        self.report(&words);
    }

    /// Puts a job aside that this version can run. It can be requeued.
    pub(super) fn put_job_aside(&mut self, mut head: ItemHead, why: &str) {
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
                self.ignored.insert(head.id.clone());
                format!("not run any more: {why}; it can't be put aside: {error}")
            }
        };
        self.end(&head, body.as_ref(), &words);
    }
}
