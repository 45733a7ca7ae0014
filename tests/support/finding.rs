//! Which test provokes which finding of `check`, and that it does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use serde_json::Value;

thread_local! {
    static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    static SKIPPED: Cell<bool> = const { Cell::new(false) };
}

/// Notes that the running test has this finding, as a real `check` wrote it.
#[track_caller]
pub fn seen(finding: &Value) {
    let code = finding["code"].as_str().unwrap_or_else(|| panic!("no code: {finding:#}"));
    SEEN.with_borrow_mut(|seen| seen.insert(code.to_owned()));
}

/// Notes that the running test shows nothing here.
pub fn skipped() {
    SKIPPED.set(true);
}

/// Runs a test, which must have seen each of these codes at its end.
#[track_caller]
pub fn provokes(test: fn(), codes: &[&str]) {
    // the thread may have run another test before
    SEEN.take();
    SKIPPED.set(false);
    test();
    let seen = SEEN.take();
    for code in codes {
        assert!(SKIPPED.get() || seen.contains(*code), "{code} is not among what it saw: {seen:?}");
    }
}

/// Makes tests of functions, each of which provokes these codes of `check`, and a list of all of them.
macro_rules! provoked {
    ($($test:ident: $($code:literal)+;)+) => {
        pub const PROVOKED: &[&str] = &[$($($code,)+)+];

        mod provoked {
            $(
                #[test]
                fn $test() {
                    crate::support::finding::provokes(super::$test, &[$($code),+]);
                }
            )+
        }
    };
}

pub(crate) use provoked;
