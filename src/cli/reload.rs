//! libvirt looks for hook programs when it starts and when it is reloaded. Never a restart: that
//! fires `reconnect` for every running guest.

use std::fs;
use std::path::Path;

/// The daemons that run hooks.
pub const DAEMONS: &[&str] =
    &["libvirtd", "virtqemud", "virtlxcd", "virtxend", "virtnetworkd", "virtbhyved"];

/// The commands that make the running daemons look; empty where none runs.
pub fn commands() -> Vec<String> {
    let has_systemd = Path::new("/run/systemd/system").is_dir();
    let mut commands: Vec<String> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let name = name.trim_end();
            DAEMONS.contains(&name).then(|| command(name, pid, has_systemd))
        })
        .collect();
    commands.sort();
    commands.dedup();
    commands
}

/// The command that makes one daemon look.
pub fn command(name: &str, pid: u32, has_systemd: bool) -> String {
    if has_systemd { format!("systemctl reload {name}") } else { format!("kill -HUP {pid}") }
}

/// The advice in words.
pub fn advice() -> Vec<String> {
    let commands = commands();
    if commands.is_empty() {
        return vec!["No libvirt daemon runs: the next one to start will look.".to_owned()];
    }
    let mut lines = vec!["Now let the daemon look again; reload, never restart (a restart reconnects to every guest):".to_owned()];
    lines.extend(commands.into_iter().map(|command| format!("  {command}")));
    lines
}
