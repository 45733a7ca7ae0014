//! The codes of findings. They never change, as administrators' scripts use them.

/// How severe a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Something that should run doesn't, or a call would fail because of it.
    Error,
    /// It works, but probably not as intended.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    pub(crate) const ALL: [Severity; 3] = [Severity::Error, Severity::Warning, Severity::Note];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

macro_rules! codes {
    ($($code:ident $name:literal $severity:ident,)*) => {
        /// What is wrong. docs/check.md has the same list with explanations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($code,)*
        }

        impl Code {
            pub(crate) const ALL: &[Code] = &[$(Code::$code,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Code::$code => $name,)*
                }
            }

            pub(crate) const fn severity(self) -> Severity {
                match self {
                    $(Code::$code => Severity::$severity,)*
                }
            }
        }
    };
}

codes! {
    // libvirt's way to hookmux
    NotInstalled "not-installed" Error,
    HooksWithoutDriver "hooks-without-driver" Error,
    ForeignScript "foreign-script" Warning,
    OverwrittenEntry "overwritten-entry" Error,
    AppendedCopy "appended-copy" Warning,
    StaleCopy "stale-copy" Warning,
    SharedEntry "shared-entry" Warning,
    DanglingInstall "dangling-install" Error,
    OddInstall "odd-install" Error,
    InstalledTwice "installed-twice" Error,
    UnreachableBinary "unreachable-binary" Error,
    UnprovenLink "unproven-link" Warning,
    LooseExecutable "loose-executable" Warning,
    TreeLeftAlone "tree-left-alone" Warning,
    OwnName "own-name" Warning,
    OldTree "old-tree" Warning,
    // the host's confinement
    ApparmorPlace "apparmor-place" Error,
    ApparmorCopy "apparmor-copy" Warning,
    SelinuxPlace "selinux-place" Warning,
    SelinuxLabel "selinux-label" Warning,
    SelinuxDomain "selinux-domain" Error,
    SelinuxBoolean "selinux-boolean" Error,
    // scripts
    NotExecutable "not-executable" Warning,
    DanglingLink "dangling-link" Error,
    NoInterpreterLine "no-interpreter-line" Error,
    ShellText "shell-text" Note,
    Crlf "crlf" Error,
    InterpreterMissing "interpreter-missing" Error,
    Noexec "noexec" Error,
    LibvirtCall "libvirt-call" Warning,
    LeftBehind "left-behind" Note,
    LeftBehindRuns "left-behind-runs" Warning,
    Subdirectory "subdirectory" Warning,
    NotRegular "not-regular" Warning,
    EmptyScript "empty-script" Note,
    IdleMask "idle-mask" Note,
    UntrustedMask "untrusted-mask" Warning,
    BareName "bare-name" Warning,
    MissingModule "missing-module" Warning,
    MissingInput "missing-input" Warning,
    Bashism "bashism" Warning,
    MisplacedScript "misplaced-script" Warning,
    UnusableName "unusable-name" Error,
    // moments
    UnknownEvent "unknown-event" Error,
    NeverCalled "never-called" Warning,
    NeverHere "never-here" Warning,
    UnknownGuest "unknown-guest" Note,
    NoSuchGuest "no-such-guest" Note,
    // trust
    Untrusted "untrusted" Error,
    UntrustedButRun "untrusted-but-run" Warning,
    UntrustedInterpreter "untrusted-interpreter" Warning,
    // settings and registrations
    BrokenSettings "broken-settings" Error,
    BrokenRegistration "broken-registration" Error,
    NotARegistration "not-a-registration" Warning,
    UnknownKind "unknown-kind" Error,
    NeverMatches "never-matches" Error,
    MeaninglessKey "meaningless-key" Warning,
    CommandMissing "command-missing" Error,
    CommandNotExecutable "command-not-executable" Error,
    UnreachableCommand "unreachable-command" Error,
    UnknownUser "unknown-user" Error,
    EnvironmentFile "environment-file" Error,
    SameName "same-name" Note,
    SteeringName "steering-name" Warning,
    RefusedKey "refused-key" Error,
    // places
    Unreadable "unreadable" Error,
    Unseen "unseen" Note,
    NotADirectory "not-a-directory" Error,
    NotWritable "not-writable" Error,
    OpenDirectory "open-directory" Note,
    LittleSpace "little-space" Warning,
    RuntimeOnDisk "runtime-on-disk" Note,
    OddFile "odd-file" Warning,
    // what waits
    DanglingSave "dangling-save" Error,
    SpareSave "spare-save" Note,
    BrokenGuestState "broken-guest-state" Warning,
    OldJob "old-job" Warning,
    BrokenJob "broken-job" Warning,
    TrashLeft "trash-left" Warning,
    JobPutAside "job-put-aside" Warning,
    NewerJob "newer-job" Warning,
    QueueNearlyFull "queue-nearly-full" Warning,
    UndoOwed "undo-owed" Warning,
    BrokenUndo "broken-undo" Warning,
    NoVirsh "no-virsh" Warning,
    // records
    RecordsDropped "records-dropped" Warning,
    RecordsStuck "records-stuck" Warning,
    LostExecutions "lost-executions" Warning,
    JournalDropped "journal-dropped" Note,
    NewerFile "newer-file" Warning,
    // events for other hosts, and of them
    OutboxNotSent "outbox-not-sent" Warning,
    OutboxNearlyFull "outbox-nearly-full" Warning,
    OddCursor "odd-cursor" Warning,
    NotConsumed "not-consumed" Warning,
    // the emergency switch
    Bypassed "bypassed" Error,
    BrokenBypass "broken-bypass" Warning,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code and severity of each row of the documentation's tables.
    fn documented() -> Vec<(String, String)> {
        include_str!("../../../docs/check.md")
            .lines()
            .filter_map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                let code = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
                let severity = cells.next()?;
                let known = Severity::ALL.iter().any(|known| known.name() == severity);
                known.then(|| (code.to_owned(), severity.to_owned()))
            })
            .collect()
    }

    #[test]
    fn the_documentation_has_every_code_and_no_other() {
        let own: Vec<_> = Code::ALL
            .iter()
            .map(|code| (code.name().to_owned(), code.severity().name().to_owned()))
            .collect();
        assert_eq!(documented(), own);
    }

    #[test]
    fn codes_are_words_and_unlike_each_other() {
        for (index, code) in Code::ALL.iter().enumerate() {
            let name = code.name();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
            assert!(Code::ALL[..index].iter().all(|other| other.name() != name), "{name} twice");
        }
    }
}
