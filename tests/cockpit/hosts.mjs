// The hosts of the tests, each made when a test first asks for it.
import { writeFileSync } from "node:fs";
import { Host, until } from "./host.mjs";
import { write } from "./records.mjs";

export const hosts = new Map();

export const HOSTILE = "<img src=x onerror=alert(1)>";
export const HELP = "--help";
export const LONG = `long-${"x".repeat(240)}-end`;
export const BIDI = "txt.\u202egpj";
export const LINES = "two\nlines";
export const SPACED = "a b\u001b[31m'\"&c";

const makers = {
    // Hooks of all kinds, and calls in which all kinds of things happen.
    async busy() {
        const host = new Host("busy");
        host.script("before_vm_prepare/10-hugepages", "sleep 0.05; echo 'reserved 512 huge pages on node 0'");
        host.script("before_vm_start/10-devices", "echo 'vfio-pci: bound 0000:01:00.0'; echo 'vfio-pci: bound 0000:01:00.1'");
        host.script("before_vm_start/20-quota", "case $HOOKMUX_OBJECT in full*) echo 'the quota of this tenant is used up' >&2; exit 3;; esac; sleep 0.05");
        host.script("after_vm_start/50-firewall", "sleep 0.1; for i in $(seq 30); do echo \"nft: rule $i for vnet0\"; done");
        host.script("after_vm_start/60-metrics", "case $HOOKMUX_OBJECT in web*) echo 'no route to the metrics host' >&2; exit 1;; esac");
        host.script("after_vm_stop/50-firewall", "echo 'rules are down'");
        host.script("after_vm_stop/60-backup", `echo 'copying'; case $HOOKMUX_OBJECT in slow*) while [ ! -e ${host.path("go")} ]; do sleep 0.1; done;; esac`);
        host.script("after_vm_destroy/90-ledger", "echo \"all is released: $HOOKMUX_REASON\"");
        host.script("after_network_start/20-dns", "echo 'dns updated'");
        host.script("before_vm_migrate_destination/30-storage",
                    "sed -i 's:<on_crash>destroy</on_crash>:<on_crash>restart</on_crash>:; s:KiB.>65536:KiB\\x27>131072:' \"$_hook_domxml\"; echo 'more memory'");
        host.script("bin/licence", "echo \"a licence for $HOOKMUX_OBJECT\"");
        host.registration("licence", "events: [before_vm_launch]\ncommand: bin/licence\ntimeout: 5s\nlock: licences\n");
        host.registration("database", "events: [before_vm_launch]\ncommand: bin/licence\nwhen: {name: ['db*']}\n");
        host.registration("later", "events: [after_vm_launch]\ncommand: bin/licence\nmode: detached\n");
        host.registration("off", "events: [after_vm_launch]\ncommand: bin/licence\nenabled: false\n");
        // what `check` finds
        host.script("before_vm_strat/10-typo", ":");
        host.script("after_vm_stop/70-plain", ":", 0o644);
        host.script("after_vm_destroy/95-crlf", "#!/bin/sh\r\necho x\r\n");
        for (const guest of ["web1", "db1", "idle"])
            host.defined(guest);
        host.defined("default", "network");
        await host.call("network", "default", "start");
        await host.call("network", "default", "started");
        await host.start("full1");
        await host.stop("full1", "failed");
        for (const guest of ["web1", "db1", "app1"])
            await host.start(guest);
        await host.stop("app1");
        await host.call("qemu", "web1", "migrate");
        return host.cockpit();
    },
    // Names and output that would do harm where they aren't text.
    async hostile() {
        const host = new Host("hostile");
        host.script("before_vm_start/10-markup", "printf '<script>alert(1)</script><b>bold</b> \\033[31mred\\033]0;title\\007 \\342\\200\\256gpj\\n'; printf '<img src=x onerror=alert(2)>\\n' >&2; exit 3");
        host.script("after_vm_stop/10-much", "head -c 1000000 /dev/zero | tr '\\0' 'x' | fold -w 200");
        host.script("after_vm_stop/20-line", "head -c 100000 /dev/zero | tr '\\0' 'y'");
        host.script("before_vm_start/<i>italic", "echo '<i>'");
        host.registration("markup", "events: [after_vm_launch]\ncommand: /bin/true\nwhen: {name: ['<b>x</b>']}\n");
        for (const guest of [HOSTILE, HELP, LONG, BIDI, LINES, SPACED]) {
            if (!guest.includes("/"))
                host.defined(guest);
            await host.call("qemu", guest, "prepare");
            await host.call("qemu", guest, "stopped");
        }
        return host.cockpit();
    },
    // A call with very many hooks, and a hook with very many findings.
    async crowded() {
        const host = new Host("crowded");
        for (let number = 100; number < 400; number++)
            host.script(`after_vm_stop/${number}-x`, number % 7 ? "echo $0" : "exit 1");
        await host.call("qemu", "web1", "stopped");
        return host.cockpit();
    },
    async empty() { return new Host("empty").cockpit() },
    async unlinked() { return new Host("unlinked", { linked: false }).cockpit() },
    async missing() { return new Host("missing", { installed: false }).cockpit() },
    // A user who has no administrative access and can't get it.
    async limited() { return new Host("limited", { user: 65534 }).cockpit() },
    async many() {
        const host = new Host("many", { settings: "retention: {per_hook: 1000000, age: 1000days, size: 100 GiB, per_guest: 100 GiB}" });
        host.script("before_vm_start/10-x", "echo x");
        host.script("after_vm_launch/20-y", "echo y");
        await host.call("qemu", "guest1", "prepare");
        const { id } = await host.newest();
        host.hookmux("prune");
        await until("the record is stored", () => host.hookmux("show", id));
        const count = Number(process.env.COCKPIT_RECORDS);
        const start = Date.now();
        write(host, id, count, 60_000);
        console.log(`time    ${count} records written: ${((Date.now() - start) / 1000).toFixed(1)} s`);
        return host.cockpit();
    },
};

export function get(name) {
    if (!hosts.has(name))
        hosts.set(name, makers[name]());
    return hosts.get(name);
}

// A host for one test alone.
export function own(name, options) {
    const host = new Host(name, options);
    hosts.set(name, Promise.resolve(host));
    return host;
}

export const touch = file => writeFileSync(file, "");
