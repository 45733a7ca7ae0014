//! The values of registration keys that take one of a few words.

use serde::{Deserialize, Serialize};

/// Defines the values of such a key. The parser, the command line, the schema and all output take the
/// words from here.
macro_rules! choice {
    (
        $(#[$of_choice:meta])*
        $name:ident { $($(#[$of_value:meta])* $value:ident = $word:literal,)+ }
    ) => {
        $(#[$of_choice])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$of_value])* #[serde(rename = $word)] $value,)+ }

        impl $name {
            /// All words, in the order in which they are listed.
            pub const WORDS: [&'static str; [$($word),+].len()] = [$($word),+];

            /// Returns the word of this value.
            pub fn word(self) -> &'static str {
                match self { $($name::$value => $word,)+ }
            }
        }
    };
}

choice! {
    /// What a failure of a registered hook does to its call.
    FailurePolicy {
        /// The call fails, but the remaining hooks run; exit status 2 stops them.
        #[default]
        Fail = "fail",
        /// The call fails and stops.
        Stop = "stop",
        /// The failure is reported, and changes nothing.
        Warn = "warn",
        /// As `fail`, and reported to libvirt even at calls where libvirt then kills the guest.
        Kill = "kill",
    }
}

choice! {
    /// How a registered hook's programs say whether they succeeded.
    ResultKind {
        /// By the exit status.
        #[default]
        ExitStatus = "exit-status",
        /// By the exit status, and by the last line on standard output: `1` or `0 MESSAGE`, as cPanel's
        /// hooks do.
        StatusLine = "status-line",
    }
}

impl ResultKind {
    /// Tells whether it is the usual one, which files that are stored don't mention.
    pub(crate) fn is_default(&self) -> bool {
        *self == ResultKind::default()
    }
}

choice! {
    /// How a hook is called.
    CallStyle {
        #[default]
        Vdsm = "vdsm",
        Libvirt = "libvirt",
    }
}

choice! {
    /// What a hook reads on standard input. In libvirt's style it is always libvirt's document.
    StdinKind {
        #[default]
        None = "none",
        Xml = "xml",
        /// The event as one JSON object.
        Json = "json",
    }
}

choice! {
    /// Whether libvirt waits for a hook.
    Mode {
        #[default]
        Wait = "wait",
        Detached = "detached",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    #[test]
    fn words_are_read_and_written_as_they_are_told() {
        for word in FailurePolicy::WORDS {
            let policy = yaml::read::<FailurePolicy>(word).unwrap();
            assert_eq!(policy.word(), word);
            assert_eq!(serde_json::to_value(policy).unwrap(), word);
        }
        assert_eq!(FailurePolicy::WORDS, ["fail", "stop", "warn", "kill"]);
        assert!(yaml::read::<FailurePolicy>("Fail").is_err());
    }
}
