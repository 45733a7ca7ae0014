//! Dead letters: events whose hooks failed for good, kept until somebody has looked.

use crate::args::{DeadCommand, Format};
use crate::configuration::{Configuration, Consume};
use crate::say::{self, Level, log};
use anyhow::{Context, Result, bail};
use nix::unistd::UnlinkatFlags;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many are kept; the oldest go first.
const MOST: usize = 10_000;
/// How many are kept of messages that are no events: they push nothing else out.
const MOST_OF_NO_EVENTS: usize = 1000;
/// What the ids of those begin with; the number in the stream follows.
const NO_EVENT: &str = "stream-";

#[derive(Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) format: u32,
    pub(crate) id: String,
    /// when it was given up
    pub(crate) time: String,
    pub(crate) subject: String,
    pub(crate) consumer: String,
    pub(crate) stream_sequence: u64,
    pub(crate) deliveries: u64,
    pub(crate) reason: String,
    /// the event; a text where the message was none
    pub(crate) event: Value,
}

pub(crate) fn directory(settings: &Consume) -> PathBuf {
    settings.state_dir.join("dead")
}

/// The id of a message that is no event.
pub(crate) fn id_of_no_event(sequence: u64) -> String {
    format!("{NO_EVENT}{sequence}")
}

/// What an event is called in names of files: two hosts could send the same id.
pub(crate) fn name_of_event(id: &str, host: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, host.as_bytes());
    let hash: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{id}-{hash}")
}

/// The name of a letter's file, without `.json`.
fn name_of(letter: &Letter) -> String {
    if letter.id.starts_with(NO_EVENT) {
        return letter.id.clone();
    }
    let source = letter.event.get("source").and_then(Value::as_str).unwrap_or_default();
    name_of_event(&letter.id, source.strip_prefix(crate::event::SOURCE).unwrap_or_default())
}

fn is_of_no_event(name: &str) -> bool {
    name.strip_prefix(NO_EVENT).is_some_and(|digits| {
        (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The id in the name of a file without `.json`, if a letter may have that name. The directory belongs to the
/// service's user: nothing in it is believed that root would act on.
fn id_in(name: &str) -> Option<&str> {
    if is_of_no_event(name) {
        return Some(name);
    }
    // a letter from before there was a hash of the host has none
    let (id, hash) = name.split_once('-').map_or((name, None), |(id, hash)| (id, Some(hash)));
    let is_hash = hash.is_none_or(|hash| {
        hash.len() == 16 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    (is_hash && crate::ulid::bits(id).is_some()).then_some(id)
}

/// Keeps one, also over a power cut: the server forgets it next.
pub(crate) fn keep(settings: &Consume, letter: &Letter) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(letter)?;
    bytes.push(b'\n');
    let name = name_of(letter);
    let path = directory(settings).join(format!("{name}.json"));
    crate::cursor::replace(&path, &bytes, 0o640)?;
    std::fs::File::open(&path)?.sync_all()?;
    std::fs::File::open(directory(settings))?.sync_all()?;
    let most = if is_of_no_event(&name) { MOST_OF_NO_EVENTS } else { MOST };
    make_room(settings, is_of_no_event(&name), most)
}

/// Removes the oldest of one kind, by the time at which they were written: ids come from other hosts.
fn make_room(settings: &Consume, of_no_events: bool, most: usize) -> io::Result<()> {
    let mut names = names(settings)?;
    names.retain(|name| id_in(name).is_some() && is_of_no_event(name) == of_no_events);
    if names.len() <= most {
        return Ok(());
    }
    let over = names.len() - most;
    let kind = if of_no_events { "dead letters of what is no event" } else { "dead letters" };
    log(Level::Error, &format!("consume: more than {most} {kind}: the oldest {over} are removed"));
    let mut dated: Vec<_> = names
        .into_iter()
        .map(|name| {
            let file = std::fs::symlink_metadata(directory(settings).join(format!("{name}.json")));
            (file.map_or((0, 0), |file| (file.mtime(), file.mtime_nsec())), name)
        })
        .collect();
    dated.sort();
    for (_, name) in dated.into_iter().take(over) {
        remove(settings, &name)?;
    }
    Ok(())
}

/// Removes a letter in the directory itself: where that is a link, nothing is removed behind it.
fn remove(settings: &Consume, name: &str) -> io::Result<()> {
    use nix::fcntl::OFlag;
    let directory = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
        .open(directory(settings))?;
    let file = format!("{name}.json");
    match nix::unistd::unlinkat(&directory, file.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(nix::Error::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn forget(settings: &Consume, name: &str) {
    let _ = remove(settings, name);
}

/// Names of files, without `.json`.
fn names(settings: &Consume) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory(settings))? {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with('.')
            && let Some(name) = name.strip_suffix(".json")
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// A letter, and the name of its file without `.json`.
pub(crate) struct Kept {
    name: String,
    letter: Letter,
}

/// All of them, the oldest first. What is no letter is passed over, and said.
pub(crate) fn all(settings: &Consume) -> io::Result<Vec<Kept>> {
    let mut letters = Vec::new();
    for name in names(settings)? {
        match read(settings, &name) {
            Ok(letter) => letters.push(Kept { name, letter }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // whose directory it isn't
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(error) => log(
                Level::Warning,
                &format!(
                    "{}/{name}.json is no dead letter: {error}",
                    directory(settings).display()
                ),
            ),
        }
    }
    letters.sort_by(|a, b| (&a.letter.time, &a.name).cmp(&(&b.letter.time, &b.name)));
    Ok(letters)
}

fn read(settings: &Consume, name: &str) -> io::Result<Letter> {
    let odd = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    let Some(id) = id_in(name) else { return Err(odd("its name is none of a dead letter")) };
    let bytes = crate::outbox::read(&directory(settings).join(format!("{name}.json")))?;
    let letter: Letter = serde_json::from_slice(&bytes)?;
    if letter.id != id {
        return Err(odd("its id is not that of its name"));
    }
    if name != id && name != name_of(&letter) {
        return Err(odd("its host is not that of its name"));
    }
    Ok(letter)
}

pub(crate) async fn run(config: Option<&Path>, command: &DeadCommand) -> Result<u8> {
    let configuration = Configuration::read_if_there(config)?;
    let Some(settings) = configuration.consume else {
        bail!("there is no section `consume` in the configuration: there are no dead letters");
    };
    let directory = directory(&settings);
    let letters = match std::fs::symlink_metadata(&directory) {
        Ok(metadata) if !metadata.is_dir() => {
            bail!(
                "{} is no directory: remove it, and hookmux-consume.service makes it when it starts",
                directory.display()
            )
        }
        Ok(_) => all(&settings),
        Err(error) => Err(error),
    };
    let letters = match letters {
        Ok(letters) => letters,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!("{}: {error}: try sudo hookmux-relay dead list", directory.display())
        }
        Err(error) => return Err(error).with_context(|| format!("{}", directory.display())),
    };
    match command {
        DeadCommand::List(output) => list(&letters, output.output),
        DeadCommand::Show { id } => {
            let [Kept { letter, .. }] = pick(&letters, std::slice::from_ref(id))?[..] else {
                bail!("more than one begins with {id}")
            };
            say::line(&serde_json::to_string_pretty(letter)?);
        }
        DeadCommand::Remove { ids } => {
            for Kept { name, .. } in pick(&letters, ids)? {
                remove(&settings, name).with_context(|| {
                    format!("{}", directory.join(format!("{name}.json")).display())
                })?;
                say::line(&format!("{name} is removed"));
            }
        }
        DeadCommand::Replay { ids, all } => {
            let chosen = if *all { letters.iter().collect() } else { pick(&letters, ids)? };
            return replay(&settings, &chosen).await;
        }
    }
    Ok(0)
}

/// Those that are named, by their ids, names or beginnings of them.
fn pick<'a>(letters: &'a [Kept], ids: &[String]) -> Result<Vec<&'a Kept>> {
    let mut chosen = Vec::new();
    for id in ids {
        // stream-1 is also the beginning of stream-10
        if let Some(whole) = letters.iter().find(|kept| kept.name == *id) {
            chosen.push(whole);
            continue;
        }
        let mut some =
            letters.iter().filter(|kept| !id.is_empty() && kept.name.starts_with(id.as_str()));
        let Some(letter) = some.next() else {
            bail!("no dead letter begins with {id}: `hookmux-relay dead list` has them")
        };
        if let Some(other) = some.next() {
            bail!("more than one dead letter begins with {id}: {}, {}", letter.name, other.name);
        }
        chosen.push(letter);
    }
    Ok(chosen)
}

fn list(letters: &[Kept], format: Format) {
    match format {
        Format::Json => {
            let letters: Vec<&Letter> = letters.iter().map(|kept| &kept.letter).collect();
            say::line(&json!({"format": 1, "host": crate::configuration::host_name(), "dead_letters": letters}).to_string());
        }
        Format::Text if letters.is_empty() => {
            say::line("there are no dead letters");
        }
        Format::Text => {
            for Kept { name, letter } in letters {
                let time = letter.time.get(..19).unwrap_or(&letter.time);
                let what = letter.subject.trim_start_matches("hookmux.v1.");
                say::line(&say::printable(&format!(
                    "{name}  {time}Z  {what}  tried {}: {}",
                    letter.deliveries, letter.reason
                )));
            }
        }
    }
}

/// Runs them again, as the service's user and by the same way.
async fn replay(settings: &Consume, letters: &[&Kept]) -> Result<u8> {
    let user = user(settings, nix::unistd::geteuid().as_raw())?;
    let mut failed = false;
    for Kept { name, letter } in letters {
        if !letter.event.is_object() || crate::ulid::bits(&letter.id).is_none() {
            say::line(&format!(
                "{name}: not an event, and not run: `hookmux-relay dead remove` removes it"
            ));
            failed = true;
            continue;
        }
        let event = serde_json::to_vec(&letter.event)?;
        let deliveries = letter.deliveries.saturating_add(1);
        let (status, said) =
            crate::consume::run_hookmux(settings, &event, deliveries, user).await?;
        if status == Some(0) {
            forget(settings, name);
            say::line(&format!("{name}: done"));
        } else {
            failed = true;
            let status =
                status.map_or("it was ended".to_owned(), |status| format!("exit status {status}"));
            say::line(&say::printable(&format!("{name}: {status}: {said}")));
        }
    }
    Ok(u8::from(failed))
}

/// As whom hooks run again: the service's user, whom the state directory belongs to. `None`: as who asks.
fn user(settings: &Consume, me: u32) -> Result<Option<(u32, u32)>> {
    let (directory, state) = (directory(settings), &settings.state_dir);
    let letters = std::fs::symlink_metadata(&directory)
        .with_context(|| format!("{}", directory.display()))?;
    let service = std::fs::metadata(state).with_context(|| format!("{}", state.display()))?;
    if !letters.is_dir() {
        bail!("{} is no directory", directory.display());
    }
    // where somebody else's directory was put in its place, events would be run as that user
    if letters.uid() != service.uid() {
        bail!(
            "{} belongs to user {}, and {} to user {}: no hooks are run; look at what is in it, then \
             `chown --no-dereference --reference={} {}`",
            directory.display(),
            letters.uid(),
            state.display(),
            service.uid(),
            state.display(),
            directory.display()
        );
    }
    match (me, service.uid()) {
        (me, owner) if me == owner => Ok(None),
        (0, owner) => Ok(Some((owner, service.gid()))),
        _ => bail!("{} isn't yours: try sudo hookmux-relay dead replay", directory.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Letter, all, directory, id_in, keep, make_room, name_of, name_of_event, names, user,
    };
    use crate::configuration::Consume;
    use serde_json::json;
    use std::time::{Duration, SystemTime};

    const ID: &str = "01JDZ3M8X5Q2K7R9T4V6W8Y0AB";

    fn settings(state: &std::path::Path) -> Result<Consume, Box<dyn std::error::Error>> {
        let settings: Consume = serde_json::from_value(json!({"name": "ops", "state_dir": state}))?;
        std::fs::create_dir(directory(&settings))?;
        Ok(settings)
    }

    fn letter(id: &str, host: &str) -> Letter {
        Letter {
            format: 1,
            id: id.to_owned(),
            time: crate::event::now(),
            subject: String::new(),
            consumer: "ops".to_owned(),
            stream_sequence: 1,
            deliveries: 1,
            reason: String::new(),
            event: json!({"source": format!("hookmux/{host}")}),
        }
    }

    #[test]
    fn only_names_of_letters_are_names() {
        let hashed = name_of_event(ID, "node-1");
        for (name, id) in
            [(ID, ID), (&hashed, ID), ("stream-7", "stream-7"), ("stream-0", "stream-0")]
        {
            assert_eq!(id_in(name), Some(id), "{name}");
        }
        let short = &hashed[..hashed.len() - 1];
        let other = format!("{ID}-../../../../../x");
        for name in
            ["", "x", "../x", "stream-", "stream-/etc", "stream-1/..", short, &other, "stream--1"]
        {
            assert_eq!(id_in(name), None, "{name}");
        }
    }

    #[test]
    fn two_hosts_with_one_id_have_a_letter_each() -> Result<(), Box<dyn std::error::Error>> {
        let state = tempfile::tempdir()?;
        let settings = settings(state.path())?;
        for host in ["node-1", "node-2", "node-1"] {
            keep(&settings, &letter(ID, host))?;
        }
        assert_eq!(all(&settings)?.len(), 2);
        Ok(())
    }

    #[test]
    fn the_oldest_of_its_kind_goes_whatever_it_is_called() -> Result<(), Box<dyn std::error::Error>>
    {
        let state = tempfile::tempdir()?;
        let settings = settings(state.path())?;
        let mut ids = vec![ID.to_owned(), "00000000000000000000000000".to_owned()];
        ids.extend([9, 10, 8].map(|number| format!("stream-{number}")));
        for (place, id) in ids.iter().enumerate() {
            let letter = letter(id, "node-1");
            keep(&settings, &letter)?;
            let path = directory(&settings).join(format!("{}.json", name_of(&letter)));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + place as u64);
            std::fs::File::options().append(true).open(path)?.set_modified(time)?;
        }
        // what isn't a letter is neither counted nor removed
        std::fs::create_dir(directory(&settings).join("stream-x.json"))?;
        make_room(&settings, true, 2)?;
        make_room(&settings, false, 1)?;
        let mut left = names(&settings)?;
        left.sort();
        let kept = name_of_event("00000000000000000000000000", "node-1");
        assert_eq!(left, [kept.as_str(), "stream-10", "stream-8", "stream-x"]);
        Ok(())
    }

    #[test]
    fn hooks_run_again_as_the_user_of_the_state_directory_only()
    -> Result<(), Box<dyn std::error::Error>> {
        let state = tempfile::tempdir()?;
        let settings = settings(state.path())?;
        let me = nix::unistd::geteuid().as_raw();
        assert_eq!(user(&settings, me)?, None);
        assert!(user(&settings, me + 1).is_err());
        if me == 0 {
            // root's directory in the place of the service's
            std::os::unix::fs::chown(state.path(), Some(65534), Some(65534))?;
            assert!(user(&settings, 0).is_err());
            std::os::unix::fs::chown(directory(&settings), Some(65534), None)?;
            assert_eq!(user(&settings, 0)?, Some((65534, 65534)));
        }
        std::fs::remove_dir(directory(&settings))?;
        std::os::unix::fs::symlink("/", directory(&settings))?;
        assert!(user(&settings, me).is_err());
        Ok(())
    }
}
