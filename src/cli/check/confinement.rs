//! Checks AppArmor and SELinux: if they are in force, the place of the binary decides whether libvirt may
//! run it, and what its hooks may run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::{Code, Findings, Fix, words};
use super::selinux;
use super::survey::Survey;
use crate::cli::install::installed::Installed;
use crate::machine::files;

/// libvirt's profile lets programs directly in these leave it (`/{usr/,}{s,}bin/* PUx`).
const BINARY_DIRECTORIES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The profiles that libvirt's packages have for its daemons.
const PROFILES: [&str; 4] = ["libvirtd", "virtqemud", "virtxend", "virtlxcd"];

/// The place of the binary, as AppArmor and SELinux see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BinaryPlace {
    /// Directly in a directory for programs.
    ProgramDirectory,
    /// In the hooks directory itself.
    HooksDirectory,
    Elsewhere,
}

/// Returns the place of the file that a link leads to: the kernel checks that file.
fn binary_place(end: &Path, hooks_dir: &Path) -> BinaryPlace {
    if end
        .parent()
        .is_some_and(|parent| BINARY_DIRECTORIES.iter().any(|one| parent == Path::new(one)))
    {
        BinaryPlace::ProgramDirectory
    } else if end.starts_with(hooks_dir) {
        BinaryPlace::HooksDirectory
    } else {
        BinaryPlace::Elsewhere
    }
}

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let profile = apparmor_profile(survey.root);
    let is_enforcing = selinux::is_enforcing(survey.root);
    if profile.is_none() && !is_enforcing {
        return;
    }
    if is_enforcing {
        selinux::examine(survey, findings);
    }
    let hooks_dir = fs::canonicalize(&survey.settings.hooks_dir)
        .unwrap_or_else(|_| survey.settings.hooks_dir.clone());
    for link in survey.installed.iter().filter_map(Installed::called_at) {
        let Ok(end) = fs::canonicalize(link) else { continue };
        let binary_place = binary_place(&end, &hooks_dir);
        if let Some(profile) = &profile {
            apparmor(profile, binary_place, link, &end, findings);
        }
        if is_enforcing {
            place_by_selinux(binary_place, link, &end, findings);
        }
    }
}

/// Returns the commands that move hookmux to a place from which libvirt may run it.
pub(super) fn move_there(link: &Path, end: &Path) -> Vec<Vec<OsString>> {
    vec![
        words!["install", "-m", "755", end, "/usr/sbin/hookmux"],
        words!["ln", "-sfn", "/usr/sbin/hookmux", link],
    ]
}

fn apparmor(
    profile: &str,
    binary_place: BinaryPlace,
    link: &Path,
    end: &Path,
    findings: &mut Findings,
) {
    let (code, words) = match binary_place {
        BinaryPlace::ProgramDirectory => return,
        BinaryPlace::HooksDirectory => (
            Code::ApparmorCopy,
            format!(
                "{} is hookmux itself, not a link: it stays in AppArmor's profile {profile}, which lets it run no script outside of the hooks directory",
                link.display()
            ),
        ),
        BinaryPlace::Elsewhere => (
            Code::ApparmorPlace,
            format!(
                "{} leads to {}, where AppArmor's profile {profile} lets libvirt run nothing: only programs directly in /usr/bin or /usr/sbin",
                link.display(),
                end.display()
            ),
        ),
    };
    findings.add(code, link, words, Fix::all(&move_there(link, end)));
}

fn place_by_selinux(binary_place: BinaryPlace, link: &Path, end: &Path, findings: &mut Findings) {
    if binary_place == BinaryPlace::ProgramDirectory {
        return;
    }
    let words = format!(
        "SELinux enforces its policy, and {} is not in a place of system programs: the daemon may be denied to run it",
        end.display()
    );
    let mut commands = move_there(link, end);
    commands.push(words!["restorecon", "-v", "/usr/sbin/hookmux"]);
    findings.add(Code::SelinuxPlace, link, words, Fix::all(&commands));
}

/// Returns libvirt's profile that is in force.
fn apparmor_profile(root: &Path) -> Option<String> {
    let read = |path: &str| files::read_kernel_text(&root.join(path)).ok();
    if !read("sys/module/apparmor/parameters/enabled")?.starts_with('Y') {
        return None;
    }
    enforced(&read("sys/kernel/security/apparmor/profiles")?)
}

/// Returns the first daemon's profile of lines such as `/usr/sbin/libvirtd (enforce)`.
fn enforced(profiles: &str) -> Option<String> {
    profiles.lines().find_map(|line| {
        let name = line.strip_suffix(" (enforce)")?;
        let base = PathBuf::from(name).file_name()?.to_str()?.to_owned();
        PROFILES.contains(&base.as_str()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_file_decides() {
        let hooks = Path::new("/etc/libvirt/hooks");
        for (end, expected) in [
            ("/usr/sbin/hookmux", BinaryPlace::ProgramDirectory),
            ("/bin/hookmux", BinaryPlace::ProgramDirectory),
            ("/usr/bin/hookmux/hookmux", BinaryPlace::Elsewhere),
            ("/usr/local/sbin/hookmux", BinaryPlace::Elsewhere),
            ("/usr/libexec/hookmux", BinaryPlace::Elsewhere),
            ("/etc/libvirt/hooks/qemu", BinaryPlace::HooksDirectory),
        ] {
            assert_eq!(binary_place(Path::new(end), hooks), expected, "{end}");
        }
    }

    #[test]
    fn only_a_daemons_profile_in_force_counts() {
        for (text, expected) in [
            ("/usr/sbin/libvirtd (enforce)\n", Some("/usr/sbin/libvirtd")),
            ("a (enforce)\nvirtqemud (enforce)\n", Some("virtqemud")),
            ("libvirtd (complain)\n", None),
            ("libvirtd//qemu_bridge_helper (enforce)\n", None),
            ("libvirt-3c8e1f52 (enforce)\nvirt-aa-helper (enforce)\n", None),
        ] {
            assert_eq!(enforced(text).as_deref(), expected, "{text}");
        }
    }
}
