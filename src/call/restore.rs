//! A failed `restore` hook is reported at the following `prepare`: failing `restore` itself would make
//! libvirt (11.3.0) delete the saved state.

use crate::answer::Answer;
use crate::call::door;
use crate::config::Settings;
use crate::event::Origin;
use crate::libvirt::{Call, Driver, Operation};
use crate::machine::sanitize;
use crate::memory::guest::{Guest, HeldFailure};
use crate::memory::saves::{self, Protection};
use crate::process::exit_status::OWN_TROUBLE;

/// A `restore` call in progress. libvirt 11.3.0 deletes the managed save of a guest if its hook fails
/// here, and keeps it if `prepare` fails.
pub(crate) struct Restore<'a> {
    guest: Option<&'a Guest>,
    save: Protection,
}

impl<'a> Restore<'a> {
    /// Stores a failure for `prepare` in advance, in case this process dies.
    pub(crate) fn begin(call: &Call, guest: Option<&'a Guest>) -> Option<Restore<'a>> {
        if call.operation() != Operation::Restore {
            return None;
        }
        if let Some(guest) = guest {
            let words = "hookmux: died of a fault of its own while it handled restore\n".to_owned();
            // if this can't be written, the end can't be either, and reports it
            let _ = guest.remember_pending(
                Origin::Restore,
                Some(HeldFailure { status: OWN_TROUBLE, words }),
            );
        }
        Some(Restore { guest, save: Protection::NoSave })
    }

    /// Gives the guest's managed save its second name, before the first hook runs: if this process is
    /// killed, libvirt 11.3.0 deletes the save.
    pub(crate) fn protect(&mut self, call: &Call, settings: &Settings) {
        if self.guest.is_some() && call.driver == Driver::Qemu {
            self.save = saves::protect(&settings.save_dir, call.object());
        }
    }

    /// Stores a failure for `prepare`. Prints a changed document; then the save keeps its second name until
    /// libvirt has accepted it. Returns the answer, and whether libvirt got the document.
    pub(crate) fn end(
        self,
        mut answer: Answer,
        call: &Call,
        settings: &Settings,
        report: &mut dyn FnMut(&str),
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
                report(&format!("{what}, which deletes a save that it refuses to restore: {why}"));
            }
            Protection::Failed(why) if answer.stdout.is_some() => {
                let words = format!(
                    "hookmux: the changed document is not given to libvirt, which deletes a save that it refuses to restore: {why}\n"
                );
                report(words.trim_end());
                answer = Answer::trouble(OWN_TROUBLE, sanitize::text(words.as_bytes()));
            }
            Protection::Failed(why) => {
                report(&format!("the managed save had no second name while hooks ran: {why}"));
            }
        }
        // printed here, so that an error can still be reported at prepare
        if let Some(document) = answer.stdout.take() {
            match door::print(&document) {
                Ok(()) => is_given = true,
                Err(error) => {
                    let words = format!(
                        "hookmux: the changed document can't be given to libvirt: {error}\n"
                    );
                    report(words.trim_end());
                    answer = Answer::trouble(OWN_TROUBLE, words);
                }
            }
        }
        let held = (answer.status != 0)
            .then(|| HeldFailure { status: answer.status, words: answer.stderr.clone() });
        let is_held = held.is_some();
        let kept = guest.remember_pending(Origin::Restore, held);
        if self.save == Protection::Done && !is_given && (kept.is_ok() || !is_held) {
            // libvirt keeps the first name: it got no document, or `prepare` fails
            if let Err(error) = saves::unprotect(&settings.save_dir, call.object()) {
                report(&format!("the second name of the managed save stays: {error}"));
            }
        }
        let answer = match kept {
            Ok(()) if is_held => {
                report(
                    "restore has failed; libvirt is told at prepare, which keeps the managed save",
                );
                Answer::default()
            }
            Ok(()) => answer,
            Err(error) if is_held => {
                report(&format!(
                    "restore has failed, but goes on: the failure can't be stored for prepare: {error}"
                ));
                Answer::default()
            }
            Err(_) => {
                // the failure that was stored in advance is wrong
                guest.forget_pending();
                answer
            }
        };
        (answer, is_given)
    }
}
