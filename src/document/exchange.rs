//! Gives the document to hooks and takes it back: a file that scripts in vdsm's style edit, standard
//! input and output for those in libvirt's. Decides which changes libvirt gets.
//!
//! The hooks of an event share one document, and each gets it as those before left it. Where libvirt takes the
//! result, hooks of vdsm's tree have a copy among themselves as soon as one of them changes it: vdsm drops
//! their changes there, so no other hook may hand them on to libvirt.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use super::device::{self, DevicePlaces, ReplacedDevice};
use super::file::{
    self, CreatedDirectory, DocumentPlace, FILE_NAME, FileStamp, make_private, read_back,
};
use super::shared_file::SharedFile;
use crate::hook::{Hook, HookSource};
use crate::libvirt::document::{self, DocumentIdentity, MAX_DOCUMENT_BYTES};
use crate::machine::files;
use crate::process::capture::Capture;

/// What a hook did to the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// libvirt gets the changed document.
    Taken,
    /// libvirt doesn't get the changed document, for this reason.
    Ignored(String),
}

/// The part of the document that a hook works on: all of it, or one device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DocumentScope {
    event: Option<Cow<'static, str>>,
    /// The device's place in libvirt's document.
    device: Option<Range<usize>>,
}

/// What a hook's change means for the whole document.
enum DocumentChange {
    None,
    Whole,
    /// A device, by its place in libvirt's document.
    Device(Range<usize>, ReplacedDevice),
}

/// Which document a hook works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Branch {
    /// The one that libvirt gets, if it takes one.
    Main,
    /// The copy of vdsm's hooks on a filter call.
    Vdsm,
}

/// The document of one call.
pub struct Exchange {
    /// As libvirt sent it.
    original: Option<Vec<u8>>,
    identity: DocumentIdentity,
    is_filter: bool,
    operation: String,
    /// As the hooks so far changed it, on a filter call.
    current: Option<Vec<u8>>,
    /// Where devices are in it.
    devices: DevicePlaces,
    scope: Option<DocumentScope>,
    /// What the hooks of the scope have made of their part of the document.
    content: Vec<u8>,
    /// What vdsm's hooks of the scope have made of it, on a filter call where they changed it.
    of_vdsm: Option<Vec<u8>>,
    place: DocumentPlace,
    shared: Option<SharedFile>,
    /// Whose content the file has.
    branch: Branch,
    /// Whether a hook left something that has to be removed after the call.
    has_leftovers: Cell<bool>,
    /// Whether the file must be written before the next hook.
    is_stale: bool,
    /// The stamp of the file as it was written: it shows whether anybody touched the file.
    stamp: Option<FileStamp>,
    /// The descriptor for standard input, and its content.
    input: Option<(Vec<u8>, File)>,
}

/// A document file that only one hook gets.
#[derive(Debug)]
pub struct DocumentFile {
    pub path: PathBuf,
    place: DocumentPlace,
    made: CreatedDirectory,
    /// Its content when it was made.
    base: Vec<u8>,
}

/// The document as a hook got it, kept for its rollback.
#[derive(Clone, Debug)]
pub struct Snapshot {
    current: Option<Vec<u8>>,
    devices: DevicePlaces,
    scope: Option<DocumentScope>,
    content: Vec<u8>,
}

impl Snapshot {
    /// Returns the content of the file.
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

impl Exchange {
    /// Makes an exchange. The directory `place` is made when a hook first needs the file, and removed
    /// at the end.
    pub fn new(
        original: Option<Vec<u8>>,
        identity: DocumentIdentity,
        is_filter: bool,
        operation: String,
        place: DocumentPlace,
    ) -> Exchange {
        Exchange {
            original,
            identity,
            is_filter,
            operation,
            current: None,
            devices: DevicePlaces::default(),
            scope: None,
            content: Vec::new(),
            of_vdsm: None,
            place,
            shared: None,
            branch: Branch::Main,
            has_leftovers: Cell::new(false),
            is_stale: true,
            stamp: None,
            input: None,
        }
    }

    /// Returns the whole document for the next hook. A call that takes no document back shows
    /// libvirt's own at each event.
    pub fn whole(&self) -> Option<&[u8]> {
        self.current.as_deref().or(self.original.as_deref())
    }

    /// Returns a device's part of the document for the next hook, by its place in libvirt's document.
    pub fn device(&self, device: &Range<usize>) -> Option<&[u8]> {
        let of_libvirt = || self.original.as_deref()?.get(device.clone());
        match &self.current {
            Some(current) => {
                let place = self.devices.of(device);
                place.and_then(|place| current.get(place)).or_else(of_libvirt)
            }
            None => of_libvirt(),
        }
    }

    /// Finds the devices again where a hook has changed the whole document. To be called before a device's
    /// hook is prepared.
    pub fn find_devices(&mut self) {
        if let (Some(original), Some(current)) = (&self.original, &self.current) {
            self.devices.find(original, current);
        }
    }

    /// Returns the document as the last hook got it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            current: self.current.clone(),
            devices: self.devices.clone(),
            scope: self.scope.clone(),
            content: self.content.clone(),
        }
    }

    /// Goes back to the document as a hook got it. The changes of later hooks are lost: the call has
    /// failed, and gives libvirt no document.
    pub fn rewind(&mut self, snapshot: Snapshot) {
        let Snapshot { current, devices, scope, content } = snapshot;
        (self.current, self.devices, self.scope, self.content) = (current, devices, scope, content);
        self.of_vdsm = None;
        self.is_stale = true;
    }

    /// Returns the file with the document for the next hook of a scope; `None` where libvirt sent no
    /// document, an error in words where no file could be made. `device` is the device's place in libvirt's
    /// document.
    pub fn file(
        &mut self,
        hook: &Hook,
        event: Option<&Cow<'static, str>>,
        device: Option<&Range<usize>>,
    ) -> Result<Option<PathBuf>, String> {
        if !self.enter(event, device) {
            return Ok(None);
        }
        let branch = self.branch_of(hook);
        if branch != self.branch {
            self.branch = branch;
            self.is_stale = self.is_stale || self.of_vdsm.is_some();
        }
        if self.is_stale {
            self.write()
                .map_err(|error| format!("the document can't be given in a file: {error}"))?;
            self.is_stale = false;
        }
        Ok(self.shared.as_ref().map(|shared| shared.path().to_path_buf()))
    }

    fn branch_of(&self, hook: &Hook) -> Branch {
        let is_of_vdsm = self.is_filter && hook.source == HookSource::Vdsm;
        if is_of_vdsm { Branch::Vdsm } else { Branch::Main }
    }

    /// Returns the content that the file must have for the next hook of a branch.
    fn content(&self, branch: Branch) -> &[u8] {
        match branch {
            Branch::Main => &self.content,
            Branch::Vdsm => self.of_vdsm.as_ref().unwrap_or(&self.content),
        }
    }

    /// Begins a scope, if it is a new one. Returns `false` where there is no document.
    fn enter(&mut self, event: Option<&Cow<'static, str>>, device: Option<&Range<usize>>) -> bool {
        let scope = DocumentScope { event: event.cloned(), device: device.cloned() };
        if self.scope.as_ref() == Some(&scope) {
            return true;
        }
        let content = match device {
            Some(device) => self.device(device),
            None => self.whole(),
        };
        // vdsm gives an empty file at its own start and end
        let is_of_vdsms_daemon = || event.is_some_and(|event| event.contains("_vdsm_"));
        let content = content.map(<[u8]>::to_vec).or_else(|| is_of_vdsms_daemon().then(Vec::new));
        let Some(content) = content else { return false };
        self.is_stale = self.is_stale || content != self.content(self.branch);
        self.content = content;
        self.of_vdsm = None;
        self.scope = Some(scope);
        true
    }

    /// Makes a document file for one hook: a hook of another user (`owner`: uid and gid), or one that
    /// runs in parallel with others. Only its owner can read it.
    ///
    /// # Errors
    /// The file could not be made.
    pub fn own_file(
        &mut self,
        event: Option<&Cow<'static, str>>,
        device: Option<&Range<usize>>,
        number: usize,
        owner: Option<(u32, u32)>,
    ) -> Result<Option<DocumentFile>, String> {
        if !self.enter(event, device) {
            return Ok(None);
        }
        let place = self.place.beside(&format!("-{number}"));
        let made = make_private(&place, &self.content, owner).map_err(|error| {
            format!("the document can't be given in a file of its own: {error}")
        })?;
        let path = place.named().join(FILE_NAME);
        Ok(Some(DocumentFile { path, place, made, base: self.content.clone() }))
    }

    /// Takes the document back from a hook's own file after the hook ended, and removes the file.
    ///
    /// # Errors
    /// As [`Exchange::take_back`]; also where a hook that ran in parallel has changed the document too.
    pub fn take_own_file(
        &mut self,
        hook: &Hook,
        own_file: &DocumentFile,
        succeeded: bool,
    ) -> Result<Change, String> {
        let found =
            own_file.place.path().and_then(|directory| read_back(&directory, own_file.made));
        self.remove_own_file(own_file);
        if found.as_ref().is_ok_and(|found| *found == own_file.base) {
            return Ok(Change::None);
        }
        if self.content != own_file.base && succeeded && hook.filter && self.is_filter {
            return Err(
                "it changed the document, and so did a hook that ran in parallel: only one may"
                    .to_owned(),
            );
        }
        self.take(hook, found, succeeded)
    }

    /// Removes a hook's own file without reading it.
    pub fn remove_own_file(&self, own_file: &DocumentFile) {
        self.remove(&own_file.place);
    }

    fn remove(&self, place: &DocumentPlace) {
        if file::remove(place) {
            self.has_leftovers.set(true);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.stamp = None;
        let content = match self.branch {
            Branch::Main => &self.content,
            Branch::Vdsm => self.of_vdsm.as_ref().unwrap_or(&self.content),
        };
        self.stamp = SharedFile::write(&mut self.shared, &self.place, content)?;
        Ok(())
    }

    /// Reads the file after a hook that got it. `succeeded` tells whether the hook did.
    ///
    /// # Errors
    /// The changed document can't be used: the document before it stays, and the hook has failed.
    pub fn take_back(&mut self, hook: &Hook, succeeded: bool) -> Result<Change, String> {
        let Some(shared) = &self.shared else { return Ok(Change::None) };
        if self.stamp.is_some() && self.stamp == FileStamp::of(shared.path()) {
            return Ok(Change::None);
        }
        let found = shared.read_back(&self.place);
        if found.as_ref().is_ok_and(|found| found == self.content(self.branch_of(hook))) {
            return Ok(Change::None);
        }
        self.is_stale = true;
        self.take(hook, found, succeeded)
    }

    /// Decides about a document that a hook has changed.
    fn take(
        &mut self,
        hook: &Hook,
        found: io::Result<Vec<u8>>,
        succeeded: bool,
    ) -> Result<Change, String> {
        let ignored = |why: String| Ok(Change::Ignored(why));
        if self.original.is_none() {
            // vdsm's empty file, in which its hooks may leave something for each other
            self.content = found.unwrap_or_default();
            return Ok(Change::None);
        }
        if !succeeded {
            return ignored("the document as a failed hook left it is not used".to_owned());
        }
        let branch = self.branch_of(hook);
        if !hook.filter && hook.source != HookSource::Vdsm {
            return ignored("it changed the document, though it is not a filter".to_owned());
        }
        let found = found.map_err(|error| format!("it left no usable document: {error}"));
        let usable = found.and_then(|found| Ok((self.with_change(&found)?, found)));
        self.is_stale = true;
        if branch == Branch::Vdsm {
            // vdsm drops what they left, whatever it is
            return ignored(match usable {
                Ok((_, found)) => {
                    self.of_vdsm = Some(found);
                    format!(
                        "it changed the document: vdsm's later scripts at this event get that, and nobody else; libvirt takes none from vdsm's scripts at {}, as with vdsm",
                        self.operation
                    )
                }
                Err(error) => {
                    format!("{error}; vdsm's later scripts get the document as it was before")
                }
            });
        }
        let (changed, found) = usable?;
        self.content = found;
        match changed {
            // only what stands around the device's element
            DocumentChange::None => Ok(Change::None),
            _ if !self.is_filter => ignored(self.not_taken()),
            DocumentChange::Whole => {
                self.current = Some(self.content.clone());
                self.devices.set_stale();
                Ok(Change::Taken)
            }
            DocumentChange::Device(device, replaced) => {
                self.devices.resize(&device, replaced.length);
                self.current = Some(replaced.document);
                Ok(Change::Taken)
            }
        }
    }

    /// Checks what a hook made of its part of the document, and puts a device's element into its place.
    fn with_change(&self, found: &[u8]) -> Result<DocumentChange, String> {
        let device = self.scope.as_ref().and_then(|scope| scope.device.clone());
        let Some(device) = device else {
            return self.check(found).map(|()| DocumentChange::Whole);
        };
        let place = self.devices.of(&device).ok_or_else(|| {
            "its document can't be used: another hook has changed which devices the guest has"
                .to_owned()
        })?;
        let replaced = device::replace(self.whole().unwrap_or_default(), &place, found)
            .map_err(|why| format!("its document can't be used: {why}"))?;
        Ok(replaced
            .map_or(DocumentChange::None, |replaced| DocumentChange::Device(device, replaced)))
    }

    fn not_taken(&self) -> String {
        format!(
            "it changed the document: later scripts of the event get that, but libvirt takes no XML from {}",
            self.operation
        )
    }

    /// Reads the document that a hook in libvirt's style printed.
    ///
    /// # Errors
    /// It printed a document that can't be used, or more than one: the hook has failed.
    pub fn take_output(
        &mut self,
        hook: &Hook,
        stdout: &Capture,
        succeeded: bool,
    ) -> Result<Change, String> {
        let Some(whole) = self.whole() else { return Ok(Change::None) };
        let kept = stdout.whole();
        let output = kept.as_deref().unwrap_or(stdout.head());
        let printed = output.trim_ascii();
        if printed.is_empty() || printed == whole.trim_ascii() {
            return Ok(Change::None);
        }
        let tag = format!("<{}", self.identity.root);
        let is_document = memchr::memmem::find(printed, tag.as_bytes()).is_some();
        if !is_document {
            // some other output: it is kept with the run, and has no effect
            return Ok(Change::None);
        }
        if !succeeded {
            return Ok(Change::None);
        }
        if !self.is_filter {
            return Ok(Change::Ignored(format!(
                "it printed a document, but libvirt takes no XML from {}",
                self.operation
            )));
        }
        if kept.is_none() {
            return Err(format!("it printed more than {} MiB", MAX_DOCUMENT_BYTES >> 20));
        }
        if !hook.filter {
            return Ok(Change::Ignored(
                "it printed a document, though it is not a filter".to_owned(),
            ));
        }
        self.check(output)?;
        self.current = Some(output.to_vec());
        self.devices.set_stale();
        // a later hook may get the file: it must have this content then
        self.scope = None;
        Ok(Change::Taken)
    }

    /// Checks that a document is well-formed and about the same object as libvirt's.
    fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let tree = document::parse(bytes)
            .map_err(|error| format!("its document can't be used: {error}"))?;
        let identity = document::identity(&tree);
        for (what, is, was) in [
            ("root element", Some(&identity.root), Some(&self.identity.root)),
            ("name", identity.name.as_ref(), self.identity.name.as_ref()),
            ("uuid", identity.uuid.as_ref(), self.identity.uuid.as_ref()),
        ] {
            if is.map(|text| text.trim()) != was.map(|text| text.trim()) {
                return Err(format!("its document can't be used: it has another {what}"));
            }
        }
        Ok(())
    }

    /// Returns the document as a hook's standard input: byte for byte, from its beginning, with an
    /// offset of its own. `None` where libvirt sent no document.
    ///
    /// # Errors
    /// The kernel gave no memory or no descriptor.
    pub fn stdin(&mut self) -> io::Result<Option<OwnedFd>> {
        let Some(whole) = self.whole() else { return Ok(None) };
        if self.input.as_ref().is_none_or(|(held, _)| held != whole) {
            let whole = whole.to_vec();
            let file = files::sealed_memory_file(c"hookmux-stdin", &whole)?;
            self.input = Some((whole, file));
        }
        let Some((_, file)) = &mut self.input else { return Ok(None) };
        let reopened = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        reopened
            .or_else(|_| {
                // without /proc, or where a security module forbids it, all share one offset
                file.seek(SeekFrom::Start(0))?;
                file.try_clone()
            })
            .map(|file| Some(file.into()))
    }

    /// Returns the document for libvirt, if hooks changed it.
    pub fn result(&self) -> Option<&[u8]> {
        let current = self.current.as_deref()?;
        let original = self.original.as_deref()?;
        (current.trim_ascii() != original.trim_ascii()).then_some(current)
    }

    /// Removes the file and its directory. Returns whether hooks left other files there.
    pub fn remove_files(&mut self) -> bool {
        if self.shared.take().is_some_and(|shared| shared.is_in_directory()) {
            self.remove(&self.place);
        }
        self.has_leftovers.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use crate::state::Dir;

    const DOCUMENT: &str = "<domain><name>g</name><uuid>u</uuid></domain>\n";

    fn hook(source: HookSource) -> Hook {
        Hook { source, ..Hook::for_tests("e/h") }
    }

    struct Bench {
        _directory: tempfile::TempDir,
        exchange: Exchange,
    }

    impl Bench {
        fn new(is_filter: bool) -> Bench {
            let directory = tempfile::tempdir().unwrap();
            let identity = document::identity(&document::parse(DOCUMENT.as_bytes()).unwrap());
            let original = Some(DOCUMENT.as_bytes().to_vec());
            let place = DocumentPlace::named_by(&Dir::of_test(directory.path()), "x".to_owned());
            let exchange = Exchange::new(original, identity, is_filter, "migrate".into(), place);
            Bench { _directory: directory, exchange }
        }

        fn file(&mut self) -> PathBuf {
            self.file_of(HookSource::EventDirectory)
        }

        fn file_of(&mut self, source: HookSource) -> PathBuf {
            self.exchange.file(&hook(source), Some(&"e".into()), None).unwrap().unwrap()
        }
    }

    #[test]
    fn edits_are_chained_and_the_last_document_is_libvirts() {
        let mut bench = Bench::new(true);
        let path = bench.file();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            bench.exchange.take_back(&hook(HookSource::EventDirectory), true),
            Ok(Change::None)
        );
        assert_eq!(bench.exchange.result(), None);
        let first = DOCUMENT.replace("</domain>", "<a/></domain>");
        fs::write(&path, &first).unwrap();
        assert_eq!(
            bench.exchange.take_back(&hook(HookSource::EventDirectory), true),
            Ok(Change::Taken)
        );
        assert_eq!(fs::read_to_string(bench.file()).unwrap(), first);
        // by rename, as sed -i and editors do
        let second = first.replace("</domain>", "<b/></domain>");
        fs::write(path.with_extension("new"), &second).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
        assert_eq!(
            bench.exchange.take_back(&hook(HookSource::EventDirectory), true),
            Ok(Change::Taken)
        );
        assert_eq!(bench.exchange.result(), Some(second.as_bytes()));
        // and on to libvirt's style
        let mut stdin = String::new();
        File::from(bench.exchange.stdin().unwrap().unwrap()).read_to_string(&mut stdin).unwrap();
        assert_eq!(stdin, second);
        bench.exchange.remove_files();
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn what_cannot_be_used_is_the_hooks_failure_and_the_document_before_it_stays() {
        for (made, word) in [
            ("<domain><name>g</name>", "well-formed"),
            ("", "well-formed"),
            ("<domain><name>other</name><uuid>u</uuid></domain>", "another name"),
            ("<domain><name>g</name><uuid>v</uuid></domain>", "another uuid"),
            ("<guest><name>g</name><uuid>u</uuid></guest>", "another root element"),
            ("<!DOCTYPE x><domain><name>g</name><uuid>u</uuid></domain>", "document type"),
        ] {
            let mut bench = Bench::new(true);
            let path = bench.file();
            fs::write(&path, made).unwrap();
            let error =
                bench.exchange.take_back(&hook(HookSource::EventDirectory), true).unwrap_err();
            assert!(error.contains(word), "{made}: {error}");
            assert_eq!(fs::read_to_string(bench.file()).unwrap(), DOCUMENT);
            assert_eq!(bench.exchange.result(), None);
        }
    }

    #[test]
    fn a_file_that_is_none_any_more_is_the_hooks_failure() {
        type Damage = fn(&Path);
        let damages: [Damage; 4] = [
            |path| fs::remove_file(path).unwrap(),
            |path| {
                fs::remove_file(path).unwrap();
                symlink("/etc/passwd", path).unwrap();
            },
            |path| {
                fs::remove_file(path).unwrap();
                nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap();
            },
            |path| {
                fs::write(path, "<x/>").unwrap();
                fs::hard_link(path, path.with_extension("second")).unwrap();
            },
        ];
        for damage in damages {
            let mut bench = Bench::new(true);
            damage(&bench.file());
            assert!(bench.exchange.take_back(&hook(HookSource::EventDirectory), true).is_err());
            assert_eq!(fs::read_to_string(bench.file()).unwrap(), DOCUMENT);
        }
    }

    #[test]
    fn edits_that_libvirt_does_not_take_are_told() {
        let edited = DOCUMENT.replace("</domain>", "<a/></domain>");
        let own = hook(HookSource::EventDirectory);
        let mut bench = Bench::new(false);
        fs::write(bench.file(), &edited).unwrap();
        let change = bench.exchange.take_back(&own, true).unwrap();
        assert!(matches!(change, Change::Ignored(why) if why.contains("no XML from migrate")));
        // the hooks of the event see it, as vdsm's do; the next event begins anew
        assert_eq!(fs::read_to_string(bench.file()).unwrap(), edited);
        let next = bench.exchange.file(&own, Some(&"f".into()), None).unwrap().unwrap();
        assert_eq!(fs::read_to_string(next).unwrap(), DOCUMENT);

        let mut bench = Bench::new(true);
        fs::write(bench.file(), &edited).unwrap();
        assert!(matches!(bench.exchange.take_back(&own, false), Ok(Change::Ignored(_))));
        assert_eq!(fs::read_to_string(bench.file()).unwrap(), DOCUMENT);
        assert_eq!(bench.exchange.result(), None);
    }

    #[test]
    fn vdsms_scripts_have_a_document_among_themselves_where_libvirt_takes_one() {
        let with = |what: &str| DOCUMENT.replace("</domain>", &format!("{what}</domain>"));
        for is_filter in [true, false] {
            let mut bench = Bench::new(is_filter);
            let mut edit = |source: HookSource, seen: &str, made: &str| {
                let path = bench.file_of(source);
                assert_eq!(fs::read_to_string(&path).unwrap(), with(seen), "{is_filter} {made}");
                fs::write(path, with(made)).unwrap();
                bench.exchange.take_back(&hook(source), true)
            };
            use HookSource::{EventDirectory, Vdsm};
            let seen = |main: &'static str, chained: &'static str| {
                if is_filter { main } else { chained }
            };
            edit(EventDirectory, "", "<a/>").unwrap();
            let ignored = edit(Vdsm, "<a/>", "<a/><v/>").unwrap();
            let Change::Ignored(why) = ignored else { panic!("{ignored:?}") };
            assert!(why.contains("libvirt takes no"), "{why}");
            edit(EventDirectory, seen("<a/>", "<a/><v/>"), "<b/>").unwrap();
            edit(Vdsm, seen("<a/><v/>", "<b/>"), "<w/>").unwrap();
            edit(Vdsm, "<w/>", "<x/>").unwrap();
            // what can't be used is dropped as the rest, but for where it could be a veto
            let path = bench.file_of(Vdsm);
            fs::write(path, "<").unwrap();
            assert_eq!(bench.exchange.take_back(&hook(Vdsm), true).is_ok(), is_filter);
            let path = bench.file_of(Vdsm);
            assert_eq!(fs::read_to_string(path).unwrap(), with("<x/>"));
            let expected = is_filter.then(|| with("<b/>"));
            assert_eq!(bench.exchange.result(), expected.as_deref().map(str::as_bytes));
            // the next event begins anew
            let next = bench.exchange.file(&hook(Vdsm), Some(&"f".into()), None).unwrap().unwrap();
            assert_eq!(
                fs::read_to_string(next).unwrap(),
                with(if is_filter { "<b/>" } else { "" })
            );
        }
    }

    fn printed(bytes: &[u8]) -> Capture {
        let mut capture = Capture::with_head(MAX_DOCUMENT_BYTES);
        capture.push(bytes);
        capture
    }

    #[test]
    fn a_stray_echo_is_no_document() {
        let tree = hook(HookSource::Tree);
        let mut bench = Bench::new(true);
        for output in
            ["", " \n", "starting up\n", "<not a document>", DOCUMENT, DOCUMENT.trim_end()]
        {
            assert_eq!(
                bench.exchange.take_output(&tree, &printed(output.as_bytes()), true),
                Ok(Change::None),
                "{output}"
            );
        }
        let two = format!("starting\n{DOCUMENT}");
        assert!(bench.exchange.take_output(&tree, &printed(two.as_bytes()), true).is_err());
        assert!(
            bench
                .exchange
                .take_output(&tree, &printed(DOCUMENT.repeat(2).as_bytes()), true)
                .is_err()
        );
        let edited = DOCUMENT.replace("</domain>", "<a/></domain>");
        assert_eq!(
            bench.exchange.take_output(&tree, &printed(edited.as_bytes()), true),
            Ok(Change::Taken)
        );
        assert_eq!(bench.exchange.result(), Some(edited.as_bytes()));
    }

    const DEVICES: &str =
        "<domain><name>g</name><uuid>u</uuid><devices><interface/><hostdev/></devices></domain>";

    fn places() -> [Range<usize>; 2] {
        ["<interface/>", "<hostdev/>"].map(|text| {
            let start = DEVICES.find(text).unwrap();
            start..start + text.len()
        })
    }

    fn with_devices(is_filter: bool) -> Bench {
        let mut bench = Bench::new(is_filter);
        bench.exchange.original = Some(DEVICES.as_bytes().to_vec());
        bench
    }

    #[test]
    fn devices_have_documents_of_their_own() {
        let own = hook(HookSource::EventDirectory);
        let [interface, hostdev] = places();
        for is_filter in [true, false] {
            let mut bench = with_devices(is_filter);
            let exchange = &mut bench.exchange;
            let mut edit = |device: &Range<usize>, source: HookSource, seen: &str, made: &str| {
                exchange.find_devices();
                let hook = hook(source);
                let path = exchange.file(&hook, Some(&"e".into()), Some(device)).unwrap().unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), seen);
                fs::write(&path, made).unwrap();
                exchange.take_back(&hook, true)
            };
            let taken = |change: Result<Change, String>| match change.unwrap() {
                Change::Taken => true,
                Change::Ignored(why) => {
                    assert!(why.contains("libvirt takes no"), "{why}");
                    false
                }
                Change::None => panic!("no change"),
            };
            use HookSource::{EventDirectory, Vdsm};
            let first = "<?xml version='1.0'?>\n<interface a='1'/>";
            assert_eq!(taken(edit(&interface, EventDirectory, "<interface/>", first)), is_filter);
            assert!(!taken(edit(&interface, Vdsm, first, "<interface v='1'/>")));
            let seen = if is_filter { first } else { "<interface v='1'/>" };
            let made = "<interface a='1' b='2'/>";
            assert_eq!(taken(edit(&interface, EventDirectory, seen, made)), is_filter);
            assert!(edit(&interface, EventDirectory, made, "<hostdev/>").is_err());
            assert_eq!(
                taken(edit(&hostdev, EventDirectory, "<hostdev/>", "<hostdev c='3'/>")),
                is_filter
            );
            let expected =
                DEVICES.replace("<interface/>", made).replace("<hostdev/>", "<hostdev c='3'/>");
            let expected = is_filter.then_some(expected.as_bytes());
            assert_eq!(bench.exchange.result(), expected);
            // for the guest's own event
            let whole = bench.exchange.file(&own, Some(&"f".into()), None).unwrap().unwrap();
            assert_eq!(fs::read(whole).unwrap(), expected.unwrap_or(DEVICES.as_bytes()));
        }
    }

    #[test]
    fn a_device_is_found_after_a_hook_printed_the_whole_document() {
        let own = hook(HookSource::EventDirectory);
        let [interface, hostdev] = places();
        let mut bench = with_devices(true);
        let exchange = &mut bench.exchange;
        let print = |exchange: &mut Exchange, text: &str| {
            let taken = exchange.take_output(
                &hook(HookSource::Registered),
                &printed(text.as_bytes()),
                true,
            );
            assert_eq!(taken, Ok(Change::Taken));
            exchange.find_devices();
        };
        print(exchange, &DEVICES.replace("<devices>", "<title>t</title><devices>"));
        let path = exchange.file(&own, Some(&"e".into()), Some(&interface)).unwrap().unwrap();
        fs::write(&path, "<interface a='1'/>").unwrap();
        assert_eq!(exchange.take_back(&own, true), Ok(Change::Taken));
        // at the same device
        let changed = String::from_utf8(exchange.result().unwrap().to_vec()).unwrap();
        assert!(
            changed.contains("<title>t</title><devices><interface a='1'/><hostdev/>"),
            "{changed}"
        );
        print(exchange, &changed.replace("a='1'", "a='1' b='2'"));
        let path = exchange.file(&own, Some(&"e".into()), Some(&interface)).unwrap().unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "<interface a='1' b='2'/>");
        assert_eq!(exchange.device(&hostdev), Some(&b"<hostdev/>"[..]));
        // without the device there is no place for its edit
        print(exchange, &changed.replace("<interface a='1'/>", ""));
        let path = exchange.file(&own, Some(&"e".into()), Some(&hostdev)).unwrap().unwrap();
        fs::write(&path, "<hostdev c='3'/>").unwrap();
        assert!(exchange.take_back(&own, true).unwrap_err().contains("which devices"));
    }

    #[test]
    fn vdsms_daemon_has_an_empty_file() {
        let directory = tempfile::tempdir().unwrap();
        let place = DocumentPlace::named_by(&Dir::of_test(directory.path()), "x".to_owned());
        let mut exchange =
            Exchange::new(None, DocumentIdentity::default(), false, "start".into(), place);
        let hook = hook(HookSource::Vdsm);
        assert_eq!(exchange.file(&hook, Some(&"before_daemon_start".into()), None), Ok(None));
        let event = Cow::from("before_vdsm_start");
        let path = exchange.file(&hook, Some(&event), None).unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::write(&path, "for the next one").unwrap();
        assert_eq!(exchange.take_back(&hook, true), Ok(Change::None));
        let path = exchange.file(&hook, Some(&event), None).unwrap().unwrap();
        assert_eq!(fs::read(path).unwrap(), b"for the next one");
    }

    #[test]
    fn without_a_directory_the_document_is_still_a_file() {
        let identity = document::identity(&document::parse(DOCUMENT.as_bytes()).unwrap());
        let original = Some(DOCUMENT.as_bytes().to_vec());
        let place =
            DocumentPlace::named_by(&Dir::of_test(Path::new("/proc/nowhere")), "x".to_owned());
        let mut exchange = Exchange::new(original, identity, true, "migrate".into(), place);
        let own = hook(HookSource::EventDirectory);
        let path = exchange.file(&own, Some(&"e".into()), None).unwrap().unwrap();
        let edited = DOCUMENT.replace("</domain>", "<a/></domain>");
        fs::write(&path, &edited).unwrap();
        assert_eq!(exchange.take_back(&hook(HookSource::EventDirectory), true), Ok(Change::Taken));
        assert_eq!(exchange.result(), Some(edited.as_bytes()));
    }
}
