// The live region for screen readers. New texts within ten seconds are told together, so that a busy host doesn't talk all the time.
import { h } from "./dom.js";

const region = typeof document === "undefined" ? null : h("div.for-readers", { role: "status", "aria-live": "polite", "data-test": "announce" });
const PAUSE = 10000;
let last = 0;
let timer = null;
let next = null;

export const announceRegion = () => region;

function say() {
    timer = null;
    last = Date.now();
    region.textContent = typeof next === "function" ? next() : next;
    next = null;
}

// At once: the answer to what somebody has done.
export function announce(text) {
    next = text;
    clearTimeout(timer);
    say();
}

// When it is quiet: `text` may be a function, which is asked at that time.
export function announceLater(text) {
    next = text;
    if (timer === null)
        timer = setTimeout(say, Math.max(1000, last + PAUSE - Date.now()));
}
