// What the whole page knows of the host: `hookmux status`, asked for by whoever needs it, and told to all who listen.
import { json } from "./hookmux.js";

const cockpit = globalThis.cockpit;
const listeners = new Set();
let status = null;
let asked = null;
let watched = null;

// The file of the emergency switch: somebody may switch on the command line.
function watchSwitch(hooksDir) {
    if (watched === hooksDir)
        return;
    watched = hooksDir;
    let first = true;
    cockpit.file(`${hooksDir}/hookmux.bypass`, { superuser: "require" }).watch(() => {
        if (!first)
            refresh().catch(() => {});
        first = false;
    }, { read: false });
}

export function refresh() {
    if (asked)
        return asked;
    asked = json(["status"]).then(answer => {
        status = answer;
        asked = null;
        watchSwitch(answer.hooks_dir);
        for (const listener of [...listeners])
            listener(status);
        return status;
    }, error => {
        asked = null;
        throw error;
    });
    return asked;
}

export const known = () => status;

// Calls `listener` with each new status, and at once with the one that is known. Returns what ends that.
export function listen(listener) {
    listeners.add(listener);
    if (status)
        listener(status);
    return () => listeners.delete(listener);
}

// Calls `listener` when the user gets or gives up administrative access.
export function onAccess(listener) {
    const proxy = cockpit.dbus(null, { bus: "internal" }).proxy("cockpit.Superuser", "/superuser");
    let current = null;
    proxy.wait(() => {
        current = proxy.Current;
        proxy.addEventListener("changed", () => {
            if (proxy.Current !== current && proxy.Current !== "init") {
                current = proxy.Current;
                listener();
            }
        });
    });
}
