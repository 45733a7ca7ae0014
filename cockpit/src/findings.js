// How many errors and warnings `check` finds, for the number beside "Check". On a host with many records it takes seconds, so it is kept for some minutes.
import { json } from "./hookmux.js";

// Cockpit shows several hosts under one address.
const KEY = `hookmux:findings:${globalThis.cockpit.transport.host || "localhost"}`;
const VALID = 5 * 60 * 1000;

function kept() {
    try {
        const { at, count } = JSON.parse(sessionStorage.getItem(KEY));
        return Date.now() - at < VALID ? count : null;
    } catch {
        return null;
    }
}

// Keeps the number of a list of findings, and returns it.
export function keepCount(findings) {
    const count = findings.filter(finding => finding.severity !== "note").length;
    try {
        sessionStorage.setItem(KEY, JSON.stringify({ at: Date.now(), count }));
    } catch {
        // without storage it is asked for again
    }
    return count;
}

export async function findingsCount() {
    const count = kept();
    return count === null ? keepCount((await json(["check"])).findings) : count;
}
