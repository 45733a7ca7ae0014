//! What libvirt puts on standard input.

use std::fs;
use std::path::Path;

pub const UUID: &str = "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901";

/// A small guest.
pub const GUEST: &str = "<domain type='kvm'>
  <name>g</name>
  <uuid>3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901</uuid>
  <devices>
  </devices>
</domain>
";

/// A guest with this in its `<metadata>` and among its `<devices>`.
pub fn guest(metadata: &str, devices: &str) -> String {
    GUEST
        .replace("  <devices>", &format!("  <metadata>{metadata}</metadata>\n  <devices>"))
        .replace("  </devices>", &format!("{devices}\n  </devices>"))
}

/// A document that a real libvirt of this version sent: `qemu.prepare.begin`.
pub fn capture(version: &str, call: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/captures/libvirt-{version}/{call}.xml"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
