use crate::documents::Domain;
use crate::host::Host;
use crate::reply::Reply;

/// A guest that is defined on a host. Called by its uuid, since some of the names look like options.
pub struct Guest<'a> {
    host: &'a Host,
    pub name: String,
    pub uuid: String,
}

impl Host {
    pub fn guest(&self, name: &str) -> Guest<'_> {
        self.define(&Domain::new(name))
    }

    #[track_caller]
    pub fn define(&self, domain: &Domain) -> Guest<'_> {
        self.write("/run/domain.xml", &domain.xml(), 0o644);
        self.virsh(&["define", "/run/domain.xml"]).ok();
        self.known(domain)
    }

    /// A guest that is, or will be, on this host, though not defined here.
    pub fn known(&self, domain: &Domain) -> Guest<'_> {
        Guest { host: self, name: domain.name.clone(), uuid: domain.uuid.clone() }
    }
}

impl Guest<'_> {
    pub fn start(&self) -> Reply {
        self.host.virsh(&["start", &self.uuid])
    }

    pub fn destroy(&self) -> Reply {
        self.host.virsh(&["destroy", &self.uuid])
    }

    pub fn save(&self, file: &str) -> Reply {
        self.host.virsh(&["save", &self.uuid, file])
    }

    pub fn managed_save(&self) -> Reply {
        self.host.virsh(&["managedsave", &self.uuid])
    }

    /// libvirt's word: `running`, `shut off`.
    #[track_caller]
    pub fn state(&self) -> String {
        self.host.virsh(&["domstate", &self.uuid]).ok().trim().to_owned()
    }

    #[track_caller]
    pub fn is_running(&self) -> bool {
        self.state() == "running"
    }

    /// The document of the guest as it runs.
    #[track_caller]
    pub fn xml(&self) -> String {
        self.host.virsh(&["dumpxml", &self.uuid]).ok()
    }

    /// The pid of its QEMU: the same one means that it has run on.
    pub fn pid(&self) -> String {
        self.host.read(&format!("/run/libvirt/qemu/{}.pid", self.name)).trim().to_owned()
    }

    /// Its managed save.
    pub fn save_file(&self) -> String {
        format!("/var/lib/libvirt/qemu/save/{}.save", self.name)
    }
}
