// What rows about executions have in common: the result, the squares of the hooks, the link to the call.
import { hostNow } from "./clock.js";
import { h } from "./dom.js";
import { label } from "./pf.js";
import { href } from "./route.js";
import { _, format, ngettext } from "./text.js";
import { clock, duration, exactly, when } from "./time.js";
import { oneLine } from "./visible.js";
import { callWords, look, result, resultLook, runWord } from "./words.js";

export const callHref = id => href(["call", id]);

export function resultLabel(execution) {
    const { colour, sign } = resultLook(execution);
    return label(result(execution), colour, sign, { "data-state": execution.state });
}

const MOST = 12;

// A square for each hook, and the same in words for screen readers.
export function squares(runs) {
    if (!runs.length)
        return h("span.subtle", null, _("none"));
    const words = runs.map(run => format(_("$0: $1"), oneLine(run.hook), runWord(run)));
    return h("span.squares", { title: words.join("\n") },
             h("span.squares-row", { "aria-hidden": "true" },
               runs.slice(0, MOST).map(run => h("span.square", { class: `is-${look(run.state).name}`, "data-test": "square", "data-state": run.state })),
               runs.length > MOST && h("span.subtle", null, `+${runs.length - MOST}`)),
             h("span.for-readers", null, format(ngettext("$0 hook: $1", "$0 hooks: $1", runs.length), runs.length, words.join(", "))));
}

export const time = text => h("time", { datetime: text, title: exactly(text) }, when(text));

export function callLink(execution) {
    return h("a.call-link", { href: callHref(execution.id), "data-test": "row-link" }, callWords(execution));
}

// How long it took, or for how long it has been running.
export function took(execution, now = hostNow()) {
    if (execution.state === "running")
        return clock((now - Date.parse(execution.began)) / 1000);
    return duration(execution.duration_s);
}

// The sentence below the result: what failed, or what runs now.
export function why(execution) {
    const now = execution.running[0];
    if (execution.state === "running" && now)
        return now.last_line ? format(_("$0 is running: $1"), now.hook, now.last_line) : format(_("$0 is running"), now.hook);
    if (execution.mended_by)
        return execution.failure ? format(_("$0 – a later run was good"), execution.failure) : _("a later run was good");
    return execution.failure;
}
