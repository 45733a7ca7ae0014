//! Text on a terminal: what fits, colour, the pager. A terminal is made by `script` of util-linux.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::support::host::{binary_under_test, writing};
use crate::support::record::{alter_record, host_with_a_record};
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
    // an event's name is there to be copied
    let events = plain(&host, 80, "events");
    assert!(events.contains("\n  before_device_migrate_destination "), "{events}");
    let wide = plain(&host, 80, "list --wide");
    assert!(wide.contains("10-hugepages-for-every-guest-of-this-host"), "{wide}");
}

/// A host with a record of this timeline, in seconds: a hook, another one that waits, and comes near its limit, a
/// time-out, a rollback and an undo.
fn host_with_a_timeline(names: [&str; 3]) -> Host {
    let (host, path) = host_with_a_record();
    let [first, second, third] = names.map(|name| format!("before_vm_start/{name}"));
    alter_record(&path, |head, body| {
        head["duration_us"] = 100_000_000.into();
        let run = |hook: &str, start: u64, took: u64, more: Value| {
            let mut run = json!({ "hook": hook, "outcome": "success", "start_us": start * 1_000_000, "duration_us": took * 1_000_000 });
            run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            run
        };
        body["runs"] = json!([
            run(&first, 0, 20, json!({})),
            run(&second, 40, 9, json!({ "limit_us": 10_000_000 })),
            run(
                &third,
                50,
                18,
                json!({ "outcome": "timeout", "limit_us": 18_000_000, "failure": "timed out after 18.0 s" })
            ),
            run(&format!("{first} (rollback)"), 70, 20, json!({})),
            run(&format!("{first} (undo)"), 90, 10, json!({ "undo": { "hook": first } })),
        ]);
        body["waits"] = json!([{ "hook": second, "reason": "the lock `gpu`", "start_us": 20_000_000, "duration_us": 20_000_000 }]);
    });
    host
}

#[test]
fn bars_are_to_scale_over_the_width_that_is_there() {
    const DRAWN: [char; 5] = ['━', '░', '┃', '◄', '↶'];
    let names = [
        "10-first",
        "20-虛擬機準備與網路設定以及其他的準備-虛擬機準備與網路設定以及其他的準備",
        "30-with-a-name-that-is-longer-than-half-of-a-narrow-terminal",
    ];
    let host = host_with_a_timeline(names);
    let mut widths = Vec::new();
    for columns in [60, 80, 160, 240] {
        let printed = plain(&host, columns, "show last");
        let rows: Vec<&str> = printed
            .lines()
            .filter(|line| line.contains(DRAWN) && !line.contains(" waits "))
            .collect();
        assert_eq!(rows.len(), 5, "{printed}");
        assert!(rows.iter().all(|row| row.width() <= columns), "{columns}\n{printed}");
        // where a character stands, in cells, and how many there are
        let cells = |row: &str, drawn: char| {
            let at = row.find(drawn).map(|at| row[..at].width()).unwrap_or(usize::MAX);
            (at, row.matches(drawn).count())
        };
        let scale = printed.lines().find(|line| line.trim_start().starts_with("0 ")).unwrap();
        let left = scale.find('0').unwrap();
        let width = scale.width() - left;
        widths.push(width);
        let expected = [
            (0, '━', 0, 20),
            (1, '░', 20, 20),
            (1, '━', 40, 9),
            (1, '┃', 50, 0),
            (2, '━', 50, 18),
            (2, '┃', 68, 0),
            (3, '◄', 70, 20),
            (4, '↶', 90, 10),
        ];
        for (row, drawn, start, took) in expected {
            let (at, count) = cells(rows[row], drawn);
            let is_near = |cells: usize, seconds: usize| {
                (cells as f64 - seconds as f64 * width as f64 / 100.0).abs() <= 1.0
            };
            let is_there = is_near(at - left, start) && (took == 0 || is_near(count, took));
            assert!(is_there, "{columns}: {drawn} at {at}, {count}\n{printed}");
        }
        assert!(printed.contains("└ waited 20.0 s for the lock `gpu`"), "{printed}");
        assert!(printed.contains("└ its limit is 10.0 s"), "{printed}");
        assert!(printed.contains("░ waits   ◄ rollback   ↶ undo   ┃ limit"), "{printed}");
    }
    assert!(widths.is_sorted() && widths[0] >= 20 && widths[2] >= 80, "{widths:?}");
    // names are cut in the middle, and not in a pipe
    let narrow = plain(&host, 60, "show last");
    assert!(narrow.contains("10-first") && narrow.contains("30-with…"), "{narrow}");
    let whole = host.text(&["show", "last"], 0);
    assert!(names.iter().all(|name| whole.contains(name)) && !whole.contains('…'), "{whole}");
}

#[test]
fn bars_differ_by_colour_and_in_ascii() {
    let host = host_with_a_timeline(["10-a", "20-b", "30-c"]);
    let coloured = on_terminal(&host, 100, 200, "", "show last");
    for (colour, drawn) in
        [("32", "━━"), ("2", "░░"), ("31", "━━"), ("31", "┃"), ("35", "◄◄"), ("36", "↶↶")]
    {
        assert!(coloured.contains(&format!("\u{1b}[{colour}m{drawn}")), "{drawn}: {coloured}");
    }
    let ascii = on_terminal(&host, 100, 200, "export LC_ALL=C NO_COLOR=1;", "show last");
    assert!(ascii.is_ascii(), "{ascii}");
    for words in ["----", "....", "<<<<", "~~~~", "---|", ". waits   < rollback   ~ undo   | limit"]
    {
        assert!(ascii.contains(words), "{words}: {ascii}");
    }
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
fn times_are_relative_or_absolute() {
    let host = host();
    let year =
        |text: &str| text.lines().skip(1).any(|line| line.contains("-") && line.contains(":"));
    let of = |words: &[&str]| host.text(words, 0);
    assert!(of(&["list"]).contains(" ago") || of(&["list"]).contains("just now"));
    assert!(!of(&["list", "--time", "absolute"]).contains(" ago"));
    for words in
        [&["log"][..], &["show", "10-hugepages-for-every-guest-of-this-host"], &["log", "--audit"]]
    {
        let absolute = of(words);
        assert!(!absolute.contains(" ago "), "{absolute}");
        let relative = of(&[words, &["--time", "relative"]].concat());
        let is_told = relative.contains(" ago") || relative.contains("just now");
        assert!(is_told || !year(&absolute), "{words:?}: {relative}");
    }
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
    host.guest("prepare begin").run();
    for words in ["list", "check", "log", "plan qemu web1 prepare", "events", "show last"] {
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
