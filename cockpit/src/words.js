// The words, colours and signs of states. They are those of hookmux' own tables.
import { N_, _, format } from "./text.js";

const STATES = {
    good: [N_("good"), "green", "good"],
    failed: [N_("failed"), "red", "failed"],
    running: [N_("running"), "blue", "running"],
    queued: [N_("queued"), "blue", "running"],
    bypassed: [N_("bypassed"), "orange", "off"],
    lost: [N_("lost"), "orange", "warning"],
    unknown: [N_("unknown"), "grey", "note"],
};

// What a state looks like: its name for styles (one that this page doesn't know is `unknown`), colour and sign.
export function look(state) {
    const [, colour, sign] = STATES[state] || STATES.unknown;
    return { name: STATES[state] ? state : "unknown", colour, sign };
}

export const word = state => STATES[state] ? _(STATES[state][0]) : state;

// The result of a whole call, in words.
export function result(execution) {
    if (execution.state === "failed") {
        if (execution.timed_out)
            return _("failed: time limit");
        if (execution.status === 0 && execution.cause === "libvirt")
            return _("failed, libvirt not told");
        return execution.status ? format(_("failed ($0)"), execution.status) : _("failed");
    }
    return word(execution.state);
}

const DETACHED = {
    waiting: N_("detached hooks wait"),
    failed: N_("a detached hook failed"),
    unknown: N_("a detached hook was taken out of the queue"),
};

// What became of the detached hooks of a call, unless all is well.
export const detachedWords = state => DETACHED[state] ? _(DETACHED[state]) : null;

// A failure that libvirt wasn't told, or after which a later run was good, is less than one that stopped an operation.
export function resultLook(execution) {
    const found = look(execution.state);
    if (execution.state === "failed" && execution.mended_by)
        return { ...found, colour: "grey" };
    if (execution.state === "failed" && execution.status === 0 && execution.cause === "libvirt")
        return { ...found, colour: "orange", sign: "warning" };
    return found;
}

export function runWord(run) {
    if (run.state === "failed")
        return run.timed_out ? _("ended by its time limit") : run.status ? format(_("failed ($0)"), run.status) : _("failed");
    return word(run.state);
}

const HOOK_STATES = {
    active: [N_("active"), "green"],
    disabled: [N_("disabled"), "grey"],
    masked: [N_("masked"), "grey"],
    "not executable": [N_("not executable"), "orange"],
    "a link to nothing": [N_("a link to nothing"), "orange"],
    skipped: [N_("skipped"), "grey"],
    refused: [N_("refused"), "red"],
    fails: [N_("fails"), "red"],
    broken: [N_("broken"), "red"],
    "never called": [N_("never called"), "orange"],
};

export const hookWord = state => HOOK_STATES[state] ? _(HOOK_STATES[state][0]) : state;
export const hookColour = state => HOOK_STATES[state] ? HOOK_STATES[state][1] : "grey";

// libvirt's call in one line: driver, operation, and what libvirt adds.
export function callWords(execution) {
    const words = [execution.driver, execution.operation];
    if (execution.extra && execution.extra !== "-")
        words.push(execution.extra);
    return words.join(" ");
}

const CLASSES = {
    gate: N_("A failure stops the operation"),
    live: N_("A failure isn't passed on to libvirt"),
    notify: N_("libvirt logs a failure, and goes on"),
};

export const classWords = name => CLASSES[name] ? _(CLASSES[name]) : name;

const CAUSES = {
    libvirt: N_("libvirt"),
    run: N_("run by hand"),
    retry: N_("run again by hand"),
    queue: N_("try of a detached hook"),
    undo: N_("undo in the background"),
};

export const causeWords = name => CAUSES[name] ? _(CAUSES[name]) : name;
