//! The keys of a registration that have one of a few words as their value.

use serde::{Deserialize, Serialize};

/// Defines such a key's values. The parser, the command line, the schema and all output have the
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
            /// All words, in the order in which they are told.
            pub const WORDS: [&'static str; [$($word),+].len()] = [$($word),+];

            /// The word of this value.
            pub fn word(self) -> &'static str {
                match self { $($name::$value => $word,)+ }
            }
        }
    };
}

choice! {
    /// What a failure of a registered hook means.
    FailurePolicy {
        /// The call fails, the rest of it runs; exit status 2 stops it.
        #[default]
        Fail = "fail",
        /// The call fails and stops.
        Stop = "stop",
        /// It is told, and changes nothing.
        Warn = "warn",
        /// As `fail`, and libvirt is told even where it kills what runs.
        Kill = "kill",
    }
}

choice! {
    /// How it is called.
    CallStyle {
        #[default]
        Vdsm = "vdsm",
        Libvirt = "libvirt",
    }
}

choice! {
    /// What it reads on standard input. In libvirt's style that is always libvirt's document.
    StdinKind {
        #[default]
        None = "none",
        Xml = "xml",
        /// The event as one object.
        Json = "json",
    }
}

choice! {
    /// Whether libvirt waits for it.
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
