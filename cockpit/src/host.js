// What the whole page knows of the host: `hookmux status`, asked for by whoever needs it, and told to all who listen.
import { hostNow } from "./clock.js";
import { json } from "./hookmux.js";

const cockpit = globalThis.cockpit;
const listeners = new Set();
let status = null;
let asked = null;
let next = null;            // asked for while another answer was under way
let watched = null;
let file = null;
let timer = null;
const LONGEST = 2 ** 31 - 1;     // milliseconds, of a timer

// The file of the emergency switch: somebody may switch on the command line.
function watchSwitch(hooksDir) {
    if (watched === hooksDir)
        return;
    watched = hooksDir;
    let first = true;
    file = cockpit.file(`${hooksDir}/hookmux.bypass`, { superuser: "require" });
    file.watch(() => {
        if (!first)
            refresh().catch(() => {});
        first = false;
    }, { read: false });
}

// Whoever had another access before had another channel: its file isn't watched any more.
function forgetSwitch() {
    if (file)
        file.close();
    file = null;
    watched = null;
}

// An entry of the switch that is over by its time changes no file.
function endWithTime({ bypasses }) {
    clearTimeout(timer);
    const ends = bypasses.map(bypass => Date.parse(bypass.until)).filter(Number.isFinite);
    if (ends.length)
        timer = setTimeout(() => refresh().catch(() => {}), Math.min(Math.max(1000, Math.min(...ends) - hostNow() + 500), LONGEST));
}

export function refresh() {
    // the answer that is under way may be from before whatever asks now has happened
    if (asked) {
        next ||= asked.then(() => {}, () => {}).then(() => { next = null; return refresh() });
        return next;
    }
    asked = json(["status"]).then(answer => {
        status = answer;
        asked = null;
        watchSwitch(answer.hooks_dir);
        endWithTime(answer);
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
                forgetSwitch();
                listener();
            }
        });
    });
}
