//! The hooks of `contrib/hooks`, each through hookmux: what it sets up, twice, for two guests, and that its undo
//! leaves everything as it was.

mod made_up;
mod namespace;

mod autostart_transient;
mod command_line;
mod cpu_governor;
mod cpu_isolate;
mod display_handover;
mod hugepages;
mod image_check;
mod inhibit_sleep;
mod macspoof;
mod notify;
mod package;
mod pci_rebind;
mod port_forward;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::Host;
use crate::support::documents::{GUEST, UUID};
use crate::support::host::binary_under_test;

/// A uuid for a guest of this name.
fn uuid_of(name: &str) -> String {
    let number = name.bytes().map(u32::from).sum::<u32>();
    format!("{}{number:06}", &UUID[..UUID.len() - 6])
}

/// The document of a guest with these properties, and with these elements beside what every guest has.
fn document<'a>(
    name: &str,
    uuid: &str,
    properties: impl Iterator<Item = (&'a str, &'a str)>,
    elements: &str,
) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let properties: String = properties
        .map(|(name, value)| format!("<h:property name='{name}'>{}</h:property>", escaped(value)))
        .collect();
    GUEST
        .replace("<name>g<", &format!("<name>{}<", escaped(name)))
        .replace(UUID, uuid)
        .replace(
            "  <devices>\n  </devices>",
            &format!(
                "  <metadata><h:properties xmlns:h='urn:hookmux:properties:1'>{properties}</h:properties></metadata>\n  {elements}"
            ),
        )
}

/// The hooks that change the host's own state.
const OF_THE_HOST: [&str; 5] =
    ["cpu-governor", "cpu-isolate", "display-handover", "hugepages", "pci-rebind"];

/// The words in a text that begin so.
fn words(text: &str, begin: &str) -> BTreeSet<String> {
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let found = text.split(|letter| !is_of_word(letter)).filter(|word| word.starts_with(begin));
    found.map(str::to_owned).collect()
}

/// Where hookmux doesn't answer, nothing of the document is known: no hook goes on as if it had no such part.
#[test]
fn without_an_answer_about_its_document_a_guest_is_refused() {
    let all = [
        ("cpu-isolate", "cpu_isolate"),
        ("cpu-governor", "cpu_governor"),
        ("hugepages", "hugepages"),
        ("pci-rebind", "pci_rebind"),
        ("display-handover", "display_handover"),
    ];
    for (name, property) in all {
        let contrib = made_up::Contrib::new(name, "");
        contrib.files(&[("sys/devices/system/cpu/online", "0-7")]);
        fs::remove_file(contrib.host.path("tools/hookmux")).unwrap();
        contrib.tool("hookmux", "exit 127");
        let guest = made_up::Guest::new("g", &[(property, "yes")], "");
        contrib.prepare(&guest).fails(1, &["guest g: its document can't be read"]);
        assert!(contrib.kept().is_empty(), "{name}: {:?}", contrib.kept());
    }
    for (name, property) in
        [("macspoof", ("macspoof", "deny")), ("port-forward", ("port_forward", "5000"))]
    {
        let package = package::Package::new(name);
        fs::remove_file(package.host.path("bin/hookmux")).unwrap();
        package.program("hookmux", "exit 127").program("nft", "exit 0");
        let guest = package.guest("g", &[property], "<interface type='bridge'/>");
        let call = if name == "macspoof" { "start begin" } else { "prepare begin" };
        guest.call(call).fails(1, &["guest g: its document can't be read"]);
    }
}

/// The properties of each hook.
const PROPERTIES: [(&str, &[&str]); 11] = [
    ("autostart-transient", &["autostart"]),
    ("cpu-governor", &["cpu_governor", "cpu_governor_cpus"]),
    ("cpu-isolate", &["cpu_isolate"]),
    ("display-handover", &["display_handover"]),
    ("hugepages", &["hugepages"]),
    ("image-check", &["image_check"]),
    ("inhibit-sleep", &["inhibit_sleep"]),
    ("macspoof", &["macspoof", "macspoof_ip", "macspoof_mac", "macspoof_router"]),
    ("notify", &["notify"]),
    ("pci-rebind", &["pci_rebind"]),
    ("port-forward", &["port_forward"]),
];

/// Whatever a guest's document says, and whatever the guest is called: nothing of it is run, and it names no file.
#[test]
fn words_of_a_guest_run_nothing() {
    for (name, properties) in PROPERTIES {
        let package = package::Package::new(name);
        // of the host's programs none is needed to read words
        for program in ["nft", "systemctl", "systemd-run", "systemd-inhibit", "modprobe", "virsh"] {
            package.program(program, "exit 1");
        }
        let call = match name {
            "macspoof" => "start begin",
            "autostart-transient" | "inhibit-sleep" | "notify" => "started begin",
            _ => "prepare begin",
        };
        let ran = package.host.path("ran");
        let touch = format!("touch {}", ran.display());
        let odd = [
            "".to_owned(),
            "  ".to_owned(),
            "-".to_owned(),
            "--help".to_owned(),
            "*".to_owned(),
            "%s%s%n".to_owned(),
            "\\0101".to_owned(),
            "yes\nno".to_owned(),
            "../../../../tmp".to_owned(),
            format!("$({touch})"),
            format!("`{touch}`"),
            format!("yes; {touch}"),
            format!("yes | {touch}"),
            format!("' ; {touch} ; '"),
            format!("\" ; {touch} ; \""),
            format!("x[$({touch})]"),
            format!("system(\"{touch}\")"),
            "9".repeat(100),
            "0-99999".to_owned(),
            "a ".repeat(30_000),
        ];
        for property in properties {
            // the others make it look
            for value in &odd {
                let first = if name == "macspoof" { "deny" } else { "yes" };
                let mut own = vec![(properties[0], first), (*property, value.as_str())];
                own.dedup_by_key(|(name, _)| *name);
                if *property == properties[0] {
                    own = vec![(*property, value.as_str())];
                }
                let guest = package.guest("a$(echo x)`echo x`'\"; b", &own, "");
                let answer = guest.call(call);
                let short: String = value.chars().take(40).collect();
                assert!(answer.took.as_secs() < 20, "{property} {short:?}: {answer:?}");
                assert!(matches!(answer.status, Some(0..=2)), "{property} {short:?}: {answer:?}");
                for word in ["syntax", "unexpected", "not found", "ax", "awk:", "sed:", "grep:"] {
                    let said = &answer.stderr;
                    assert!(!said.contains(word), "{property} {short:?}: {word}: {said}");
                }
                assert!(!ran.exists(), "{property} {short:?}");
            }
        }
    }
}

#[test]
fn what_a_hook_reads_is_what_its_page_and_its_example_name() {
    for name in OF_THE_HOST {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooks").join(name);
        let script = directory.join("bin").join(name);
        let page = fs::read_to_string(directory.join("README.md")).unwrap();
        let mode = fs::metadata(&script).unwrap().permissions().mode();
        let script = fs::read_to_string(script).unwrap();
        assert_eq!(mode & 0o777, 0o755, "{name}");

        // settings of the host
        let begin = name.to_uppercase().replace('-', "_") + "_";
        assert_eq!(words(&script, &begin), words(&page, &begin), "{name}");

        // properties of guests
        let properties = words(&script, "HOOKMUX_PROPERTY_");
        let properties: BTreeSet<&str> =
            properties.iter().map(|word| word.trim_start_matches("HOOKMUX_PROPERTY_")).collect();
        for property in &properties {
            assert!(page.contains(&format!("| `{property}` |")), "{name}: {property}");
        }
        let host = Host::new();
        let example = fs::read_to_string(directory.join("metadata.xml")).unwrap();
        let path = "/domain/metadata/hookmux:properties/hookmux:property/@name";
        let call = host
            .call("qemu", ["xml", "get", path])
            .called(binary_under_test().to_str().unwrap(), host.directory());
        let answer =
            call.without_env("_hook_domxml").stdin(format!("<domain>{example}</domain>")).run();
        assert_eq!(answer.status, Some(0), "{name}: {answer:?}");
        let said = String::from_utf8(answer.stdout).unwrap();
        assert_eq!(said.lines().collect::<BTreeSet<_>>(), properties, "{name}");

        // in this order
        let heads: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        let wanted = [
            "## What for",
            "## Custom properties",
            "## Events",
            "## What it changes",
            "## How it is undone",
            "## What libvirt has built in",
            "## Gotchas",
            "## Sources",
        ];
        assert_eq!(heads, wanted, "{name}");
    }
}
