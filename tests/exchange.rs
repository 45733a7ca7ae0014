//! The document on its way through the hooks of a filter call, and of others. (V2, L4)

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::Host;
use crate::support::documents::{GUEST, UUID};

/// In vdsm's style: an edit of the file in its place.
fn edits(title: &str) -> String {
    format!(
        r#"text=$(cat "$_hook_domxml"); printf '%s\n' "$text" | sed 's|<devices>|<{title}/><devices>|' >"$_hook_domxml""#
    )
}

/// In vdsm's style: a new file in its place.
fn replaces(title: &str) -> String {
    format!(r#"sed -i 's|<devices>|<{title}/><devices>|' "$_hook_domxml""#)
}

/// In libvirt's style.
fn prints(title: &str) -> String {
    format!("sed 's|<devices>|<{title}/><devices>|'")
}

fn with(titles: &[&str]) -> String {
    let titles: String = titles.iter().map(|title| format!("<{title}/>")).collect();
    GUEST.replace("<devices>", &format!("{titles}<devices>"))
}

const FILTERS: &[(&str, &str)] =
    &[("migrate", "before_vm_migrate_destination"), ("restore", "before_vm_dehibernate")];

fn filter(host: &Host, operation: &str) -> crate::support::answer::Answer {
    host.guest(&format!("{operation} begin")).run()
}

// L4, V2
#[test]
fn edits_in_both_styles_are_chained_and_printed_once() {
    for (operation, event) in FILTERS {
        let host = Host::new();
        let tree = format!("qemu.d/g/{operation}/begin");
        host.script(format!("{event}/10-x"), &edits("a"));
        host.script(format!("{event}/20-x"), &replaces("b"));
        host.script(
            format!("{event}/30-x"),
            "log \"$(cat \"$_hook_domxml\" | grep -o '<./>' | tr -d '\\n')\"",
        );
        host.script("qemu.adopted", &prints("c"));
        host.script(format!("{tree}/10-x"), &prints("d"));
        host.script(format!("{tree}/20-x"), r#"cat >"$T/last""#);
        filter(&host, operation).answers(with(&["a", "b", "c", "d"]));
        assert_eq!(host.log(), ["<a/><b/>"]);
        assert_eq!(host.read_text("last"), with(&["a", "b", "c", "d"]), "{operation}");
    }
}

// L4
#[test]
fn an_unchanged_document_is_not_printed() {
    for (operation, event) in FILTERS {
        let host = Host::new();
        filter(&host, operation).succeeds();
        host.script(format!("{event}/10-x"), r#"touch "$_hook_domxml"; echo noise; echo more >&2"#);
        host.script(
            format!("{event}/20-x"),
            r#"cp "$_hook_domxml" "$T/c"; mv "$T/c" "$_hook_domxml""#,
        );
        host.script("qemu.adopted", "cat");
        host.script(format!("qemu.d/g/{operation}/begin/10-x"), ":");
        filter(&host, operation).succeeds();
        // there and back again
        host.script(format!("{event}/30-x"), &replaces("a"));
        host.script(format!("{event}/40-x"), r#"sed -i 's|<a/>||' "$_hook_domxml""#);
        filter(&host, operation).succeeds();
    }
}

// L4: "its stdout replaces the XML" must not mean a stray echo
#[test]
fn a_stray_echo_harms_nothing() {
    for (operation, event) in FILTERS {
        let host = Host::new();
        host.script(format!("{event}/10-x"), "echo checking the guest; echo '<x/>'");
        host.script("qemu.adopted", "echo 'restored <b>g</b>'; cat >/dev/null");
        host.script(format!("qemu.d/g/{operation}/begin/10-x"), "yes | head -c 1000000");
        filter(&host, operation).succeeds();
        host.script(format!("{event}/20-x"), &edits("a"));
        filter(&host, operation).answers(with(&["a"]));
    }
}

// V2, V4
#[test]
fn a_broken_edit_is_blamed_by_name_and_the_rest_holds() {
    let other_uuid =
        format!("sed -i s/{UUID}/00000000-0000-0000-0000-000000000000/ \"$_hook_domxml\"");
    for (what, broken, words) in [
        ("cut off", r#"truncate -s 100 "$_hook_domxml""#, "not well-formed"),
        ("emptied", r#": >"$_hook_domxml""#, "not well-formed"),
        ("removed", r#"rm "$_hook_domxml""#, "no usable document"),
        ("renamed", r#"sed -i 's|<name>g<|<name>h<|' "$_hook_domxml""#, "another name"),
        ("another guest", &other_uuid, "another uuid"),
        ("another root", r#"sed -i 's|domain|network|' "$_hook_domxml""#, "another root element"),
        ("no UTF-8", r#"printf '<domain>\377</domain>' >"$_hook_domxml""#, "not UTF-8"),
        ("a document type", r#"sed -i '1i <!DOCTYPE domain>' "$_hook_domxml""#, "document type"),
        (
            "a link",
            r#"cp "$_hook_domxml" "$T/c"; ln -sf "$T/c" "$_hook_domxml""#,
            "no usable document",
        ),
        ("a directory", r#"rm "$_hook_domxml"; mkdir "$_hook_domxml""#, "no usable document"),
        ("a pipe", r#"rm "$_hook_domxml"; mkfifo "$_hook_domxml""#, "no usable document"),
        (
            "linked twice",
            r#"echo >>"$_hook_domxml"; ln "$_hook_domxml" "$_hook_domxml.2""#,
            "more than one name",
        ),
        ("huge", r#"truncate -s 17M "$_hook_domxml""#, "16 MiB"),
    ] {
        let host = Host::new();
        let event = "before_vm_migrate_destination";
        host.script(format!("{event}/10-good"), &edits("a"));
        host.script(format!("{event}/20-broken"), broken);
        host.script(format!("{event}/30-good"), r#"cat "$_hook_domxml" >"$T/seen""#);
        let answer = host.guest("migrate begin").run();
        answer.fails(1, &["hookmux: before_vm_migrate_destination/20-broken: ", words]);
        answer.never_says("-good");
        assert_eq!(host.read_text("seen"), with(&["a"]), "{what}: the document before it stays");
    }
}

// L4
#[test]
fn a_broken_print_is_blamed_by_name_and_the_rest_holds() {
    for broken in
        ["head -c 100", "sed 's|<name>g<|<name>h<|'", "cat; echo '<domain/>'", "echo hello; cat"]
    {
        let host = Host::new();
        host.script("before_vm_migrate_destination/10-x", &edits("a"));
        host.script("qemu.adopted", broken);
        host.script("qemu.d/g/migrate/begin/10-x", r#"cat >"$T/seen""#);
        host.guest("migrate begin")
            .run()
            .fails(1, &["hookmux: qemu.adopted: ", "document can't be used"]);
        assert_eq!(host.read_text("seen"), with(&["a"]), "{broken}");
    }
}

#[test]
fn what_a_failed_hook_made_of_the_document_is_not_used() {
    let host = Host::new();
    host.script("before_vm_migrate_destination/10-x", &format!("{}; exit 1", edits("a")));
    host.script("before_vm_migrate_destination/20-x", r#"cat "$_hook_domxml" >"$T/seen""#);
    host.script("qemu.adopted", &format!("{}; exit 1", prints("b")));
    host.script("qemu.d/g/migrate/begin/10-x", r#"cat >"$T/tree""#);
    host.guest("migrate begin").run().fails(1, &["10-x: exit status 1", "qemu.adopted: exit"]);
    assert_eq!(host.read_text("seen"), GUEST);
    assert_eq!(host.read_text("tree"), GUEST);
}

// L4: libvirt takes no XML from the others
#[test]
fn on_any_other_call_edits_are_not_printed_and_harm_nothing() {
    for (call, event) in [
        ("prepare begin", "before_vm_start"),
        ("start begin", "before_vm_launch"),
        ("started begin", "after_vm_start"),
        ("stopped end", "after_vm_stop"),
        ("release end", "after_vm_destroy"),
        ("reconnect begin", "after_vm_reconnect"),
    ] {
        let host = Host::new();
        let tree = format!("qemu.d/g/{}", call.replace(' ', "/"));
        host.script(format!("{event}/10-x"), &edits("a"));
        host.script(format!("{event}/20-x"), r#"cat "$_hook_domxml" >"$T/seen""#);
        host.script(format!("{tree}/10-x"), &prints("b"));
        host.script(format!("{tree}/20-x"), r#"cat >"$T/tree""#);
        host.guest(call).run().succeeds();
        assert_eq!(host.read_text("seen"), with(&["a"]), "{call}: scripts of the event share it");
        assert_eq!(host.read_text("tree"), GUEST, "{call}: others get libvirt's");
    }
}

// V2
#[test]
fn each_event_of_a_call_that_takes_nothing_back_begins_with_libvirts_document() {
    let host = Host::new();
    host.script("before_vm_prepare/10-x", &edits("a"));
    host.script("before_vm_start/10-x", r#"cat "$_hook_domxml" >"$T/seen""#);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.read_text("seen"), GUEST);
    host.script("before_vm_prepare/10-x", r#"rm -r "${_hook_domxml%/*}""#);
    host.guest("prepare begin").run();
    assert_eq!(host.read_text("seen"), GUEST, "even where a hook removed its directory");
}

#[test]
fn much_output_is_no_document_and_no_failure() {
    for (call, place) in [
        ("prepare begin", "qemu.d/g/prepare/begin/10-x"),
        ("stopped end", "qemu.d/g/stopped/end/10-x"),
        ("started begin", "qemu.adopted"),
    ] {
        let host = Host::new();
        host.script(place, "yes | head -c 1000000; log ran");
        host.guest(call).run().succeeds();
        assert_eq!(host.log(), ["ran"]);
    }
}

#[test]
fn a_large_document_is_printed_whole() {
    let host = Host::new();
    host.script("before_vm_migrate_destination/10-x", &replaces("a"));
    host.script("qemu.d/g/migrate/begin/10-x", &prints("b"));
    let padding = format!("<devices><!--{}-->", "x".repeat(3_000_000));
    let large = |document: &str| document.replace("<devices>", &padding);
    let answer = host.guest("migrate begin").stdin(large(GUEST)).run();
    assert_eq!(answer.status, Some(0), "{}", answer.stderr);
    assert!(answer.stdout == large(&with(&["a", "b"])).into_bytes());
}

#[test]
fn a_filter_call_without_a_document_has_nothing_to_edit() {
    let host = Host::new();
    host.script("before_vm_migrate_destination/10-x", r#"log "${_hook_domxml-nothing}""#);
    host.script("qemu.d/g/migrate/begin/10-x", "echo '<domain><name>g</name></domain>'");
    host.guest("migrate begin").stdin("").run().succeeds();
    assert_eq!(host.log(), ["nothing"]);
}

// --- restore is answered at prepare -------------------------------------------------------------

// L4
#[test]
fn a_failure_at_restore_is_held_until_prepare_with_the_same_status_and_words() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-edit", &edits("a"));
    host.script(
        "before_vm_dehibernate/20-x",
        "echo first >&2; echo no key for the disk >&2; exit 7",
    );
    host.follow(&["before_vm_prepare/10-x", "qemu.d/g/prepare/begin/10-x"]);
    host.guest("restore begin").run().succeeds();
    assert_eq!(host.log(), [""; 0]);
    let answer = host.guest("prepare begin").run();
    answer.fails(
        7,
        &[
            "hookmux: before_vm_dehibernate/20-x: exit status 7 after ",
            ": no key for the disk\n",
            "first\nno key for the disk",
        ],
    );
    assert_eq!(host.log(), [""; 0], "it fails before it runs anything");
    host.guest("stopped end").run().succeeds();
    host.guest("release end").run().succeeds();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log().len(), 2);
}

// L4
#[test]
fn a_held_failure_needs_no_hook_at_prepare() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "echo words >&2; exit 2");
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").run().fails(2, &["before_vm_dehibernate/10-x", "words"]);
    host.guest("prepare begin").run().succeeds();
}

#[test]
fn every_kind_of_failure_at_restore_is_held() {
    for (place, script, status) in [
        ("before_vm_dehibernate/10-x", "exit 255", 255),
        ("before_vm_dehibernate/10-x", "kill -9 $$", 137),
        ("before_vm_dehibernate/10-x", "#!/nonexistent\n", 127),
        ("before_vm_dehibernate/10-x", r#": >"$_hook_domxml""#, 1),
        ("qemu.d/g/restore/begin/10-x", "exit 3", 3),
        ("qemu.adopted", "[ $2 = restore ] && exit 4; exit 0", 4),
    ] {
        let host = Host::new();
        host.script(place, script);
        host.guest("restore begin").run().succeeds();
        host.guest("prepare begin").run().fails(status, &[place]);
    }
    let host = Host::new();
    host.script("qemu.d/g/restore/begin/10-x", ":");
    host.guest("restore begin").stdin("<domain>").run().succeeds();
    // the guest is known by its name alone then
    host.guest("prepare begin").stdin("").run().fails(125, &["needs libvirt's document"]);
}

#[test]
fn a_failed_restore_with_its_state_spoilt_keeps_guest_and_save() {
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};
    let write = |text: &'static str| {
        move |path: &Path| {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
    };
    let fifo = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    type Spoil<'a> = &'a dyn Fn(&Path);
    let spoilt: [(&str, Spoil<'_>); 7] = [
        ("rm /", &write("{")),
        ("rm /", &write("")),
        ("rm /", &write("\0\0\0\0")),
        ("a newer hookmux wrote it", &write("{\"format\":7}")),
        ("not a regular file", &fifo),
        ("rm -r /", &|path| fs::create_dir_all(path.join("x")).unwrap()),
        ("rm /", &|path| symlink("/dev/zero", path).unwrap()),
    ];
    for (words, spoil) in spoilt {
        for has_hooks in [true, false] {
            let host = Host::new();
            fs::create_dir(host.path("save")).unwrap();
            fs::write(host.path("save/g.save"), "memory").unwrap();
            host.script("before_vm_dehibernate/10-x", "exit 3");
            if has_hooks {
                host.follow(&["before_vm_prepare/10-x"]);
            }
            host.guest("restore begin").run().succeeds();
            let path = fs::read_dir(host.path("run/pending")).unwrap().next().unwrap();
            let path = path.unwrap().path();
            fs::remove_file(&path).unwrap();
            spoil(&path);
            let told = path.display().to_string();
            host.guest("prepare begin").run().fails(125, &[&told, words]);
            // what libvirt does after that, and whatever else it may ask
            for call in ["stopped end", "release end", "reconnect begin", "attach begin"] {
                host.guest(call).run().succeeds();
            }
            assert!(
                host.text(&["plan", "qemu", "g", "prepare", "--xml", "guest.xml"], 1)
                    .contains(&told)
            );
            host.guest("prepare begin").run().fails(125, &[&told]);
            assert!(host.log().is_empty(), "nothing is run");
            assert_eq!(fs::read_to_string(host.path("save/g.save")).unwrap(), "memory");
            // another guest isn't concerned
            let other = GUEST.replace(UUID, "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a902");
            let other = other.replace("<name>g<", "<name>h<");
            host.call("qemu", ["h", "prepare", "begin", "-"]).stdin(other).run().succeeds();
            host.log();
            if !path.is_dir() && fs::metadata(&path).unwrap().is_file() {
                let time = SystemTime::now() - Duration::from_secs(301);
                fs::File::open(&path).unwrap().set_modified(time).unwrap();
                host.guest("prepare begin").run().succeeds();
                assert_eq!(host.log().len(), usize::from(has_hooks));
                assert!(path.symlink_metadata().is_err(), "it is dropped");
            } else {
                // the way out
                let command = host.guest("prepare begin").run().stderr;
                let command = command.split("to start it now: ").nth(1).unwrap().lines().next();
                let mended = Command::new("/bin/sh").args(["-c", command.unwrap()]).status();
                assert!(mended.unwrap().success());
                host.guest("prepare begin").run().succeeds();
            }
        }
    }
}

#[test]
fn a_restore_after_a_spoilt_one_is_answered_as_it_went() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "exit 3");
    host.guest("restore begin").run().succeeds();
    let path = fs::read_dir(host.path("run/pending")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("x")).unwrap();
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").run().fails(3, &["before_vm_dehibernate/10-x"]);
    fs::create_dir_all(path.join("x")).unwrap();
    host.script("before_vm_dehibernate/10-x", "exit 0");
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").run().succeeds();
}

#[test]
fn a_failure_at_restore_that_cannot_be_kept_lets_the_guest_live() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "exit 3");
    fs::remove_dir(host.path("run")).unwrap();
    fs::write(host.path("run"), "").unwrap();
    let answer = host.guest("restore begin").run();
    assert_eq!((answer.status, answer.stdout.len()), (Some(0), 0), "{answer:?}");
    host.guest("prepare begin").run().succeeds();
}

#[test]
fn before_an_edit_is_printed_the_managed_save_has_a_second_name_until_started() {
    use std::os::unix::fs::MetadataExt;
    let host = Host::new();
    fs::create_dir(host.path("save")).unwrap();
    fs::write(host.path("save/g.save"), "memory").unwrap();
    let second = host.path("save/g.save.hookmux");
    host.script("before_vm_dehibernate/10-x", r#"ls "$T/save" >"$T/seen""#);
    host.guest("restore begin").run().succeeds();
    assert_eq!(host.read_text("seen"), "g.save\ng.save.hookmux\n", "while hooks run");
    assert!(!second.exists(), "nothing is printed that libvirt could refuse");
    host.script("before_vm_dehibernate/10-x", "exit 3");
    host.guest("restore begin").run().succeeds();
    assert!(!second.exists(), "prepare fails, and libvirt keeps the save");
    host.guest("prepare begin").run().fails(3, &[]);
    // what ends hookmux in a way that nothing can answer leaves the save with two names
    host.script("before_vm_dehibernate/10-x", "kill -KILL $PPID");
    host.guest("restore begin").run();
    assert!(second.exists(), "libvirt may delete the first one");
    host.guest("prepare begin").run();
    host.script("before_vm_dehibernate/10-x", ":");
    host.guest("restore begin").run().succeeds();
    assert!(!second.exists(), "the next restore ends well");
    host.script("before_vm_dehibernate/10-x", &edits("a"));
    host.guest("restore begin").run().answers(with(&["a"]));
    assert_eq!(
        fs::metadata(&second).unwrap().ino(),
        fs::metadata(host.path("save/g.save")).unwrap().ino()
    );
    host.guest("prepare begin").run().succeeds();
    host.guest("start begin").run().succeeds();
    assert!(second.exists(), "the guest could still fail to start");
    // libvirt removes its own name after that
    host.guest("started begin").run().succeeds();
    assert!(!second.exists());
}

#[test]
fn the_only_name_of_a_save_that_libvirt_deleted_stays() {
    let host = Host::new();
    fs::create_dir(host.path("save")).unwrap();
    fs::write(host.path("save/g.save"), "memory").unwrap();
    host.script("before_vm_dehibernate/10-x", &edits("a"));
    host.guest("restore begin").run().answers(with(&["a"]));
    // libvirt 11.3 refuses the edit, deletes the save, and says that all is well
    fs::remove_file(host.path("save/g.save")).unwrap();
    for call in ["prepare begin", "start begin", "started begin"] {
        host.guest(call).run().succeeds();
    }
    assert_eq!(fs::read(host.path("save/g.save.hookmux")).unwrap(), b"memory");
}

#[test]
fn where_the_save_cannot_have_a_second_name_no_edit_is_printed() {
    let host = Host::new();
    fs::create_dir(host.path("save")).unwrap();
    fs::write(host.path("save/g.save"), "memory").unwrap();
    fs::write(host.path("save/g.save.hookmux"), "an earlier one").unwrap();
    host.script("before_vm_dehibernate/10-x", &edits("a"));
    // it goes on, and tells
    let answer = host.guest("restore begin").run();
    assert_eq!((answer.status, answer.stdout.len()), (Some(0), 0), "{answer:?}");
    let told = host.text(&["show", "last"], 0);
    assert!(told.contains("g.save.hookmux is an earlier save"), "{told}");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.read_text("save/g.save.hookmux"), "an earlier one", "never lost");
    // where there can't be any, an edit that can't be protected is not left out silently
    fs::remove_file(host.path("save/g.save.hookmux")).unwrap();
    fs::create_dir(host.path("save/g.save.d")).unwrap();
    fs::rename(host.path("save/g.save"), host.path("save/g.save.d/x")).unwrap();
    fs::create_dir(host.path("save/g.save")).unwrap();
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").run().fails(125, &["g.save.hookmux"]);
    fs::remove_dir(host.path("save/g.save")).unwrap();
    fs::rename(host.path("save/g.save.d/x"), host.path("save/g.save")).unwrap();
    // a migration has no save to lose, nor has a guest that was saved to a file elsewhere
    fs::remove_file(host.path("save/g.save")).unwrap();
    host.guest("restore begin").run().answers(with(&["a"]));
    host.script("before_vm_migrate_destination/10-x", &edits("b"));
    host.guest("migrate begin").run().answers(with(&["b"]));
}
