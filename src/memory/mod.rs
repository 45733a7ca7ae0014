//! What each libvirt operation reads from and writes to the remembered guest state.

pub(crate) mod daemon_reload;
pub(crate) mod guest;
pub(crate) mod saves;

use std::path::PathBuf;

use crate::config::Settings;
use crate::event::Origin;
use crate::libvirt::{Call, Document, Driver, Operation};
use guest::{Guest, Remembered};

/// Tells whether a call reads or writes remembered state, even without hooks.
pub(crate) fn is_needed(call: &Call) -> bool {
    matches!(
        call.operation(),
        Operation::Prepare
            | Operation::Started
            | Operation::Release
            | Operation::Migrate
            | Operation::Restore
            | Operation::Reconnect
            | Operation::Attach
    )
}

/// Reads and writes the remembered state before any hook runs.
pub(crate) fn before_hooks(
    call: &Call,
    settings: &Settings,
    guest: &Guest,
    document: &Document,
    warnings: &mut Vec<String>,
) -> Remembered {
    match call.operation() {
        Operation::Prepare => {
            let remembered = guest.take_pending();
            warnings.extend(remembered.error.clone());
            return remembered;
        }
        // the pending state is replaced at the end of the call
        Operation::Migrate => return Remembered::of(Origin::Migration),
        Operation::Restore => return Remembered::of(Origin::Restore),
        _ => guest.forget_pending(),
    }
    let mut origin = None;
    if matches!(call.operation(), Operation::Started | Operation::Reconnect) {
        match document.bytes().map(|bytes| guest.keep_document(bytes)) {
            None => {}
            Some(Ok(kept)) => origin = Some(kept),
            Some(Err(error)) => warnings.push(format!("the document of the running guest can't be kept: {error}; HOOKMUX_STARTED_XML will be missing")),
        }
    }
    if call.operation() == Operation::Started && call.driver == Driver::Qemu {
        warnings.extend(saves::release(&settings.save_dir, call.object()).err());
    }
    Remembered::of(origin.unwrap_or_else(|| guest.origin()))
}

/// Writes the remembered state once the call has succeeded.
pub(crate) fn after_hooks(call: &Call, guest: &Guest) {
    // if this can't be written, the guest's origin will count as fresh
    let _ = match call.operation() {
        Operation::Migrate => guest.remember_pending(Origin::Migration, None),
        Operation::Restore => guest.remember_pending(Origin::Restore, None),
        Operation::Release => {
            guest.forget();
            Ok(())
        }
        _ => Ok(()),
    };
}

/// Returns the state that a trial call would find, without taking it.
pub(crate) fn preview(call: &Call, guest: Option<&Guest>, given: Option<Origin>) -> Remembered {
    let found = match (call.operation(), guest) {
        (Operation::Prepare, Some(guest)) => guest.peek_pending(),
        (Operation::Migrate, _) => Remembered::of(Origin::Migration),
        (Operation::Restore, _) => Remembered::of(Origin::Restore),
        (_, guest) => Remembered::of(guest.map_or(Origin::Unknown, Guest::origin)),
    };
    match given {
        // an origin that a person gives means that nothing is pending
        Some(origin) => Remembered::of(origin),
        None => found,
    }
}

/// Returns the file with the document of `started`, for calls whose own document has less in it.
pub(crate) fn started_document(call: &Call, guest: &Guest) -> Option<PathBuf> {
    let asks = matches!(call.operation(), Operation::Stopped | Operation::Release);
    asks.then(|| guest.started_document()).flatten()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::Surroundings;
    use crate::libvirt::operation::TABLE;
    use crate::state::Dir;
    use guest::HeldFailure;

    const UUID: &str = "91126ceb-8184-4a0b-b79f-0f3d17ecc836";

    /// What is remembered of the guest when a call comes.
    #[derive(Clone, Copy, Debug)]
    enum Given {
        Nothing,
        /// A restore that has failed with status 3.
        FailedRestore,
        Restore,
        Migration,
        /// It was started here, and runs; `<old/>` is the document of its start.
        Running,
    }

    const GIVEN: [Given; 5] =
        [Given::Nothing, Given::FailedRestore, Given::Restore, Given::Migration, Given::Running];

    /// A runtime directory with one guest in it.
    struct Memory {
        directory: tempfile::TempDir,
        guest: Guest,
    }

    impl Memory {
        fn of(driver: Driver, given: Given) -> Memory {
            let directory = tempfile::tempdir().unwrap();
            let guest = Guest::new(&Dir::of_test(directory.path()), driver, Some(UUID), "vm");
            match given {
                Given::Nothing => {}
                Given::FailedRestore => {
                    let held = HeldFailure { status: 3, words: "hookmux: no\n".to_owned() };
                    guest.remember_pending(Origin::Restore, Some(held)).unwrap();
                }
                Given::Restore => guest.remember_pending(Origin::Restore, None).unwrap(),
                Given::Migration => guest.remember_pending(Origin::Migration, None).unwrap(),
                Given::Running => {
                    guest.take_pending();
                    guest.keep_document(b"<old/>").unwrap();
                }
            }
            Memory { directory, guest }
        }

        /// What is remembered now, in words.
        fn words(&self) -> String {
            let mut words = Vec::new();
            if guest::is_any_pending(&Dir::of_test(self.directory.path())) {
                words.push(format!("{} waits", arrival_words(&self.guest.peek_pending())));
            }
            let files = fs::read_dir(self.directory.path().join("guests"));
            let mut files = files.into_iter().flatten().flatten().map(|file| file.path());
            if files.any(|path| path.extension().is_some_and(|ending| ending == "json")) {
                words.push(format!("{} runs", self.guest.origin().name()));
            }
            if let Some(path) = self.guest.started_document() {
                words.push(fs::read_to_string(path).unwrap());
            }
            words.join(", ")
        }
    }

    fn arrival_words(arrival: &Remembered) -> String {
        let held = arrival.held.as_ref().map(|held| format!(" (failed: {})", held.status));
        format!("{}{}", arrival.origin.name(), held.unwrap_or_default())
    }

    fn call(driver: Driver, operation: &str) -> Call {
        let row = TABLE.iter().find(|row| row.drivers.contains(&driver) && row.name == operation);
        let sub = row.and_then(|row| row.sub).unwrap_or("-");
        Call::new(driver, ["vm", operation, sub, "-"].map(Into::into).into())
    }

    fn settings(save_dir: &Path) -> Settings {
        let surroundings = Surroundings::here(Path::new("/nowhere"));
        let mut settings = Settings::defaults(&surroundings);
        settings.save_dir = save_dir.to_path_buf();
        settings
    }

    /// The guest operations of the table of operations, each with its row of a test's table.
    fn rows<'a, T>(table: &'a [(&str, T)]) -> Vec<(Call, &'a T)> {
        let operations = TABLE.iter().filter(|row| row.drivers.contains(&Driver::Qemu));
        let rows: Vec<_> = operations
            .map(|row| {
                let found = table.iter().find(|(name, _)| *name == row.name);
                let (_, expected) = found.unwrap_or_else(|| panic!("`{}` has no row", row.name));
                (call(Driver::Qemu, row.name), expected)
            })
            .collect();
        assert_eq!(rows.len(), table.len(), "a row of an operation that libvirt doesn't have");
        rows
    }

    #[test]
    fn before_hooks_run_each_operation_finds_and_leaves_what_its_row_says() {
        // for each of `GIVEN`: how the guest comes, and what is remembered from then on
        #[rustfmt::skip]
        let table = [
            ("prepare", [
                ("fresh",               "fresh runs"),
                ("restore (failed: 3)", "restore runs"),
                ("restore",             "restore runs"),
                ("migration",           "migration runs"),
                ("fresh",               "fresh runs, <old/>"),
            ]),
            // whatever waits is dropped: no `prepare` came for it
            ("start", [
                ("unknown", ""), ("unknown", ""), ("unknown", ""), ("unknown", ""),
                ("fresh",   "fresh runs, <old/>"),
            ]),
            ("started", [
                ("unknown", "unknown runs, <new/>"), ("unknown", "unknown runs, <new/>"),
                ("unknown", "unknown runs, <new/>"), ("unknown", "unknown runs, <new/>"),
                ("fresh",   "fresh runs, <new/>"),
            ]),
            ("stopped", [
                ("unknown", ""), ("unknown", ""), ("unknown", ""), ("unknown", ""),
                ("fresh",   "fresh runs, <old/>"),
            ]),
            // hooks of `release` are still to be told
            ("release", [
                ("unknown", ""), ("unknown", ""), ("unknown", ""), ("unknown", ""),
                ("fresh",   "fresh runs, <old/>"),
            ]),
            // what waits is replaced at the end of the call
            ("migrate", [
                ("migration", ""),
                ("migration", "restore (failed: 3) waits"),
                ("migration", "restore waits"),
                ("migration", "migration waits"),
                ("migration", "fresh runs, <old/>"),
            ]),
            ("restore", [
                ("restore", ""),
                ("restore", "restore (failed: 3) waits"),
                ("restore", "restore waits"),
                ("restore", "migration waits"),
                ("restore", "fresh runs, <old/>"),
            ]),
            ("reconnect", [
                ("unknown", "unknown runs, <new/>"), ("unknown", "unknown runs, <new/>"),
                ("unknown", "unknown runs, <new/>"), ("unknown", "unknown runs, <new/>"),
                ("fresh",   "fresh runs, <new/>"),
            ]),
            ("attach", [
                ("unknown", ""), ("unknown", ""), ("unknown", ""), ("unknown", ""),
                ("fresh",   "fresh runs, <old/>"),
            ]),
        ];
        let settings = settings(Path::new("/nowhere"));
        let document = Document::Whole(b"<new/>".into());
        for (call, cells) in rows(&table) {
            for (given, (origin, left)) in GIVEN.into_iter().zip(cells) {
                let place = format!("{:?}, {given:?}", call.operation());
                let memory = Memory::of(call.driver, given);
                let mut troubles = Vec::new();
                let arrival =
                    before_hooks(&call, &settings, &memory.guest, &document, &mut troubles);
                assert_eq!(arrival_words(&arrival), *origin, "{place}");
                assert_eq!(memory.words(), *left, "{place}");
                assert!(troubles.is_empty() && arrival.error.is_none(), "{place}: {troubles:?}");
            }
        }
    }

    #[test]
    fn after_a_call_that_succeeded_the_next_prepare_is_told_and_a_release_forgets() {
        const SAME: [&str; 5] = [
            "",
            "restore (failed: 3) waits",
            "restore waits",
            "migration waits",
            "fresh runs, <old/>",
        ];
        const MIGRATION: [&str; 5] = [
            "migration waits",
            "migration waits",
            "migration waits",
            "migration waits",
            "migration waits, fresh runs, <old/>",
        ];
        const RESTORE: [&str; 5] = [
            "restore waits",
            "restore waits",
            "restore waits",
            "restore waits",
            "restore waits, fresh runs, <old/>",
        ];
        const FORGOTTEN: [&str; 5] =
            ["", "restore (failed: 3) waits", "restore waits", "migration waits", ""];
        let table = [
            ("prepare", SAME),
            ("start", SAME),
            ("started", SAME),
            ("stopped", SAME),
            ("release", FORGOTTEN),
            ("migrate", MIGRATION),
            ("restore", RESTORE),
            ("reconnect", SAME),
            ("attach", SAME),
        ];
        for (call, cells) in rows(&table) {
            for (given, left) in GIVEN.into_iter().zip(cells) {
                let memory = Memory::of(call.driver, given);
                after_hooks(&call, &memory.guest);
                assert_eq!(memory.words(), *left, "{:?}, {given:?}", call.operation());
            }
        }
    }

    #[test]
    fn a_call_that_is_only_tried_finds_what_a_real_one_would_and_changes_nothing() {
        const RUNNING: [&str; 5] = ["unknown", "unknown", "unknown", "unknown", "fresh"];
        // for each of `GIVEN`, and where nothing can be asked: how the guest would come
        let table = [
            (
                "prepare",
                (["fresh", "restore (failed: 3)", "restore", "migration", "fresh"], "unknown"),
            ),
            ("start", (RUNNING, "unknown")),
            ("started", (RUNNING, "unknown")),
            ("stopped", (RUNNING, "unknown")),
            ("release", (RUNNING, "unknown")),
            ("migrate", (["migration"; 5], "migration")),
            ("restore", (["restore"; 5], "restore")),
            ("reconnect", (RUNNING, "unknown")),
            ("attach", (RUNNING, "unknown")),
        ];
        for (call, (cells, without)) in rows(&table) {
            let operation = call.operation();
            for (given, origin) in GIVEN.into_iter().zip(cells) {
                let memory = Memory::of(call.driver, given);
                let before = memory.words();
                let found = preview(&call, Some(&memory.guest), None);
                assert_eq!(arrival_words(&found), *origin, "{operation:?}, {given:?}");
                // whoever says how it comes is believed, and no failure waits then
                for told in Origin::ALL {
                    let found = preview(&call, Some(&memory.guest), Some(told));
                    assert_eq!(found, Remembered::of(told), "{operation:?}, {given:?}");
                }
                assert_eq!(memory.words(), before, "{operation:?}, {given:?}");
            }
            assert_eq!(arrival_words(&preview(&call, None, None)), *without, "{operation:?}");
        }
    }

    #[test]
    fn these_operations_ask_the_memory_without_hooks_and_these_get_the_document_of_the_start() {
        // whether it is asked; whether hooks get the document
        let table = [
            ("prepare", (true, false)),
            ("start", (false, false)),
            ("started", (true, false)),
            ("stopped", (false, true)),
            ("release", (true, true)),
            ("migrate", (true, false)),
            ("restore", (true, false)),
            ("reconnect", (true, false)),
            ("attach", (true, false)),
        ];
        for (call, (is_asking, gets_document)) in rows(&table) {
            assert_eq!(is_needed(&call), *is_asking, "{:?}", call.operation());
            for given in GIVEN {
                let memory = Memory::of(call.driver, given);
                let document = started_document(&call, &memory.guest);
                let document = document.map(|path| fs::read_to_string(path).unwrap());
                let expected = *gets_document && matches!(given, Given::Running);
                let expected = expected.then(|| "<old/>".to_owned());
                assert_eq!(document, expected, "{:?}, {given:?}", call.operation());
            }
        }
        for row in TABLE.iter().filter(|row| !row.drivers.contains(&Driver::Qemu)) {
            for driver in row.drivers {
                assert!(!is_needed(&call(*driver, row.name)), "{driver} {}", row.name);
            }
        }
        assert!(!is_needed(&call(Driver::Qemu, "paused")));
    }

    /// Calls `before` for a guest that runs; returns what is told.
    fn troubles(memory: &Memory, call: &Call, save_dir: &Path, document: &Document) -> Vec<String> {
        let mut troubles = Vec::new();
        before_hooks(call, &settings(save_dir), &memory.guest, document, &mut troubles);
        troubles
    }

    #[test]
    fn a_document_that_did_not_come_keeps_the_one_before_and_one_that_cannot_be_kept_is_told() {
        let nowhere = Path::new("/nowhere");
        for operation in ["started", "reconnect"] {
            let call = call(Driver::Qemu, operation);
            for document in [Document::Absent, Document::Broken("no end".to_owned())] {
                let memory = Memory::of(Driver::Qemu, Given::Running);
                assert_eq!(troubles(&memory, &call, nowhere, &document), [""; 0], "{operation}");
                assert_eq!(memory.words(), "fresh runs, <old/>", "{operation}");
            }
            let unread = Document::NotRead { bytes: b"<big/>".into(), why: "too deep".to_owned() };
            let memory = Memory::of(Driver::Qemu, Given::Running);
            assert_eq!(troubles(&memory, &call, nowhere, &unread), [""; 0], "{operation}");
            assert_eq!(memory.words(), "fresh runs, <big/>", "{operation}");

            fs::write(memory.directory.path().join("file"), "").unwrap();
            let shut = Dir::of_test(&memory.directory.path().join("file"));
            let memory =
                Memory { guest: Guest::new(&shut, Driver::Qemu, Some(UUID), "vm"), ..memory };
            let told = troubles(&memory, &call, nowhere, &unread);
            assert_eq!(told.len(), 1, "{operation}: {told:?}");
            let (beginning, end) =
                ("the document of the running guest can't be kept: ", "; HOOKMUX_STARTED_XML");
            assert!(told[0].starts_with(beginning) && told[0].contains(end), "{told:?}");
        }
    }

    #[test]
    fn what_waits_and_cannot_be_read_is_told_at_prepare_and_nowhere_else() {
        for (operation, is_told) in [("prepare", true), ("start", false), ("stopped", false)] {
            let memory = Memory::of(Driver::Qemu, Given::FailedRestore);
            let pending = fs::read_dir(memory.directory.path().join("pending")).unwrap();
            let path = pending.map(|file| file.unwrap().path()).next().unwrap();
            fs::write(&path, "{").unwrap();
            let call = call(Driver::Qemu, operation);
            let told = troubles(&memory, &call, Path::new("/nowhere"), &Document::Absent);
            let names_it = |words: &String| words.contains(path.to_str().unwrap());
            assert_eq!(told.iter().filter(|words| names_it(words)).count(), usize::from(is_told));
            assert_eq!(told.len(), usize::from(is_told), "{operation}: {told:?}");
            assert!(path.exists(), "{operation}: it may hold a failure");
        }
    }

    #[test]
    fn a_save_loses_its_second_name_when_its_guest_has_started_and_at_no_other_time() {
        // the driver, the operation, the save that libvirt has; whether the second name goes, and
        // whether something is told
        for (driver, operation, save, goes, is_told) in [
            (Driver::Qemu, "started", Some("same"), true, false),
            (Driver::Qemu, "started", Some("later"), false, true),
            (Driver::Qemu, "started", None, false, true),
            (Driver::Lxc, "started", Some("same"), false, false),
            (Driver::Qemu, "reconnect", Some("same"), false, false),
            (Driver::Qemu, "prepare", Some("same"), false, false),
            (Driver::Qemu, "restore", Some("same"), false, false),
            (Driver::Qemu, "stopped", None, false, false),
        ] {
            let place = format!("{driver} {operation} {save:?}");
            let memory = Memory::of(driver, Given::Running);
            let save_dir = tempfile::tempdir().unwrap();
            let [first, second] =
                ["vm.save", "vm.save.hookmux"].map(|name| save_dir.path().join(name));
            fs::write(&second, "saved").unwrap();
            match save {
                Some("same") => fs::hard_link(&second, &first).unwrap(),
                Some(other) => fs::write(&first, other).unwrap(),
                None => {}
            }
            let call = call(driver, operation);
            let told = troubles(&memory, &call, save_dir.path(), &Document::Absent);
            assert_eq!(second.exists(), !goes, "{place}");
            assert_eq!(first.exists(), save.is_some(), "{place}");
            assert_eq!(told.len(), usize::from(is_told), "{place}: {told:?}");
            assert!(told.iter().all(|words| words.contains("vm.save.hookmux")), "{told:?}");
        }
    }
}
