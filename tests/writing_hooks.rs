//! docs/writing-hooks.md: each of its commands is run, in the order in which a reader meets them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::documents::guest;
use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, skip};

const PAGE: &str = include_str!("../docs/writing-hooks.md");

/// A command, which may have lines of its own on standard input.
#[derive(Debug)]
struct Step {
    text: String,
    /// Whether the page says that it fails.
    fails: bool,
}

/// The commands of the page's `sh` blocks.
fn steps() -> Vec<Step> {
    let blocks = PAGE.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let mut steps = Vec::new();
    for block in blocks {
        let mut lines = block.lines();
        while let Some(line) = lines.next() {
            let fails = line.contains("# fails");
            let mut text = line.to_owned();
            if line.ends_with("<<'END'") {
                let mut end = |line: &str| {
                    text.push('\n');
                    text.push_str(line);
                    line == "END"
                };
                assert!(lines.any(&mut end), "{line}");
            }
            steps.push(Step { text, fails });
        }
    }
    steps
}

/// What stands for libvirt: it starts and stops the guest as libvirt does, and `edit` gives it the property.
fn prelude(host: &Host) -> String {
    format!(
        "hookmux() {{ '{hookmux}' --hooks-dir '{hooks}' \"$@\"; }}
sudo() {{ \"$@\"; }}
call() {{ '{hooks}/qemu' \"$@\" < domain.xml; }}
virsh() {{
    case $1 in
        dumpxml) cat domain.xml ;;
        edit) cp with-property.xml domain.xml ;;
        start)
            if call \"$2\" prepare begin - && call \"$2\" start begin -; then
                call \"$2\" started begin -
            else
                call \"$2\" release end failed
                return 1
            fi
            ;;
        shutdown) call \"$2\" stopped end - && call \"$2\" release end shutdown ;;
        *) exit 99 ;;
    esac
}}
",
        hookmux = binary_under_test().display(),
        hooks = host.hooks().display(),
    )
}

/// The directory that stands for `/srv`.
fn srv(host: &Host) -> String {
    host.path("srv").display().to_string()
}

fn run(host: &Host, step: &Step) -> Output {
    let text = step
        .text
        .replace("/etc/libvirt/hooks", &host.hooks().display().to_string())
        .replace("/srv", &srv(host));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{}{text}", prelude(host))]);
    shell.current_dir(host.path("")).stdin(Stdio::null());
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let _writing = writing();
        shell.spawn().unwrap()
    };
    child.wait_with_output().unwrap()
}

fn host() -> Host {
    let host = Host::new();
    let binaries = binary_under_test().parent().unwrap().display().to_string();
    host.settings(&format!("environment: {{PATH: '{binaries}:/usr/bin:/bin'}}"));
    fs::create_dir(host.path("srv")).unwrap();
    // `nobody` has to get at its program
    for directory in [host.path("srv").as_path(), host.directory()] {
        host.mode(directory, 0o755);
    }
    let disk = "<disk type='file' device='disk'><source file='/var/lib/web1.qcow2'/></disk>";
    let property = "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>\
         <hookmux:property name='scratch'>yes</hookmux:property></hookmux:properties>";
    for (file, metadata) in [("domain.xml", ""), ("with-property.xml", property)] {
        let document = guest(metadata, disk).replace("<name>g<", "<name>web1<");
        fs::write(host.path(file), document).unwrap();
    }
    host
}

#[test]
fn every_command_does_what_the_page_says() {
    if !is_root() {
        return skip("not root: nobody else can become nobody (run_as)");
    }
    let host = host();
    // what the page says of the step after which it is looked at
    let told: &[(&str, usize, &str)] = &[
        ("hookmux list before_vm_start", 1, "10-hello"),
        ("hookmux plan qemu web1 prepare --xml web1.xml", 1, "10-hello"),
        ("hookmux run qemu web1 prepare --xml web1.xml", 1, "nothing to do yet"),
        ("xml get --file web1.xml name uuid", 1, "web1\n3c8e1f52-"),
        ("source/@file'", 1, "/var/lib/web1.qcow2"),
        ("grep -v '<disk'", 1, "guest web1 has no disk"),
        ("hookmux run qemu web1 prepare --xml web1.xml", 2, "made "),
        ("hookmux plan qemu web1 prepare --xml -", 1, "property scratch is not set"),
        ("hookmux plan qemu web1 prepare --xml -", 2, "runs"),
        ("hookmux undo --list", 1, "before_vm_prepare/scratch"),
        ("hookmux log --failed", 1, "guest web1 has no disk"),
        ("hookmux show scratch", 1, "qemu prepare"),
        ("hookmux log --failed --hook tell", 1, "greeting"),
        ("hookmux retry tell", 1, "queued"),
        ("hookmux show tell", 1, "good"),
        ("hookmux log --audit", 1, "the server is moved"),
        ("hookmux metrics", 1, "hookmux_"),
    ];
    let mut met = vec![0; told.len()];
    let steps = steps();
    for step in &steps {
        let output = run(&host, step);
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        // a private hooks directory may well have other findings
        let is_check = step.text.contains("hookmux check");
        let is_fine = output.status.success() != step.fails || is_check;
        assert!(is_fine, "{step:?}: {output:?}");
        if is_check {
            for file in ["bin/scratch", "scratch.yaml", "tell"] {
                assert!(!said.contains(file), "{step:?}: {said}");
            }
        }
        for ((words, number, wanted), met) in told.iter().zip(&mut met) {
            if step.text.contains(words) {
                *met += 1;
                assert!(*met != *number || said.contains(wanted), "{step:?}: {wanted}: {said}");
            }
        }
        if step.text.contains("undo --list") {
            let is_there = fs::read_dir(host.path("srv/scratch")).is_ok_and(|it| it.count() == 1);
            let is_owed = said.contains("scratch");
            assert_eq!(is_there, is_owed, "{said}");
        }
    }
    let missed: Vec<_> =
        told.iter().zip(&met).filter(|((_, number, _), met)| *met < number).collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert!(steps.len() > 40, "only {} commands were found", steps.len());
    assert!(!host.hook("hooks.d/tell.yaml").exists());
}

/// It is linked from where people come.
#[test]
fn the_page_is_found_and_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["README.md", "docs/registered-hooks.md", "docs/contrib.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        assert!(text.contains("writing-hooks.md)"), "{page}");
    }
    assert!(PAGE.lines().count() <= 260, "{} lines", PAGE.lines().count());
}
