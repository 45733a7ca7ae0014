//! The document on its way through hooks: a file that scripts in vdsm's style edit, standard input
//! and output for those in libvirt's, and the judgement of what comes back.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::file::{self, FILE_NAME, Made, Mark, Place, make_private, read_back, read_memory};
use crate::hook::{Hook, HookSource};
use crate::libvirt::document::{self, Identity, MAX_BYTES};
use crate::machine::files;
use crate::process::capture::Capture;

/// What a hook did to the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// libvirt gets it.
    Taken,
    /// libvirt doesn't get it; why.
    Ignored(String),
}

/// What a hook works on: the document of the call, or one device's part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    event: Option<Cow<'static, str>>,
    device: Option<usize>,
}

/// The document of one call.
pub struct Exchange {
    /// As libvirt sent it.
    original: Option<Vec<u8>>,
    identity: Identity,
    is_filter: bool,
    operation: String,
    /// On a filter call, as the hooks so far made it.
    current: Option<Vec<u8>>,
    scope: Option<Scope>,
    /// What the file has to hold for the next hook of the scope.
    content: Vec<u8>,
    place: Place,
    shared: Option<Shared>,
    /// Whether something was left that has to be removed after the call.
    has_trash: Cell<bool>,
    /// The file must be written before the next hook.
    is_stale: bool,
    /// By which a file that nobody has touched is known.
    mark: Option<Mark>,
    /// What the descriptor for standard input holds.
    input: Option<(Vec<u8>, File)>,
}

/// A document file of one hook's own.
#[derive(Debug)]
pub struct Copy {
    pub path: PathBuf,
    place: Place,
    made: Made,
    /// As it was made.
    base: Vec<u8>,
}

/// What a hook was given, to be given to what undoes it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    current: Option<Vec<u8>>,
    scope: Option<Scope>,
    content: Vec<u8>,
}

impl Snapshot {
    /// What its file held.
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

/// Where scripts find the document.
enum Shared {
    File(PathBuf, Made),
    /// The runtime directory is full or can't be written: a file without a directory.
    Memory(File, PathBuf),
}

impl Shared {
    fn path(&self) -> &Path {
        match self {
            Shared::File(path, _) | Shared::Memory(_, path) => path,
        }
    }

    fn read_back(&self, place: &Place) -> io::Result<Vec<u8>> {
        match self {
            Shared::File(_, made) => read_back(&place.path()?, *made),
            Shared::Memory(_, path) => read_memory(path),
        }
    }
}

impl Exchange {
    /// `place` is made when a hook first needs the file, and removed at the end.
    pub fn new(
        original: Option<Vec<u8>>,
        identity: Identity,
        is_filter: bool,
        operation: String,
        place: Place,
    ) -> Exchange {
        Exchange {
            original,
            identity,
            is_filter,
            operation,
            current: None,
            scope: None,
            content: Vec::new(),
            place,
            shared: None,
            has_trash: Cell::new(false),
            is_stale: true,
            mark: None,
            input: None,
        }
    }

    /// The whole document as the next hook is to see it. A call that takes no document back shows
    /// libvirt's own at each event.
    pub fn whole(&self) -> Option<&[u8]> {
        self.current.as_deref().or(self.original.as_deref())
    }

    /// What the hook is given for which the document was last asked.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            current: self.current.clone(),
            scope: self.scope.clone(),
            content: self.content.clone(),
        }
    }

    /// Goes back to what a hook was given. What later ones made of it is forgotten: the call has
    /// failed, and gives libvirt no document.
    pub fn rewind(&mut self, snapshot: Snapshot) {
        let Snapshot { current, scope, content } = snapshot;
        (self.current, self.scope, self.content) = (current, scope, content);
        self.is_stale = true;
    }

    /// The file with the document for the next hook of a scope; `None` where libvirt sent none, or
    /// (with a reason) where no file could be made.
    pub fn file(
        &mut self,
        event: Option<&Cow<'static, str>>,
        device: Option<(usize, &[u8])>,
    ) -> Result<Option<PathBuf>, String> {
        if !self.enter(event, device) {
            return Ok(None);
        }
        if self.is_stale {
            self.write()
                .map_err(|error| format!("the document can't be given in a file: {error}"))?;
            self.is_stale = false;
        }
        Ok(self.shared.as_ref().map(|shared| shared.path().to_path_buf()))
    }

    /// Begins a scope, where it is another one; `false` where there is no document.
    fn enter(&mut self, event: Option<&Cow<'static, str>>, device: Option<(usize, &[u8])>) -> bool {
        let scope = Scope { event: event.cloned(), device: device.map(|(index, _)| index) };
        if self.scope.as_ref() == Some(&scope) {
            return true;
        }
        let content = match device {
            Some((_, bytes)) => Some(bytes.to_vec()),
            None => self.whole().map(<[u8]>::to_vec),
        };
        let Some(content) = content else { return false };
        self.is_stale = self.is_stale || content != self.content;
        self.content = content;
        self.scope = Some(scope);
        true
    }

    /// A copy for one hook alone: of another user (`owner`: uid and gid), or one that runs beside
    /// others. It is readable to its owner and to nobody else.
    ///
    /// # Errors
    /// It could not be made.
    pub fn copy(
        &mut self,
        event: Option<&Cow<'static, str>>,
        device: Option<(usize, &[u8])>,
        number: usize,
        owner: Option<(u32, u32)>,
    ) -> Result<Option<Copy>, String> {
        if !self.enter(event, device) {
            return Ok(None);
        }
        let place = self.place.beside(&format!("-{number}"));
        let made = make_private(&place, &self.content, owner).map_err(|error| {
            format!("the document can't be given in a file of its own: {error}")
        })?;
        let path = place.named().join(FILE_NAME);
        Ok(Some(Copy { path, place, made, base: self.content.clone() }))
    }

    /// Takes a copy over after its hook ended, and removes it.
    ///
    /// # Errors
    /// As [`Exchange::take_back`]; and where a hook that ran beside has changed the document too.
    pub fn take_copy(
        &mut self,
        hook: &Hook,
        copy: &Copy,
        succeeded: bool,
    ) -> Result<Change, String> {
        let found = copy.place.path().and_then(|directory| read_back(&directory, copy.made));
        self.drop_copy(copy);
        if found.as_ref().is_ok_and(|found| *found == copy.base) {
            return Ok(Change::None);
        }
        if self.content != copy.base && succeeded && hook.filter && self.is_filter {
            return Err(
                "it changed the document, and so did a hook that ran beside it: only one may"
                    .to_owned(),
            );
        }
        self.take(hook, found, succeeded)
    }

    /// Removes a copy unseen.
    pub fn drop_copy(&self, copy: &Copy) {
        self.remove(&copy.place);
    }

    fn remove(&self, place: &Place) {
        if file::remove(place) {
            self.has_trash.set(true);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.mark = None;
        if let Some(Shared::Memory(file, _)) = &mut self.shared {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            return file.write_all(&self.content);
        }
        let path = self.place.named().join(FILE_NAME);
        let result = match self.shared {
            // a hook may have put anything in its place
            Some(_) => files::remove(&path).and_then(|()| files::create_private(&path)),
            None => self.place.make().and_then(|_| files::create_private(&path)),
        }
        .and_then(|mut file| {
            file.write_all(&self.content)?;
            // a time that no later write can leave behind, however coarse the clock of the file system
            file.set_modified(Mark::TIME)
        });
        // root's hooks may have made the directory anew
        if let (Ok(()), Ok(made)) = (&result, Made::of(&self.place.named(), None)) {
            self.mark = Mark::of(&path);
            self.shared = Some(Shared::File(path, made));
            return Ok(());
        }
        // what there was no room for would take some for ever
        if let Ok(directory) = self.place.path() {
            let _ = files::remove(&path);
            let _ = fs::remove_dir(directory);
        }
        let name = c"hookmux-document";
        let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&self.content)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        self.shared = Some(Shared::Memory(file, path.into()));
        Ok(())
    }

    /// Looks at the file after a hook that was given it. `succeeded` is whether the hook did.
    ///
    /// # Errors
    /// What the hook made of the document can't be used: the document before it stays, and the
    /// hook has failed.
    pub fn take_back(&mut self, hook: &Hook, succeeded: bool) -> Result<Change, String> {
        let Some(shared) = &self.shared else { return Ok(Change::None) };
        if self.mark.is_some() && self.mark == Mark::of(shared.path()) {
            return Ok(Change::None);
        }
        let found = shared.read_back(&self.place);
        if found.as_ref().is_ok_and(|found| *found == self.content) {
            return Ok(Change::None);
        }
        self.is_stale = true;
        self.take(hook, found, succeeded)
    }

    /// What becomes of a document that a hook has changed.
    fn take(
        &mut self,
        hook: &Hook,
        found: io::Result<Vec<u8>>,
        succeeded: bool,
    ) -> Result<Change, String> {
        let ignored = |why: &str| Ok(Change::Ignored(why.to_owned()));
        if !succeeded {
            return ignored("what a failed hook made of the document is not used");
        }
        if hook.source == HookSource::Vdsm {
            return ignored(
                "it changed the document; edits of vdsm's hooks are ignored here, as vdsm does",
            );
        }
        if !hook.filter {
            return ignored("it changed the document, though it is no filter");
        }
        let found = found.map_err(|error| format!("it left no usable document: {error}"))?;
        if self.scope.as_ref().is_some_and(|scope| scope.device.is_some()) {
            return ignored("it changed a device's document, which libvirt doesn't take");
        }
        self.judge(&found)?;
        self.content = found;
        self.is_stale = true;
        if !self.is_filter {
            return Ok(Change::Ignored(self.not_taken()));
        }
        self.current = Some(self.content.clone());
        Ok(Change::Taken)
    }

    fn not_taken(&self) -> String {
        format!("it changed the document, but libvirt takes no XML from {}", self.operation)
    }

    /// Looks at what a hook in libvirt's style printed.
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
            // a stray echo: kept with the run, and harmless
            return Ok(Change::None);
        }
        if !succeeded {
            return Ok(Change::None);
        }
        if !self.is_filter {
            return Ok(Change::Ignored(self.not_taken()));
        }
        if kept.is_none() {
            return Err(format!("it printed more than {} MiB", MAX_BYTES >> 20));
        }
        if !hook.filter {
            return Ok(Change::Ignored("it printed a document, though it is no filter".to_owned()));
        }
        self.judge(output)?;
        self.current = Some(output.to_vec());
        // the file, should a later hook be given it, has to follow
        self.scope = None;
        Ok(Change::Taken)
    }

    /// A document must be well-formed, and of the same thing as libvirt's.
    fn judge(&self, bytes: &[u8]) -> Result<(), String> {
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

    /// The document as a hook's standard input: byte for byte, from its beginning, its own offset.
    /// `None` where libvirt sent none.
    ///
    /// # Errors
    /// The kernel gave no memory or no descriptor.
    pub fn stdin(&mut self) -> io::Result<Option<OwnedFd>> {
        let Some(whole) = self.whole() else { return Ok(None) };
        if self.input.as_ref().is_none_or(|(held, _)| held != whole) {
            let whole = whole.to_vec();
            let mut file = File::from(memfd_create(
                c"hookmux-stdin",
                MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
            )?);
            file.write_all(&whole)?;
            let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
            fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
            self.input = Some((whole, file));
        }
        let Some((_, file)) = &mut self.input else { return Ok(None) };
        let reopened = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        reopened
            .or_else(|_| {
                // without /proc, or where a security module minds: one offset for all
                file.seek(SeekFrom::Start(0))?;
                file.try_clone()
            })
            .map(|file| Some(file.into()))
    }

    /// What libvirt is to be given: the document, where hooks changed it.
    pub fn result(&self) -> Option<&[u8]> {
        let current = self.current.as_deref()?;
        let original = self.original.as_deref()?;
        (current.trim_ascii() != original.trim_ascii()).then_some(current)
    }

    /// Removes the file and its directory. Returns whether hooks left more than documents.
    pub fn remove_files(&mut self) -> bool {
        if let Some(Shared::File(..)) = self.shared.take() {
            self.remove(&self.place);
        }
        self.has_trash.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::{OnFailure, Style};
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, symlink};

    use crate::state::Dir;

    const DOCUMENT: &str = "<domain><name>g</name><uuid>u</uuid></domain>\n";

    fn hook(source: HookSource) -> Hook {
        Hook {
            label: "e/h".into(),
            name: "h".into(),
            path: "h".into(),
            source,
            style: Style::Vdsm,
            on_failure: OnFailure::Fail,
            kill: false,
            filter: true,
            timeout: None,
            kill_leftovers: false,
            weight: 0,
            registration: None,
        }
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
            let place = Place::named_by(&Dir::of_test(directory.path()), "x".to_owned());
            let exchange = Exchange::new(original, identity, is_filter, "migrate".into(), place);
            Bench { _directory: directory, exchange }
        }

        fn file(&mut self) -> PathBuf {
            self.exchange.file(Some(&"e".into()), None).unwrap().unwrap()
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
        let mut bench = Bench::new(false);
        fs::write(bench.file(), &edited).unwrap();
        let change = bench.exchange.take_back(&hook(HookSource::EventDirectory), true).unwrap();
        assert!(matches!(change, Change::Ignored(why) if why.contains("no XML from migrate")));
        // the hooks of the event see it, as vdsm's do; the next event begins anew
        assert_eq!(fs::read_to_string(bench.file()).unwrap(), edited);
        let next = bench.exchange.file(Some(&"f".into()), None).unwrap().unwrap();
        assert_eq!(fs::read_to_string(next).unwrap(), DOCUMENT);

        let mut bench = Bench::new(true);
        fs::write(bench.file(), &edited).unwrap();
        assert!(matches!(
            bench.exchange.take_back(&hook(HookSource::Vdsm), true),
            Ok(Change::Ignored(_))
        ));
        assert_eq!(fs::read_to_string(bench.file()).unwrap(), DOCUMENT);
        fs::write(bench.file(), &edited).unwrap();
        assert!(matches!(
            bench.exchange.take_back(&hook(HookSource::EventDirectory), false),
            Ok(Change::Ignored(_))
        ));
        assert_eq!(bench.exchange.result(), None);
    }

    fn printed(bytes: &[u8]) -> Capture {
        let mut capture = Capture::with_head(MAX_BYTES);
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

    #[test]
    fn devices_have_documents_of_their_own() {
        let mut bench = Bench::new(false);
        let path =
            bench.exchange.file(Some(&"e".into()), Some((0, b"<interface/>"))).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "<interface/>");
        let path =
            bench.exchange.file(Some(&"e".into()), Some((1, b"<hostdev/>"))).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "<hostdev/>");
        fs::write(&path, "<x").unwrap();
        assert!(matches!(
            bench.exchange.take_back(&hook(HookSource::EventDirectory), true),
            Ok(Change::Ignored(_))
        ));
    }

    #[test]
    fn without_a_directory_the_document_is_still_a_file() {
        let identity = document::identity(&document::parse(DOCUMENT.as_bytes()).unwrap());
        let original = Some(DOCUMENT.as_bytes().to_vec());
        let place = Place::named_by(&Dir::of_test(Path::new("/proc/nowhere")), "x".to_owned());
        let mut exchange = Exchange::new(original, identity, true, "migrate".into(), place);
        let path = exchange.file(Some(&"e".into()), None).unwrap().unwrap();
        let edited = DOCUMENT.replace("</domain>", "<a/></domain>");
        fs::write(&path, &edited).unwrap();
        assert_eq!(exchange.take_back(&hook(HookSource::EventDirectory), true), Ok(Change::Taken));
        assert_eq!(exchange.result(), Some(edited.as_bytes()));
    }
}
