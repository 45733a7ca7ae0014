//! Writes acts to the journal, with a short timeout: the library's socket blocks while journald doesn't
//! read.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use super::AuditEntry;
use crate::command;

/// How long a command waits for the journal at its end.
const JOURNAL_TIMEOUT: Duration = Duration::from_millis(100);
/// The message id of an act; it never changes. (`systemd-id128 new`)
pub(super) const MESSAGE_ID: &str = "69922b2e72ad4f968a6476fe2611c709";

/// Writes an entry, if there is a journal.
pub(super) fn write_entry(entry: &AuditEntry) {
    let entry = entry.clone();
    let (done, is_done) = mpsc::channel();
    let started = thread::Builder::new().name("journal".to_owned()).spawn(move || {
        write(&entry);
        let _ = done.send(());
    });
    if started.is_ok() {
        let _ = is_done.recv_timeout(JOURNAL_TIMEOUT);
    }
}

fn write(entry: &AuditEntry) {
    let Ok(layer) = tracing_journald::layer() else { return };
    let layer = layer.with_syslog_identifier("hookmux".to_owned()).with_field_prefix(None);
    let command = command::text(&entry.command);
    let why = entry.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    with_default(Registry::default().with(layer), || {
        tracing::event!(
            tracing::Level::INFO,
            MESSAGE_ID,
            HOOKMUX_AUDIT_ID = entry.id,
            HOOKMUX_AUDIT_USER = entry.user,
            HOOKMUX_AUDIT_ACTION = entry.action,
            HOOKMUX_AUDIT_COMMAND = command,
            HOOKMUX_AUDIT_HOOKS_DIR = entry.hooks_dir,
            HOOKMUX_AUDIT_OUTCOME = entry.outcome,
            HOOKMUX_AUDIT_MESSAGE = entry.message,
            HOOKMUX_AUDIT_REASON = entry.reason,
            "{}: {} by {}{}",
            command,
            entry.outcome,
            entry.user,
            why
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::journal::EntryKind;

    #[test]
    fn an_act_has_an_id_of_its_own() {
        assert!(MESSAGE_ID.len() == 32 && MESSAGE_ID.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(EntryKind::ALL.iter().all(|kind| kind.message_id() != MESSAGE_ID));
    }
}
