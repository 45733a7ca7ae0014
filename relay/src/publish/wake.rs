//! Tells the sinks that something was moved into the outbox. Where that can't be seen, they look every two
//! seconds all the same.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// A number that changes with each move.
pub(super) fn watch(directory: PathBuf) -> std::io::Result<watch::Receiver<u64>> {
    let (sender, receiver) = watch::channel(0);
    // a thread of its own, which waits in the kernel; it ends with the process
    std::thread::Builder::new().name("outbox".to_owned()).spawn(move || {
        while !sender.is_closed() {
            // the directory may come, and go, at any time
            if let Some(inotify) = begin(&directory) {
                until_gone(&inotify, &sender);
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    })?;
    Ok(receiver)
}

fn begin(directory: &Path) -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).ok()?;
    let what = AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_ONLYDIR
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF;
    inotify.add_watch(directory, what).ok()?;
    Some(inotify)
}

fn until_gone(inotify: &Inotify, sender: &watch::Sender<u64>) {
    let gone =
        AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_IGNORED;
    loop {
        sender.send_modify(|count| *count += 1);
        match inotify.read_events() {
            Ok(events) if events.iter().any(|event| event.mask.intersects(gone)) => return,
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(_) => return,
        }
    }
}
