//! README and docs/: each page's commands are run in their order, in a private root where paths, `sudo`, `virsh` and
//! `systemctl` are what a reader has (`tests/pages/`). The examples of `hookmux help` and of the man pages are, too.
//!
//! In a page
//! - a `sh` block is run, a command at a time. A command fails only where its comment begins with `fails`.
//! - a `console` block has commands after `$ ` and what they print on a terminal, which has to have the same form: times,
//!   ids, digests and widths may differ, and a line `…` stands for any lines.
//! - a `yaml` or `python` block whose first line is `# /etc/libvirt/hooks/…` is put there, as the reader does.
//! - blocks in other languages aren't run: `text`, `json`, `xml`, `ini`, `nix`, `puppet`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, skip};

/// What can't be run in a private root, by the command's beginning, and why. Each is needed by a page.
const NOT_RUN: &[(&str, &str)] = &[
    ("sudo apt ", "there is no package: tests/packages/run installs, upgrades and removes it"),
    ("sudo dnf ", "the same"),
    ("sudo restorecon ", "there is no SELinux"),
    ("sudo semodule ", "the same"),
    ("sudo setsebool ", "the same"),
    ("git tag ", "it would tag the checkout"),
    ("ssh-keygen ", "tests/packages/run does it, with keys of its own"),
    ("printf 'releases@hookmux ", "the same"),
    ("minisign ", "the same"),
    ("sha256sum --check", "there is no tarball: tests/packages/run unpacks and installs it"),
    ("tar xf hookmux-", "the same"),
    ("cd hookmux-", "the same"),
    ("sudo ./install.sh", "the same"),
    ("sudo hookmux uninstall && sudo ./uninstall.sh", "the same"),
    (
        "sudo hookmux uninstall && sudo make uninstall",
        "it takes a build: tests/packages/run does it",
    ),
    ("make", "it is what builds and tests this"),
    ("sudo make install", "it takes a build: tests/packages/run does it"),
    (
        "hookmux queue --requeue guard",
        "a job is put aside after three deaths: waiting_jobs does it",
    ),
    ("#!/bin/sh", "a script of its own: tests/opennebula.rs runs it"),
    ("hookmux-relay ", "it needs a nats-server: `make test-fleet` runs them"),
    ("hookmux watch --from ", "the same"),
    ("cp /usr/share/doc/hookmux-relay/examples/relay.yaml", "there is no package of hookmux-relay"),
    ("systemctl enable --now hookmux-relay.service", "the same"),
    ("journalctl -D ", "there are no journals of other hosts"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a reader does.
#[derive(Debug, PartialEq)]
enum Step {
    /// Types a command into a shell.
    Type { text: String, fails: bool },
    /// Types it at a terminal, and sees this.
    See { text: String, shown: Vec<String> },
    /// Writes a file.
    Write { path: String, text: String },
}

impl Step {
    fn text(&self) -> &str {
        match self {
            Step::Type { text, .. } | Step::See { text, .. } => text,
            Step::Write { path, .. } => path,
        }
    }

    /// Why it isn't run.
    fn reason(&self) -> Option<&'static str> {
        let text = self.text();
        let entry = NOT_RUN.iter().find(|(start, _)| {
            // a whole word, unless the entry says that it goes on
            let rest = text.strip_prefix(start);
            rest.is_some_and(|rest| {
                start.ends_with([' ', '-']) || rest.is_empty() || rest.starts_with([' ', '\n'])
            })
        });
        entry.map(|(_, why)| *why)
    }
}

/// The fenced blocks of a page: language and lines.
fn blocks(page: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize, Vec<String>)> = None;
    for line in page.lines() {
        let bare = line.trim_start();
        match (&mut open, bare.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some((language.to_owned(), line.len() - bare.len(), Vec::new()));
            }
            (Some(_), Some("")) => {
                let (language, _, lines) = open.take().unwrap();
                blocks.push((language, lines));
            }
            (Some((_, indent, lines)), _) => {
                lines.push(line.get(*indent..).unwrap_or_default().to_owned());
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// Shell commands: with the lines that belong to them.
fn commands(lines: &[String]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = lines.iter();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with("# ") {
            continue;
        }
        let mut text = line.clone();
        while text.ends_with('\\') {
            text = format!("{text}\n{}", lines.next().unwrap());
        }
        if line.ends_with("<<'END'") {
            loop {
                let line = lines.next().unwrap_or_else(|| panic!("{text}: no END"));
                text = format!("{text}\n{line}");
                if line == "END" {
                    break;
                }
            }
        } else if line.starts_with("#!") {
            text = lines.by_ref().fold(text, |text, line| format!("{text}\n{line}"));
        }
        let comment = text.lines().next().unwrap().split_once(" # ").map_or("", |it| it.1);
        let fails = comment.trim().starts_with("fails");
        steps.push(Step::Type { text, fails });
    }
    steps
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (language, lines) in blocks(page) {
        match language.as_str() {
            "sh" => steps.extend(commands(&lines)),
            "console" => {
                for line in lines {
                    match (line.strip_prefix("$ "), steps.last_mut()) {
                        (Some(text), _) => {
                            steps.push(Step::See { text: text.to_owned(), shown: Vec::new() });
                        }
                        (None, Some(Step::See { shown, .. })) => shown.push(line),
                        _ => panic!("{line}: a console block begins with a command"),
                    }
                }
            }
            "yaml" | "python" => {
                let place = lines[0].strip_prefix("# ");
                if let Some(path) = place.filter(|it| it.starts_with("/etc/libvirt/hooks/")) {
                    let text = format!("{}\n", lines[1..].join("\n"));
                    steps.push(Step::Write { path: path.to_owned(), text });
                }
            }
            "text" | "json" | "xml" | "ini" | "nix" | "puppet" => {}
            other => panic!("```{other}: say what it is"),
        }
    }
    steps
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Whether it never ends by itself.
fn is_endless(text: &str) -> bool {
    text.strip_prefix("sudo ").unwrap_or(text).starts_with("hookmux watch")
}

/// A shell script that does all this, and prints of each step its number, its status and what it said.
fn script(steps: &[Step]) -> String {
    let mut script = String::new();
    for (number, step) in steps.iter().enumerate().filter(|(_, step)| step.reason().is_none()) {
        let text = step.text();
        script += &format!("text={}\nbefore \"$text\"\ntext=$(words \"$text\")\n", quoted(text));
        script += "s=0\n";
        script += &match step {
            Step::Write { path, text } => {
                format!(
                    "{{ mkdir -p {} && printf %s {} > {path}; }} > .said 2>&1 || s=$?\n",
                    quoted(Path::new(path).parent().unwrap().to_str().unwrap()),
                    quoted(text)
                )
            }
            Step::See { .. } => "sees || s=$?\n".to_owned(),
            Step::Type { .. } if is_endless(text) => "watches || s=$?\n".to_owned(),
            Step::Type { .. } => "types || s=$?\n".to_owned(),
        };
        script += &format!("printf '\\036%s %s\\n' {number} $s; cat .said\n");
    }
    script
}

/// A step that was run.
#[derive(Debug)]
pub struct Ran {
    pub text: String,
    pub said: String,
    status: i32,
}

fn in_private_root(page: &str, steps: &[Step]) -> Output {
    let host = Host::new();
    let place = host.path("root");
    fs::create_dir(&place).unwrap();
    fs::write(host.path("script"), script(steps)).unwrap();
    let mut command = Command::new(root().join("tests/pages/root"));
    command.arg(&place).arg(fs::canonicalize(binary_under_test()).unwrap());
    command.arg(Path::new(page).file_stem().unwrap()).arg(host.path("script"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let _writing = writing();
        command.spawn().unwrap()
    };
    child.wait_with_output().unwrap()
}

/// Runs a page's steps, which have to end as the page says.
fn run(page: &str, steps: &[Step]) -> Option<Vec<Ran>> {
    if !is_root() {
        skip("a private root takes mounts, and those are root's");
        return None;
    }
    if !Path::new("/usr/bin/script").exists() {
        skip("script (of util-linux) is not installed");
        return None;
    }
    let wanted: Vec<&Step> = steps.iter().filter(|step| step.reason().is_none()).collect();
    if wanted.is_empty() {
        return Some(Vec::new());
    }
    let output = in_private_root(page, steps);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut ran = Vec::new();
    for part in said.split('\u{1e}').skip(1) {
        let (head, said) = part.split_once('\n').unwrap();
        let (number, status) = head.split_once(' ').unwrap();
        let text = steps[number.parse::<usize>().unwrap()].text().to_owned();
        ran.push(Ran { text, said: said.replace('\r', ""), status: status.parse().unwrap() });
    }
    let mut wrong = Vec::new();
    for (step, ran) in wanted.iter().zip(&ran) {
        let is_fine = match step {
            Step::Type { fails, .. } => (ran.status != 0) == *fails,
            Step::See { shown, .. } => {
                if let Err(difference) = compare(shown, &ran.said) {
                    wrong.push(format!("{}: {difference}\nit prints\n{}", ran.text, ran.said));
                }
                true
            }
            Step::Write { .. } => ran.status == 0,
        };
        if !is_fine {
            wrong.push(format!("{}\n  ends with {}:\n{}", ran.text, ran.status, ran.said));
        }
    }
    assert!(wrong.is_empty(), "{page}:\n{}", wrong.join("\n"));
    assert_eq!(ran.len(), wanted.len(), "{page}: {said}\n{errors}");
    Some(ran)
}

/// A line without what differs each time.
fn form(line: &str) -> String {
    // a bar, to scale
    let line = match (line.find('━'), line.rfind('━')) {
        (Some(start), Some(end)) => {
            format!("{} BAR {}", &line[..start], &line[end + '━'.len_utf8()..])
        }
        _ => line.to_owned(),
    };
    let digits = |word: &str| word.replace(|c: char| c.is_ascii_digit(), "9");
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| "…,:.".contains(c));
        let is_of = |of: fn(&u8) -> bool| !bare.is_empty() && bare.bytes().all(|it| of(&it));
        let is_id = is_of(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
            && (bare.bytes().any(|it| it.is_ascii_digit()) || word.starts_with('…'))
            && (bare.len() == 26 || bare.len() == 6);
        let is_hash = is_of(|it| it.is_ascii_hexdigit()) && bare.len() >= 16;
        let is_uuid = bare.len() == 36 && bare.matches('-').count() == 4;
        if is_id || is_hash || is_uuid {
            return "ID".to_owned();
        }
        if bare.starts_with(|c: char| c.is_ascii_digit()) {
            let number = digits(bare);
            let is_plain = number.bytes().all(|it| b"9.".contains(&it));
            return if is_plain { "N".to_owned() } else { number };
        }
        word.to_owned()
    };
    let mut words: Vec<String> = line.split_whitespace().map(word).collect();
    // shortened in its middle: as much as the width of other columns lets it be
    let is_cut = |word: &String| word.find('…').is_some_and(|at| at > 0) && !word.ends_with('…');
    if let Some(cut) = words.iter().position(is_cut) {
        let rest = words.iter().skip(cut).position(|word| word.ends_with(':'));
        let rest = rest.map_or(words.len(), |at| cut + at + 1);
        words.splice(cut..rest, ["…".to_owned()]);
    }
    // as long as the terminal lets it be
    if line.trim_end().ends_with('…') {
        let kept = words.iter().rposition(|word| word.ends_with(':')).map_or(0, |last| last + 1);
        words.truncate(kept);
        words.push("…".to_owned());
    }
    let text = words.join(" ");
    // milliseconds on one machine, seconds on another
    text.replace("N ms", "N").replace("N s", "N")
}

fn compare(shown: &[String], said: &str) -> Result<(), String> {
    let said: Vec<String> = said.lines().map(form).filter(|line| !line.is_empty()).collect();
    let mut rest = said.iter();
    let mut may_skip = false;
    for line in shown.iter().filter(|line| !line.trim().is_empty()) {
        if line.trim() == "…" {
            may_skip = true;
            continue;
        }
        let wanted = form(line);
        let is_there =
            if may_skip { rest.any(|it| *it == wanted) } else { rest.next() == Some(&wanted) };
        if !is_there {
            return Err(format!(
                "it doesn't print, there:\n  {line}\n  {wanted}\nof\n  {}",
                said.join("\n  ")
            ));
        }
        may_skip = false;
    }
    match rest.next() {
        Some(line) if !may_skip => Err(format!("it prints also: {line}")),
        _ => Ok(()),
    }
}

macro_rules! pages {
    ($($test:ident: $page:literal;)+) => {
        const PAGES: &[&str] = &[$($page),+];

        $(
            #[test]
            fn $test() {
                walk($page);
            }
        )+
    };
}

pages! {
    adding_hooks: "docs/adding-hooks.md";
    changelog: "CHANGELOG.md";
    check: "docs/check.md";
    cockpit: "docs/cockpit.md";
    commands_page: "docs/commands.md";
    configuration_management: "docs/configuration-management.md";
    contrib: "docs/contrib.md";
    contributing: "CONTRIBUTING.md";
    cpanel: "docs/cpanel.md";
    custom_properties: "docs/custom-properties.md";
    detached_hooks: "docs/detached-hooks.md";
    drop_in: "docs/drop-in.md";
    events: "docs/events.md";
    exit_status: "docs/exit-status.md";
    files: "docs/files.md";
    fleet: "docs/fleet.md";
    gpu_passthrough: "docs/gpu-passthrough.md";
    hook_does_not_run: "docs/hook-does-not-run.md";
    how_a_script_is_called: "docs/how-a-script-is-called.md";
    install: "docs/install.md";
    json: "docs/json.md";
    metrics: "docs/metrics.md";
    opennebula: "docs/opennebula.md";
    parity: "docs/parity.md";
    performance: "docs/performance.md";
    plan: "docs/plan.md";
    python: "docs/python.md";
    readme: "README.md";
    records: "docs/records.md";
    registered_hooks: "docs/registered-hooks.md";
    registration_keys: "docs/registration-keys.md";
    releasing: "docs/releasing.md";
    remote_hooks: "docs/remote-hooks.md";
    security: "SECURITY.md";
    selinux: "docs/selinux.md";
    settings: "docs/settings.md";
    subscribing: "docs/subscribing.md";
    undo: "docs/undo.md";
    upgrade: "docs/upgrade.md";
    vdsm: "docs/vdsm.md";
    writing_hooks: "docs/writing-hooks.md";
}

fn text(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// Does all that a page's reader does, in its order.
pub fn walk(page: &str) -> Option<Vec<Ran>> {
    run(page, &steps(&text(page)))
}

#[test]
fn every_page_is_run() {
    let known: BTreeSet<PathBuf> = PAGES.iter().map(|page| root().join(page)).collect();
    for directory in [root().to_owned(), root().join("docs")] {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "md") {
                assert!(known.contains(&path), "{}: its commands aren't run", path.display());
            }
        }
    }
    // what stands for a host belongs to a page
    for entry in fs::read_dir(root().join("tests/pages/hosts")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap();
        let mut names = PAGES.iter().chain(&[HELP]).map(|page| Path::new(page).file_stem());
        assert!(name == "common" || names.any(|it| it == Some(name)), "{}", path.display());
    }
}

/// What isn't run is what the table says, and the table says nothing else.
#[test]
fn each_exception_is_needed() {
    let mut steps: Vec<Step> = PAGES.iter().flat_map(|page| steps(&text(page))).collect();
    steps.extend(examples());
    assert!(steps.len() > 150, "only {} commands were found", steps.len());
    for (start, why) in NOT_RUN {
        let is_needed =
            steps.iter().any(|step| step.reason().is_some() && step.text().starts_with(start));
        assert!(is_needed, "no page has {start} any more ({why})");
    }
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let mut text = String::new();
    let mut is_address = false;
    for (place, c) in heading.char_indices() {
        match c {
            '(' if heading[..place].ends_with(']') => is_address = true,
            ')' if is_address => is_address = false,
            _ if is_address => {}
            ' ' => text.push('-'),
            c if c.is_alphanumeric() || "-_".contains(c) => text.extend(c.to_lowercase()),
            _ => {}
        }
    }
    text
}

fn anchors(page: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut found = BTreeSet::new();
    for line in page.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#').strip_prefix(' ');
        if let (false, true, Some(heading)) = (is_code, line.starts_with('#'), heading) {
            found.insert(anchor(heading));
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let more = ["contrib/README.md", "contrib/ansible/README.md", "contrib/prometheus/README.md"];
    let mut seen = 0;
    for page in PAGES.iter().chain(&more) {
        let here = root().join(page);
        for link in text(page).split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path =
                if file.is_empty() { here.clone() } else { here.parent().unwrap().join(file) };
            assert!(path.exists(), "{page}: {link} isn't there");
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(path).unwrap());
                assert!(there.contains(anchor), "{page}: {link}: no such heading");
            }
        }
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn the_readme_is_short() {
    let words = text("README.md").split_whitespace().count();
    assert!(words < 2500, "{words} words: what isn't for everybody belongs into docs/");
}

/// The words that CONTRIBUTING.md has others for.
fn avoided() -> Vec<String> {
    let page = text("CONTRIBUTING.md");
    let part = page.split("\n## Words\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = part.lines().filter_map(|line| line.split('|').nth(3));
    let cells = cells.filter(|cell| *cell != " don't say " && !cell.starts_with('-'));
    let (_, more) = part.split_once("better known: ").unwrap();
    let words = cells.chain([more.split('.').next().unwrap()]).flat_map(|cell| cell.split(','));
    // what an exception is for is in brackets
    let words = words.map(|word| word.split(" (").next().unwrap().trim().to_owned());
    words.filter(|word| !word.is_empty() && word != "hook point" && word != "filter").collect()
}

/// One word for one thing.
#[test]
fn pages_and_help_say_it_in_the_words_of_the_list() {
    let avoided = avoided();
    assert!(avoided.len() > 15 && avoided.contains(&"mend".to_owned()), "{avoided:?}");
    let help = Host::new().text(&["fullhelp"], 0);
    let readers = PAGES.iter().filter(|page| **page != "CONTRIBUTING.md");
    let texts = readers.map(|page| (*page, text(page))).chain([("fullhelp", help)]);
    let mut found = Vec::new();
    for (page, text) in texts {
        let mut is_code = false;
        for line in text.lines() {
            is_code ^= line.trim_start().starts_with("```");
            // what is in backquotes is a name
            let prose: Vec<&str> = line.split('`').step_by(2).collect();
            let prose = format!(" {} ", prose.join(" ").to_lowercase());
            let words = prose.replace(|c: char| !c.is_alphanumeric() && c != '\'', " ");
            for word in avoided.iter().filter(|_| !is_code) {
                if words.contains(&format!(" {word} ")) || words.contains(&format!(" {word}s ")) {
                    found.push(format!("{page}: {word}: {line}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The lines below `Examples:` in the help of each command, which the man pages have too.
fn examples() -> Vec<Step> {
    let help = Host::new().text(&["fullhelp"], 0);
    let mut steps = Vec::new();
    let mut is_example = false;
    for line in help.lines() {
        if line == "Examples:" {
            is_example = true;
        } else if !line.starts_with(' ') {
            is_example = false;
        } else if is_example && !line.starts_with("   ") {
            let text = line.trim().to_owned();
            steps.push(Step::Type { text, fails: false });
        }
    }
    assert!(steps.len() > 40, "{steps:?}");
    steps
}

#[test]
fn the_examples_of_the_help() {
    run(HELP, &examples());
}

/// What stands for a page there.
const HELP: &str = "help";

#[test]
fn a_form_is_what_stays() {
    for (a, b) in [
        (
            "  after_vm_start/20-x  |  ━━━ |   414 ms  exit status 0",
            "  after_vm_start/20-x |━━━━━━━| 0.9 s exit status 0",
        ),
        (
            "10:41:58  …00ZXQ0  qemu prepare  22 ms  good",
            "17:02:01 …ABC123 qemu prepare  1.2 s good",
        ),
    ] {
        assert_eq!(form(a), form(b));
    }
    assert_ne!(form("exit status 0: a"), form("exit status 0: b"));
    assert!(compare(&["a".to_owned(), "…".to_owned()], "a\nb\nc\n").is_ok());
    assert!(compare(&["a".to_owned()], "a\nb\n").is_err());
    assert!(compare(&["a".to_owned(), "b".to_owned()], "a\n").is_err());
}
