//! AppArmor and SELinux: where they are in force, the place of the binary decides whether libvirt
//! may run it, and what its hooks may run then.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::{Code, Findings, Fix, words};
use super::survey::Survey;
use crate::cli::install::installed::Installed;
use crate::machine::files;

/// libvirt's profile lets programs directly in these leave it (`/{usr/,}{s,}bin/* PUx`).
const BINARY_DIRECTORIES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The profiles that libvirt's packages have for its daemons.
const PROFILES: [&str; 4] = ["libvirtd", "virtqemud", "virtxend", "virtlxcd"];

/// Where the binary lies, as such a system sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    /// A link to a program directly in a directory of programs.
    Good,
    /// In the hooks directory itself.
    Copy,
    Elsewhere,
}

/// The kernel judges the file that a link leads to.
fn site(end: &Path, hooks_dir: &Path) -> Site {
    if end
        .parent()
        .is_some_and(|parent| BINARY_DIRECTORIES.iter().any(|one| parent == Path::new(one)))
    {
        Site::Good
    } else if end.starts_with(hooks_dir) {
        Site::Copy
    } else {
        Site::Elsewhere
    }
}

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let profile = apparmor_profile(survey.root);
    let is_enforcing = is_selinux_enforcing(survey.root);
    if profile.is_none() && !is_enforcing {
        return;
    }
    let hooks_dir = fs::canonicalize(&survey.settings.hooks_dir)
        .unwrap_or_else(|_| survey.settings.hooks_dir.clone());
    for link in survey.installed.iter().filter_map(Installed::called_at) {
        let Ok(end) = fs::canonicalize(link) else { continue };
        let site = site(&end, &hooks_dir);
        if let Some(profile) = &profile {
            apparmor(profile, site, link, &end, findings);
        }
        if is_enforcing {
            selinux(site, link, &end, findings);
        }
    }
}

/// The commands that put hookmux where such a system lets libvirt run it.
pub(super) fn move_there(link: &Path, end: &Path) -> Vec<Vec<OsString>> {
    vec![
        words!["install", "-m", "755", end, "/usr/sbin/hookmux"],
        words!["ln", "-sfn", "/usr/sbin/hookmux", link],
    ]
}

fn apparmor(profile: &str, site: Site, link: &Path, end: &Path, findings: &mut Findings) {
    let (code, words) = match site {
        Site::Good => return,
        Site::Copy => (
            Code::ApparmorCopy,
            format!(
                "{} is hookmux itself, no link: it stays in AppArmor's profile {profile}, which lets it run no script outside of the hooks directory",
                link.display()
            ),
        ),
        Site::Elsewhere => (
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

fn selinux(site: Site, link: &Path, end: &Path, findings: &mut Findings) {
    if site == Site::Good {
        return;
    }
    let words = format!(
        "SELinux enforces its policy, and {} is no program of the system's by its place: the daemon may be denied it",
        end.display()
    );
    let mut commands = move_there(link, end);
    commands.push(words!["restorecon", "-v", "/usr/sbin/hookmux"]);
    findings.add(Code::SelinuxPlace, link, words, Fix::all(&commands));
}

/// The profile of libvirt's that is in force.
fn apparmor_profile(root: &Path) -> Option<String> {
    let read = |path: &str| files::read_kernel_text(&root.join(path)).ok();
    if !read("sys/module/apparmor/parameters/enabled")?.starts_with('Y') {
        return None;
    }
    enforced(&read("sys/kernel/security/apparmor/profiles")?)
}

/// Of lines such as `/usr/sbin/libvirtd (enforce)`, the first of a daemon's.
fn enforced(profiles: &str) -> Option<String> {
    profiles.lines().find_map(|line| {
        let name = line.strip_suffix(" (enforce)")?;
        let base = PathBuf::from(name).file_name()?.to_str()?.to_owned();
        PROFILES.contains(&base.as_str()).then(|| name.to_owned())
    })
}

fn is_selinux_enforcing(root: &Path) -> bool {
    let text = files::read_kernel_text(&root.join("sys/fs/selinux/enforce"));
    text.is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_file_decides() {
        let hooks = Path::new("/etc/libvirt/hooks");
        for (end, expected) in [
            ("/usr/sbin/hookmux", Site::Good),
            ("/bin/hookmux", Site::Good),
            ("/usr/bin/hookmux/hookmux", Site::Elsewhere),
            ("/usr/local/sbin/hookmux", Site::Elsewhere),
            ("/usr/libexec/hookmux", Site::Elsewhere),
            ("/etc/libvirt/hooks/qemu", Site::Copy),
        ] {
            assert_eq!(site(Path::new(end), hooks), expected, "{end}");
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
