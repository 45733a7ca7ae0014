//! Dead letters: events whose hooks failed for good, kept until somebody has looked.

use crate::args::{DeadCommand, Format};
use crate::configuration::{Configuration, Consume};
use crate::say::{self, Level, log};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How many are kept; the oldest go first.
const MOST: usize = 10_000;

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

fn file(settings: &Consume, id: &str) -> PathBuf {
    directory(settings).join(format!("{id}.json"))
}

/// Keeps one, also over a power cut: the server forgets it next.
pub(crate) fn keep(settings: &Consume, letter: &Letter) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(letter)?;
    bytes.push(b'\n');
    let path = file(settings, &letter.id);
    crate::cursor::replace(&path, &bytes, 0o640)?;
    std::fs::File::open(&path)?.sync_all()?;
    std::fs::File::open(directory(settings))?.sync_all()?;
    let mut names = names(settings)?;
    if names.len() > MOST {
        names.sort();
        let over = names.len() - MOST;
        log(
            Level::Error,
            &format!("consume: more than {MOST} dead letters: the oldest {over} are removed"),
        );
        for name in names.into_iter().take(over) {
            std::fs::remove_file(directory(settings).join(name))?;
        }
    }
    Ok(())
}

pub(crate) fn forget(settings: &Consume, id: &str) {
    let _ = std::fs::remove_file(file(settings, id));
}

fn names(settings: &Consume) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory(settings))? {
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(".json")
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// All of them, the oldest first.
pub(crate) fn all(settings: &Consume) -> io::Result<Vec<Letter>> {
    let mut letters = Vec::new();
    for name in names(settings)? {
        let bytes = crate::outbox::read(&directory(settings).join(&name))?;
        match serde_json::from_slice::<Letter>(&bytes) {
            Ok(letter) => letters.push(letter),
            Err(error) => log(Level::Warning, &format!("{name} is no dead letter: {error}")),
        }
    }
    letters.sort_by(|a, b| (&a.time, &a.id).cmp(&(&b.time, &b.id)));
    Ok(letters)
}

pub(crate) async fn run(config: Option<&Path>, command: &DeadCommand) -> Result<u8> {
    let configuration = Configuration::read_if_there(config)?;
    let Some(settings) = configuration.consume else {
        bail!("there is no section `consume` in the configuration: there are no dead letters");
    };
    let directory = directory(&settings);
    let letters = match all(&settings) {
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
            let [letter] = pick(&letters, std::slice::from_ref(id))?[..] else {
                bail!("more than one begins with {id}")
            };
            say::line(&serde_json::to_string_pretty(letter)?);
        }
        DeadCommand::Remove { ids } => {
            for letter in pick(&letters, ids)? {
                let path = file(&settings, &letter.id);
                std::fs::remove_file(&path).with_context(|| format!("{}", path.display()))?;
                say::line(&format!("{} is removed", letter.id));
            }
        }
        DeadCommand::Replay { ids, all } => {
            let chosen = if *all { letters.iter().collect() } else { pick(&letters, ids)? };
            return replay(&settings, &chosen).await;
        }
    }
    Ok(0)
}

/// Those that are named, by their ids or beginnings of them.
fn pick<'a>(letters: &'a [Letter], ids: &[String]) -> Result<Vec<&'a Letter>> {
    let mut chosen = Vec::new();
    for id in ids {
        let mut some =
            letters.iter().filter(|letter| !id.is_empty() && letter.id.starts_with(id.as_str()));
        let Some(letter) = some.next() else {
            bail!("no dead letter begins with {id}: `hookmux-relay dead list` has them")
        };
        if some.next().is_some() {
            bail!("more than one dead letter begins with {id}");
        }
        chosen.push(letter);
    }
    Ok(chosen)
}

fn list(letters: &[Letter], format: Format) {
    match format {
        Format::Json => {
            say::line(&json!({"format": 1, "host": crate::configuration::host_name(), "dead_letters": letters}).to_string());
        }
        Format::Text if letters.is_empty() => {
            say::line("there are no dead letters");
        }
        Format::Text => {
            for letter in letters {
                let time = letter.time.get(..19).unwrap_or(&letter.time);
                let what = letter.subject.trim_start_matches("hookmux.v1.");
                say::line(&say::printable(&format!(
                    "{}  {time}Z  {what}  tried {}: {}",
                    letter.id, letter.deliveries, letter.reason
                )));
            }
        }
    }
}

/// Runs them again, as the service's user and by the same way.
async fn replay(settings: &Consume, letters: &[&Letter]) -> Result<u8> {
    let directory = directory(settings);
    let owner =
        std::fs::metadata(&directory).with_context(|| format!("{}", directory.display()))?;
    let me = nix::unistd::geteuid().as_raw();
    let user = match (me, owner.uid()) {
        (me, owner) if me == owner => None,
        (0, _) => Some((owner.uid(), owner.gid())),
        _ => bail!("{} isn't yours: try sudo hookmux-relay dead replay", directory.display()),
    };
    let mut failed = false;
    for letter in letters {
        if !letter.event.is_object() || crate::ulid::bits(&letter.id).is_none() {
            say::line(&format!(
                "{}: not an event, and not run: `hookmux-relay dead remove` removes it",
                letter.id
            ));
            failed = true;
            continue;
        }
        let event = serde_json::to_vec(&letter.event)?;
        let (status, said) =
            crate::consume::run_hookmux(settings, &event, letter.deliveries + 1, user).await?;
        if status == Some(0) {
            forget(settings, &letter.id);
            say::line(&format!("{}: done", letter.id));
        } else {
            failed = true;
            let status =
                status.map_or("it was ended".to_owned(), |status| format!("exit status {status}"));
            say::line(&say::printable(&format!("{}: {status}: {said}", letter.id)));
        }
    }
    Ok(u8::from(failed))
}
