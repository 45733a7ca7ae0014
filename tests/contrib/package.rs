//! A hook of `contrib/hooks` on a host of a test's own, and guests that ask for it.

use std::path::PathBuf;

use crate::contrib_hooks::copy_of;
use crate::support::Host;
use crate::support::answer::Answer;
use crate::support::call::Call;
use crate::support::host::binary_under_test;

/// A host with one hook of `contrib/hooks`. Programs in its directory `bin` stand before the machine's own.
pub struct Package {
    pub host: Host,
    name: &'static str,
    environment: Vec<(String, String)>,
}

impl Package {
    #[track_caller]
    pub fn new(name: &'static str) -> Package {
        let package = Package { host: Host::new(), name, environment: Vec::new() };
        copy_of(&package.host, name);
        package.host.link(binary_under_test(), package.host.path("bin/hookmux"));
        let bin = package.host.path("bin");
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
        let package = package.env("PATH", &path);
        package.register();
        package
    }

    /// A variable of the hook's environment.
    pub fn env(mut self, name: &str, value: &str) -> Package {
        self.environment.push((name.to_owned(), value.to_owned()));
        let lines = self.environment.iter().map(|(name, value)| format!("  {name}: '{value}'\n"));
        self.host.settings(&format!("environment:\n{}", lines.collect::<String>()));
        self
    }

    /// A program that the hook finds before the machine's own.
    pub fn program(&self, name: &str, text: &str) -> &Package {
        self.host.script(self.host.path("bin").join(name), text);
        self
    }

    /// The directory of the hook.
    pub fn directory(&self) -> PathBuf {
        self.host.path("ready").join(self.name)
    }

    /// Registers the hook.
    #[track_caller]
    fn register(&self) {
        let hook = format!("contrib/{}", self.name);
        let hooks = self.host.path("ready");
        self.host.text(&["add", &hook, "--from", hooks.to_str().unwrap()], 0);
    }

    /// A guest with this in its document.
    pub fn guest(&self, name: &str, properties: &[(&str, &str)], devices: &str) -> Guest<'_> {
        let uuid = super::uuid_of(name);
        let elements = format!("<devices>{devices}</devices>");
        let document = super::document(name, &uuid, properties.iter().copied(), &elements);
        Guest { package: self, name: name.to_owned(), uuid, document, wrapper: Vec::new() }
    }
}

/// A guest, for which libvirt calls.
pub struct Guest<'p> {
    package: &'p Package,
    pub name: String,
    pub uuid: String,
    pub document: String,
    wrapper: Vec<String>,
}

impl Guest<'_> {
    /// Its calls are made through a program that executes its last arguments.
    pub fn through(mut self, wrapper: &[String]) -> Self {
        self.wrapper = wrapper.to_vec();
        self
    }

    /// A call of libvirt's: `prepare begin`, `release end saved`.
    #[track_caller]
    pub fn call(&self, call: &str) -> Answer {
        self.made(call).run()
    }

    pub fn made(&self, call: &str) -> Call<'_> {
        let mut words = vec![self.name.as_str()];
        words.extend(call.splitn(3, ' '));
        if words.len() == 3 {
            words.push("-");
        }
        let call = self.package.host.call("qemu", words).stdin(self.document.as_str());
        call.through(&self.wrapper)
    }

    /// It starts, as far as hooks let it.
    #[track_caller]
    pub fn starts(&self) {
        for call in ["prepare begin", "start begin", "started begin"] {
            self.call(call).succeeds();
        }
    }

    /// It ends.
    #[track_caller]
    pub fn ends(&self) {
        self.call("stopped end").succeeds();
        self.call("release end shutdown").succeeds();
    }
}

/// `hookmux check` has nothing against them as they are registered.
#[test]
fn nothing_is_wrong_with_a_registered_hook() {
    for name in ["autostart-transient", "inhibit-sleep", "macspoof", "notify", "port-forward"] {
        let package = Package::new(name);
        let found = package.host.json(&["check"], 0);
        let findings = found["findings"].as_array().unwrap().iter();
        let about: Vec<_> = findings.filter(|it| it.to_string().contains(name)).collect();
        assert!(about.is_empty(), "{name}: {about:#?}");
    }
}
