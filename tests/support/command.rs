//! The command line, on a host's own hooks directory.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use super::Host;
use super::documents::GUEST;
use super::host::binary_under_test;
use super::schema;

impl Host {
    /// A command, with the small guest's document beside it as `guest.xml`.
    #[track_caller]
    pub fn hookmux(&self, words: &[&str]) -> Output {
        fs::write(self.path("guest.xml"), GUEST).unwrap();
        let output = Command::new(binary_under_test())
            .arg("--hooks-dir")
            .arg(self.hooks())
            .args(words)
            .current_dir(self.path(""))
            .output()
            .unwrap();
        schema::judge(words, &output.stdout);
        output
    }

    /// What a command says on both streams; it has to end with a status.
    #[track_caller]
    pub fn text(&self, words: &[&str], status: i32) -> String {
        let output = self.hookmux(words);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    /// What a command says to programs.
    #[track_caller]
    pub fn json(&self, words: &[&str], status: i32) -> Value {
        let words = [words, &["--output", "json"]].concat();
        let output = self.hookmux(&words);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {output:?}");
        schema::read(&words, &output.stdout)
    }
}
