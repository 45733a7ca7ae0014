//! A hook of `contrib/hooks` on a host that is made up of files, and of programs that stand for the host's own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Host;
use crate::support::answer::Answer;
use crate::support::host::binary_under_test;

/// What each program of the made-up host begins with: `log`, and that the whole hook is killed before the program that
/// `dies-at` counts.
const MOMENTS: &str = r#"
log() { printf '%s\n' "$*" >>"$T/log"; }
moment() {
    [ -e "$T/dies-at" ] || return 0
    read -r number <"$T/dies-at"
    echo $((number - 1)) >"$T/dies-at"
    [ "$number" = 1 ] || return 0
    read -r _ _ _ _ _ session _ </proc/self/stat
    # a hook has a session of its own
    tr '\0' ' ' <"/proc/$session/cmdline" | grep -q ' --root ' || exit 9
    echo dead >"$T/dies-at"
    kill -s KILL -- "-$session"
}
moment
# what it calls itself isn't counted
PATH=/usr/sbin:/usr/bin:/sbin:/bin
"#;

/// A hook of `contrib/hooks` on a host of its own.
pub struct Contrib {
    pub host: Host,
    name: &'static str,
}

/// How an undo ended, and what it said.
#[derive(Debug)]
pub struct Undone {
    pub is_good: bool,
    pub stderr: String,
}

impl Undone {
    /// It failed, with these words, and is still owed.
    #[track_caller]
    pub fn fails(&self, words: &str) {
        assert!(!self.is_good && self.stderr.contains(words), "must say {words:?}: {self:?}");
    }

    /// It succeeded, and tells this.
    #[track_caller]
    pub fn tells(&self, words: &str) {
        assert!(self.is_good && self.stderr.contains(words), "must say {words:?}: {self:?}");
    }
}

/// A guest that asks for the hook.
#[derive(Clone)]
pub struct Guest {
    pub name: &'static str,
    uuid: String,
    pub properties: Vec<(String, String)>,
    /// What is in its document beside what every guest has.
    pub elements: String,
}

impl Guest {
    /// With this name, properties and elements; guests of different names have different uuids.
    pub fn new(name: &'static str, properties: &[(&str, &str)], elements: &str) -> Guest {
        let uuid = super::uuid_of(name);
        let properties =
            properties.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Guest { name, uuid, properties, elements: elements.to_owned() }
    }

    /// The same guest with these properties.
    pub fn with(&self, properties: &[(&str, &str)]) -> Guest {
        Guest::new(self.name, properties, &self.elements)
    }

    fn document(&self) -> String {
        let properties =
            self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        super::document(self.name, &self.uuid, properties, &self.elements)
    }
}

impl Contrib {
    /// As it is registered, but that it looks for the host's files below `fake`, and for programs
    /// in `tools` first.
    pub fn new(name: &'static str, environment: &str) -> Contrib {
        let contrib = Contrib { host: Host::new(), name };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooks").join(name);
        for directory in ["fake", "tools"] {
            fs::create_dir(contrib.host.path(directory)).unwrap();
        }
        symlink(binary_under_test(), contrib.host.path("tools/hookmux")).unwrap();
        let script = fs::read(shipped.join("bin").join(name)).unwrap();
        contrib.host.file(format!("bin/{name}"), script);
        let registration = fs::read_to_string(shipped.join(format!("{name}.yaml"))).unwrap();
        let word = format!("[bin/{name}, ");
        assert_eq!(registration.matches(&word).count(), 2, "command and undo: {registration}");
        let fake = contrib.fake("").display().to_string();
        let registration = registration
            .replace(&word, &format!("[bin/{name}, --root, {}, ", fake.trim_end_matches('/')));
        // at `start` too, so that it can run twice in a life
        let event = "events: before_vm_prepare\n";
        assert!(registration.contains(event), "{registration}");
        let registration =
            registration.replace(event, "events: [before_vm_prepare, before_vm_launch]\n");
        let path = contrib.path();
        let text = format!("{registration}environment:\n  PATH: {path}\n{environment}");
        contrib.host.file(format!("hooks.d/{name}.yaml"), text);
        contrib
    }

    fn path(&self) -> String {
        format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.host.path("tools").display())
    }

    /// A place on the made-up host.
    pub fn fake(&self, place: &str) -> PathBuf {
        self.host.path("fake").join(place)
    }

    /// Files of the made-up host, each with its directories.
    pub fn files(&self, files: &[(&str, &str)]) -> &Contrib {
        for (place, text) in files {
            let path = self.fake(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        self
    }

    /// A program that stands for one of the host's. It finds the made-up host at `$F` and the test's directory at `$T`.
    pub fn tool(&self, name: &str, text: &str) -> &Contrib {
        let root = self.host.path("");
        let root = root.display().to_string();
        let root = root.trim_end_matches('/');
        let text = format!("#!/bin/sh\nset -eu\nT='{root}'\nF=$T/fake\n{MOMENTS}{text}\n");
        self.host.file(self.host.path("tools").join(name), text);
        self
    }

    /// A link on the made-up host.
    pub fn link(&self, place: &str, target: &str) {
        let path = self.fake(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// A process that has this file open.
    pub fn process(&self, pid: u32, name: &str, file: &str) {
        self.files(&[(&format!("proc/{pid}/comm"), name)]);
        self.link(&format!("proc/{pid}/fd/0"), "/dev/null");
        self.link(&format!("proc/{pid}/fd/7"), file);
    }

    pub fn read(&self, place: &str) -> String {
        let path = self.fake(place);
        let text = fs::read_to_string(&path);
        text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim_end().to_owned()
    }

    /// The made-up host as a whole, without what the hook keeps for itself.
    pub fn everything(&self) -> BTreeMap<String, String> {
        let mut found = self.below(&self.fake(""));
        found.retain(|place, _| place != "run" && !place.starts_with("run/hookmux-contrib"));
        found
    }

    fn below(&self, top: &Path) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut todo = vec![top.to_path_buf()];
        while let Some(directory) = todo.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                let place = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                let what = if path.is_symlink() {
                    format!("-> {}", fs::read_link(&path).unwrap().display())
                } else if path.is_dir() {
                    todo.push(path);
                    "directory".to_owned()
                } else {
                    fs::read_to_string(&path).unwrap()
                };
                found.insert(place, what);
            }
        }
        found
    }

    /// The made-up host is this, and the hook keeps nothing for itself.
    #[track_caller]
    pub fn is_again(&self, wanted: &BTreeMap<String, String>) {
        assert_eq!(self.everything(), *wanted);
        assert!(self.kept().is_empty(), "{:?}", self.kept());
    }

    /// What the hook keeps for itself: files and links.
    pub fn kept(&self) -> Vec<String> {
        let kept = self.below(&self.fake("run/hookmux-contrib"));
        kept.into_iter().filter(|(_, what)| what != "directory").map(|(place, _)| place).collect()
    }

    #[track_caller]
    fn call(&self, guest: &Guest, words: [&str; 3]) -> Answer {
        let [operation, sub_operation, extra] = words;
        let words = [guest.name, operation, sub_operation, extra];
        self.host.call("qemu", words).stdin(guest.document()).run()
    }

    #[track_caller]
    pub fn prepare(&self, guest: &Guest) -> Answer {
        self.call(guest, ["prepare", "begin", "-"])
    }

    /// The hook once more in the same life.
    #[track_caller]
    pub fn runs_again(&self, guest: &Guest) {
        self.call(guest, ["start", "begin", "-"]).succeeds();
    }

    #[track_caller]
    pub fn starts(&self, guest: &Guest) {
        self.prepare(guest).succeeds();
    }

    /// The call at a guest's end, and how the hook's undo ended there.
    #[track_caller]
    pub fn release(&self, guest: &Guest) -> Undone {
        let before = self.executions();
        let answer = self.call(guest, ["release", "end", "shutdown"]);
        let all = self.executions();
        let id = all.iter().find(|id| !before.contains(id));
        let runs = id.map(|id| self.host.json(&["show", id], 0)["runs"].clone());
        let runs = runs.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        assert!(runs.len() <= 1, "{runs:#?}");
        match runs.first() {
            None => {
                answer.succeeds();
                Undone { is_good: true, stderr: String::new() }
            }
            Some(run) => {
                let label = run["hook"].as_str().unwrap();
                assert!(label.ends_with(&format!("/{} (undo)", self.name)), "{label}");
                let is_good = run["state"] == "good";
                // libvirt is told, and logs it
                assert_eq!(answer.status == Some(0), is_good, "{answer:?}");
                Undone { is_good, stderr: run["stderr"].as_str().unwrap_or_default().to_owned() }
            }
        }
    }

    /// The ids of calls with hooks so far.
    fn executions(&self) -> Vec<String> {
        let log = self.host.json(&["log"], 0);
        let all = log["executions"].as_array().unwrap();
        all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub fn ends(&self, guest: &Guest) {
        let undone = self.release(guest);
        assert!(undone.is_good && undone.stderr.is_empty(), "{undone:?}");
    }

    /// A next life of the guest: an undo that is still owed is tried again before it.
    #[track_caller]
    pub fn next_life(&self, guest: &Guest) {
        self.starts(guest);
        self.ends(guest);
    }

    /// The undo once more, as after the death of hookmux: an undo runs at least once, and can run twice.
    #[track_caller]
    pub fn undo_again(&self, guest: &Guest) -> Answer {
        let script = self.host.hook("bin").join(self.name);
        let document = self.host.path("document.xml");
        fs::write(&document, guest.document()).unwrap();
        let fake = self.fake("");
        let fake = fake.to_str().unwrap().trim_end_matches('/');
        let call = self.host.call("qemu", ["--root", fake, "undo"]);
        let call = call.called(script.to_str().unwrap(), self.host.directory());
        let call = call.env("_hook_domxml", document).env("PATH", self.path());
        let call = call.env("HOOKMUX_UNDO_AGAIN", "1").env("HOOKMUX_UNDO_OUTCOME", "unknown");
        self.environment(guest).iter().fold(call, |call, (name, value)| call.env(name, value)).run()
    }

    fn environment(&self, guest: &Guest) -> Vec<(String, String)> {
        let own = [("DRIVER", "qemu"), ("OBJECT", guest.name), ("UUID", &guest.uuid)];
        let own = own.map(|(name, value)| (format!("HOOKMUX_{name}"), value.to_owned()));
        let properties = guest.properties.iter();
        let properties =
            properties.map(|(name, value)| (format!("HOOKMUX_PROPERTY_{name}"), value.clone()));
        own.into_iter().chain(properties).collect()
    }

    /// Whoever kills the hook or its undo, at whatever moment: an undo, or the guest's next life, leaves all as it was. Every
    /// third moment; `HOOKMUX_KILL=all` tries all of them.
    #[track_caller]
    pub fn bears_deaths(&self, guest: &Guest) {
        for program in ["mkdir", "mv", "rm", "rmdir"] {
            self.tool(program, &format!("/bin/{program} \"$@\""));
        }
        let before = self.everything();
        let dies_at = self.host.path("dies-at");
        let step = if std::env::var_os("HOOKMUX_KILL").is_some() { 1 } else { 3 };
        for is_in_undo in [false, true] {
            for number in (1..).step_by(step) {
                if is_in_undo {
                    self.starts(guest);
                }
                fs::write(&dies_at, format!("{number}\n")).unwrap();
                if is_in_undo {
                    self.release(guest);
                } else {
                    self.prepare(guest);
                }
                let is_dead = fs::read_to_string(&dies_at).unwrap() == "dead\n";
                fs::remove_file(&dies_at).unwrap();
                let moment = format!("killed at {number}, in the undo: {is_in_undo}");
                if !is_dead {
                    // it has fewer programs
                    assert!(number > 3, "{moment}");
                    if !is_in_undo {
                        self.ends(guest);
                    }
                    break;
                }
                if number % 2 == 0 {
                    let undone = self.undo_again(guest);
                    assert_eq!(undone.status, Some(0), "{moment}: {undone:?}");
                } else {
                    self.next_life(guest);
                }
                assert_eq!(self.everything(), before, "{moment}");
                assert!(self.kept().is_empty(), "{moment}: {:?}", self.kept());
            }
        }
    }

    /// A guest's life, in which the hook runs once more and changes nothing; so does its undo after it.
    #[track_caller]
    pub fn lives(&self, guest: &Guest, is_set: impl FnOnce()) {
        let before = self.everything();
        self.starts(guest);
        is_set();
        let set = self.everything();
        self.host.log();
        self.runs_again(guest);
        assert_eq!(self.everything(), set);
        assert_eq!(self.host.log(), [""; 0]);
        self.ends(guest);
        self.is_again(&before);
        self.undo_again(guest).succeeds();
        self.is_again(&before);
    }

    /// Two guests run at a time, and end in both orders. `is_set` is told who runs.
    #[track_caller]
    pub fn share(&self, [one, two]: [&Guest; 2], is_set: impl Fn(&[&str])) {
        let before = self.everything();
        for [first, last] in [[one, two], [two, one]] {
            self.starts(one);
            is_set(&[one.name]);
            self.starts(two);
            is_set(&[one.name, two.name]);
            self.ends(first);
            is_set(&[last.name]);
            self.ends(last);
            self.is_again(&before);
        }
    }

    /// These guests don't ask for the hook: nothing is changed, and nothing kept.
    #[track_caller]
    pub fn leaves_alone(&self, guests: &[Guest]) {
        let before = self.everything();
        for guest in guests {
            self.starts(guest);
            self.ends(guest);
        }
        assert_eq!(self.everything(), before);
        assert!(!self.fake("run/hookmux-contrib").exists());
        assert_eq!(self.host.log(), [""; 0]);
    }

    /// The start fails at the step that the tools know as `broken`, with these words: what was done is taken back, `done`
    /// among it.
    #[track_caller]
    pub fn fails_half_way(&self, guest: &Guest, broken: &str, words: &[&str], done: &str) {
        let before = self.everything();
        fs::write(self.host.path("broken"), broken).unwrap();
        self.prepare(guest).fails(1, words);
        self.is_again(&before);
        assert!(self.host.log().iter().any(|line| line == done), "{broken}: not done: {done}");
        fs::remove_file(self.host.path("broken")).unwrap();
    }

    /// The undo fails at the step that the tools know as `broken`, with these words: it is owed, and done before the guest's
    /// next life.
    #[track_caller]
    pub fn is_undone_later(
        &self,
        guest: &Guest,
        broken: &str,
        words: &str,
        is_left: impl FnOnce(),
    ) {
        let before = self.everything();
        self.starts(guest);
        fs::write(self.host.path("broken"), broken).unwrap();
        self.release(guest).fails(words);
        is_left();
        fs::remove_file(self.host.path("broken")).unwrap();
        self.next_life(guest);
        self.is_again(&before);
    }

    /// Each of these values of a property is refused with these words, and nothing is changed.
    #[track_caller]
    pub fn refuses(&self, guests: &[(Guest, &str)]) {
        let before = self.everything();
        for (guest, words) in guests {
            let properties = &guest.properties;
            let answer = self.prepare(guest);
            answer.fails(1, &[&format!("{}: guest {}: ", self.name, guest.name), words]);
            assert_eq!(answer.stderr.lines().count(), 1, "{properties:?}: {answer:?}");
            assert_eq!(self.everything(), before, "{properties:?}");
            assert!(self.kept().is_empty(), "{properties:?}: {:?}", self.kept());
        }
    }
}
