//! Text on a terminal: what fits, colour, the pager. A terminal is made by `script` of util-linux.

use std::process::{Command, Stdio};

use unicode_width::UnicodeWidthStr;

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root};

/// What a command prints on a terminal of this size, with line ends as in a file.
fn on_terminal(host: &Host, columns: usize, lines: usize, before: &str, words: &str) -> String {
    let binary = binary_under_test();
    let command = format!(
        "stty cols {columns} rows {lines}; {before} exec '{}' --hooks-dir '{}' {words}",
        binary.display(),
        host.hooks().display()
    );
    let _writing = writing();
    let printed = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env_clear()
        .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("TERM", "xterm"), ("SHELL", "/bin/sh")])
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .expect("these tests need `script` (Debian: bsdutils)");
    String::from_utf8_lossy(&printed.stdout).replace("\r\n", "\n")
}

/// The same without colour.
fn plain(host: &Host, columns: usize, words: &str) -> String {
    on_terminal(host, columns, 200, "export NO_COLOR=1;", words)
}

/// A host with names that are long and wide.
fn host() -> Host {
    let host = Host::new();
    host.script("before_vm_start/10-hugepages-for-every-guest-of-this-host", ":");
    host.script("before_vm_start/30-虛擬機準備與網路設定以及其他的準備", ":");
    host.script(
        "before_vm_start/40-short",
        "echo no space left on the device of the guest >&2; exit 3",
    );
    let guest = "生產環境-資料庫-主要伺服器-with-a-name-that-is-longer-than-a-terminal-is-wide";
    host.call("qemu", [guest, "prepare", "begin", "-"]).run();
    host
}

#[test]
fn tables_fit_the_terminal_and_pipes_get_everything() {
    let host = host();
    let whole = host.text(&["list"], 0);
    assert!(
        whole.contains("10-hugepages-for-every-guest-of-this-host") && !whole.contains('…'),
        "{whole}"
    );
    for columns in [80, 120, 160] {
        for words in ["list", "log", "events", "plan qemu web1 prepare"] {
            let printed = plain(&host, columns, words);
            let too_long: Vec<&str> = printed
                .lines()
                .filter(|line| line.width() > columns && !line.starts_with("hookmux: "))
                .collect();
            let is_prose = |line: &&str| line.contains(". ") || line.ends_with('.');
            assert!(
                too_long.iter().all(is_prose),
                "{words} in {columns}: {too_long:#?}\n{printed}"
            );
        }
    }
    let narrow = plain(&host, 60, "list");
    assert!(narrow.contains("…") && narrow.contains("30-虛"), "{narrow}");
    // columns stay straight with wide characters
    let state = |line: &str| line.find("active").map(|at| line[..at].width());
    let columns: Vec<_> = narrow.lines().filter_map(state).collect();
    assert!(columns.len() == 3 && columns.iter().all(|at| *at == columns[0]), "{narrow}");
    // an event is told once, so that its hooks have room for their names
    assert!(narrow.lines().any(|line| line == "before_vm_start"), "{narrow}");
    let short = Host::new();
    short.script("before_vm_start/10-x", ":");
    assert!(plain(&short, 80, "list").contains("before_vm_start     1  10-x"), "it has room");
    // what a hook said last is more than where it lies
    let failed = plain(&host, 80, "log");
    assert!(failed.contains("failed (3)") && failed.contains("of the guest"), "{failed}");
    let shown = host.text(&["show", "last"], 0);
    let bar =
        |line: &str| line.contains("  |").then(|| line.find('|').map(|at| line[..at].width()));
    let bars: Vec<_> = shown.lines().filter_map(bar).collect();
    assert!(bars.len() == 3 && bars.iter().all(|at| *at == bars[0]), "{shown}");
    // an event's name is there to be copied
    let events = plain(&host, 80, "events");
    assert!(events.contains("\nbefore_device_migrate_destination "), "{events}");
    let wide = plain(&host, 80, "list --wide");
    assert!(wide.contains("10-hugepages-for-every-guest-of-this-host"), "{wide}");
}

#[test]
fn the_status_page_is_wrapped_and_its_commands_stay_whole() {
    let host = host();
    let printed = plain(&host, 80, "status");
    let command = format!("→ hookmux --hooks-dir {} show ", host.hooks().display());
    assert!(printed.contains(&command), "{printed}");
    assert!(printed.contains("left on the device of the guest"), "{printed}");
    for line in printed.lines().filter(|line| !line.contains("→ ")) {
        let has_long_word = line.split_whitespace().any(|word| word.width() > 40);
        assert!(line.width() <= 80 || has_long_word, "{line}\n{printed}");
    }
    // a program reads one line
    let whole = host.text(&["status"], 0);
    let last = whole.lines().find(|line| line.contains("last: ")).unwrap();
    assert!(last.contains("the guest  → "), "{whole}");
}

#[test]
fn findings_are_wrapped_at_the_terminals_width() {
    let host = host();
    host.script("before_vm_strat/10-x", ":");
    let printed = plain(&host, 70, "check");
    let sentences: Vec<&str> = printed.lines().filter(|line| !line.contains('→')).collect();
    assert!(printed.contains("before_vm_strat"), "{printed}");
    for line in sentences {
        // a path is one word
        assert!(
            line.width() <= 70 || line.split_whitespace().any(|word| word.width() > 30),
            "{line}\n{printed}"
        );
    }
}

#[test]
fn colour_is_for_terminals_or_as_asked() {
    let host = host();
    let on =
        |before: &str, words: &str| on_terminal(&host, 100, 200, before, words).contains("\x1b[");
    assert!(on("", "list"), "a terminal");
    assert!(!on("", "list --color never"));
    assert!(!on("export NO_COLOR=1;", "list"));
    assert!(on("export NO_COLOR=1;", "list --color always"), "what is asked for wins");
    assert!(!on("export TERM=dumb;", "list"));
    assert!(!host.text(&["list"], 0).contains("\x1b["), "a pipe");
    assert!(host.text(&["list", "--color", "ALWAYS"], 0).contains("\x1b["));
    assert!(!host.text(&["list", "-o", "json", "--color", "always"], 0).contains("\x1b["));
}

#[test]
fn a_locale_without_utf8_gets_ascii() {
    let host = Host::new();
    host.script("before_vm_start/10-hugepages-for-every-guest-of-this-host", ":");
    host.script("before_vm_strat/10-x", ":");
    for words in ["list", "check", "log", "plan qemu web1 prepare", "events"] {
        let printed = on_terminal(&host, 60, 200, "export LC_ALL=C;", words);
        assert!(printed.is_ascii(), "{words}: {printed}");
    }
    assert!(on_terminal(&host, 60, 200, "", "check").contains('→'));
}

#[test]
fn a_pager_shows_what_is_longer_than_the_screen() {
    let host = host();
    let pager = "export PAGER='sed s/^/paged:/';";
    let paged = |lines: usize, before: &str, words: &str| {
        on_terminal(&host, 100, lines, before, words).contains("paged:")
    };
    assert!(paged(10, pager, "events"));
    assert!(paged(10, pager, "help --all"));
    assert!(!paged(200, pager, "list"), "it fits");
    assert!(!paged(10, pager, "events --no-pager"));
    assert!(!paged(10, pager, "events -o json"), "programs have no pager");
    assert!(!paged(10, "export PAGER=;", "events"));
    // all of it, and the command's own exit status
    let printed = on_terminal(&host, 100, 10, pager, "events");
    assert_eq!(printed.matches("paged:").count(), printed.lines().count(), "{printed}");
    assert!(
        printed.contains("before_vm_start") && printed.contains("after_daemon_stop") || is_root(),
        "{printed}"
    );
    // a pager that isn't there loses nothing
    let printed = on_terminal(&host, 100, 10, "export PAGER=/nowhere/pager;", "events");
    assert!(
        printed.contains("before_vm_start") && printed.contains("before_daemon_reload"),
        "{printed}"
    );
    // one that is left early
    let printed = on_terminal(&host, 100, 10, "export PAGER='head -n 3';", "events");
    assert_eq!(printed.lines().count(), 3, "{printed}");
}
