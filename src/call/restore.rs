//! The one call that is answered at the next: a failure here costs libvirt's users their save.

use crate::answer::Answer;
use crate::call::door;
use crate::config::Settings;
use crate::event::Origin;
use crate::libvirt::{Call, Driver, Operation};
use crate::machine::sanitize;
use crate::memory::guest::{Guest, Held};
use crate::memory::saves::{self, Protection};
use crate::process::exit_status::OWN_ERROR;

/// `restore` is answered at `prepare`: libvirt 11.3.0 deletes the managed save of a guest whose
/// hook fails here, and keeps it when `prepare` fails.
pub(crate) struct Restore<'a> {
    guest: Option<&'a Guest>,
    save: Protection,
}

impl<'a> Restore<'a> {
    /// Writes down that this call failed, in case that it never gets to say otherwise.
    pub(crate) fn begin(call: &Call, guest: Option<&'a Guest>) -> Option<Restore<'a>> {
        if call.operation() != Operation::Restore {
            return None;
        }
        if let Some(guest) = guest {
            let words = "hookmux: died of a fault of its own while it handled restore\n".to_owned();
            // where this can't be written, what is written at the end can't either, and says so
            let _ = guest.expect(Origin::Restore, Some(Held { status: OWN_ERROR, words }));
        }
        Some(Restore { guest, save: Protection::NoSave })
    }

    /// Gives the guest's managed save its second name, before the first hook runs: this process may
    /// be ended by what nothing can answer, and libvirt 11.3.0 deletes the save then.
    pub(crate) fn protect(&mut self, call: &Call, settings: &Settings) {
        if self.guest.is_some() && call.driver == Driver::Qemu {
            self.save = saves::protect(&settings.save_dir, call.object());
        }
    }

    /// Keeps a failure for `prepare`, and the guest's save while libvirt looks at a new document,
    /// which is printed here. With the answer comes whether libvirt has been given that document.
    pub(crate) fn end(
        self,
        mut answer: Answer,
        call: &Call,
        settings: &Settings,
        shout: &mut dyn FnMut(&str),
    ) -> (Answer, bool) {
        let Some(guest) = self.guest else { return (answer, false) };
        let mut is_given = false;
        match &self.save {
            Protection::NoSave | Protection::Done => {}
            Protection::Earlier(why) => {
                let what = match answer.stdout.take() {
                    Some(_) => "the changed document is not given to libvirt",
                    None => "a changed document would not have been given to libvirt",
                };
                shout(&format!("{what}, which deletes a save that it refuses to restore: {why}"));
            }
            Protection::Failed(why) if answer.stdout.is_some() => {
                let words = format!(
                    "hookmux: the changed document is not given to libvirt, which deletes a save that it refuses to restore: {why}\n"
                );
                shout(words.trim_end());
                answer = Answer::error(OWN_ERROR, sanitize::text(words.as_bytes()));
            }
            Protection::Failed(why) => {
                shout(&format!("the managed save had no second name while hooks ran: {why}"));
            }
        }
        // here, where it can still be told at prepare that libvirt didn't get it
        if let Some(document) = answer.stdout.take() {
            match door::print(&document) {
                Ok(()) => is_given = true,
                Err(error) => {
                    let words = format!(
                        "hookmux: the changed document can't be given to libvirt: {error}\n"
                    );
                    shout(words.trim_end());
                    answer = Answer::error(OWN_ERROR, words);
                }
            }
        }
        let held = (answer.status != 0)
            .then(|| Held { status: answer.status, words: answer.stderr.clone() });
        let is_held = held.is_some();
        let kept = guest.expect(Origin::Restore, held);
        if self.save == Protection::Done && !is_given && (kept.is_ok() || !is_held) {
            // libvirt keeps the first name: the document is its own, or `prepare` fails
            if let Err(error) = saves::unprotect(&settings.save_dir, call.object()) {
                shout(&format!("the second name of the managed save stays: {error}"));
            }
        }
        let answer = match kept {
            Ok(()) if is_held => {
                shout(
                    "restore has failed; libvirt is told at prepare, which keeps the managed save",
                );
                Answer::default()
            }
            Ok(()) => answer,
            Err(error) if is_held => {
                shout(&format!(
                    "restore has failed, and goes on: the failure can't be kept for prepare: {error}"
                ));
                Answer::default()
            }
            Err(_) => {
                // what was written at the beginning is not true
                guest.forget_pending();
                answer
            }
        };
        (answer, is_given)
    }
}
