// Runs the tests, one after the other, and says how each ended. What is missing in one doesn't keep the others from running.
import { spawn, execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { closeBrowser, launch } from "./browser.mjs";
import { hosts } from "./hosts.mjs";
import { sleep } from "./host.mjs";
import { tests } from "./tests.mjs";

const { place, out, BINARY, COCKPIT_ROOT } = process.env;
const chosen = process.argv.slice(2);

// Another system's Cockpit runs in its own root, with what belongs to the hosts at the same path. What is written there is
// in memory, and gone with this run.
if (COCKPIT_ROOT) {
    const layers = `${place}.root`;
    const root = join(layers, "root");
    const mount = (...words) => execFileSync("mount", words);
    mount("-t", "tmpfs", "tmpfs", layers);
    for (const name of ["upper", "work", "root"])
        mkdirSync(join(layers, name));
    mount("-t", "overlay", "overlay", "-o", `lowerdir=${COCKPIT_ROOT},upperdir=${layers}/upper,workdir=${layers}/work`, root);
    mkdirSync(join(root, place), { recursive: true });
    for (const directory of [place, "/proc", "/dev"])
        mount("--rbind", directory, join(root, directory));
    // the manifest asks for it
    copyFileSync(BINARY, join(root, "usr/sbin/hookmux"));
    process.env.COCKPIT_ROOT = root;
}
// Cockpit's bridge asks a system bus for who the user is, and for services, which there are none.
const bus = join(place, "bus.conf");
writeFileSync(bus, `<busconfig><type>system</type><listen>unix:path=${place}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>\n`);
const dbus = spawn("dbus-daemon", [`--config-file=${bus}`, "--nofork"], { stdio: "ignore" });
process.env.DBUS_SYSTEM_BUS_ADDRESS = `unix:path=${place}/bus`;

const failures = [];
const began = Date.now();
try {
    await launch();
    for (const [name, test] of Object.entries(tests)) {
        if (chosen.length && !chosen.some(word => name.includes(word)))
            continue;
        const start = Date.now();
        let timer = null;
        const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("not over after 300 s")), 300_000) });
        try {
            await Promise.race([test(), late]);
            console.log(`ok      ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
        } catch (error) {
            failures.push(name);
            console.log(`FAILED  ${name}: ${error.stack || error}`);
        }
        clearTimeout(timer);
    }
} finally {
    await Promise.race([closeBrowser(), sleep(5000)]);
    for (const host of hosts.values())
        await (await host.catch(() => null))?.close();
    dbus.kill();
}
const count = failures.length;
console.log(`${count ? `${count} failed: ${failures.join("; ")}` : "all good"}, ${((Date.now() - began) / 1000).toFixed(0)} s; pictures are in ${join(out, "pictures")}`);
process.exit(count ? 1 : 0);
