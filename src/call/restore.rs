//! A failed `restore` hook is reported at the following `prepare`: failing `restore` itself would make
//! libvirt (11.3.0) delete the saved state.

use std::io;

use crate::answer::{self, Answer};
use crate::config::Settings;
use crate::event::Origin;
use crate::libvirt::{Call, Driver, Operation};
use crate::machine::sanitize;
use crate::memory::guest::{Guest, HeldFailure};
use crate::memory::saves::{self, Protection};
use crate::process::exit_status::OWN_ERROR;

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
            let _ = guest
                .remember_pending(Origin::Restore, Some(HeldFailure { status: OWN_ERROR, words }));
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
        answer: Answer,
        call: &Call,
        settings: &Settings,
        shout: &mut dyn FnMut(&str),
    ) -> (Answer, bool) {
        self.end_with(answer::print, answer, call, settings, shout)
    }

    /// Does the same with another way to give libvirt a document.
    fn end_with(
        self,
        print: impl FnOnce(&[u8]) -> io::Result<()>,
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
                answer = Answer::error(OWN_ERROR, sanitize::text(words.as_bytes()));
            }
            Protection::Failed(why) => {
                report(&format!("the managed save had no second name while hooks ran: {why}"));
            }
        }
        // printed here, so that an error can still be reported at prepare
        if let Some(document) = answer.stdout.take() {
            match print(&document) {
                Ok(()) => is_given = true,
                Err(error) => {
                    let words = format!(
                        "hookmux: the changed document can't be given to libvirt: {error}\n"
                    );
                    report(words.trim_end());
                    answer = Answer::error(OWN_ERROR, words);
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::Surroundings;
    use crate::memory::guest::{Remembered, is_any_pending};
    use crate::state::Dir;

    const UUID: &str = "91126ceb-8184-4a0b-b79f-0f3d17ecc836";
    /// A guest whose save may have this name, but whose second name would be too long.
    const LONG_NAME: &str = concat!(
        "v2345678901234567890123456789012345678901234567890",
        "v2345678901234567890123456789012345678901234567890",
        "v2345678901234567890123456789012345678901234567890",
        "v2345678901234567890123456789012345678901234567890",
        "v23456789012345678901234567890123456789012345",
    );

    /// Which names the guest's save has when the call comes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Save {
        None,
        /// One, and a second one can be made.
        There,
        /// One, and the second is that of an earlier save.
        BesideEarlier,
        /// One, and a second one can't be made.
        WithoutRoom,
    }

    /// What the hooks came to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Hooks {
        Unchanged,
        /// They made `<new/>` of the document.
        Changed,
        /// They did, and libvirt can't be given it.
        ChangedInVain,
        Failed,
    }

    impl Hooks {
        fn answer(self) -> Answer {
            match self {
                Hooks::Unchanged => Answer::default(),
                Hooks::Changed | Hooks::ChangedInVain => {
                    Answer { stdout: Some(b"<new/>".into()), ..Answer::default() }
                }
                Hooks::Failed => Answer::error(3, "hookmux: no\n".to_owned()),
            }
        }
    }

    /// What came of one call.
    struct Seen {
        answer: Answer,
        is_given: bool,
        /// What libvirt was given.
        printed: String,
        said: Vec<String>,
        /// Names and contents, with `vm` for the guest.
        saves: Vec<String>,
    }

    fn call(driver: Driver, guest: &str, operation: &str) -> Call {
        Call::new(driver, [guest, operation, "begin", "-"].map(Into::into).into())
    }

    /// Takes a call of a guest through `begin`, `protect` and `end`.
    fn restore(driver: Driver, guest: Option<&Guest>, save: Save, hooks: Hooks) -> Seen {
        let name = if save == Save::WithoutRoom { LONG_NAME } else { "vm" };
        let save_dir = tempfile::tempdir().unwrap();
        let put = |ending: &str, text: &str| {
            fs::write(save_dir.path().join(format!("{name}.{ending}")), text).unwrap();
        };
        if save != Save::None {
            put("save", "now");
        }
        if save == Save::BesideEarlier {
            put("save.hookmux", "earlier");
        }
        let surroundings = Surroundings::here(Path::new("/nowhere"));
        let mut settings = Settings::defaults(&surroundings);
        settings.save_dir = save_dir.path().to_path_buf();
        let call = call(driver, name, "restore");
        let mut restore = Restore::begin(&call, guest).unwrap();
        restore.protect(&call, &settings);
        let (mut printed, mut said) = (Vec::new(), Vec::new());
        let print = |document: &[u8]| {
            if hooks == Hooks::ChangedInVain {
                return Err(io::Error::from_raw_os_error(libc::EPIPE));
            }
            printed.extend_from_slice(document);
            Ok(())
        };
        let mut shout = |words: &str| said.push(words.to_owned());
        let (answer, is_given) =
            restore.end_with(print, hooks.answer(), &call, &settings, &mut shout);
        let files = fs::read_dir(save_dir.path()).unwrap().map(|file| file.unwrap().path());
        let mut saves: Vec<(String, String)> = files
            .map(|path| {
                let file_name = path.file_name().unwrap().to_str().unwrap().replace(name, "vm");
                (file_name, fs::read_to_string(&path).unwrap())
            })
            .collect();
        saves.sort();
        let saves = saves.into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
        let printed = String::from_utf8(printed).unwrap();
        Seen { answer, is_given, printed, said, saves }
    }

    const NOW: &str = "vm.save: now";
    const SECOND: &str = "vm.save.hookmux: now";
    const EARLIER: &str = "vm.save.hookmux: earlier";
    /// What is said where a failure waits for `prepare`.
    const WAITS: &str = "restore has failed; libvirt is told at prepare";
    const NOT_PRINTED: &str = "the changed document can't be given to libvirt: ";
    const NOT_GIVEN: &str = "the changed document is not given to libvirt, which deletes a save";
    const WOULD_NOT: &str = "a changed document would not have been given to libvirt";
    const NO_SECOND: &str = "the managed save had no second name while hooks ran: ";

    #[test]
    fn whatever_hooks_come_to_restore_succeeds_and_prepare_has_the_failure() {
        use Hooks::{Changed, ChangedInVain, Failed, Unchanged};
        type Row<'a> = (Save, Hooks, &'a str, Option<(i32, &'a str)>, &'a [&'a str], &'a [&'a str]);
        // what libvirt is given, what `prepare` has to answer, the save's names, what is said
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            (Save::None, Unchanged,     "",       None,                     &[], &[]),
            (Save::None, Changed,       "<new/>", None,                     &[], &[]),
            (Save::None, ChangedInVain, "",       Some((125, NOT_PRINTED)), &[], &[NOT_PRINTED, WAITS]),
            (Save::None, Failed,        "",       Some((3, "no\n")),        &[], &[WAITS]),
            // the second name stays only while libvirt looks at another document
            (Save::There, Unchanged,     "",       None,                     &[NOW],         &[]),
            (Save::There, Changed,       "<new/>", None,                     &[NOW, SECOND], &[]),
            (Save::There, ChangedInVain, "",       Some((125, NOT_PRINTED)), &[NOW],         &[NOT_PRINTED, WAITS]),
            (Save::There, Failed,        "",       Some((3, "no\n")),        &[NOW],         &[WAITS]),
            // an earlier save is never lost, and the document that could cost the other isn't given
            (Save::BesideEarlier, Unchanged,     "", None,             &[NOW, EARLIER], &[WOULD_NOT]),
            (Save::BesideEarlier, Changed,       "", None,             &[NOW, EARLIER], &[NOT_GIVEN]),
            (Save::BesideEarlier, ChangedInVain, "", None,             &[NOW, EARLIER], &[NOT_GIVEN]),
            (Save::BesideEarlier, Failed,        "", Some((3, "no\n")), &[NOW, EARLIER], &[WOULD_NOT, WAITS]),
            // without a second name the document is a failure
            (Save::WithoutRoom, Unchanged,     "", None,                   &[NOW], &[NO_SECOND]),
            (Save::WithoutRoom, Changed,       "", Some((125, NOT_GIVEN)), &[NOW], &[NOT_GIVEN, WAITS]),
            (Save::WithoutRoom, ChangedInVain, "", Some((125, NOT_GIVEN)), &[NOW], &[NOT_GIVEN, WAITS]),
            (Save::WithoutRoom, Failed,        "", Some((3, "no\n")),      &[NOW], &[NO_SECOND, WAITS]),
        ];
        assert_eq!(table.len(), 4 * 4, "each save with each outcome");
        for (save, hooks, printed, held, saves, said) in table {
            let place = format!("{save:?}, {hooks:?}");
            let runtime_dir = tempfile::tempdir().unwrap();
            let runtime_dir = Dir::of_test(runtime_dir.path());
            let guest = Guest::new(&runtime_dir, Driver::Qemu, Some(UUID), "vm");
            let seen = restore(Driver::Qemu, Some(&guest), *save, *hooks);
            assert_eq!(seen.answer, Answer::default(), "{place}: libvirt is told of nothing");
            assert_eq!((seen.printed.as_str(), seen.is_given), (*printed, !printed.is_empty()));
            assert_eq!(seen.saves, *saves, "{place}");
            assert_eq!(seen.said.len(), said.len(), "{place}: {:?}", seen.said);
            for (words, part) in seen.said.iter().zip(*said) {
                assert!(words.contains(part) && !words.ends_with('\n'), "{place}: {words}");
            }
            // in any case `prepare` knows how the guest comes
            assert!(is_any_pending(&runtime_dir), "{place}");
            let Remembered { origin, held: seen_held, .. } = guest.peek_pending();
            assert_eq!(origin, Origin::Restore, "{place}");
            assert_eq!(seen_held.as_ref().map(|held| held.status), held.map(|(status, _)| status));
            if let (Some(seen), Some((_, part))) = (seen_held, held) {
                assert!(seen.words.contains(part), "{place}: {seen:?}");
                assert!(seen.words.starts_with("hookmux: ") && seen.words.ends_with('\n'));
            }
        }
    }

    #[test]
    fn a_call_that_dies_half_way_has_failed_for_prepare() {
        let runtime_dir = tempfile::tempdir().unwrap();
        let guest = Guest::new(&Dir::of_test(runtime_dir.path()), Driver::Qemu, Some(UUID), "vm");
        drop(Restore::begin(&call(Driver::Qemu, "vm", "restore"), Some(&guest)));
        let Remembered { origin, held, .. } = guest.peek_pending();
        let held = held.unwrap();
        assert_eq!((origin, held.status), (Origin::Restore, OWN_ERROR));
        assert!(held.words.contains("died of a fault of its own"), "{held:?}");
    }

    #[test]
    fn no_other_operation_is_answered_later() {
        let runtime_dir = tempfile::tempdir().unwrap();
        let runtime_dir = Dir::of_test(runtime_dir.path());
        let guest = Guest::new(&runtime_dir, Driver::Qemu, Some(UUID), "vm");
        for operation in ["prepare", "start", "migrate", "reconnect", "paused"] {
            let begun = Restore::begin(&call(Driver::Qemu, "vm", operation), Some(&guest));
            assert!(begun.is_none() && !is_any_pending(&runtime_dir), "{operation}");
        }
    }

    #[test]
    fn without_a_memory_the_answer_is_given_as_it_is_and_no_save_is_touched() {
        for hooks in [Hooks::Unchanged, Hooks::Changed, Hooks::Failed] {
            let seen = restore(Driver::Qemu, None, Save::There, hooks);
            assert_eq!(seen.answer, hooks.answer(), "{hooks:?}");
            assert!(!seen.is_given && seen.printed.is_empty(), "{hooks:?}");
            assert!(seen.said.is_empty() && seen.saves == [NOW], "{hooks:?}");
        }
    }

    #[test]
    fn other_drivers_than_qemu_have_no_managed_save_that_needs_a_second_name() {
        let runtime_dir = tempfile::tempdir().unwrap();
        let guest = Guest::new(&Dir::of_test(runtime_dir.path()), Driver::Libxl, Some(UUID), "vm");
        let seen = restore(Driver::Libxl, Some(&guest), Save::There, Hooks::Changed);
        assert_eq!((seen.printed.as_str(), seen.saves), ("<new/>", vec![NOW.to_owned()]));
        assert!(seen.said.is_empty(), "{:?}", seen.said);
    }

    #[test]
    fn a_failure_that_cannot_be_kept_for_prepare_is_said_and_the_second_name_stays() {
        let runtime_dir = tempfile::tempdir().unwrap();
        let file = runtime_dir.path().join("file");
        fs::write(&file, "").unwrap();
        let guest = Guest::new(&Dir::of_test(&file), Driver::Qemu, Some(UUID), "vm");
        // libvirt goes on with the restore, and deletes the save if that fails
        let seen = restore(Driver::Qemu, Some(&guest), Save::There, Hooks::Failed);
        assert_eq!(seen.answer, Answer::default());
        assert_eq!(seen.saves, [NOW, SECOND]);
        let [words] = &seen.said[..] else { panic!("{:?}", seen.said) };
        assert!(
            words.contains("but goes on: the failure can't be stored for prepare: "),
            "{words}"
        );
        // a success needs no memory
        let seen = restore(Driver::Qemu, Some(&guest), Save::There, Hooks::Unchanged);
        assert_eq!((seen.answer, seen.saves), (Answer::default(), vec![NOW.to_owned()]));
        assert!(seen.said.is_empty(), "{:?}", seen.said);
    }
}
