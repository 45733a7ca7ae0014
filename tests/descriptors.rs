//! What hookmux is handed, and what it hands on: descriptors, documents, signals. (L3)

use std::fs::{self, File, OpenOptions};

use nix::fcntl::OFlag;

use crate::support::documents::{GUEST, UUID};
use crate::support::{Host, capture, skip};

/// A gate with a script in either style; each logs what it was given.
fn gate() -> Host {
    let host = Host::new();
    host.script("before_vm_start/10-vdsm", r#"log "vdsm ${_hook_domxml-nothing}""#);
    host.script("qemu.d/g/prepare/begin/10-tree", r#"log "tree $(wc -c)""#);
    host
}

// --- descriptors of ours ------------------------------------------------------------------------

#[test]
fn closed_descriptors_are_survived_in_every_combination() {
    for closed in 0..8 {
        let redirections: String =
            (0..3).filter(|fd| (closed >> fd) & 1 == 1).map(|fd| format!(" {fd}>&-")).collect();
        let shell = format!("exec \"$@\"{redirections}");
        let host = Host::new();
        host.script("before_vm_start/10-x", "log ran; echo out; echo err >&2; exit ${STATUS:-0}");
        host.guest("prepare begin").through_shell(&shell).run().succeeds();
        assert_eq!(host.log(), ["ran"], "{redirections}");
        host.settings("environment: {STATUS: 3}");
        let answer = host.guest("prepare begin").through_shell(&shell).run();
        assert_eq!(answer.status, Some(3), "{redirections}: {answer:?}");
        assert_eq!(answer.stderr.is_empty(), closed & 4 != 0, "{redirections}: {answer:?}");
        assert!(answer.stdout.is_empty());
        assert_eq!(host.log(), ["ran"], "{redirections}");

        host.follow(&["before_vm_migrate_destination/10-x", "after_vm_launch/10-x"]);
        for call in ["migrate begin", "started begin"] {
            host.guest(call).through_shell(&shell).run().succeeds();
        }
    }
}

#[test]
fn a_full_standard_error_changes_nothing() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "echo no pages >&2; exit 3");
    host.script("after_vm_start/10-x", "exit 3").script("after_vm_stop/10-x", "exit 4");
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (call, status) in [("prepare begin", 3), ("started begin", 0), ("stopped end", 4)] {
        let answer = host.guest(call).stderr_is(full()).run();
        assert_eq!(answer.status, Some(status), "{call}");
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        drop(reader);
        let answer = host.guest(call).stderr_is(writer).run();
        assert_eq!(answer.status, Some(status), "{call}, with nobody at the other end");
    }
}

// L4
#[test]
fn a_document_that_cannot_be_written_whole_is_not_answered_with_success() {
    let host = Host::new();
    host.script("before_vm_migrate_destination/10-x", r#"sed -i s/devices/x/ "$_hook_domxml""#);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let answer = host.guest("migrate begin").stdout_is(full).run();
    assert_eq!(answer.status, Some(125));
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    drop(reader);
    let answer = host.guest("migrate begin").stdout_is(writer).run();
    assert_eq!(answer.status, Some(125));
}

// --- libvirt's document -------------------------------------------------------------------------

// L3
#[test]
fn the_document_reaches_hooks_byte_for_byte() {
    let host = Host::new();
    host.script("before_vm_start/10-x", r#"cat "$_hook_domxml" >"$T/vdsm""#);
    host.script("qemu.d/g/prepare/begin/10-x", r#"cat >"$T/first""#);
    host.script("qemu.d/g/prepare/begin/20-x", r#"cat >"$T/second""#);
    let odd = GUEST.replace('\n', "\r\n").replace("<devices>", "<devices><!-- \u{fc} -->") + "\n\n";
    let with_mark = format!("\u{feff}{GUEST}");
    for document in [
        GUEST.as_bytes().to_vec(),
        odd.into_bytes(),
        with_mark.into_bytes(),
        GUEST.trim_end().as_bytes().to_vec(),
        capture("11.3.0", "qemu.prepare.begin"),
    ] {
        host.guest("prepare begin").stdin(document.clone()).run().succeeds();
        for name in ["vdsm", "first", "second"] {
            assert!(host.read(name) == document, "{name}: {}", host.read_text(name));
        }
    }
}

#[test]
fn standard_input_may_be_absent() {
    let host = gate();
    let null = || File::open("/dev/null").unwrap();
    host.guest("prepare begin").stdin_is(null()).run().succeeds();
    assert_eq!(host.log(), ["vdsm nothing", "tree 0"]);
    host.guest("prepare begin").stdin(" \n\t\n").run().succeeds();
    assert_eq!(host.log(), ["vdsm nothing", "tree 0"], "blanks are no document");
}

#[test]
fn a_document_that_counts_as_absent_fails_only_the_gate_hooks_that_need_it() {
    let whole = GUEST.as_bytes();
    let not_utf8 = GUEST.replace("<devices>", "<devices>@").into_bytes();
    let not_utf8: Vec<u8> =
        not_utf8.into_iter().map(|byte| if byte == b'@' { 0xe9 } else { byte }).collect();
    let doctype = format!("<!DOCTYPE domain [<!ENTITY a \"aaaa\">]>\n{GUEST}");
    for (what, document, word) in [
        ("truncated", whole[..whole.len() - 12].to_vec(), "not well-formed"),
        ("broken", GUEST.replace("</name>", "</nam>").into_bytes(), "not well-formed"),
        ("no XML at all", b"hello\n".to_vec(), "not well-formed"),
        ("two documents", GUEST.repeat(2).into_bytes(), "not well-formed"),
        ("a document type", doctype.into_bytes(), "document type"),
        ("no UTF-8", not_utf8, "not UTF-8"),
        ("a NUL", GUEST.replace("<devices>", "<devices>\0").into_bytes(), "not well-formed"),
    ] {
        let host = gate();
        let answer = host.guest("prepare begin").stdin(document.clone()).run();
        answer
            .fails(125, &["hookmux: qemu.d/g/prepare/begin/10-tree: it needs libvirt's document"]);
        answer.fails(125, &[word]).never_says("before_vm_start");
        assert_eq!(host.log(), ["vdsm nothing"], "{what}: it is never handed on in half");

        // neither live nor notify calls fail of it, nor gates without such hooks
        host.follow(&["after_vm_launch/10-x", "after_vm_stop/10-x", "before_vm_launch/10-x"]);
        host.script("qemu.d/g/started/begin/10-tree", r#"log "tree $(wc -c)""#);
        host.guest("started begin").stdin(document.clone()).run().succeeds();
        assert_eq!(host.log(), ["after_vm_launch/10-x", "tree 0"], "{what}");
        host.guest("stopped end").stdin(document.clone()).run().succeeds();
        host.guest("start begin").stdin(document).run().succeeds();
        assert_eq!(host.log(), ["after_vm_stop/10-x", "before_vm_launch/10-x"], "{what}");
    }
}

#[test]
fn standard_input_may_be_something_else_than_a_pipe() {
    let host = gate();
    let directory = File::open("/").unwrap();
    host.guest("prepare begin")
        .stdin_is(directory)
        .run()
        .fails(125, &["10-tree: it needs libvirt's document", "Is a directory"]);
    assert_eq!(host.log(), ["vdsm nothing"]);
    fs::write(host.path("document"), GUEST).unwrap();
    host.guest("prepare begin")
        .stdin_is(File::open(host.path("document")).unwrap())
        .run()
        .succeeds();
    assert_eq!(host.log()[1], format!("tree {}", GUEST.len()));
    let write_only = OpenOptions::new().write(true).open("/dev/null").unwrap();
    let answer = host.guest("prepare begin").stdin_is(write_only).run();
    assert!(matches!(answer.status, Some(0 | 125)), "{answer:?}");
}

#[test]
fn standard_input_that_never_ends_is_waited_for_ten_seconds() {
    let host = gate();
    let answer = host.guest("prepare begin").endless_stdin(GUEST).run();
    answer.fails(125, &["10-tree: it needs libvirt's document", "did not end within 10 s"]);
    answer.took_less_than(40);
    assert!(answer.took.as_secs() >= 9, "{answer:?}");
    assert_eq!(host.log(), ["vdsm nothing"]);
}

#[test]
fn a_call_without_hooks_takes_no_notice_of_what_it_does_not_need() {
    let host = Host::new();
    for call in ["start begin", "stopped end", "paused begin"] {
        let answer = host.guest(call).endless_stdin("").run();
        answer.succeeds().took_less_than(9);
    }
    host.call("network", ["n", "start", "begin", "-"]).endless_stdin("").run().took_less_than(9);
    host.follow(&["before_daemon_reload/10-x"]);
    let call = host.call("daemon", ["-", "reload", "begin", "SIGHUP"]).endless_stdin("");
    call.run().succeeds().took_less_than(9);
    assert_eq!(host.log(), ["before_daemon_reload/10-x"]);
}

#[test]
fn sixteen_mebibytes_of_document_are_handed_on_and_no_more() {
    const MOST: usize = 16 * 1024 * 1024;
    let document = |length: usize| {
        let padding = length - GUEST.len() - "<!---->".len();
        GUEST.replace("<devices>", &format!("<devices><!--{}-->", "x".repeat(padding)))
    };
    let host = Host::new();
    host.script("before_vm_start/10-x", r#"log "vdsm $(wc -c <"${_hook_domxml-/dev/null}")""#);
    host.script("qemu.d/g/prepare/begin/10-tree", r#"log "tree $(wc -c)""#);
    host.guest("prepare begin").stdin(document(MOST)).run().succeeds();
    assert_eq!(host.log(), [format!("vdsm {MOST}"), format!("tree {MOST}")]);

    let answer = host.guest("prepare begin").stdin(document(MOST + 1)).run();
    answer.fails(125, &["10-tree: it needs libvirt's document", "larger than 16 MiB"]);
    assert_eq!(host.log(), ["vdsm 0"]);
}

#[test]
fn a_terminal_is_not_read() {
    let host = gate();
    let Some((_main, terminal)) = pseudo_terminal() else {
        return skip("no pseudo-terminal here");
    };
    let answer = host.guest("prepare begin").stdin_is(terminal).run();
    answer.succeeds().took_less_than(9);
    assert_eq!(host.log(), ["vdsm nothing", "tree 0"]);
}

/// Both ends of a pseudo-terminal, by /dev/ptmx alone.
fn pseudo_terminal() -> Option<(File, File)> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    let main = OpenOptions::new().read(true).write(true).open("/dev/ptmx").ok()?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", main.as_raw_fd())).ok()?;
    let number = info.lines().find_map(|line| line.strip_prefix("tty-index:"))?.trim().to_owned();
    let other = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(format!("/dev/pts/{number}"))
        .ok()?;
    Some((main, other))
}

// --- what a hook starts with --------------------------------------------------------------------

#[test]
fn a_hook_inherits_three_descriptors_and_no_more() {
    let libvirt = "exec 5</etc/passwd 6>&1 7</ 9<&0; exec \"$@\"";
    for (place, stdin) in [
        ("before_vm_prepare/10-x", "/dev/null"),
        ("qemu.d/g/prepare/begin/10-x", "pipe:"),
        ("qemu.adopted", "pipe:"),
    ] {
        let host = Host::new();
        host.script(place, r#"(ls -l /proc/$$/fd >"$T/descriptors")"#);
        host.guest("prepare begin").through_shell(libvirt).run().succeeds();
        let seen = host.read_text("descriptors");
        // the shell holds its script open
        let own = format!(" -> {}", host.hook(place).display());
        let lines: Vec<&str> =
            seen.lines().filter(|line| line.contains(" -> ") && !line.ends_with(&own)).collect();
        assert_eq!(lines.len(), 3, "{place}: {seen}");
        assert!(seen.contains(" 0 -> ") && seen.contains(stdin), "{place}: {seen}");
        assert!(seen.contains(" 1 -> pipe:") && seen.contains(" 2 -> pipe:"), "{place}: {seen}");
    }
}

#[test]
fn a_hook_starts_in_a_session_of_its_own_and_ours_at_the_root_with_the_usual_mask() {
    for place in ["before_vm_prepare/10-x", "qemu.d/g/prepare/begin/10-x", "qemu.adopted"] {
        let host = Host::new();
        host.script(
            place,
            r#"log "$(pwd) $(umask)"
               set -- $(sed 's/.*) //' /proc/$$/stat)
               [ "$3" = $$ ] && [ "$4" = $$ ] && log "own group and session""#,
        );
        let shell = "cd /var; umask 077; exec \"$@\"";
        host.guest("prepare begin").through_shell(shell).run().succeeds();
        // what was libvirt's finds what libvirt gives
        let seen = if place.starts_with("before") { "/ 0022" } else { "/var 0077" };
        assert_eq!(host.log(), [seen, "own group and session"], "{place}");
    }
}

#[test]
fn a_hook_starts_with_default_signals_and_none_blocked() {
    let host = Host::new();
    // a program of its own: shells change what they ignore
    host.script(
        "before_vm_prepare/10-x",
        "grep -E '^Sig(Blk|Ign)' /proc/self/status >\"$T/signals\"",
    );
    let env =
        ["env", "--ignore-signal=HUP,INT,QUIT,PIPE,USR1,TERM", "--block-signal=USR2,TERM,CHLD"];
    let answer = host.guest("prepare begin").through(env).run();
    answer.succeeds().took_less_than(30);
    let seen = host.read_text("signals");
    for line in seen.lines() {
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        // 32 to 34 are the C library's own
        assert_eq!(mask & !0x3_8000_0000, 0, "{seen}");
    }
    assert_eq!(seen.lines().count(), 2, "{seen}");
}

#[test]
fn an_ignored_sigchld_does_not_lose_the_end_of_a_hook() {
    let host = Host::new();
    host.settings("timeout: 5s");
    host.script("before_vm_prepare/10-x", "log ran; exit 3");
    let answer = host.guest("prepare begin").through(["env", "--ignore-signal=CHLD"]).run();
    answer.fails(3, &["before_vm_prepare/10-x: exit status 3"]);
}

#[test]
fn hooks_run_as_programs_and_never_through_a_shell_of_ours() {
    let host = Host::new();
    host.script("before_vm_prepare/10 x;touch hookmux-was-here $(false)", "log ran");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["ran"]);
    assert!(!std::path::Path::new("/hookmux-was-here").exists());
}

// --- the document file --------------------------------------------------------------------------

// V2
#[test]
fn the_document_file_is_private_and_gone_after_the_call() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        r#"log "$(stat -c '%a %u' "$_hook_domxml") $(stat -c '%a %u' "${_hook_domxml%/*}")"
           printf %s "$_hook_domxml" >"$T/where"; cp "$_hook_domxml" "$_hook_domxml.bak""#,
    );
    host.script(
        "before_vm_start/20-x",
        r#"log "$([ "$_hook_domxml" = "$(cat "$T/where")" ] && echo same)""#,
    );
    host.guest("prepare begin").run().succeeds();
    let user = nix::unistd::geteuid();
    assert_eq!(host.log(), [format!("600 {user} 700 {user}"), "same".to_owned()]);
    let place = host.read_text("where");
    assert!(place.starts_with(host.path("run").to_str().unwrap()), "{place}");
    assert!(!std::path::Path::new(&place).parent().unwrap().exists(), "{place} is left");
}

// V2
#[test]
fn where_the_runtime_directory_takes_no_file_hooks_get_the_document_nevertheless() {
    let host = Host::new();
    fs::remove_dir(host.path("run")).unwrap();
    fs::write(host.path("run"), "a file in the directory's place").unwrap();
    host.script("before_vm_start/10-x", r#"cat "$_hook_domxml" >"$T/seen""#);
    host.script(
        "before_vm_migrate_destination/10-x",
        r#"text=$(cat "$_hook_domxml"); echo "$text" | sed 's/<devices>/<title>t<\/title><devices>/' >"$_hook_domxml""#,
    );
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.read_text("seen"), GUEST);
    assert!(GUEST.contains(UUID));
    let edited = GUEST.replace("<devices>", "<title>t</title><devices>");
    host.guest("migrate begin").run().answers(edited);
}

#[test]
fn a_shortage_of_descriptors_ends_in_the_calls_answer() {
    let host = Host::new();
    host.follow(&["before_vm_start/10-x", "after_vm_start/10-x", "after_vm_stop/10-x"]);
    // below that a binary that isn't static doesn't get as far as its own first line
    for limit in 5..14 {
        let shell = format!("ulimit -n {limit}; exec \"$@\"");
        // the wrapper of `with_private_state` comes first: settings may be unreadable
        for call in ["prepare begin", "stopped end"] {
            let answer = host.guest(call).through_shell(&shell).with_private_state(&host).run();
            assert!(answer.status.is_some() && answer.stdout.is_empty(), "{limit}: {answer:?}");
            let ran = !host.log().is_empty();
            let is_gate = call == "prepare begin";
            assert!(
                ran || !is_gate || answer.status != Some(0),
                "{limit}: a gate that opened itself"
            );
        }
        let answer =
            host.guest("started begin").through_shell(&shell).with_private_state(&host).run();
        assert_eq!(answer.status, Some(0), "{limit}: {answer:?}");
        host.log();
    }
}
