//! The four arguments with which libvirt calls a hook program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::driver::Driver;
use super::operation::{Class, Meaning, Operation, meaning};

/// One call, as libvirt makes it. Arguments have positions and are never options: a guest may be called
/// `--help`. A missing argument counts as empty; further ones are passed on and have no meaning.
#[derive(Clone, Debug)]
pub struct Call {
    pub driver: Driver,
    /// All arguments after `argv[0]`, verbatim: libvirt-style hooks get them.
    pub arguments: Vec<OsString>,
    pub meaning: Meaning,
}

impl Call {
    pub fn new(driver: Driver, arguments: Vec<OsString>) -> Call {
        let sub = arguments.get(2).map(|sub| sub.as_bytes());
        let name = arguments.get(1).map_or(&b""[..], |name| name.as_bytes());
        let meaning = meaning(driver, name, sub);
        Call { driver, arguments, meaning }
    }

    fn argument(&self, index: usize) -> &OsStr {
        self.arguments.get(index).map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// Returns the name of the guest or network; `-` for the daemon.
    pub fn object(&self) -> &OsStr {
        self.argument(0)
    }

    pub fn operation_name(&self) -> &OsStr {
        self.argument(1)
    }

    pub fn sub_operation(&self) -> &OsStr {
        self.argument(2)
    }

    pub fn extra(&self) -> &OsStr {
        self.argument(3)
    }

    /// Returns why a guest was released: libvirt 10.5.0 and later say it, earlier ones pass `-`.
    pub fn reason(&self) -> Option<&OsStr> {
        let extra = self.extra();
        let reason = self.operation() == Operation::Release && !extra.is_empty() && extra != "-";
        reason.then_some(extra)
    }

    pub fn operation(&self) -> Operation {
        self.meaning.operation
    }

    pub fn class(&self) -> Class {
        self.meaning.class
    }

    /// Tells whether libvirt sends a document.
    pub fn has_document(&self) -> bool {
        self.driver != Driver::Daemon
    }

    pub fn is_filter(&self) -> bool {
        self.meaning.filter
    }

    /// Returns the operation's name where it can be part of the name of a file or an event:
    /// `[a-z][a-z0-9-]*`.
    pub fn plain_operation(&self) -> Option<&str> {
        plain(self.operation_name())
    }

    /// Returns the sub-operation's name, under the same condition.
    pub fn plain_sub_operation(&self) -> Option<&str> {
        plain(self.sub_operation())
    }
}

fn plain(word: &OsStr) -> Option<&str> {
    let word = word.to_str().filter(|word| word.len() <= 64)?;
    let rest = word.strip_prefix(|first: char| first.is_ascii_lowercase())?;
    rest.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        .then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &[&str]) -> Call {
        Call::new(Driver::Qemu, arguments.iter().map(OsString::from).collect())
    }

    #[test]
    fn any_number_of_arguments_is_survived() {
        assert_eq!(call(&[]).object(), "");
        assert_eq!(call(&[]).operation(), Operation::Unknown);
        assert_eq!(call(&["--help"]).object(), "--help");
        assert_eq!(call(&["--help", "prepare"]).operation(), Operation::Prepare);
        let many = call(&["g", "prepare", "begin", "-", "more", "--version"]);
        assert_eq!(many.operation(), Operation::Prepare);
        assert_eq!(many.arguments.len(), 6);
    }

    #[test]
    fn a_reason_is_what_release_was_given() {
        assert_eq!(
            call(&["g", "release", "end", "from snapshot"]).reason(),
            Some(OsStr::new("from snapshot"))
        );
        assert_eq!(call(&["g", "release", "end", "-"]).reason(), None);
        assert_eq!(call(&["g", "release", "end"]).reason(), None);
        assert_eq!(call(&["g", "stopped", "end", "x"]).reason(), None);
    }

    #[test]
    fn only_plain_operations_become_names() {
        for (word, is_plain) in [
            ("paused", true),
            ("port-created", true),
            ("a2", true),
            ("", false),
            ("-", false),
            ("..", false),
            ("a/b", false),
            ("A", false),
            ("2a", false),
            ("a_b", false),
            ("a\n", false),
        ] {
            assert_eq!(call(&["g", word]).plain_operation().is_some(), is_plain, "{word:?}");
        }
    }
}
