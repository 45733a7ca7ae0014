//! The smallest documents that libvirt takes.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A QEMU guest without disks: enough to start, to be saved and to migrate. Emulated, since that
/// works everywhere; its firmware halts at once.
pub struct Domain {
    pub name: String,
    pub uuid: String,
    metadata: String,
    devices: String,
    memory: u32,
}

impl Domain {
    pub fn new(name: &str) -> Domain {
        Domain {
            name: name.into(),
            uuid: uuid(),
            metadata: String::new(),
            devices: String::new(),
            memory: 32,
        }
    }

    pub fn metadata(mut self, xml: &str) -> Domain {
        self.metadata.push_str(xml);
        self
    }

    pub fn device(mut self, xml: &str) -> Domain {
        self.devices.push_str(xml);
        self
    }

    pub fn xml(&self) -> String {
        let Domain { uuid, metadata, devices, memory, .. } = self;
        let name = escape(&self.name);
        format!(
            "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>\
             <metadata>{metadata}</metadata><memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os>\
             <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\
             <controller type='usb' model='none'/><memballoon model='none'/>{devices}</devices>\
             </domain>"
        )
    }
}

/// A container with the host's own root and a sleeping init.
pub fn container(name: &str, uuid: &str) -> String {
    format!(
        "<domain type='lxc'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory>\
         <os><type>exe</type><init>/bin/sleep</init><initarg>600</initarg></os>\
         <devices><console type='pty'/></devices></domain>"
    )
}

/// A network that needs neither dnsmasq nor a firewall.
pub fn network(name: &str, uuid: &str) -> String {
    format!(
        "<network><name>{name}</name><uuid>{uuid}</uuid><forward mode='open'/>\
         <bridge name='{name}br' stp='off' delay='0'/><dns enable='no'/>\
         <ip address='10.77.0.1' netmask='255.255.255.0'/></network>"
    )
}

/// hookmux's own properties, as metadata.
pub fn properties(properties: &str) -> String {
    format!(
        "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>{properties}</hookmux:properties>"
    )
}

/// vdsm's custom properties, as metadata.
pub fn vdsm_properties(properties: &str) -> String {
    format!(
        "<ovirt-vm:vm xmlns:ovirt-vm='http://ovirt.org/vm/1.0'>\
         <ovirt-vm:custom>{properties}</ovirt-vm:custom></ovirt-vm:vm>"
    )
}

/// Another one at each call.
pub fn uuid() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("5b0c7d1e-5eed-4000-8000-{:06x}{count:06x}", process::id() & 0x00ff_ffff)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
