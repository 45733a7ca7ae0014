use std::process::Output;
use std::time::Duration;

/// What a command inside a host has answered.
#[derive(Debug)]
pub struct Reply {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

impl Reply {
    pub fn new(output: &Output, took: Duration) -> Reply {
        Reply {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            took,
        }
    }

    /// Its stdout; it must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "must succeed: {self:?}");
        self.out
    }

    /// Its stderr; it must have failed by itself, not by the harness's time limit (124, 137).
    #[track_caller]
    pub fn fails(self) -> String {
        assert!(matches!(self.code, Some(1..=123)), "must fail: {self:?}");
        self.err
    }

    /// Its stderr; it must have failed and must say so in these words.
    #[track_caller]
    pub fn fails_with(self, words: &[&str]) -> String {
        let err = self.fails();
        for word in words {
            assert!(err.contains(word), "must say {word:?}: {err}");
        }
        err
    }
}
