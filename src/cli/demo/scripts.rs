//! The hooks of the demo. hookmux keeps what hooks print, so they write to a file for the demo.

/// A script's place in the hooks directory, and its text.
pub(super) type Script = (&'static str, &'static str);

pub(super) const FIRST: [Script; 5] = [
    (
        "before_vm_start/10-memory",
        r#"#!/bin/sh
memory=$(sed -n "s:.*<memory unit='KiB'>\([0-9]*\)<.*:\1:p" "$_hook_domxml")
echo "$HOOKMUX_EVENT: $HOOKMUX_OBJECT is about to start and wants $memory KiB" >> "${0%/hooks/*}/said"
"#,
    ),
    (
        "qemu.d/vm/prepare/begin/10-devices",
        r#"#!/bin/sh
echo "per-guest tree: called with '$*' and $(($(wc -c))) bytes on standard input" >> "${0%/hooks/*}/said"
"#,
    ),
    (
        "after_vm_start/50-firewall",
        r#"#!/bin/sh
tap=$(sed -n "s:.*<target dev='\(vnet[0-9]*\)'.*:\1:p" "$_hook_domxml")
echo "$HOOKMUX_EVENT: a $HOOKMUX_ORIGIN start, rules for $tap go up" >> "${0%/hooks/*}/said"
"#,
    ),
    (
        "after_vm_stop/50-firewall",
        r#"#!/bin/sh
# libvirt's document has lost the tap's name by now; the one of the start still has it
[ -n "${HOOKMUX_STARTED_XML:-}" ] || exit 0 # it never ran
tap=$(sed -n "s:.*<target dev='\(vnet[0-9]*\)'.*:\1:p" "$HOOKMUX_STARTED_XML")
echo "$HOOKMUX_EVENT: rules for $tap come down" >> "${0%/hooks/*}/said"
"#,
    ),
    (
        "after_vm_destroy/90-ledger",
        r#"#!/bin/sh
echo "$HOOKMUX_EVENT: all is released, reason: $HOOKMUX_REASON" >> "${0%/hooks/*}/said"
"#,
    ),
];

/// A hook that refuses the start.
pub(super) const REFUSAL: Script =
    ("before_vm_launch/20-licence", "#!/bin/sh\necho \"all 10 licences are taken\" >&2\nexit 3\n");

/// A hook that fails while the guest runs.
pub(super) const FAILURE: Script =
    ("after_vm_start/60-metrics", "#!/bin/sh\necho \"no route to the metrics host\" >&2\nexit 1\n");
