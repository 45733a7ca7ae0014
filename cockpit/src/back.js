// Asks again when somebody comes back to the page: hooks may have been changed in a terminal meanwhile. Returns what ends that.
const cockpit = globalThis.cockpit;

export function onBack(again) {
    const seen = () => !cockpit.hidden && again();
    cockpit.addEventListener("visibilitychange", seen);
    return () => cockpit.removeEventListener("visibilitychange", seen);
}
