//! The guests and networks that libvirt knows: those that it has defined, and those that run. They are read from
//! libvirt's files, so that nothing depends on its daemon.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::rights;
use crate::config::Surroundings;
use crate::config::suggest::did_you_mean;
use crate::libvirt::document::{self, MAX_DOCUMENT_BYTES};
use crate::libvirt::{Document, Driver};
use crate::machine::files;

/// The drivers of guests and networks.
const DRIVERS: [Driver; 5] =
    [Driver::Qemu, Driver::Lxc, Driver::Libxl, Driver::Bhyve, Driver::Network];

/// A guest or a network that libvirt has a file about.
#[derive(Clone, Debug)]
pub(crate) struct KnownGuest {
    pub driver: Driver,
    pub name: String,
    /// Its definition; none for one that exists only while it runs.
    pub definition: Option<PathBuf>,
    /// The file that libvirt keeps while it runs.
    pub status: Option<PathBuf>,
    /// Whether it belongs to the session daemon of this user.
    pub is_session: bool,
}

/// Where a daemon has its files.
struct Place {
    config: PathBuf,
    run: Option<PathBuf>,
    is_session: bool,
}

/// Where libvirt's files are.
pub(crate) struct Guests {
    places: Vec<Place>,
}

impl Guests {
    /// Looks beside a hooks directory, and for those of libvirt itself also where its daemons run. A user's own
    /// guests come last.
    pub(crate) fn new(surroundings: &Surroundings) -> Guests {
        let Some(config) = surroundings.hooks_dir.parent() else {
            return Guests { places: Vec::new() };
        };
        let prefix = config.ends_with("etc/libvirt").then(|| config.ancestors().nth(2)).flatten();
        let run = prefix.and_then(|prefix| {
            let places = [prefix.join("run/libvirt"), prefix.join("var/run/libvirt")];
            places.into_iter().find(|place| place.is_dir())
        });
        let mut places = vec![Place { config: config.to_path_buf(), run, is_session: false }];
        if prefix.is_some() {
            places.extend(session(surroundings));
        }
        Guests { places }
    }

    /// Returns what libvirt knows under this name, the system's first.
    ///
    /// # Errors
    /// This user may not look into a directory.
    pub(crate) fn find(
        &self,
        name: &str,
        driver: Option<Driver>,
    ) -> anyhow::Result<Vec<KnownGuest>> {
        let is_name = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        let mut found: Vec<KnownGuest> = Vec::new();
        let mut denied = None;
        for place in self.places.iter().filter(|_| is_name) {
            for driver in DRIVERS.into_iter().filter(|one| driver.is_none_or(|it| it == *one)) {
                let file = format!("{name}.xml");
                let definition = place.definitions(driver).join(&file);
                let definition = match exists(&definition) {
                    Ok(is_there) => is_there.then_some(definition),
                    // it may be this user's own
                    Err(error) => {
                        denied.get_or_insert(error);
                        None
                    }
                };
                // only root may look into these
                let status = place.status(driver).map(|directory| directory.join(&file));
                let status = status.filter(|path| path.is_file());
                let is_known = definition.is_some() || status.is_some();
                let is_network = driver == Driver::Network;
                // a network of the same name is meant only where nothing else is
                let is_wanted = !is_network || found.is_empty();
                if is_known && is_wanted && !found.iter().any(|one| one.driver == driver) {
                    let (name, is_session) = (name.to_owned(), place.is_session);
                    found.push(KnownGuest { driver, name, definition, status, is_session });
                }
            }
        }
        match denied.filter(|_| found.is_empty()) {
            Some(denied) => Err(denied),
            None => Ok(found),
        }
    }

    /// Finds a guest by its uuid.
    ///
    /// # Errors
    /// Those of [`Guests::find`].
    pub(crate) fn with_uuid(
        &self,
        uuid: &str,
        driver: Option<Driver>,
    ) -> anyhow::Result<Vec<KnownGuest>> {
        if uuid.len() != 36 || !uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for name in self.names(driver).unwrap_or_default() {
            let all = self.find(&name, driver)?;
            found.extend(all.into_iter().filter(|one| {
                let (document, _) = one.document(false);
                let identity = document.bytes().and_then(document::read_identity);
                identity
                    .and_then(|it| it.plain_uuid())
                    .is_some_and(|it| it.eq_ignore_ascii_case(uuid))
            }));
        }
        Ok(found)
    }

    /// Returns the names that libvirt has defined, sorted; `None` if no definition can be seen.
    pub(crate) fn names(&self, driver: Option<Driver>) -> Option<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for place in &self.places {
            for driver in DRIVERS.into_iter().filter(|one| driver.is_none_or(|it| it == *one)) {
                let directories = [Some(place.definitions(driver)), place.status(driver)];
                for directory in directories.into_iter().flatten() {
                    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
                    names.extend(entries.filter_map(|entry| {
                        Some(entry.file_name().to_str()?.strip_suffix(".xml")?.to_owned())
                    }));
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        (!names.is_empty()).then_some(names)
    }

    /// Returns the guests and networks of the system's daemons.
    pub(crate) fn of_host(&self) -> Vec<KnownGuest> {
        let mut all = Vec::new();
        for driver in DRIVERS {
            for name in self.names(Some(driver)).unwrap_or_default() {
                // a file that this user may not see has no name here
                let found = self.find(&name, Some(driver)).unwrap_or_default();
                all.extend(found.into_iter().filter(|one| !one.is_session));
            }
        }
        all
    }

    /// Tells whether it can be seen which guests of a driver run.
    pub(crate) fn sees_running(&self, driver: Driver) -> bool {
        let places = self.places.iter().filter(|place| !place.is_session);
        let statuses = places.filter_map(|place| place.status(driver));
        statuses.into_iter().any(|directory| fs::read_dir(directory).is_ok())
    }

    /// Returns the hint about a name that libvirt doesn't know: a similar one.
    pub(crate) fn similar(&self, name: &str, driver: Option<Driver>) -> Option<String> {
        let names = self.names(driver)?;
        let lower = name.to_lowercase();
        let same = names.iter().find(|known| known.to_lowercase() == lower).cloned();
        same.or_else(|| did_you_mean(name, names.iter().map(String::as_str)).map(str::to_owned))
    }
}

impl Place {
    fn definitions(&self, driver: Driver) -> PathBuf {
        match driver {
            Driver::Network => self.config.join("qemu/networks"),
            _ => self.config.join(driver.name()),
        }
    }

    fn status(&self, driver: Driver) -> Option<PathBuf> {
        let run = self.run.as_ref()?;
        Some(match (self.is_session, driver) {
            (true, Driver::Qemu) => run.join("qemu/run"),
            (true, Driver::Network) => run.join("network/run"),
            _ => run.join(driver.name()),
        })
    }
}

/// Returns the files of this user's own daemon.
fn session(surroundings: &Surroundings) -> Option<Place> {
    let config = surroundings.xdg_config.clone();
    let config = config.or_else(|| Some(surroundings.home.as_ref()?.join(".config")))?;
    let run = surroundings.xdg_runtime.clone();
    let run = run.unwrap_or_else(|| format!("/run/user/{}", surroundings.user).into());
    Some(Place { config: config.join("libvirt"), run: Some(run.join("libvirt")), is_session: true })
}

fn exists(path: &Path) -> anyhow::Result<bool> {
    match path.symlink_metadata() {
        // what isn't a file is told when it is read
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(rights::explained(path, error))
        }
        Err(_) => Ok(false),
    }
}

impl KnownGuest {
    /// Reads its document, and tells where that is from. `is_of_running` wants that of the running guest; else it
    /// is the definition, by which it is started.
    pub(crate) fn document(&self, is_of_running: bool) -> (Document, String) {
        let status = self.status.as_ref().map(|path| (path, true));
        let definition = self.definition.as_ref().map(|path| (path, false));
        let files = match is_of_running {
            true => [status, definition],
            false => [definition, status],
        };
        let mut why_not = None;
        for (path, is_status) in files.into_iter().flatten() {
            match files::read_regular(path, MAX_DOCUMENT_BYTES as u64) {
                Ok(bytes) if !is_status => {
                    return (Document::Whole(bytes), path.display().to_string());
                }
                Ok(bytes) => match object_of(&bytes) {
                    Some(object) => return (Document::Whole(object), path.display().to_string()),
                    None => why_not = Some(format!("{} has none", path.display())),
                },
                Err(error) => {
                    why_not = Some(format!("{} can't be read: {error}", path.display()));
                }
            }
        }
        (Document::Absent, why_not.unwrap_or_else(|| "libvirt has no file about it".to_owned()))
    }
}

/// Returns the definition in a file about the state of a guest or a network.
fn object_of(status: &[u8]) -> Option<Vec<u8>> {
    let tree = document::parse(status).ok()?;
    let mut children = tree.root_element().children();
    let object = children
        .find(|child| ["domain", "network"].iter().any(|name| child.has_tag_name(*name)))?;
    status.get(object.range()).map(<[u8]>::to_vec)
}

/// Returns the names in libvirt's configuration, which is beside its hooks directory; `None` if none can be
/// seen.
pub(super) fn defined(hooks_dir: &Path, driver: Driver) -> Option<Vec<String>> {
    let directory = hooks_dir.parent()?;
    let directory = match driver {
        Driver::Daemon => return None,
        Driver::Network => directory.join("qemu/networks"),
        _ => directory.join(driver.name()),
    };
    let mut names: Vec<String> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".xml")?.to_owned()))
        .collect();
    names.sort_unstable();
    (!names.is_empty()).then_some(names)
}
